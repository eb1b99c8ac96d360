// All that users see, in types. The package's declarations are made from this file and from index.ts.

/**
 * `connecting`: trying, or waiting for the next try. `connected`: events come. `disconnected`: closed, or refused for a reason that would be the
 * same the next time; the client does not come again by itself.
 */
export type State = "disconnected" | "connecting" | "connected";

/**
 * `subscribing`: wished, and not (or no longer) in force. `subscribed`: the server has it. `unsubscribed`: ended by you. `failed`: refused by the
 * server; `reason` says why.
 */
export type SubscriptionState = "subscribing" | "subscribed" | "unsubscribed" | "failed";

/** `ws`: WebSocket. `sse`: `EventSource`. `fetch`: the same stream, read by `fetch`. `poll`: long poll. */
export type TransportName = "ws" | "sse" | "fetch" | "poll";

/** A `URL`. */
export interface UrlObject {
    readonly href: string;
}

/** What can be said when connecting. */
export interface Options {
    /** The secret that says who you are. In a header where `fetch` is used, else in the URL. */
    key?: string;
    /** Which transports may be used, best first. Default: `ws`, `fetch` (`sse` where `fetch` cannot read a stream), `poll`. */
    transports?: readonly TransportName[];
    /** Whether all tabs of this origin with the same URL, key and transports share one connection. Default: true in a page, where it is possible. */
    share?: boolean;
    /** The class to use where there is no global `WebSocket` (Node 20): for example that of the package `ws`. */
    WebSocket?: new (url: string, protocols?: string | string[]) => any;
}

/** An event, as the server sends it. `T`: what its data is. */
export interface PushletEvent<T = unknown> {
    /** What it is about. */
    readonly subject: string;
    /** The JSON value that was published; an object of strings from Pushlet clients; a text or a `Uint8Array` where `contentType` is there. */
    readonly data: T;
    /** Its name, if its publisher gave it one. */
    readonly event?: string;
    /** When the server accepted it, in seconds since 1970. */
    readonly time: number;
    /** The address of the session that published it: what `send` answers to. Not there if no session did, but for example a program by POST. */
    readonly from?: string;
    /** So many events were dropped directly before this one. */
    readonly lost?: number;
    /** The media type, only where bytes were published. */
    readonly contentType?: string;
}

/** How events of a subscription wait where they come faster than they are read. */
export interface Wishes {
    /** At most so many wait on the server; the oldest go first and are counted as lost. */
    queue?: number;
    /** On the server, a newer event takes the place of a waiting one of the same subject. */
    conflate?: boolean;
    /** At most so many wait in this program for `for await`; the oldest go first and are counted as lost. Default 256. */
    buffer?: number;
}

/** What `subscribe` calls. */
export type Callback<T = unknown> = (event: PushletEvent<T>, subscription: Subscription<T>) => void;

/** A wish to hear a subject or a pattern. `for await` gives its events, too; without a callback it ends with that loop. */
export interface Subscription<T = unknown> extends AsyncIterable<PushletEvent<T>> {
    /** The subject or pattern. */
    readonly pattern: string;
    /** What has become of it. */
    readonly state: SubscriptionState;
    /** Why it failed. */
    readonly reason: PushletError | undefined;
    /** Resolves as soon as it is `subscribed`; rejects if it fails or ends before. */
    ready(): Promise<void>;
    /** Ends it. No callback is called any more. */
    unsubscribe(): void;
}

/** How to publish. */
export interface PublishOptions {
    /** The name of the event. */
    event?: string;
    /** Only the session of this address gets it. A `TypeError` if it is there and is no text, or an empty one. */
    to?: string;
    /** The media type: `data` is a text or a `Uint8Array` of this type. Default for a `Uint8Array`: `application/octet-stream`. */
    contentType?: string;
    /** Wait until the client is connected instead of rejecting. */
    wait?: boolean;
}

/** What became of a publication: numbers of events. */
export interface Published {
    readonly accepted: number;
    readonly refused: number;
}

/** The client's state. */
export interface StateChange {
    readonly state: State;
    /** The transport in use. */
    readonly transport: TransportName | undefined;
    /** Why it is no longer connected, or not yet. */
    readonly reason: PushletError | undefined;
    /** In how many ms the next try begins, while it waits for one. */
    readonly retryIn: number | undefined;
}

/** Events that were dropped. */
export interface Lost {
    readonly count: number;
    /** The subject of the event that came next. */
    readonly subject: string;
    /** `server`: dropped by the server. `client`: dropped here, because the `for await` of this subscription did not keep up. */
    readonly where: "server" | "client";
    readonly subscription?: Subscription;
}

/** Events may have been missed: read anew what must be complete. Comes when all subscriptions are in force again. */
export interface Reset {
    /** `reconnected`, `broken-request` (an answer of a poll may have got lost), or a word of the server. */
    readonly reason: string;
}

/** What `on` can listen to. */
export interface Events {
    /** The state of the client has changed. */
    state: StateChange;
    /** A subscription has changed its state. */
    subscription: Subscription;
    /** Every event that comes, also one that was sent to this session's address. */
    event: PushletEvent;
    /** Events were dropped. */
    lost: Lost;
    /** Events may have been missed. */
    reset: Reset;
    /** The server has refused a request. */
    nack: PushletError;
    /** A try or a connection has failed; what is done about it is the state's. */
    error: PushletError;
}

/** A connection to a server, and all that is subscribed over it. */
export interface Client {
    readonly state: State;
    /** The transport in use, while connected. */
    readonly transport: TransportName | undefined;
    /** Others reach this client by it (`send`), while connected. Tabs that share a connection share it. */
    readonly address: string | undefined;
    /** Why the client is not connected. */
    readonly reason: PushletError | undefined;
    /** Resolves as soon as the client is connected; rejects if it is, or becomes, disconnected. */
    ready(): Promise<void>;
    /** Listens to a subject (`/news`) or a pattern (`/news/*`, `/news/**`). */
    subscribe<T = unknown>(pattern: string, callback: Callback<T>, wishes?: Wishes): Subscription<T>;
    subscribe<T = unknown>(pattern: string, wishes?: Wishes): Subscription<T>;
    /**
     * Publishes to one subject or several. Rejects if the client is not connected, if the server refuses all of it, or if nobody knows (code `unknown`).
     * Where it refuses a part, that is told as `nack`.
     */
    publish(subject: string | readonly string[], data?: unknown, options?: PublishOptions): Promise<Published>;
    /** Publishes to the session of one address only, whatever that is subscribed to. Rejects with a `TypeError` without an address. */
    send(address: string, subject: string, data?: unknown, options?: PublishOptions): Promise<Published>;
    /** Calls `listener` for each event of this name; the result ends that. */
    on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
    /** Tries now: instead of waiting, or after `disconnected` if it was not closed. */
    reconnect(): void;
    /** Ends the connection (of this tab) and all subscriptions, for good. */
    close(): void;
}

/**
 * What went wrong, as a word:
 * `refused` by the server (`status`, `field`, `limit`, `retryAfter`); `not-connected`; `closed`; `unknown`: the connection broke before the answer, so it
 * may have been done or not; `timeout`: the same, because no answer came; `too-large`; `transport`: it could not be reached, or broke; `silent`: no sign
 * of life; `ended` by the server (`word`).
 */
export type ErrorCode =
    "refused" | "not-connected" | "closed" | "unknown" | "timeout" | "too-large" | "transport" | "silent" | "ended";

/** The members of a `PushletError`. */
export interface Trouble {
    code: ErrorCode;
    message: string;
    /** The HTTP status, or the close code of a WebSocket. */
    status?: number;
    /** The member or parameter at fault. */
    field?: string;
    /** The bound that was exceeded. */
    limit?: number;
    /** The server asks to wait for so many seconds. */
    retryAfter?: number;
    /** The server's word for why a session ended. */
    word?: string;
}

/** What promises reject with and listeners hear. */
export class PushletError extends Error {
    override readonly name = "PushletError";
    declare readonly code: ErrorCode;
    declare readonly status?: number;
    declare readonly field?: string;
    declare readonly limit?: number;
    declare readonly retryAfter?: number;
    declare readonly word?: string;
    constructor(trouble: Trouble) {
        super(trouble.message);
        Object.assign(this, trouble);
    }
}
