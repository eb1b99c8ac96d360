// The modern client within one session: states, subscriptions, publishing, listeners, loops, losses.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { PushletError, matches, world as worldOf } from "./modern-build.js";
import { World, problem, settle } from "./modern-world.js";

let world;
beforeEach(() => {
    world = new World();
});

const event = (subject, more) => ({ subject, data: 1, time: 1, ...more });
const states = (client) => client.all("state").map(({ state }) => state);

test("states: connecting at once, connected with the session, disconnected when closed", async () => {
    const client = world.client();
    assert.deepEqual([client.state, client.transport, client.address], ["connecting", undefined, undefined]);
    const ready = client.ready();
    await world.pass(0);
    await ready;
    assert.deepEqual(
        [client.state, client.transport, client.address, client.reason],
        ["connected", "ws", "A1", undefined],
    );
    client.close();
    assert.deepEqual(
        [client.state, client.transport, client.address, client.reason.code],
        ["disconnected", undefined, undefined, "closed"],
    );
    assert.deepEqual(states(client), ["connected", "disconnected"]);
    await assert.rejects(client.ready(), { code: "closed" });
    assert.throws(() => client.subscribe("/a"), { name: "PushletError", code: "closed" });
    assert.equal(world.lines[0].closedWith, 1000);
    client.close();
    client.reconnect();
    await world.pass(60_000);
    assert.deepEqual([world.asked.length, world.timers.size], [1, 0]);
});

test("the URL: by default the page's origin; paths in front of /v1 and ws:// are understood", async () => {
    const wanted = new Map([
        ["", "ws://page.test/v1/ws"],
        ["https://a.test", "wss://a.test/v1/ws"],
        ["ws://a.test:81/", "ws://a.test:81/v1/ws"],
        ["http://a.test/push/", "ws://a.test/push/v1/ws"],
        ["http://a.test/push/v1/sse#y", "ws://a.test/push/v1/ws"],
        ["/push", "ws://page.test/push/v1/ws"],
        [new URL("http://b.test/v1"), "ws://b.test/v1/ws"],
    ]);
    for (const [url, address] of wanted) {
        world.client({}, url);
        await world.pass(0);
        const { protocol, host, pathname } = world.lines.at(-1).url;
        assert.equal(`${protocol}//${host}${pathname}`, address);
    }
});

test("a URL of no server, and one with a key in it, is refused at once, with a sentence that helps", () => {
    const scheme = { name: "TypeError", message: /begin with http:\/\/ or https:\/\// };
    for (const wrong of ["localhost:8080", "127.0.0.1:8080", "ftp://a.test", "push", "http://"])
        assert.throws(() => world.client({}, wrong), scheme, wrong);
    for (const origin of [undefined, "null"])
        for (const url of ["", "/push"]) assert.throws(() => world.tab().client({}, url, { origin }), scheme);
    for (const wrong of ["http://a.test/?key=secret", "http://me:secret@a.test", "ws://me@a.test/v1/ws"]) {
        assert.throws(
            () => world.client({}, wrong),
            ({ name, message }) => name === "TypeError" && /option key/.test(message) && !/secret/.test(message),
        );
    }
    assert.equal(
        world.tabs.every(({ clients }) => clients.length === 0),
        true,
    );
});

test("transports that are unknown or cannot be used here are refused at once", () => {
    for (const wrong of ["carrier pigeon", "toString", "__proto__"])
        assert.throws(
            () => world.client({ transports: ["ws", wrong] }),
            new TypeError(`There is no transport ${wrong}.`),
        );
    for (const wrong of ["ws", [], {}])
        assert.throws(() => world.client({ transports: wrong }), /must be an array of ws, sse, fetch, poll/);
    const without = { WebSocket: undefined, EventSource: undefined };
    assert.throws(() => world.tab().client({ transports: ["ws"] }, undefined, without), /None of these.*WebSocket/);
    assert.throws(() => world.tab().client({ transports: ["sse"] }, undefined, without), /used here: sse\.$/);
});

test("the key stands in the URL of a WebSocket and of an EventSource, and in a header of fetch", async () => {
    const key = "a secret & more";
    for (const transport of ["ws", "sse", "fetch", "poll"]) {
        const client = world.client({ transports: [transport], key });
        client.subscribe("/a");
        await world.pass(0);
        const { url, headers } = transport === "poll" ? world.asked.at(-1) : world.lines.at(-1);
        const inUrl = new URL(url).searchParams.get("key");
        if (transport === "ws" || transport === "sse") assert.equal(inUrl, key);
        else assert.deepEqual([inUrl, headers.Authorization], [null, `Bearer ${key}`]);
        await client.publish("/a");
        if (transport !== "ws") assert.equal(world.asked.at(-1).headers.Authorization, `Bearer ${key}`);
        client.close();
    }
});

test("a subscription: subscribing, subscribed, unsubscribed; its callback hears what its pattern means and nothing after the end", async () => {
    const client = world.client();
    const heard = [];
    const one = client.subscribe("/a/*", ({ subject }, self) => heard.push([subject, self]));
    assert.equal(one.state, "subscribing");
    const ready = one.ready();
    await world.pass(0);
    await ready;
    assert.equal(one.state, "subscribed");
    world.line.say(event("/a/b"));
    world.line.say(event("/b"));
    assert.deepEqual(heard, [["/a/b", one]]);
    one.unsubscribe();
    assert.equal(one.state, "unsubscribed");
    await assert.rejects(one.ready(), { code: "closed" });
    world.line.say(event("/a/b"));
    assert.equal(heard.length, 1);
    await world.pass(0);
    assert.deepEqual(
        world.line.heard.map(({ type, subject }) => [type, subject]),
        [
            ["subscribe", "/a/*"],
            ["unsubscribe", "/a/*"],
        ],
    );
    assert.deepEqual(client.all("subscription"), ["/a/* subscribed", "/a/* unsubscribed"]);
});

test("unsubscribing while it connects asks the server nothing; while the answer is due it takes the wish back", async () => {
    const client = world.client();
    client.subscribe("/a").unsubscribe();
    await world.pass(0);
    assert.deepEqual(world.line.heard, []);

    world.line.deaf = true;
    const late = client.subscribe("/b");
    await settle();
    late.unsubscribe();
    await settle();
    const [first, second] = world.line.heard;
    assert.deepEqual([first.type, second.type, second.subject], ["subscribe", "unsubscribe", "/b"]);
    world.line.answer(first);
    assert.equal(late.state, "unsubscribed");
});

test("the same pattern twice is asked once, and taken back with the last", async () => {
    const client = world.client();
    const heard = [];
    const one = client.subscribe("/a", () => heard.push(1));
    await world.pass(0);
    const two = client.subscribe("/a", () => heard.push(2));
    assert.equal(two.state, "subscribed");
    await world.pass(0);
    world.line.say(event("/a"));
    one.unsubscribe();
    await world.pass(0);
    world.line.say(event("/a"));
    assert.deepEqual(heard, [1, 2, 2]);
    assert.equal(world.line.heard.length, 1);
    two.unsubscribe();
    await world.pass(0);
    assert.equal(world.line.heard.at(-1).type, "unsubscribe");
});

test("wishes of one pattern are joined: the longest queue, conflation only if all want it", async () => {
    const client = world.client();
    client.subscribe("/a", { queue: 5, conflate: true });
    await world.pass(0);
    const small = ({ queue, conflate }) => ({ queue, conflate });
    assert.deepEqual(small(world.line.heard.at(-1)), { queue: 5, conflate: true });
    client.subscribe("/a", { queue: 9, conflate: true });
    await world.pass(0);
    assert.deepEqual(small(world.line.heard.at(-1)), { queue: 9, conflate: true });
    client.subscribe("/a", () => {});
    await world.pass(0);
    assert.deepEqual(small(world.line.heard.at(-1)), { queue: undefined, conflate: undefined });
    assert.equal(world.line.heard.length, 3);
});

test("a refused subscription fails with the reason and harms no other; subscribing again asks again", async () => {
    world.refused.set("/no", { status: 403, reason: "nobody may", field: "subject" });
    const client = world.client();
    const no = client.subscribe("/no", () => {});
    const yes = client.subscribe("/yes", () => {});
    const failed = assert.rejects(no.ready(), {
        name: "PushletError",
        code: "refused",
        status: 403,
        field: "subject",
        message: "nobody may",
    });
    await world.pass(0);
    await failed;
    assert.deepEqual([no.state, no.reason.status, yes.state, client.state], ["failed", 403, "subscribed", "connected"]);
    assert.equal(client.all("nack").length, 1);
    world.refused.clear();
    const again = client.subscribe("/no");
    await world.pass(0);
    assert.deepEqual([again.state, no.state], ["subscribed", "failed"]);
});

test("a subscription that the server is too busy for is asked again when it says", async () => {
    world.refused.set("/a", { status: 429, reason: "slowly", retry_after_s: 7 });
    const client = world.client();
    const one = client.subscribe("/a");
    await world.pass(6999);
    assert.deepEqual([one.state, world.line.heard.length], ["subscribing", 1]);
    world.refused.clear();
    await world.pass(1);
    assert.deepEqual([one.state, world.line.heard.length], ["subscribed", 2]);
    assert.deepEqual(client.all("nack"), []);
});

test("patterns that are names of every object's own members are patterns", async () => {
    const client = world.client();
    const wishes = { queue: 5 };
    const all = ["__proto__", "constructor", "toString"].map((pattern) => client.subscribe(pattern, wishes));
    await world.pass(0);
    for (const { pattern, state } of all) assert.deepEqual([pattern, state], [pattern, "subscribed"]);
    assert.deepEqual(
        world.line.heard.map(({ subject, queue }) => [subject, queue]),
        all.map(({ pattern }) => [pattern, 5]),
    );
});

test("after reconnect() from disconnected, a subscription waits again: ready() and its loop", async () => {
    const client = world.client({ transports: ["ws"] });
    const one = client.subscribe("/a");
    await world.pass(0);
    const loop = one[Symbol.asyncIterator]();
    const thrown = assert.rejects(loop.next(), { status: 4100 });
    world.line.end(4100);
    await thrown;
    await assert.rejects(one.ready(), { status: 4100 });
    client.reconnect();
    assert.equal(client.state, "connecting");
    const ready = Promise.all([client.ready(), one.ready()]);
    const next = loop.next();
    await world.pass(0);
    await ready;
    world.line.say(event("/a", { data: 7 }));
    assert.equal((await next).value.data, 7);
});

test("each subscription waits as long as the server says for it, whatever else is asked meanwhile", async () => {
    world.refused.set("/long", { status: 503, reason: "slowly", retry_after_s: 30 });
    world.refused.set("/short", { status: 503, reason: "slowly", retry_after_s: 5 });
    const client = world.client();
    const [long, short] = ["/long", "/short"].map((pattern) => client.subscribe(pattern));
    const asked = (pattern) => world.line.heard.filter(({ subject }) => subject === pattern).length;
    await world.pass(0);
    for (let other = 0; other < 5; other += 1) {
        client.subscribe(`/other/${other}`);
        await world.pass(100);
    }
    assert.deepEqual([asked("/long"), asked("/short")], [1, 1]);
    world.refused.clear();
    await world.pass(29_499);
    assert.deepEqual([long.state, short.state, asked("/long"), asked("/short")], ["subscribing", "subscribed", 1, 2]);
    await world.pass(1);
    assert.equal(long.state, "subscribed");
});

test("a pattern is one text without a comma", () => {
    const client = world.client();
    for (const wrong of ["", "/a,/b", undefined, 7, ["/a"]]) assert.throws(() => client.subscribe(wrong), TypeError);
});

test("patterns mean what the server means by them", () => {
    const meant = [
        ["/a", ["/a"], ["/a/", "/a/b", "a"]],
        ["*", ["a", "中文", "*"], ["/a", "a/b", "a/", "$a", ""]],
        ["/*", ["/a", "/$a"], ["/", "/a/b", "a", "//a"]],
        ["/a/*/c", ["/a/b/c"], ["/a//c", "/a/c", "/a/b/b/c"]],
        ["*/", ["a/"], ["a", "a/b", "/", "$a/"]],
        ["**", ["a", "/a/b", "/"], ["$server/figures"]],
        ["*/**", ["a/b", "a/"], ["a", "/a", "$server/figures"]],
        ["/a/**", ["/a/b", "/a/b/c", "/a/", "/a//"], ["/a", "/ab"]],
        ["$server/*", ["$server/figures"], ["$server", "$server/a/b"]],
    ];
    for (const [pattern, those, others] of meant) {
        for (const subject of those) assert.ok(matches(pattern, subject), `${pattern} means ${subject}`);
        for (const subject of others) assert.ok(!matches(pattern, subject), `${pattern} does not mean ${subject}`);
    }
});

test("events: as they come, arrays of them, bytes, and those for this address only", async () => {
    const client = world.client();
    await world.pass(0);
    world.line.say([
        event("/a", { event: "alarm", from: "A9" }),
        event("/b", { data: undefined, content_type: "image/png", base64: "AP8=" }),
    ]);
    world.line.say(event("/c", { content_type: "text/plain", data: "text" }));
    const [a, b, c] = client.all("event");
    assert.deepEqual(a, { subject: "/a", data: 1, time: 1, event: "alarm", from: "A9" });
    assert.deepEqual(
        [b.contentType, b.data, "base64" in b, "content_type" in b],
        ["image/png", new Uint8Array([0, 255]), false, false],
    );
    assert.deepEqual([c.contentType, c.data], ["text/plain", "text"]);
});

test("a message that cannot be read is an error, and the connection stays; unknown kinds are passed over", async () => {
    const client = world.client();
    await world.pass(0);
    world.line.raw("{");
    world.line.say({ type: "something new", subject: "/a" });
    world.line.say([null, 7, { type: "heartbeat" }]);
    world.line.say({ type: "nack", status: 400, reason: "what was that?" });
    assert.deepEqual(
        client.all("error").map(({ code }) => code),
        ["transport"],
    );
    assert.deepEqual(
        client.all("nack").map(({ message }) => message),
        ["what was that?"],
    );
    assert.deepEqual([client.all("event"), client.state], [[], "connected"]);
});

test("publishing over a WebSocket: acknowledged, refused, broken in between, without an answer", async () => {
    const client = world.client({ transports: ["ws"] });
    await world.pass(0);
    const done = client.publish(["/a", "/b"], { x: 1 }, { event: "alarm", to: "A7" });
    await world.pass(0);
    assert.deepEqual(await done, { accepted: 2, refused: 0 });
    assert.deepEqual(world.line.heard[0], {
        id: 1,
        type: "publish",
        subjects: ["/a", "/b"],
        data: { x: 1 },
        event: "alarm",
        to: "A7",
    });

    void client.publish("/a", new Uint8Array([0, 255]));
    void client.publish("/a", "text", { contentType: "text/css" });
    void client.publish("/a");
    void client.send("A3", "/a", 1, { event: "x" });
    await world.pass(0);
    assert.deepEqual(
        world.line.heard.slice(1).map(({ id, type, ...item }) => (assert.ok(id && type), item)),
        [
            { subject: "/a", base64: "AP8=", content_type: "application/octet-stream" },
            { subject: "/a", data: "text", content_type: "text/css" },
            { subject: "/a", data: null },
            { subject: "/a", data: 1, event: "x", to: "A3" },
        ],
    );

    world.refused.set("/no", { status: 403, reason: "nobody may", field: "subject" });
    const refused = assert.rejects(client.publish("/no"), { code: "refused", status: 403, message: "nobody may" });
    await world.pass(0);
    await refused;
    assert.equal(client.all("nack").length, 1);

    world.line.deaf = true;
    const late = assert.rejects(client.publish("/a"), { code: "timeout" });
    await world.pass(15_000);
    await late;
    const unknown = assert.rejects(client.publish("/a"), { code: "unknown" });
    await settle();
    world.line.end(1006);
    await unknown;
});

test("a message that the server would close for is not sent", async () => {
    world.greeting.message_max = 1000;
    const client = world.client();
    await world.pass(0);
    const wrong = assert.rejects(client.publish("/a", "é".repeat(500)), { code: "too-large", limit: 1000 });
    await world.pass(0);
    await wrong;
    assert.deepEqual(world.line.heard, []);
    const right = client.publish("/a", "é".repeat(450));
    await world.pass(0);
    assert.equal((await right).accepted, 1);
});

test("publishing by POST: accepted, refused, broken in between, without an answer", async () => {
    const client = world.client({ transports: ["fetch"] });
    await world.pass(0);
    assert.equal((await client.publish("/a", 1)).accepted, 1);
    const { method, headers, body } = world.asked.at(-1);
    assert.deepEqual([method, headers["Content-Type"], body], ["POST", "application/json", { subject: "/a", data: 1 }]);
    world.refused.set("/no", { status: 403, detail: "nobody may", field: "subject" });
    await assert.rejects(client.publish("/no"), { code: "refused", status: 403, message: "nobody may" });
    world.doors.publish = { status: 429, detail: "slowly", headers: { "retry-after": "3" } };
    await assert.rejects(client.publish("/a"), { code: "refused", status: 429, retryAfter: 3 });
    world.doors.publish = "refuse";
    await assert.rejects(client.publish("/a"), { code: "unknown" });
    world.doors.publish = "silent";
    const late = assert.rejects(client.publish("/a"), ({ code }) => code === "timeout" || code === "unknown");
    await world.pass(15_000);
    await late;
    assert.equal(client.state, "connected");
});

test("publications by POST are sent one after the other, also after one that failed", async () => {
    const client = world.client({ transports: ["fetch"] });
    await world.pass(0);
    const open = [];
    world.doors.publish = ({ body }) =>
        new Promise((resolve, reject) =>
            open.push({ data: body.data, resolve: () => resolve(Response.json({ accepted: 1, refused: 0 })), reject }),
        );
    const all = [1, 2, 3].map((data) => client.publish("/a", data));
    await settle();
    assert.deepEqual([open.length, open[0].data], [1, 1]);
    open[0].reject(new TypeError("fetch failed"));
    await assert.rejects(all[0], { code: "unknown" });
    await settle();
    // What has waited goes together.
    assert.equal(open.length, 2);
    open[1].resolve();
    assert.deepEqual(await Promise.all(all.slice(1)), Array(2).fill({ accepted: 1, refused: 0 }));
});

test("publishing while not connected rejects at once, or waits if asked to", async () => {
    const client = world.client();
    await assert.rejects(client.publish("/a"), { code: "not-connected", message: /connecting/ });
    const waiting = client.publish("/a", 1, { wait: true });
    await world.pass(0);
    assert.equal((await waiting).accepted, 1);
    client.close();
    await assert.rejects(client.publish("/a"), { code: "closed" });
    await assert.rejects(client.publish("/a", 1, { wait: true }), { code: "closed" });
    await assert.rejects(client.publish("/a", 1n), TypeError);
});

test("a listener or callback that throws harms nobody else, and its error is reported", async () => {
    const client = world.client();
    const heard = [];
    const boom = () => {
        throw new Error("boom");
    };
    for (const name of ["state", "event", "lost", "subscription"]) client.on(name, boom);
    client.subscribe("/a", boom);
    client.subscribe("/a", () => heard.push("callback"));
    client.on("event", () => heard.push("listener"));
    await world.pass(0);
    world.line.say(event("/a", { lost: 2 }));
    assert.deepEqual(heard, ["listener", "callback"]);
    assert.equal(client.state, "connected");
    assert.ok(world.reports.length >= 5 && world.reports.every(({ message }) => message === "boom"));
});

test("a listener ends by what on() gave, also from within; the same function twice is two", async () => {
    const client = world.client();
    let calls = 0;
    const listener = () => (calls += 1);
    const off = client.on("event", listener);
    client.on("event", listener);
    await world.pass(0);
    world.line.say(event("/a"));
    off();
    off();
    world.line.say(event("/a"));
    assert.equal(calls, 3);
});

test("closing from within a callback stops everything at once", async () => {
    const client = world.client();
    const heard = [];
    client.subscribe("/a", () => {
        heard.push(1);
        client.close();
    });
    client.subscribe("/a", () => heard.push(2));
    await world.pass(0);
    world.line.say([event("/a"), event("/a")]);
    assert.deepEqual(heard, [1]);
    await world.pass(60_000);
    assert.deepEqual([world.lines.length, world.timers.size], [1, 0]);
});

test("what the server dropped is told before the event that says it", async () => {
    const client = world.client();
    const got = [];
    client.subscribe("/a", ({ lost }) => got.push(["event", lost]));
    client.on("lost", (lost) => got.push(["lost", lost]));
    await world.pass(0);
    world.line.say(event("/a", { lost: 3 }));
    assert.deepEqual(got, [
        ["lost", { count: 3, subject: "/a", where: "server" }],
        ["event", 3],
    ]);
});

test("for await: events in their order, and the end when it is unsubscribed", async () => {
    const client = world.client();
    const one = client.subscribe("/a");
    await world.pass(0);
    world.line.say([event("/a", { data: 1 }), event("/a", { data: 2 })]);
    const got = [];
    for await (const { data } of one) {
        got.push(data);
        if (data === 2) setImmediate(() => world.line.say(event("/a", { data: 3 })));
        if (data === 3) one.unsubscribe();
    }
    assert.deepEqual([got, one.state], [[1, 2, 3], "unsubscribed"]);
});

test("for await: leaving the loop ends a subscription without a callback, and no other", async () => {
    const client = world.client();
    const plain = client.subscribe("/a");
    const called = client.subscribe("/a", () => {});
    await world.pass(0);
    for (const one of [plain, called]) {
        const loop = (async () => {
            for await (const { data } of one) if (data) break;
        })();
        await settle();
        world.line.say(event("/a"));
        await loop;
    }
    assert.deepEqual([plain.state, called.state], ["unsubscribed", "subscribed"]);
});

test("for await: of two loops over one subscription with a callback, one may end", async () => {
    const client = world.client();
    const one = client.subscribe("/a", () => {});
    await world.pass(0);
    const [first, second] = [one[Symbol.asyncIterator](), one[Symbol.asyncIterator]()];
    await first.return();
    world.line.say(event("/a", { data: 5 }));
    assert.equal((await second.next()).value.data, 5);
    await second.return();
    world.line.say(event("/a", { data: 6 }));
    const third = one[Symbol.asyncIterator]();
    world.line.say(event("/a", { data: 7 }));
    assert.equal((await third.next()).value.data, 7);
});

test("for await: a refusal and a connection that will not come again are thrown", async () => {
    world.refused.set("/no", { status: 403, reason: "nobody may" });
    const client = world.client({ transports: ["ws"] });
    const loop = async (pattern) => {
        for await (const one of client.subscribe(pattern)) assert.fail(`no event was due: ${one}`);
    };
    const refused = assert.rejects(loop("/no"), { status: 403 });
    const ended = assert.rejects(loop("/a"), { code: "transport", status: 4100 });
    await world.pass(0);
    await refused;
    world.line.end(4100);
    await ended;
    await assert.rejects(client.subscribe("/b").ready(), { status: 4100 });
});

test("for await: what does not fit into the buffer is dropped from its old end, and told", async () => {
    const client = world.client();
    const one = client.subscribe("/a", { buffer: 3 });
    await world.pass(0);
    for (let data = 1; data <= 5; data += 1) world.line.say(event("/a", { data }));
    // Nobody looks yet, and it may be that nobody will.
    assert.deepEqual(client.all("lost"), []);
    const loop = one[Symbol.asyncIterator]();
    assert.deepEqual(client.all("lost"), [{ count: 2, subject: "/a", where: "client", subscription: one }]);
    const first = (await loop.next()).value;
    assert.deepEqual([first.data, first.lost], [3, 2]);
    assert.equal((await loop.next()).value.lost, undefined);
    for (let data = 6; data <= 8; data += 1) world.line.say(event("/a", { data, ...(data === 6 && { lost: 4 }) }));
    // 5 goes for 8, which is told at once.
    assert.deepEqual(
        client
            .all("lost")
            .slice(1)
            .map(({ where, count }) => [where, count]),
        [
            ["server", 4],
            ["client", 1],
        ],
    );
    const next = (await loop.next()).value;
    assert.deepEqual([next.data, next.lost], [6, 5]);
});

test("for await: the default buffer is 256", async () => {
    const client = world.client();
    const one = client.subscribe("/a");
    await world.pass(0);
    for (let data = 0; data < 257; data += 1) world.line.say(event("/a", { data }));
    const { value } = await one[Symbol.asyncIterator]().next();
    assert.deepEqual([value.data, value.lost], [1, 1]);
});

test("a timer of more than 24.8 days does not fire at once", (context) => {
    const { mock } = context.mock.method(globalThis, "setTimeout", () => 0);
    for (const ms of [5, 1000 * 86_400 * 30, Infinity]) worldOf().after(ms, () => {});
    assert.deepEqual(
        mock.calls.map(({ arguments: [, ms] }) => ms),
        [5, 2_147_483_647, 2_147_483_647],
    );
});

test("errors are errors, with what the server said", () => {
    const error = new PushletError({ code: "refused", message: "too many", status: 400, field: "queue", limit: 9 });
    assert.ok(error instanceof Error);
    assert.deepEqual([error.name, error.message, error.code, error.limit], ["PushletError", "too many", "refused", 9]);
});

test("a door of somebody in between: its 403 is not the server's word", async () => {
    world.doors.ws = "refuse";
    world.doors.fetch = () =>
        new Response("<h1>Blocked</h1>", { status: 403, headers: { "content-type": "text/html" } });
    const client = world.client();
    await world.pass(0);
    assert.deepEqual([client.state, client.transport], ["connected", "poll"]);
    assert.equal(problem({ status: 403 }).status, 403);
});
