// How the pages use the modern client, /lib/pushletd.js: they load it as a script, and it has one global name.
import { DOORS } from "./doors.js";
import { reasonFor } from "./page.js";

const NAMES = { ws: "WebSocket", sse: "EventSource", fetch: "fetch", poll: "long poll" };

/** Connects, and tells onState (see badge) how it is from then on. */
export function connect(onState) {
    const client = window.pushletd.connect(DOORS, { transports: transportsOf(location.search) });
    client.on("state", (change) => onState(stateOf(change)));
    return client;
}

/** The fields of what was published: what is a text in it. Others may publish anything. */
export function fieldsOf(data) {
    return Object.fromEntries(Object.entries(Object(data)).filter(([, value]) => typeof value === "string"));
}

/** The transports that the address of a page asks for: ?transport=poll, or several with commas. Undefined where the client is to choose. */
export function transportsOf(search) {
    const asked = (new URLSearchParams(search).get("transport") ?? "").split(",");
    const known = asked.filter((name) => Object.hasOwn(NAMES, name));
    return known.length > 0 ? known : undefined;
}

/** A state of the client as a badge shows it. */
export function stateOf({ state, transport, reason, retryIn }) {
    if (state === "connected") return { name: "live", by: NAMES[transport] };
    if (state === "disconnected") return { name: "refused", reason: `${reasonFor(reason)}; reload to try again` };
    if (retryIn !== undefined) return { name: "waiting", reason: reasonFor(reason), delay: retryIn };
    return { name: "connecting" };
}
