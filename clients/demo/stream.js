// A small reader of the Pushlet protocol for new pages: fetch, JSON, and what to do when the line breaks.
//
// The protocol in four sentences. A request is one URL with fields: p_event says what is wanted (join-listen, subscribe, publish, leave ...).
// The answer to join-listen does not end: it brings the ack with our session's secret p_id, then one JSON object a line for each event.
// Everything else that this session does is a short request of its own, with the p_id. docs/protocol.md has the rules that are cited as P-n.

const SILENCE_MS = 45_000; // The server sends hb after 20 s of silence (P-14): after two of them and a bit the line is dead.
const PAUSE_FIRST_MS = 500; // The first pause before a new attempt is at most this; each further one may be twice as long.
const PAUSE_LONGEST_MS = 20_000;

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

    /**
     * @param url where the protocol is, such as "../pushlet.srv"
     * @param subject what to listen to: a subject is a prefix, a comma separates several (P-19)
     * @param mode "stream" (an answer that does not end), or "pull" and "poll": answers that end and say when to come back
     * @param parameters more fields of the join, such as { p_queue: 16 }
     * @param onEvent is called with each event that was published, a plain object of texts
     * @param onState is called with { name: "connecting" | "live" | "resting" | "waiting" | "left", reason, delay }, delay in ms
     */
    constructor({ url, subject = "", mode = "stream", parameters = {}, onEvent = () => {}, onState = () => {} }) {
        this.#url = new URL(url, document.baseURI).href;
        this.#subject = subject;
        this.#mode = mode;
        this.#parameters = parameters;
        this.#onEvent = onEvent;
        this.#onState = onState;
        // A page that is closed leaves: nobody needs to keep its session. One that comes back out of the history joins again.
        addEventListener("pagehide", () => this.#end());
        addEventListener("pageshow", (event) => event.persisted && this.#wanted && this.start());
    }

    /** Joins, listens, and keeps at it until leave(). */
    async start() {
        const run = ++this.#running;
        this.#wanted = true;
        this.#attempt = 0;
        this.#cancel();
        while (run === this.#running) {
            let state;
            try {
                const rest = await this.#listen();
                if (rest === undefined) throw new Error("the server ended the answer");
                state = { name: "resting", delay: rest };
            } catch (error) {
                // Full jitter: a random part of a bound that doubles, so that a thousand clients of a server that comes back do not return in step.
                const bound = Math.min(PAUSE_LONGEST_MS, PAUSE_FIRST_MS * 2 ** this.#attempt++);
                state = { name: "waiting", reason: error.message, delay: (error.wait ?? 0) + Math.random() * bound };
            }
            if (run !== this.#running) return;
            this.#onState(state);
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
        this.#cancel();
        if (this.#id) navigator.sendBeacon(this.#url, new URLSearchParams({ p_event: "leave", p_id: this.#id }));
        this.#id = "";
        this.#onState({ name: "left" });
    }

    /** One data request, to its end. Resolves with the ms until the next one in pull and poll, with undefined when a stream ended. */
    async #listen() {
        // With the id of a session the broken stream goes on: what came meanwhile is still queued for it, for 45 s (P-31).
        const join = { p_event: "join-listen", p_format: "json", p_mode: this.#mode, ...this.#parameters };
        if (this.#subject) join.p_subject = this.#subject;
        const fields = this.#id ? { p_event: "refresh", p_id: this.#id } : join;
        if (this.#attempt > 0 || !this.#id) this.#onState({ name: "connecting" });

        const controller = new AbortController();
        let watchdog;
        const watch = (reason) => {
            clearTimeout(watchdog);
            watchdog = setTimeout(() => controller.abort(new Error(reason)), SILENCE_MS);
        };
        this.#cancel = () => controller.abort(new Error("left"));
        watch("no answer for 45 s (too many tabs? a browser opens six connections to a host)");
        try {
            const response = await fetch(`${this.#url}?${new URLSearchParams(fields)}`, { signal: controller.signal });
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
            case "refresh-ack":
                this.#attempt = 0;
                this.#onState({ name: "live" });
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
                // A server that shuts down says so to everybody at once: a longer pause spreads those who come back.
                if (event.p_event === "abort") this.#attempt = Math.max(this.#attempt, 3);
                throw new Error(event.p_reason);
        }
    }

    /** A control request: a form by POST, an array of one event back. */
    async #request(fields) {
        if (!this.#id) throw new Error("not connected");
        const body = new URLSearchParams({ ...fields, p_id: this.#id });
        const response = await fetch(this.#url, { method: "POST", body });
        if (!response.ok) await this.#refused(response);
        const [ack] = await response.json();
        if (ack.p_event === "nack") throw new Error(ack.p_reason);
        return ack;
    }

    /** An HTTP error: 400 means that the server does not know our session (any more), 503 that it asks for patience (P-8). */
    async #refused(response) {
        if (response.status === 400) this.#id = "";
        const error = new Error(`${response.status}: ${(await response.text()).trim()}`);
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
