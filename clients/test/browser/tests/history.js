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

    // What the browser says when it keeps a page aside (bfcache) and takes it out again; Playwright switches the real one off.
    test(`${name}: a page that was kept aside goes on`, {}, async (bench) => {
        const server = await bench.server({ admin: true });
        const client = await Client.open(bench, server, variant);
        await client.live("/a");
        await server.publish("/a", { text: "before" });
        await client.text("before");
        const tell = (kind) =>
            client.page.evaluate(
                (type) => void globalThis.dispatchEvent(new globalThis.PageTransitionEvent(type, { persisted: true })),
                kind,
            );
        await tell("pagehide");
        await tell("pageshow");
        let n = 0;
        await until("an event afterwards", async () => {
            await server.publish("/a", { text: `after ${(n += 1)}` });
            return (await client.seen("onData")).some((one) => one.fields.text.startsWith("after "));
        });
        // The page's and the publisher's.
        await until("no session too many", async () => (await server.figure("pushletd_sessions")) === 2);
        assert.equal(await client.count("onError"), 0);
        const texts = (await client.seen("onData")).map((one) => one.fields.text);
        assert.equal(new Set(texts).size, texts.length, "an event came twice");
    });
}
