// The page of EventSource and fetch: what it says when something is wrong, its commands, and how its tabs share connections.
import assert from "node:assert/strict";
import { NO_SERVER } from "../lib/bench.js";
import { Source } from "../lib/event-source.js";
import { hasLine, live } from "../lib/demo.js";
import { shell } from "../lib/programs.js";
import { test } from "../lib/registry.js";
import { until } from "../lib/wait.js";

const PATH = "demo/events.html";
// Tabs with a line; the others rest, so that connections stay free for requests.
const HOLDING = 4;
const ANSWER_MS = 5000;
const KEY = "a-secret-of-at-least-sixteen-bytes";

const text = (page, id) => page.locator(`#${id}`).textContent();

function says(page, id, part) {
    return until(`#${id}: ${part}`, async () => (await text(page, id)).includes(part));
}

async function listensTo(page, subjects) {
    await page.locator("#subjects").fill(subjects);
    await page.locator("#listen button.primary").click();
}

async function publishes(page, fields) {
    for (const [id, value] of Object.entries(fields)) await page.locator(`#${id}`).fill(value);
    await page.locator("#publish button.primary").click();
}

test("events page: shows why it was refused, and listens to what is right", {}, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server({ admin: true });
    const page = await bench.visit(server, PATH);
    await live(page);
    for (const [subjects, part] of [
        ["", "empty subject"],
        ["/a*", "*"],
    ]) {
        await listensTo(page, subjects);
        await says(page, "problem-detail", part);
        await says(page, "state", "refused: 400");
        assert.ok(await page.locator("#problem").isVisible());
        assert.equal(await text(page, "problem-title"), "400 Bad Request.");
        assert.ok((await text(page, "problem-advice")).includes("/hello/**"));
        await until("no session", async () => (await server.figure("pushletd_sessions")) === 0);
    }
    await listensTo(page, "/good");
    await live(page);
    assert.ok(await page.locator("#problem").isHidden());
    await publishes(page, { subject: "/good", data: '"at last"' });
    await hasLine(page, "frames", '"at last"');
});

test("events page: says why an event that was taken is not seen", {}, async (bench) => {
    const server = await bench.server();
    const page = await bench.visit(server, `${PATH}?subject=/hello`);
    await live(page);
    await publishes(page, { subject: "/hello/world", data: "1" });
    await says(page, "published", "/hello does not take that subject");
    await publishes(page, { subject: "/hello", name: "greeting", data: "2" });
    await says(page, "published", "add greeting to the names");
    await page.locator("#names").fill("greeting, other");
    await listensTo(page, "/hello");
    await until("a second session", async () => (await page.locator("#frames .own").count()) === 2);
    await live(page);
    await publishes(page, { subject: "/hello", name: "greeting", data: "a text, as it was typed" });
    await hasLine(page, "frames", "event: greeting");
    assert.match(await text(page, "published"), /^Published to \/hello at [\d:]+, as a text\. $/);
    assert.ok(!(await text(page, "frames")).includes('"data":2'));
    // A text that wants to be JSON is not sent as another thing.
    await publishes(page, { data: '{"half": ' });
    await says(page, "published", "Not published: ");
    await page.locator("#stop").click();
    await says(page, "state", "left");
    await publishes(page, { data: "3" });
    await says(page, "published", "This page is not listening.");
    await publishes(page, { subject: "", data: "4" });
    await says(page, "published", "Not published: 400 Bad Request.");
    bench.allow(NO_SERVER);
});

// Whoever pastes a command gets what the page promised, whatever was typed.
test("events page: its commands do in a terminal what it does", {}, async (bench) => {
    const server = await bench.server();
    const page = await bench.visit(server, PATH);
    await live(page);
    const data = { text: 'it\'s "quoted" $HOME `id` \\n 中文 & ; | > < !! {a,b} [1-3]' };
    const subject = "/hello/it's {a b} [1-3] 中文 &x=1#2%41";
    for (const [id, value] of Object.entries({
        subjects: `${subject},/other`,
        subject,
        name: "it's",
        data: JSON.stringify(data),
    })) {
        await page.locator(`#${id}`).fill(value);
    }
    await page.locator("#names").fill("it's");
    await page.locator("#listen button.primary").click();
    await until("a second session", async () => (await page.locator("#frames .own").count()) === 2);

    const listening = shell(await text(page, "curl-listen"));
    try {
        await until("curl's session", () => listening.stdout.includes("event: session"));
        const publishing = shell(await text(page, "curl-publish"));
        assert.equal(await publishing.over, 0);
        assert.deepEqual(JSON.parse(publishing.stdout), { accepted: 1, refused: 0 });
        await hasLine(page, "frames", JSON.stringify(data));
        await until("the event in curl's terminal", () => listening.stdout.includes("event: it's"));
        const line = listening.stdout.split("\n").find((one) => one.includes('"subject"'));
        const object = JSON.parse(line.slice("data: ".length));
        assert.deepEqual([object.subject, object.data], [subject, data]);
        // Both have the same lines.
        const frames = await page.locator("#frames > :not(.own) pre").allTextContents();
        assert.ok(listening.stdout.includes(`\n${frames[0]}\n\n`), frames[0]);
    } finally {
        listening.close();
    }
});

test("home page: its commands publish to its list, and listen to it", {}, async (bench) => {
    const server = await bench.server();
    const page = await bench.visit(server, "");
    await live(page);
    const listening = shell(await text(page, "curl-listen"));
    try {
        await until("curl's session", () => listening.stdout.includes("event: session"));
        const publishing = shell(await text(page, "curl-publish"));
        assert.equal(await publishing.over, 0);
        await hasLine(page, "events", "/hello/world text: Hello from curl");
        await until("the event in curl's terminal", () => listening.stdout.includes('{"text":"Hello from curl"}'));
    } finally {
        listening.close();
    }
});

const ACCESS = `
[[key]]
name = "page"
file = "page.key"
[[access]]
subject = "/secret/**"
publish = ["page"]
subscribe = ["page"]
`;

test("events page: asks for the key that the server asks for", {}, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server({ more: ACCESS, files: { "page.key": `${KEY}\n` } });
    const page = await bench.visit(server, PATH);
    await live(page);
    await listensTo(page, "/secret/**");
    await says(page, "state", "refused: 401");
    assert.match(await text(page, "problem-advice"), /key/);
    await publishes(page, { subject: "/secret/one", data: "1" });
    await says(page, "published", "Not published: 401");
    await page.locator("#key").fill(KEY);
    await listensTo(page, "/secret/**");
    await live(page);
    await publishes(page, { data: "2" });
    await hasLine(page, "frames", '"data":2');
    // Commands are shown to whoever looks over a shoulder, and stay in the history of a shell.
    for (const id of ["curl-listen", "curl-publish", "script-listen"]) {
        assert.ok(!(await text(page, id)).includes(KEY), id);
    }
    const publishing = shell(await text(page, "curl-publish"), { KEY });
    assert.equal(await publishing.over, 0);
    assert.equal(JSON.parse(publishing.stdout).accepted, 1);
});

// EventSource takes a 503 for the end; the page does not.
test("events page: comes again to a server that is full for now", {}, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server();
    const page = await bench.page();
    let refusals = 0;
    await page.route(/\/v1\/sse\?/, (route) => {
        if ((refusals += 1) > 2) return route.continue();
        const headers = { "Content-Type": "application/problem+json", "Retry-After": "1" };
        const body = JSON.stringify({ title: "Service Unavailable", status: 503, detail: "no room for a session" });
        return route.fulfill({ status: 503, headers, body });
    });
    await page.goto(`${server.base}${PATH}`);
    await says(page, "state", "no room for a session; trying again");
    await live(page);
    await publishes(page, { data: "1" });
    await hasLine(page, "frames", '"data":1');
});

test("events page: gives its connection back when it goes, listens again when it returns", {}, async (bench) => {
    const server = await bench.server({ admin: true });
    const context = await bench.context({ pageCache: true });
    const page = await bench.visit(server, PATH, { context });
    await live(page);
    await page.evaluate(() => (globalThis.neverReloaded = true));
    await page.goto(`${server.base}demo/`);
    await until("no session at all", async () => (await server.figure("pushletd_sessions")) === 0);
    // Playwright does not see the end of a navigation that comes from the cache, so the page is asked.
    await page.evaluate(() => void setTimeout(() => globalThis.history.back()));
    await until("the page again", () => page.evaluate((path) => globalThis.location.href.endsWith(path), PATH));
    assert.ok(await page.evaluate(() => globalThis.neverReloaded), "the page was not kept aside");
    await until("a second session", async () => (await page.locator("#frames .own").count()) === 2);
    await live(page);
    await publishes(page, { data: "[1]" });
    await hasLine(page, "frames", '"data":[1]');
});

test(
    "events page: of seven tabs four listen, the others are of use and take their turn",
    { seconds: 60 },
    async (bench) => {
        const server = await bench.server({ admin: true });
        const context = await bench.context();
        const pages = [];
        for (let n = 0; n < 7; n += 1) {
            pages.push(await bench.visit(server, PATH, { context }));
            if (n < HOLDING) await live(pages[n]);
            else await says(pages[n], "state", "resting: many tabs listen");
        }
        assert.equal(await server.figure("pushletd_sessions"), HOLDING);
        // A tab that rests publishes at once, and those that listen hear it.
        await publishes(pages.at(-1), { data: '"from one that rests"' });
        await until(
            "an answer to the tab that rests",
            async () => (await text(pages.at(-1), "published")).startsWith("Published to"),
            ANSWER_MS,
        );
        for (const page of pages.slice(0, HOLDING)) await hasLine(page, "frames", '"from one that rests"');

        for (const page of pages.splice(0, 3)) await page.close({ runBeforeUnload: false });
        for (const page of pages) await live(page);
        await publishes(pages[0], { data: '"to all who are left"' });
        for (const page of pages) await hasLine(page, "frames", '"to all who are left"');
        // The classic clients and this page share the same connections.
        const chat = await bench.visit(server, "demo/chat-frames.html", { context });
        await until("a chat that polls", () => chat.evaluate(() => globalThis.p_getStatus().mode === "poll"));
    },
);

// Tabs of other pages of the same host say nothing to anybody.
test("events page: says what may be in the way when no connection is left", { seconds: 60 }, async (bench) => {
    const server = await bench.server();
    const context = await bench.context();
    const page = await bench.visit(server, PATH, { context });
    await live(page);
    await page.locator("#stop").click();
    const others = [];
    for (let n = 0; n < 6; n += 1) others.push(await Source.live(bench, server, ["/others"], { context }));
    await listensTo(page, "/hello/**");
    await says(page, "listening", "Do other tabs hold the six connections");
    assert.equal(await text(page, "state"), "connecting");
    await others[0].page.close();
    await live(page);
    await says(page, "listening", "Listening to /hello/**");
});

// A machine that is gone does not close its connections. Here it is a server that is held.
test("events page: notices a line that is dead, and comes again", { seconds: 60 }, async (bench) => {
    const server = await bench.server();
    const page = await bench.visit(server, PATH);
    await live(page);
    const sessions = () => page.locator("#frames .own").count();
    // Silence by itself is no reason: heartbeats come, and are not shown.
    const beats = await page.evaluate(async () => {
        const source = new globalThis.EventSource("/v1/sse?subject=/nothing&heartbeat=event");
        let count = 0;
        await new Promise((resolve) => {
            source.addEventListener("heartbeat", () => (count += 1) === 5 && resolve());
        });
        source.close();
        return count;
    });
    assert.deepEqual([beats, await sessions()], [5, 1]);
    server.hold();
    await says(page, "state", "nothing came for 4 s; trying again");
    server.goOn();
    await until("a second session", async () => (await sessions()) === 2);
    await live(page);
    await publishes(page, { data: '"after the silence"' });
    await hasLine(page, "frames", '"after the silence"');
});
