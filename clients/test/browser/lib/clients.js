// The two classic clients behind one face, as a page uses them.
import { until } from "./wait.js";

// Fields that a test may ask for. What an event does not have is undefined in one client and empty in the other.
const FIELDS = [
    ...[
        "p_event",
        "p_subject",
        "p_id",
        "p_sid",
        "p_label",
        "p_from",
        "p_to",
        "p_mode",
        "p_reason",
        "p_wait",
        "p_tries",
    ],
    ...[
        "event",
        "data",
        "text",
        "n",
        "chinese",
        "quotes",
        "script",
        "entities",
        "lines",
        "tabs",
        "emoji",
        "edges",
        "markup",
        "separators",
    ],
];

// Values that broke the original, or break a client that decodes twice, or not at all. What sets `hacked` anywhere fails its test (bench.js).
export const HARD = {
    chinese: "推送服务器：事件一发布就到达。鄺",
    quotes: `"double" 'single' \\back\\slash \\" \\u0041`,
    script: "</script><script>window.hacked=1</script>",
    entities: "&amp; & %41 100% + # ? = ; &#65; &nbsp",
    lines: "one\ntwo\r\nthree\r\n\r\nend",
    tabs: "a\tb\t\tc",
    emoji: "😀 👩‍👩‍👧 é",
    edges: "  two blanks around  ",
    markup: `"><img src=x onerror="window.hacked=1">]]><!--`,
    separators: "a\u2028b\u2029c\u00a0d",
};

// Each client in each mode that it has.
export const VARIANTS = [
    { client: "xhr", mode: "pull" },
    { client: "frames", mode: "stream" },
    { client: "frames", mode: "pull" },
    { client: "frames", mode: "poll" },
];

export const POLICIES = {
    xhr: "default-src 'none'; script-src 'self'; connect-src 'self'",
    frames: "default-src 'none'; script-src 'self'; frame-src 'self'",
};

export class Client {
    constructor(bench, page, { client, mode }) {
        this.bench = bench;
        this.page = page;
        this.client = client;
        this.mode = mode;
    }

    // Opens the page that notes every callback.
    static async open(bench, server, variant, options) {
        const page = await bench.open(server, `all-${variant.client}`, options);
        return new Client(bench, page, variant);
    }

    // Calls a function of the client: its p_ name.
    call(name, ...values) {
        return this.page.evaluate(
            ([called, given]) => {
                globalThis[called](...given);
            },
            [name, values],
        );
    }

    joinListen(subject) {
        if (this.client === "xhr") {
            return this.page.evaluate((wanted) => globalThis.PL.joinListen(wanted), subject).then(() => {});
        }
        return this.call("p_join_listen", subject, this.mode);
    }

    publish(subject, fields) {
        return this.call("p_publish", subject, ...Object.entries(fields).flat());
    }

    id() {
        return this.page.evaluate(() => (globalThis.PL ? globalThis.PL.sessionId : globalThis.p_getSessionId()));
    }

    status() {
        return this.page.evaluate(() => globalThis.p_getStatus());
    }

    // What was called back so far: [{ call, fields }], of one function or of all.
    async seen(call) {
        const all = await this.page.evaluate(
            (names) =>
                globalThis.seen.map(([called, event]) => {
                    const fields = {};
                    for (const name of names) {
                        const value = event.get(name);
                        if (value !== undefined && value !== "") fields[name] = value;
                    }
                    return { call: called, fields };
                }),
            FIELDS,
        );
        return call ? all.filter((one) => one.call === call) : all;
    }

    async count(call) {
        return (await this.seen(call)).length;
    }

    // The fields of the first call of a function for which it holds, of those after the first `skip`.
    async heard(call, { holds = () => true, skip = 0, patience } = {}) {
        const find = async () => (await this.seen(call)).slice(skip).find((one) => holds(one.fields));
        return (await until(`${call} of ${this.client} ${this.mode}`, find, patience)).fields;
    }

    // The data event with this text.
    text(text, patience) {
        return this.heard("onData", { holds: (fields) => fields.text === text, patience });
    }

    // Joins, listens, and waits until events of the subject are queued for this page.
    async live(subject) {
        await this.joinListen(subject);
        return this.heard(this.client === "xhr" ? "onJoinListenAck" : "onListenAck");
    }
}
