// The browser's own EventSource at /v1/sse, on a page without a client library.
import assert from "node:assert/strict";
import { NO_SERVER } from "../lib/bench.js";
import { HARD } from "../lib/clients.js";
import { CLOSED, CONNECTING, Source } from "../lib/event-source.js";
import { request } from "../lib/http.js";
import { test } from "../lib/registry.js";
import { until } from "../lib/wait.js";

const POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'";
// What the server may name as the time until the next try, in milliseconds.
const RETRY_MS = { least: 1000, most: 5000 };
const RECOVERY_MS = 20000;
// Connections of a browser to a host, for all its tabs together.
const CONNECTIONS = 6;

test("EventSource: the session comes first, then events with a name and without", {}, async (bench) => {
    const server = await bench.server();
    const source = await Source.live(bench, server, ["/a"], { names: ["price"] });
    await server.post({ subject: "/a", data: 1 });
    await server.post({ subject: "/a", event: "price", data: { of: "tea" } });
    await server.post({ subject: "/a", event: "nobody listens to this name", data: 3 });
    await server.post({ subject: "/b", data: 4 });
    await server.post({ subject: "/a", data: [5] });
    await source.event("message", ({ data }) => Array.isArray(data));

    const seen = await source.seen();
    assert.deepEqual(
        seen.map(({ type }) => type),
        ["(open)", "session", "message", "price", "message"],
    );
    const session = JSON.parse(seen[1].data);
    assert.match(session.session, /^[\w-]{20,}$/);
    assert.match(session.address, /^[\w-]{20,}$/);
    assert.notEqual(session.session, session.address);
    assert.equal(session.heartbeat_ms, 1000);
    assert.equal(session.reset, undefined);
    const [one, price, five] = seen.slice(2).map(({ data }) => JSON.parse(data));
    assert.deepEqual([one.subject, one.event, one.data], ["/a", undefined, 1]);
    assert.deepEqual([price.subject, price.event, price.data], ["/a", "price", { of: "tea" }]);
    assert.deepEqual(five.data, [5]);
    // A position is for history, which is not there yet: an id would promise it.
    assert.ok(seen.slice(1).every(({ id }) => id === ""));
});

async function passesTextsUnharmed(bench, options) {
    const server = await bench.server();
    const name = "名 \" ' </script>";
    const source = await Source.live(bench, server, ["/texts/**"], { ...options, names: [name] });
    const subject = '/texts/中文 "&c" </script>';

    await server.post({ subject, data: HARD });
    const strings = await source.event("message", ({ data }) => data.chinese);
    assert.deepEqual([strings.subject, strings.data], [subject, HARD]);

    const nested = { n: 1.5, list: [null, true, HARD], [HARD.lines]: HARD.separators };
    await server.post({ subject, event: name, data: nested });
    const typed = await source.event(name, ({ data }) => data.n);
    assert.deepEqual([typed.subject, typed.event, typed.data], [subject, name, nested]);

    await server.publish(subject, { text: "by the old door", ...HARD });
    const old = await source.event("message", ({ data }) => data.text);
    assert.equal(old.subject, subject);
    for (const [field, value] of Object.entries(HARD)) assert.equal(old.data[field], value, field);

    // Bytes with line ends of every kind. Whatever a line of them looks like, it begins no field of the stream.
    const text = "first\rsecond\nthird\r\n\r\ndata: fake\n\nevent: end\ndata: {}\n\n: comment\rretry: 1\n\u2028end\n";
    const headers = { "Content-Type": "text/plain" };
    const url = `${server.base}v1/publish?subject=${encodeURIComponent(subject)}`;
    assert.equal((await request(url, { method: "POST", headers, body: text })).status, 202);
    const bytes = await source.event("message", ({ content_type: type }) => type);
    assert.deepEqual([bytes.content_type, bytes.data], ["text/plain", text]);
    // JSON that is written over several lines.
    const lines = '{\r\n"a":\r[1,\n2],\r\n\r\n"b" : "c"}';
    await request(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: lines });
    const spread = await source.event("message", ({ data }) => data.a);
    assert.deepEqual(spread.data, { a: [1, 2], b: "c" });

    const types = (await source.seen()).map(({ type }) => type);
    assert.deepEqual(types, ["(open)", "session", "message", name, "message", "message", "message"]);
}

test("EventSource: texts arrive unharmed", {}, (bench) => passesTextsUnharmed(bench));

test("EventSource: the same under a strict policy", {}, (bench) => passesTextsUnharmed(bench, { policy: POLICY }));

test("EventSource: a policy without connect-src stops it in the browser", {}, async (bench) => {
    bench.allow(/Content Security Policy|CSP: connect-src/);
    const server = await bench.server({ admin: true });
    const policy = "default-src 'none'; script-src 'self'";
    const source = await Source.open(bench, server, ["/a"], { policy });
    await source.told("(error)");
    assert.equal(await source.state(), CLOSED);
    assert.equal(await server.figure("pushletd_sessions"), 0);
});

const SUBJECTS = ["/w", "/w/", "/w/a", "/w/a/x", "/w/b/x", "/w//x", "/w/a/b/x", "/w/*", "/v/a"];
const PATTERNS = {
    "/w": ["/w"],
    "/w/": ["/w/"],
    "/w/*": ["/w/a", "/w/*"],
    "/w/**": ["/w/", "/w/a", "/w/a/x", "/w/b/x", "/w//x", "/w/a/b/x", "/w/*"],
    "/w/*/x": ["/w/a/x", "/w/b/x"],
    "/*/a": ["/w/a", "/v/a"],
    "/w,/w/*": ["/w", "/w/a", "/w/*"],
    "**": SUBJECTS,
    "*/a": [],
    "*/a,/v/a": ["/v/a"],
};

test("EventSource: a pattern brings its subjects and no other", {}, async (bench) => {
    const server = await bench.server();
    const source = await Source.live(bench, server, ["/nothing"]);
    for (const [pattern, expected] of Object.entries(PATTERNS)) {
        await source.forget();
        await source.listen(server, [pattern, "/the/end"]);
        await source.told("session");
        await server.post(SUBJECTS.map((subject) => ({ subject, data: subject })));
        await server.post({ subject: "/the/end", data: "end" });
        await source.event("message", ({ data }) => data === "end");
        const subjects = (await source.objects()).map((object) => object.subject);
        assert.deepEqual(subjects, [...expected, "/the/end"], pattern);
    }
});

test("EventSource: a pattern for everything leaves out what the server tells of itself", {}, async (bench) => {
    const server = await bench.server();
    const all = await Source.live(bench, server, ["**"]);
    const own = await Source.live(bench, server, ["$server/*"]);
    await own.event("message", ({ subject, data }) => subject === "$server/figures" && data.sessions !== undefined);
    await server.post({ subject: "/the/end", data: "end" });
    await all.event("message", ({ data }) => data === "end");
    const subjects = (await all.objects()).map((object) => object.subject);
    assert.deepEqual(subjects, ["/the/end"]);
});

test("EventSource: an event of two patterns comes once", {}, async (bench) => {
    const server = await bench.server();
    const source = await Source.live(bench, server, ["/w/**", "/w/*", "/w/a"]);
    await server.post({ subject: "/w/a", data: 1 });
    await server.post({ subject: "/w/a/b", data: 2 });
    await source.event("message", ({ data }) => data === 2);
    const data = (await source.objects()).map((object) => object.data);
    assert.deepEqual(data, [1, 2]);
});

test("EventSource: what cannot be listened to closes it, and fetch says why", {}, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server();
    for (const [subjects, parameters, field] of [
        [[], {}, "subject"],
        [["/a*"], {}, "subject"],
        [["/**/b"], {}, "subject"],
        [["/a"], { pad: "many" }, "pad"],
        [["/a"], { queue: "0" }, "queue"],
    ]) {
        const source = await Source.open(bench, server, subjects, { parameters });
        await source.told("(error)");
        assert.equal(await source.state(), CLOSED, `${subjects}`);
        const told = await source.page.evaluate(async () => {
            const answer = await fetch(globalThis.source.url, { headers: { Accept: "text/event-stream" } });
            return { ...(await answer.json()), media: answer.headers.get("Content-Type") };
        });
        assert.deepEqual([told.status, told.field], [400, field]);
        assert.equal(told.media, "application/problem+json");
        assert.ok(told.detail.length > 20, told.detail);
        await source.page.close();
    }
});

// When the page asked for events, in milliseconds of the clock that the page uses as well.
function timesOfRequests(page) {
    const times = [];
    page.on("request", (sent) => {
        if (sent.url().includes("/v1/sse")) times.push(Date.now());
    });
    return times;
}

test("EventSource: comes again after a restart, not at once, in a new session", { seconds: 60 }, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server();
    const source = await Source.live(bench, server, ["/a"]);
    const first = JSON.parse((await source.told("session")).data);
    const times = timesOfRequests(source.page);
    await server.kill();
    const broke = await source.told("(error)");
    assert.equal(broke.state, CONNECTING);
    await server.start();
    const second = JSON.parse((await source.told("session", { skip: 1, patience: RECOVERY_MS })).data);
    // The pause is the server's. A timer of the browser is never early by more than its own grain.
    assert.ok(times[0] - broke.when >= RETRY_MS.least - 50, `it came again after ${times[0] - broke.when} ms`);
    assert.notEqual(second.session, first.session);
    assert.notEqual(second.address, first.address);
    await server.post({ subject: "/a", data: "after" });
    await source.event("message", ({ data }) => data === "after");
});

// A thousand pages that lost the same server do not return in step.
test("EventSource: every session has a pause of its own", {}, async (bench) => {
    const server = await bench.server();
    const page = await bench.open(server, "empty", { policy: POLICY });
    const pauses = await page.evaluate(async () => {
        const found = [];
        for (let n = 0; n < 12; n += 1) {
            const over = new AbortController();
            const answer = await fetch("/v1/sse?subject=/a&pad=100", { signal: over.signal });
            const reader = answer.body.pipeThrough(new globalThis.TextDecoderStream()).getReader();
            let text = "";
            while (!text.includes("\n\n")) text += (await reader.read()).value;
            over.abort();
            found.push(Number(/^retry: (\d+)$/m.exec(text)[1]));
        }
        return found;
    });
    assert.ok(
        pauses.every((pause) => pause >= RETRY_MS.least && pause <= RETRY_MS.most),
        `${pauses}`,
    );
    assert.ok(new Set(pauses).size > 6, `${pauses}`);
});

test("EventSource: a server that shuts down says so, and the page comes back", { seconds: 60 }, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server();
    const source = await Source.live(bench, server, ["/a"]);
    await server.post({ subject: "/a", data: "the last one" });
    await source.event("message", ({ data }) => data === "the last one");
    await server.drain();
    await source.told("(error)");
    // Each try while there is no server is an error more.
    const types = (await source.seen()).map(({ type }) => type).slice(0, 5);
    assert.deepEqual(types, ["(open)", "session", "message", "end", "(error)"]);
    const end = JSON.parse((await source.told("end")).data);
    assert.equal(end.reason, "shutdown");
    assert.ok(end.text.length > 10, end.text);
    await server.start();
    await source.told("session", { skip: 1, patience: RECOVERY_MS });
});

test("EventSource: silence is not the end", {}, async (bench) => {
    const server = await bench.server();
    const source = await Source.live(bench, server, ["/silence"]);
    const heard = await server.listen("/silence");
    // Heartbeats of the other door stand for those of this one, which EventSource does not show.
    await until("three heartbeats", () => heard.events.filter((event) => event.p_event === "hb").length >= 3);
    await server.post({ subject: "/silence", data: "at last" });
    await source.event("message", ({ data }) => data === "at last");
    assert.deepEqual(
        (await source.seen()).map(({ type }) => type),
        ["(open)", "session", "message"],
    );
});

test("EventSource: a page that goes ends its session", {}, async (bench) => {
    const server = await bench.server({ admin: true });
    const source = await Source.live(bench, server, ["/a"]);
    assert.equal(await server.figure("pushletd_sessions"), 1);
    await source.close();
    await until("the end of the session", async () => (await server.figure("pushletd_sessions")) === 0);
});

// That the seventh waits is the browser's rule and not ours; that all come to their turn is what a page can count on.
test("EventSource: of seven tabs six listen, and the seventh when one of them goes", { seconds: 60 }, async (bench) => {
    const server = await bench.server();
    const context = await bench.context();
    const tabs = [];
    for (let n = 0; n < CONNECTIONS; n += 1) tabs.push(await Source.live(bench, server, ["/tabs"], { context }));
    const last = await Source.open(bench, server, ["/tabs"], { context });
    await server.post({ subject: "/tabs", data: "to six" });
    for (const tab of tabs) await tab.event("message", ({ data }) => data === "to six");
    assert.deepEqual([await last.state(), await last.seen()], [CONNECTING, []]);
    await tabs[0].page.close();
    await last.told("session");
    await server.post({ subject: "/tabs", data: "to the others" });
    for (const tab of [...tabs.slice(1), last]) await tab.event("message", ({ data }) => data === "to the others");
    const data = (await last.objects()).map((object) => object.data);
    assert.deepEqual(data, ["to the others"]);
});
