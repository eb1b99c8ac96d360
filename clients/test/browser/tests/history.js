// Going away and coming back: the user's history is theirs, and the server is not left with sessions that nobody uses.
import assert from "node:assert/strict";
import { Client, VARIANTS } from "../lib/clients.js";
import { test } from "../lib/registry.js";
import { until } from "../lib/wait.js";

for (const variant of VARIANTS) {
    const name = `${variant.client} ${variant.mode}`;

    test(`${name}: adds nothing to the history, ends its session with the page`, { seconds: 60 }, async (bench) => {
        const server = await bench.server({ admin: true });
        const page = await bench.open(server, "empty");
        const start = page.url();
        const client = await Client.open(bench, server, variant, { page });
        const length = await page.evaluate(() => globalThis.history.length);
        await client.live("/a");
        // Requests and refreshes are what navigates frames.
        for (let n = 1; n <= 5; n += 1) {
            await client.publish("/a", { text: `number ${n}` });
            await client.text(`number ${n}`);
        }
        await client.heard("onHeartbeat");
        assert.equal(await page.evaluate(() => globalThis.history.length), length);
        const id = await client.id();

        await page.goBack();
        assert.equal(page.url(), start, "one step back is not the page before");
        await until("the end of the session", async () => !(await server.knows(id)));
        await until("no session at all", async () => (await server.figure("pushletd_sessions")) === 0);

        await page.goForward();
        await client.live("/a");
        await server.publish("/a", { text: "after coming back" });
        await client.text("after coming back");
    });

    test(`${name}: a closed tab ends its session`, {}, async (bench) => {
        const server = await bench.server({ admin: true });
        const client = await Client.open(bench, server, variant);
        await client.live("/a");
        assert.equal(await server.figure("pushletd_sessions"), 1);
        await client.page.close();
        await until("no session at all", async () => (await server.figure("pushletd_sessions")) === 0);
    });

    // A page that goes away leaves, wherever the browser puts it; one that comes back joins anew, with all that it had.
    async function isWhole(server, client, sid, first) {
        const rejoined = await client.heard("onRejoined");
        assert.notEqual(rejoined.p_id, first);
        assert.equal(rejoined.p_id, await client.id());
        await server.publish("/b", { text: "with its label" });
        assert.equal((await client.text("with its label")).p_label, "the label");
        await client.call("p_unsubscribe", sid);
        await client.heard("onUnsubscribeAck");
        await server.publish("/b", { text: "nobody hears this" });
    }

    async function labelled(client) {
        await client.live("/a");
        await client.call("p_subscribe", "/b", "the label");
        const { p_sid: sid } = await client.heard("onSubscribeAck");
        return { sid, first: await client.id() };
    }

    // With the back/forward cache as users have it. Whether the page is taken from there is the browser's choice; it works either way.
    test(`${name}: goes on after back and forward`, { seconds: 60 }, async (bench) => {
        const server = await bench.server({ admin: true });
        const context = await bench.context({ pageCache: true });
        const page = await bench.open(server, "empty", { context });
        const client = await Client.open(bench, server, variant, { page });
        const [before, there] = [`${server.base}test/empty.html`, page.url()];
        const { sid, first } = await labelled(client);
        await page.evaluate(() => (globalThis.wasKept = true));
        // Playwright does not see the end of a navigation that comes from the cache, so the page is asked.
        const isAt = (url) => until(url, async () => (await page.evaluate(() => globalThis.location.href)) === url);
        await page.evaluate(() => void setTimeout(() => globalThis.history.back()));
        await isAt(before);
        await until("no session at all", async () => (await server.figure("pushletd_sessions")) === 0);

        await page.evaluate(() => void setTimeout(() => globalThis.history.forward()));
        await isAt(there);
        await until("a page that has run", () => page.evaluate(() => Array.isArray(globalThis.seen)));
        if (await page.evaluate(() => globalThis.wasKept === true)) await isWhole(server, client, sid, first);
        else await client.live("/a");
        await server.publish("/a", { text: "afterwards" });
        await client.text("afterwards");
        assert.ok(!(await client.seen("onData")).some((one) => one.fields.text === "nobody hears this"));
        // The page's and the publisher's.
        await until("no session too many", async () => (await server.figure("pushletd_sessions")) === 2);
        assert.equal(await client.count("onError"), 0);
    });

    // What the browser says when it keeps a page aside and takes it out again, for those modes, too, in which Chromium does not.
    test(`${name}: a page that was kept aside goes on`, {}, async (bench) => {
        const server = await bench.server({ admin: true });
        const client = await Client.open(bench, server, variant);
        const { sid, first } = await labelled(client);
        const tell = (kind) =>
            client.page.evaluate(
                (type) => void globalThis.dispatchEvent(new globalThis.PageTransitionEvent(type, { persisted: true })),
                kind,
            );
        await tell("pagehide");
        await until("no session at all", async () => (await server.figure("pushletd_sessions")) === 0);
        const heard = (await client.seen()).length;
        await tell("pageshow");
        await isWhole(server, client, sid, first);
        await server.publish("/a", { text: "afterwards" });
        await client.text("afterwards");
        assert.ok(!(await client.seen("onData")).some((one) => one.fields.text === "nobody hears this"));
        // What the client restores is its own business.
        const calls = (await client.seen()).slice(heard).map((one) => one.call);
        const acks = calls.filter((call) => /^on(Join|Listen|Subscribe|Leave)/.test(call));
        assert.deepEqual(acks, []);
        assert.equal(await client.count("onError"), 0);
        await until("no session too many", async () => (await server.figure("pushletd_sessions")) === 2);
    });
}
