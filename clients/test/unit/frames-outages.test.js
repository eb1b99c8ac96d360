// What the iframe client does when things go wrong: it says so once, tries again at a growing distance, and loses
// nothing it can keep.
import assert from "node:assert/strict";
import test from "node:test";
import { ORIGIN, World } from "./frames-world.js";

const place = `${ORIGIN}/pushlet/pushlet.srv`;
const expired = "Invalid or expired id: ID1";
const listenAck = { p_event: "listen-ack", p_id: "ID2", p_mode: "stream" };

function live(options) {
    const world = new World();
    const page = world.page(options);
    return { world, page, stream: page.live(options) };
}

// Ends an outage by a new session, which `subscriptions` = [[subject, label or undefined, new p_sid]] must be
// restored in.
function rejoin(page, subscriptions, { id = "ID2", listens = true } = {}) {
    page.next("join").answer({ p_event: "join-ack", p_id: id });
    for (const [subject, label, sid] of subscriptions) {
        const request = page.next("subscribe");
        assert.deepEqual([request.fields.p_id, request.fields.p_subject, request.fields.p_label], [id, subject, label]);
        request.answer({ p_event: "subscribe-ack", p_sid: sid });
    }
    if (!listens) return undefined;
    const listen = page.next("listen");
    assert.equal(listen.fields.p_subject, undefined);
    return listen.events({ ...listenAck, p_id: id }, { p_seq: 1, p_event: "hb" });
}

test("P-31: a broken stream goes on with its session; the page hears of it once", () => {
    const { world, page, stream } = live();
    stream.fail();
    assert.deepEqual(page.takeNews(), [
        [
            "onError",
            {
                p_event: "error",
                p_reason: `The data channel at ${place} was closed; trying again in 500 ms.`,
                p_wait: "500",
                p_tries: "1",
            },
        ],
    ]);
    world.pass(200);
    const { reason, ...status } = page.status();
    assert.deepEqual(status, { state: "waiting", mode: "stream", tries: 1, nextTryInMs: 300 });
    assert.match(reason, /was closed/);
    world.pass(300);
    assert.equal(page.status().state, "trying");
    const refresh = page.next("refresh");
    assert.equal(refresh.query, "p_event=refresh&p_id=ID1");
    refresh.events({ p_event: "refresh-ack" });
    assert.deepEqual(page.takeNews(), [["onRejoined", { p_event: "rejoined", p_id: "ID1" }]]);
    refresh.events({ p_event: "data", p_sid: "s1", n: "1" });
    assert.deepEqual(page.takeNames(), ["onData"]);
    assert.deepEqual(page.status(), { state: "listening", mode: "stream", tries: 0, reason: "", nextTryInMs: 0 });
});

test("a session that is gone is joined again: all subscriptions and labels, in order, and no ack is told twice", () => {
    const { world, page, stream } = live();
    page.subscribe("/b", "s2", "the label &");
    page.subscribe("/c,/d", "s3");
    stream.fail();
    world.pass(500);
    page.next("refresh").text(400, expired);
    world.pass(1000);
    const subscriptions = [
        ["/a", undefined, "t1"],
        ["/b", "the label &", "t2"],
        ["/c,/d", undefined, "t3"],
    ];
    const again = rejoin(page, subscriptions);
    assert.deepEqual(page.takeNames(), ["onError", "onRetry", "onRejoined", "onHeartbeat"]);
    assert.equal(page.call("p_getSessionId"), "ID2");
    assert.deepEqual(page.told, []);
    // The page goes on with the p_sid that it knows.
    again.events({ p_event: "data", p_sid: "t2" }, { p_event: "data", p_sid: "t9" }, { p_event: "data" });
    assert.deepEqual(
        page.takeNews().map(([, fields]) => fields.p_sid),
        ["s2", "t9", undefined],
    );
    page.call("p_unsubscribe", "s2");
    const unsubscribe = page.next("unsubscribe");
    assert.equal(unsubscribe.fields.p_sid, "t2");
    unsubscribe.answer({ p_event: "unsubscribe-ack", p_sid: "t2", p_subject: "/b" });
    assert.deepEqual(page.takeNews(), [
        ["onUnsubscribeAck", { p_event: "unsubscribe-ack", p_sid: "s2", p_subject: "/b" }],
    ]);
    // What has ended is not restored.
    again.fail();
    world.pass(20000);
    page.next("refresh").text(400, expired);
    world.pass(20000);
    rejoin(page, [subscriptions[0], subscriptions[2]], { id: "ID3" });
});

test("P-34: a new session counts its p_sid from the start; the page never sees one for two subscriptions", () => {
    const { world, page, stream } = live();
    page.subscribe("/b", "s2");
    page.call("p_unsubscribe", "s1");
    page.next("unsubscribe").answer({ p_event: "unsubscribe-ack", p_sid: "s1" });
    stream.fail();
    world.pass(500);
    page.next("refresh").text(400, expired);
    world.pass(1000);
    const again = rejoin(page, [["/b", undefined, "s1"]]);
    page.takeNews();
    // What the page knows as s1 has ended: the server's s1 is the page's s2.
    page.call("p_unsubscribe", "s1");
    assert.deepEqual(page.requests, []);
    assert.deepEqual(page.takeNews(), [
        ["onNack", { p_event: "nack", p_id: "ID2", p_reason: "no subscription for sid=s1" }],
    ]);
    const [[, third]] = page.subscribe("/c", "s2");
    assert.equal(third.p_sid, "s2-2");
    again.events({ p_event: "data", p_sid: "s1" }, { p_event: "data", p_sid: "s2" });
    assert.deepEqual(
        page.takeNews().map(([, fields]) => fields.p_sid),
        ["s2", "s2-2"],
    );
    page.call("p_unsubscribe", "s2-2");
    assert.equal(page.next("unsubscribe").fields.p_sid, "s2");
});

// Full jitter: with the dice at their highest and at their lowest.
for (const [dice, setting, waits] of [
    [1 - 2 ** -53, undefined, [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]],
    [0, undefined, [100, 100, 100, 100]],
    [0.5, undefined, [300, 550, 1050, 2050]],
    [1 - 2 ** -53, { first: 50, longest: 120 }, [50, 100, 120, 120]],
    [1 - 2 ** -53, { first: -1, longest: "x" }, [500, 1000]],
]) {
    test(`the distance of tries with dice ${dice.toFixed(1)} and ${JSON.stringify(setting)}`, () => {
        const { world, page, stream } = live({ dice, globals: { p_retry: setting } });
        stream.fail();
        for (const [at, wait] of waits.entries()) {
            const { tries, nextTryInMs } = page.status();
            assert.deepEqual([tries, nextTryInMs], [at + 1, wait]);
            world.pass(wait - 1);
            assert.deepEqual(page.requests, []);
            world.pass(1);
            page.next("refresh").fail();
        }
        const news = page.takeNews();
        assert.deepEqual(
            news.map(([name]) => name),
            ["onError", ...waits.map(() => "onRetry")],
        );
        assert.deepEqual(news.map(([, fields]) => Number(fields.p_wait)).slice(0, waits.length), waits);
        assert.match(news[1][1].p_reason, /^refresh at .* failed: no connection; trying again in \d+ ms\.$/);
    });
}

const pause = ({ tries, nextTryInMs }) => [tries, nextTryInMs];

test("an outage soon after another goes on with its distance, and is told as a new one; later it begins anew", () => {
    const { world, page, stream } = live();
    stream.fail();
    world.pass(500);
    const second = page.next("refresh").events({ p_event: "refresh-ack" });
    page.takeNews();
    second.fail();
    assert.deepEqual(pause(page.status()), [1, 1000]);
    const [[name, { p_tries: tries }]] = page.takeNews();
    assert.deepEqual([name, tries], ["onError", "1"]);
    world.pass(1000);
    const third = page.next("refresh").events({ p_event: "refresh-ack" });
    assert.deepEqual(page.takeNames(), ["onRejoined"]);
    world.pass(10000);
    third.fail();
    assert.deepEqual(pause(page.status()), [1, 500]);
});

for (const kind of ["data", "hb"]) {
    test(`a stream that brings ${kind} ends the row of failures: the next pause is short`, () => {
        const { world, page, stream } = live();
        stream.fail();
        for (const wait of [500, 1000, 2000]) {
            world.pass(wait);
            page.next("refresh").fail();
        }
        world.pass(4000);
        const again = page.next("refresh").events({ p_event: "refresh-ack" }, { p_event: kind });
        page.takeNews();
        again.fail();
        assert.deepEqual(pause(page.status()), [1, 500]);
        assert.equal(page.takeNews()[0][1].p_tries, "1");
    });
}

test("a pull that is whole ends the row of failures; one that breaks behind its data does not", () => {
    const { world, page, stream } = live({ mode: "pull" });
    stream.fail();
    world.pass(500);
    page.next("refresh").events({ p_event: "refresh-ack" }, { p_event: "data" }).fail();
    assert.deepEqual(pause(page.status()), [1, 1000]);
    world.pass(1000);
    page.next("refresh").events({ p_event: "refresh-ack" }).reload(1500);
    world.pass(1500);
    page.next("refresh").fail();
    assert.deepEqual(pause(page.status()), [1, 500]);
});

test("P-8: a server that is back and does not know the session is joined soon; not so in a circle", () => {
    const { world, page, stream } = live();
    stream.fail();
    for (const wait of [500, 1000, 2000, 4000, 8000]) {
        world.pass(wait);
        page.next("refresh").fail();
    }
    world.pass(16000);
    page.next("refresh").text(400, expired);
    assert.deepEqual(pause(page.status()), [7, 500]);
    world.pass(500);
    // A balancer: the stream lives, and the next request finds a server that does not know it.
    rejoin(page, [["/a", undefined, "s1"]]);
    page.takeNews();
    for (const [id, wait] of [
        ["ID3", 20000],
        ["ID4", 20000],
    ]) {
        page.call("p_heartbeat");
        page.next("hb").text(400, expired);
        assert.deepEqual(pause(page.status()), [1, wait]);
        world.pass(wait);
        rejoin(page, [["/a", undefined, "s1"]], { id });
        page.next("hb").answer({ p_event: "hb-ack" });
    }
    // It has lasted.
    world.pass(10000);
    page.call("p_heartbeat");
    page.next("hb").text(400, expired);
    assert.deepEqual(pause(page.status()), [1, 500]);
});

test("the watchdog: 45 s without a word, heartbeats put it off", () => {
    const { world, page, stream } = live();
    world.pass(44000);
    stream.events({ p_event: "hb" });
    world.pass(44999);
    assert.deepEqual(page.takeNames(), ["onHeartbeat"]);
    world.pass(1);
    const [[name, error]] = page.takeNews();
    assert.equal(name, "onError");
    assert.match(error.p_reason, /was silent for 45 s; trying again/);
    assert.ok(stream.isGone);
    world.pass(500);
    page.next("refresh").events({ p_event: "refresh-ack" });
    assert.deepEqual(page.takeNames(), ["onRejoined"]);
});

test("the watchdog: p_silence is for servers with rare heartbeats", () => {
    const { world, page } = live({ globals: { p_silence: 120000 } });
    world.pass(119999);
    assert.deepEqual(page.takeNames(), []);
    world.pass(1);
    assert.deepEqual(page.takeNames(), ["onError"]);
});

test("the watchdog: a computer that slept reads first what came meanwhile", () => {
    const { world, page, stream } = live();
    world.clock.sleep(600000);
    world.pass(0);
    assert.deepEqual(page.takeNames(), []);
    stream.events({ p_event: "hb" });
    world.pass(44999);
    assert.deepEqual(page.takeNames(), ["onHeartbeat"]);
    world.clock.sleep(600000);
    world.pass(4999);
    assert.deepEqual(page.takeNames(), []);
    world.pass(1);
    assert.deepEqual(page.takeNames(), ["onError"]);
});

test("the watchdog: a pull has 20 s for its wait, and the time until the next one", () => {
    const world = new World();
    const page = world.page();
    page.live({ mode: "pull" }).reload(6000);
    world.pass(6000);
    const refresh = page.next("refresh").events({ p_event: "refresh-ack" });
    world.pass(20000);
    refresh.events({ p_event: "hb" }).reload(6000);
    assert.deepEqual(page.takeNames(), ["onRefreshAck", "onHeartbeat"]);
    world.pass(6000);
    page.next("refresh");
    // Nothing comes any more: 20 s, 6 s, and 10 s for a slow network.
    world.pass(29999);
    assert.deepEqual(page.takeNames(), []);
    world.pass(1);
    assert.deepEqual(page.takeNames(), ["onError"]);
});

test("P-26: a pull that ends without a reload was ended by somebody else: it goes on with its session", () => {
    const world = new World();
    const page = world.page();
    page.live({ mode: "pull" }).reload(2500);
    world.pass(2500);
    page.next("refresh").events({ p_event: "refresh-ack" }).write("</body></html>").end();
    assert.deepEqual(page.takeNames(), ["onRefreshAck", "onError"]);
    world.pass(500);
    const refresh = page.next("refresh").events({ p_event: "refresh-ack" });
    refresh.reload(2500);
    assert.deepEqual(page.takeNames(), ["onRejoined"]);
    world.pass(2500);
    page.next("refresh");
});

test("P-7: a session that lives and does not listen any more is listened to again", () => {
    const { world, page, stream } = live({ mode: "pull" });
    stream.fail();
    world.pass(500);
    page.next("refresh").events({ p_event: "nack", p_reason: "the session does not listen yet" }).end();
    const listen = page.next("listen");
    assert.equal(listen.query, "p_event=listen&p_id=ID1&p_mode=pull");
    listen.events({ ...listenAck, p_mode: "pull" }).reload();
    assert.deepEqual(page.takeNames(), ["onError", "onRejoined"]);
});

test("a leave while a session is joined again: its ack comes too late to be a session", () => {
    const { world, page, stream } = live();
    stream.fail();
    world.pass(500);
    page.next("refresh").text(400, expired);
    world.pass(1000);
    const join = page.next("join");
    page.call("p_leave");
    assert.ok(join.isGone);
    assert.deepEqual([page.call("p_getSessionId"), page.status().state], [null, "ready"]);
    world.pass(600000);
    assert.deepEqual(page.requests, []);
    // The session was gone: there is nothing to leave.
    assert.deepEqual(page.told, []);
    page.live({ id: "ID3" });
});

test("the watchdog goes on while a control request fails", () => {
    const { world, page } = live();
    world.pass(40000);
    page.call("p_heartbeat");
    page.next("hb").fail();
    world.pass(500);
    page.next("hb").answer({ p_event: "hb-ack" });
    page.next("hb").answer({ p_event: "hb-ack" });
    assert.deepEqual(page.takeNames(), ["onError", "onRejoined", "onHeartbeatAck"]);
    world.pass(4500);
    assert.match(page.takeNews()[0][1].p_reason, /silent for 45 s/);
});

test("a control request that fails leaves the data channel alone, and is sent again", () => {
    const { world, page, stream } = live();
    page.call("p_unsubscribe", "s1");
    page.call("p_heartbeat");
    page.next("unsubscribe").fail();
    stream.events({ p_event: "data", p_sid: "s1" });
    assert.deepEqual(page.takeNames(), ["onError", "onData"]);
    assert.ok(!stream.isGone);
    world.pass(500);
    // First a question that does no harm.
    page.next("hb").answer({ p_event: "hb-ack" });
    page.next("unsubscribe").answer({ p_event: "unsubscribe-ack", p_sid: "s1" });
    page.next("hb").answer({ p_event: "hb-ack" });
    assert.deepEqual(page.takeNames(), ["onRejoined", "onUnsubscribeAck", "onHeartbeatAck"]);
});

test("a publish that may have been done is not sent again, and the page is told; one that was refused is", () => {
    const { world, page } = live();
    page.call("p_publish", "/a", "n", "1");
    page.call("p_publish", "/a", "n", "2");
    page.next("publish").fail();
    const [[, error]] = page.takeNews();
    assert.match(error.p_reason, /publish at .* nobody knows whether this publish has arrived; it is not sent again/);
    assert.deepEqual([error.p_request, error.p_subject], ["publish", "/a"]);
    world.pass(500);
    page.next("hb").answer({ p_event: "hb-ack" });
    const second = page.next("publish");
    assert.equal(second.fields.n, "2");
    second.text(503, "another core has no room");
    world.pass(1000);
    page.next("hb").answer({ p_event: "hb-ack" });
    const again = page.next("publish");
    assert.equal(again.fields.n, "2");
    again.answer({ p_event: "publish-ack" });
    assert.deepEqual(page.requests, []);
});

test("a request that the server refuses by HTTP is given up, the rest goes on", () => {
    const { page, stream } = live();
    page.call("p_publish", "/a", "n", "1");
    page.call("p_heartbeat");
    page.next("publish").text(400, "The request is malformed.");
    const [[name, error]] = page.takeNews();
    assert.equal(name, "onError");
    assert.equal(
        error.p_reason,
        `publish at ${place} failed: status 400, The request is malformed. It is not sent again.`,
    );
    page.next("hb").answer({ p_event: "hb-ack" });
    assert.deepEqual(page.takeNames(), ["onHeartbeatAck"]);
    assert.ok(!stream.isGone);
});

test("a request that always fails is given up after some tries", () => {
    const { world, page } = live();
    page.call("p_subscribe", "/b");
    page.call("p_heartbeat");
    let sent = 0;
    for (let wait = 0; wait < 200 && page.requests[0]?.event !== "hb"; wait += 1) {
        const request = page.requests.shift();
        if (request?.event === "subscribe" && request.fields.p_subject === "/b") {
            sent += 1;
            request.text(500, "broken");
            page.requests.splice(0).forEach((next) => page.requests.push(next));
        } else if (request) {
            const answers = { join: { p_id: "ID2" }, subscribe: { p_sid: "s1" }, listen: { p_mode: "stream" } };
            request.events({ p_event: `${request.event}-ack`, ...answers[request.event] });
            if (request.name === "controlFrame") request.end();
        }
        if (page.requests.length === 0) world.pass(1000);
    }
    assert.equal(sent, 4);
    page.next("hb");
    const reasons = page.takeNews().map(([, fields]) => fields.p_reason);
    assert.ok(reasons.some((reason) => /subscribe at .* status 500, broken\. It is not sent again/.test(reason)));
});

test("a subscribe that may have been done is done in a new session, so that no p_sid is unknown", () => {
    const { world, page } = live();
    page.call("p_subscribe", "/b", "label");
    page.next("subscribe").fail();
    world.pass(500);
    rejoin(page, [["/a", undefined, "t1"]]);
    page.next("subscribe").answer({ p_event: "subscribe-ack", p_sid: "t2", p_label: "label" });
    assert.deepEqual(page.takeNames(), ["onError", "onRejoined", "onHeartbeat", "onSubscribeAck"]);
    assert.deepEqual(page.told, [`${place}?p_event=leave&p_id=ID1`]);
});

test("requests that are called during an outage are sent after it, in order", () => {
    const { world, page, stream } = live();
    stream.fail();
    page.call("p_subscribe", "/b");
    page.call("p_publish", "/b", "n", "1");
    world.pass(500);
    page.next("refresh").events({ p_event: "refresh-ack" });
    page.next("subscribe").answer({ p_event: "subscribe-ack", p_sid: "s2" });
    page.next("publish");
});

test("a join without a server is sent until there is one", () => {
    const world = new World();
    const page = world.page();
    page.call("p_join_listen", "/a");
    for (const wait of [500, 1000, 2000]) {
        page.next("join").fail();
        world.pass(wait);
    }
    page.next("join").answer({ p_event: "join-ack", p_id: "ID1" });
    world.settle();
    page.next("listen").events(listenAck);
    assert.deepEqual(page.takeNames(), [
        ...["onError", "onRetry", "onRetry", "onJoinAck", "onRejoined"],
        ...["onListenAck", "onJoinListenAck"],
    ]);
});

test("no answer in 30 s is a failure", () => {
    const world = new World();
    const page = world.page();
    page.call("p_join");
    page.next("join");
    world.pass(29999);
    assert.deepEqual(page.takeNews(), []);
    world.pass(1);
    assert.match(page.takeNews()[0][1].p_reason, /^join at .* failed: no answer in 30 s; trying again in 500 ms\.$/);
    world.pass(500);
    page.next("join");
});

for (const [how, load] of [
    ["cannot be loaded", (page) => page.loadNet("network")],
    ["is another page", (page) => page.loadNet("other")],
    ["does not answer", (page) => page.world.pass(20000)],
]) {
    test(`a hidden frame that ${how} is made again`, () => {
        const world = new World({ netLoads: false });
        const page = world.page();
        page.call("p_join");
        const first = page.netElement;
        load(page);
        const [[name, error]] = page.takeNews();
        assert.equal(name, "onError");
        assert.match(
            error.p_reason,
            /^The page .*lib\/js-pushlet-net\.html could not be loaded; trying again in 500 ms\.$/,
        );
        assert.ok(!first.isConnected);
        world.pass(500);
        assert.notEqual(page.netElement, first);
        page.loadNet();
        page.next("join").answer({ p_event: "join-ack", p_id: "ID1" });
        assert.deepEqual(page.takeNames(), ["onJoinAck", "onRejoined"]);
    });
}

test("a hidden frame that the page has thrown away is made again, and the session goes on", () => {
    const { page } = live();
    page.netElement.isConnected = false;
    page.call("p_heartbeat");
    const refresh = page.next("refresh");
    assert.equal(refresh.fields.p_id, "ID1");
    refresh.events({ p_event: "refresh-ack" });
    page.next("hb").answer({ p_event: "hb-ack" });
    assert.deepEqual(page.takeNames(), ["onHeartbeatAck"]);
});

test("a network that is back ends the waiting", () => {
    const { page, stream } = live();
    stream.fail();
    page.windowListeners.fire("online");
    page.next("refresh");
});

test("P-27: after a leave nothing is asked for any more, and a join works as the first one did", () => {
    const { world, page, stream } = live();
    page.call("p_leave");
    const leave = page.next("leave");
    // The server ends the data channel before or after the ack.
    stream.end();
    assert.deepEqual(page.takeNews(), []);
    leave.answer({ p_event: "leave-ack", p_id: "ID1" });
    assert.deepEqual(page.takeNames(), ["onLeaveAck"]);
    assert.ok(stream.isGone);
    world.pass(600000);
    assert.deepEqual(page.requests, []);
    assert.deepEqual(page.takeNews(), []);
    assert.deepEqual([page.call("p_getSessionId"), page.status().state], [null, "ready"]);
    page.live({ id: "ID2", sid: "s1" }).events({ p_event: "data", p_sid: "s1" });
    assert.equal(page.takeNews()[0][1].p_sid, "s1");
});

test("a leave that fails leaves all the same: told once, not sent again", () => {
    const { world, page } = live();
    page.call("p_leave");
    page.next("leave").fail();
    const [[first, error], [second]] = page.takeNews();
    assert.deepEqual([first, second], ["onError", "onLeaveAck"]);
    assert.match(error.p_reason, /^leave at .* no connection\. The session is left; the server will end it/);
    world.pass(600000);
    assert.deepEqual(page.requests, []);
});

test("a leave of a session that is gone is done", () => {
    const { page } = live();
    page.call("p_leave");
    page.next("leave").text(400, expired);
    assert.deepEqual(page.takeNames(), ["onLeaveAck"]);
});

test("a leave in an outage ends it: no retry, one word to the server, what waited is counted", () => {
    const { world, page, stream } = live();
    stream.fail();
    page.call("p_publish", "/a");
    page.call("p_publish", "/a");
    page.takeNews();
    page.call("p_leave");
    assert.deepEqual(page.told, [`${place}?p_event=leave&p_id=ID1`]);
    const [[first, error], [second]] = page.takeNews();
    assert.deepEqual([first, second], ["onError", "onLeaveAck"]);
    const trouble = `The data channel at ${place} was closed`;
    assert.equal(error.p_reason, `${trouble}; the page leaves, and 2 of its requests were not sent.`);
    world.pass(600000);
    assert.deepEqual(page.requests, []);
    assert.equal(page.status().state, "ready");
});

test("a leave from within onError ends the outage", () => {
    const { world, page, stream } = live();
    page.during = (name) => name === "onError" && page.call("p_leave");
    stream.fail();
    assert.deepEqual(page.takeNames(), ["onError", "onLeaveAck"]);
    world.pass(600000);
    assert.deepEqual(page.requests, []);
});

test("a second join begins a new session and leaves the old one", () => {
    const { page, stream } = live();
    page.call("p_join");
    page.next("join").answer({ p_event: "join-ack", p_id: "ID2" });
    assert.deepEqual(page.told, [`${place}?p_event=leave&p_id=ID1`]);
    assert.ok(stream.isGone);
    assert.deepEqual([page.call("p_getSessionId"), page.status().state], ["ID2", "joined"]);
    assert.deepEqual(page.takeNames(), ["onJoinAck"]);
});

test("P-7: a refused listen is told, and the channel that was open stays", () => {
    const { world, page, stream } = live();
    page.call("p_listen", "x".repeat(300));
    const listen = page.next("listen").events({ p_event: "nack", p_reason: "subject of 300 bytes" });
    assert.ok(listen.isGone);
    stream.events({ p_event: "data" });
    world.pass(44000);
    assert.deepEqual(page.requests, []);
    assert.deepEqual(page.takeNames(), ["onNack", "onData"]);
    assert.equal(page.status().state, "listening");
    world.pass(1000);
    assert.deepEqual(page.takeNames(), ["onError"]);
});

test("P-7: a refused listen while a pull waits for its next turn: it goes on with its session", () => {
    const world = new World();
    const page = world.page();
    page.live({ mode: "pull" }).reload(6000);
    page.call("p_listen", ",", "pull");
    page.next("listen").events({ p_event: "nack", p_reason: "empty subject" }).end();
    world.pass(0);
    page.next("refresh").events({ p_event: "refresh-ack" }).reload(6000);
    assert.deepEqual(page.takeNames(), ["onNack"]);
    world.pass(6000);
    page.next("refresh");
});

test("P-7: a refusal of what the client asks for by itself is a failure, with the distance of failures", () => {
    const { world, page, stream } = live();
    stream.fail();
    world.pass(500);
    page.next("refresh").text(400, expired);
    world.pass(1000);
    page.next("join").answer({ p_event: "nack", p_reason: "too many sessions" });
    assert.deepEqual([page.status().tries, page.status().nextTryInMs], [3, 2000]);
    assert.match(page.status().reason, /^join at .* failed: too many sessions; joining again in 2000 ms\.$/);
    world.pass(2000);
    page.next("join").answer({ p_event: "join-ack", p_id: "ID2" });
    page.next("subscribe").answer({ p_event: "subscribe-ack", p_sid: "s1" });
    page.next("listen").events({ p_event: "nack", p_reason: "no more listeners" }).end();
    assert.deepEqual([page.status().tries, page.status().nextTryInMs], [4, 4000]);
    world.pass(4000);
    rejoin(page, [["/a", undefined, "s1"]], { id: "ID3" });
    assert.deepEqual(page.takeNames(), ["onError", "onRetry", "onRetry", "onRetry", "onRejoined", "onHeartbeat"]);
    assert.deepEqual(page.told, [`${place}?p_event=leave&p_id=ID2`]);
});

test("P-7: a subscription that the server does not restore is told, and gone", () => {
    const { world, page, stream } = live();
    page.subscribe("/b", "s2");
    stream.fail();
    world.pass(500);
    page.next("refresh").text(400, expired);
    world.pass(1000);
    page.next("join").answer({ p_event: "join-ack", p_id: "ID2" });
    page.next("subscribe").answer({ p_event: "nack", p_reason: "not allowed" });
    page.next("subscribe").answer({ p_event: "subscribe-ack", p_sid: "s1" });
    const again = page.next("listen").events(listenAck);
    assert.deepEqual(page.takeNames(), ["onError", "onRetry", "onNack", "onRejoined"]);
    again.events({ p_event: "data", p_sid: "s1" });
    assert.equal(page.takeNews()[0][1].p_sid, "s2");
});

test("a server that answers 400 to every join is asked at a growing distance, until the page leaves", () => {
    const world = new World();
    const page = world.page();
    page.call("p_join_listen", "/a");
    for (const wait of [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]) {
        page.next("join").text(400, "The request is malformed.");
        assert.equal(page.status().nextTryInMs, wait);
        world.pass(wait);
    }
    page.call("p_leave");
    assert.deepEqual(new Set(page.takeNames()), new Set(["onError", "onRetry", "onLeaveAck"]));
    world.pass(600000);
    assert.equal(page.requests.length, 1);
    assert.ok(page.next("join").isGone);
});

test("an unsubscribe whose ack was lost is refused when it is sent again, and is not restored", () => {
    const { world, page, stream } = live();
    page.call("p_unsubscribe", "s1");
    page.next("unsubscribe").fail();
    world.pass(500);
    page.next("hb").answer({ p_event: "hb-ack" });
    page.next("unsubscribe").answer({ p_event: "nack", p_reason: "no subscription for sid=s1" });
    stream.fail();
    world.pass(1000);
    page.next("refresh").text(400, expired);
    world.pass(2000);
    rejoin(page, []);
});

test("two listens in a row: the second waits for the first one's ack, and takes its place", () => {
    const world = new World();
    const page = world.page();
    page.call("p_join_listen", "/a");
    page.call("p_listen", "/b", "pull");
    page.next("join").answer({ p_event: "join-ack", p_id: "ID1" });
    world.settle();
    const first = page.next("listen").events({ p_event: "listen-ack", p_mode: "stream", p_sid: "s1" });
    page.next("hb").answer({ p_event: "hb-ack" });
    const second = page.next("listen").events({ p_event: "listen-ack", p_mode: "pull", p_sid: "s2" });
    assert.ok(!first.isGone);
    first.end();
    assert.ok(first.isGone && !second.isGone);
    page.next("hb").answer({ p_event: "hb-ack" });
    assert.equal(page.status().mode, "pull");
    second.reload(2500);
    world.pass(2500);
    page.next("refresh");
});

test("a hidden frame that the page has moved is loaded anew, and the session goes on", () => {
    const { page } = live();
    page.loadNet();
    page.next("refresh").events({ p_event: "refresh-ack" });
    page.call("p_heartbeat");
    page.next("hb").answer({ p_event: "hb-ack" });
    assert.deepEqual(page.takeNames(), ["onHeartbeatAck"]);
});
