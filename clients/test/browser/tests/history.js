// Going away and coming back: the user's history is theirs, and the server is not left with sessions that nobody uses.
import assert from "node:assert/strict";
import { NO_SERVER } from "../lib/bench.js";
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

    // With the back/forward cache as users have it. Whether the page is taken from there is the browser's choice; it works either way.
    async function goesAwayAndComesBack(bench, server, meanwhile) {
        const context = await bench.context({ pageCache: true });
        const page = await bench.open(server, "empty", { context });
        const client = await Client.open(bench, server, variant, { page });
        const [before, there] = [`${server.base}test/empty.html`, page.url()];
        await client.live("/a");
        await page.evaluate(() => (globalThis.wasKept = true));
        // Playwright does not see the end of a navigation that comes from the cache, so the page is asked.
        const isAt = (url) => until(url, async () => (await page.evaluate(() => globalThis.location.href)) === url);
        await page.evaluate(() => void setTimeout(() => globalThis.history.back()));
        await isAt(before);
        await meanwhile();
        await page.evaluate(() => void setTimeout(() => globalThis.history.forward()));
        await isAt(there);
        await until("a page that has run", () => page.evaluate(() => Array.isArray(globalThis.seen)));
        const wasKept = await page.evaluate(() => globalThis.wasKept === true);
        if (!wasKept) await client.live("/a");
        return { client, wasKept };
    }

    test(`${name}: goes on after back and forward`, { seconds: 60 }, async (bench) => {
        const server = await bench.server({ admin: true });
        const { client, wasKept } = await goesAwayAndComesBack(bench, server, () =>
            server.publish("/a", { text: "meanwhile" }),
        );
        // The session has gone on, and so has its queue (P-29, P-31).
        if (wasKept) await client.text("meanwhile");
        await server.publish("/a", { text: "afterwards" });
        await client.text("afterwards");
        // The page's and the publisher's.
        await until("no session too many", async () => (await server.figure("pushletd_sessions")) === 2);
        assert.equal(await client.count("onError"), 0);
    });

    // P-28: the server does not wait for a page that is kept aside longer than its lease.
    test(`${name}: joins anew when it comes back too late`, { seconds: 60 }, async (bench) => {
        bench.allow(NO_SERVER);
        const server = await bench.server({ admin: true, lease: "2s" });
        const { client, wasKept } = await goesAwayAndComesBack(bench, server, () =>
            until("no session at all", async () => (await server.figure("pushletd_sessions")) === 0),
        );
        if (wasKept) await client.heard("onRejoined");
        await server.publish("/a", { text: "afterwards" });
        await client.text("afterwards");
        await until("no session too many", async () => (await server.figure("pushletd_sessions")) === 2);
        assert.ok((await client.count("onError")) <= 1);
    });

    // What the browser says when it keeps a page aside and takes it out again, for those modes, too, in which Chromium does not.
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
