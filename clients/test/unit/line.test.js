// What the pages make of the modern client: its states and its errors in words, and the transports that an address asks for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { stateOf, transportsOf } from "../../demo/line.js";
import { reasonFor } from "../../demo/page.js";

test("a state of the client is one of a badge", () => {
    const reason = { code: "refused", message: "The subject is not for you.", status: 403 };
    assert.deepEqual(stateOf({ state: "connecting" }), { name: "connecting" });
    assert.deepEqual(stateOf({ state: "connected", transport: "ws" }), { name: "live", by: "WebSocket" });
    assert.deepEqual(stateOf({ state: "connected", transport: "poll" }), { name: "live", by: "long poll" });
    assert.deepEqual(stateOf({ state: "connecting", reason, retryIn: 700 }), {
        name: "waiting",
        reason: "The subject is not for you",
        delay: 700,
    });
    // A pause of nothing is one, too.
    assert.equal(stateOf({ state: "connecting", reason, retryIn: 0 }).name, "waiting");
    const refused = stateOf({ state: "disconnected", reason });
    assert.deepEqual(refused, { name: "refused", reason: "The subject is not for you; reload to try again" });
});

test("an error of the client is words for people", () => {
    for (const [error, words] of [
        [{ code: "not-connected", message: "Not published: the client is connecting." }, "not connected"],
        [{ code: "transport", message: "The WebSocket was closed: 1006." }, "the server does not answer"],
        [{ code: "transport", message: "fetch failed: connect ECONNREFUSED" }, "the server does not answer"],
        [{ code: "transport", message: "The EventSource failed." }, "the server does not answer"],
        [{ code: "ended", message: "the server is shutting down" }, "the server is shutting down"],
        [{ code: "timeout", message: "No answer came." }, "no answer came, so it may have arrived or not"],
        [new Error("Failed to fetch"), "the server does not answer"],
    ]) {
        assert.equal(reasonFor(error), words);
    }
});

test("an address asks for transports that there are", () => {
    assert.equal(transportsOf(""), undefined);
    assert.equal(transportsOf("?transport="), undefined);
    assert.equal(transportsOf("?transport=carrier-pigeon"), undefined);
    assert.equal(transportsOf("?transport=toString"), undefined);
    assert.deepEqual(transportsOf("?transport=poll"), ["poll"]);
    assert.deepEqual(transportsOf("?a=1&transport=sse,pigeon,ws"), ["sse", "ws"]);
});
