// What users hold: states, listeners, subscriptions. It speaks to the connection, which may be in another tab, in messages only.
import {
    type UrlObject,
    type Callback,
    type Client,
    type Events,
    type Options,
    type PublishOptions,
    type Published,
    PushletError,
    type PushletEvent,
    type State,
    type TransportName,
    type Wishes,
} from "./api.js";
import { type Notice, type StateNotice, TRANSPORTS, both, connection } from "./connection.js";
import { matches } from "./match.js";
import type { Platform } from "./platform.js";
import { type Hub, type Maker, own, shared } from "./share.js";
import { type Waiter, type Wanted, wanted } from "./subscription.js";
import { REQUEST_MS, type Wish } from "./wire.js";

/** The server's URL, from any URL of it: `http://host:8080` or with a path in front of `/v1/`. */
function baseOf(url: string | UrlObject | undefined, origin: string | undefined): string {
    const text = ((url as URL | undefined)?.href ?? url ?? "") as string;
    let parsed;
    try {
        // "host:80" must not become a path of the page's own server.
        parsed = new URL(text, /^(\/|$)/.test(text) && origin !== "null" ? origin : undefined);
    } catch {
        // Said below.
    }
    if (!parsed || !/^(http|ws)s?:$/.test(parsed.protocol))
        throw new TypeError("The URL must begin with http:// or https://.");
    const { protocol, host, pathname, search, username, password } = parsed;
    if (search || username || password)
        throw new TypeError("The URL must have no query and no user: a key is the option key.");
    return `${protocol.replace(/^ws/, "http")}//${host}${pathname.replace(/\/v1(\/.*)?$/, "").replace(/\/+$/, "")}`;
}

function usable(platform: Platform, { transports }: Options): TransportName[] {
    const order = transports ?? ["ws", platform.streams ? "fetch" : "sse", "poll"];
    const all = Object.keys(TRANSPORTS);
    if (!(order instanceof Array && order.length))
        throw new TypeError(`transports must be an array of ${all.join(", ")}.`);
    for (const name of order) if (!all.includes(name)) throw new TypeError(`There is no transport ${name}.`);
    const missing = { ws: !platform.WebSocket, sse: !platform.EventSource, fetch: !platform.streams, poll: false };
    const found = [...new Set(order)].filter((name) => !missing[name]);
    if (!found.length) {
        const help = order.includes("ws") ? " ws needs the option WebSocket." : "";
        throw new TypeError(`None of these transports can be used here: ${order.join(", ")}.${help}`);
    }
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

export function createClient(platform: Platform, url: string | UrlObject | undefined, options: Options): Client {
    if (options.WebSocket) platform = { ...platform, WebSocket: options.WebSocket };
    const { after, window, document } = platform;
    const { key } = options;
    const base = baseOf(url, platform.origin);
    const order = usable(platform, options);
    const tab = platform.unique();
    const all = new Set<Wanted>();
    /** The patterns that are in force. */
    const known = new Set<string>();
    const listeners = new Map<string, Set<(event: any) => void>>();
    const published = new Map<number, Waiter<Published> & { stop: () => void }>();
    const waiters: Waiter<void>[] = [];
    const away: (() => void)[] = [];
    let now: Omit<StateNotice, "is" | "reason"> & { reason?: PushletError | undefined } = { state: "connecting" };
    let hub: Hub | undefined;
    let closed = false;
    // The session in which all was last in force. A tab may be told twice.
    let synced: string | undefined;
    let ids = 0;
    let stopDue = (): void => {};

    function listen(target: EventTarget | undefined, name: string, call: () => void): void {
        target?.addEventListener(name, call);
        away.push(() => target?.removeEventListener(name, call));
    }

    function start(): void {
        const make: Maker = (tell) => connection(platform, base, key, order, tell);
        hub =
            options.share !== false && platform.locks && platform.BroadcastChannel
                ? shared(platform, `pushletd 1 ${JSON.stringify([base, key, order])}`, tab, make, hear)
                : own(make, hear);
        want(true);
    }

    function halt(): void {
        const old = hub;
        hub = undefined;
        old?.stop();
        forsake("The page was left");
        if (!closed) turn({ state: "connecting" });
    }

    /** Says what this tab wishes. */
    function want(fresh = false): void {
        const wishes = new Map<string, Wish>();
        for (const { self, wishes: wish } of all) wishes.set(self.pattern, both(wishes.get(self.pattern), wish));
        hub?.send({ do: "want", tab, wishes, fresh });
    }

    /** Nobody will answer any more. */
    function forsake(why: string): void {
        for (const { reject, stop } of published.values()) {
            stop();
            reject(
                new PushletError({
                    code: "unknown",
                    message: `${why} before the answer: it may have been published or not.`,
                }),
            );
        }
        published.clear();
    }

    // From the connection

    function hear(notice: Notice): void {
        const { is } = notice;
        // What was not sent when it was closed is said all the same.
        if (closed && is !== "answer") return;
        if (is === "hello") {
            forsake("Another tab has taken over the connection");
            want(true);
        } else if (is === "state") {
            turn(notice);
        } else if (is === "subscription") {
            const { pattern, state, reason } = notice;
            if (state === "subscribed") known.add(pattern);
            else known.delete(pattern);
            if (state !== "unsubscribed")
                for (const one of [...all]) if (one.self.pattern === pattern) one.turn(state, reason);
        } else if (is === "event") {
            deliver(eventOf(notice.event));
        } else if (is === "synced") {
            const { session } = notice;
            if (synced && synced !== session) emit("reset", { reason: "reconnected" });
            synced = session;
        } else if (is === "reset") {
            emit("reset", { reason: notice.reason });
        } else if (is === "answer") {
            const waiter = published.get(notice.id);
            waiter?.stop();
            published.delete(notice.id);
            if (notice.published) waiter?.resolve(notice.published);
            else waiter?.reject(new PushletError(notice.trouble!));
        } else if (is === "queued") {
            // It answers even if the server does not.
            published.get(notice.id)?.stop();
        } else if (is === "nack" || is === "error") {
            // What a newer tab may say besides is passed over.
            emit(is, new PushletError(notice.trouble));
        }
    }

    function turn({ state, transport, address, reason: trouble, retryIn }: Omit<StateNotice, "is">): void {
        // This one says nothing new.
        if (state === now.state && address === now.address && !trouble && !now.reason) return;
        const reason = trouble && new PushletError(trouble);
        now = { state, transport, address, reason };
        stopDue();
        if (retryIn !== undefined) stopDue = after(retryIn, () => hub?.send({ do: "due" }));
        if (state !== "connected") known.clear();
        for (const one of all) if (!known.has(one.self.pattern)) one.turn("subscribing");
        emit("state", { state, transport, reason, retryIn });
        if (state === "connecting") return;
        for (const { resolve, reject } of waiters.splice(0)) reason ? reject(reason) : resolve();
        if (reason) for (const one of all) one.stop(reason);
    }

    function deliver(event: PushletEvent): void {
        const { lost: count, subject } = event;
        if (count) emit("lost", { count, subject, where: "server" });
        emit("event", event);
        for (const one of [...all]) if (matches(one.self.pattern, subject)) one.give(event);
    }

    // To the user

    function guard(call: () => void): void {
        try {
            call();
        } catch (error) {
            platform.report(error);
        }
    }

    function emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
        for (const listener of [...(listeners.get(name) ?? [])]) guard(() => listener(event));
    }

    /** Something like `closed` or `connecting`, as a reason not to do what was asked. */
    function unable(what: string): PushletError {
        return new PushletError({
            code: closed ? "closed" : "not-connected",
            message: `Not ${what}: the client is ${now.state}.`,
        });
    }

    async function publish(
        subject: string | readonly string[],
        data?: unknown,
        how: PublishOptions = {},
    ): Promise<Published> {
        // Without an address all would get what is meant for one.
        if ("to" in how && (typeof how.to !== "string" || !how.to))
            throw new TypeError("The address must be a text that is not empty.");
        const item = itemOf(subject, data, how);
        if (how.wait) await client.ready();
        if (now.state !== "connected") throw unable("published");
        const id = ++ids;
        return new Promise((resolve, reject) => {
            const stop = after(REQUEST_MS, () => {
                published.delete(id);
                reject(
                    new PushletError({
                        code: "timeout",
                        message: "No answer came in time: it may have been published or not.",
                    }),
                );
            });
            published.set(id, { resolve, reject, stop });
            hub!.send({ do: "publish", tab, id, item, single: typeof subject === "string" });
        });
    }

    const client: Client = {
        get state(): State {
            return now.state;
        },
        get transport() {
            return now.transport;
        },
        get address() {
            return now.address;
        },
        get reason() {
            return now.reason;
        },
        ready() {
            return new Promise((resolve, reject) => {
                if (now.state === "connected") resolve();
                else if (now.state === "disconnected") reject(now.reason);
                else waiters.push({ resolve, reject });
            });
        },
        subscribe(pattern: string, callback?: Callback<any> | Wishes, wishes?: Wishes) {
            if (closed) throw unable("subscribed");
            if (typeof pattern !== "string" || !pattern || pattern.includes(",")) {
                throw new TypeError("A pattern is a text without a comma; subscribe once for each.");
            }
            const call = typeof callback === "function" ? callback : undefined;
            const one = wanted(
                pattern,
                call,
                wishes ?? (call ? {} : ((callback as Wishes | undefined) ?? {})),
                () => {
                    const { state } = one.self;
                    if ((state === "failed" || state === "unsubscribed") && all.delete(one)) want();
                    emit("subscription", one.self);
                },
                (subscription, subject, count) => emit("lost", { count, subject, where: "client", subscription }),
                guard,
            );
            // Others of this client or page have it already.
            if (known.has(pattern)) one.turn("subscribed");
            if (now.state === "disconnected") one.stop(now.reason);
            all.add(one);
            want();
            return one.self;
        },
        publish,
        send: (to, subject, data, how) => publish(subject, data, { ...how, to }),
        on(name, listener) {
            let those = listeners.get(name);
            if (!those) listeners.set(name, (those = new Set()));
            // The same function twice is two listeners.
            const one = (event: any): void => listener(event);
            those.add(one);
            return () => void those.delete(one);
        },
        reconnect() {
            // At once, so that what is asked next waits; another tab may have the connection.
            if (!closed && now.state === "disconnected") turn({ state: "connecting" });
            hub?.send({ do: "reconnect" });
        },
        close() {
            if (closed) return;
            closed = true;
            for (const leave of away) leave();
            halt();
            for (const { self } of [...all]) self.unsubscribe();
            turn({ state: "disconnected", reason: { code: "closed", message: "The client was closed." } });
        },
    };

    const nudge = (): void => hub?.send({ do: "nudge" });
    listen(window, "online", nudge);
    listen(window, "offline", () => hub?.send({ do: "check" }));
    listen(document, "visibilitychange", () => document!.visibilityState === "visible" && nudge());
    // A page that the browser keeps for going back must let go of connection and locks, and begins anew when it is shown again.
    listen(window, "pagehide", halt);
    listen(window, "pageshow", () => hub || start());
    start();
    return client;
}
