// What a page does with a classic client while all is well: each client, each mode.
import assert from "node:assert/strict";
import { test } from "../lib/registry.js";
import { Client, HARD, POLICIES, VARIANTS } from "../lib/clients.js";
import { until } from "../lib/wait.js";

for (const variant of VARIANTS) {
    const name = `${variant.client} ${variant.mode}`;

    // P-10, P-11, P-12: nothing that is published is changed, and nothing of it runs.
    async function passesTextsUnharmed(bench, options) {
        const server = await bench.server();
        const client = await Client.open(bench, server, variant, options);
        const outside = await server.listen("/texts");
        const ack = await client.live("/texts");
        assert.equal(ack.p_mode, variant.mode);

        await server.publish("/texts/中文 &c", { text: "from outside", ...HARD });
        const received = await client.text("from outside");
        assert.equal(received.p_subject, "/texts/中文 &c");
        for (const [field, value] of Object.entries(HARD)) assert.equal(received[field], value, field);

        await client.publish("/texts/中文 &c", { text: "from the page", ...HARD });
        const sent = await outside.heard("the page's event outside", (event) => event.text === "from the page");
        assert.equal(sent.p_subject, "/texts/中文 &c");
        for (const [field, value] of Object.entries(HARD)) assert.equal(sent[field], value, field);
        // P-22, P-24: it gets its own event, which says so.
        const own = await client.text("from the page");
        assert.equal(own.p_from, await client.id());
        for (const [field, value] of Object.entries(HARD)) assert.equal(own[field], value, field);
    }

    test(`${name}: joins, receives and publishes texts unharmed`, {}, (bench) => passesTextsUnharmed(bench));

    test(`${name}: the same under a strict policy`, {}, (bench) =>
        passesTextsUnharmed(bench, { policy: POLICIES[variant.client] }),
    );

    // Step by step, as older pages do it.
    test(`${name}: joins, then listens, then subscribes`, {}, async (bench) => {
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        await client.call("p_join");
        const { p_id: id } = await client.heard("onJoinAck");
        assert.equal(id, await client.id());
        // An XHR page gives no mode: it has one.
        await client.call("p_listen", "/listened", ...(variant.client === "frames" ? [variant.mode] : []));
        const ack = await client.heard("onListenAck");
        assert.equal(ack.p_mode, variant.mode);
        await client.call("p_subscribe", "/subscribed");
        await client.heard("onSubscribeAck");
        await server.publish("/listened", { text: "one" });
        await client.text("one");
        await server.publish("/subscribed", { text: "two" });
        await client.text("two");
        if (variant.client === "xhr") {
            await client.page.evaluate(() => void globalThis.PL.publish("/subscribed", "text=three&n=3"));
            assert.equal((await client.text("three")).n, "3");
        }
        assert.equal(await client.id(), id);
        assert.equal(await client.count("onError"), 0);
    });

    test(`${name}: tells its mode`, {}, async (bench) => {
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        assert.equal((await client.status()).mode, "");
        await client.live("/a");
        const { state, mode, tries, reason } = await client.status();
        assert.deepEqual([state, mode, tries, reason], ["listening", variant.mode, 0, ""]);
    });

    // Order is kept, and nothing comes twice.
    test(`${name}: a burst arrives whole and in order`, {}, async (bench) => {
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        await client.live("/burst");
        for (let n = 1; n <= 100; n += 1) await server.publish("/burst", { n });
        await client.heard("onData", { holds: (fields) => fields.n === "100" });
        const numbers = (await client.seen("onData")).map((one) => Number(one.fields.n));
        assert.deepEqual(
            numbers,
            Array.from({ length: 100 }, (_, at) => at + 1),
        );
    });

    // P-6, P-20: labels; a subscription that has ended brings nothing any more.
    test(`${name}: subscribes with labels, unsubscribes`, {}, async (bench) => {
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        await client.live("/kept");
        await client.call("p_subscribe", "/one", 'label 一 & "1"');
        await client.call("p_subscribe", "/two");
        const one = await client.heard("onSubscribeAck", { holds: (fields) => fields.p_subject === "/one" });
        const two = await client.heard("onSubscribeAck", { holds: (fields) => fields.p_subject === "/two" });
        assert.equal(one.p_label, 'label 一 & "1"');

        await server.publish("/one", { text: "for one" });
        await server.publish("/two", { text: "for two" });
        const first = await client.text("for one");
        assert.equal(first.p_label, 'label 一 & "1"');
        assert.equal(first.p_sid, one.p_sid);
        const second = await client.text("for two");
        assert.equal(second.p_label, undefined);
        assert.equal(second.p_sid, two.p_sid);

        await client.call("p_unsubscribe", one.p_sid);
        await client.heard("onUnsubscribeAck", { holds: (fields) => fields.p_sid === one.p_sid });
        await server.publish("/one", { text: "nobody hears this" });
        await server.publish("/two", { text: "still there" });
        await client.text("still there");

        await client.call("p_unsubscribe");
        await client.heard("onUnsubscribeAck", { skip: 1 });
        const texts = (await client.seen("onData")).map((event) => event.fields.text);
        assert.deepEqual(texts, ["for one", "for two", "still there"]);
    });

    // P-22, P-23: by the address of an event, without a subscription.
    test(`${name}: sends to one session and gets what is sent to it`, {}, async (bench) => {
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        const outside = await server.listen("/hall");
        const bystander = await server.listen("/private");
        await client.live("/hall");
        await client.publish("/hall", { text: "who is there?" });
        const question = await outside.heard("the page's question", (event) => event.text === "who is there?");
        assert.notEqual(question.p_from, await client.id(), "the page's secret id went to others");

        await server.publish("/private", { p_to: question.p_from, text: "only you & me" });
        const whisper = await client.text("only you & me");
        assert.equal(whisper.p_sid, undefined);

        await client.publish("/private", { p_to: outside.address, text: "I hear you" });
        await outside.heard("the page's answer", (event) => event.text === "I hear you");
        await server.publish("/private", { text: "for all" });
        await bystander.heard("the event for all", (event) => event.text === "for all");
        const texts = bystander.events.filter((event) => event.p_event === "data").map((event) => event.text);
        assert.deepEqual(texts, ["for all"]);
    });

    // P-7, P-6: a refusal is told and harms nothing.
    test(`${name}: reports a nack, acks a heartbeat`, {}, async (bench) => {
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        await client.live("/a");
        await client.call("p_unsubscribe", "s999");
        const nack = await client.heard("onNack");
        assert.equal(nack.p_reason, "no subscription for sid=s999");
        await client.call("p_heartbeat");
        // The frame client sends one of its own after listen-ack.
        await client.heard("onHeartbeatAck", { skip: variant.client === "frames" ? 1 : 0 });
        await server.publish("/a", { text: "still alive" });
        await client.text("still alive");
        assert.equal(await client.count("onError"), 0);
        assert.equal(await client.count("onNack"), 1);
    });

    // P-14, P-15, P-16: without events there are heartbeats, answer after answer.
    test(`${name}: gets heartbeats while nothing happens`, {}, async (bench) => {
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        await client.live("/silence");
        await client.heard("onHeartbeat", { skip: 2 });
        await server.publish("/silence", { text: "at last" });
        await client.text("at last");
        assert.equal(await client.count("onError"), 0);
    });

    // P-27: nothing comes after the ack, the server knows the session no more, and the page asks for nothing.
    test(`${name}: leaves, and can come again`, {}, async (bench) => {
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        await client.live("/a");
        await server.publish("/a", { text: "before" });
        await client.text("before");
        const id = await client.id();
        assert.ok(await server.knows(id));
        const acks = await client.count(variant.client === "xhr" ? "onJoinListenAck" : "onListenAck");

        await client.call("p_leave");
        await client.heard("onLeaveAck");
        const left = (await client.seen()).length;
        await until("the end of the session", async () => !(await server.knows(id)));
        let requests = 0;
        client.page.on("request", () => (requests += 1));
        const witness = await Client.open(bench, server, variant);
        await witness.live("/a");
        for (const text of ["one", "two", "three"]) {
            await server.publish("/a", { text });
            await witness.text(text);
        }
        const after = (await client.seen()).slice(left);
        assert.deepEqual(after, []);
        assert.equal(requests, 0, "a page that has left goes on asking");

        await client.joinListen("/a");
        await client.heard(variant.client === "xhr" ? "onJoinListenAck" : "onListenAck", { skip: acks });
        await server.publish("/a", { text: "again" });
        await client.text("again");
        assert.notEqual(await client.id(), id);
        assert.equal(await client.count("onError"), 0);
    });
}

// As in the original clients, whose pages compare with what they know.
for (const [nth, missing] of [undefined, ""].entries()) {
    const variant = VARIANTS[nth];
    test(`${variant.client}: a name that an event does not have is ${JSON.stringify(missing)}`, {}, async (bench) => {
        const server = await bench.server();
        const client = await Client.open(bench, server, variant);
        await client.live("/a");
        assert.equal(await client.page.evaluate(() => globalThis.seen.at(-1)[1].get("nothing")), missing);
    });
}
