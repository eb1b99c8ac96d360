// What pages call and what they hear from the iframe client: names, requests, text, the queue, where the server is.
import assert from "node:assert/strict";
import test from "node:test";
import { CALLBACKS, ORIGIN, World } from "./frames-world.js";

const joinAck = { p_event: "join-ack", p_id: "ID1", p_format: "js" };

// A page that has joined.
function joined(options) {
    const page = new World().page(options);
    page.call("p_join");
    page.next("join").answer(joinAck);
    page.takeNews();
    return page;
}

test("the names that old pages use are there", () => {
    const { window } = new World().page();
    const names =
        "p_embed p_join p_listen p_join_listen p_leave p_heartbeat p_publish p_subscribe p_unsubscribe p_getWebRoot " +
        "p_getSessionId p_setDebug p_setNetDebug p_debug p_getStatus _push PushletEvent";
    for (const name of names.split(" ")) assert.equal(typeof window[name], "function", name);
});

test("PushletEvent: get, put, toString, toTable", () => {
    const { window } = new World().page();
    const event = new window.PushletEvent(["p_event", "data", "p_subject", "/a", "x", '<b title="1">&\'', "odd"]);
    assert.equal(event.getEvent(), "data");
    assert.equal(event.getSubject(), "/a");
    assert.equal(event.get("odd"), "");
    assert.equal(event.get("constructor"), "");
    assert.equal(event.put("n", 5), undefined);
    assert.equal(event.put("n", 6), "5");
    assert.equal(event.get("n"), "6");
    assert.equal(event.getKeys().join(), "p_event,p_subject,x,n");
    assert.equal(event.toString(), 'p_event=data\np_subject=/a\nx=<b title="1">&\'\nn=6\n');
    assert.ok(event.toTable().includes("<td>&lt;b title=&quot;1&quot;&gt;&amp;&#39;</td>"));
    assert.ok(!event.toTable().includes("<b"));
});

// P-2: what is sent for each call; the id is the session's.
const REQUESTS = [
    [["p_listen", "/a"], "listen&p_id=ID1&p_mode=stream&p_subject=%2Fa"],
    [["p_listen"], "listen&p_id=ID1&p_mode=stream"],
    [["p_listen", null, "pull"], "listen&p_id=ID1&p_mode=pull"],
    [["p_listen", "/a,/b", "poll"], "listen&p_id=ID1&p_mode=poll&p_subject=%2Fa%2C%2Fb"],
    [["p_heartbeat"], "hb&p_id=ID1"],
    [["p_leave"], "leave&p_id=ID1"],
    [["p_publish", "/a", "n", "v", "m", "w"], "publish&p_id=ID1&p_subject=%2Fa&n=v&m=w"],
    [["p_publish", "/a"], "publish&p_id=ID1&p_subject=%2Fa"],
    [["p_publish", "/a", "n"], "publish&p_id=ID1&p_subject=%2Fa&n="],
    [["p_publish", "/a", "n", 0, "m", null], "publish&p_id=ID1&p_subject=%2Fa&n=0&m=null"],
    [
        ["p_publish", "/中", "名 &", "文=&+%#"],
        "publish&p_id=ID1&p_subject=%2F%E4%B8%AD&%E5%90%8D%20%26=%E6%96%87%3D%26%2B%25%23",
    ],
    [
        ["p_publish", "/a", "t", "a\nb\r\n\"'\\</script>"],
        "publish&p_id=ID1&p_subject=%2Fa&t=a%0Ab%0D%0A%22%27%5C%3C%2Fscript%3E",
    ],
    // Half a character pair has no UTF-8.
    [
        ["p_publish", "/a", "t", "\ud83d\ude00 \ud83d \ude00\ude00"],
        "publish&p_id=ID1&p_subject=%2Fa&t=%F0%9F%98%80%20%EF%BF%BD%20%EF%BF%BD%EF%BF%BD",
    ],
    [["p_subscribe", "/a"], "subscribe&p_id=ID1&p_subject=%2Fa"],
    [["p_subscribe", "/a", "the label &"], "subscribe&p_id=ID1&p_subject=%2Fa&p_label=the%20label%20%26"],
    [["p_unsubscribe"], "unsubscribe&p_id=ID1"],
    [["p_unsubscribe", "s7&"], "unsubscribe&p_id=ID1&p_sid=s7%26"],
];

for (const [[name, ...values], query] of REQUESTS) {
    test(`P-2: ${name}(${values.map((value) => JSON.stringify(value))}) asks for ${query.slice(0, 60)}`, () => {
        const page = joined();
        page.call(name, ...values);
        page.world.settle();
        const [request] = page.requests;
        assert.equal(request.query, `p_event=${query}`);
        assert.equal(request.url.pathname, "/pushlet/pushlet.srv");
        const isData = name === "p_listen";
        assert.equal(request.name, isData ? "listenFrame" : "controlFrame");
        // A publish with a p_time of ours would hide the server's.
        assert.equal(request.fields.p_time !== undefined, name !== "p_publish");
    });
}

test("P-9: a join names no format, so that the server's default is taken", () => {
    const page = new World().page();
    page.call("p_join");
    assert.equal(page.next("join").query, "p_event=join");
});

test("a page that encodes its values itself says so", () => {
    const page = joined({ globals: { p_valuesAreEncoded: true } });
    page.call("p_publish", "/a%20b", "n", "v%26w");
    page.call("p_subscribe", "/%E4%B8%AD", "l%3D");
    assert.equal(
        page.next("publish").answer({ p_event: "publish-ack" }).query,
        "p_event=publish&p_id=ID1&p_subject=/a%20b&n=v%26w",
    );
    assert.equal(page.next("subscribe").query, "p_event=subscribe&p_id=ID1&p_subject=/%E4%B8%AD&p_label=l%3D");
});

test("every kind of event goes to its function, else to onEvent", () => {
    const world = new World();
    const acks = ["join", "join-listen", "listen", "hb", "leave", "refresh", "subscribe", "unsubscribe"];
    const kinds = ["data", "hb", "abort", "nack", "error", ...acks.map((name) => `${name}-ack`)];
    const names = CALLBACKS.slice(0, -2);
    const page = world.page();
    for (const kind of kinds) page.call("_push", "p_event", kind, "n", "1");
    assert.deepEqual(page.takeNames().sort(), [...names].sort());
    const poor = world.page({ callbacks: false });
    poor.define("onEvent");
    for (const kind of kinds) poor.call("_push", ["p_event", kind]);
    assert.deepEqual(
        poor.takeNews().map(([name, fields]) => [name, fields.p_event]),
        kinds.map((kind) => ["onEvent", kind]),
    );
});

test("functions are looked up when the event comes, and one that throws harms nobody", () => {
    const page = new World().page({ callbacks: false });
    page.call("_push", "p_event", "data");
    page.window.onData = () => {
        throw new Error("the page's own");
    };
    page.call("_push", "p_event", "data");
    assert.match(page.logged.join(), /the page's own/);
    page.define("onData");
    page.call("_push", "p_event", "data", "n", "2");
    assert.deepEqual(page.takeNews(), [["onData", { p_event: "data", n: "2" }]]);
});

test("as with the original nobody hears of a publish-ack, and listen is followed by a heartbeat", () => {
    const page = joined();
    page.call("p_publish", "/a", "n", "1");
    page.next("publish").answer({ p_event: "publish-ack" });
    assert.deepEqual(page.takeNames(), []);
    page.call("p_listen", "/a");
    page.world.settle();
    page.next("listen").events({ p_event: "listen-ack", p_mode: "stream", p_sid: "s1" });
    page.next("hb").answer({ p_event: "hb-ack" });
    assert.deepEqual(page.takeNames(), ["onListenAck", "onHeartbeatAck"]);
});

test("p_join_listen joins and listens; a page may hear of the whole", () => {
    const page = new World().page();
    page.call("p_join_listen", "/a", "stream");
    page.next("join").answer(joinAck);
    page.world.settle();
    const listen = page.next("listen");
    assert.equal(listen.query, "p_event=listen&p_id=ID1&p_mode=stream&p_subject=%2Fa");
    listen.events({ p_event: "listen-ack", p_id: "ID1", p_mode: "stream", p_sid: "s1" });
    assert.deepEqual(page.takeNews(), [
        ["onJoinAck", joinAck],
        ["onListenAck", { p_event: "listen-ack", p_id: "ID1", p_mode: "stream", p_sid: "s1" }],
        ["onJoinListenAck", { p_event: "join-listen-ack", p_id: "ID1", p_mode: "stream", p_sid: "s1" }],
    ]);
    assert.equal(page.call("p_getSessionId"), "ID1");
    assert.equal(page.status().state, "listening");
});

test("P-7: a refused join refuses the listen behind it without a further word", () => {
    const page = new World().page();
    page.call("p_join_listen", "/a");
    page.next("join").answer({ p_event: "nack", p_reason: "no" });
    page.world.settle();
    assert.deepEqual(page.requests, []);
    assert.deepEqual(page.takeNews(), [["onNack", { p_event: "nack", p_reason: "no" }]]);
    assert.equal(page.call("p_getSessionId"), null);
});

test("what needs a session is not sent without one, and the page is told; a leave is not even told", () => {
    const page = new World().page();
    page.call("p_publish", "/a", "n", "1");
    page.call("p_leave");
    assert.deepEqual(page.requests, []);
    const [[name, fields]] = page.takeNews();
    assert.equal(name, "onError");
    assert.match(fields.p_reason, /publish was not sent: .* p_join/);
});

test("control requests go one at a time, in order, each when the one before it has ended", () => {
    const page = joined();
    for (let n = 1; n <= 5; n += 1) page.call("p_publish", "/a", "n", n);
    for (let n = 1; n <= 5; n += 1) {
        const request = page.next("publish");
        assert.equal(request.fields.n, String(n));
        request.events({ p_event: "publish-ack" });
        assert.deepEqual(page.requests, [], "sent before the answer had ended");
        request.end();
    }
    assert.deepEqual(page.requests, []);
});

test("an answer whose end does not come holds up the next request for 30 s and is no error", () => {
    const page = joined();
    page.call("p_heartbeat");
    page.call("p_publish", "/a");
    page.next("hb").events({ p_event: "hb-ack" });
    page.world.pass(29999);
    assert.deepEqual(page.requests, []);
    page.world.pass(1);
    page.next("publish");
    assert.deepEqual(page.takeNames(), ["onHeartbeatAck"]);
});

test("the frame of the answer before is thrown away, and that is no end of the next request", () => {
    const page = joined();
    page.call("p_heartbeat");
    const before = page.next("hb").answer({ p_event: "hb-ack" });
    page.takeNews();
    page.call("p_publish", "/a", "n", "1");
    const publish = page.next("publish");
    assert.ok(before.isGone && !publish.isGone);
    assert.deepEqual(page.takeNews(), []);
    publish.answer({ p_event: "publish-ack" });
    assert.deepEqual([page.takeNews(), page.status().tries], [[], 0]);
});

test("an end with the number of another request is not the current one's", () => {
    const page = joined();
    page.call("p_publish", "/a");
    const publish = page.next("publish");
    const { onEnded } = page.netElement.contentWindow.PushletNet;
    for (const number of [0, 1, 3]) {
        onEnded("controlFrame", { number, address: "", text: null, status: 0, hasSpoken: false, reloadWait: null });
    }
    assert.deepEqual(page.takeNews(), []);
    assert.equal(page.call("p_heartbeat"), undefined);
    assert.deepEqual(page.requests, []);
    publish.answer({ p_event: "publish-ack" });
    page.next("hb");
});

test("calls before the hidden frame is there are kept in order", () => {
    const page = new World({ netLoads: false }).page({ globals: { BroadcastChannel: undefined } });
    page.call("p_join");
    page.call("p_subscribe", "/a");
    page.call("p_publish", "/a");
    assert.deepEqual(page.requests, []);
    assert.equal(page.status().state, "loading");
    page.loadNet();
    assert.equal(page.status().state, "joining");
    page.next("join").answer(joinAck);
    page.next("subscribe").answer({ p_event: "subscribe-ack", p_subject: "/a", p_sid: "s1" });
    page.next("publish");
});

test("the queue has a bound, and says so", () => {
    const page = new World({ netLoads: false }).page();
    page.call("p_join");
    for (let n = 2; n <= 1000; n += 1) page.call("p_publish", "/a", "n", n);
    assert.deepEqual(page.takeNews(), []);
    // A page that publishes what it is told is not told without end.
    page.during = () => page.call("p_publish", "/errors");
    page.call("p_publish", "/a", "n", 1001);
    page.during = null;
    page.call("p_leave");
    const [[name, fields]] = page.takeNews();
    assert.equal(name, "onError");
    assert.match(fields.p_reason, /1000 requests wait .* publish is dropped/);
    page.loadNet();
    page.next("join").answer(joinAck);
    for (let n = 2; n <= 1000; n += 1) {
        const request = page.next("publish");
        assert.equal(request.fields.n, String(n));
        request.answer({ p_event: "publish-ack" });
    }
    // A page that leaves is never told to stay.
    page.next("leave");
});

test("a call from within a callback waits for its turn", () => {
    const page = new World().page();
    page.during = (name) => {
        if (name === "onJoinAck") page.call("p_subscribe", "/a");
    };
    page.call("p_join");
    const join = page.next("join").events(joinAck);
    assert.deepEqual(page.requests, []);
    join.end();
    page.next("subscribe");
});

test("P-3: what is too long for an address goes by POST, and its answer is read", async () => {
    const page = joined();
    const text = "文\n".repeat(1000);
    page.call("p_publish", "/a", "text", text);
    page.call("p_heartbeat");
    assert.deepEqual(page.requests, []);
    const [{ address, what, resolve }] = page.bodies;
    assert.equal(address, `${ORIGIN}/pushlet/pushlet.srv`);
    const sent = new URLSearchParams(what.body);
    assert.deepEqual([sent.get("p_event"), sent.get("p_id"), sent.get("text")], ["publish", "ID1", text]);
    const reason = `it's "(no)" \\ </script> parent.push('p_event', "data")`;
    const escaped = reason.replace(/['"\\<]/g, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`);
    const body = `...<script language="JavaScript">parent.push('p_event', "nack",'p_reason', "${escaped}");</script>`;
    resolve({ status: 200, text: async () => body });
    await new Promise(setImmediate);
    assert.deepEqual(page.takeNews(), [["onNack", { p_event: "nack", p_reason: reason }]]);
    page.next("hb");
});

// The part of the script's address in front of its last /lib/, or what the page says.
const ROOTS = [
    [{ script: "/pushlet/lib/js-pushlet-client.js" }, undefined, "/pushlet/"],
    [{ script: "/lib/js-pushlet-client.js?v=2" }, undefined, "/"],
    [{ script: "/lib/app/lib/js-pushlet-client.js" }, undefined, "/lib/app/"],
    [{ script: "../lib/js-pushlet-client.js", path: "/app/pages/x.html" }, undefined, "/app/"],
    [{ script: "/pushlet/lib/js-pushlet-client.js", current: false }, undefined, "/pushlet/"],
    [{ script: "/pushlet/lib/js-pushlet-client.js" }, "", "/pushlet/"],
    [{ script: "/bundle.js" }, "/pushlet", "/pushlet/"],
    [{ script: "/bundle.js", path: "/app/x.html" }, "..", "/"],
    [{ script: "/lib/js-pushlet-client.js" }, "/other/", "/other/"],
    [{ script: "/lib/js-pushlet-client.js" }, `${ORIGIN}/a/b?c#d`, "/a/b/"],
];

for (const [options, given, path] of ROOTS) {
    test(`the web root of ${options.script}, p_embed(${JSON.stringify(given)}) is ${path}`, () => {
        const page = new World().page(options);
        page.call("p_embed", given);
        assert.equal(page.call("p_getWebRoot"), ORIGIN + path);
        assert.equal(page.netElement.src, `${ORIGIN}${path}lib/js-pushlet-net.html`);
        page.call("p_join");
        assert.equal(page.next("join").url.href.split("?")[0], `${ORIGIN}${path}pushlet.srv`);
    });
}

for (const [what, options, given, reason] of [
    ["a foreign web root", {}, "http://other.example/pushlet/", /other\.example.* another origin .*push\.example/],
    ["an unknown web root", { script: "/bundle.js" }, undefined, /web root is not known/],
    ["no script at all", { script: null }, undefined, /web root is not known/],
    ["a broken web root", {}, "http://[", /no address: http/],
]) {
    test(`${what} is one clear error`, () => {
        const page = new World().page(options);
        page.call("p_embed", given);
        page.call("p_join");
        page.call("p_listen", "/a");
        page.world.pass(60000);
        const news = page.takeNews();
        assert.equal(news.length, 1);
        assert.equal(news[0][0], "onError");
        assert.match(news[0][1].p_reason, reason);
        assert.equal(page.netElement, undefined);
    });
}

test("p_embed twice makes one frame; without a body it waits for it; without p_embed there is one too", () => {
    const world = new World({ netLoads: false });
    const page = world.page();
    page.call("p_embed");
    const first = page.netElement;
    page.call("p_embed");
    page.call("p_embed", "/other/");
    assert.equal(page.netElement, first);
    assert.equal(page.call("p_getWebRoot"), `${ORIGIN}/pushlet/`);

    const early = world.page({ body: false, loaded: false });
    early.call("p_embed");
    assert.equal(early.netElement, undefined);
    early.document.body = early.makeBody();
    early.documentListeners.fire("DOMContentLoaded");
    assert.ok(early.netElement);

    const without = world.page();
    without.call("p_join");
    assert.ok(without.netElement);
});

test("a broken web root can be mended by another p_embed, and what was called goes out", () => {
    const page = new World().page();
    page.call("p_embed", "http://[");
    page.call("p_join");
    page.world.pass(0);
    assert.deepEqual(page.takeNames(), ["onError"]);
    assert.equal(page.call("p_getWebRoot"), null);
    page.call("p_embed", "/pushlet/");
    page.next("join");
});

test("p_getStatus tells the mode of the newest listen-ack, which may be another than the one asked for", () => {
    const page = joined();
    assert.equal(page.status().mode, "");
    page.call("p_listen", "/a", "stream");
    page.world.settle();
    assert.equal(page.status().mode, "");
    page.next("listen").events({ p_event: "listen-ack", p_mode: "pull", p_sid: "s1" });
    assert.equal(page.status().mode, "pull");
    page.next("hb").answer({ p_event: "hb-ack" });
    page.call("p_leave");
    page.next("leave").answer({ p_event: "leave-ack" });
    assert.equal(page.status().mode, "");
});

test("a data channel waits for the page's load event, which it would hold back; control requests do not", () => {
    const page = new World().page({ loaded: false });
    page.call("p_join_listen", "/a");
    page.next("join").answer(joinAck);
    page.world.pass(5000);
    assert.deepEqual(page.requests, []);
    page.windowListeners.fire("load");
    page.world.settle();
    page.next("listen");
});

test("debug goes to the console, only when asked for", () => {
    const page = joined();
    assert.deepEqual(page.logged, []);
    page.call("p_debug", "label", "text");
    page.call("p_debug", false, "label", "text");
    assert.deepEqual(page.logged, []);
    page.call("p_debug", true, "label", "text");
    page.call("p_setDebug", true);
    page.call("p_debug", "one", "two");
    page.call("p_setNetDebug", true);
    page.call("p_heartbeat");
    assert.deepEqual(page.logged.slice(0, 2), ["[pushlet] label: text", "[pushlet] one: two"]);
    assert.match(page.logged[2], /^\[pushlet\] net: controlFrame: .*p_event=hb/);
});

test("the script twice in a page is one client", () => {
    const page = joined();
    const push = page.window._push;
    page.runAgain();
    assert.equal(page.window._push, push);
    assert.equal(page.call("p_getSessionId"), "ID1");
});
