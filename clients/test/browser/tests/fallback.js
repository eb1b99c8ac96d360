// The matrix of docs/client.md, "What gets through which proxy": proxy x transport x time to the first event, in Chromium and in Node.
import assert from "node:assert/strict";
import { NO_SERVER } from "../lib/bench.js";
import { TRANSPORTS, WAYS, table, walk } from "../lib/matrix.js";
import { test } from "../lib/registry.js";

// What is promised of the client's own choice, and of the next time at the same place: what worked is remembered.
const CHOICE_MS = 5000;
const AGAIN_MS = 1500;
// More at a time would measure this machine.
const AT_ONCE = 3;

test("fallback: what gets through which proxy, and how soon", { seconds: 90 }, async (bench) => {
    bench.allow(NO_SERVER);
    // A server of usual heartbeats: shorter ones would push out what a proxy gathers.
    const server = await bench.server({ pullWait: "20s", heartbeat: "20s" });
    const rows = [];
    for (let at = 0; at < WAYS.length; at += AT_ONCE) {
        rows.push(...(await Promise.all(WAYS.slice(at, at + AT_ONCE).map((way) => walk(bench, server, way)))));
    }
    console.log(table(rows).join("\n"));
    for (const [at, { name, chromium, node }] of rows.entries()) {
        const { passes, choice } = WAYS[at];
        for (const [place, found] of Object.entries({ chromium, node })) {
            const where = `${name}, ${place}`;
            const through = TRANSPORTS.filter((one) => found[one]);
            const able = passes.split(",").filter((one) => one in found);
            assert.deepEqual(through, able, where);
            assert.equal(found.choice?.transport, choice, where);
            assert.ok(found.choice.ms <= CHOICE_MS, `${where}: ${found.choice.ms} ms`);
            assert.equal(found.again?.transport, choice, `${where}, the next time`);
            assert.ok(found.again.ms <= AGAIN_MS, `${where}, the next time: ${found.again.ms} ms`);
        }
    }
});
