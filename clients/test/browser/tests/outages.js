// What a page sees when the server fails it, and that it comes back without a reload: each client, each mode.
import assert from "node:assert/strict";
import { NO_SERVER } from "../lib/bench.js";
import { test } from "../lib/registry.js";
import { Client, VARIANTS } from "../lib/clients.js";
import { PATIENCE_MS, until } from "../lib/wait.js";

// A client may wait longer and longer between its tries; after an outage of seconds it must be back within this time.
const RECOVERY_MS = 20000;
const OUTAGE_MS = 3000;

// A page that listens to /a, and to /b with a label.
async function listeningPage(bench, server, variant) {
    const client = await Client.open(bench, server, variant);
    const requests = countRequests(client.page);
    await client.page.evaluate(() => (globalThis.neverReloaded = true));
    await client.live("/a");
    await client.call("p_subscribe", "/b", "the label");
    const { p_sid: sid } = await client.heard("onSubscribeAck");
    const first = await client.id();
    await server.publish("/a", { text: "before" });
    await client.text("before");
    assert.equal(await client.count("onError"), 0);
    return { client, requests, sid, first };
}

// When the page asked the server, in milliseconds of one clock.
function countRequests(page) {
    const times = [];
    page.on("request", (sent) => {
        if (sent.url().includes("pushlet.srv")) times.push(performance.now());
    });
    return times;
}

// Everything is as before: events of both subscriptions, the label, and the sid that the page knows.
async function goesOn(server, { client, sid, first }) {
    const rejoined = await client.heard("onRejoined", { patience: RECOVERY_MS });
    assert.notEqual(rejoined.p_id, first);
    assert.equal(rejoined.p_id, await client.id());
    let n = 0;
    await until("an event after the outage", async () => {
        await server.publish("/a", { text: `after ${(n += 1)}` });
        return (await client.seen("onData")).some((one) => one.fields.text.startsWith("after "));
    });
    await server.publish("/b", { text: "with its label" });
    assert.equal((await client.text("with its label")).p_label, "the label");

    await client.call("p_unsubscribe", sid);
    await client.heard("onUnsubscribeAck");
    await server.publish("/b", { text: "nobody hears this" });
    await server.publish("/a", { text: "the end" });
    await client.text("the end");
    const texts = (await client.seen("onData")).map((one) => one.fields.text);
    assert.ok(!texts.includes("nobody hears this"), "the subscription did not end");
    assert.equal(new Set(texts).size, texts.length, "an event came twice");
    assert.ok(await client.page.evaluate(() => globalThis.neverReloaded), "the page was loaded again");
    assert.equal(await client.count("onRejoined"), 1);
    assert.equal(await client.count("onNack"), 0);
}

// The retries that the page was told of are those that were made: no flood, and no faster than planned.
async function keepsItsPace(client, requests, tries) {
    const begin = requests.length;
    const last = await client.heard("onRetry", {
        holds: (fields) => Number(fields.p_tries) >= tries,
        patience: RECOVERY_MS,
    });
    assert.ok(Number(last.p_wait) > 0, `p_wait is ${last.p_wait}`);
    const told = await client.seen("onRetry");
    const waits = told.map((one) => Number(one.fields.p_wait));
    assert.ok(
        waits.every((wait) => wait >= 100),
        `hasty waits: ${waits}`,
    );
    // A try is a join, or a request and then a join where the session is not known to be gone.
    const made = requests.length - begin;
    assert.ok(made <= 2 * tries + 2, `${made} requests in ${tries} tries`);
}

for (const variant of VARIANTS) {
    const name = `${variant.client} ${variant.mode}`;

    test(`${name}: survives a restart of the server`, { seconds: 60 }, async (bench) => {
        bench.allow(NO_SERVER);
        const server = await bench.server();
        const state = await listeningPage(bench, server, variant);
        await server.kill();
        await server.start();
        await goesOn(server, state);
        assert.equal(await state.client.count("onError"), 1);
    });

    test(`${name}: survives three seconds without a server`, { seconds: 60 }, async (bench) => {
        bench.allow(NO_SERVER);
        const server = await bench.server();
        const state = await listeningPage(bench, server, variant);
        await server.kill();
        const killed = performance.now();
        const before = state.requests.length;
        const error = await state.client.heard("onError");
        assert.ok(error.p_reason, "onError without a reason");
        assert.ok(Number(error.p_wait) >= 0, `p_wait is ${error.p_wait}`);
        await state.client.heard("onRetry");
        await until("the end of the outage", () => performance.now() - killed >= OUTAGE_MS);
        const asked = state.requests.length - before;
        assert.ok(asked <= 15, `${asked} requests in ${OUTAGE_MS} ms without a server`);
        await server.start();
        await goesOn(server, state);
        assert.equal(await state.client.count("onError"), 1);
    });

    // P-32: the server says that it goes. A poll may have nothing open through which it could be told.
    test(
        `${name}: is told when the server is stopped, and is back with the next one`,
        { seconds: 60 },
        async (bench) => {
            bench.allow(NO_SERVER);
            const server = await bench.server({ pullWait: "5s", admin: true });
            const state = await listeningPage(bench, server, variant);
            if (variant.mode === "pull") {
                // A refresh that has just begun waits for five seconds.
                const before = state.requests.length;
                await until("the next refresh", () => state.requests.length > before);
            }
            if (variant.mode !== "poll") {
                await until("an open answer", async () => (await server.figure("pushletd_sessions_listening")) === 1);
            }
            await server.drain();
            if (variant.mode !== "poll") {
                const abort = await state.client.heard("onAbort");
                assert.ok(abort.p_reason, "onAbort without a reason");
            }
            await server.start();
            await goesOn(server, state);
            assert.ok((await state.client.count("onAbort")) <= 1);
            assert.ok((await state.client.count("onError")) <= 1);
        },
    );

    // P-8, P-28: an id that the server has forgotten, while it is well.
    test(`${name}: joins again when its session has ended`, { seconds: 60 }, async (bench) => {
        bench.allow(NO_SERVER);
        const server = await bench.server();
        const state = await listeningPage(bench, server, variant);
        await server.command({ p_event: "leave", p_id: state.first });
        await goesOn(server, state);
        assert.ok((await state.client.count("onError")) <= 1);
    });

    // P-22, P-23: a new session has a new address, and only the client can tell the page.
    test(`${name}: tells its new address when it has joined again`, { seconds: 60 }, async (bench) => {
        bench.allow(NO_SERVER);
        const server = await bench.server();
        const { client, first } = await listeningPage(bench, server, variant);
        await server.command({ p_event: "leave", p_id: first });
        const { p_from: address } = await client.heard("onRejoined", { patience: RECOVERY_MS });
        assert.ok(address, "onRejoined without p_from");
        await server.publish("/private", { p_to: address, text: "to the new address" });
        await client.text("to the new address");
    });

    test(`${name}: waits while the server answers 503`, { seconds: 60 }, async (bench) => {
        bench.allow(NO_SERVER);
        const server = await bench.server();
        const state = await listeningPage(bench, server, variant);
        const busy = { status: 503, headers: { "Retry-After": "1", "Content-Type": "text/plain" }, body: "busy\n" };
        await state.client.page.route("**/pushlet.srv*", (route) => route.fulfill(busy));
        await server.command({ p_event: "leave", p_id: state.first });
        await state.client.heard("onError");
        await keepsItsPace(state.client, state.requests, 3);
        await state.client.page.unroute("**/pushlet.srv*");
        await goesOn(server, state);
        assert.equal(await state.client.count("onError"), 1);
    });

    // One clear error, a plan that the page can see, and life as soon as there is a server.
    test(`${name}: a URL where no server is`, { seconds: 60 }, async (bench) => {
        bench.allow(NO_SERVER);
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        const requests = countRequests(client.page);
        const missing = { status: 404, headers: { "Content-Type": "text/html" }, body: "<h1>Not Found</h1>" };
        await client.page.route("**/pushlet.srv*", (route) => route.fulfill(missing));
        await client.joinListen("/a");
        const error = await client.heard("onError");
        assert.ok(error.p_reason.length > 10, `an unclear reason: ${error.p_reason}`);
        assert.ok(Number(error.p_wait) > 0, `p_wait is ${error.p_wait}`);
        assert.ok(await client.status(), "no status");
        await keepsItsPace(client, requests, 2);
        assert.equal(await client.count("onError"), 1);
        await client.page.unroute("**/pushlet.srv*");
        await until("an event after all", async () => {
            await server.publish("/a", { text: "after all" });
            return (await client.count("onData")) > 0;
        });
        assert.equal(await client.count("onError"), 1);
    });

    // The page has come while there was a server; nobody answers its first request.
    test(`${name}: a server that has gone before the page joins`, { seconds: 60 }, async (bench) => {
        bench.allow(NO_SERVER);
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        const requests = countRequests(client.page);
        await server.kill();
        await client.joinListen("/a");
        const error = await client.heard("onError", { patience: 2 * PATIENCE_MS });
        assert.ok(error.p_reason.length > 10, `an unclear reason: ${error.p_reason}`);
        assert.ok(Number(error.p_wait) > 0, `p_wait is ${error.p_wait}`);
        await keepsItsPace(client, requests, 2);
        await server.start();
        await until("an event after all", async () => {
            await server.publish("/a", { text: "after all" });
            return (await client.count("onData")) > 0;
        });
        assert.equal(await client.count("onError"), 1);
    });
}

// Nothing can be done about it, so the page is told once and nothing is asked.
test("frames: a server of another origin is one clear error", {}, async (bench) => {
    const server = await bench.server();
    const other = await bench.server();
    const change = (html) => html.replace("p_embed()", `p_embed("${other.base}")`);
    const client = await Client.open(bench, server, { client: "frames", mode: "stream" }, { change });
    const requests = countRequests(client.page);
    await client.joinListen("/a");
    const error = await client.heard("onError");
    assert.match(error.p_reason, /origin/);
    // The heartbeat is refused as well, and proves that the join was done with.
    await client.call("p_heartbeat");
    assert.equal(await client.count("onError"), 1);
    assert.deepEqual(requests, []);
});

// Its answers cannot be read without CORS (P-33): an error with a plan, as the server's settings may change.
test("xhr: a server of another origin is one clear error", {}, async (bench) => {
    bench.allow(NO_SERVER, /blocked by CORS policy/);
    const server = await bench.server();
    const other = await bench.server();
    const change = (html) => html.replace('src="/lib/', `src="${other.base}lib/`);
    const context = await bench.context({ permissions: ["local-network-access"] });
    const client = await Client.open(bench, server, { client: "xhr", mode: "pull" }, { context, change });
    const requests = countRequests(client.page);
    await client.joinListen("/a");
    const error = await client.heard("onError");
    assert.ok(error.p_reason.includes(other.base), `an unclear reason: ${error.p_reason}`);
    await keepsItsPace(client, requests, 2);
    assert.equal(await client.count("onError"), 1);
});
