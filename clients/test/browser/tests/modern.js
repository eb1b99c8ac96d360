// The other doors of today from pages: publishing by whatever sends a POST, and long poll by fetch.
import assert from "node:assert/strict";
import { NO_SERVER } from "../lib/bench.js";
import { HARD } from "../lib/clients.js";
import { Source } from "../lib/event-source.js";
import { test } from "../lib/registry.js";

const POLICIES = {
    "without a policy": undefined,
    "under a strict policy":
        "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'self'; frame-src 'self'",
};

for (const [how, policy] of Object.entries(POLICIES)) {
    test(`publish from a page, ${how}: JSON, form, text, bytes, beacon`, {}, async (bench) => {
        const server = await bench.server();
        const source = await Source.live(bench, server, ["/from/a/page"], { policy });
        const { page } = source;
        const statuses = await page.evaluate(async (hard) => {
            const { Blob } = globalThis;
            const url = "/v1/publish?subject=/from/a/page";
            const json = { "Content-Type": "application/json" };
            const post = async (address, body, headers = {}) => {
                const answer = await fetch(address, { method: "POST", body, headers });
                return [answer.status, (await answer.json()).accepted];
            };
            const item = { subject: "/from/a/page", data: { n: 1, ...hard } };
            const told = [
                await post("/v1/publish", JSON.stringify(item), json),
                await post("/v1/publish", JSON.stringify([item, { ...item, data: 2 }]), json),
                await post("/v1/publish", new URLSearchParams({ subject: "/from/a/page", ...hard })),
                await post(url, JSON.stringify(hard), json),
                await post(url, `a text\r\n${hard.lines}`),
                await post(url, new Blob([new Uint8Array([0, 255, 13, 10])], { type: "image/x-none" })),
            ];
            return told;
        }, HARD);
        assert.deepEqual(statuses, [
            [202, 1],
            [202, 2],
            [202, 1],
            [202, 1],
            [202, 1],
            [202, 1],
        ]);
        // One after the other: they may go over two connections.
        for (const type of ["application/x-www-form-urlencoded", "application/json"]) {
            await page.evaluate((wanted) => {
                const { Blob, navigator } = globalThis;
                const fields = { subject: "/from/a/page", data: wanted };
                const isForm = !wanted.includes("json");
                const body = isForm
                    ? new URLSearchParams(fields)
                    : new Blob([JSON.stringify(fields)], { type: wanted });
                if (!navigator.sendBeacon("/v1/publish", body)) throw new Error("the browser takes no beacon");
            }, type);
            await source.event("message", ({ data }) => data === type);
        }
        const all = await source.objects();
        const bytes = all.splice(6, 1)[0];
        assert.deepEqual([bytes.content_type, bytes.data, bytes.base64], ["image/x-none", undefined, "AP8NCg=="]);
        // A form's values come with the line ends that the page gave to URLSearchParams.
        const item = { n: 1, ...HARD };
        const text = `a text\r\n${HARD.lines}`;
        assert.deepEqual(
            all.map((object) => object.data),
            [item, item, 2, HARD, HARD, text, "application/x-www-form-urlencoded", "application/json"],
        );
        assert.ok(all.every(({ subject, from }) => subject === "/from/a/page" && from === undefined));
    });
}

test("publish from a page: a form without a script, a refusal that says why", {}, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server();
    const heard = await server.listen("/form");
    const page = await bench.open(server, "empty", {
        policy: "default-src 'none'; connect-src 'self'; form-action 'self'",
    });
    const submit = (fields) =>
        page.evaluate((given) => {
            const { document } = globalThis;
            const form = document.createElement("form");
            Object.assign(form, { method: "post", action: "/v1/publish" });
            for (const [name, value] of Object.entries(given)) {
                const area = document.createElement("textarea");
                Object.assign(area, { name, value });
                form.append(area);
            }
            document.body.append(form);
            form.submit();
        }, fields);
    const answer = page.waitForResponse("**/v1/publish");
    await submit({ subject: "/form", text: HARD.chinese, script: HARD.script });
    assert.equal((await answer).status(), 202);
    await page.waitForURL("**/v1/publish");
    const event = await heard.heard("the form", ({ p_subject: subject }) => subject === "/form");
    assert.deepEqual([event.text, event.script], [HARD.chinese, HARD.script]);

    await page.goto(`${server.base}test/empty.html`);
    const problem = await page.evaluate(async () => {
        const told = await fetch("/v1/publish", {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify({ subject: "", data: 1 }),
        });
        return told.json();
    });
    assert.deepEqual([problem.status, problem.field], [400, "subject"]);
});

test("long poll by fetch: a session, events as they come, the newest request wins", {}, async (bench) => {
    bench.allow(NO_SERVER);
    const server = await bench.server({ pullWait: "5s" });
    const page = await bench.open(server, "empty", { policy: POLICIES["under a strict policy"] });
    const poll = (query) =>
        page.evaluate(async (asked) => {
            const answer = await fetch(`/v1/poll?${new URLSearchParams(asked)}`, { cache: "no-store" });
            return { status: answer.status, ...(await answer.json()) };
        }, query);
    const begun = await poll({ subject: "/poll/**" });
    assert.deepEqual([begun.status, begun.events, begun.wait_ms], [200, [], 5000]);
    const { session } = begun;

    assert.deepEqual((await poll({ session, wait: "0" })).events, []);
    const waiting = poll({ session });
    await server.post({ subject: "/poll/a", event: "named", data: HARD });
    const [event] = (await waiting).events;
    assert.deepEqual([event.subject, event.event, event.data], ["/poll/a", "named", HARD]);

    // What comes between two requests is kept.
    await server.post([
        { subject: "/poll/b", data: 1 },
        { subject: "/poll", data: "not below it" },
        { subject: "/poll/c", data: 2 },
    ]);
    const kept = (await poll({ session })).events;
    assert.deepEqual(
        kept.map(({ data }) => data),
        [1, 2],
    );

    // Of two at a time the one that came first is answered at once and with nothing. Which one that is the network decides.
    const two = [poll({ session, wait: "5" }), poll({ session, wait: "4" })];
    const over = await Promise.race(two.map((one, nth) => one.then((told) => ({ ...told, nth }))));
    assert.deepEqual(over.events, []);
    await server.post({ subject: "/poll/d", data: 3 });
    const winner = await two[1 - over.nth];
    assert.deepEqual(
        winner.events.map(({ data }) => data),
        [3],
    );

    const unknown = await poll({ session: "nobody", wait: "0" });
    assert.deepEqual([unknown.status, unknown.field], [404, "session"]);
    const left = await server.command({ p_event: "leave", p_id: session });
    assert.equal(left.status, 200);
    assert.equal((await poll({ session })).status, 404);
});
