// The client plays the recorded exchanges of the real server: it must send the recorded requests, and the page must hear
// exactly what the recorded answers say. P-6, P-7, P-8, P-11, P-12, P-15, P-16, P-19, P-20, P-21, P-22, P-23, P-31, P-32.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";
import { CALLBACKS, World } from "./ajax-world.js";

const GOLDEN = new URL("../../../tests/golden/", import.meta.url);

// How many recorded requests of each transcript the client plays: those of sessions with XML that pull or poll, up to
// their first stream, without what is sent by hand.
const PLAYED = {
    "disconnect.txt": 13,
    "fields.txt": 5,
    "forced_pull.txt": 2,
    "lease.txt": 11,
    "matching.txt": 27,
    "not_alive.txt": 24,
    "poll.txt": 7,
    "pull.txt": 19,
    "queue_full.txt": 42,
    "refusals.txt": 15,
    "requests.txt": 14,
    "shutdown.txt": 9,
    "stream.txt": 4,
    "supersede.txt": 13,
    "unicast.txt": 3,
};

// A transcript as steps: {kind: request | part | end | closes}, each with the letter of its session.
function stepsOf(file) {
    const steps = [];
    const text = readFileSync(new URL(file, GOLDEN), "utf8");
    for (const line of text.split("\n")) {
        const request = /^([A-Z])( \([^)]*\))?: (\S+) ?(.*)$/.exec(line);
        const head = /^> ([A-Z])(\d+) (\d{3}) (.*)$/.exec(line);
        const part = /^> ([A-Z])(\d+) \| (.*)$/.exec(line);
        const end = /^> ([A-Z])(\d+) end$/.exec(line);
        const closes = /^([A-Z])(\d+) closes$/.exec(line);
        const [, letter, number] = head ?? part ?? end ?? closes ?? request ?? [];
        if (head) steps.push({ kind: "head", letter, number, status: Number(head[3]), rest: head[4] });
        else if (part) steps.push({ kind: "part", letter, number, text: part[3] });
        else if (end) steps.push({ kind: "end", letter, number });
        else if (closes) steps.push({ kind: "closes", letter, number });
        else if (request) {
            const [, , options, event, fields] = request;
            steps.push({ kind: "request", letter, options, event, fields: fieldsOf(fields) });
        }
    }
    return steps;
}

// `name=value` between blanks, values percent-encoded.
function fieldsOf(text) {
    return text
        .split(" ")
        .filter(Boolean)
        .map((pair) => {
            const at = pair.indexOf("=");
            return [pair.slice(0, at), pair.slice(at + 1)];
        });
}

// Placeholders become what a server would write.
function real(text) {
    return text
        .replace(/\{([A-Z])(#\d+)?\.from\}/g, "ADDRESS$1")
        .replace(/\{([A-Z])(#\d+)?\}/g, "ID$1")
        .replace(/\((\d+) to \d+\)/g, "$1");
}

// An independent reader of the events of an answer.
function eventsOf(text) {
    const entities = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
    const decode = (value) =>
        value.replace(/&(?:#(\d+)|(\w+));/g, (_, code, name) => (code ? String.fromCodePoint(code) : entities[name]));
    return [...text.matchAll(/<event ((?:[^"<>]|"[^"]*")*)\/>/g)].map(([, attributes]) =>
        Object.fromEntries(
            [...attributes.matchAll(/([^\s=]+)="([^"]*)"/g)].map(([, name, value]) => [name, decode(value)]),
        ),
    );
}

const calls = {
    join: (PL) => PL.join(),
    "join-listen": (PL, fields) => PL.joinListen(fields.p_subject, fields.p_mode),
    listen: (PL, fields) => PL.listen(fields.p_subject, fields.p_mode),
    subscribe: (PL, fields) => PL.subscribe(fields.p_subject, fields.p_label),
    unsubscribe: (PL, fields) => PL.unsubscribe(fields.p_sid),
    hb: (PL) => PL.heartbeat(),
    leave: (PL) => PL.leave(),
    publish: (PL, fields, query) => PL.publish(fields.p_subject, query),
    refresh: () => {},
};

// One session of a transcript: its page, and what that must hear.
class Player {
    constructor() {
        this.world = new World();
        this.answers = new Map();
        this.expected = [];
        this.played = 0;
        // Over: from here on the recording is none of a client that pulls. Sent: the request whose answer comes next.
        this.over = false;
        this.sent = null;
    }

    request({ options, event, fields }) {
        const decode = (text) => decodeURIComponent(real(text).replaceAll("+", " "));
        const wanted = Object.fromEntries(fields.map(([name, value]) => [decode(name), decode(value)]));
        const joins = event.startsWith("join");
        const state = this.world.PL.getStatus().state;
        const streams = event.endsWith("listen") && wanted.p_mode !== "pull" && wanted.p_mode !== "poll";
        this.sent = null;
        this.over ||= streams || (joins && !/^xml/.test(wanted.p_format)) || /Java/.test(options);
        const never = !calls[event] || (state === "ready" && !joins) || (event === "refresh" && state !== "listening");
        if (this.over || never) return;

        const query = fields.filter(([name]) => name !== "p_subject").map(([name, value]) => `${name}=${real(value)}`);
        calls[event](this.world.PL, wanted, query.join("&"));
        this.sent = this.world.next(event);
        this.played += 1;
        const { p_id: id, ...params } = this.sent.params;
        assert.equal(id, joins ? undefined : this.world.PL.sessionId);
        const format = joins ? { p_format: "xml-strict", p_mode: wanted.p_mode ?? "pull" } : {};
        if (event === "listen" || event === "join-listen") delete wanted.p_label; // The call has none.
        assert.deepEqual(params, { p_event: event, ...wanted, ...format });
    }

    head({ number, status, rest }) {
        if (!this.sent) return;
        if (status !== 200) {
            this.refused(status, rest);
            return;
        }
        const strict = rest.startsWith("xml-strict");
        this.answers.set(number, { exchange: this.sent, text: "", strict, told: 0, open: rest.endsWith(", open") });
        if (!strict) this.write(number, "<pushlet>");
    }

    // The recording ends here for this session; the client goes on.
    refused(status, rest) {
        const retry = /, again after (\d+) s$/.exec(rest);
        const begin = this.world.clock.now;
        const headers = retry ? { "Retry-After": retry[1] } : {};
        this.sent.refuse(status, real(rest), headers);
        this.expected.push({ name: "onError" });
        this.over = true;
        const expired = status === 400;
        const again = expired ? /^join/ : new RegExp(`^${this.sent.event}$`);
        const wait = expired ? 0 : Number(retry[1]) * 1000;
        while (this.world.waiting().length === 0) this.world.advance(10);
        assert.match(this.world.waiting()[0].event, again);
        assert.ok(this.world.clock.now - begin >= wait, "it came too early");
        assert.ok(this.world.clock.now - begin <= wait + 510, "it came too late");
    }

    write(number, text) {
        const answer = this.answers.get(number);
        if (!answer) return;
        answer.text += text;
        answer.exchange.part(text);
        const [first] = eventsOf(answer.text);
        // P-15: the ack of a refresh is heard while its answer is still open.
        if (answer.exchange.event === "refresh" && first?.p_event === "refresh-ack" && answer.told === 0) {
            answer.told = 1;
            this.expect(first);
        }
    }

    expect(event) {
        const name = CALLBACKS[event.p_event];
        if (name) this.expected.push({ name, ...event });
        if (event.p_event === "abort") this.expected.push({ name: "onError" });
    }

    end(number) {
        const answer = this.answers.get(number);
        if (!answer) return;
        this.answers.delete(number);
        if (answer.exchange.aborted) return; // The page has left.
        for (const event of eventsOf(answer.text).slice(answer.told)) this.expect(event);
        answer.exchange.answer(answer.strict ? "" : "</pushlet>");
    }

    closes(number) {
        if (!this.answers.has(number)) return;
        this.answers.get(number).exchange.cut();
        this.answers.delete(number);
        this.expected.push({ name: "onError" });
    }

    check() {
        const heard = this.world.heard.filter(({ name }) => name !== "onRejoined" && name !== "onRetry");
        const brief = heard.map((each) => (each.name === "onError" ? { name: "onError" } : each));
        assert.deepEqual(brief, this.expected);
        assert.deepEqual(this.world.thrown, []);
    }
}

function play(file) {
    const players = new Map();
    let whole = null;
    const finish = () => {
        whole?.player.end(whole.number);
        whole = null;
    };
    for (const step of stepsOf(file)) {
        const { letter, number } = step;
        if (!players.has(letter)) players.set(letter, new Player());
        const player = players.get(letter);
        if (step.kind !== "part") finish();
        if (step.kind === "closes") player.closes(number);
        if (step.kind === "part") player.write(number, real(step.text));
        if (step.kind === "end") player.end(number);
        if (player.over) continue;
        if (step.kind === "request") player.request(step);
        if (step.kind === "head") {
            player.head(step);
            if (player.answers.get(number)?.open === false) whole = { player, number };
        }
    }
    finish();
    return [...players.values()];
}

for (const file of readdirSync(GOLDEN).filter((name) => name.endsWith(".txt"))) {
    test(`plays ${file}`, () => {
        const players = play(file);
        for (const player of players) player.check();
        const played = players.reduce((sum, player) => sum + player.played, 0);
        assert.equal(played, PLAYED[file] ?? 0);
    });
}

// P-11, P-12: the recorded streams have the hard characters; a refresh brings the same events.
test("reads the hard characters of formats.txt", () => {
    const steps = stepsOf("formats.txt");
    const answers = steps.filter((step) => step.kind === "head" && /^xml(-strict)?(,|$)/.test(step.rest));
    const ours = new Set(answers.map((step) => step.letter + step.number));
    const events = steps
        .filter((step) => step.kind === "part" && ours.has(step.letter + step.number))
        .map((step) => real(step.text))
        .filter((text) => / p_event="data"/.test(text));
    assert.ok(events.length > 4, "the recording has changed");
    const world = new World();
    world.listening().answer(`<pushlet><event p_event="refresh-ack" />${events.join("")}</pushlet>`);
    const heard = world.news().filter(({ name }) => name === "onData");
    assert.deepEqual(
        heard,
        events.flatMap(eventsOf).map((event) => ({ name: "onData", ...event })),
    );
    assert.equal(heard[0].q, "\"&<>'\\");
    assert.equal(heard[0].n, "中文");
});
