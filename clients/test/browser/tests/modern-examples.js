// The examples of docs/client.md do what the page says, in a browser and in Node. And the client in Node against the real server.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Modern } from "../lib/modern.js";
import { test } from "../lib/registry.js";
import { until } from "../lib/wait.js";

const execute = promisify(execFile);
const clients = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const URL_OF_DOCS = "http://127.0.0.1:8080";

const text = readFileSync(join(clients, "../docs/client.md"), "utf8");
const blocks = (language) =>
    [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].filter(([, one]) => one === language).map(([, , body]) => body);
const [inPage, inNode] = blocks("js");
const [printed] = blocks("text");

test("docs/client.md, in a page: prints what it says", {}, async (bench) => {
    const server = await bench.server();
    const front = await Modern.front(bench, server);
    const page = await bench.page();
    await page.goto(`${front.base}test/page.html`);
    const lines = [];
    page.on("console", (message) => lines.push(message.text()));
    await page.evaluate(inPage);
    await until("the event on the console", () => lines.includes(printed.trim()));
    assert.equal(blocks("js").length, 2);
    assert.match(blocks("html")[0], /src="\/lib\/pushletd.js"/);
});

// A folder in which `pushletd` is installed.
function project(files) {
    execFileSync(process.execPath, [join(clients, "js/build.js")]);
    const folder = mkdtempSync(join(tmpdir(), "pushletd-project-"));
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(join(clients, "js"), join(folder, "node_modules/pushletd"));
    symlinkSync(join(clients, "node_modules/ws"), join(folder, "node_modules/ws"));
    for (const [name, body] of Object.entries(files)) writeFileSync(join(folder, name), body);
    return folder;
}

// The transports in turn: subscribe, hear one's own event, end.
const CONVERSATION = `
import WebSocket from "ws";
import { connect } from "pushletd";
for (const transport of ["ws", "fetch", "poll"]) {
    const client = connect(process.argv[2], { transports: [transport], WebSocket });
    const one = client.subscribe("/node/*");
    await one.ready();
    await client.publish("/node/" + transport, { by: transport }, { event: "named" });
    for await (const { subject, event, data } of one) {
        console.log(client.transport, subject, event, data.by);
        break;
    }
    await client.publish("$server/x").catch(({ code, status }) => console.log(code, status));
    client.close();
}
`;

test(
    "docs/client.md, in Node: prints what it says; and all transports of Node against the server",
    { seconds: 60 },
    async (bench) => {
        const server = await bench.server();
        const base = server.base.slice(0, -1);
        assert.ok(inNode.includes(URL_OF_DOCS));
        const folder = project({ "example.mjs": inNode.replace(URL_OF_DOCS, base), "conversation.mjs": CONVERSATION });
        try {
            const example = await execute(process.execPath, [join(folder, "example.mjs")], { timeout: 20_000 });
            assert.equal(example.stdout, printed);
            const conversation = await execute(process.execPath, [join(folder, "conversation.mjs"), base], {
                timeout: 30_000,
            });
            const lines = ["ws", "fetch", "poll"].map((name) => `${name} /node/${name} named ${name}\nrefused 403\n`);
            assert.equal(conversation.stdout, lines.join(""));
        } finally {
            rmSync(folder, { recursive: true, force: true });
        }
    },
);
