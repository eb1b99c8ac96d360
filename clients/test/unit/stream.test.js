// stream.js against a server whose answers each test writes itself, to the byte: what it asks for, what it makes of the answers, what it does
// when the line breaks. The real server and a real browser have their say in test/browser.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { afterEach, beforeEach, mock, test } from "node:test";

const beacons = [];
const listeners = new Map();
globalThis.document = { baseURI: "http://127.0.0.1/", visibilityState: "visible", addEventListener() {} };
delete globalThis.BroadcastChannel; // Node has one; those tests that are about tabs bring their own.
globalThis.addEventListener = (name, listener) => listeners.set(name, listener);
globalThis.reportError = () => {};
Object.defineProperty(globalThis, "navigator", {
    value: { sendBeacon: (url, body) => beacons.push(Object.fromEntries(body)) },
});
const { Stream } = await import("../../demo/stream.js");

const ack = { p_event: "join-listen-ack", p_id: "ID", p_sid: "s1" };
let server;
let url;
let requests;
let answers;
let stream;
let events;
let states;
let news; // Resolves whatever waits for something to have happened.

beforeEach(async () => {
    [requests, answers, events, states, beacons.length] = [[], [], [], [], 0];
    mock.method(Math, "random", () => 0); // Pauses of no length.
    server = createServer(async (request, response) => {
        let body = "";
        for await (const chunk of request) body += chunk;
        const text = request.method === "POST" ? body : new URL(request.url, "http://x").search;
        requests.push(Object.fromEntries(new URLSearchParams(text)));
        const answer = answers.shift();
        // A test that wrote no further answer is not interested in what comes: it stays open.
        if (answer) await answer(response);
        news?.();
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${server.address().port}/pushlet.srv`;
});

afterEach(async () => {
    stream?.leave();
    mock.restoreAll();
    mock.timers.reset();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
});

function open(options = {}) {
    stream = new Stream({
        url,
        subject: "/a",
        onEvent: (event) => (events.push(event), news?.()),
        onState: (state) => (states.push(state), news?.()),
        ...options,
    });
    stream.start();
}

/** Waits until the condition holds; it is looked at whenever something has happened. The test's own time limit ends a wait in vain. */
async function until(condition) {
    while (!condition()) await new Promise((resolve) => (news = resolve));
}

const lines = (...objects) => objects.map((object) => `${JSON.stringify(object)}\n`).join("");
const ndjson = (response) => response.writeHead(200, { "Content-Type": "application/x-ndjson" });
const goesOn = (text) => (response) => ndjson(response).write(text);
const ends = (text) => (response) => ndjson(response).end(text);
const array = (...objects) => {
    return (response) => response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(objects));
};
const fails = (status, text, headers = {}) => {
    return (response) => response.writeHead(status, { "Content-Type": "text/plain", ...headers }).end(text);
};
const live = () => states.at(-1)?.name === "live";
const data = (fields) => ({ p_event: "data", p_subject: "/a", ...fields });
const limit = { timeout: 10_000 };

test("joins, is live, and hands on events that arrive in pieces", limit, async () => {
    const event = data({ text: `中文 "quotes" </script> & \n` });
    const bytes = Buffer.from(lines({ p_event: "hb" }, event));
    const cut = bytes.indexOf(Buffer.from("文")) + 1; // In the middle of a character.
    let rest;
    answers.push((response) => {
        ndjson(response).write(lines(ack));
        response.write(bytes.subarray(0, cut));
        rest = () => response.write(bytes.subarray(cut));
    });
    open({ parameters: { p_queue: 16 } });
    await until(live);
    assert.deepEqual(requests, [
        { p_event: "join-listen", p_format: "json", p_mode: "stream", p_queue: "16", p_subject: "/a" },
    ]);
    assert.deepEqual(events, []);
    rest();
    await until(() => events.length === 1);
    assert.deepEqual(events, [event]);
    assert.deepEqual(
        states.map((state) => state.name),
        ["connecting", "live"],
    );
});

test("P-31: goes on with its session after the line broke", limit, async () => {
    answers.push(ends(lines(ack)), goesOn(lines({ p_event: "refresh-ack" }, data({ n: "2" }))));
    open();
    await until(() => events.length === 1);
    assert.deepEqual(requests[1], { p_event: "refresh", p_id: "ID" });
    assert.deepEqual(
        states.map((state) => state.name),
        ["connecting", "live", "waiting", "connecting", "live"],
    );
});

test("P-8: joins anew when the server does not know the session", limit, async () => {
    answers.push(ends(lines(ack)), fails(400, "Invalid or expired id: ID\n"), goesOn(lines(ack)));
    open();
    await until(() => requests.length === 3 && live());
    assert.equal(requests[2].p_event, "join-listen");
    assert.ok(states.some((state) => state.reason === "400: Invalid or expired id: ID"));
});

test("P-32: joins anew after an abort, and says its reason", limit, async () => {
    answers.push(goesOn(lines(ack, { p_event: "abort", p_reason: "the server is shutting down" })), goesOn(lines(ack)));
    open();
    await until(() => requests.length === 2 && live());
    assert.equal(requests[1].p_event, "join-listen");
    assert.equal(states.find((state) => state.name === "waiting").reason, "the server is shutting down");
});

test("waits for at least as long as a 503 asks for", limit, async () => {
    answers.push(fails(503, "overloaded", { "Retry-After": "7" }));
    open();
    await until(() => states.at(-1)?.name === "waiting");
    assert.equal(states.at(-1).delay, 7000);
});

test("pauses grow to a bound, and only by chance", limit, async () => {
    const delays = () => states.filter((state) => state.name === "waiting").map((state) => state.delay);
    Math.random.mock.mockImplementation(() => 0.999);
    mock.timers.enable({ apis: ["setTimeout"] });
    for (let count = 0; count < 8; count++) answers.push(fails(500, "broken"));
    open();
    for (let count = 1; count <= 8; count++) {
        await until(() => delays().length === count);
        mock.timers.tick(20_000);
    }
    assert.deepEqual(
        delays().map((delay) => Math.round(delay / 0.999)),
        [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000],
    );
});

test("P-14: a line without a heartbeat for 45 s is dead", limit, async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    answers.push(goesOn(lines(ack)));
    open();
    await until(live);
    mock.timers.tick(44_999);
    assert.ok(live());
    mock.timers.tick(1);
    await until(() => states.at(-1).name === "waiting");
    assert.equal(states.at(-1).reason, "nothing came for 45 s");
});

test("P-17: polls when it is told to", limit, async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    const refresh = { p_event: "refresh", p_wait: "6000", p_url: "/pushlet.srv" };
    answers.push(array(ack, refresh), array({ p_event: "refresh-ack" }, data({ n: "1" }), refresh));
    open({ mode: "poll" });
    await until(() => states.at(-1)?.name === "resting");
    assert.equal(states.at(-1).delay, 6000);
    mock.timers.tick(5999);
    assert.equal(requests.length, 1);
    mock.timers.tick(1);
    await until(() => events.length === 1 && states.at(-1).name === "resting");
    assert.deepEqual(requests[1], { p_event: "refresh", p_id: "ID" });
});

test("publishes what it is given, and rejects with the reason of a nack", limit, async () => {
    answers.push(goesOn(lines(ack)), array({ p_event: "publish-ack" }), array({ p_event: "nack", p_reason: "no" }));
    open();
    await assert.rejects(stream.publish("/b"), { message: "not connected" });
    await until(live);
    const text = `=&+%  "中文" </script>\n😀`;
    await stream.publish("/b c", { text });
    assert.deepEqual(requests[1], { p_event: "publish", p_subject: "/b c", text, p_id: "ID" });
    await assert.rejects(stream.publish(""), { message: "no" });
});

test("watches another subject without a gap, also after a new join", limit, async () => {
    let breakOff;
    answers.push((response) => {
        ndjson(response).write(lines(ack));
        breakOff = () => response.destroy();
    });
    answers.push(array({ p_event: "subscribe-ack", p_sid: "s2" }), array({ p_event: "unsubscribe-ack" }));
    answers.push(fails(400, "Invalid or expired id: ID"), goesOn(lines(ack)));
    open();
    await until(live);
    await stream.watch("/b");
    assert.deepEqual(requests.slice(1), [
        { p_event: "subscribe", p_subject: "/b", p_id: "ID" },
        { p_event: "unsubscribe", p_sid: "s1", p_id: "ID" },
    ]);
    breakOff();
    await until(() => requests.length === 5);
    assert.equal(requests[4].p_subject, "/b");
});

test("P-8: only a 400 that names the id ends the session", limit, async () => {
    answers.push(goesOn(lines(ack)), fails(400, "too many fields"), array({ p_event: "publish-ack" }));
    open();
    await until(live);
    await assert.rejects(stream.publish("/b"), { message: "400: too many fields" });
    await stream.publish("/c");
    assert.equal(requests[2].p_id, "ID");
});

test("a control request without an answer fails after 10 s, with a reason", limit, async () => {
    answers.push(goesOn(lines(ack)));
    open();
    await until(live);
    mock.timers.enable({ apis: ["setTimeout"] });
    const failed = assert.rejects(stream.publish("/b"), { message: /^no answer for 10 s/ });
    await until(() => requests.length === 2);
    mock.timers.tick(10_000);
    await failed;
});

// The other tabs of the browser, as a test plays them.
class Bus {
    static all = [];
    said = [];
    constructor(name) {
        this.name = name;
        Bus.all.push(this);
    }
    postMessage(message) {
        this.said.push(message);
    }
    close() {
        this.closed = true;
    }
}

const here = (id, fields = {}) => ({ data: { type: "here", id, since: 1, visible: true, ...fields } });

function openAmong(others) {
    globalThis.BroadcastChannel = Bus;
    open();
    const bus = Bus.all.at(-1);
    for (const other of others) bus.onmessage(other);
    return bus;
}

test("of many tabs the fifth polls, and streams when it has a place", limit, async () => {
    try {
        const refresh = { p_event: "refresh", p_wait: "6000" };
        answers.push(array(ack, refresh), goesOn(lines({ p_event: "listen-ack" })));
        mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
        const bus = openAmong(["a", "b", "c", "d"].map((id) => here(id)));
        mock.timers.tick(200);
        await until(() => states.at(-1)?.name === "resting");
        assert.equal(bus.name, `pushlet:${url}`);
        assert.equal(requests[0].p_mode, "poll");
        assert.ok(states.at(-1).polling);
        for (const data of [null, "bye", { type: "bye" }, { type: "gone", id: "a" }, { type: "here", id: "z" }]) {
            bus.onmessage({ data }); // Nothing that means anything.
        }
        mock.timers.tick(250);
        assert.equal(requests.length, 1);
        bus.onmessage({ data: { type: "bye", id: "a" } });
        mock.timers.tick(250);
        await until(() => requests.length === 2 && live());
        assert.deepEqual(requests[1], { p_event: "listen", p_id: "ID", p_mode: "stream" });
        assert.equal(states.at(-1).polling, false);
        stream.leave();
        assert.equal(bus.said.at(-1).type, "bye");
        assert.ok(bus.closed);
    } finally {
        delete globalThis.BroadcastChannel;
    }
});

test("P-26: a stream without a place any more is read to its end", limit, async () => {
    try {
        let first;
        answers.push((response) => {
            ndjson(response).write(lines(ack));
            first = response;
        });
        answers.push((response) => {
            first.end(lines(data({ n: "1" }))); // The newest data request wins: the server ends the older one.
            const rest = { p_event: "refresh", p_wait: "6000" };
            array({ p_event: "listen-ack" }, data({ n: "2" }), rest)(response);
        });
        const behind = [here("hidden", { visible: false }), here("younger", { since: Date.now() + 60_000 })];
        const bus = openAmong([here("a"), here("b"), here("c"), ...behind]);
        await until(live);
        assert.equal(requests[0].p_mode, "stream");
        bus.onmessage(here("d"));
        await until(() => states.at(-1)?.name === "resting");
        assert.deepEqual(requests[1], { p_event: "listen", p_id: "ID", p_mode: "poll" });
        assert.deepEqual(
            events.map((event) => event.n),
            ["1", "2"],
        );
        assert.ok(!states.some((state) => state.name === "waiting"), "told as trouble");
    } finally {
        delete globalThis.BroadcastChannel;
    }
});

test("an error of the page does not break the line", limit, async () => {
    answers.push(goesOn(lines(ack, data({ n: "1" }), data({ n: "2" }))));
    const seen = [];
    open({
        onEvent(event) {
            seen.push(event.n);
            news?.();
            throw new Error("a fault of the page");
        },
    });
    await until(() => seen.length === 2);
    assert.deepEqual(seen, ["1", "2"]);
    assert.ok(live());
});

test("P-27: a page that is closed leaves, and joins again when it comes back out of the history", limit, async () => {
    answers.push(goesOn(lines(ack)), goesOn(lines({ ...ack, p_id: "ID2" })));
    open();
    await until(live);
    listeners.get("pagehide")();
    assert.deepEqual(beacons, [{ p_event: "leave", p_id: "ID" }]);
    assert.equal(states.at(-1).name, "left");
    listeners.get("pageshow")({ persisted: true });
    await until(live);
    stream.leave();
    listeners.get("pageshow")({ persisted: true });
    assert.equal(states.at(-1).name, "left");
    assert.equal(requests.length, 2);
});
