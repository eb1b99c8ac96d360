// The modern client in a browser and in Node, against the real server.
import assert from "node:assert/strict";
import { NO_SERVER } from "../lib/bench.js";
import { HARD } from "../lib/clients.js";
import { Modern } from "../lib/modern.js";
import { Proxy } from "../lib/proxies.js";
import { test } from "../lib/registry.js";
import { until } from "../lib/wait.js";

const TRANSPORTS = ["ws", "sse", "fetch", "poll"];
// What Chromium says of a WebSocket that finds nobody.
const NO_SOCKET = /^WebSocket connection to /;
// A poll that broke is a reset as well, in the same session.
const AGAIN = ({ reason }) => reason === "reconnected";
const ALONE = { share: false };

for (const transport of TRANSPORTS) {
    const options = { ...ALONE, transports: [transport] };

    test(
        `modern client, ${transport}: subscribe, publish, unicast, bytes, refusals, under a strict policy`,
        {},
        async (bench) => {
            const server = await bench.server();
            const front = await Modern.front(bench, server);
            const modern = await Modern.live(bench, front, ["/a/*", "/texts/**"], { options });
            const about = await modern.about();
            assert.deepEqual([about.state, about.transport], ["connected", transport]);
            assert.match(about.address, /^[\w-]{20,}$/);

            assert.deepEqual(await modern.call("publish", "/a/1", { n: 1 }, { event: "a name of its own" }), {
                accepted: 1,
                refused: 0,
            });
            const first = await modern.told("event");
            assert.deepEqual(
                [first.pattern, first.subject, first.event, first.data],
                ["/a/*", "/a/1", "a name of its own", { n: 1 }],
            );
            assert.equal(first.from, about.address);

            const subject = '/texts/中文 "&c" </script>';
            await server.post({ subject, event: "名 \" ' </script>", data: HARD });
            const texts = await modern.told("event", (one) => one.subject === subject);
            assert.deepEqual([texts.event, texts.data], ["名 \" ' </script>", HARD]);
            await server.post({ subject: "/a/bytes", base64: "AP8N", content_type: "image/x-none" });
            assert.deepEqual((await modern.told("event", (one) => one.bytes)).bytes, [0, 255, 13]);

            await modern.page.evaluate(() => {
                globalThis.client.on(
                    "event",
                    ({ subject: about, data }) => about === "/mine" && globalThis.seen.push({ type: "mine", data }),
                );
            });
            assert.equal((await modern.call("send", about.address, "/mine", "for me")).accepted, 1);
            assert.equal((await modern.told("mine")).data, "for me");

            // Another pattern in the same session, one that cannot be, and one that goes.
            await modern.page.evaluate(() => {
                globalThis.subscriptions.push(
                    globalThis.client.subscribe("/b", ({ data }) => globalThis.seen.push({ type: "b", data })),
                );
                globalThis.bad = globalThis.client.subscribe("/b*");
                globalThis.subscriptions[0].unsubscribe();
                globalThis.subscriptions.shift();
            });
            await modern.subscribed();
            await until("the bad one fails", () => modern.page.evaluate(() => globalThis.bad.state === "failed"));
            assert.equal((await modern.told("nack")).status, 400);
            assert.equal((await modern.about()).address, about.address);
            await server.post([
                { subject: "/a/2", data: 1 },
                { subject: "/b", data: 2 },
            ]);
            assert.equal((await modern.told("b")).data, 2);
            assert.equal((await modern.seen("event")).filter((one) => one.subject === "/a/2").length, 0);

            assert.deepEqual(await modern.call("publish", "$server/x", 1).then(({ code, status }) => [code, status]), [
                "refused",
                403,
            ]);
            assert.deepEqual(await modern.seen("error"), []);
            bench.allow(NO_SERVER);
        },
    );

    test(
        `modern client, ${transport}: a server that drains and comes back, and one that dies`,
        { seconds: 60 },
        async (bench) => {
            bench.allow(NO_SERVER, NO_SOCKET);
            const server = await bench.server();
            const front = await Modern.front(bench, server);
            const modern = await Modern.live(bench, front, ["/a"], { options });
            await server.drain();
            const told = await modern.told("error");
            if (transport === "ws" || transport === "fetch") assert.equal(told.word, "shutdown", told.message);
            await server.start();
            await modern.told("reset", AGAIN);
            await server.post({ subject: "/a", data: "after the drain" });
            await modern.told("event", ({ data }) => data === "after the drain");

            await modern.forget();
            await server.kill();
            await server.start();
            await modern.told("reset", AGAIN);
            await modern.subscribed();
            await server.post({ subject: "/a", data: "after the crash" });
            await modern.told("event", ({ data }) => data === "after the crash");
        },
    );
}

for (const transport of TRANSPORTS) {
    test(`modern client, ${transport}: a subject that is refused harms no other`, {}, async (bench) => {
        bench.allow(NO_SERVER);
        const more = `
[[access]]
subject = "/staff/**"
publish = "anyone"
subscribe = "nobody"
`;
        const server = await bench.server({ more });
        const front = await Modern.front(bench, server);
        const options = { ...ALONE, transports: [transport] };
        const modern = await Modern.open(bench, front, ["/staff/a", "/free"], { options });
        const ended = ({ state }) => state === "subscribed" || state === "failed";
        for (const [pattern, state] of [
            ["/staff/a", "failed"],
            ["/free", "subscribed"],
        ])
            assert.equal(
                (await modern.told("subscription", (one) => one.pattern === pattern && ended(one))).state,
                state,
            );
        assert.equal((await modern.call("publish", ["/free", "$server/x"], 1)).accepted, 1);
        await modern.told("event", (one) => one.subject === "/free");
        await modern.told("nack", (one) => one.status === 403 && /\$/.test(one.message));
    });
}

test(
    "modern client: the default is a WebSocket, and a wrong key is told by the first door that can",
    {},
    async (bench) => {
        bench.allow(NO_SERVER, NO_SOCKET);
        const secret = "a-secret-of-the-tests";
        const more = `
[[key]]
name = "reader"
file = "reader.key"
[[access]]
subject = "/staff/**"
publish = "nobody"
subscribe = ["reader"]
`;
        const server = await bench.server({ more, files: { "reader.key": secret } });
        const front = await Modern.front(bench, server);
        const good = await Modern.live(bench, front, ["/staff/a"], { options: { ...ALONE, key: secret } });
        assert.equal((await good.about()).transport, "ws");
        const bad = await Modern.open(bench, front, ["/staff/a"], {
            options: { ...ALONE, key: "nobody-knows-this-secret" },
        });
        const state = await bad.told("state", (one) => one.state === "disconnected");
        assert.deepEqual([state.reason.code, state.reason.status], ["refused", 401]);
        const none = await Modern.open(bench, front, ["/staff/a", "/free"], { options: ALONE });
        const nack = await none.told("nack");
        assert.equal(nack.status, 401);
        await none.told("subscription", (one) => one.pattern === "/free" && one.state === "subscribed");
        assert.equal((await none.about()).state, "connected");
    },
);

test(
    "modern client: seven tabs share one connection through a restart, and when their leader goes",
    { seconds: 60 },
    async (bench) => {
        bench.allow(NO_SERVER, NO_SOCKET);
        const server = await bench.server();
        const front = await Modern.front(bench, server);
        const context = await bench.context();
        const sockets = new Set();
        const tabs = [];
        for (let number = 1; number <= 7; number += 1) {
            const page = await bench.page(context);
            page.on("websocket", (socket) => sockets.add(socket));
            tabs.push(await Modern.live(bench, front, ["/all", `/tab/${number}`], { page }));
        }
        const addresses = async (some) =>
            new Set(await Promise.all(some.map(async (tab) => (await tab.about()).address)));
        assert.deepEqual([sockets.size, (await addresses(tabs)).size], [1, 1]);
        const hearAll = async (some, data) => {
            await server.post({ subject: "/all", data });
            for (const tab of some) await tab.told("event", (one) => one.data === data);
        };
        await hearAll(tabs, "to all");
        await server.post({ subject: "/tab/3", data: "to one" });
        await tabs[2].told("event", ({ data }) => data === "to one");
        for (const tab of [tabs[0], tabs[6]])
            assert.ok(!(await tab.seen("event")).some(({ data }) => data === "to one"));
        // A tab that has not the connection publishes over it.
        assert.equal((await tabs[6].call("publish", "/all", "from the seventh")).accepted, 1);
        const [address] = await addresses(tabs);
        assert.equal((await tabs[4].told("event", ({ data }) => data === "from the seventh")).from, address);

        await server.drain();
        await server.start();
        for (const tab of tabs) await tab.told("reset", AGAIN);
        await hearAll(tabs, "after the restart");

        // The first tab has the connection: it began it.
        const others = tabs.slice(1);
        for (const tab of others) await tab.forget();
        const before = sockets.size;
        await tabs[0].page.close();
        for (const tab of others) await tab.told("reset", AGAIN);
        await hearAll(others, "after the leader");
        assert.equal((await addresses(others)).size, 1);
        assert.equal(sockets.size, before + 1);
    },
);

test(
    "modern client: a page that the browser keeps for going back hears again when it is shown",
    { seconds: 60 },
    async (bench) => {
        const server = await bench.server();
        const front = await Modern.front(bench, server);
        const context = await bench.context({ pageCache: true });
        const modern = await Modern.live(bench, front, ["/a"], { context });
        const { address } = await modern.about();
        await modern.page.evaluate(() => {
            globalThis.addEventListener("pageshow", ({ persisted }) =>
                globalThis.seen.push({ type: "pageshow", persisted }),
            );
        });
        await modern.page.goto(`${front.base}test/other.html`);
        // Not goBack(): it waits for a load, which a kept page has no more.
        await modern.page.evaluate(() => globalThis.history.back());
        assert.equal((await modern.told("pageshow")).persisted, true);
        await modern.told("reset", AGAIN);
        await modern.subscribed();
        assert.notEqual((await modern.about()).address, address);
        await server.post({ subject: "/a", data: "back" });
        await modern.told("event", ({ data }) => data === "back");
    },
);

// Falling back, with the time from connect() to the first event in the page.
const WAYS = {
    "nothing in between": [{}, "ws"],
    "a proxy that refuses the upgrade": [{ upgrade: "refuse" }, "fetch"],
    "a proxy that is silent on the upgrade": [{ upgrade: "silent" }, "fetch"],
    "a proxy that refuses the upgrade and gathers answers": [{ upgrade: "refuse", gather: true }, "poll"],
    "a proxy that is silent on the upgrade and gathers answers": [{ upgrade: "silent", gather: true }, "poll"],
};
for (const [way, [options, transport]] of Object.entries(WAYS)) {
    test(`modern client behind ${way}: ${transport}, within 5 s, and the next page at once`, {}, async (bench) => {
        bench.allow(NO_SERVER, NO_SOCKET);
        const server = await bench.server();
        const front = await Modern.front(bench, server, options);
        const one = await Modern.live(bench, front, ["/a"], { options: ALONE });
        await server.post({ subject: "/a", data: 1 });
        await one.told("event");
        const connected = await one.told("state", ({ state }) => state === "connected");
        assert.equal(connected.transport, transport);
        assert.ok(connected.when < 5000, `${connected.when} ms`);
        assert.deepEqual(await one.seen("error"), []);
        await one.page.close();
        const asked = front.count("ws");
        const two = await Modern.live(bench, front, ["/a"], { options: ALONE });
        assert.equal((await two.about()).transport, transport);
        if (transport !== "ws") assert.equal(front.count("ws"), asked);
        const again = await two.told("state", ({ state }) => state === "connected");
        assert.ok(again.when < 5000, `${again.when} ms`);
    });
}

test(
    "modern client behind a proxy that cuts after 5 s: it ends with polls that are short enough",
    { seconds: 90 },
    async (bench) => {
        bench.allow(NO_SERVER, NO_SOCKET);
        const server = await bench.server();
        const front = await Modern.front(bench, server, { cutAfter: 5000 });
        const modern = await Modern.live(bench, front, ["/a"], { options: ALONE });
        await modern.told("state", ({ transport }) => transport === "poll", 60_000);
        await server.post({ subject: "/a", data: "by poll" });
        await modern.told("event", ({ data }) => data === "by poll");
        assert.equal(front.count("ws"), 3);
        assert.ok(front.asked.length < 60, `${front.asked.length} requests`);
    },
);

for (const [kind, transport] of [
    ["nginx", "poll"],
    ["haproxy", "ws"],
]) {
    test(`modern client behind ${kind} as it comes: ${transport}, within 5 s`, {}, async (bench) => {
        bench.allow(NO_SERVER, NO_SOCKET);
        const server = await bench.server();
        const proxy = await Proxy.open(kind, server.port);
        bench.sites.push(proxy);
        const front = await Modern.front(bench, proxy);
        const modern = await Modern.live(bench, front, ["/a"], { options: ALONE });
        const connected = await modern.told("state", ({ state }) => state === "connected");
        assert.equal(connected.transport, transport);
        assert.ok(connected.when < 5000, `${connected.when} ms`);
        await server.post({ subject: "/a", data: 1 });
        await modern.told("event");
        assert.equal((await modern.call("publish", "/a", 2)).accepted, 1);
        await modern.told("event", ({ data }) => data === 2);
    });
}
