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

/** What a subscription needs of its client. */
export interface Home {
    guard(call: () => void): void;
    changed(subscription: Wanted): void;
    ended(subscription: Wanted): void;
    dropped(subscription: Wanted, subject: string, count: number): void;
}

interface Waiter<T> {
    resolve: (value: T) => void;
    reject: (error: unknown) => void;
}

export class Wanted implements Subscription<any> {
    state: SubscriptionState = "subscribing";
    reason: PushletError | undefined;
    private readonly events: PushletEvent<any>[] = [];
    private missed = 0;
    private looping = false;
    private broken: PushletError | undefined;
    private readers: Waiter<IteratorResult<PushletEvent<any>>>[] = [];
    private waiters: Waiter<void>[] = [];

    constructor(
        private readonly home: Home,
        readonly pattern: string,
        private readonly callback: Callback<any> | undefined,
        readonly wishes: Wishes,
    ) {}

    /** Why it is over. */
    private end(): PushletError {
        return (
            this.reason ??
            new PushletError({ code: "closed", message: `The subscription to ${this.pattern} has ended.` })
        );
    }

    get over(): boolean {
        return this.state === "failed" || this.state === "unsubscribed";
    }

    turn(state: SubscriptionState, trouble?: Trouble): void {
        if (this.over || state === this.state) return;
        this.state = state;
        if (trouble) this.reason = new PushletError(trouble);
        if (state === "subscribed") {
            this.broken = undefined;
            this.settle((waiter) => waiter.resolve());
        }
        if (this.over) {
            this.stop(this.reason);
            this.home.ended(this);
        }
        this.home.changed(this);
    }

    private settle(one: (waiter: Waiter<void>) => void): void {
        const { waiters } = this;
        this.waiters = [];
        waiters.forEach(one);
    }

    /** Ends the loops, with an error or after what still waits, and whoever waits for `subscribed`. */
    stop(error?: PushletError): void {
        this.broken = error;
        this.settle((waiter) => waiter.reject(error ?? this.end()));
        for (const { resolve, reject } of this.readers.splice(0))
            error ? reject(error) : resolve({ done: true, value: undefined });
    }

    ready(): Promise<void> {
        if (this.state === "subscribed") return Promise.resolve();
        if (this.over || this.broken) return Promise.reject(this.broken ?? this.end());
        return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
    }

    unsubscribe(): void {
        this.turn("unsubscribed");
    }

    /** Hands an event on. */
    give(event: PushletEvent<any>): void {
        if (this.over) return;
        const { callback } = this;
        if (callback) this.home.guard(() => callback(event, this));
        if (callback && !this.looping) return;
        const reader = this.readers.shift();
        if (reader) return reader.resolve({ done: false, value: event });
        this.events.push(event);
        if (this.events.length <= (this.wishes.buffer ?? BUFFER)) return;
        const gone = this.events.shift()!;
        const count = 1 + (gone.lost ?? 0);
        this.missed += 1;
        // The next one says it, as the server's would.
        const [next] = this.events;
        if (next) this.events[0] = { ...next, lost: (next.lost ?? 0) + count };
        if (this.looping) this.home.dropped(this, next?.subject ?? gone.subject, 1);
    }

    [Symbol.asyncIterator](): AsyncIterator<PushletEvent<any>> {
        this.looping = true;
        // What went while nobody looked is told now.
        if (this.missed && this.events[0]) this.home.dropped(this, this.events[0].subject, this.missed);
        this.missed = 0;
        return {
            next: () => {
                const value = this.events.shift();
                if (value) return Promise.resolve({ done: false, value });
                if (this.broken) return Promise.reject(this.broken);
                if (this.over) return Promise.resolve({ done: true, value: undefined });
                return new Promise((resolve, reject) => this.readers.push({ resolve, reject }));
            },
            return: () => {
                this.looping = false;
                this.events.length = 0;
                if (!this.callback) this.unsubscribe();
                return Promise.resolve({ done: true, value: undefined });
            },
        };
    }
}
