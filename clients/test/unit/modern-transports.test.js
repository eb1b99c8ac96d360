// The four transports of the modern client over real sockets: the same conversation over each.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { EventSource } from "eventsource";
import WebSocket from "ws";
import { createClient, world } from "./modern-build.js";
import { FakeServer } from "./modern-server.js";

const open = [];

afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
});

async function serve(options) {
    const server = await FakeServer.open(options);
    open.push(server);
    return server;
}

function client(server, options) {
    const made = createClient({ ...world(), EventSource, WebSocket }, server.base, options);
    made.heard = [];
    for (const name of ["state", "lost", "reset", "nack", "error", "event"]) {
        made.on(name, (event) => made.heard.push([name, event]));
    }
    open.push(made);
    return made;
}

// The next event of this name that is as wanted.
function next(source, name, wanted = () => true) {
    return new Promise((resolve) => {
        const off = source.on(name, (event) => {
            if (!wanted(event)) return;
            off();
            resolve(event);
        });
    });
}

for (const transport of ["ws", "sse", "fetch", "poll"]) {
    test(`${transport}: subscribe, hear, publish, be refused, unsubscribe`, async () => {
        const server = await serve();
        const one = client(server, { transports: [transport] });
        const got = [];
        const news = one.subscribe("/news/*", (event) => got.push(event.subject));
        assert.deepEqual([one.state, news.state], ["connecting", "subscribing"]);
        await one.ready();
        await news.ready();
        assert.deepEqual(
            [one.state, one.transport, one.address, news.state],
            ["connected", transport, "A1", "subscribed"],
        );

        const heard = next(one, "event");
        assert.deepEqual(await one.publish("/news/a", { x: 1 }, { event: "alarm" }), { accepted: 1, refused: 0 });
        const event = await heard;
        assert.deepEqual([event.subject, event.event, event.data], ["/news/a", "alarm", { x: 1 }]);
        assert.equal(event.from, "A1");

        // A second pattern in the same session, and one that is refused.
        const prices = one.subscribe("/prices", { queue: 10, conflate: true });
        const secret = one.subscribe("/secret");
        await prices.ready();
        await assert.rejects(secret.ready(), { code: "refused", status: 403, field: "subject" });
        assert.equal(secret.state, "failed");
        assert.equal(server.sessions.size, 1);
        const wishes = server.session.patterns.get("/prices");
        assert.deepEqual([Number(wishes.queue), `${wishes.conflate}`], [10, "true"]);

        await assert.rejects(one.publish("$server/x"), { code: "refused", status: 403 });
        const mine = next(one, "event", ({ subject }) => subject === "/mine");
        await one.send(one.address, "/mine", new Uint8Array([1, 254]));
        const bytes = await mine;
        assert.deepEqual([bytes.data, bytes.contentType], [new Uint8Array([1, 254]), "application/octet-stream"]);

        // Many at once, in their order.
        const counted = one.subscribe("/count");
        await counted.ready();
        const numbers = Array.from({ length: 50 }, (_, number) => number);
        await Promise.all(numbers.map((number) => one.publish("/count", number)));
        const order = [];
        for await (const { data } of counted) {
            order.push(data);
            if (order.length === numbers.length) break;
        }
        assert.deepEqual(order, numbers);
        assert.ok(server.count("/v1/publish") <= 6, `${server.count("/v1/publish")} requests`);

        news.unsubscribe();
        prices.unsubscribe();
        const after = one.subscribe("/after");
        await after.ready();
        assert.deepEqual([...server.session.patterns.keys()], ["/after"]);
        assert.deepEqual(got, ["/news/a"]);
        assert.deepEqual(
            one.heard.filter(([name]) => name === "error"),
            [],
        );
    });
}
