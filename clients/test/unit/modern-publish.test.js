// Publishing with the modern client: to whom, what is said of each part, and what waits where requests go one after the other.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { World, settle } from "./modern-world.js";

const ALL = ["ws", "sse", "fetch", "poll"];
let world;
beforeEach(() => {
    world = new World();
});

async function connected(transport, tab = world.tab(), options = { share: false }) {
    const client = tab.client({ transports: [transport], ...options });
    client.subscribe("/x");
    await world.pass(0);
    assert.equal(client.state, "connected");
    return client;
}

const posts = () => world.asked.filter(({ door }) => door === "publish");

// Answers to POSTs, each when the test says so.
function held() {
    const open = [];
    world.doors.publish = (about) =>
        new Promise((resolve, reject) => {
            const { signal } = about;
            signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
            open.push({
                ...about,
                go: () => resolve(world.published(about.body)),
                cut: () => reject(new TypeError("fetch failed")),
            });
        });
    return open;
}

for (const transport of ALL) {
    test(`${transport}: without an address that is a text nothing is sent`, async () => {
        const client = await connected(transport);
        const before = world.asked.length + (world.line.heard?.length ?? 0);
        for (const wrong of [undefined, null, "", 7, {}, ["A1"]]) {
            await assert.rejects(client.send(wrong, "/a", "for one only"), { name: "TypeError", message: /address/ });
            await assert.rejects(client.publish("/a", "for one only", { to: wrong }), { name: "TypeError" });
        }
        await settle();
        assert.equal(world.asked.length + (world.line.heard?.length ?? 0), before);
    });

    test(`${transport}: a publication of which a part is refused resolves with both numbers, and a nack tells why`, async () => {
        world.refused.set("/no", { status: 403, reason: "nobody may", field: "subject" });
        const client = await connected(transport);
        assert.deepEqual(await client.publish(["/a", "/no", "/b"], 1), { accepted: 2, refused: 1 });
        const [nack] = client.all("nack");
        assert.deepEqual(
            [nack.code, nack.status, nack.message, nack.field, client.all("nack").length],
            ["refused", 403, "nobody may", "subject", 1],
        );
        await assert.rejects(client.publish(["/no", "/no"], 1), { code: "refused", status: 403 });
        assert.equal(client.all("nack").length, 2);
    });
}

for (const transport of ALL.slice(1)) {
    test(`${transport}: a POST names its session, so that its events have an address`, async () => {
        const client = await connected(transport);
        await client.publish("/a");
        const { url } = posts()[0];
        assert.equal(new URL(url).searchParams.get("session"), `S${client.address.slice(1)}`);
    });
}

test("by POST, too, a message of more than the server takes is not sent", async () => {
    const client = await connected("fetch");
    await assert.rejects(client.publish("/a", "é".repeat(131_072)), { code: "too-large", limit: 262_144 });
    assert.deepEqual(posts(), []);
    assert.equal((await client.publish("/a", "é".repeat(131_000))).accepted, 1);
});

test("a POST whose session has ended published nothing, and says so", async () => {
    const client = await connected("fetch");
    world.doors.publish = { status: 404, detail: "no such session", field: "session" };
    await assert.rejects(client.publish("/a"), { code: "not-connected", message: "no such session" });
    assert.deepEqual(client.all("nack"), []);
});

test("by POST, what comes while a request is on its way goes together in the next, each with its own answer", async () => {
    world.refused.set("/no", { status: 403, reason: "nobody may", field: "subject" });
    const client = await connected("fetch");
    const open = held();
    const all = ["/0", "/1", "/no", "/2"].map((subject, data) => client.publish(subject, data));
    const several = client.publish(["/a", "/b"], 4);
    const last = client.publish("/3", 5);
    all.push(several, last);
    const settled = Promise.allSettled(all);
    for (let turn = 0; turn < 4; turn += 1) {
        await settle();
        assert.equal(open.length, turn + 1);
        open[turn].go();
    }
    const answers = (await settled).map(({ value, reason }) => value ?? [reason.code, reason.status, reason.message]);
    const one = { accepted: 1, refused: 0 };
    assert.deepEqual(answers, [one, one, ["refused", 403, "nobody may"], one, { accepted: 2, refused: 0 }, one]);
    assert.deepEqual(
        open.map(({ body }) => [body].flat().map(({ data }) => data)),
        [[0], [1, 2, 3], [4], [5]],
    );
    assert.equal(client.all("nack").length, 1);
});

test("by POST, a list of which nothing is accepted, and one that is refused as a whole", async () => {
    world.refused.set("/no", { status: 403, reason: "nobody may" });
    world.refused.set("/bad", { status: 400, reason: "no subject" });
    const client = await connected("fetch");
    const open = held();
    const none = await (async () => {
        const all = Promise.allSettled(["/first", "/no", "/bad"].map((subject) => client.publish(subject)));
        await settle();
        open.shift().go();
        await settle();
        open.shift().go();
        return all;
    })();
    assert.deepEqual(
        none.slice(1).map(({ reason }) => [reason.code, reason.status, reason.message]),
        [
            ["refused", 403, "nobody may"],
            ["refused", 400, "no subject"],
        ],
    );
});

test("by POST, a request holds at most 1,000 items and 80,000 units of text", async () => {
    const client = await connected("fetch");
    const open = held();
    const all = Array.from({ length: 2002 }, (_, data) => client.publish("/a", data));
    all.push(...["x", "y"].map((letter) => client.publish("/a", letter.repeat(79_900))));
    const done = Promise.all(all);
    for (let turn = 0; turn < 5; turn += 1) {
        await settle();
        open[turn].go();
    }
    await done;
    assert.deepEqual(
        open.map(({ body }) => [body].flat().length),
        [1, 1000, 1000, 2, 1],
    );
});

test("by POST, the time for an answer begins when the request is sent", async () => {
    const client = await connected("fetch");
    const open = held();
    const first = assert.rejects(client.publish("/a", 1), { code: "unknown" });
    const second = client.publish("/a", 2);
    // The first is given up after 15 s; the second has waited as long, and was not sent.
    await world.pass(15_000);
    await first;
    await settle();
    assert.equal(open.length, 2);
    await world.pass(10_000);
    open[1].go();
    assert.deepEqual(await second, { accepted: 1, refused: 0 });
});

for (const [what, end] of [
    ["closed", (client) => client.close()],
    ["disconnected", () => world.line.end()],
]) {
    test(`by POST, what is not sent when the client is ${what} is never sent, and says so`, async () => {
        const client = await connected("fetch");
        const open = held();
        const first = assert.rejects(client.publish("/a", 1), { code: "unknown" });
        const others = [2, 3].map((data) => assert.rejects(client.publish("/a", data), { code: "not-connected" }));
        await settle();
        end(client);
        await Promise.all(others);
        if (what === "disconnected") open[0].cut();
        await first;
        await world.pass(30_000);
        assert.equal(open.length, 1);
    });
}

test("by POST, what a tab has not sent when it closes is not sent by the tab that has the connection", async () => {
    const tabs = [await connected("fetch", world.tab(), {}), await connected("fetch", world.tab(), {})];
    const open = held();
    const first = tabs[0].publish("/a", 1);
    await settle();
    const theirs = assert.rejects(tabs[1].publish("/a", 2), ({ code }) => ["unknown", "not-connected"].includes(code));
    await settle();
    tabs[1].close();
    await theirs;
    await settle();
    open[0].go();
    assert.equal((await first).accepted, 1);
    await world.pass(1000);
    assert.equal(open.length, 1);
});

test("what waits for a POST goes over the WebSocket that has taken over, in its order", async () => {
    world.doors.ws = "refuse";
    const client = world.client();
    await world.pass(0);
    assert.equal(client.transport, "fetch");
    const open = held();
    const all = Promise.all([1, 2, 3].map((data) => client.publish("/a", data)));
    await settle();
    world.doors.ws = "open";
    // The better transport is tried again after a minute.
    world.doors.publish = "open";
    open[0].go();
    await all;
    const late = held();
    await world.pass(59_999);
    const again = Promise.all([4, 5].map((data) => client.publish("/a", data)));
    await world.pass(1);
    assert.equal(client.transport, "ws");
    late[0].go();
    await again;
    assert.deepEqual(
        [
            late.map(({ body }) => body.data),
            world.line.heard.filter(({ type }) => type === "publish").map(({ data }) => data),
        ],
        [[4], [5]],
    );
});
