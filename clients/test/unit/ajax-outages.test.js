// When the server fails the page: what is told, what is tried, and that everything is as before when it is over.
import assert from "node:assert/strict";
import test from "node:test";
import { World, seeded } from "./ajax-world.js";

const URL = "http://host.example/pushlet/pushlet.srv";
const listenAck = (id, sid) => ({ p_event: "join-listen-ack", p_id: id, p_mode: "pull", ...(sid && { p_sid: sid }) });
const refreshEvent = { p_event: "refresh", p_wait: 2000 };
const data = (fields) => ({ p_event: "data", p_subject: "/a", ...fields });

// Answers a refresh as a server that has nothing to say.
const empty = (exchange) => exchange.events({ p_event: "refresh-ack" }, { p_event: "hb" }, refreshEvent);

const LIVE = { state: "listening", mode: "pull", tries: 0, reason: "", nextTryInMs: 0 };

const FAILURES = [
    ["no network", (exchange) => exchange.cut(), /cannot be reached/],
    [
        "status 404",
        (exchange) => exchange.refuse(404, "There is nothing at this URL."),
        /status 404 \(There is nothing/,
    ],
    ["status 500", (exchange) => exchange.refuse(500, "", { "Content-Type": "text/html" }), /status 500 \(Refused\)/],
    ["status 502", (exchange) => exchange.refuse(502), /status 502/],
    ["status 204", (exchange) => exchange.answer("", { status: 204, statusText: "No Content" }), /status 204/],
    ["no XML", (exchange) => exchange.answer("<p>Sign in<br>to the network"), /not the XML of a Pushlet server/],
    ["no events", (exchange) => exchange.answer("<html></html>"), /not the XML of a Pushlet server/],
    ["an empty answer", (exchange) => exchange.answer(""), /not the XML of a Pushlet server/],
    ["half an answer", (exchange) => exchange.answer('<pushlet><event p_event="refresh-ack" /><ev'), /not the XML/],
];

test("each failure of a refresh is told once, with what, where, why and when, and the session goes on", () => {
    for (const [what, happens, why] of FAILURES) {
        const world = new World();
        happens(world.listening());
        const heard = world.news();
        assert.deepEqual(
            heard.map(({ name }) => name),
            ["onError"],
            what,
        );
        const [{ p_reason: reason, p_wait: wait, p_event: event }] = heard;
        assert.equal(event, "error");
        assert.match(reason, why);
        assert.ok(reason.startsWith(`refresh at ${URL} failed: `), reason);
        assert.ok(reason.endsWith(`; trying again in ${wait} ms.`), reason);
        assert.ok(!reason.includes("ID1"), "the secret id");
        assert.equal(world.PL.state, world.PL.STATE_ERROR);
        const status = world.PL.getStatus();
        assert.deepEqual(
            { ...status },
            { state: "waiting", mode: "pull", tries: 1, reason, nextTryInMs: Number(wait) },
        );
        world.advance(Number(wait) - 1);
        assert.equal(world.waiting().length, 0, "too early");
        world.advance(1);
        assert.equal(world.PL.getStatus().state, "trying");
        // P-31: the server keeps the session for a while.
        const again = world.waiting()[0];
        assert.equal(again.params.p_event, "refresh");
        again.part('<pushlet><event p_event="refresh-ack" />');
        assert.deepEqual(world.names(), ["onRefreshAck", "onRejoined"]);
        assert.equal(world.heard[1].p_id, "ID1");
        assert.deepEqual({ ...world.PL.getStatus() }, LIVE);
        again.answer('<event p_event="hb" /><event p_event="refresh" p_wait="2000" /></pushlet>');
        assert.deepEqual(world.names(), ["onRefreshAck", "onRejoined", "onHeartbeat"]);
        world.next("refresh");
    }
});

test("a request without an end is cut after 45 s, or what the page says", () => {
    for (const limit of [45000, 90000]) {
        const world = new World();
        world.PL.requestTimeout = limit;
        const hung = world.listening();
        hung.part('<pushlet><event p_event="refresh-ack" />');
        world.advance(limit - 1);
        assert.deepEqual(world.names(), ["onRefreshAck"]);
        world.advance(1);
        assert.ok(hung.aborted);
        assert.match(world.heard[1].p_reason, new RegExp(`no complete answer in ${limit / 1000} s`));
        world.next("refresh");
    }
});

// Full jitter: between a floor and first, twice first, ... longest.
test("pauses grow at random up to a bound, and one error tells of them all", () => {
    for (const seed of [1, 2, 3, 4, 5]) {
        const world = new World({ seed });
        const dice = seeded(seed);
        world.PL.join();
        const waits = [];
        for (let tries = 1; tries <= 12; tries += 1) {
            world.next("join").cut();
            const expected = Math.round(Math.max(100, dice() * Math.min(20000, 500 * 2 ** (tries - 1))));
            const last = world.heard.at(-1);
            assert.equal(Number(last.p_wait), expected);
            assert.equal(Number(last.p_tries), tries);
            assert.equal(world.PL.getStatus().tries, tries);
            waits.push(expected);
        }
        assert.deepEqual(world.names(), ["onError", ...Array(11).fill("onRetry")]);
        assert.ok(Math.max(...waits) > 5000, "it does not grow");
        world.news();
        world.next("join").events({ p_event: "join-ack", p_id: "ID1" });
        assert.deepEqual(world.names(), ["onJoinAck", "onRejoined"]);
    }
});

test("the page may set the pauses", () => {
    const world = new World({ random: () => 0.999 });
    world.PL.retry = { first: 1000, longest: 3000 };
    world.PL.join();
    const waits = [1, 2, 3, 4].map(() => {
        world.next("join").cut();
        return Math.round(Number(world.heard.at(-1).p_wait) / 100) * 100;
    });
    assert.deepEqual(waits, [1000, 2000, 3000, 3000]);
    world.PL.retry = {};
    world.next("join").cut();
    assert.ok(Number(world.heard.at(-1).p_wait) > 7000, "the defaults stand in for what is missing");
});

test("Retry-After is obeyed, as seconds or as a date, within reason", () => {
    const cases = [
        ["7", 7000],
        ["86400", 60000],
        ["Thu, 01 Jan 1970 00:16:45 GMT", 5000], // The clock of a world begins at 1000 s.
        ["Thu, 01 Jan 1970 00:00:01 GMT", 0],
        ["soon", 0],
    ];
    for (const [header, least] of cases) {
        const world = new World();
        world.PL.join();
        world.next("join").refuse(503, "busy", { "Retry-After": header });
        const wait = Number(world.heard[0].p_wait);
        assert.ok(wait >= least && wait <= least + 500, `${header}: ${wait}`);
    }
});

test("the pauses start anew after a good listen", () => {
    const world = new World({ random: () => 0.999 });
    let refresh = world.listening();
    for (let n = 0; n < 4; n += 1) {
        refresh.cut();
        refresh = world.next("refresh");
    }
    assert.ok(Number(world.heard.at(-1).p_wait) > 3000);
    empty(refresh);
    world.next("refresh").cut();
    assert.ok(Number(world.heard.at(-1).p_wait) <= 500);
});

// A server that acks and breaks again is not asked ever faster.
test("a connection that breaks behind each ack slows the client down", () => {
    const world = new World({ random: () => 0.999 });
    let refresh = world.listening();
    for (let n = 0; n < 5; n += 1) {
        refresh.part('<pushlet><event p_event="refresh-ack" />');
        refresh.cut();
        refresh = world.next("refresh");
    }
    assert.ok(Number(world.heard.at(-1).p_wait) > 7000);
});

test("P-8: an unknown id is a new session at once, with all subscriptions in their order", () => {
    const world = new World();
    const refresh = world.listening("/a");
    world.PL.subscribe("/b,/c", "the label");
    world.next("subscribe").events({ p_event: "subscribe-ack", p_sid: "s2", p_label: "the label" });
    world.PL.listen("/d");
    world.next("listen").events({ p_event: "listen-ack", p_sid: "s3" }, refreshEvent);
    refresh.events({ p_event: "refresh-ack" });
    world.news();

    world.next("refresh").expire();
    const [error] = world.news();
    assert.equal(error.name, "onError");
    assert.ok(Number(error.p_wait) <= 500);
    assert.match(error.p_reason, /does not know the session any more; joining again in \d+ ms\.$/);
    const join = world.next("join-listen");
    assert.ok(world.clock.now, "at once");
    assert.deepEqual(join.params, {
        p_event: "join-listen",
        p_format: "xml-strict",
        p_mode: "pull",
        p_subject: "/a",
    });
    join.events(listenAck("ID2", "s1"), refreshEvent);
    const second = world.next("subscribe");
    assert.deepEqual(second.params, { p_event: "subscribe", p_subject: "/b,/c", p_label: "the label", p_id: "ID2" });
    second.events({ p_event: "subscribe-ack", p_sid: "s2" });
    const third = world.next("subscribe");
    assert.deepEqual(third.params, { p_event: "subscribe", p_subject: "/d", p_id: "ID2" });
    assert.deepEqual(world.names(), [], "the page hears of no ack that it did not ask for");
    third.events({ p_event: "subscribe-ack", p_sid: "s3" });
    assert.deepEqual(world.news(), [{ name: "onRejoined", p_event: "rejoined", p_id: "ID2" }]);
    assert.equal(world.PL.sessionId, "ID2");
    assert.equal(world.next("refresh").params.p_id, "ID2");
});

test("an unknown id again and again is not asked for in a circle", () => {
    const world = new World({ random: () => 0.999 });
    world.listening().expire();
    for (let n = 0; n < 4; n += 1) world.next("join-listen").expire();
    const waits = world.heard.map((each) => Math.round(Number(each.p_wait) / 500) * 500);
    assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000]);
});

test("a long outage ends with a join, even after slow tries", () => {
    const world = new World({ random: () => 0.999 });
    let refresh = world.listening();
    for (let n = 0; n < 5; n += 1) {
        refresh.cut();
        refresh = world.next("refresh");
    }
    refresh.expire();
    assert.ok(Number(world.heard.at(-1).p_wait) <= 500, "the server is back");
    world.next("join-listen");

    // P-31: after 45 s there is nothing left of the session.
    const other = new World({ random: () => 0.999 });
    other.listening();
    const begin = other.clock.now;
    while (other.waiting("join-listen").length === 0) {
        for (const each of other.waiting()) each.cut();
        other.advance(100);
    }
    const age = other.clock.now - begin;
    assert.ok(age > 45000 && age < 66000, `${age}`);
});

// The page goes on with the sid that it was told, whatever the new session calls the subscription.
test("sids that the page knows keep their meaning", () => {
    const world = new World();
    world.listening("/a");
    world.PL.subscribe("/b");
    world.next("subscribe").events({ p_event: "subscribe-ack", p_sid: "s2", p_subject: "/b" });
    world.PL.unsubscribe("s1");
    world.next("unsubscribe").events({ p_event: "unsubscribe-ack", p_sid: "s1", p_subject: "/a" });
    world.next("refresh").expire();
    world.next("join-listen").events(listenAck("ID2", "s1"), refreshEvent); // What the page calls s2.
    world.news();

    world.PL.subscribe("/c");
    world.next("subscribe").events({ p_event: "subscribe-ack", p_sid: "s2", p_subject: "/c" });
    const [{ p_sid: third }] = world.news();
    assert.notEqual(third, "s2");
    world.next("refresh").events({ p_event: "refresh-ack" }, data({ p_sid: "s1" }), data({ p_sid: "s2" }), data({}));
    const heard = world.news().filter(({ name }) => name === "onData");
    assert.deepEqual(
        heard.map((each) => each.p_sid),
        ["s2", third, undefined],
    );

    // s1 ended long ago. To the server it is another subscription now.
    world.PL.unsubscribe("s1");
    assert.deepEqual(world.news(), [
        { name: "onNack", p_event: "nack", p_id: "ID2", p_reason: "no subscription for sid=s1" },
    ]);
    world.PL.unsubscribe("s2");
    const unsubscribe = world.next("unsubscribe");
    assert.equal(unsubscribe.params.p_sid, "s1");
    unsubscribe.events({ p_event: "unsubscribe-ack", p_sid: "s1", p_subject: "/b" });
    assert.equal(world.news()[0].p_sid, "s2");
    world.PL.unsubscribe(third);
    assert.equal(world.next("unsubscribe").params.p_sid, "s2");
});

test("an unsubscribed subject is not subscribed again; nor is anything after unsubscribe()", () => {
    const world = new World();
    world.listening("/a");
    world.PL.subscribe("/b");
    world.next("subscribe").events({ p_event: "subscribe-ack", p_sid: "s2" });
    world.PL.unsubscribe();
    world.next("unsubscribe").events({ p_event: "unsubscribe-ack", p_id: "ID1" });
    world.next("refresh").expire();
    const join = world.next("join-listen");
    assert.equal(join.params.p_subject, undefined);
    join.events(listenAck("ID2"), refreshEvent);
    assert.equal(world.next("refresh").params.p_id, "ID2");
});

test("a subscription that is refused in the new session is told, and does not stop the others", () => {
    const world = new World();
    world.listening("/a");
    world.PL.subscribe("/b");
    world.next("subscribe").events({ p_event: "subscribe-ack", p_sid: "s2" });
    world.next("refresh").expire();
    world.news();
    world.next("join-listen").events({ p_event: "nack", p_reason: "no longer" });
    assert.deepEqual(world.names(), ["onNack", "onRetry"]);
    world.news();
    const join = world.next("join-listen");
    assert.equal(join.params.p_subject, "/b");
    join.events(listenAck("ID2", "s1"), refreshEvent);
    assert.deepEqual(world.names(), ["onRejoined"]);
});

test("P-32: an abort is told, and the page comes back", () => {
    const world = new World();
    const refresh = world.listening();
    refresh.events({ p_event: "refresh-ack" }, data({ n: 1 }), {
        p_event: "abort",
        p_reason: "the server is shutting down",
    });
    assert.deepEqual(world.names(), ["onRefreshAck", "onData", "onAbort", "onError"]);
    assert.match(
        world.heard[3].p_reason,
        /the server ended the session: the server is shutting down; joining again in/,
    );
    world.news();
    world.next("join-listen").refuse(503, "the server is shutting down", { "Retry-After": "5" });
    const begin = world.clock.now;
    world.next("join-listen").events(listenAck("ID2", "s1"), refreshEvent);
    assert.ok(world.clock.now - begin >= 5000);
    assert.deepEqual(world.names(), ["onRetry", "onRejoined"]);
});

// P-26, P-27: an answer without refresh, and not after a call of ours.
test("a refresh that ends without its refresh event is followed by another", () => {
    const world = new World();
    world.listening().events({ p_event: "refresh-ack" });
    assert.deepEqual(world.names(), ["onRefreshAck"]);
    world.next("refresh").expire();
    world.next("join-listen");
});

test("P-26: a listen while a refresh waits leaves one channel, and no event is lost", () => {
    const world = new World();
    const old = world.listening("/a");
    world.PL.listen("/b");
    world.next("listen").events({ p_event: "listen-ack", p_sid: "s2" }, refreshEvent);
    old.events({ p_event: "refresh-ack" }, data({ n: 1 }));
    assert.deepEqual(world.names(), ["onListenAck", "onRefreshAck", "onData"]);
    const next = world.next("refresh");
    world.advance(10000);
    assert.equal(world.waiting("refresh").length, 1);
    empty(next);
    world.advance(2500);
    assert.equal(world.waiting("refresh").length, 1);
});

test("a refresh that is nacked is a lost session", () => {
    const world = new World();
    world.listening().events({ p_event: "nack", p_reason: "the session does not listen yet" });
    assert.deepEqual(world.names(), ["onNack", "onError"]);
    world.next("join-listen");
});

test("calls during an outage wait and go out after it, in their order", () => {
    const world = new World();
    world.listening().expire();
    world.window.p_publish("/a", "n", 1);
    world.PL.subscribe("/b");
    world.window.p_publish("/a", "n", 2);
    world.advance(99);
    assert.equal(world.waiting().length, 0);
    world.next("join-listen").events(listenAck("ID2", "s1"), refreshEvent);
    const first = world.next("publish");
    assert.equal(first.params.p_id, "ID2");
    first.events({ p_event: "publish-ack" });
    world.next("subscribe").events({ p_event: "subscribe-ack", p_sid: "s2" });
    assert.equal(world.next("publish").params.n, "2");
});

test("at most 1000 calls wait, and a leave always does", () => {
    const world = new World();
    world.listening().expire();
    world.news();
    for (let n = 0; n < 1002; n += 1) world.window.p_publish("/a", "n", n);
    assert.deepEqual(world.names(), ["onError", "onError"]);
    assert.equal(world.heard[0].p_request, "publish");
    assert.match(world.heard[0].p_reason, /^publish is dropped: 1000 calls wait/);
    world.PL.leave();
    world.advance(1);
    assert.equal(world.PL.getStatus().state, "ready");
});

test("a control request that breaks in the pause of the channel does not end the channel", () => {
    const world = new World();
    empty(world.listening());
    world.window.p_publish("/a", "n", 1);
    world.next("publish").cut();
    assert.equal(world.waiting().length, 0);
    empty(world.next("refresh"));
    world.next("refresh");
    assert.ok(world.names().includes("onRejoined"));
});

test("a publish that broke in flight is told and not repeated; what did not leave is sent", () => {
    for (const [what, happens] of FAILURES) {
        const world = new World();
        world.listening();
        world.window.p_publish("/a", "n", 1);
        world.window.p_publish("/a", "n", 2);
        happens(world.next("publish"));
        const [error, ...more] = world.news();
        assert.deepEqual(more, [], what);
        assert.equal(error.name, "onError");
        assert.equal(error.p_request, "publish");
        assert.equal(error.p_subject, "/a");
        assert.match(error.p_reason, /^publish at .* is not repeated/);
        if (what !== "status 404" && what !== "status 204") {
            assert.match(error.p_reason, /it may have arrived and is not repeated, trying again in \d+ ms\.$/);
            world.next("hb").events({ p_event: "hb-ack" });
            assert.deepEqual(world.names(), ["onRejoined"]);
        } else {
            assert.match(error.p_reason, /it was not taken and is not repeated\.$/);
            assert.equal(error.p_wait, undefined);
        }
        assert.equal(world.next("publish").params.n, "2", what);
        assert.equal(world.waiting("refresh").length, 1, "the channel was well");
    }
});

test("a publish that the server surely did not take is sent again", () => {
    for (const happens of [(exchange) => exchange.refuse(503), (exchange) => exchange.expire()]) {
        const world = new World();
        const refresh = world.listening();
        world.window.p_publish("/a", "n", 1);
        happens(world.next("publish"));
        assert.equal(world.news()[0].p_request, undefined);
        if (refresh.aborted) world.next("join-listen").events(listenAck("ID2", "s1"), refreshEvent);
        else world.next("hb").events({ p_event: "hb-ack" });
        assert.equal(world.next("publish").params.n, "1");
    }
});

test("a publish that breaks while an outage is known is told as well", () => {
    const world = new World();
    const refresh = world.listening();
    world.window.p_publish("/a", "n", 1);
    const publish = world.next("publish");
    refresh.cut();
    publish.cut();
    assert.deepEqual(world.names(), ["onError", "onError"]);
    assert.equal(world.heard[1].p_request, "publish");
    assert.equal(world.heard[1].p_wait, undefined);
    empty(world.next("refresh"));
    assert.equal(world.waiting("publish").length, 0);
    assert.equal(world.requests.filter((each) => each.event === "publish").length, 1);
});

test("other requests are sent again, but not for ever", () => {
    const world = new World();
    world.listening();
    world.PL.subscribe("/poison");
    world.PL.subscribe("/good");
    for (let n = 0; n < 3; n += 1) {
        const sent = world.next("subscribe");
        assert.equal(sent.params.p_subject, "/poison");
        sent.refuse(500);
        world.next("hb").events({ p_event: "hb-ack" });
    }
    assert.equal(world.next("subscribe").params.p_subject, "/good");
    const told = world.heard.filter((each) => each.p_request === "subscribe");
    assert.equal(told.length, 1);
    assert.match(told[0].p_reason, /is not repeated/);
});

test("a request that the server refuses by itself ends nothing else", () => {
    const world = new World();
    world.listening();
    world.PL.subscribe("/a".repeat(9));
    world.next("subscribe").refuse(414, "The request line is too long.");
    assert.deepEqual(world.names(), ["onError"]);
    assert.match(world.heard[0].p_reason, /status 414 \(The request line is too long\); it was not taken/);
    assert.equal(world.PL.getStatus().state, "listening");
    world.PL.heartbeat();
    world.next("hb");
});

test("a nack changes nothing", () => {
    const world = new World();
    world.listening();
    world.PL.unsubscribe("s9");
    world.next("unsubscribe").events({ p_event: "nack", p_id: "ID1", p_reason: "no subscription for sid=s9" });
    world.PL.listen("");
    world.next("listen").events({ p_event: "nack", p_id: "ID1", p_reason: "empty subject" });
    assert.deepEqual(world.names(), ["onNack", "onNack"]);
    assert.equal(world.PL.getStatus().state, "listening");
    empty(world.waiting("refresh")[0]);
    world.next("refresh");
});

test("a page that only joined is watched by its own requests", () => {
    const world = new World();
    world.PL.join();
    world.next("join").events({ p_event: "join-ack", p_id: "ID1" });
    world.PL.subscribe("/a");
    world.next("subscribe").events({ p_event: "subscribe-ack", p_sid: "s1" });
    world.news();
    world.PL.heartbeat();
    world.next("hb").expire();
    world.next("join").events({ p_event: "join-ack", p_id: "ID2" });
    world.next("subscribe").events({ p_event: "subscribe-ack", p_sid: "s1" });
    assert.deepEqual(world.names(), ["onError", "onRejoined"]);
    world.next("hb").events({ p_event: "hb-ack" });
    assert.deepEqual(world.names(), ["onError", "onRejoined", "onHeartbeatAck"]);
    assert.equal(world.PL.state, world.PL.STATE_JOINED);
});

test("nothing is retried after a leave, and a join works again", () => {
    const world = new World();
    world.listening().cut();
    world.window.p_publish("/a", "n", 1);
    world.PL.leave();
    const leave = world.next("leave");
    assert.equal(world.PL.getStatus().state, "ready");
    leave.cut();
    assert.deepEqual(world.names(), ["onError", "onLeaveAck"]);
    const before = world.requests.length;
    world.advance(300000);
    assert.equal(world.requests.length, before);
    assert.equal(world.clock.timers.size, 0);
    world.news();
    world.listening("/b", { id: "ID2" });
    assert.equal(world.PL.sessionId, "ID2");
});

test("a leave in the error's own callback, and of a session that is gone", () => {
    const world = new World();
    world.window.onError = () => world.PL.leave();
    world.listening().expire();
    world.advance(60000);
    assert.deepEqual(world.names(), ["onLeaveAck"]);
    assert.deepEqual(world.waiting(), []);
});

test("a leave during the first tries to join withdraws the join", () => {
    const world = new World();
    world.PL.join();
    world.next("join").cut();
    world.PL.leave();
    world.advance(60000);
    assert.equal(world.requests.length, 1);
    assert.equal(world.PL.getStatus().state, "ready");
    // While a try is under way the leave comes behind it.
    world.PL.join();
    world.next("join").cut();
    const second = world.next("join");
    world.PL.leave();
    second.events({ p_event: "join-ack", p_id: "ID1" });
    assert.equal(world.next("leave").params.p_id, "ID1");
});

test("a leave that waits behind a request that breaks is carried out", () => {
    const world = new World();
    world.listening();
    world.window.p_publish("/a", "n", 1);
    world.PL.leave();
    world.next("publish").cut();
    world.next("leave").events({ p_event: "leave-ack", p_id: "ID1" });
    assert.equal(world.waiting().length, 0);
    assert.ok(world.names().includes("onLeaveAck"));
});

test("P-27: the refresh that waits ends with the leave", () => {
    const world = new World();
    const refresh = world.listening();
    world.PL.leave();
    world.next("leave").events({ p_event: "leave-ack", p_id: "ID1" });
    assert.ok(refresh.aborted);
    world.advance(100000);
    assert.equal(world.waiting().length, 0);
    assert.equal(world.clock.timers.size, 0);
});

test("the network that is back shortens a long pause", () => {
    const world = new World({ random: () => 0.999 });
    let refresh = world.listening();
    for (let n = 0; n < 4; n += 1) {
        refresh.cut();
        if (n < 3) refresh = world.next("refresh");
    }
    assert.ok(world.PL.getStatus().nextTryInMs > 3000);
    world.fire("window", "online", {});
    world.advance(500);
    world.next("refresh", 0);
});

test("a request that cannot even be made is a failure like others", () => {
    const world = new World({ unsendable: true });
    world.PL.join();
    world.advance(1);
    assert.deepEqual(world.names(), ["onError"]);
    assert.match(world.heard[0].p_reason, /could not be made \(not allowed\)/);
});

// A balancer that sends each request to another server: joining works, and helps nothing.
test("a session that is lost right after each join slows the client down", () => {
    const world = new World({ random: () => 0.999 });
    let refresh = world.listening();
    const waits = [];
    for (let n = 0; n < 4; n += 1) {
        refresh.expire();
        waits.push(Math.round(Number(world.heard.at(-1).p_wait) / 500) * 500);
        world.next("join-listen").events(listenAck(`ID${n}`, "s1"), refreshEvent);
        refresh = world.next("refresh");
    }
    assert.deepEqual(waits, [500, 1000, 2000, 4000]);
    empty(refresh);
    world.next("refresh").expire();
    assert.ok(Number(world.heard.at(-1).p_wait) <= 500, "all is well in between");
});

// P-22: the address by which others reach the page is new as well, and no ack of the re-join is told.
test("P-22: onRejoined tells the address, the new one or that of the session that went on", () => {
    const world = new World();
    world.PL.joinListen("/a");
    const ack = (id, address) => ({ ...listenAck(id, "s1"), p_from: address });
    world.next("join-listen").events(ack("ID1", "addr1"), refreshEvent);
    world.next("refresh").cut();
    empty(world.next("refresh"));
    world.next("refresh").expire();
    world.next("join-listen").events(ack("ID2", "addr2"), refreshEvent);
    const heard = world.heard.filter(({ name }) => name === "onRejoined");
    assert.deepEqual(
        heard.map(({ p_id: id, p_from: from }) => [id, from]),
        [
            ["ID1", "addr1"],
            ["ID2", "addr2"],
        ],
    );
});

test("an ack of a join without an id is no session", () => {
    const world = new World();
    world.PL.joinListen("/a");
    world.next("join-listen").events({ p_event: "join-listen-ack", p_sid: "s1" }, refreshEvent);
    assert.match(world.heard.at(-1).p_reason, /the answer names no session; trying again/);
    world.next("join-listen").events(listenAck("ID1", "s1"), refreshEvent);
    world.advance(5000);
    assert.deepEqual(
        world.requests.map(({ event }) => event),
        ["join-listen", "join-listen", "refresh"],
    );
});

test("a join in the callback of a join replaces it, and is no failure", () => {
    const world = new World();
    world.window.onJoinAck = () => world.PL.joinListen("/a");
    world.PL.join();
    world.next("join").events({ p_event: "join-ack", p_id: "ID1" });
    assert.equal(world.next("leave", 0).params.p_id, "ID1");
    world.next("join-listen", 0).events(listenAck("ID2", "s1"), refreshEvent);
    world.next("refresh");
    assert.deepEqual(world.names(), ["onJoinListenAck"]);
});

test("a server that answers 400 to every join is asked ever more slowly, and told of once", () => {
    const world = new World({ random: () => 0.999 });
    world.PL.joinListen("/a");
    world.PL.subscribe("/b");
    const waits = [];
    for (let n = 0; n < 8; n += 1) {
        world.next("join-listen").refuse(400, "No eventType specified");
        waits.push(Math.round(Number(world.heard.at(-1).p_wait) / 500) * 500);
    }
    assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]);
    assert.deepEqual(world.names(), ["onError", ...Array(7).fill("onRetry")]);
    world.next("join-listen").events(listenAck("ID1", "s1"), refreshEvent);
    world.next("subscribe");
});

test("setWebRoot while the client waits is tried soon, and an unchanged one changes nothing", () => {
    const world = new World({ random: () => 0.5 });
    world.PL.retry = { first: 20000 };
    world.PL.joinListen("/a");
    world.next("join-listen").cut();
    assert.equal(world.PL.getStatus().nextTryInMs, 10000);
    world.window.p_embed("/pushlet/");
    assert.equal(world.PL.getStatus().nextTryInMs, 10000);
    world.PL.retry = {};
    world.PL.setWebRoot("http://other.example/push");
    assert.equal(world.PL.getStatus().nextTryInMs, 250);
    assert.match(world.next("join-listen").url, /^http:\/\/other\.example\/push\/pushlet\.srv\?/);
});

test("a page that publishes its errors does not go round in a circle when the queue is full", () => {
    const world = new World();
    world.listening().expire();
    let errors = 0;
    world.window.onError = () => {
        errors += 1;
        world.window.p_publish("/errors", "n", errors);
    };
    for (let n = 0; n < 1001; n += 1) world.window.p_publish("/a", "n", n);
    assert.equal(errors, 1);
    assert.deepEqual(world.thrown, []);
});

test("P-27: no refresh follows the call of leave, whatever the timers say", () => {
    const world = new World();
    empty(world.listening());
    world.news();
    world.PL.leave();
    const leave = world.next("leave", 0);
    world.advance(10000);
    assert.deepEqual(
        world.waiting().map(({ event }) => event),
        ["leave"],
    );
    leave.events({ p_event: "leave-ack", p_id: "ID1" });
    world.advance(100000);
    assert.deepEqual(world.names(), ["onLeaveAck"]);
    assert.equal(world.waiting().length, 0);
    // The same where the leave has to wait for another request.
    world.listening("/b", { id: "ID2" }).answer("<pushlet><event p_event='refresh-ack' /></pushlet>");
    world.window.p_publish("/b", "n", 1);
    world.PL.leave();
    world.advance(10000);
    assert.equal(world.waiting("refresh").length, 0);
    world.next("publish").events({ p_event: "publish-ack" });
    assert.equal(world.next("leave", 0).params.p_id, "ID2");
});

test("what fails while a leave is under way is not told, and nothing is tried again", () => {
    for (const happens of [(exchange) => exchange.cut(), (exchange) => exchange.expire()]) {
        for (const answer of [happens, (exchange) => exchange.events({ p_event: "nack", p_reason: "no" })]) {
            const world = new World();
            const refresh = world.listening();
            world.PL.leave();
            const leave = world.next("leave", 0);
            happens(refresh);
            answer(leave);
            world.advance(100000);
            assert.equal(world.names().filter((name) => name === "onLeaveAck").length, 1);
            assert.ok(!world.names().includes("onError"));
            assert.equal(world.PL.getStatus().state, "ready");
            assert.equal(world.waiting().length, 0);
            assert.equal(world.clock.timers.size, 0);
        }
    }
});

test("a late failure of a leave does not end the session that came after it", () => {
    const world = new World();
    world.listening().cut();
    world.PL.leave();
    const leave = world.next("leave");
    world.listening("/b", { id: "ID2" });
    leave.cut();
    assert.equal(world.heard.at(-1).p_id, "ID1");
    assert.equal(world.PL.getStatus().state, "listening");
    assert.equal(world.waiting("refresh").length, 1);
});

// ---- The end of a page, and its way back
