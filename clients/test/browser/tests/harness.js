// The harness itself: what a page complains of must fail its test.
import assert from "node:assert/strict";
import { test } from "../lib/registry.js";
import { until } from "../lib/wait.js";

const COMPLAINTS = {
    "an error on the console": () => globalThis.console.error("no good"),
    "an exception": () => setTimeout(() => globalThis.thereIsNoSuchFunction()),
    "a promise that nobody awaits": () => void Promise.reject(new Error("forgotten")),
    "a missing file": () => void globalThis.fetch("/there/is/nothing"),
    "what publishers want to run": () => (globalThis.hacked = 1),
    "an inline script against the policy": () => {
        const script = globalThis.document.createElement("script");
        script.textContent = "window.nothing = 1";
        globalThis.document.head.append(script);
    },
};

for (const [complaint, cause] of Object.entries(COMPLAINTS)) {
    test(`harness: ${complaint} fails a test`, {}, async (bench) => {
        const server = await bench.server();
        const page = await bench.open(server, "empty", { policy: "default-src 'self'" });
        bench.judge();
        await page.evaluate(cause);
        await until("the complaint", () => bench.faults.length > 0);
        assert.throws(() => bench.judge(), /the page complained/);
        bench.allow(/./);
    });
}
