// What the client takes from the world: sockets, clocks, chance, storage, other tabs. Tests give it another world.

/** A `WebSocket`, as far as it is used. */
export interface Socket {
    onmessage: ((event: { data: unknown }) => void) | null;
    onclose: ((event: { code: number; reason: string }) => void) | null;
    onerror: ((event: unknown) => void) | null;
    readonly readyState: number;
    send(text: string): void;
    close(code?: number): void;
}

/** An `EventSource`, as far as it is used. */
export interface Source {
    onerror: (() => void) | null;
    addEventListener(name: string, listener: (event: { data: string }) => void): void;
    close(): void;
}

/** A `BroadcastChannel`, as far as it is used. */
export interface Channel {
    onmessage: ((event: { data: any }) => void) | null;
    postMessage(message: unknown): void;
    close(): void;
}

/** Web Locks, as far as they are used. */
export interface Locks {
    request(name: string, options: { signal?: AbortSignal }, held: () => Promise<void>): Promise<unknown>;
}

export interface Platform {
    WebSocket?: (new (url: string, protocols?: string | string[]) => Socket) | undefined;
    EventSource?: (new (url: string) => Source) | undefined;
    /** Whether an answer can be read before its end. */
    streams: boolean;
    fetch: (url: string, init?: RequestInit) => Promise<Response>;
    /** Calls once after so many ms; the result takes it back. */
    after(ms: number, call: () => void): () => void;
    /** Milliseconds since 1970. */
    now(): number;
    /** 0 to 1, as `Math.random`. */
    random(): number;
    /** A name that nobody else has. */
    unique(): string;
    storage?: Pick<Storage, "getItem" | "setItem" | "removeItem"> | undefined;
    locks?: Locks | undefined;
    BroadcastChannel?: (new (name: string) => Channel) | undefined;
    /** The window and its document, where there are any. */
    window?: EventTarget | undefined;
    document?: (EventTarget & { readonly visibilityState: string }) | undefined;
    /** Where a page is from. */
    origin?: string | undefined;
    /** Where the error of a listener goes. */
    report(error: unknown): void;
}

/** The world of this program. */
export function world(): Platform {
    const all = globalThis as any;
    const page = typeof document === "object";
    let storage;
    try {
        // Only in pages: Node warns, and sandboxed frames throw.
        if (page) storage = all.localStorage;
    } catch {
        // Then nothing is remembered after a reload.
    }
    return {
        WebSocket: all.WebSocket,
        EventSource: all.EventSource,
        streams: typeof ReadableStream === "function" && typeof Response === "function" && "body" in Response.prototype,
        fetch: (url, init) => all.fetch(url, init),
        after(ms, call) {
            // A longer one would fire at once.
            const timer = setTimeout(call, Math.min(ms, 2 ** 31 - 1));
            return () => clearTimeout(timer);
        },
        now: () => Date.now(),
        random: () => Math.random(),
        unique: () => `${Date.now()}-${Math.random()}`,
        storage,
        locks: page ? all.navigator.locks : undefined,
        BroadcastChannel: all.BroadcastChannel,
        window: page ? all : undefined,
        document: page ? document : undefined,
        origin: all.location?.origin,
        report: (error) => (all.reportError ?? console.error)(error),
    };
}
