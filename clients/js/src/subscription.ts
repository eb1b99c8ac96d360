// A subscription: its state, its callback, and the events that wait for its loop.
import {
    type Callback,
    PushletError,
    type PushletEvent,
    type Subscription,
    type SubscriptionState,
    type Trouble,
    type Wishes,
} from "./api.js";

const BUFFER = 256;

/** Somebody who waits for a promise. */
export interface Waiter<T> {
    resolve: (value: T) => void;
    reject: (error: unknown) => void;
}

/** A subscription as its client sees it. */
export interface Wanted {
    /** What the user holds. */
    readonly self: Subscription<any>;
    readonly wishes: Wishes;
    turn(state: SubscriptionState, trouble?: Trouble): void;
    /** Hands an event on. */
    give(event: PushletEvent<any>): void;
    /** Ends the loops, with an error or after what still waits, and whoever waits for `subscribed`. */
    stop(error?: PushletError): void;
}

/** `changed` is called after each change of state, `dropped` for events that did not fit, `guard` calls what is the user's. */
export function wanted(
    pattern: string,
    callback: Callback<any> | undefined,
    wishes: Wishes,
    changed: (one: Wanted) => void,
    dropped: (subscription: Subscription, subject: string, count: number) => void,
    guard: (call: () => void) => void,
): Wanted {
    const events: PushletEvent<any>[] = [];
    let state: SubscriptionState = "subscribing";
    let reason: PushletError | undefined;
    // Events that went while nobody looked.
    let missed = 0;
    let loops = 0;
    let broken: PushletError | undefined;
    let readers: Waiter<IteratorResult<PushletEvent<any>>>[] = [];
    let waiters: Waiter<void>[] = [];

    const over = (): boolean => state === "failed" || state === "unsubscribed";
    const end = (): PushletError =>
        broken ?? reason ?? new PushletError({ code: "closed", message: `The subscription to ${pattern} has ended.` });

    function turn(next: SubscriptionState, trouble?: Trouble): void {
        if (over()) return;
        // It is tried anew.
        if (next === "subscribing") broken = undefined;
        if (next === state) return;
        state = next;
        if (trouble) reason = new PushletError(trouble);
        if (over()) {
            stop(reason);
        } else if (state === "subscribed") {
            for (const { resolve } of waiters.splice(0)) resolve();
        }
        changed(one);
    }

    function stop(error?: PushletError): void {
        broken = error;
        for (const { reject } of waiters.splice(0)) reject(end());
        for (const { resolve, reject } of readers.splice(0))
            error ? reject(error) : resolve({ done: true, value: undefined });
    }

    const self: Subscription<any> = {
        pattern,
        get state() {
            return state;
        },
        get reason() {
            return reason;
        },
        ready() {
            return new Promise((resolve, reject) => {
                if (state === "subscribed") resolve();
                else if (over() || broken) reject(end());
                else waiters.push({ resolve, reject });
            });
        },
        unsubscribe: () => turn("unsubscribed"),
        [Symbol.asyncIterator]() {
            loops += 1;
            if (missed && events[0]) dropped(self, events[0].subject, missed);
            missed = 0;
            return {
                next: () =>
                    new Promise((resolve, reject) => {
                        const value = events.shift();
                        if (value) resolve({ done: false, value });
                        else if (broken) reject(broken);
                        else if (over()) resolve({ done: true, value: undefined });
                        else readers.push({ resolve, reject });
                    }),
                async return() {
                    if (!--loops) events.length = 0;
                    if (!callback) turn("unsubscribed");
                    return { done: true, value: undefined };
                },
            };
        },
    };

    const one: Wanted = {
        self,
        wishes,
        turn,
        stop,
        give(event) {
            if (over()) return;
            if (callback) guard(() => callback(event, self));
            if (callback && !loops) return;
            const reader = readers.shift();
            if (reader) return reader.resolve({ done: false, value: event });
            events.push(event);
            if (events.length <= (wishes.buffer ?? BUFFER)) return;
            const gone = events.shift()!;
            const [next] = events;
            // The next one says it, as the server's would.
            if (next) events[0] = { ...next, lost: (next.lost ?? 0) + (gone.lost ?? 0) + 1 };
            if (loops) dropped(self, (next ?? gone).subject, 1);
            else missed += 1;
        },
    };
    return one;
}
