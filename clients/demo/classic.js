// What the pages with a classic client share: where the clients differ, and the badge that says how the connection is.

import { badge } from "./page.js";

/**
 * How the client is: { state, tries, reason, nextTryInMs }. The client with XHR has it in PL, the one with frames as
 * p_getStatus.
 */
export function status() {
    return window.PL ? window.PL.getStatus() : window.p_getStatus();
}

/** Keeps a badge true, by looking at the client four times a second: whatever happens, it is the client that knows. */
export function showStatus(element) {
    const show = badge(element);
    let shown = "";
    const look = () => {
        const { state, tries, reason, nextTryInMs } = status();
        const name = reason ? "waiting" : { listening: "live", left: "left" }[state] || "connecting";
        const now = `${name} ${tries} ${reason} ${nextTryInMs > 0}`;
        if (now !== shown) {
            shown = now;
            show({ name, reason: inShort(reason), delay: nextTryInMs || 0 });
        }
    };
    look();
    setInterval(look, 250);
}

/** The clients' reasons are whole sentences, with the URL and the plan. A badge has room for what went wrong. */
function inShort(reason) {
    const words = reason.replace(/^.*? failed: /s, "").replace(/(;|\.|,? and|,) .*$/s, "");
    return words.replace(/ at https?:\S+/g, "").replace(/\b(to|from|of) https?:\S+/g, "$1 the server");
}

/** A field of a PushletEvent as text, "" if it is not there. */
export function field(event, name) {
    return event.get(name) || "";
}
