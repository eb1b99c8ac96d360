// What users hold: states, listeners, subscriptions. It speaks to the connection, which may be in another tab, in messages only.
import {
    type Callback,
    type Client,
    type Events,
    type Options,
    type PublishOptions,
    type Published,
    PushletError,
    type PushletEvent,
    type State,
    type Subscription,
    type TransportName,
    type Trouble,
    type Wishes,
} from "./api.js";
import { type Notice, type StateNotice, TRANSPORTS, both, connection } from "./connection.js";
import { matches } from "./match.js";
import type { Platform } from "./platform.js";
import { type Hub, type Maker, own, shared } from "./share.js";
import { type Home, Wanted } from "./subscription.js";
import { REQUEST_MS, type Wish } from "./wire.js";

/** The server's URL, from any URL of it: `http://host:8080` or with a path in front of `/v1/`. */
function baseOf(url: string | URL | undefined, origin: string | undefined): string {
    const { protocol, host, pathname } = new URL(url ?? "", origin && origin !== "null" ? origin : undefined);
    return `${protocol.replace(/^ws/, "http")}//${host}${pathname.replace(/\/v1(\/.*)?$/, "").replace(/\/+$/, "")}`;
}

function usable(platform: Platform, { transports }: Options): TransportName[] {
    const order = transports ?? ["ws", platform.streams ? "fetch" : "sse", "poll"];
    for (const name of order) if (!TRANSPORTS[name]) throw new TypeError(`There is no transport ${name}.`);
    const missing = { ws: !platform.WebSocket, sse: !platform.EventSource, fetch: !platform.streams, poll: false };
    const found = [...new Set(order)].filter((name) => !missing[name]);
    if (found.length === 0) throw new TypeError(`None of these transports can be used here: ${order.join(", ")}.`);
    return found;
}

/** The item of a publication as JSON. */
function itemOf(
    subject: string | readonly string[],
    data: unknown,
    { event, to, contentType }: PublishOptions,
): string {
    const bytes = data instanceof Uint8Array;
    return JSON.stringify({
        ...(typeof subject === "string" ? { subject } : { subjects: subject }),
        ...(bytes ? { base64: base64(data) } : { data: data ?? null }),
        content_type: contentType ?? (bytes ? "application/octet-stream" : undefined),
        event,
        to,
    });
}

function base64(bytes: Uint8Array): string {
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text);
}

/** An event of the server as users get it. */
function eventOf({ content_type: contentType, base64: text, ...event }: any): PushletEvent {
    if (contentType) event.contentType = contentType;
    if (text !== undefined) event.data = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return event;
}

interface Waiter<T> {
    resolve: (value: T) => void;
    reject: (error: unknown) => void;
}

export class PushletClient implements Client, Home {
    state: State = "connecting";
    transport: TransportName | undefined;
    address: string | undefined;
    reason: PushletError | undefined;
    private readonly base: string;
    private readonly order: TransportName[];
    private readonly tab: string;
    private hub: Hub | undefined;
    private closed = false;
    private synced = false;
    private ids = 0;
    private readonly subscriptions = new Set<Wanted>();
    /** The patterns that are in force. */
    private readonly known = new Set<string>();
    private readonly listeners = new Map<string, Set<(event: any) => void>>();
    private readonly published = new Map<number, Waiter<Published> & { stop: () => void }>();
    private waiters: Waiter<void>[] = [];
    private readonly away: (() => void)[] = [];
    private stopDue = () => {};

    constructor(
        private readonly platform: Platform,
        url: string | URL | undefined,
        private readonly options: Options,
    ) {
        if (options.WebSocket) platform.WebSocket = options.WebSocket;
        this.base = baseOf(url, platform.origin);
        this.order = usable(platform, options);
        this.tab = platform.unique();
        this.start();
        const { window, document } = platform;
        const nudge = (): void => this.hub?.send({ do: "nudge" });
        this.listen(window, "online", nudge);
        this.listen(window, "offline", () => this.hub?.send({ do: "check" }));
        this.listen(document, "visibilitychange", () => document!.visibilityState === "visible" && nudge());
        // A page that the browser keeps for going back must let go of connection and locks, and begins anew when it is shown again.
        this.listen(window, "pagehide", () => this.halt());
        this.listen(window, "pageshow", () => this.hub || this.start());
    }

    private listen(target: EventTarget | undefined, name: string, call: () => void): void {
        target?.addEventListener(name, call);
        this.away.push(() => target?.removeEventListener(name, call));
    }

    private start(): void {
        const { platform, base, order } = this;
        const { key, share } = this.options;
        const make: Maker = (tell) => connection(platform, base, key, order, tell);
        const hear = (notice: Notice): void => this.hear(notice);
        this.hub =
            share !== false && platform.locks && platform.BroadcastChannel
                ? shared(platform, `pushletd 1 ${JSON.stringify([base, key, order])}`, this.tab, make, hear)
                : own(make, hear);
        this.want(true);
    }

    private halt(): void {
        const { hub } = this;
        this.hub = undefined;
        hub?.stop();
        this.forsake("The page was left before the answer: it may have been published or not.");
        if (hub && !this.closed) this.turn({ state: "connecting" });
    }

    private want(fresh = false): void {
        const wishes: Record<string, Wish> = {};
        for (const { pattern, wishes: wish } of this.subscriptions) wishes[pattern] = both(wishes[pattern], wish);
        this.hub?.send({ do: "want", tab: this.tab, wishes, fresh });
    }

    // From the connection

    private hear(notice: Notice): void {
        if (this.closed) return;
        if (notice.is === "hello") {
            this.forsake(
                "Another tab has taken over the connection before the answer: it may have been published or not.",
            );
            this.want(true);
        } else if (notice.is === "state") {
            this.turn(notice);
        } else if (notice.is === "subscription") {
            this.judge(notice);
        } else if (notice.is === "event") {
            this.deliver(eventOf(notice.event));
        } else if (notice.is === "synced") {
            if (this.synced) this.emit("reset", { reason: "reconnected" });
            this.synced = true;
        } else if (notice.is === "reset") {
            this.emit("reset", { reason: notice.reason });
        } else if (notice.is === "answer") {
            const waiter = this.published.get(notice.id);
            waiter?.stop();
            this.published.delete(notice.id);
            if (notice.trouble) waiter?.reject(new PushletError(notice.trouble));
            else waiter?.resolve(notice.published!);
        } else {
            this.emit(notice.is, new PushletError(notice.trouble));
        }
    }

    private turn({ state, transport, address, reason, retryIn }: Omit<StateNotice, "is">): void {
        // The first one says nothing new.
        if (state === this.state && !transport && !reason && !this.reason) return;
        this.stopDue();
        if (retryIn !== undefined) this.stopDue = this.platform.after(retryIn, () => this.hub?.send({ do: "due" }));
        this.state = state;
        this.transport = transport;
        this.address = address;
        this.reason = reason && new PushletError(reason);
        if (state !== "connected") this.known.clear();
        for (const subscription of this.subscriptions)
            if (!this.known.has(subscription.pattern)) subscription.turn("subscribing");
        this.emit("state", { state, transport, reason: this.reason, retryIn });
        if (state !== "connecting") {
            const { waiters } = this;
            this.waiters = [];
            for (const { resolve, reject } of waiters) state === "connected" ? resolve() : reject(this.reason);
        }
        if (state === "disconnected") for (const subscription of this.subscriptions) subscription.stop(this.reason);
    }

    private judge({ pattern, state, reason }: Notice & { is: "subscription" }): void {
        if (state === "subscribed") this.known.add(pattern);
        else this.known.delete(pattern);
        if (state === "unsubscribed") return;
        for (const subscription of [...this.subscriptions]) {
            if (subscription.pattern === pattern) subscription.turn(state, reason);
        }
    }

    private deliver(event: PushletEvent): void {
        if (event.lost) this.emit("lost", { count: event.lost, subject: event.subject, where: "server" });
        this.emit("event", event);
        for (const subscription of [...this.subscriptions])
            if (matches(subscription.pattern, event.subject)) subscription.give(event);
    }

    // For subscriptions

    guard(call: () => void): void {
        try {
            call();
        } catch (error) {
            this.platform.report(error);
        }
    }

    changed(subscription: Wanted): void {
        this.emit("subscription", subscription);
    }

    ended(subscription: Wanted): void {
        if (this.subscriptions.delete(subscription)) this.want();
    }

    dropped(subscription: Wanted, subject: string, count: number): void {
        this.emit("lost", { count, subject, where: "client", subscription });
    }

    // For users

    on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
        let all = this.listeners.get(name);
        if (!all) this.listeners.set(name, (all = new Set()));
        // The same function twice is two listeners.
        const one = (event: Events[Name]): void => listener(event);
        all.add(one);
        return () => void all.delete(one);
    }

    private emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
        for (const listener of [...(this.listeners.get(name) ?? [])]) this.guard(() => listener(event));
    }

    ready(): Promise<void> {
        if (this.state === "connected") return Promise.resolve();
        if (this.state === "disconnected") return Promise.reject(this.reason);
        return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
    }

    subscribe<T = unknown>(pattern: string, callback?: Callback<T> | Wishes, wishes?: Wishes): Subscription<T> {
        if (this.closed) throw new PushletError({ code: "closed", message: "The client is closed." });
        if (typeof pattern !== "string" || !pattern || pattern.includes(",")) {
            throw new TypeError("A pattern is a text without a comma; subscribe once for each.");
        }
        const call = typeof callback === "function" ? callback : undefined;
        const wanted = new Wanted(
            this,
            pattern,
            call,
            wishes ?? (call ? {} : ((callback as Wishes | undefined) ?? {})),
        );
        this.subscriptions.add(wanted);
        if (this.known.has(pattern)) wanted.state = "subscribed";
        if (this.state === "disconnected") wanted.stop(this.reason);
        this.want();
        return wanted;
    }

    async publish(
        subject: string | readonly string[],
        data?: unknown,
        options: PublishOptions = {},
    ): Promise<Published> {
        const item = itemOf(subject, data, options);
        if (options.wait) await this.ready();
        if (this.state !== "connected") {
            throw new PushletError({
                code: this.closed ? "closed" : "not-connected",
                message: `Not published: the client is ${this.state}.`,
            });
        }
        const id = ++this.ids;
        return new Promise((resolve, reject) => {
            const stop = this.platform.after(REQUEST_MS, () => {
                this.published.delete(id);
                reject(
                    new PushletError({
                        code: "timeout",
                        message: "No answer came in time: it may have been published or not.",
                    }),
                );
            });
            this.published.set(id, { resolve, reject, stop });
            this.hub!.send({ do: "publish", tab: this.tab, id, item });
        });
    }

    send(address: string, subject: string, data?: unknown, options?: PublishOptions): Promise<Published> {
        return this.publish(subject, data, { ...options, to: address });
    }

    /** Nobody will answer any more. */
    private forsake(message: string): void {
        for (const { reject, stop } of this.published.values()) {
            stop();
            reject(new PushletError({ code: "unknown", message } satisfies Trouble));
        }
        this.published.clear();
    }

    reconnect(): void {
        this.hub?.send({ do: "reconnect" });
    }

    close(): void {
        if (this.closed) return;
        this.closed = true;
        for (const away of this.away) away();
        this.halt();
        for (const subscription of [...this.subscriptions]) subscription.unsubscribe();
        this.turn({ state: "disconnected", reason: { code: "closed", message: "The client was closed." } });
    }
}
