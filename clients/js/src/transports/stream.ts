// What the two readers of /v1/sse have in common.
import { subjectsOf, urlOf } from "../http.js";
import type { Ground } from "../wire.js";

/** Names of messages that are no events. */
export const NAMES = ["session", "reset", "end", "heartbeat"];

export function urlOfStream(ground: Ground, parameters: Record<string, string>, secret?: boolean): string {
    return `${urlOf(ground, "sse", { heartbeat: "event", ...parameters }, secret)}&${subjectsOf(ground)}`;
}

/** Hands on one message; the result is its session, if it told one. */
export function hear(ground: Ground, name: string, data: string): string | undefined {
    ground.alive();
    let message;
    try {
        message = JSON.parse(data);
        if (NAMES.includes(name)) message.type = name;
    } catch (error) {
        message = { type: "garbled", error };
    }
    const session = name === "session" ? message.session : undefined;
    ground.say(message);
    return session;
}
