// Tabs of the iframe client (and of the other one) share the six connections that a browser opens to a host.
import assert from "node:assert/strict";
import test from "node:test";
import { ORIGIN, World } from "./frames-world.js";

const BUS = `pushlet:${ORIGIN}/pushlet/pushlet.srv`;

// Somebody else on the bus, of either client.
function neighbour(world, name = BUS) {
    const Channel = world.makeChannel(null);
    const channel = new Channel(name);
    const heard = [];
    channel.onmessage = ({ data }) => heard.push(data);
    return { heard, say: (message) => channel.postMessage(message) };
}

const here = (id, since, visible = true) => ({ type: "here", id, since, visible });

test("a client says that it is there: at its start, every 20 s, when it is hidden or shown", () => {
    const world = new World();
    const other = neighbour(world);
    const page = world.page();
    page.call("p_join");
    page.next("join").answer({ p_event: "join-ack", p_id: "ID1" });
    world.pass(1000);
    assert.deepEqual(other.heard, [], "it wants no data channel yet");
    page.call("p_listen", "/a");
    world.settle();
    const [first] = other.heard.splice(0);
    assert.deepEqual(first, { type: "here", id: first.id, since: 1_001_000, visible: true });
    assert.ok(first.id.length > 0);
    page.next("listen").events({ p_event: "listen-ack", p_mode: "stream" });
    world.pass(19800);
    world.pass(1);
    assert.deepEqual(other.heard.splice(0), [first]);
    page.visible = false;
    page.documentListeners.fire("visibilitychange");
    world.pass(1);
    assert.deepEqual(other.heard.splice(0), [{ ...first, visible: false }]);
    page.windowListeners.fire("pagehide", { persisted: false });
    world.pass(1);
    assert.deepEqual(other.heard.splice(0), [{ type: "bye", id: first.id }]);
    world.pass(100000);
    assert.deepEqual(other.heard, []);
});

test("a leave says bye; a client that listens again is there again, as old as before", () => {
    const world = new World();
    const other = neighbour(world);
    const page = world.page();
    page.live();
    page.call("p_leave");
    page.next("leave").answer({ p_event: "leave-ack" });
    world.pass(1);
    assert.deepEqual(
        other.heard.map((message) => message.type),
        ["here", "bye"],
    );
    const [first] = other.heard.splice(0);
    world.pass(5000);
    page.live({ id: "ID2" });
    assert.deepEqual(other.heard, [first]);
});

test("newcomers are answered at most twenty times a second, and never left without an answer", () => {
    const world = new World();
    const other = neighbour(world);
    world.page().live();
    other.heard.splice(0);
    for (let n = 0; n < 5; n += 1) {
        other.say(here(`n${n}`, 1));
        world.pass(5);
    }
    // The first one at once; the other four together, a little later.
    world.pass(20);
    assert.equal(other.heard.splice(0).length, 1);
    world.pass(20);
    assert.equal(other.heard.splice(0).length, 1);
    // Who is known is not answered.
    other.say(here("n1", 1));
    world.pass(3000);
    assert.deepEqual(other.heard, []);
});

// Who goes before a visible client that began at 1,000,000: sorted by visible first, since, id.
const RANKS = [
    ["nobody else", [], "stream"],
    ["three older ones", [here("a", 1), here("b", 2), here("c", 3)], "stream"],
    ["four older ones", [here("a", 1), here("b", 2), here("c", 3), here("d", 4)], "poll"],
    ["four older ones, one hidden", [here("a", 1), here("b", 2), here("c", 3), here("d", 4, false)], "stream"],
    ["four younger ones", [2, 3, 4, 5].map((n) => here(`n${n}`, 2_000_000 + n)), "stream"],
    ["four as old, with smaller ids", ["!", "!!", "!!!", "!!!!"].map((id) => here(id, 1_000_000)), "poll"],
    ["four as old, with greater ids", ["~1", "~2", "~3", "~4"].map((id) => here(id, 1_000_000)), "stream"],
    ["noise", [null, "x", { type: "here" }, { type: "here", id: 5 }, { type: "x", id: "y" }], "stream"],
];

for (const [what, messages, mode] of RANKS) {
    test(`${what}: the mode is ${mode}`, () => {
        const world = new World();
        const other = neighbour(world);
        const page = world.page();
        page.call("p_join_listen", "/a");
        page.next("join").answer({ p_event: "join-ack", p_id: "ID1" });
        for (const message of messages) other.say(message);
        world.settle();
        const listen = page.next("listen");
        assert.equal(listen.fields.p_mode, mode);
    });
}

test("P-26: when the rank changes the client listens again in the other mode, and the page hears nothing of it", () => {
    const world = new World();
    const other = neighbour(world);
    const page = world.page();
    const stream = page.live();
    for (const id of ["a", "b", "c", "d"]) other.say(here(id, 1));
    world.pass(250);
    const poll = page.next("listen");
    assert.equal(poll.query, "p_event=listen&p_id=ID1&p_mode=poll");
    assert.ok(!stream.isGone);
    poll.events({ p_event: "listen-ack", p_mode: "poll" });
    // P-26: what the stream still brings comes first, and none of it is lost.
    stream.events({ p_event: "data", p_sid: "s1", n: "1" }).end();
    poll.events({ p_event: "data", p_sid: "s1", n: "2" }).reload(8000);
    assert.deepEqual(
        page.takeNews().map(([name, { n }]) => [name, n]),
        [
            ["onData", "1"],
            ["onData", "2"],
        ],
    );
    assert.equal(page.status().mode, "poll");
    other.say({ type: "bye", id: "b" });
    world.pass(250);
    const again = page.next("listen");
    assert.equal(again.fields.p_mode, "stream");
    again.events({ p_event: "listen-ack", p_mode: "stream" }, { p_event: "hb" });
    world.pass(8000);
    assert.deepEqual(page.requests, [], "the poll went on beside the stream");
    assert.deepEqual(page.takeNames(), ["onHeartbeat"]);
});

test("a stream that does not end for the newer channel is given up after a second", () => {
    const world = new World();
    const other = neighbour(world);
    const page = world.page();
    const stream = page.live();
    for (const id of ["a", "b", "c", "d"]) other.say(here(id, 1));
    world.pass(250);
    page.next("listen").events({ p_event: "listen-ack", p_mode: "poll" }, { p_event: "data" });
    world.pass(999);
    assert.deepEqual(page.takeNames(), []);
    world.pass(1);
    assert.ok(stream.isGone);
    assert.deepEqual(page.takeNames(), ["onData"]);
});

test("who was not heard of for 90 s is forgotten", () => {
    const world = new World();
    const other = neighbour(world);
    const page = world.page();
    for (const id of ["a", "b", "c", "d"]) other.say(here(id, 1));
    page.call("p_join_listen", "/a");
    page.next("join").answer({ p_event: "join-ack", p_id: "ID1" });
    world.pass(100);
    for (const id of ["a", "b", "c", "d"]) other.say(here(id, 1));
    world.settle();
    const poll = page.next("listen");
    assert.equal(poll.fields.p_mode, "poll");
    poll.events({ p_event: "listen-ack", p_mode: "poll" });
    page.next("hb").answer({ p_event: "hb-ack" });
    for (let at = 0; at < 110; at += 10) {
        poll.events({ p_event: "hb" });
        world.pass(10000);
    }
    assert.equal(page.next("listen").fields.p_mode, "stream");
});

test("seven tabs: four stream, three poll; who is shown goes first", () => {
    const world = new World();
    const pages = Array.from({ length: 7 }, () => world.page());
    const modes = pages.map((page) => {
        const open = page.live();
        if (open.fields.p_mode === "poll") open.reload(600000);
        world.pass(1500);
        return open.fields.p_mode;
    });
    assert.deepEqual(modes, ["stream", "stream", "stream", "stream", "poll", "poll", "poll"]);
    for (const page of pages) assert.deepEqual(page.requests, []);
    for (const page of pages.slice(0, 3)) {
        page.visible = false;
        page.documentListeners.fire("visibilitychange");
    }
    world.pass(250);
    const asked = pages.map((page) => page.requests.map((request) => request.fields.p_mode).join());
    assert.deepEqual(asked, ["poll", "poll", "poll", "", "stream", "stream", "stream"]);
});

test("without BroadcastChannel nobody is asked and nobody waits", () => {
    const world = new World();
    const page = world.page({ globals: { BroadcastChannel: undefined } });
    page.call("p_join_listen", "/a");
    page.next("join").answer({ p_event: "join-ack", p_id: "ID1" });
    assert.equal(page.next("listen").fields.p_mode, "stream");
});

test("servers do not mix: another web root is another bus", () => {
    const world = new World();
    const other = neighbour(world, `pushlet:${ORIGIN}/other/pushlet.srv`);
    world.page().live();
    world.pass(60000);
    assert.deepEqual(other.heard, []);
});
