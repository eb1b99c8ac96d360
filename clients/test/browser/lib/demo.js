// The demo pages: where they are, and what each of them is for.
import assert from "node:assert/strict";
import { VARIANTS } from "./clients.js";
import { until } from "./wait.js";

// A page that talks to the server says so in its badge.
export async function isLive(page) {
    const badge = page.locator("#state");
    return (await badge.getAttribute("class")) === "badge ok" && (await badge.textContent()).startsWith("live");
}

export function live(page, patience) {
    return until(`a live page: ${page.url()}`, () => isLive(page), patience);
}

export async function number(page, id) {
    return Number((await page.locator(`#${id}`).textContent()).replaceAll(",", ""));
}

// Everything that a canvas shows, as text to compare.
export function picture(page, id) {
    return page.evaluate((name) => globalThis.document.getElementById(name).toDataURL(), id);
}

// How many pixels of a canvas are drawn on.
export function drawnPixels(page, id) {
    return page.evaluate((name) => {
        const canvas = globalThis.document.getElementById(name);
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let at = 3; at < data.length; at += 4) if (data[at] > 0) count += 1;
        return count;
    }, id);
}

// Strokes that were drawn piece by piece have a few more soft pixels than those drawn in one go.
export function isAlike(one, other) {
    return one > 0 && Math.abs(one - other) <= 0.03 * Math.max(one, other);
}

export async function draws(page, from, to) {
    const sheet = page.locator("#sheet");
    await sheet.scrollIntoViewIfNeeded();
    const box = await sheet.boundingBox();
    const place = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
    await page.mouse.move(...place(from));
    await page.mouse.down();
    await page.mouse.move(...place(to), { steps: 8 });
    await page.mouse.up();
}

export function hasLine(page, list, text) {
    return until(`a line in #${list}: ${text}`, async () => {
        const lines = await page.locator(`#${list} > *`).allTextContents();
        return lines.some((line) => line.includes(text));
    });
}

// Writes into the chat's box and sends it; to somebody alone if their name is given.
export async function says(page, text, to = "everybody") {
    await page.locator("#to").selectOption({ label: to });
    await page.locator("#text").fill(text);
    await page.locator("#composer button.primary").click();
}

async function chatWorks(server, page, token) {
    const text = `${token} 中文 <b>"&amp;"</b>`;
    await says(page, text);
    await hasLine(page, "log", text);
    await until("the server's copy of an own message", async () => (await page.locator("#log .pending").count()) === 0);
    await server.publish("/demo/chat", { kind: "text", name: "Outside", text: `answer to ${text}` });
    await hasLine(page, "log", `answer to ${text}`);
}

// Pings that came back, those sent: what the ping page counts.
export async function pings(page) {
    const [back, sent] = (await page.locator("#back").textContent()).split(" of ").map(Number);
    return { back, sent };
}

async function pingWorks(server, page) {
    const before = (await pings(page)).back;
    await until("a ping that is back", async () => (await pings(page)).back > before);
    assert.match(await page.locator("#last").textContent(), /^[\d.]+ m?s$/);
}

// The doors of today are at the root alone.
const DOORS = /^v1\/(ws|sse|poll|publish|subscribe|unsubscribe)\b/;

// works(server, page, token) proves that a page does what it is for, now; token makes its texts new ones.
export const PAGES = [
    {
        name: "home",
        path: "",
        isLive: true,
        outside: DOORS,
        async works(server, page, token) {
            await page.locator("#text").fill(`${token} 中文 </script>`);
            await page.locator("#publish button").click();
            await hasLine(page, "events", `${token} 中文 </script>`);
            await server.publish("/hello/outside", { text: `${token} & more` });
            await hasLine(page, "events", `${token} & more`);
            await until("the count of sessions", async () => (await number(page, "sessions")) >= 1);
            const before = await picture(page, "delivered-graph");
            await until("a graph that moves", async () => (await picture(page, "delivered-graph")) !== before);
        },
    },
    {
        name: "demo list",
        path: "demo/",
        isLive: false,
        async works(_, page) {
            assert.ok((await page.locator("main a.card").count()) >= 9);
        },
    },
    {
        name: "events",
        path: "demo/events.html",
        isLive: true,
        outside: DOORS,
        async works(server, page, token) {
            const text = `${token} 中文 </script> "it's"`;
            await page.locator("#data").fill(JSON.stringify({ text, n: 1 }));
            await page.locator("#publish button.primary").click();
            await hasLine(page, "frames", JSON.stringify({ text, n: 1 }));
            await server.publish("/hello/outside", { text: `${token} & more` });
            await hasLine(page, "frames", `${token} & more`);
        },
    },
    { name: "chat", path: "demo/chat.html", isLive: true, outside: DOORS, works: chatWorks },
    { name: "chat in frames", path: "demo/chat-frames.html", isLive: true, works: chatWorks },
    {
        name: "ticker",
        path: "demo/ticker.html",
        isLive: true,
        outside: DOORS,
        async works(_, page) {
            const [count, slow] = [await number(page, "live-count"), await number(page, "slow-count")];
            await until("prices", async () => (await number(page, "live-count")) > count);
            await until("prices of the slow reader", async () => (await number(page, "slow-count")) > slow);
            for (const table of ["live", "slow"]) {
                await until(`companies in #${table}`, async () => (await page.locator(`#${table} tr`).count()) >= 5);
            }
            const before = await page.locator("#live").textContent();
            await until("prices that move", async () => (await page.locator("#live").textContent()) !== before);
        },
    },
    {
        name: "monitor",
        path: "demo/monitor.html",
        isLive: true,
        outside: DOORS,
        async works(_, page) {
            await until("a share of memory", async () => /^\d+ %$/.test(await page.locator("#memory b").textContent()));
            await until("a load", async () => /^\d+\.\d\d$/.test(await page.locator("#load b").textContent()));
            const before = await picture(page, "use");
            await until("a graph that moves", async () => (await picture(page, "use")) !== before);
        },
    },
    {
        name: "board",
        path: "demo/board.html",
        isLive: true,
        outside: DOORS,
        async works(server, page) {
            const seen = await server.listen("/demo/board");
            await draws(page, [0.1, 0.1], [0.8, 0.7]);
            await until("a stroke on the own sheet", async () => (await drawnPixels(page, "drawing")) > 0);
            await seen.heard("a part of the stroke", (event) => event.kind === "line");
        },
    },
    {
        name: "console",
        path: "demo/console.html",
        isLive: false,
        async works(server, page, token) {
            await page.locator("select[name=p_event]").selectOption("join-listen");
            await page.locator("#request button.primary").click();
            const body = page.locator("#answers li pre").first();
            await until("an ack", async () => (await body.textContent()).includes("join-listen-ack"));
            await server.publish("/demo/console", { text: `${token} </script> 中文` });
            await until("the event in the stream", async () => (await body.textContent()).includes(token));
            assert.equal(await page.locator("#state").textContent(), "1 open answer");

            await page.locator("select[name=p_event]").selectOption("publish");
            await page.locator("textarea[name=more]").fill(`text=${token} by hand & so on\nother=2`);
            await page.locator("#request button.primary").click();
            const [ack, stream] = [0, 1].map((nth) => page.locator("#answers li pre").nth(nth));
            await until("the publish-ack", async () => (await ack.textContent()).includes("publish-ack"));
            await until("the own event in the stream", async () =>
                (await stream.textContent()).includes(`${token} by hand & so on`),
            );
            await page.locator("#stop").click();
            await until("the end", async () => (await page.locator("#state").textContent()) === "no open answer");
        },
    },
    ...VARIANTS.map(({ client, mode }, nth) => ({
        name: `ping ${client} ${mode}`,
        looksLike: nth > 0 ? "ping xhr pull" : undefined,
        path: `demo/ping.html?client=${client}&mode=${mode}`,
        isLive: true,
        works: pingWorks,
    })),
];
