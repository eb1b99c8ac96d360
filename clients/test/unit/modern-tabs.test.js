// The modern client in several tabs: one connection, wishes joined, another leader when the first goes.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { World, settle } from "./modern-world.js";

let world;
beforeEach(() => {
    world = new World();
});

const event = (subject, more) => ({ subject, data: 1, time: 1, ...more });
const subjects = (client) => client.all("event").map(({ subject }) => subject);
const asked = (line, type) => line.heard.filter((one) => one.type === type).map(({ subject }) => subject);

// So many tabs with a client each, connected.
async function tabs(count, options) {
    const clients = [];
    for (let number = 0; number < count; number += 1) {
        clients.push(world.tab().client(options));
        await world.pass(0);
    }
    return clients;
}

test("tabs share one connection: each hears what it wished, and all know its state", async () => {
    const [one, two, three] = await tabs(3);
    const heard = [];
    const first = one.subscribe("/a", () => heard.push("one /a"));
    const second = two.subscribe("/b", () => heard.push("two /b"));
    const both = three.subscribe("/*", () => heard.push("three /*"));
    await world.pass(0);
    assert.equal(world.lines.length, 1);
    for (const { state, transport, address } of [one, two, three])
        assert.deepEqual([state, transport, address], ["connected", "ws", "A1"]);
    for (const { state } of [first, second, both]) assert.equal(state, "subscribed");
    assert.deepEqual(asked(world.line, "subscribe"), ["/a", "/b", "/*"]);
    world.line.say([event("/a"), event("/b", { lost: 2 }), event("/c")]);
    await settle();
    assert.deepEqual(heard.sort(), ["one /a", "three /*", "three /*", "three /*", "two /b"]);
    // Losses are everybody's.
    for (const client of [one, two, three])
        assert.deepEqual(client.all("lost"), [{ count: 2, subject: "/b", where: "server" }]);
});

test("a pattern of several tabs is asked once and taken back with the last; wishes are joined", async () => {
    const [one, two] = await tabs(2);
    const first = one.subscribe("/a", { queue: 3, conflate: true });
    await world.pass(0);
    const second = two.subscribe("/a", { queue: 8, conflate: true });
    await world.pass(0);
    assert.deepEqual([first.state, second.state], ["subscribed", "subscribed"]);
    assert.deepEqual(
        world.line.heard.map(({ queue, conflate }) => [queue, conflate]),
        [
            [3, true],
            [8, true],
        ],
    );
    first.unsubscribe();
    await world.pass(0);
    assert.deepEqual(asked(world.line, "unsubscribe"), []);
    second.unsubscribe();
    await world.pass(0);
    assert.deepEqual(asked(world.line, "unsubscribe"), ["/a"]);
});

test("a tab that comes later joins what is there and hears no reset", async () => {
    const [one] = await tabs(1);
    one.subscribe("/a");
    await world.pass(0);
    const two = world.tab().client();
    const late = two.subscribe("/a");
    await world.pass(0);
    assert.deepEqual([two.state, two.address, late.state, two.all("reset")], ["connected", "A1", "subscribed", []]);
    assert.equal(world.line.heard.length, 1);
});

test("a tab that is told of the same session twice hears each state once, and no reset", async () => {
    const [one, two] = await tabs(2);
    for (const client of [one, two]) client.subscribe("/a");
    await world.pass(0);
    // Where tabs open together, the leader's hello may come after its answer to the first wish.
    for (const channel of world.channels) channel.onmessage({ data: { notice: { is: "hello" } } });
    await world.pass(0);
    assert.deepEqual(
        [one, two].map((client) => [client.all("state").map(({ state }) => state), client.all("reset")]),
        Array(2).fill([["connected"], []]),
    );
    world.line.end(1006);
    await world.pass(5000);
    assert.deepEqual(two.all("reset"), [{ reason: "reconnected" }]);
});

test("what another tab says and nobody understands harms nothing", async () => {
    const [one, two] = await tabs(2);
    const rubbish = [
        null,
        7,
        { command: { do: "want", tab: "zz", wishes: null } },
        { command: { do: "want", tab: "yy", wishes: { "/a": {} } } },
        { command: { do: "something new", tab: "zz" } },
        { notice: { is: "something new" } },
    ];
    for (const data of rubbish) for (const channel of world.channels) channel.onmessage({ data });
    const late = [one, two].map((client) => client.subscribe("/late"));
    await world.pass(0);
    assert.deepEqual(
        late.map(({ state }) => state),
        ["subscribed", "subscribed"],
    );
    assert.deepEqual([one.all("error"), two.all("error")], [[], []]);
});

test("a tab that is opened or loaded again tries a refused key again, for all tabs", async () => {
    world.doors.ws = "refuse";
    world.doors.fetch = { status: 401, detail: "the key is not known here" };
    const one = world.tab().client();
    await world.pass(60_000);
    assert.deepEqual([one.state, world.count("ws")], ["disconnected", 1]);
    const two = world.tab().client();
    await world.pass(1000);
    assert.deepEqual(
        [one.state, two.state, two.reason.status, world.count("ws")],
        ["disconnected", "disconnected", 401, 2],
    );
    await world.pass(600_000);
    assert.equal(world.count("ws"), 2);
    world.doors.ws = "open";
    const three = world.tab().client();
    await world.pass(1000);
    assert.deepEqual([one.state, two.state, three.state], ["connected", "connected", "connected"]);
});

test("a tab that has not the connection waits at once after reconnect()", async () => {
    const [one, two] = await tabs(2);
    const heard = two.subscribe("/a");
    await world.pass(0);
    world.line.end(4100);
    await world.pass(0);
    assert.deepEqual([one.state, two.state], ["disconnected", "disconnected"]);
    two.reconnect();
    assert.equal(two.state, "connecting");
    const ready = Promise.all([two.ready(), heard.ready()]);
    await world.pass(1000);
    await ready;
    assert.equal(one.state, "connected");
});

test("a refusal is told to the tabs that wished it", async () => {
    world.refused.set("/no", { status: 403, reason: "nobody may", field: "subject" });
    const [one, two] = await tabs(2);
    const no = two.subscribe("/no");
    await world.pass(0);
    assert.deepEqual([no.state, no.reason.name, no.reason.status], ["failed", "PushletError", 403]);
    const also = one.subscribe("/no");
    await world.pass(0);
    assert.equal(also.state, "failed");
});

test("any tab publishes over the connection, and only it hears the answer", async () => {
    const [one, two, three] = await tabs(3);
    const done = Promise.all([one.publish("/a", 1), two.publish("/b", 2), three.publish("/c", 3)]);
    await world.pass(0);
    assert.deepEqual(
        (await done).map(({ accepted }) => accepted),
        [1, 1, 1],
    );
    assert.deepEqual(asked(world.line, "publish").sort(), ["/a", "/b", "/c"]);
    world.refused.set("/no", { status: 403, reason: "nobody may" });
    const refused = assert.rejects(two.publish("/no"), { name: "PushletError", code: "refused", status: 403 });
    await world.pass(0);
    await refused;
    assert.deepEqual(
        [one, two, three].map((client) => client.all("nack").length),
        [0, 1, 0],
    );
});

test("when the leader closes, another takes over at once, and everybody hears a reset", async () => {
    const [one, two, three] = await tabs(3);
    const kept = two.subscribe("/a");
    three.subscribe("/b");
    one.subscribe("/gone");
    await world.pass(0);
    const [first] = world.lines;
    world.line.deaf = true;
    const pending = assert.rejects(two.publish("/a"), { code: "unknown" });
    await settle();
    one.close();
    await world.pass(0);
    await pending;
    assert.deepEqual([first.open, first.closedWith, world.lines.length, one.state], [false, 1000, 2, "disconnected"]);
    for (const client of [two, three]) {
        assert.deepEqual(
            [client.state, client.address, client.all("reset")],
            ["connected", "A2", [{ reason: "reconnected" }]],
        );
    }
    assert.deepEqual(asked(world.line, "subscribe"), ["/a", "/b"]);
    assert.equal(kept.state, "subscribed");
    world.line.say(event("/a"));
    await settle();
    assert.deepEqual([subjects(one), subjects(two), subjects(three)], [[], ["/a"], ["/a"]]);
});

test("a leader whose page is left hands over; one that dies without a word, too", async () => {
    const [one, two, three] = await tabs(3);
    three.subscribe("/a");
    await world.pass(0);
    world.tabs[0].tell("window", "pagehide", { persisted: true });
    await world.pass(0);
    assert.deepEqual([two.address, three.address, one.state], ["A2", "A2", "connecting"]);
    // It comes back as one of many.
    world.tabs[0].tell("window", "pageshow", { persisted: true });
    await world.pass(0);
    assert.deepEqual([one.state, one.address, world.live.length, one.all("reset").length], ["connected", "A2", 1, 1]);
    world.tabs[1].die();
    world.lines.at(-1).open = false;
    await world.pass(0);
    assert.deepEqual([three.address, one.address], ["A3", "A3"]);
    assert.deepEqual(asked(world.line, "subscribe"), ["/a"]);
});

test("the wishes of a tab that dies without a word are taken back", async () => {
    const [one, two] = await tabs(2);
    one.subscribe("/a");
    two.subscribe("/b");
    await world.pass(0);
    world.tabs[1].die();
    await world.pass(0);
    assert.deepEqual(asked(world.line, "unsubscribe"), ["/b"]);
    assert.equal(one.state, "connected");
});

test("the wishes of a tab that closes are taken back", async () => {
    const [one, two] = await tabs(2);
    two.subscribe("/b");
    await world.pass(0);
    two.close();
    await world.pass(0);
    assert.deepEqual([asked(world.line, "unsubscribe"), one.state], [["/b"], "connected"]);
});

test("an outage is everybody's: state, reason, pause; a refusal for good as well", async () => {
    const [one, two] = await tabs(2);
    world.line.end(4004);
    await settle();
    for (const client of [one, two]) {
        const { state, reason, retryIn } = client.all("state").at(-1);
        assert.deepEqual([state, reason.name, reason.status, retryIn], ["connecting", "PushletError", 4004, 750]);
    }
    await world.pass(750);
    for (const client of [one, two]) assert.deepEqual([client.state, client.all("reset").length], ["connected", 1]);
    world.line.end(4100);
    await settle();
    assert.deepEqual([one.state, two.state, two.reason.status], ["disconnected", "disconnected", 4100]);
    two.reconnect();
    await world.pass(0);
    assert.deepEqual([one.state, two.state], ["connected", "connected"]);
});

test("the timers of a hidden leader are late: a tab that is seen ends the pause", async () => {
    const [one, two] = await tabs(2);
    world.tabs[0].slow = 60_000;
    world.line.end(4004);
    await world.pass(751);
    assert.deepEqual([one.state, two.state], ["connected", "connected"]);
});

test("a tab that is shown lets the leader ask for a sign of life", async () => {
    await tabs(2);
    world.tabs[1].tell("window", "online");
    await settle();
    assert.deepEqual(
        world.line.heard.map(({ type }) => type),
        ["ping"],
    );
});

test("another URL, key or order of transports is another connection", async () => {
    world.tab().client({ key: "a secret of somebody" });
    world.tab().client({ key: "a secret of another" });
    world.tab().client({ transports: ["fetch"] });
    world.tab().client({}, "http://other.test");
    world.tab().client({ share: false });
    world.tab().client({});
    world.tab().client({});
    await world.pass(0);
    assert.equal(world.live.length, 6);
});

test("two clients of one page share as well", async () => {
    const tab = world.tab();
    const one = tab.client();
    const two = tab.client();
    two.subscribe("/a");
    await world.pass(0);
    assert.equal(world.lines.length, 1);
    world.line.say(event("/a"));
    await settle();
    assert.deepEqual([subjects(one), subjects(two)], [["/a"], ["/a"]]);
});

test("where there are no locks or no channels, or the frame has no origin, each tab has a connection of its own", async () => {
    world.tab().client({}, undefined, { locks: undefined });
    world.tab().client({}, undefined, { BroadcastChannel: undefined });
    const tab = world.tab();
    tab.noLocks = true;
    const client = tab.client();
    const one = client.subscribe("/a");
    await world.pass(0);
    assert.deepEqual([world.live.length, client.state, one.state], [3, "connected", "subscribed"]);
    client.close();
    await world.pass(0);
    assert.equal(world.live.length, 2);
});

test("closing before the locks are there leaves nothing behind", async () => {
    const client = world.tab().client();
    client.close();
    await world.pass(0);
    const next = world.tab().client();
    await world.pass(0);
    assert.deepEqual([next.state, world.lines.length, world.channels.size], ["connected", 1, 1]);
    next.close();
    await world.pass(60_000);
    assert.deepEqual([world.timers.size, world.channels.size, [...world.locks.values()].flat()], [0, 0, []]);
});
