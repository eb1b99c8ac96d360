// What a transport offers the connection, and what it gets from it.
import type { Published, Trouble } from "./api.js";
import type { Platform } from "./platform.js";

/** How the events of one pattern wait on the server. */
export interface Wish {
    queue?: number | undefined;
    conflate?: boolean | undefined;
}

/** Why a connection is gone and what that means for the next one. */
export interface Loss {
    trouble: Trouble;
    /** Do not come again: the same would happen. */
    fatal?: boolean;
    /** Come again not before so many ms. */
    retryMs?: number | undefined;
    /** It was cut, without a word of the server. */
    cut?: boolean;
    /** What became of each item of a list. */
    results?: any;
}

/** What became of a publication: both where a part of it was refused. */
export interface Outcome {
    published?: Published | undefined;
    trouble?: Trouble | undefined;
}

/** What a transport stands on. */
export interface Ground {
    readonly platform: Platform;
    /** The server's URL without a slash at the end: `http://host:8080`. */
    readonly base: string;
    readonly key: string | undefined;
    /** What to begin with, where a session begins with subjects. */
    readonly subjects: readonly (readonly [string, Wish])[];
    /** A message or several, of the form of /v1/ws, whatever they came by. */
    say(message: unknown): void;
    /** The other side lives. */
    alive(): void;
    /** The wire is gone; the transport says nothing afterwards. */
    down(loss: Loss): void;
}

export type Request = "subscribe" | "unsubscribe";

/** An open, or opening, connection of one transport. Its first message is `session`. */
export interface Wire {
    /** Ends it; `down` is not called any more. */
    close(): void;
    /** Changes one subscription. Rejects with a `Trouble`. */
    change(request: Request, pattern: string, wish?: Wish): Promise<unknown>;
    /** Publishes an item, a JSON object as text; never rejects. Where there is none, POST does it. */
    publish?(item: string): Promise<Outcome>;
    /** Asks for a sign of life. */
    ping?(): void;
}

export type Transport = (ground: Ground) => Wire;

/** How long a request may take, in milliseconds. */
export const REQUEST_MS = 15_000;

/** What the server takes at most in one message or request, in bytes, where it says nothing else. */
const MESSAGE_MAX = 262_144;

/** Why a text cannot be sent. */
export function tooLarge(text: string, limit = MESSAGE_MAX): Trouble | undefined {
    if (text.length * 3 <= limit || new TextEncoder().encode(text).length <= limit) return;
    return { code: "too-large", message: `A message of more than ${limit} bytes cannot be sent.`, limit };
}

/** Codes of Close frames after which the same program must not come again. */
const WRONG = [1002, 1003, 1007, 1009, 4001];

/** What a close code means. A 1000 that nobody here asked for is a cut. */
export function lossOfClose(code: number, reason: string, random: number): Loss {
    return {
        trouble: {
            code: "transport",
            message: `The WebSocket was closed: ${code}${reason && ` ${reason}`}.`,
            status: code,
        },
        fatal: WRONG.includes(code) || (code >= 4100 && code < 5000),
        retryMs: code === 1012 ? later(random) : undefined,
        cut: code < 4000 && code !== 1012,
    };
}

/** What the server's last message means; older servers name no action. */
export function lossOfEnd(end: any, random: number): Loss {
    const action = end.action ?? { leave: "nothing", shutdown: "rejoin-later" }[end.reason as string];
    return {
        trouble: {
            code: "ended",
            message: end.text ?? `The server ended the session: ${end.reason}.`,
            word: end.reason,
        },
        fatal: action === "nothing",
        retryMs: end.retry_ms ?? (action === "rejoin-later" ? later(random) : undefined),
    };
}

/** 1 to 5 s. */
function later(random: number): number {
    return 1000 + 4000 * random;
}
