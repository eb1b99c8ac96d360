// The modern client when connections fail: pauses, hints, close codes, falling back, what is remembered, signs of life.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { World, settle } from "./modern-world.js";

let world;
beforeEach(() => {
    world = new World();
});

const last = (list) => list[list.length - 1];
const gaps = (times) => times.slice(1).map((at, place) => at - times[place]);

// A pseudo-random sequence, the same in each run.
function dice(seed) {
    let state = seed;
    return () => {
        state = (state * 1103515245 + 12345) % 2147483648;
        return state / 2147483648;
    };
}

// The pauses of a client whose server is gone, as it says them.
async function pausesOf(count) {
    world.doors.ws = "refuse";
    const client = world.client({ transports: ["ws"] });
    while (world.count("ws") < count) await world.pass(1000);
    client.close();
    return gaps(world.times("ws")).slice(0, count - 1);
}

test("pauses are random between 0.5 s and a bound of 1 s that doubles up to 20 s", async () => {
    const bounds = [1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000];
    for (const [chance, wanted] of [
        [0, bounds.map(() => 500)],
        [0.999999, bounds],
        [0.5, bounds.map((bound) => 500 + (bound - 500) / 2)],
    ]) {
        world = new World();
        world.chance = () => chance;
        const pauses = await pausesOf(9);
        pauses.forEach((pause, place) =>
            assert.ok(Math.abs(pause - wanted[place]) < 1, `${pauses} at chance ${chance}`),
        );
    }
});

test("pauses are spread evenly: full jitter", async () => {
    world.chance = dice(7);
    const late = (await pausesOf(700)).slice(6);
    assert.ok(late.every((pause) => pause >= 500 && pause <= 20_000));
    const quarters = [0, 0, 0, 0];
    for (const pause of late) quarters[Math.min(3, Math.floor((pause - 500) / 4875))] += 1;
    // Each quarter has a quarter, within 5 standard deviations.
    for (const many of quarters)
        assert.ok(Math.abs(many - late.length / 4) < 5 * Math.sqrt((late.length * 3) / 16), `${quarters}`);
});

test("a minute of connection makes the pauses short again; less does not", async () => {
    world.chance = () => 0.999999;
    const client = world.client({ transports: ["ws"] });
    for (const [age, pause] of [
        [0, 1000],
        [59_000, 2000],
        [10_000, 4000],
        [60_001, 1000],
        [1000, 2000],
    ]) {
        await world.pass(age);
        world.greeting.heartbeat_ms = 0;
        world.line.end(1006);
        const { retryIn } = last(client.all("state"));
        assert.ok(Math.abs(retryIn - pause) < 1, `after ${age} ms: ${retryIn}`);
        await world.pass(retryIn + 1);
        assert.equal(client.state, "connected");
        // The heartbeat is out of the way from now on.
    }
});

test("a lost connection: connecting with the reason and the pause, then connected, subscribed, and a reset once all is in force", async () => {
    const client = world.client({ transports: ["ws"] });
    const one = client.subscribe("/a");
    const two = client.subscribe("/b");
    await world.pass(0);
    assert.deepEqual(client.all("reset"), []);
    client.heard.length = 0;
    world.line.end(1006, "gone");
    assert.deepEqual([client.state, one.state, two.state], ["connecting", "subscribing", "subscribing"]);
    const [lost] = client.all("state");
    assert.deepEqual(
        [lost.state, lost.reason.code, lost.reason.status, lost.retryIn],
        ["connecting", "transport", 1006, 750],
    );
    assert.equal(client.all("error")[0].status, 1006);
    world.greeting.heartbeat_ms = 20000;
    await world.pass(750);
    assert.deepEqual([client.state, one.state, two.state], ["connected", "subscribed", "subscribed"]);
    assert.deepEqual(
        client.heard.map(([name, what]) => (name === "state" ? what.state : name === "subscription" ? what : name)),
        [
            "/a subscribing",
            "/b subscribing",
            "connecting",
            "error",
            "connecting",
            "connected",
            "/a subscribed",
            "/b subscribed",
            "reset",
        ],
    );
    assert.deepEqual(client.all("reset"), [{ reason: "reconnected" }]);
});

test("reset comes even if a subscription is refused after the reconnect, and with none at all", async () => {
    const client = world.client({ transports: ["ws"] });
    const one = client.subscribe("/a");
    await world.pass(0);
    world.refused.set("/a", { status: 403, reason: "no more" });
    world.line.end(4004);
    await world.pass(1000);
    assert.deepEqual([one.state, client.all("reset").length], ["failed", 1]);
    world.line.end(4004);
    await world.pass(2000);
    assert.equal(client.all("reset").length, 2);
});

test("a reset of the server is told as it is", async () => {
    const client = world.client({ transports: ["ws"] });
    await world.pass(0);
    world.line.say({ type: "reset", reason: "no-history", last_event_id: "7" });
    assert.deepEqual(client.all("reset"), [{ reason: "no-history" }]);
});

test("close codes: which mean never again, later, or again", async () => {
    const never = [1002, 1003, 1007, 1009, 4001, 4100, 4321, 4999];
    const again = [1000, 1001, 1005, 1006, 1011, 1012, 4000, 4002, 4003, 4004, 4050, 4099];
    for (const code of [...never, ...again]) {
        world = new World();
        world.chance = () => 0;
        const client = world.client({ transports: ["ws"] });
        await world.pass(0);
        world.line.end(code, "because");
        const { state, reason, retryIn } = last(client.all("state"));
        assert.deepEqual(
            [state, reason.status],
            [never.includes(code) ? "disconnected" : "connecting", code],
            `${code}`,
        );
        assert.match(reason.message, /because/);
        if (never.includes(code)) {
            await world.pass(600_000);
            assert.deepEqual([world.count("ws"), client.state, world.timers.size], [1, "disconnected", 0]);
            await assert.rejects(client.ready(), { status: code });
            // Only the user says otherwise.
            client.reconnect();
            await world.pass(0);
            assert.equal(client.state, "connected");
        } else {
            assert.equal(retryIn, code === 1012 ? 1000 : 500);
        }
        client.close();
    }
});

test("end: the server's action and time are obeyed, and without them its reason is", async () => {
    const cases = [
        [{ reason: "leave", text: "You left.", action: "nothing" }, "disconnected"],
        [{ reason: "leave" }, "disconnected"],
        [{ reason: "shutdown", action: "rejoin-later", retry_ms: 3456 }, 3456],
        [{ reason: "shutdown", action: "rejoin-later" }, 5000],
        [{ reason: "shutdown" }, 5000],
        [{ reason: "queue-full", action: "rejoin", retry_ms: 700 }, 1000],
        [{ reason: "queue-full" }, 1000],
        [{ reason: "something new" }, 1000],
        [{ reason: "leave", action: "rejoin" }, 1000],
    ];
    for (const transport of ["ws", "sse", "fetch", "poll"]) {
        for (const [end, wanted] of cases) {
            world = new World();
            world.chance = () => 0.9999999;
            const client = world.client({ transports: [transport] });
            client.subscribe("/a");
            await world.pass(0);
            const { line } = world;
            line.say({ type: "end", ...end });
            await settle();
            const { state, reason, retryIn } = last(client.all("state"));
            assert.deepEqual([reason.code, reason.word], ["ended", end.reason], `${transport} ${end.reason}`);
            if (end.text) assert.equal(reason.message, end.text);
            assert.equal(
                wanted === "disconnected" ? state : Math.round(retryIn),
                wanted,
                `${transport} ${JSON.stringify(end)}`,
            );
            line.forget?.();
            assert.deepEqual(world.live, []);
            client.close();
        }
    }
});

test("what the server asks to wait for is waited for, whatever the page does; the user may say otherwise", async () => {
    const client = world.client({ transports: ["ws"] });
    await world.pass(0);
    world.line.say({ type: "end", reason: "shutdown", action: "rejoin-later", retry_ms: 4000 });
    const [tab] = world.tabs;
    tab.tell("window", "online");
    tab.hide("visible");
    await world.pass(3999);
    assert.equal(world.count("ws"), 1);
    await world.pass(1);
    assert.equal(world.count("ws"), 2);
    world.line.say({ type: "end", reason: "shutdown", action: "rejoin-later", retry_ms: 4000 });
    client.reconnect();
    await settle();
    assert.equal(world.count("ws"), 3);
});

test("retry of a stream holds for the next time", async () => {
    const client = world.client({ transports: ["fetch"] });
    await world.pass(0);
    world.line.raw("retry: 4321\n");
    await settle();
    world.line.end();
    await settle();
    assert.equal(last(client.all("state")).retryIn, 4321);
});

test("503 with Retry-After: no other transport is asked, and not before that time", async () => {
    world.chance = () => 0;
    world.doors.fetch = { status: 503, detail: "full", headers: { "retry-after": "9" } };
    const client = world.client({ transports: ["fetch", "poll"] });
    await world.pass(0);
    const { state, reason, retryIn } = last(client.all("state"));
    assert.deepEqual([state, reason.status, reason.retryAfter, retryIn], ["connecting", 503, 9, 9000]);
    assert.equal(world.count("poll"), 0);
    world.doors.fetch = "open";
    await world.pass(9000);
    assert.equal(client.state, "connected");
});

test("401 and 403: disconnected with the server's reason, also where the WebSocket only failed", async () => {
    for (const status of [401, 403, 400]) {
        world = new World();
        world.doors.ws = "refuse";
        world.doors.fetch = { status, detail: "the key is not known here" };
        const client = world.client();
        const ready = assert.rejects(client.ready(), { code: "refused", status, message: "the key is not known here" });
        await world.pass(0);
        await ready;
        await world.pass(600_000);
        assert.deepEqual(
            [client.state, client.reason.status, world.count("ws"), world.count("poll")],
            ["disconnected", status, 1, 0],
        );
    }
});

test("401 where only a WebSocket or an EventSource may be used, which do not say it: one request asks", async () => {
    for (const transport of ["ws", "sse"]) {
        world = new World();
        world.doors[transport] = "refuse";
        world.doors.fetch = { status: 401, detail: "the key is not known here" };
        const client = world.client({ transports: [transport] });
        await world.pass(0);
        assert.deepEqual([client.state, client.reason.status], ["disconnected", 401], transport);
        await world.pass(600_000);
        assert.equal(world.count(transport), 1);

        // A server that is there, or not there at all, is tried again.
        for (const behaviour of ["open", "refuse", "silent"]) {
            world = new World();
            world.doors[transport] = "refuse";
            world.doors.fetch = behaviour;
            const other = world.client({ transports: [transport] });
            await world.pass(40_000);
            assert.equal(other.state, "connecting");
            assert.ok(world.count(transport) > 2);
            assert.deepEqual(
                world.live.filter(({ door }) => door === "fetch"),
                [],
            );
            other.close();
        }
    }
});

test("a subject that is refused while a stream opens fails alone; the others are subscribed", async () => {
    for (const transport of ["sse", "fetch", "poll"]) {
        world = new World();
        world.refused.set("/no", { status: 403, reason: "nobody may", field: "subject" });
        const client = world.client({ transports: [transport] });
        const all = ["/a", "/no", "/b"].map((pattern) => client.subscribe(pattern));
        await world.pass(0);
        assert.deepEqual(
            all.map(({ state }) => state),
            ["subscribed", "failed", "subscribed"],
            transport,
        );
        assert.equal(all[1].reason.message, "nobody may");
        assert.equal(client.state, "connected");
        client.close();

        world = new World();
        world.refused.set("/no", { status: 403, reason: "nobody may", field: "subject" });
        const other = world.client({ transports: [transport] });
        const only = other.subscribe("/no");
        await world.pass(0);
        assert.deepEqual([only.state, other.state], ["failed", "connected"], transport);
    }
});

test("without any subject a stream begins with one that nobody uses; where that is refused it waits for the first subject", async () => {
    const nobody = "pushletd-client/nobody";
    const client = world.client({ transports: ["fetch"] });
    await world.pass(0);
    assert.equal(client.state, "connected");
    assert.equal(world.line.url.searchParams.get("subject"), nobody);
    client.close();

    world.refused.set(nobody, { status: 401, reason: "needs a key", field: "subject" });
    const other = world.client({ transports: ["fetch"] });
    await world.pass(0);
    assert.equal(other.state, "connecting");
    other.subscribe("/a");
    await world.pass(0);
    assert.equal(other.state, "connected");
});

test("more subjects than a URL should hold follow by POST", async () => {
    const client = world.client({ transports: ["fetch"] });
    const all = Array.from({ length: 60 }, (_, number) => client.subscribe(`/${number}/${"x".repeat(50)}`));
    await world.pass(0);
    assert.ok(world.line.url.search.length < 2500);
    const begun = world.line.url.searchParams.getAll("subject").length;
    assert.ok(begun > 10 && begun + world.count("subscribe") === 60);
    assert.ok(all.every(({ state }) => state === "subscribed"));
});

test("subscribing by POST to a session that is gone begins a new one", async () => {
    const client = world.client({ transports: ["fetch"] });
    await world.pass(0);
    world.doors.subscribe = { status: 404, detail: "no such session", field: "session" };
    const one = client.subscribe("/a");
    await world.pass(0);
    assert.deepEqual([client.state, one.state], ["connecting", "subscribing"]);
    await world.pass(1000);
    assert.deepEqual([client.state, one.state, client.all("reset").length], ["connected", "subscribed", 1]);
});

test("subscribing by POST while the network fails is tried again", async () => {
    const client = world.client({ transports: ["fetch"] });
    await world.pass(0);
    world.doors.subscribe = "refuse";
    const one = client.subscribe("/a");
    await world.pass(0);
    assert.equal(one.state, "subscribing");
    world.doors.subscribe = "open";
    await world.pass(2000);
    assert.equal(one.state, "subscribed");
});

// Falling back

test("the order: WebSocket, stream by fetch, poll; each after 1.5 s of silence, so that poll is reached within 5 s", async () => {
    Object.assign(world.doors, { ws: "silent", fetch: "silent" });
    const begun = world.time;
    const client = world.client();
    await world.pass(5000);
    assert.deepEqual([client.state, client.transport], ["connected", "poll"]);
    assert.equal(world.times("ws")[0] - begun, 0);
    assert.equal(world.times("poll")[0] - begun, 3000);
    // Exactly one survives.
    assert.equal(world.live.length, 1);
});

test("with all four the steps are shorter, and poll is still reached within 5 s", async () => {
    Object.assign(world.doors, { ws: "silent", sse: "silent", fetch: "silent" });
    const begun = world.time;
    world.client({ transports: ["ws", "sse", "fetch", "poll"] });
    await world.pass(5000);
    assert.deepEqual(
        [world.times("ws")[0], world.times("sse")[0], world.times("poll")[0]].map((at) => at - begun),
        [0, 1000, 3000],
    );
});

test("where fetch cannot read a stream, EventSource takes its place", async () => {
    world.doors.ws = "refuse";
    const client = world.tab().client({ share: false }, undefined, { streams: false });
    await world.pass(0);
    assert.equal(client.transport, "sse");
});

test("a transport that fails at once is followed at once", async () => {
    Object.assign(world.doors, { ws: "refuse", fetch: "refuse" });
    const client = world.client();
    await world.pass(0);
    assert.equal(client.transport, "poll");
});

test("who is late may still win, until another has", async () => {
    world.doors.ws = "silent";
    world.doors.fetch = "silent";
    const client = world.client();
    await world.pass(1600);
    world.lines[0].greet();
    await settle();
    assert.deepEqual([client.transport, world.count("poll")], ["ws", 0]);

    world = new World();
    world.doors.ws = "silent";
    const other = world.client();
    await world.pass(1500);
    assert.equal(other.transport, "fetch");
    world.lines[0].greet();
    await world.pass(0);
    assert.deepEqual([other.transport, world.live.length, world.lines[0].closedWith], ["fetch", 1, 1000]);
});

test("if all are silent they are given up after 10 s more, and tried again", async () => {
    Object.assign(world.doors, { ws: "silent", fetch: "silent", poll: "silent" });
    const client = world.client();
    await world.pass(12_999);
    assert.deepEqual(client.all("error"), []);
    await world.pass(1);
    assert.equal(client.all("error")[0].code, "silent");
    Object.assign(world.doors, { ws: "open" });
    await world.pass(1000);
    assert.deepEqual([client.transport, world.live.length], ["ws", 1]);
});

test("a class that throws (a WebSocket without TLS in a page with it) is a transport that fails", async () => {
    class Strict {
        constructor() {
            throw new DOMException("insecure", "SecurityError");
        }
    }
    const client = world.tab().client({ share: false }, undefined, { WebSocket: Strict });
    await world.pass(0);
    assert.equal(client.transport, "fetch");
});

// Memory

test("what worked is remembered for the URL: the next page begins with it, and others follow if it is silent", async () => {
    Object.assign(world.doors, { ws: "silent", fetch: "silent" });
    world.client().subscribe("/a");
    await world.pass(5000);
    const begun = world.time;
    world.asked.length = 0;
    const next = world.client();
    await world.pass(0);
    assert.deepEqual([next.transport, world.times("poll")[0] - begun, world.count("ws")], ["poll", 0, 0]);
    const elsewhere = world.client({}, "http://other.test");
    await world.pass(0);
    assert.equal(world.count("ws"), 1);
    elsewhere.close();

    world.doors.poll = "silent";
    world.doors.ws = "open";
    const third = world.client();
    await world.pass(1500);
    assert.equal(third.transport, "ws");
});

test("without a storage it is remembered in the program; a storage that throws harms nothing", async () => {
    world.doors.ws = "refuse";
    const boom = () => {
        throw new DOMException("denied", "SecurityError");
    };
    for (const storage of [undefined, { getItem: boom, setItem: boom, removeItem: boom }]) {
        const url = `http://${storage ? "a" : "b"}.test`;
        for (const asked of storage ? [1, 2] : [1, 1]) {
            const client = world.tab().client({ share: false }, url, { storage });
            await world.pass(0);
            assert.equal(client.transport, "fetch");
            assert.equal(world.asked.filter((one) => one.url.startsWith(url.replace("http", "ws"))).length, asked);
            client.close();
        }
    }
});

test("rubbish in the storage and a clock that was put back are passed over", async () => {
    for (const text of [
        "{",
        "null",
        "7",
        '{"name":"pigeon","until":1,"span":1}',
        `{"name":"poll","until":${world.time + 1e12},"span":1}`,
    ]) {
        world.storage.set("pushletd http://push.test", text);
        const client = world.client();
        await world.pass(0);
        assert.equal(client.transport, "ws", text);
        client.close();
    }
});

test("better transports are tried again after 1, 2, 4 ... minutes, up to an hour, and taken when they work", async () => {
    world.doors.ws = "refuse";
    world.greeting.heartbeat_ms = 0;
    const client = world.client();
    await world.pass(0);
    assert.equal(client.transport, "fetch");
    await world.pass(10 * 3_600_000);
    const minutes = gaps(world.times("ws")).map((gap) => Math.round(gap / 60_000));
    assert.deepEqual(minutes.slice(0, 9), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert.deepEqual([client.transport, client.all("state").length, client.all("reset").length], ["fetch", 1, 0]);
    assert.deepEqual(client.all("error"), []);

    world.doors.ws = "open";
    const one = client.subscribe("/a");
    await world.pass(3_600_000);
    assert.deepEqual([client.transport, client.state, one.state], ["ws", "connected", "subscribed"]);
    // The former session is gone: what was on its way may be missed.
    assert.equal(client.all("reset").length, 1);
    assert.equal(world.live.length, 1);
    // A stable minute later the other one is forgotten.
    await world.pass(60_000);
    assert.equal(JSON.parse([...world.storage.values()][0]), null);
});

test("a better transport that is silent when tried harms nothing and goes", async () => {
    world.doors.ws = "silent";
    world.greeting.heartbeat_ms = 0;
    const client = world.client();
    await world.pass(2 * 60_000);
    assert.deepEqual([client.transport, world.live.length, world.count("ws")], ["fetch", 1, 2]);
});

test("a proxy that cuts every 5 s: no storm, and poll for a while; not for ever", async () => {
    world.chance = dice(3);
    world.greeting.heartbeat_ms = 20000;
    world.cutsAfter = 5000;
    const client = world.client();
    await world.pass(60_000);
    assert.deepEqual([client.transport, client.state], ["poll", "connected"]);
    assert.equal(world.count("ws"), 3);
    // Polls are asked for less time than the proxy allows.
    const asked = world.asked.filter(({ door, url }) => door === "poll" && url.includes("session="));
    const wait = Number(new URL(last(asked).url).searchParams.get("wait"));
    assert.ok(wait >= 1 && wait < 5, `wait=${wait}`);
    assert.ok(asked.length < 20, `${asked.length} polls in a minute`);
    assert.ok(client.all("reset").length < 8);
    world.cutsAfter = undefined;
    await world.pass(10 * 60_000);
    assert.equal(client.transport, "ws");
});

test("cuts after a stable minute do not count", async () => {
    world.greeting.heartbeat_ms = 0;
    const client = world.client();
    for (let times = 0; times < 5; times += 1) {
        await world.pass(61_000);
        world.line.end(1006);
        await world.pass(1000);
    }
    assert.deepEqual([client.transport, world.count("poll")], ["ws", 0]);
});

// Signs of life

test("silence: a heartbeat and a quarter and 2.5 s, then the connection is dropped", async () => {
    for (const transport of ["ws", "sse", "fetch"]) {
        world = new World();
        world.greeting.heartbeat_ms = 4000;
        const client = world.client({ transports: [transport] });
        await world.pass(0);
        const { line } = world;
        await world.pass(7000);
        line.say(transport === "fetch" ? { type: undefined } : { type: "heartbeat" });
        await world.pass(7499);
        assert.equal(client.all("error").length, 0, transport);
        await world.pass(1);
        assert.deepEqual(
            client.all("error").map(({ code }) => code),
            ["silent"],
            transport,
        );
        assert.equal(line.open, false);
        await world.pass(1000);
        assert.equal(client.state, "connected");
    }
});

test("a comment of a stream is a sign of life", async () => {
    world.greeting.heartbeat_ms = 4000;
    const client = world.client({ transports: ["fetch"] });
    for (let times = 0; times < 10; times += 1) {
        await world.pass(5000);
        world.line.raw(": hb\n\n");
        await settle();
    }
    assert.deepEqual([client.all("error"), world.count("fetch")], [[], 1]);
});

test("where the server has no heartbeat nothing is expected", async () => {
    world.greeting.heartbeat_ms = 0;
    const client = world.client({ transports: ["ws"] });
    await world.pass(3_600_000);
    assert.deepEqual([client.all("error"), world.count("ws")], [[], 1]);
});

test("a machine that slept hears what has come before it judges", async () => {
    const client = world.client({ transports: ["ws"] });
    await world.pass(10_000);
    world.sleep(3_600_000);
    await world.pass(4000);
    world.line.say({ type: "heartbeat" });
    await world.pass(5000);
    assert.deepEqual([client.all("error"), world.count("ws")], [[], 1]);
    // A connection that did not survive is found within 5 s.
    world.sleep(3_600_000);
    await world.pass(5000);
    assert.equal(client.all("error")[0].code, "silent");
});

test("online and a page that is shown again: a waiting client tries at once, a connected one asks for a sign of life", async () => {
    world.chance = () => 0.999;
    world.doors.ws = "refuse";
    const client = world.client({ transports: ["ws"] });
    const [tab] = world.tabs;
    await world.pass(30_000);
    const before = world.count("ws");
    tab.tell("window", "offline");
    tab.hide();
    await world.pass(0);
    assert.equal(world.count("ws"), before);
    tab.tell("window", "online");
    await world.pass(0);
    assert.equal(world.count("ws"), before + 1);
    world.doors.ws = "open";
    tab.hide("visible");
    await world.pass(0);
    assert.equal(client.state, "connected");

    for (const how of [
        () => tab.tell("window", "online"),
        () => tab.tell("window", "offline"),
        () => tab.hide("visible"),
    ]) {
        const { line } = world;
        how();
        await world.pass(4999);
        assert.equal(last(line.heard).type, "ping");
        assert.equal(client.state, "connected");
    }
    world.line.deaf = true;
    tab.tell("window", "online");
    await world.pass(5000);
    assert.equal(last(client.all("error")).code, "silent");
});

test("a page that the browser keeps for going back lets go of its connection, and begins anew when it is shown", async () => {
    const client = world.client();
    const [tab] = world.tabs;
    const one = client.subscribe("/a");
    await world.pass(0);
    tab.tell("window", "pageshow", { persisted: false });
    await world.pass(0);
    assert.equal(world.lines.length, 1);
    const pending = assert.rejects(client.publish("/a"), { code: "unknown" });
    tab.tell("window", "pagehide", { persisted: true });
    await pending;
    assert.deepEqual(
        [client.state, one.state, world.live.length, world.timers.size],
        ["connecting", "subscribing", 0, 0],
    );
    tab.tell("window", "pageshow", { persisted: true });
    await world.pass(0);
    assert.deepEqual([client.state, one.state, world.live.length], ["connected", "subscribed", 1]);
    assert.deepEqual(client.all("reset"), [{ reason: "reconnected" }]);
    client.close();
    tab.tell("window", "pageshow", { persisted: true });
    await world.pass(0);
    assert.equal(world.live.length, 0);
});

// Poll

test("poll: a request that broke is asked again with the same session, and told as a reset; the third time in a row a new one begins", async () => {
    const client = world.client({ transports: ["poll"] });
    client.subscribe("/a");
    await world.pass(0);
    const { line } = world;
    line.request.cut();
    await world.pass(2000);
    assert.deepEqual(
        [client.all("reset"), client.state, world.line],
        [[{ reason: "broken-request" }], "connected", line],
    );
    line.say({ subject: "/a", data: 1, time: 1 });
    await settle();
    assert.equal(client.all("event").length, 1);
    for (let times = 0; times < 3; times += 1) {
        line.request.cut();
        await world.pass([1250, 2000, 0][times]);
    }
    assert.equal(client.state, "connecting");
    line.forget();
    await world.pass(1000);
    assert.deepEqual([client.state, client.address], ["connected", "A2"]);
});

test("poll: an answer that does not come is a broken request; a session that has ended begins anew", async () => {
    const client = world.client({ transports: ["poll"] });
    await world.pass(0);
    world.doors.poll = "silent";
    world.line.reply();
    await world.pass(29_999);
    world.doors.poll = "open";
    assert.deepEqual([client.all("error"), client.all("reset")], [[], []]);
    await world.pass(2000);
    assert.equal(client.all("reset").length, 1);
    world.line.forget();
    world.lines[0].request.cut();
    await world.pass(4000);
    assert.deepEqual([client.all("error")[0].status, client.state, client.address], [404, "connected", "A2"]);
});

test("poll: 429 and 503 in between are waited out in the session", async () => {
    const client = world.client({ transports: ["poll"] });
    await world.pass(0);
    world.doors.poll = { status: 503, detail: "busy", headers: { "retry-after": "4" } };
    world.line.reply({});
    await world.pass(0);
    world.doors.poll = "open";
    const before = world.count("poll");
    await world.pass(3999);
    assert.equal(world.count("poll"), before);
    await world.pass(1000);
    assert.deepEqual([world.count("poll"), client.all("error"), client.all("reset")], [before + 1, [], []]);
});

test("poll: what is no answer of the server is no session", async () => {
    world.doors.poll = () => Response.json({ hello: "this is the hotel" });
    const client = world.client({ transports: ["poll"] });
    await world.pass(0);
    assert.equal(client.all("error")[0].code, "transport");
    world.doors.poll = () => new Response("<h1>Hotel</h1>");
    await world.pass(1000);
    assert.equal(client.all("error").length, 2);
    assert.equal(client.state, "connecting");
});

// The stream

test("fetch: a stream in pieces of one byte, with CRLF, several lines of data and names of its own", async () => {
    const client = world.client({ transports: ["fetch"] });
    await world.pass(0);
    const { line } = world;
    const text =
        'event: 名\r\ndata: {"subject":"/a",\r\ndata:"data":"é : x","event":"名","time":1}\r\n\r\nid: 7\nevent: nothing\n\ndata: {"subject":"/b","time":2}\n\n';
    for (const byte of new TextEncoder().encode(text)) line.raw(new Uint8Array([byte]));
    await settle();
    assert.deepEqual(client.all("event"), [
        { subject: "/a", data: "é : x", event: "名", time: 1 },
        { subject: "/b", time: 2 },
    ]);
});

test("sse: asks for events without their names, and for heartbeats that it can hear", async () => {
    const client = world.client({ transports: ["sse"] });
    client.subscribe("/a", { queue: 5, conflate: true });
    client.subscribe("/b c");
    await world.pass(0);
    const { search } = world.line.url;
    assert.equal(search, "?heartbeat=event&names=data&subject=%2Fa&queue=5&conflate=true&subject=%2Fb+c");
});
