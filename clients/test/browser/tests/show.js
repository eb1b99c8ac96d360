// One event that curl publishes reaches every kind of reader at once: EventSource, both classic clients, a Java program that reads serialized
// objects, and the subscriber of a terminal.
import assert from "node:assert/strict";
import { Client, HARD } from "../lib/clients.js";
import { hasLine, live } from "../lib/demo.js";
import { Source } from "../lib/event-source.js";
import { JavaReader, curlPost, subscribe } from "../lib/programs.js";
import { test } from "../lib/registry.js";
import { saveScreenshot } from "../lib/screenshots.js";

const SUBJECT = "/show/one";

// What readers of the old door see of an event: its own fields.
function own(fields) {
    return Object.fromEntries(Object.entries(fields).filter(([name]) => !name.startsWith("p_")));
}

async function show(bench, { name, data, fields }) {
    const server = await bench.server();
    const readers = [];
    try {
        const [source, xhr, frames, java] = await Promise.all([
            Source.live(bench, server, ["/show/*"], { names: ["announcement"] }),
            Client.open(bench, server, { client: "xhr", mode: "pull" }),
            Client.open(bench, server, { client: "frames", mode: "stream" }),
            JavaReader.open(server, "/show").then((reader) => {
                readers.push(reader);
                return reader;
            }),
        ]);
        for (const client of [xhr, frames]) await client.live("/show");
        const demo = await bench.visit(server, "demo/events.html?subject=/show/**");
        await live(demo);
        const sub = subscribe(server, "/show");
        readers.push(sub);
        // The subscriber does not say when it is ready: events tell, until one has come.
        let n = 0;
        await sub.heardWhile("an event that tells that it listens", () =>
            server.post({ subject: "/show/ready", data: `${(n += 1)}` }),
        );

        const { status, answer } = await curlPost(server, { subject: SUBJECT, ...(name && { event: name }), data });
        assert.deepEqual([status, answer], [202, { accepted: 1, refused: 0 }]);

        const isIt = (event) => event.p_subject === SUBJECT;
        const told = await Promise.all([
            source.event(name ?? "message", ({ subject }) => subject === SUBJECT),
            xhr.heard("onData", { holds: isIt }),
            frames.heard("onData", { holds: isIt }),
            java.event("the event", isIt),
            sub.heard("the event", isIt),
        ]);
        assert.deepEqual([told[0].event, told[0].data], [name, data]);
        // The names for which the page was asked (clients.js) are those of this event; the programs tell all that they got.
        for (const [nth, reader] of ["the XHR page", "the page with frames"].entries()) {
            for (const [field, value] of Object.entries(fields)) assert.equal(told[1 + nth][field], value, reader);
        }
        for (const [nth, reader] of ["Java", "pushletd sub"].entries()) {
            assert.deepEqual(own(told[3 + nth]), fields, reader);
        }
        for (const client of [xhr, frames]) {
            const seen = (await client.seen("onData")).filter((one) => isIt(one.fields));
            assert.equal(seen.length, 1, "it came more than once");
        }
        if (!name) await hasLine(demo, "frames", JSON.stringify(data));
        const title = name ? "typed" : "strings";
        for (const [page, what] of [
            [demo, "demo"],
            [xhr.page, "xhr"],
            [frames.page, "frames"],
        ]) {
            await saveScreenshot(page, `show ${title} ${what}`);
        }
    } finally {
        for (const reader of readers) reader.close();
    }
}

// P-9, P-11, P-12, P-13: an object of texts is fields wherever fields are known.
test("the show: an object of texts from curl, at every door at once", { seconds: 90 }, (bench) =>
    show(bench, { data: HARD, fields: HARD }),
);

// Whoever knows fields only gets the text of the JSON, and the name of the event, in fields.
test("the show: typed JSON with a name from curl, at every door at once", { seconds: 90 }, (bench) => {
    const data = { text: HARD.chinese, n: 1.5, list: [true, null, HARD.script], lines: HARD.lines };
    return show(bench, { name: "announcement", data, fields: { event: "announcement", data: JSON.stringify(data) } });
});
