// The demo pages in a browser: each is live, does what it is for, comes back by itself, and fits.
import assert from "node:assert/strict";
import { NO_SERVER } from "../lib/bench.js";
import { PAGES, draws, drawnPixels, hasLine, isAlike, isLive, live, number, says } from "../lib/demo.js";
import { request } from "../lib/http.js";
import { test } from "../lib/registry.js";
import { saveScreenshot } from "../lib/screenshots.js";
import { until } from "../lib/wait.js";

const RECOVERY_MS = 20000;
const SCHEMES = ["light", "dark"];
const SIZES = [
    { width: 1280, height: 800 },
    { width: 390, height: 844, isMobile: true },
];
// WCAG 2.2, 1.4.3: what normal text needs against its background.
const CONTRAST_MIN = 4.5;

for (const { name, path, isLive: hasBadge, works, looksLike, outside: allowed } of PAGES) {
    test(`page ${name}: works`, { seconds: 60 }, async (bench) => {
        const server = await bench.server();
        const page = await bench.visit(server, path);
        if (hasBadge) await live(page);
        await works(server, page, "first");
    });

    test(`page ${name}: comes back after a restart of the server`, { seconds: 90 }, async (bench) => {
        bench.allow(NO_SERVER);
        const server = await bench.server();
        const page = await bench.visit(server, path);
        await page.evaluate(() => (globalThis.neverReloaded = true));
        if (hasBadge) await live(page);
        await works(server, page, "before");
        await server.kill();
        if (hasBadge) await until("a badge that says so", async () => !(await isLive(page)));
        await server.start();
        if (hasBadge) await live(page, RECOVERY_MS);
        await works(server, page, "after");
        assert.ok(await page.evaluate(() => globalThis.neverReloaded), "the page was loaded again");
    });

    // One variant of a page stands for all where they differ only in what they say to the server.
    if (looksLike) continue;

    test(`page ${name}: works below /pushlet/`, { seconds: 60 }, async (bench) => {
        const server = await bench.server();
        const context = await bench.context();
        const outside = [];
        context.on("request", (sent) => {
            const url = sent.url();
            if (url.startsWith(`${server.base}pushlet/`) || allowed?.test(url.slice(server.base.length))) return;
            outside.push(url);
        });
        const page = await bench.visit(server, `pushlet/${path}`, { context });
        if (hasBadge) await live(page);
        await works(server, page, "below");
        assert.deepEqual(
            outside.filter((url) => !url.startsWith("data:")),
            [],
        );
    });

    test(`page ${name}: fits a desk and a phone, light and dark`, { seconds: 90 }, async (bench) => {
        const server = await bench.server();
        const backgrounds = {};
        for (const { width, height, isMobile = false } of SIZES) {
            const context = await bench.context({ viewport: { width, height }, isMobile, hasTouch: isMobile });
            const page = await bench.visit(server, path, { context });
            if (hasBadge) await live(page);
            await works(server, page, `${width}`);
            for (const colorScheme of SCHEMES) {
                await page.emulateMedia({ colorScheme });
                const look = await page.evaluate(measure);
                assert.ok(look.wide <= width, `${look.wide} pixels wide at ${width}: ${look.tooWide}`);
                assert.ok(look.contrast >= CONTRAST_MIN, `${look.contrast} at ${width} ${colorScheme}: ${look.pale}`);
                backgrounds[colorScheme] = look.background;
                await saveScreenshot(page, `${name} ${width} ${colorScheme}`);
            }
            await context.close();
        }
        assert.notEqual(backgrounds.light, backgrounds.dark);
    });
}

// Runs in the page: how wide it is and what makes it so, and how well its text can be read.
function measure() {
    const { document, getComputedStyle, innerWidth } = globalThis;
    const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = ([red, green, blue]) => {
        const linear = [red, green, blue].map((value) => {
            const share = value / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const opaque = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const { backgroundColor } = getComputedStyle(at);
            const found = parts(backgroundColor);
            if (found.length === 3 || found[3] === 1) return backgroundColor;
        }
        return "rgb(255, 255, 255)";
    };
    const contrast = (element) => {
        const levels = [light(parts(getComputedStyle(element).color)), light(parts(opaque(element)))];
        levels.sort((one, other) => other - one);
        return (levels[0] + 0.05) / (levels[1] + 0.05);
    };
    const texts = [...document.querySelectorAll("h1, h2, h3, p, a, button, label span, dt, dd, th, td, li")].filter(
        (element) => element.checkVisibility() && element.textContent.trim() && !element.disabled,
    );
    const palest = texts.reduce((least, element) => (contrast(element) < contrast(least) ? element : least));
    const wideOnes = [...document.body.querySelectorAll("*")].filter((element) => {
        return element.getBoundingClientRect().right > innerWidth + 1;
    });
    return {
        wide: document.documentElement.scrollWidth,
        tooWide: wideOnes.slice(0, 3).map((element) => element.outerHTML.slice(0, 80)),
        contrast: contrast(palest),
        pale: palest.outerHTML.slice(0, 120),
        background: opaque(document.body),
    };
}

test("pages: every link and source is there", {}, async (bench) => {
    const server = await bench.server();
    const statuses = new Map();
    for (const prefix of ["", "pushlet/"]) {
        for (const { name, path } of PAGES) {
            const page = new URL(`${prefix}${path}`, server.base);
            const { body } = await request(page.href);
            const links = [...body.matchAll(/ (?:href|src)="([^"]*)"/g)].map(([, link]) => new URL(link, page));
            const own = links.filter((url) => url.origin === page.origin);
            assert.ok(own.length >= 8, `${name} links to ${own.length} files`);
            for (const url of own) {
                assert.ok(url.href.startsWith(`${server.base}${prefix}`), `${name} leaves its prefix: ${url}`);
                url.hash = "";
                if (!statuses.has(url.href)) statuses.set(url.href, (await request(url.href)).status);
                assert.equal(statuses.get(url.href), 200, `${name} links to ${url}`);
            }
        }
    }
});

test("home: counts sessions, watches another subject", { seconds: 60 }, async (bench) => {
    const server = await bench.server();
    const page = await bench.visit(server, "");
    await live(page);
    await server.publish("/hello", { text: "the publisher has joined" });
    await until("two sessions: the page's and the publisher's", async () => (await number(page, "sessions")) === 2);
    const outside = await server.listen("/hello");
    await until("one more", async () => (await number(page, "sessions")) === 3);
    await server.command({ p_event: "leave", p_id: outside.id });
    await until("one less", async () => (await number(page, "sessions")) === 2);

    await page.locator("#watched").fill("/other, /天气/**");
    await page.locator("#watch button").click();
    await until("the other subject", async () => (await page.locator("#watch-note").textContent()).includes("/天气"));
    await server.publish("/hello/again", { text: "nobody looks at this" });
    await server.publish("/天气/北京", { text: "晴" });
    await hasLine(page, "events", "/天气/北京 text: 晴");
    const lines = await page.locator("#events li").allTextContents();
    assert.ok(!lines.some((line) => line.includes("nobody looks at this")));
});

// The queue of the slow reader is short and conflates: it loses prices, says how many, and has the right ones all the same.
test("ticker: the slow reader misses prices and has the newest", { seconds: 60 }, async (bench) => {
    const server = await bench.server({ pollRest: ["3s", "3s"] });
    const page = await bench.visit(server, "demo/ticker.html");
    await live(page);
    await until("prices that were left out", async () => (await number(page, "slow-lost")) > 0, 30000);
    assert.equal(await number(page, "live-lost"), 0);
    assert.ok((await number(page, "slow-count")) < (await number(page, "live-count")));
    await until("a visit with all prices right", async () => {
        const told = /^(\d+) of (\d+)$/.exec(await page.locator("#slow-right").textContent());
        return told && Number(told[2]) >= 5 && told[1] === told[2];
    });
});

test("board: what is drawn in one page is in the others, newcomers included", { seconds: 60 }, async (bench) => {
    const server = await bench.server();
    const [one, other] = [await bench.visit(server, "demo/board.html"), await bench.visit(server, "demo/board.html")];
    await live(one);
    await live(other);
    await draws(one, [0.1, 0.2], [0.6, 0.8]);
    await until("the stroke in the other page", async () => (await drawnPixels(other, "drawing")) > 0);
    await draws(other, [0.7, 0.2], [0.7, 0.8]);
    await until("both strokes in both pages", async () => {
        return isAlike(await drawnPixels(one, "drawing"), await drawnPixels(other, "drawing"));
    });
    const drawn = await drawnPixels(one, "drawing");

    const newcomer = await bench.visit(server, "demo/board.html");
    await live(newcomer);
    await until("the drawing in a new page", async () => isAlike(drawn, await drawnPixels(newcomer, "drawing")));

    await other.locator("#undo").click();
    await until("one stroke less", async () => {
        const left = await drawnPixels(newcomer, "drawing");
        return left > 0 && left < 0.9 * drawn;
    });
    await one.locator("#clear").click();
    for (const page of [one, other, newcomer]) {
        await until("an empty sheet", async () => (await drawnPixels(page, "drawing")) === 0);
    }
});

const LINES = "你好 😀 👩‍👩‍👧 & <i>hello</i> &amp;\nsecond line";

// One room, both clients. P-22, P-23: who publishes over a WebSocket has an address as well, and can be answered.
test(
    "chat: a page of the modern client and one of a classic client see and answer each other",
    { seconds: 60 },
    async (bench) => {
        const server = await bench.server({ admin: true });
        const witness = await server.listen("/demo/chat");
        const [modern, frames] = [
            await bench.visit(server, "demo/chat.html"),
            await bench.visit(server, "demo/chat-frames.html"),
        ];
        await live(modern);
        await live(frames);
        for (const [page, name] of [
            [modern, "Ada 小明"],
            [frames, 'Bob "B" <b>'],
        ]) {
            await page.locator("#name").fill(name);
            await page.locator("#name").blur();
        }
        await hasLine(modern, "people", 'Bob "B" <b>');
        await hasLine(frames, "people", "Ada 小明");

        await says(modern, LINES);
        await hasLine(frames, "log", LINES);
        await says(frames, "</script><script>window.hacked=1</script>");
        await hasLine(modern, "log", "</script><script>window.hacked=1</script>");

        await says(frames, "for Ada alone", "Ada 小明");
        await until("a private message", async () => {
            const lines = await modern.locator("#log .private").allTextContents();
            return lines.some((line) => line.includes("for Ada alone"));
        });
        await says(modern, "for Bob alone", 'Bob "B" <b>');
        await until("a private answer", async () => {
            const lines = await frames.locator("#log .private").allTextContents();
            return lines.some((line) => line.includes("for Bob alone"));
        });
        await says(modern, "for all again");
        await witness.heard("the last message", (event) => event.text === "for all again");
        assert.ok(!witness.events.some((event) => event.text?.includes("alone")), "others were told what is private");

        // As a person closes it, who is asked before. The last word and the leave of the client go over two connections, and
        // who hears none lets the name fade; what is certain is that nobody is private with a session that is no more.
        await frames.close({ runBeforeUnload: true });
        await until("Ada and the witness", async () => (await server.figure("pushletd_sessions")) === 2);
    },
);

test("chat: both pages find each other again after a restart", { seconds: 90 }, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server();
    const pages = [await bench.visit(server, "demo/chat.html"), await bench.visit(server, "demo/chat-frames.html")];
    for (const page of pages) await live(page);
    for (const page of pages) {
        await until("one other person", async () => (await page.locator("#people li").count()) === 1);
    }
    const addresses = (page) =>
        page.locator("#to option").evaluateAll((options) => options.map((option) => option.value).filter(Boolean));
    const [before] = await addresses(pages[0]);
    await server.kill();
    for (const page of pages) await until("a badge that says so", async () => !(await isLive(page)));
    await server.start();
    for (const page of pages) await live(page, RECOVERY_MS);
    // A new session is a new address, and the same person all the same.
    await until("the other person's new address alone", async () => {
        const known = await addresses(pages[0]);
        return known.length === 1 && known[0] !== before;
    });
    for (const page of pages) {
        await until("one other person", async () => (await page.locator("#people li").count()) === 1);
    }
    const names = await Promise.all(pages.map((page) => page.locator("#people li").textContent()));
    await says(pages[0], "by the new address", names[0]);
    await until("a private message", async () => {
        const lines = await pages[1].locator("#log .private").allTextContents();
        return lines.some((line) => line.includes("by the new address"));
    });
});
