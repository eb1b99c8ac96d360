// Pages of another origin can neither listen nor publish, unless the settings name it (P-33).
import assert from "node:assert/strict";
import { NO_SERVER } from "../lib/bench.js";
import { CLOSED, Source } from "../lib/event-source.js";
import { request } from "../lib/http.js";
import { test } from "../lib/registry.js";
import { until } from "../lib/wait.js";

// What Chromium says of an answer that does not name the page's origin.
const REFUSED = /blocked by CORS policy: .*No 'Access-Control-Allow-Origin' header/;
const SUBJECT = "/origins";

// A server, and a page of a site that is strange to it. allowed: the server's settings name the site.
async function strangers(bench, { allowed }) {
    const site = await bench.site();
    const named = ["https://elsewhere.example", ...(allowed ? [site.origin] : [])];
    const server = await bench.server({ admin: true, more: `[http]\nallow_origins = ${JSON.stringify(named)}\n` });
    const witness = await server.listen(SUBJECT);
    const page = await bench.page();
    await page.goto(`${site.origin}/empty.html`);
    return { site, server, witness, page };
}

// Every way of a page to send a POST. Each resolves with what the page learns of the answer.
const POSTS = {
    "fetch, JSON": ([url, text]) =>
        fetch(url, {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify({ subject: "/origins", data: text }),
        }).then(
            ({ status }) => status,
            ({ name }) => name,
        ),
    "fetch, form": ([url, text]) =>
        fetch(url, { method: "POST", body: new URLSearchParams({ subject: "/origins", data: text }) }).then(
            ({ status }) => status,
            ({ name }) => name,
        ),
    "fetch, text": ([url, text]) =>
        fetch(`${url}?subject=/origins`, { method: "POST", body: text }).then(
            ({ status }) => status,
            ({ name }) => name,
        ),
};

// Ways that tell the page nothing of the answer.
const BLIND_POSTS = {
    "fetch without CORS": ([url, text]) =>
        fetch(url, {
            method: "POST",
            mode: "no-cors",
            body: new URLSearchParams({ subject: "/origins", data: text }),
        }).then(
            () => {},
            () => {}, // The browser keeps the answer to itself, whichever it is.
        ),
    "a beacon": ([url, text]) => {
        globalThis.navigator.sendBeacon(url, new URLSearchParams({ subject: "/origins", data: text }));
    },
    "a form": ([url, text]) =>
        new Promise((resolve) => {
            const { document } = globalThis;
            const frame = document.createElement("iframe");
            frame.name = "answer";
            const form = document.createElement("form");
            Object.assign(form, { method: "post", action: url, target: "answer" });
            for (const [name, value] of Object.entries({ subject: "/origins", data: text })) {
                const field = document.createElement("input");
                Object.assign(field, { type: "hidden", name, value });
                form.append(field);
            }
            document.body.append(frame, form);
            frame.addEventListener("load", () => resolve(frame.remove()), { once: true });
            form.submit();
        }),
};

// The statuses of the server's answers, which the browser sees and a page may not.
function answers(page, server) {
    const found = [];
    page.on("response", (answer) => {
        if (answer.url().startsWith(`${server.base}v1/`)) found.push(answer.status());
    });
    return found;
}

const texts = (witness) => witness.events.filter((event) => event.p_event === "data").map((event) => event.data);

test("another origin: cannot listen by EventSource or fetch", {}, async (bench) => {
    bench.allow(NO_SERVER, REFUSED);
    const { site, server, page } = await strangers(bench, { allowed: false });
    const source = await Source.open(bench, server, [SUBJECT], { site });
    await source.told("(error)");
    assert.equal(await source.state(), CLOSED);
    assert.deepEqual(
        (await source.seen()).map(({ type }) => type),
        ["(error)"],
    );
    for (const door of ["sse", "poll"]) {
        const name = await page.evaluate(
            (url) =>
                fetch(url).then(
                    () => "listened",
                    (error) => error.name,
                ),
            `${server.base}v1/${door}?subject=/origins`,
        );
        assert.equal(name, "TypeError", door);
    }
    // Nor was anybody let in whose answer only the browser holds back.
    assert.equal(await server.figure("pushletd_sessions"), 1);
    const { status, body } = await request(`${server.base}v1/sse?subject=/origins`, {
        headers: { Origin: site.origin },
    });
    assert.deepEqual([status, JSON.parse(body).field], [403, "Origin"]);
});

test("another origin: cannot publish", {}, async (bench) => {
    bench.allow(NO_SERVER, REFUSED);
    const { server, witness, page } = await strangers(bench, { allowed: false });
    const statuses = answers(page, server);
    const url = `${server.base}v1/publish`;
    for (const [name, way] of Object.entries(POSTS)) {
        assert.equal(await page.evaluate(way, [url, "bad"]), "TypeError", name);
    }
    for (const [name, way] of Object.entries(BLIND_POSTS)) {
        const before = statuses.length;
        await page.evaluate(way, [url, "bad"]);
        await until(`the refusal of ${name}`, () => statuses.slice(before).includes(403));
    }
    // An image is a GET, which publishes nothing at this door, and sends no origin.
    const shown = await page.evaluate(
        (address) =>
            new Promise((resolve) => {
                const image = new globalThis.Image();
                image.onload = () => resolve("an image");
                image.onerror = () => resolve("no image");
                image.src = address;
            }),
        `${url}?subject=/origins&data=bad`,
    );
    assert.equal(shown, "no image");
    await server.post({ subject: SUBJECT, data: "good" });
    await witness.heard("what the server's own friends publish", (event) => event.data === '"good"');
    assert.deepEqual(texts(witness), ['"good"']);
});

test("another origin that is allowed: listens and publishes", {}, async (bench) => {
    const { site, server, witness, page } = await strangers(bench, { allowed: true });
    const source = await Source.live(bench, server, [SUBJECT], { site });
    const url = `${server.base}v1/publish`;
    const expected = [];
    for (const [name, way] of Object.entries(POSTS)) {
        assert.equal(await page.evaluate(way, [url, name]), 202, name);
        expected.push(name);
    }
    for (const [name, way] of Object.entries(BLIND_POSTS)) {
        await page.evaluate(way, [url, name]);
        expected.push(name);
        await source.event("message", ({ data }) => data === name);
    }
    const data = (await source.objects()).map((object) => object.data);
    assert.deepEqual(data, expected);
    await witness.heard("the last one", (event) => event.data === JSON.stringify(expected.at(-1)));
    // It sees why it was refused, too.
    bench.allow(NO_SERVER);
    const problem = await page.evaluate(
        (address) => fetch(address).then((answer) => answer.json()),
        `${server.base}v1/sse`,
    );
    assert.deepEqual([problem.status, problem.field], [400, "subject"]);
});
