// A page that goes away, for good or into the page cache, and one that comes back.
import assert from "node:assert/strict";
import test from "node:test";
import { World } from "./ajax-world.js";

const URL = "http://host.example/pushlet/pushlet.srv";
const listenAck = (id, sid) => ({ p_event: "join-listen-ack", p_id: id, p_mode: "pull", ...(sid && { p_sid: sid }) });
const refreshEvent = { p_event: "refresh", p_wait: 2000 };
const data = (fields) => ({ p_event: "data", p_subject: "/a", ...fields });
const LIVE = { state: "listening", mode: "pull", tries: 0, reason: "", nextTryInMs: 0 };

test("a page that is closed leaves by a request that outlives it", () => {
    const world = new World();
    world.listening();
    world.fire("window", "pagehide", { persisted: false });
    assert.equal(world.beacons.length, 1);
    assert.equal(world.beacons[0].url, `${URL}?p_event=leave&p_id=ID1`);
    assert.equal(world.beacons[0].init.keepalive, true);
    const old = new World({ keepalive: false });
    old.listening();
    old.fire("window", "pagehide", { persisted: false });
    assert.deepEqual(old.beacons, [{ url: URL, body: "p_event=leave&p_id=ID1" }]);
    const unused = new World();
    unused.fire("window", "pagehide", { persisted: false });
    assert.deepEqual(unused.beacons, []);
});

// What a browser says when it keeps the page aside, and when it shows it again.
const goAway = (world) => world.fire("window", "pagehide", { persisted: true });
const comeBack = (world) => world.fire("window", "pageshow", { persisted: true });

test("a page that is kept aside leaves, is still, and joins anew without a word when it is back", () => {
    const world = new World();
    const refresh = world.listening("/a");
    world.PL.subscribe("/b", "the label");
    world.next("subscribe").events({ p_event: "subscribe-ack", p_sid: "s2" });
    world.PL.unsubscribe("s1");
    world.next("unsubscribe").events({ p_event: "unsubscribe-ack", p_sid: "s1" });
    world.news();

    goAway(world);
    assert.ok(refresh.aborted);
    assert.deepEqual(
        world.beacons.map(({ url }) => url),
        [`${URL}?p_event=leave&p_id=ID1`],
    );
    assert.equal(world.clock.timers.size, 0);
    world.fire("window", "online", {});
    world.fire("document", "visibilitychange", {});
    world.window.p_publish("/a", "n", 1);
    world.advance(600000);
    assert.equal(world.waiting().length, 0);

    comeBack(world);
    assert.deepEqual([world.PL.state, world.PL.getStatus().state], [world.PL.STATE_READY, "trying"]);
    const join = world.next("join-listen", 0);
    assert.deepEqual([join.params.p_subject, join.params.p_label], ["/b", "the label"]);
    join.events({ ...listenAck("ID2", "s1"), p_from: "addr2" }, refreshEvent);
    assert.deepEqual(world.news(), [{ name: "onRejoined", p_event: "rejoined", p_id: "ID2", p_from: "addr2" }]);
    assert.deepEqual({ ...world.PL.getStatus() }, LIVE);
    world.next("publish", 0);
    world.next("refresh").events({ p_event: "refresh-ack" }, data({ p_sid: "s1" }));
    assert.equal(world.news().find(({ name }) => name === "onData").p_sid, "s2", "the page's own sid");
});

test("a page that was shown all the time has nothing to come back to", () => {
    const world = new World();
    world.listening();
    comeBack(world);
    world.advance(1000);
    assert.equal(world.requests.length, 2);
    const unused = new World();
    goAway(unused);
    comeBack(unused);
    unused.advance(60000);
    assert.deepEqual([unused.requests, unused.beacons, unused.heard], [[], [], []]);
});

test("a page that comes back to a server that is away hears of it as of any outage", () => {
    const world = new World();
    world.listening();
    goAway(world);
    comeBack(world);
    world.next("join-listen", 0).cut();
    world.next("join-listen").cut();
    assert.deepEqual(world.names(), ["onError", "onRetry"]);
    assert.deepEqual(
        world.heard.map((each) => each.p_tries),
        ["1", "2"],
    );
    assert.equal(world.PL.state, world.PL.STATE_ERROR);
    world.next("join-listen").events(listenAck("ID2", "s1"), refreshEvent);
    assert.equal(world.names().at(-1), "onRejoined");
});

test("a page that goes away in an outage waits for nothing, and tries at once when it is back", () => {
    const world = new World({ random: () => 0.999 });
    world.listening().cut();
    world.next("refresh").cut();
    world.news();
    goAway(world);
    assert.equal(world.beacons.length, 1);
    assert.equal(world.clock.timers.size, 0);
    comeBack(world);
    world.next("join-listen", 0).events(listenAck("ID2", "s1"), refreshEvent);
    assert.deepEqual(world.names(), ["onRejoined"]);
});

test("what was under way when the page went away is done when it is back; a publish is told", () => {
    const world = new World();
    world.PL.joinListen("/a");
    const first = world.next("join-listen");
    goAway(world);
    assert.ok(first.aborted);
    assert.deepEqual(world.beacons, []);
    comeBack(world);
    world.next("join-listen", 0).events(listenAck("ID1", "s1"), refreshEvent);
    assert.deepEqual(
        world.news().map(({ name }) => name),
        ["onJoinListenAck"],
    );

    world.PL.subscribe("/b");
    goAway(world);
    comeBack(world);
    world.next("join-listen", 0).events(listenAck("ID2", "s1"), refreshEvent);
    world.next("subscribe", 0).events({ p_event: "subscribe-ack", p_sid: "s2" });
    assert.deepEqual(
        world.news().map(({ name }) => name),
        ["onRejoined", "onSubscribeAck"],
    );

    world.window.p_publish("/a", "n", 1);
    goAway(world);
    assert.deepEqual(world.heard, []);
    comeBack(world);
    const [error] = world.news();
    assert.deepEqual([error.name, error.p_request, error.p_subject], ["onError", "publish", "/a"]);
    assert.match(error.p_reason, /went away before the answer; it may have arrived and is not repeated\.$/);
    assert.equal(world.requests.filter(({ event }) => event === "publish").length, 1);
});

test("a page that had left, or leaves on its way out, has no session when it is back", () => {
    const calls = {
        before: (world) => {
            world.PL.leave();
            world.next("leave", 0).events({ p_event: "leave-ack", p_id: "ID1" });
            goAway(world);
        },
        underWay: (world) => {
            world.PL.leave();
            goAway(world);
        },
        after: (world) => {
            goAway(world);
            world.PL.leave();
        },
    };
    for (const [when, leave] of Object.entries(calls)) {
        const world = new World();
        world.listening();
        leave(world);
        comeBack(world);
        world.advance(60000);
        assert.equal(world.waiting().length, 0, when);
        assert.deepEqual(world.names(), ["onLeaveAck"], when);
        assert.equal(world.PL.getStatus().state, "ready", when);
        assert.equal(world.clock.timers.size, 0, when);
    }
});
