// A browser opens six connections to a host for all its tabs together: the clients share them out by BroadcastChannel.
import assert from "node:assert/strict";
import { Client } from "../lib/clients.js";
import { hasLine, isLive, live, pings } from "../lib/demo.js";
import { test } from "../lib/registry.js";
import { until } from "../lib/wait.js";

const TABS = 7;
// Data channels of the wanted mode in one browser: the fifth and later ones poll, so that connections stay free for requests.
const CHANNELS = 4;
// Tabs settle who is first within a second; a control request must not wait for a data channel to end.
const ANSWER_MS = 5000;

// A tab, and the mode that it asked for last.
async function openTab(bench, server, context, variant) {
    const tab = await Client.open(bench, server, variant, { context });
    tab.asked = "";
    tab.page.on("request", (sent) => {
        const mode = /[?&]p_mode=(\w+)/.exec(sent.url());
        if (mode) tab.asked = mode[1];
    });
    await tab.live("/tabs");
    return tab;
}

function modes(tabs) {
    return tabs
        .map((tab) => tab.asked)
        .sort()
        .join(" ");
}

function expected(count, wanted) {
    const polling = Math.max(0, count - CHANNELS);
    return [...Array(polling).fill("poll"), ...Array(count - polling).fill(wanted)].sort().join(" ");
}

async function allHear(server, tabs, text) {
    await server.publish("/tabs", { text });
    for (const tab of tabs) await tab.text(text);
}

for (const variant of [
    { client: "xhr", mode: "pull" },
    { client: "frames", mode: "stream" },
    { client: "frames", mode: "pull" },
]) {
    test(`seven tabs, ${variant.client} ${variant.mode}: all of them live`, { seconds: 60 }, async (bench) => {
        const server = await bench.server({ pullWait: "5s" });
        const context = await bench.context();
        const tabs = [];
        for (let n = 0; n < TABS; n += 1) tabs.push(await openTab(bench, server, context, variant));
        await until(`${CHANNELS} tabs with their mode, the others polling`, () => {
            return modes(tabs) === expected(TABS, variant.mode);
        });
        for (const tab of tabs) {
            await until("a status with the mode", async () => (await tab.status()).mode === tab.asked);
        }
        await allHear(server, tabs, "to all seven");
        await allHear(server, tabs, "and once more");

        const newest = tabs.at(-1);
        const acks = await newest.count("onHeartbeatAck");
        await newest.call("p_heartbeat");
        await newest.heard("onHeartbeatAck", { skip: acks, patience: ANSWER_MS });
        await newest.publish("/tabs", { text: "from the newest" });
        for (const tab of tabs) await tab.text("from the newest", ANSWER_MS);

        // The first tabs are those with the channels.
        for (const tab of tabs.splice(0, TABS - CHANNELS)) await tab.page.close({ runBeforeUnload: false });
        await until("the mode of all who stay", () => modes(tabs) === expected(CHANNELS, variant.mode));
        await allHear(server, tabs, "to those who stay");
        for (const tab of tabs) {
            const texts = (await tab.seen("onData")).map((one) => one.fields.text);
            assert.deepEqual(texts, ["to all seven", "and once more", "from the newest", "to those who stay"]);
            assert.equal(await tab.count("onError"), 0);
        }
    });
}

for (const query of ["client=xhr&mode=pull", "client=frames&mode=stream"]) {
    test(`seven tabs of the ping page, ${query}: pings come back to all`, { seconds: 90 }, async (bench) => {
        const server = await bench.server();
        const context = await bench.context();
        const pages = [];
        for (let n = 0; n < TABS; n += 1) {
            pages.push(await bench.visit(server, `demo/ping.html?${query}`, { context }));
            await live(pages.at(-1));
        }
        const count = async (page) => (await pings(page)).back;
        const before = await Promise.all(pages.map(count));
        for (const [at, page] of pages.entries()) {
            await until(`two more pings in tab ${at + 1}`, async () => (await count(page)) >= before[at] + 2);
        }
        for (const page of pages) assert.equal(await page.locator("#log > *").count(), 0, "a page tells of trouble");
    });
}

const DEMO_TABS = [
    "",
    "demo/ticker.html",
    "demo/monitor.html",
    "demo/board.html",
    "demo/chat.html",
    "demo/events.html",
    "demo/chat-frames.html",
    "demo/ping.html?client=frames&mode=stream",
    "demo/ping.html?client=xhr&mode=pull",
];

test("one tab of every demo page: all of them live, and requests are answered", { seconds: 90 }, async (bench) => {
    const server = await bench.server({ admin: true });
    const context = await bench.context();
    const pages = [];
    for (const path of DEMO_TABS) {
        pages.push(await bench.visit(server, path, { context }));
        await live(pages.at(-1));
    }
    const [home] = pages;
    // The five pages of the modern client are one session, the ticker's slow reader is another one.
    assert.equal(await server.figure("pushletd_sessions"), 1 + 1 + 4);
    const status = await home.evaluate(async (patience) => {
        const answer = await fetch("demo/icon.svg", { cache: "no-store", signal: AbortSignal.timeout(patience) });
        return answer.status;
    }, ANSWER_MS);
    assert.equal(status, 200);
    await home.locator("#text").fill("to be answered");
    await home.locator("#publish button").click();
    await until(
        "an ack on the home page",
        async () => /^Published to/.test(await home.locator("#published-note").textContent()),
        ANSWER_MS,
    );
    await hasLine(home, "events", "to be answered");
    await bench.visit(server, "demo/console.html", { context });
    for (const page of pages) assert.ok(await isLive(page), page.url());
});
