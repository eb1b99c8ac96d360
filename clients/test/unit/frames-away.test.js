// The iframe client in a page that goes away: it leaves, and comes back whole if the browser shows the page again.
import assert from "node:assert/strict";
import test from "node:test";
import { ORIGIN, World } from "./frames-world.js";

const place = `${ORIGIN}/pushlet/pushlet.srv`;
const leaveOf = (id) => `${place}?p_event=leave&p_id=${id}`;

function live(options) {
    const world = new World();
    const page = world.page(options);
    return { world, page, stream: page.live(options) };
}

const hide = (page, persisted = true) => page.windowListeners.fire("pagehide", { persisted });
const show = (page) => page.windowListeners.fire("pageshow", { persisted: true });

function answerJoin(page, id = "ID2") {
    page.next("join").answer({ p_event: "join-ack", p_id: id, p_from: `${id}@somewhere` });
}

function answerSubscribe(page, subject, sid) {
    const request = page.next("subscribe");
    assert.equal(request.fields.p_subject, subject);
    request.answer({ p_event: "subscribe-ack", p_subject: subject, p_sid: sid });
    return request;
}

// The time that other tabs have to say that they are there, and the listen.
function answerListen(page, mode = "stream") {
    page.world.settle();
    return page.next("listen").events({ p_event: "listen-ack", p_id: "ID2", p_mode: mode });
}

for (const persisted of [true, false]) {
    test(`P-27: a page that goes away (persisted: ${persisted}) leaves, and nothing of it runs`, () => {
        const { world, page, stream } = live();
        hide(page, persisted);
        assert.ok(stream.isGone);
        assert.deepEqual(page.told, [leaveOf("ID1")]);
        assert.equal(world.channels.size, 0);
        page.call("p_heartbeat");
        page.windowListeners.fire("online");
        world.pass(600000);
        assert.deepEqual(page.requests, []);
        assert.deepEqual(page.takeNews(), []);
        hide(page, persisted);
        assert.deepEqual(page.told, [leaveOf("ID1")]);
    });
}

test("P-22: a page that is back joins, subscribes and listens anew, and hears onRejoined and nothing else", () => {
    const { world, page } = live({ mode: "pull" });
    page.subscribe("/b", "s2", "the label");
    page.call("p_unsubscribe", "s1");
    page.next("unsubscribe").answer({ p_event: "unsubscribe-ack", p_sid: "s1" });
    page.takeNews();
    hide(page);
    world.clock.sleep(300000);
    show(page);
    assert.deepEqual([page.status().state, page.status().tries], ["trying", 0]);
    answerJoin(page);
    assert.equal(answerSubscribe(page, "/b", "s1").fields.p_label, "the label");
    const pull = answerListen(page, "pull");
    const rejoined = { p_event: "rejoined", p_id: "ID2", p_from: "ID2@somewhere" };
    assert.deepEqual(page.takeNews(), [["onRejoined", rejoined]]);
    assert.equal(page.call("p_getSessionId"), "ID2");
    assert.equal(page.status().state, "listening");
    pull.events({ p_event: "data", p_sid: "s1" });
    assert.deepEqual(page.takeNews(), [["onData", { p_event: "data", p_sid: "s2" }]]);
    // A second time, with the newer session.
    hide(page);
    assert.deepEqual(page.told, [leaveOf("ID1"), leaveOf("ID2")]);
    show(page);
    answerJoin(page, "ID3");
});

test("a page that is back and finds no server is told, and goes on later", () => {
    const { world, page } = live();
    hide(page);
    show(page);
    page.next("join").fail();
    assert.deepEqual(page.takeNames(), ["onError"]);
    world.pass(500);
    answerJoin(page);
    answerSubscribe(page, "/a", "s1");
    answerListen(page);
    assert.deepEqual(page.takeNames(), ["onRejoined"]);
});

test("calls without an answer are made again, in order; a publish in doubt is told and is not", () => {
    const { page } = live();
    page.call("p_subscribe", "/b");
    page.call("p_publish", "/b", "n", "1");
    const cut = page.next("subscribe");
    hide(page);
    assert.ok(cut.isGone);
    show(page);
    answerJoin(page);
    answerSubscribe(page, "/a", "s1");
    answerListen(page);
    answerSubscribe(page, "/b", "s2");
    assert.deepEqual(page.takeNames(), ["onRejoined", "onSubscribeAck"]);

    page.next("publish");
    hide(page);
    assert.deepEqual(page.takeNews(), []);
    show(page);
    const [[name, { p_reason: reason, p_wait: wait, ...about }]] = page.takeNews();
    assert.equal(name, "onError");
    assert.match(reason, /^publish at .* the page went away, and nobody knows whether this publish has arrived/);
    assert.deepEqual([wait, about], [undefined, { p_event: "error", p_request: "publish", p_subject: "/b" }]);
    answerJoin(page, "ID3");
    answerSubscribe(page, "/a", "s1");
    answerSubscribe(page, "/b", "s2");
    answerListen(page);
    assert.deepEqual(page.requests, []);
});

test("a join that was cut off is made again", () => {
    const world = new World();
    const page = world.page();
    page.call("p_join_listen", "/a");
    const cut = page.next("join");
    hide(page);
    assert.ok(cut.isGone);
    assert.deepEqual(page.told, []);
    show(page);
    answerJoin(page);
    answerListen(page);
    assert.deepEqual(page.takeNames(), ["onJoinAck", "onListenAck", "onJoinListenAck"]);
});

test("a leave that was cut off, or called while the page was away, is done when it is back", () => {
    const first = live().page;
    first.call("p_leave");
    first.next("leave");
    const second = live().page;
    for (const page of [first, second]) hide(page);
    second.call("p_leave");
    for (const page of [first, second]) {
        assert.deepEqual(page.told, [leaveOf("ID1")]);
        show(page);
        assert.deepEqual(page.takeNews(), [["onLeaveAck", { p_event: "leave-ack", p_id: "ID1" }]]);
        page.world.pass(600000);
        assert.deepEqual(page.requests, []);
        assert.equal(page.call("p_getSessionId"), null);
    }
});

test("a page that goes away in an outage hears its end when it is back; a session that is gone is not left", () => {
    const { world, page, stream } = live();
    stream.fail();
    world.pass(500);
    page.next("refresh").text(400, "Invalid or expired id: ID1");
    assert.deepEqual(page.takeNames(), ["onError", "onRetry"]);
    hide(page);
    assert.deepEqual(page.told, []);
    show(page);
    page.next("join").fail();
    assert.deepEqual(page.takeNames(), ["onRetry"]);
    world.pass(500);
    answerJoin(page);
    answerSubscribe(page, "/a", "s1");
    answerListen(page);
    assert.deepEqual(page.takeNames(), ["onRejoined"]);

    const early = world.page();
    early.call("p_join");
    early.next("join").fail();
    hide(early);
    show(early);
    answerJoin(early);
    assert.deepEqual(early.takeNames(), ["onError", "onJoinAck", "onRejoined"]);
});

test("a hidden frame that was still loading is made anew", () => {
    const world = new World({ netLoads: false });
    const page = world.page();
    page.call("p_join");
    const first = page.netElement;
    hide(page);
    assert.ok(!first.isConnected);
    world.pass(60000);
    show(page);
    assert.notEqual(page.netElement, first);
    page.loadNet();
    answerJoin(page);
    assert.deepEqual(page.takeNames(), ["onJoinAck"]);
});

test("a page that has no session comes back without a word", () => {
    const page = new World().page();
    page.call("p_embed");
    hide(page);
    show(page);
    page.world.pass(600000);
    assert.deepEqual([page.requests, page.told, page.takeNews()], [[], [], []]);
    assert.equal(page.status().state, "ready");
});
