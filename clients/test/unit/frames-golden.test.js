// The real server's bytes (tests/golden/*.txt) drive the iframe client.
import assert from "node:assert/strict";
import test from "node:test";
import { ORIGIN, World, golden, goldenError } from "./frames-world.js";

// Writes one answer as it stands in a transcript, piece by piece.
function replay(request, file, answer, options) {
    for (const piece of golden(file, answer, options)) request.write(piece);
    return request;
}

function joined(world = new World()) {
    const page = world.page();
    page.call("p_join");
    replay(page.next("join"), "requests.txt", "B1").end();
    assert.deepEqual(page.takeNews(), [
        ["onJoinAck", { p_event: "join-ack", p_id: "ID1", p_format: "js", p_from: "FROM1", p_time: "1000000" }],
    ]);
    return page;
}

function listen(page, mode) {
    page.call("p_listen", null, mode);
    page.world.settle();
    return page.next("listen");
}

test("P-6, P-9: join and heartbeat; leave", () => {
    const page = joined();
    page.call("p_heartbeat");
    replay(page.next("hb"), "requests.txt", "B3").end();
    page.call("p_leave");
    replay(page.next("leave"), "requests.txt", "B5").end();
    assert.deepEqual(page.takeNames(), ["onHeartbeatAck", "onLeaveAck"]);
    assert.equal(page.call("p_getSessionId"), null);
});

test("P-10, P-12, P-14: a stream: ack, heartbeats, and hard characters unharmed", () => {
    const page = joined();
    const request = listen(page, "stream");
    const [ack, first] = golden("supersede.txt", "C5");
    request.write(ack).write(first);
    page.next("hb").answer({ p_event: "hb-ack" });
    assert.deepEqual(page.takeNames(), ["onListenAck", "onHeartbeat", "onHeartbeatAck"]);
    const [, , data, heartbeat] = golden("formats.txt", "A1");
    request.write(data).write(heartbeat);
    assert.deepEqual(page.takeNews(), [
        [
            "onData",
            {
                ...{ p_seq: "2", p_sid: "s1", p_event: "data", p_subject: "/x", p_from: "ID1", p_id: "ID1" },
                ...{ q: "\"&<>'\\", n: "中文", "a b": "1", p_time: "1000000" },
            },
        ],
        ["onHeartbeat", { p_seq: "3", p_event: "hb", p_time: "1000020" }],
    ]);
    assert.equal(request.scripts.size, 1, "a stream keeps the events that it has shown");
});

test("P-15, P-17: a pull reloads itself by the server's script, without an entry in the history", () => {
    const world = new World();
    const page = joined(world);
    const request = listen(page, "pull");
    replay(request, "formats.txt", "A4").end();
    page.next("hb").answer({ p_event: "hb-ack" });
    assert.deepEqual(page.takeNames(), ["onListenAck", "onHeartbeatAck"]);
    world.pass(2499);
    assert.deepEqual(page.requests, []);
    world.pass(1);
    const refresh = page.next("refresh");
    assert.equal(refresh.url.href, `${ORIGIN}/pushlet/pushlet.srv?p_id=ID1&p_event=refresh`);
    assert.ok(request.isGone);
    replay(refresh, "formats.txt", "A5").end();
    assert.deepEqual(page.takeNews(), [
        ["onRefreshAck", { p_event: "refresh-ack", p_time: "1000020" }],
        [
            "onData",
            {
                ...{ p_seq: "1", p_sid: "s1", p_event: "data", p_subject: "/x", p_from: "ID1", p_id: "ID1" },
                ...{ text: "queued", p_time: "1000020" },
            },
        ],
    ]);
    world.pass(2500);
    page.next("refresh");
    assert.deepEqual(world.escaped, []);
    assert.equal(page.status().state, "listening");
});

test("P-17: a reload has the server's query at our own address, whatever path the server believes in", () => {
    const world = new World();
    const page = joined(world);
    // The ack of the transcript is join-listen's; ours is listen's, with the same reload behind it.
    const [, reload, end] = golden("pull.txt", "D1");
    const request = listen(page, "pull");
    request.events({ p_event: "listen-ack", p_id: "ID1", p_mode: "pull" }).write(reload).write(end).end();
    page.next("hb").answer({ p_event: "hb-ack" });
    world.pass(2500);
    assert.equal(page.next("refresh").url.href, `${ORIGIN}/pushlet/pushlet.srv?p_id=ID1&p_event=refresh`);
});

test("P-17: a reload never leaves the server's address", () => {
    const elsewhere = ["//other.example/pushlet.srv?p_id=ID1&p_event=refresh", "http://[?p_id=ID1&p_event=refresh"];
    for (const address of [...elsewhere, "data:text/html,x?p_id=ID1&p_event=refresh"]) {
        const world = new World();
        const page = joined(world);
        const request = listen(page, "pull");
        const script = `url='${address}';\n setTimeout("refresh()", 2500);\n`;
        const end = `<script language="JavaScript">${script}</script>`;
        request.events({ p_event: "listen-ack", p_id: "ID1", p_mode: "pull" }).write(end).end();
        page.next("hb").answer({ p_event: "hb-ack" });
        world.pass(2500);
        assert.equal(page.next("refresh").url.href, `${ORIGIN}/pushlet/pushlet.srv?p_id=ID1&p_event=refresh`);
    }
});

test("P-7: a nack is told, and nothing dies", () => {
    const page = new World().page();
    page.call("p_join");
    replay(page.next("join"), "refusals.txt", "A16").end();
    const [[name, nack]] = page.takeNews();
    assert.equal(name, "onNack");
    assert.match(nack.p_reason, /^unknown format: <b>0123/);
    assert.equal(page.status().state, "ready");
    page.call("p_join");
    replay(page.next("join"), "refusals.txt", "D1", { id: "ID2" }).end();
    assert.equal(page.call("p_getSessionId"), "ID2");
});

test("P-8: an expired session is joined again, and the request that found out is sent again", () => {
    const world = new World();
    const page = joined(world);
    page.call("p_publish", "/a", "n", "1");
    page.next("publish").text(...goldenError("refusals.txt", "A12"));
    const [[name, error]] = page.takeNews();
    assert.equal(name, "onError");
    const place = `${ORIGIN}/pushlet/pushlet.srv`;
    assert.equal(error.p_reason, `publish at ${place} failed: the session has ended; joining again in 500 ms.`);
    assert.equal(error.p_wait, "500");
    world.pass(500);
    replay(page.next("join"), "requests.txt", "B1", { id: "ID2" }).end();
    assert.equal(page.next("publish").answer({ p_event: "publish-ack" }).fields.p_id, "ID2");
    const rejoined = { p_event: "rejoined", p_id: "ID2", p_from: "FROM1" };
    assert.deepEqual(page.takeNews(), [["onRejoined", rejoined]]);
});

test("P-7: a server without room is asked again, and the page sees why", () => {
    const world = new World();
    const page = world.page();
    page.call("p_join");
    page.next("join").text(...goldenError("refusals.txt", "H1"));
    const [[name, error]] = page.takeNews();
    assert.equal(name, "onError");
    assert.match(error.p_reason, /status 503, the server has as many sessions as it may have.*trying again in 500 ms/);
    world.pass(500);
    replay(page.next("join"), "requests.txt", "B1").end();
    assert.deepEqual(page.takeNames(), ["onJoinAck", "onRejoined"]);
});

test("P-32: an abort is told, then the session is joined again", () => {
    const world = new World();
    const page = joined(world);
    const request = listen(page, "stream");
    replay(request, "supersede.txt", "C5");
    page.next("hb").answer({ p_event: "hb-ack" });
    page.takeNews();
    const [abort, epilogue] = golden("shutdown.txt", "A1").slice(-2);
    request.write(abort);
    assert.ok(request.isGone);
    assert.equal(epilogue, "</body></html>");
    const [[first, told], [second, error]] = page.takeNews();
    assert.deepEqual([first, told.p_reason], ["onAbort", "the server is shutting down"]);
    assert.equal(second, "onError");
    assert.match(error.p_reason, /ended by the server: the server is shutting down; joining again/);
    world.pass(500);
    replay(page.next("join"), "requests.txt", "B1", { id: "ID2" }).end();
    assert.equal(replay(page.next("listen"), "supersede.txt", "C5", { id: "ID2" }).fields.p_id, "ID2");
    assert.deepEqual(page.takeNames(), ["onRejoined", "onHeartbeat"]);
});

test("P-26: what an older data channel still brings is read before the newer one's", () => {
    const world = new World();
    const page = joined(world);
    const stream = listen(page, "stream");
    const [ack, heartbeat, open, rest, epilogue] = golden("supersede.txt", "C1");
    assert.match(ack, /join-listen-ack/);
    stream.events({ p_event: "listen-ack", p_id: "ID1", p_mode: "stream" }).write(heartbeat);
    page.next("hb").answer({ p_event: "hb-ack" });
    page.takeNews();
    const pull = listen(page, "pull");
    replay(pull, "supersede.txt", "C2").end();
    assert.deepEqual(page.takeNews(), []);
    // One event in two pieces, as the transcript has it.
    stream
        .write(open + rest)
        .write(epilogue)
        .end();
    assert.deepEqual(page.takeNames(), ["onData", "onListenAck"]);
    assert.ok(stream.isGone);
    page.next("hb").answer({ p_event: "hb-ack" });
    world.pass(2500);
    page.next("refresh");
});
