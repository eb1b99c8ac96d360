// A small reader of the Pushlet protocol for new pages: fetch, JSON, and what to do when the line breaks.
//
// The protocol in four sentences. A request is one URL with fields: p_event says what is wanted (join-listen, subscribe, publish, leave ...).
// The answer to join-listen does not end: it brings the ack with our session's secret p_id, then one JSON object a line for each event.
// Everything else that this session does is a short request of its own, with the p_id. docs/protocol.md has the rules that are cited as P-n.

const SILENCE_MS = 45_000; // The server sends hb after 20 s of silence (P-14): after two of them and a bit the line is dead.
const PAUSE_FIRST_MS = 500; // The first pause before a new attempt is at most this; each further one may be twice as long.
const PAUSE_LONGEST_MS = 20_000;
const REQUEST_MS = 10_000; // A control request is answered at once, unless the browser has no connection left for it.

// A browser opens six connections to a host, for all its tabs together. See docs/classic-clients.md, "Many tabs".
export const TABS_HOLDING = 4;
const TABS_SAY_MS = 20_000;
const TABS_FORGET_MS = 90_000;
const TABS_ANSWER_MS = 50; // Soon: a tab that comes waits for the answers, and takes a connection if there are too few.
const TABS_SETTLE_MS = 250;
export const TABS_FIRST_MS = 200; // So long a tab that comes waits for the answers of the others.

export class Stream {
    #url;
    #mode;
    #parameters;
    #subject;
    #onEvent;
    #onState;
    #id = ""; // Secret: whoever knows it acts as this session (P-34).
    #sid = ""; // Our subscription, to be able to end it.
    #attempt = 0; // Attempts since the line last worked.
    #wanted = false; // Whether start() was called and leave() was not.
    #running = 0; // Which run is the present one: an older one that wakes up sees that it is over.
    #cancel = () => {}; // Ends whatever is under way: a request or a pause.
    #tabs; // What shares out the connections, where there is something to share.
    #listensIn = ""; // The mode of our session.
    #asks = ""; // The mode of the data request under way, if it is a join or a listen.
    #state = ""; // The name of the state that was told last.
    #acked = false; // Whether the data request under way has its ack.
    #next; // The data request that takes over when the one under way ends.

    /**
     * @param url where the protocol is, such as "../pushlet.srv"
     * @param subject what to listen to: a subject is a prefix, a comma separates several (P-19)
     * @param mode "stream" (an answer that does not end), or "pull" and "poll": answers that end and say when to come back
     * @param parameters more fields of the join, such as { p_queue: 16 }
     * @param onEvent is called with each event that was published, a plain object of texts
     * @param onState is called with { name: "connecting" | "live" | "resting" | "waiting" | "left", reason, delay, polling }: delay in ms,
     *     polling is true while this tab polls only because many are open
     */
    constructor({ url, subject = "", mode = "stream", parameters = {}, onEvent = () => {}, onState = () => {} }) {
        this.#url = new URL(url, document.baseURI).href;
        this.#subject = subject;
        this.#mode = mode;
        this.#parameters = parameters;
        this.#onEvent = onEvent;
        this.#onState = onState;
        // Who polls anyway holds no connection.
        if (mode !== "poll") this.#tabs = new Tabs(this.#url, () => this.#follow());
        // A page that is closed leaves: nobody needs to keep its session. One that comes back out of the history joins again.
        addEventListener("pagehide", () => this.#end());
        addEventListener("pageshow", (event) => event.persisted && this.#wanted && this.start());
    }

    /** Joins, listens, and keeps at it until leave(). */
    async start() {
        const run = ++this.#running;
        this.#wanted = true;
        this.#attempt = 0;
        this.#stop();
        if (this.#tabs?.open()) await this.#pause(TABS_FIRST_MS);
        while (run === this.#running) {
            let state;
            try {
                const rest = await this.#listen();
                if (this.#next && run === this.#running) continue;
                if (rest === undefined) throw new Error("the server ended the answer");
                // With another place among the tabs we come back at once, in the other mode.
                state = { name: "resting", delay: this.#isInPlace() ? rest : 0 };
            } catch (error) {
                // Full jitter: a random part of a bound that doubles, so that a thousand clients of a server that comes back do not return in step.
                const bound = Math.min(PAUSE_LONGEST_MS, PAUSE_FIRST_MS * 2 ** this.#attempt++);
                state = { name: "waiting", reason: error.message, delay: (error.wait ?? 0) + Math.random() * bound };
            }
            if (run !== this.#running) return;
            this.#tell(state);
            await this.#pause(state.delay);
        }
    }

    /** Publishes an event. The server's ack has come when this resolves; it rejects with the server's reason. */
    publish(subject, fields = {}) {
        return this.#request({ p_event: "publish", p_subject: subject, ...fields });
    }

    /** Listens to another subject from now on: first the new subscription, then the end of the old one, so nothing falls between. */
    async watch(subject) {
        const ack = await this.#request({ p_event: "subscribe", p_subject: subject });
        const old = this.#sid;
        [this.#subject, this.#sid] = [subject, ack.p_sid];
        if (old) await this.#request({ p_event: "unsubscribe", p_sid: old });
    }

    /** Ends the session (P-27). */
    leave() {
        this.#wanted = false;
        this.#end();
    }

    /** A beacon is a POST that the browser sends even while the page goes. */
    #end() {
        this.#running++;
        this.#stop();
        this.#tabs?.close();
        if (this.#id) navigator.sendBeacon(this.#url, new URLSearchParams({ p_event: "leave", p_id: this.#id }));
        this.#id = "";
        this.#tell({ name: "left" });
    }

    #stop() {
        this.#cancel();
        this.#next?.controller.abort(new Error("left"));
        this.#next = undefined;
    }

    #tell(state) {
        this.#state = state.name;
        this.#onState({ ...state, polling: this.#id !== "" && this.#listensIn !== this.#mode });
    }

    /** The mode that is due: of many tabs only the first ones hold a connection. */
    #modeNow() {
        return this.#tabs && this.#tabs.rank() >= TABS_HOLDING ? "poll" : this.#mode;
    }

    #isInPlace() {
        return !this.#id || this.#listensIn === this.#modeNow();
    }

    /** Listens again when another mode is due. The newest data request wins (P-26): the one under way is ended by the server, and read to its end. */
    #follow() {
        if (this.#isInPlace()) return;
        if (this.#state === "resting") return this.#cancel();
        if (this.#state !== "live" || !this.#acked || this.#next) return;
        const next = this.#open();
        this.#next = next;
        next.response.catch(() => {
            if (this.#next === next) this.#next = undefined; // The one under way goes on.
        });
    }

    /** Sends a data request: a join without a session, a listen to change the mode, else a refresh. */
    #open() {
        const mode = this.#modeNow();
        // With the id of a session the broken stream goes on: what came meanwhile is still queued for it, for 45 s (P-31).
        let fields = { p_event: "refresh", p_id: this.#id };
        if (!this.#id) {
            fields = { p_event: "join-listen", p_format: "json", p_mode: mode, ...this.#parameters };
            if (this.#subject) fields.p_subject = this.#subject;
        } else if (mode !== this.#listensIn) {
            fields = { p_event: "listen", p_id: this.#id, p_mode: mode, ...this.#parameters };
        }
        const controller = new AbortController();
        const response = fetch(`${this.#url}?${new URLSearchParams(fields)}`, { signal: controller.signal });
        return { mode, controller, response };
    }

    /** One data request, to its end. Resolves with the ms until the next one in pull and poll, with undefined when a stream ended. */
    async #listen() {
        if (this.#attempt > 0 || !this.#id) this.#tell({ name: "connecting" });
        const { mode, controller, response: answer } = this.#next ?? this.#open();
        this.#next = undefined;
        this.#asks = mode;
        this.#acked = false;
        let watchdog;
        const watch = (reason) => {
            clearTimeout(watchdog);
            watchdog = setTimeout(() => controller.abort(new Error(reason)), SILENCE_MS);
        };
        this.#cancel = () => controller.abort(new Error("left"));
        watch("no answer for 45 s (too many tabs? a browser opens six connections to a host)");
        try {
            const response = await answer;
            if (!response.ok) await this.#refused(response);
            let rest;
            const onBytes = () => watch("nothing came for 45 s");
            for await (const event of eventsOf(response, onBytes)) rest = this.#take(event) ?? rest;
            return rest;
        } finally {
            clearTimeout(watchdog);
            controller.abort(); // After a nack or an abort the answer may still be open.
        }
    }

    /** What an event from the server means for us. A refresh event yields the ms after which to come back. */
    #take(event) {
        switch (event.p_event) {
            case "join-listen-ack":
                [this.#id, this.#sid] = [event.p_id, event.p_sid ?? ""];
            // falls through
            case "listen-ack":
                this.#listensIn = this.#asks;
            // falls through
            case "refresh-ack":
                this.#attempt = 0;
                this.#acked = true;
                this.#tell({ name: "live" });
                this.#tabs?.changed(); // Our place may be another one by now.
                break;
            case "data":
                try {
                    this.#onEvent(event);
                } catch (error) {
                    reportError(error); // A fault of the page is no reason to join again.
                }
                break;
            case "refresh":
                return Number(event.p_wait) || 0;
            case "nack": // Refused, and we do not know better than to begin anew.
            case "abort": // The session is over, p_reason says why (P-32).
                this.#id = "";
                this.#next?.controller.abort(); // It is of the session that is over.
                this.#next = undefined;
                // A server that shuts down says so to everybody at once: a longer pause spreads those who come back.
                if (event.p_event === "abort") this.#attempt = Math.max(this.#attempt, 3);
                throw new Error(event.p_reason);
        }
    }

    /** A control request: a form by POST, an array of one event back. */
    async #request(fields) {
        if (!this.#id) throw new Error("not connected");
        const body = new URLSearchParams({ ...fields, p_id: this.#id });
        const controller = new AbortController();
        const late = new Error("no answer for 10 s (too many tabs? a browser opens six connections to a host)");
        const timer = setTimeout(() => controller.abort(late), REQUEST_MS);
        try {
            const response = await fetch(this.#url, { method: "POST", body, signal: controller.signal });
            if (!response.ok) await this.#refused(response);
            const [ack] = await response.json();
            if (ack.p_event === "nack") throw new Error(ack.p_reason);
            return ack;
        } finally {
            clearTimeout(timer);
        }
    }

    /** An HTTP error: a 400 may mean that the server does not know our session (any more), a 503 asks for patience (P-8). */
    async #refused(response) {
        const text = (await response.text()).trim();
        if (response.status === 400 && text.includes("Invalid or expired id")) this.#id = "";
        const error = new Error(`${response.status}: ${text}`);
        error.wait = 1000 * (Number(response.headers.get("Retry-After")) || 0);
        throw error;
    }

    #pause(ms) {
        return new Promise((resolve) => {
            const timer = setTimeout(resolve, ms);
            this.#cancel = () => {
                clearTimeout(timer);
                resolve();
            };
        });
    }
}

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

/** The events of an answer: a stream has one object a line, an answer that ends is one array (P-9). */
async function* eventsOf(response, onBytes) {
    if (!response.headers.get("Content-Type")?.includes("ndjson")) return yield* await response.json();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let begun = ""; // Bytes arrive as the network likes: the last line may still be growing.
    for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        onBytes();
        const lines = (begun + value).split("\n");
        begun = lines.pop();
        for (const line of lines) yield JSON.parse(line);
    }
}
