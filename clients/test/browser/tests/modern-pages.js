// The demo pages by the modern client: whatever the connection goes by, beside a classic client, and in seven tabs.
import assert from "node:assert/strict";
import { NO_SERVER } from "../lib/bench.js";
import { Client, HARD } from "../lib/clients.js";
import { hasLine, isLive, live, says } from "../lib/demo.js";
import { Modern } from "../lib/modern.js";
import { test } from "../lib/registry.js";
import { saveSheet } from "../lib/screenshots.js";
import { until } from "../lib/wait.js";

const TRANSPORTS = { ws: "WebSocket", fetch: "fetch", sse: "EventSource", poll: "long poll" };
const TABS = 7;
const RECOVERY_MS = 20000;
// A leader that goes is noticed by its lock, not by a time: this is a handshake and its subscriptions on a busy machine.
const AT_ONCE_MS = 5000;

const badge = (page) => page.locator("#state").textContent();
const shows = (page, text) => until(`a badge that says ${text}`, async () => (await badge(page)) === text);

// P-11, P-22: people of every transport and of a classic client hear each other, and nothing of what they write is more than text.
test("chat: pages by each transport and by a classic client are in one room", { seconds: 60 }, async (bench) => {
    const server = await bench.server();
    const pages = { frames: await bench.visit(server, "demo/chat-frames.html") };
    await live(pages.frames);
    for (const [transport, name] of Object.entries(TRANSPORTS)) {
        pages[transport] = await bench.visit(server, `demo/chat.html?transport=${transport}`);
        await shows(pages[transport], `live by ${name}`);
    }
    const all = Object.entries(pages);
    for (const [, page] of all) {
        await until("all others", async () => (await page.locator("#people li").count()) === all.length - 1);
    }
    const words = ["chinese", "script", "entities", "emoji", "markup"];
    for (const [at, [name, page]] of all.entries()) await says(page, `${name}: ${HARD[words[at]]}`);
    for (const [, page] of all) {
        for (const [at, [name]] of all.entries()) await hasLine(page, "log", `${name}: ${HARD[words[at]]}`);
        await until("copies of own messages", async () => (await page.locator("#log .pending").count()) === 0);
        assert.equal(await page.locator("#log p *").count(), 0, "what was written has become markup");
    }
    // To one person alone, whose address came over another transport.
    const poll = await nameOf(pages.poll);
    const frames = await nameOf(pages.frames);
    await says(pages.frames, "for the one who polls", poll);
    await hasPrivate(pages.poll, "for the one who polls");
    await says(pages.poll, "for the one with frames", frames);
    await hasPrivate(pages.frames, "for the one with frames");
    for (const other of [pages.ws, pages.fetch, pages.sse]) {
        assert.ok(!(await other.locator("#log").textContent()).includes("for the one"), "others were told");
    }
    // Who closes the page has left, by every transport.
    for (const transport of Object.keys(TRANSPORTS)) {
        const name = await nameOf(pages[transport]);
        await pages[transport].goto(`${server.base}demo/`);
        await hasLine(pages.frames, "log", `${name} has left`);
    }
});

function nameOf(page) {
    return page.locator("#name").inputValue();
}

function hasPrivate(page, text) {
    return until(`a private message: ${text}`, async () => {
        const lines = await page.locator("#log .private").allTextContents();
        return lines.some((line) => line.includes(text));
    });
}

test("home: each transport can be asked for, and is of use", { seconds: 60 }, async (bench) => {
    const server = await bench.server();
    for (const [transport, name] of Object.entries(TRANSPORTS)) {
        const page = await bench.visit(server, `?transport=${transport}`);
        await shows(page, `live by ${name}`);
        await page.locator("#text").fill(`${transport} ${HARD.markup}`);
        await page.locator("#publish button").click();
        await hasLine(page, "events", `/hello/world text: ${transport} ${HARD.markup}`);
        await server.post({ subject: "/hello/typed", event: "named", data: { n: 1, list: [true, null] } });
        await hasLine(page, "events", "/hello/typed (named) n: 1, list: [true,null]");
        await page.close();
    }
});

// P-9, P-11, P-12: fields of old pages are an object of texts for new ones, and the other way round.
test("modern client and classic clients: what one publishes is what the others hear", {}, async (bench) => {
    const server = await bench.server();
    const front = await Modern.front(bench, server);
    const modern = await Modern.live(bench, front, ["/both/**"], { options: { share: false } });
    const classic = [
        await Client.open(bench, server, { client: "xhr", mode: "pull" }),
        await Client.open(bench, server, { client: "frames", mode: "stream" }),
    ];
    for (const client of classic) await client.live("/both");
    const { address } = await modern.about();

    await modern.call("publish", "/both/new", { text: "by the modern one", ...HARD });
    for (const client of classic) {
        const heard = await client.text("by the modern one");
        assert.equal(heard.p_from, address);
        for (const [field, value] of Object.entries(HARD)) assert.equal(heard[field], value, field);
    }
    for (const client of classic) {
        const text = `by ${client.client}`;
        await client.publish("/both/old", { text, ...HARD });
        const event = await modern.told("event", ({ data }) => data.text === text);
        assert.deepEqual(event.data, { text, ...HARD });
        // Both can answer whom they have heard.
        await modern.call("send", event.from, "/both/answer", { text: `to ${client.client}` });
        await client.text(`to ${client.client}`);
        await client.publish("/both/answer", { p_to: address, text: `back by ${client.client}` });
        await modern.told("event", ({ data }) => data.text === `back by ${client.client}`);
    }
    assert.deepEqual(await modern.seen("error"), []);
});

test("home: a refusal and a server that is away are told in words", {}, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server();
    const page = await bench.visit(server, "");
    await live(page);
    const says = (id, text) =>
        until(`#${id}: ${text}`, async () => (await page.locator(`#${id}`).textContent()).includes(text));
    await page.locator("#subject").fill("$server/mine");
    await page.locator("#publish button").click();
    await says("published-note", "Not published: ");
    await page.locator("#watched").fill("/a*");
    await page.locator("#watch button").click();
    await says("watch-note", "Still listening to /hello/**: ");
    await server.kill();
    await says("state", "the server does not answer; trying again");
    await until("seconds", async () => / in \d+ s$/.test(await badge(page)));
    await page.locator("#publish button").click();
    await says("published-note", "Not published: not connected.");
    await page.locator("#watch button").click();
    await says("watch-note", "Still listening to /hello/**: not connected.");
    await server.start();
    await live(page, RECOVERY_MS);
});

// Four home pages and three chats, which are one client for the server.
async function openTabs(bench, server) {
    const context = await bench.context({ viewport: { width: 1000, height: 760 } });
    const tabs = [];
    for (let n = 0; n < TABS; n += 1) {
        tabs.push(await bench.visit(server, n % 2 ? "demo/chat.html" : "", { context }));
        await tabs[n].evaluate(() => (globalThis.neverReloaded = true));
        await shows(tabs[n], "live by WebSocket");
    }
    return tabs;
}

const isChat = (page) => page.url().includes("chat");
const chats = (tabs) => tabs.filter(isChat);

// Each tab publishes, and each hears what belongs to it.
async function allSpeak(tabs, word) {
    for (const [at, page] of tabs.entries()) {
        const text = `${word} ${at + 1}`;
        if (isChat(page)) {
            await says(page, text);
        } else {
            await page.locator("#text").fill(text);
            await page.locator("#publish button").click();
        }
    }
    for (const [at, from] of tabs.entries()) {
        for (const page of tabs.filter((one) => isChat(one) === isChat(from))) {
            await hasLine(page, isChat(page) ? "log" : "events", `${word} ${at + 1}`);
        }
    }
}

function allKnowEachOther(tabs) {
    return until("chats that know each other, each once", async () => {
        const counts = await Promise.all(chats(tabs).map((page) => page.locator("#people li").count()));
        return counts.every((count) => count === chats(tabs).length - 1);
    });
}

test("seven tabs: one connection, a leader that goes, a restart of the server", { seconds: 120 }, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server({ admin: true });
    const tabs = await openTabs(bench, server);
    // Whoever polls or streams besides would be another session.
    assert.equal(await server.figure("pushletd_sessions"), 1);
    await allKnowEachOther(tabs);
    await allSpeak(tabs, "all seven");
    // Private words stay private among tabs that share an address.
    const [one, other, third] = chats(tabs);
    await says(one, "for the second chat alone", await nameOf(other));
    await hasPrivate(other, "for the second chat alone");
    assert.ok(!(await third.locator("#log").textContent()).includes("for the second chat alone"));

    await saveSheet(tabs, "restart 1 before");
    await server.drain();
    for (const [at, page] of tabs.entries()) {
        await until(
            `tab ${at + 1} tells it`,
            async () => (await page.locator("#state").getAttribute("class")) !== "badge ok",
        );
    }
    await until("a reason and seconds in all tabs", async () => {
        const told = await Promise.all(tabs.map(badge));
        return told.every((text) => /; trying again in \d+ s$/.test(text));
    });
    await saveSheet(tabs, "restart 2 while it is down");
    await server.start();
    for (const page of tabs) await live(page, RECOVERY_MS);
    await allKnowEachOther(tabs);
    await allSpeak(tabs, "after the restart");
    assert.equal(await server.figure("pushletd_sessions"), 1);
    for (const page of tabs) assert.ok(await page.evaluate(() => globalThis.neverReloaded), "a page was loaded again");
    await saveSheet(tabs, "restart 3 after");

    // The first tab has the connection, because it was the first to ask for it.
    const begun = performance.now();
    const left = tabs.slice(1);
    const accepted = await server.figure("pushletd_connections_accepted_total");
    await tabs[0].close({ runBeforeUnload: false });
    await until("the word of the others", async () => {
        await server.publish("/hello/leader", { text: "after the leader" });
        const homes = left.filter((page) => !isChat(page));
        const texts = await Promise.all(homes.map((page) => page.locator("#events").textContent()));
        return texts.every((text) => text.includes("after the leader"));
    });
    const took = performance.now() - begun;
    assert.ok(took < AT_ONCE_MS, `${took} ms until the others go on`);
    for (const page of left) assert.ok(await isLive(page));
    await allKnowEachOther(left);
    await allSpeak(left, "without the leader");
    // The publisher's session is the other one.
    assert.equal(await server.figure("pushletd_sessions"), 2);
    assert.ok((await server.figure("pushletd_connections_accepted_total")) > accepted);
});
