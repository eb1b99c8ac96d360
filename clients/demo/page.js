// What the pages share: the badge that says how the connection is, and numbers for people.

/**
 * Shows states in a badge: pass what it returns as onState, or call it with { name: "connecting" | "live" | "waiting" | "left" | "aside" | "refused",
 * by, reason, delay }. by: what the connection goes by; delay: ms until the next try. The count of seconds is not read aloud, only the state.
 */
export function badge(element) {
    const text = document.createElement("span");
    const count = document.createElement("span");
    count.className = "count";
    count.setAttribute("aria-hidden", "true");
    const words = document.createElement("span");
    words.append(text, count);
    element.replaceChildren(words);
    let timer;
    const say = (kind, state) => {
        element.className = `badge ${kind}`;
        put(text, state);
    };
    return ({ name, by, reason, delay }) => {
        clearInterval(timer);
        count.textContent = "";
        if (name === "live") say("ok", by ? `live by ${by}` : "live");
        if (name === "connecting") say("warn", "connecting");
        if (name === "left") say("", "left");
        if (name === "aside") say("warn", reason);
        if (name === "refused") say("bad", reason);
        if (name !== "waiting") return;
        // The reason stays while we try, so that it can be read.
        say("bad", `${reasonFor(reason)}; trying again`);
        const end = performance.now() + delay;
        const tick = () => {
            const left = Math.ceil((end - performance.now()) / 1000);
            count.textContent = left > 0 ? ` in ${left} s` : "";
        };
        tick();
        timer = setInterval(tick, 500);
    };
}

// Browsers name a dead network each in their own way, a WebSocket has a number for it, and an EventSource nothing.
const NO_SERVER = /fetch|network|load failed|closed: 1006|EventSource failed/i;

/** Why something failed, for people: of an error, of the modern client or not, or of its words. */
export function reasonFor(error) {
    const { code, message = error } = error;
    if (code === "not-connected") return "not connected";
    if (code === "unknown" || code === "timeout") return "no answer came, so it may have arrived or not";
    return NO_SERVER.test(message) ? "the server does not answer" : message.replace(/\.$/, "");
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A figure, shortened from 100,000 on: 4,812 and 1.2M. What is no number is a dash. */
export function figure(value) {
    const number = Number(value);
    if (value === undefined || value === "" || !Number.isFinite(number)) return "–";
    return Math.abs(number) < 100_000 ? whole.format(number) : short.format(number);
}

/** A rate: one digit behind the point while it is small. */
export function rate(value) {
    const number = Number(value);
    if (value === undefined || value === "" || !Number.isFinite(number)) return "–";
    return number > 0 && number < 10 && !Number.isInteger(number) ? number.toFixed(1) : figure(number);
}

/** A time span in its two largest units: 45 s, 3 min 20 s, 5 h 2 min, 12 d 4 h. */
export function span(seconds) {
    const total = Math.floor(Number(seconds));
    if (!Number.isFinite(total) || total < 0) return "–";
    const parts = [
        [Math.floor(total / 86_400), "d"],
        [Math.floor(total / 3600) % 24, "h"],
        [Math.floor(total / 60) % 60, "min"],
        [total % 60, "s"],
    ];
    const first = parts.findIndex(([count]) => count > 0);
    if (first < 0) return "0 s";
    return parts
        .slice(first, first + 2)
        .filter(([count]) => count > 0)
        .map(([count, unit]) => `${count} ${unit}`)
        .join(" ");
}

/** A time of day, to the second. */
export function clock(date = new Date()) {
    return date.toLocaleTimeString("en-GB");
}

/** The element with this id. */
export function at(id) {
    return document.getElementById(id);
}

/** Sets a text only when it changes, so that nothing is drawn or announced for nothing. */
export function put(element, text) {
    if (element.textContent !== text) element.textContent = text;
}

/**
 * Notices that a source is switched off: calls tell(true) when nothing came for 5 s on a live line, and tell(false) when something comes.
 * Pass the states of the badge to state, and call news with each event.
 */
export function silence(tell) {
    const QUIET_MS = 5000;
    let timer;
    let isLive = false;
    const wait = () => {
        clearTimeout(timer);
        if (isLive) timer = setTimeout(() => tell(true), QUIET_MS);
    };
    return {
        state({ name }) {
            const before = isLive;
            isLive = name === "live";
            if (isLive !== before) wait();
        },
        news() {
            tell(false);
            wait();
        },
    };
}
