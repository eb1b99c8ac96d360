// Pages written as the original's documentation shows it, with nothing changed but the host.
import assert from "node:assert/strict";
import { test } from "../lib/registry.js";
import { until } from "../lib/wait.js";

const POLICIES = {
    xhr: "default-src 'none'; script-src 'self'; connect-src 'self'",
    frames: "default-src 'none'; script-src 'self'; frame-src 'self'",
};

async function showsTheTemperature(bench, page, server) {
    const shown = () =>
        page.evaluate(() => ["city", "value"].map((id) => globalThis.document.getElementById(id).textContent));
    await until("the page's subscription", async () => (await server.figure("pushletd_subscriptions")) === 1);
    await server.publish("/temperature", { city: "北京", value: "-7" });
    await bench.until(
        "the first temperature",
        page,
        () => globalThis.document.getElementById("value").textContent === "-7",
    );
    assert.deepEqual(await shown(), ["北京", "-7"]);
    await server.publish("/temperature/indoors", { city: "'s-Hertogenbosch & <Den Haag>", value: "21" });
    await bench.until(
        "the second temperature",
        page,
        () => globalThis.document.getElementById("value").textContent === "21",
    );
    assert.deepEqual(await shown(), ["'s-Hertogenbosch & <Den Haag>", "21"]);
}

for (const client of ["xhr", "frames"]) {
    test(`documentation page, ${client}: shows what is published`, {}, async (bench) => {
        const server = await bench.server({ admin: true });
        const page = await bench.open(server, `temperature-${client}`);
        await showsTheTemperature(bench, page, server);
    });

    test(`documentation page, ${client}: the same under a strict policy`, {}, async (bench) => {
        const server = await bench.server({ admin: true });
        const page = await bench.open(server, `temperature-${client}`, { policy: POLICIES[client] });
        await showsTheTemperature(bench, page, server);
    });
}
