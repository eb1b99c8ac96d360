// How tabs share the six connections that a browser opens to a host, as the classic clients do: docs/classic-clients.md, "Many tabs". For pages
// with an EventSource of their own; the modern client has one connection for all tabs.

// So many tabs hold a connection; the others leave the rest for requests.
export const TABS_HOLDING = 4;
const TABS_SAY_MS = 20_000;
const TABS_FORGET_MS = 90_000;
const TABS_ANSWER_MS = 50; // Soon: a tab that comes waits for the answers, and takes a connection if there are too few.
const TABS_SETTLE_MS = 250;
export const TABS_FIRST_MS = 200; // So long a tab that comes waits for the answers of the others.

/** The clients of one origin and one server tell each other that they are there: visible tabs come first, then the oldest. */
export class Tabs {
    #name;
    #onChange;
    #id = crypto.randomUUID?.() ?? `${Math.random()}`.slice(2); // Outside of a secure context there is no randomUUID.
    #since = 0;
    #bus;
    #others = new Map(); // by id: { id, since, visible, heardAt }
    #saying;
    #settling;
    #answering;
    #answeredAt = -TABS_ANSWER_MS;

    constructor(url, onChange) {
        this.#name = `pushlet:${url}`;
        this.#onChange = onChange;
        document.addEventListener("visibilitychange", () => this.#say());
    }

    /** Begins to take part. False where the browser cannot. */
    open() {
        if (typeof BroadcastChannel !== "function") return false;
        if (this.#bus) return true;
        this.#bus = new BroadcastChannel(this.#name);
        this.#bus.onmessage = ({ data }) => this.#hear(data);
        this.#since ||= Date.now();
        this.#saying = setInterval(() => this.#say(), TABS_SAY_MS);
        this.#say();
        return true;
    }

    close() {
        if (!this.#bus) return;
        this.#bus.postMessage({ type: "bye", id: this.#id });
        this.#bus.close();
        clearInterval(this.#saying);
        clearTimeout(this.#settling);
        clearTimeout(this.#answering);
        this.#bus = this.#settling = this.#answering = undefined;
        this.#others.clear();
    }

    /** How many clients come before this one. */
    rank() {
        const own = { id: this.#id, since: this.#since, visible: isVisible() };
        let count = 0;
        for (const other of this.#others.values()) {
            if (performance.now() - other.heardAt > TABS_FORGET_MS) this.#others.delete(other.id);
            else if (isBefore(other, own)) count += 1;
        }
        return count;
    }

    /** A tab that is left and one that is entered speak one after the other: only what lasts counts. */
    changed() {
        if (!this.#bus || this.#settling) return;
        this.#settling = setTimeout(() => {
            this.#settling = undefined;
            this.#onChange();
        }, TABS_SETTLE_MS);
    }

    #say() {
        if (!this.#bus) return;
        this.#bus.postMessage({ type: "here", id: this.#id, since: this.#since, visible: isVisible() });
        this.changed();
    }

    #hear(message) {
        if (typeof message?.id !== "string" || message.id === this.#id) return;
        const { type, id, since } = message;
        if (type === "bye") {
            this.#others.delete(id);
        } else if (type === "here" && Number.isFinite(since)) {
            if (!this.#others.has(id)) this.#answer();
            this.#others.set(id, { id, since, visible: message.visible === true, heardAt: performance.now() });
        } else {
            return;
        }
        this.changed();
    }

    /** One answer is for all who have come since the last one. */
    #answer() {
        const due = this.#answeredAt + TABS_ANSWER_MS - performance.now();
        this.#answering ??= setTimeout(
            () => {
                this.#answering = undefined;
                this.#answeredAt = performance.now();
                this.#say();
            },
            Math.max(0, due),
        );
    }
}

function isVisible() {
    return document.visibilityState === "visible";
}

function isBefore(one, other) {
    if (one.visible !== other.visible) return one.visible;
    return one.since !== other.since ? one.since < other.since : one.id < other.id;
}
