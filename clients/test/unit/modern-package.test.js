// The package of the modern client: what is built, how it loads, its types, and that it lets a program end.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import vm from "node:vm";
import { gzipSync } from "node:zlib";
import { FakeServer } from "./modern-server.js";

const execute = promisify(execFile);
const clients = join(dirname(fileURLToPath(import.meta.url)), "../..");
const dist = join(clients, "js/dist");
const served = readFileSync(join(clients, "modern/pushletd.js"));
const COMPILER = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
let folder;

before(() => {
    execFileSync(process.execPath, [join(clients, "js/build.js")]);
    folder = mkdtempSync(join(tmpdir(), "pushletd-package-"));
});

after(() => rmSync(folder, { recursive: true, force: true }));

test("the script that the server has is what these sources build: `npm run build` in clients/ makes it", () => {
    assert.ok(
        served.equals(readFileSync(join(dist, "pushletd.js"))),
        "clients/modern/pushletd.js is not up to date: npm --prefix clients run build",
    );
});

test("the script is under 10 kB by gzip", () => {
    const size = gzipSync(served, { level: 9 }).length;
    assert.ok(size < 10_000, `${size} bytes`);
});

test("the script needs nothing that a strict policy forbids, and nothing of Node", () => {
    assert.doesNotMatch(
        served.toString(),
        /\beval\b|\bFunction\(|createObjectURL|new Worker|document\.write|innerHTML|\brequire\(|\bimport\b/,
    );
});

test("the script makes one global", () => {
    const page = { URL, setTimeout, clearTimeout };
    vm.runInNewContext(served.toString(), page);
    assert.deepEqual(Object.keys(page), ["URL", "setTimeout", "clearTimeout", "pushletd"]);
    assert.deepEqual(Object.keys(page.pushletd).sort(), ["PushletError", "connect"]);
});

test("the package loads as ESM and as CommonJS", async () => {
    const esm = await import(join(dist, "pushletd.mjs"));
    const cjs = createRequire(import.meta.url)(join(dist, "pushletd.cjs"));
    for (const one of [esm, cjs])
        assert.deepEqual([typeof one.connect, typeof one.PushletError], ["function", "function"]);
    assert.deepEqual(readdirSync(dist).sort(), [
        "pushletd.cjs",
        "pushletd.d.cts",
        "pushletd.d.ts",
        "pushletd.js",
        "pushletd.mjs",
    ]);
});

const USE = `
import { connect, PushletError, type Client, type PushletEvent, type Subscription, type State } from "./pushletd.js";
interface Price { bid: number }
const client: Client = connect("http://a.test", { key: "k", transports: ["ws", "poll"], share: false });
const one: Subscription<Price> = client.subscribe<Price>("/prices/*", (event, self) => {
    const bid: number = event.data.bid;
    const pattern: string = self.pattern;
    console.log(bid, pattern);
}, { queue: 5, conflate: true });
const off: () => void = client.on("state", ({ state, reason, retryIn }) => {
    const named: State = state;
    console.log(named, reason?.code, retryIn?.toFixed());
});
client.on("lost", ({ count, where }) => console.log(count + 1, where === "client"));
async function run(): Promise<void> {
    await client.ready();
    const { accepted }: { accepted: number } = await client.publish(["/a", "/b"], { x: 1 }, { event: "e", wait: true });
    for await (const event of client.subscribe<Price>("/prices/a", { buffer: 9 })) {
        const typed: PushletEvent<Price> = event;
        console.log(typed.data.bid, accepted);
    }
    try { await client.send("address", "/a"); } catch (error) { if (error instanceof PushletError) console.log(error.status); }
}
// @ts-expect-error: there is no such event
client.on("stat", () => {});
// @ts-expect-error: data is unknown if nobody says what it is
client.subscribe("/a", ({ data }) => data.bid);
// @ts-expect-error: there is no such transport
connect("", { transports: ["pigeon"] });
// @ts-expect-error: an event is not changed
client.on("event", (event) => { event.subject = "/b"; });
off(); one.unsubscribe(); void run(); client.close();
`;

test("the types are what users need, and hold with every strictness", () => {
    for (const [name, source] of [
        ["pushletd.d.ts", "pushletd.d.ts"],
        ["use.ts", undefined],
    ]) {
        writeFileSync(join(folder, name), source ? readFileSync(join(dist, source)) : USE);
    }
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    const flags = [
        "--noEmit",
        "--strict",
        "--exactOptionalPropertyTypes",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--types",
        "",
    ];
    try {
        execFileSync(process.execPath, [COMPILER, ...flags, "--lib", "es2022,dom", join(folder, "use.ts")], {
            encoding: "utf8",
        });
    } catch (error) {
        assert.fail(error.stdout || error.message);
    }
});

test("the declarations need no DOM and no types of Node", () => {
    const path = join(folder, "alone.d.ts");
    writeFileSync(path, readFileSync(join(dist, "pushletd.d.ts")));
    const { status, stdout } = spawnSync(
        process.execPath,
        [COMPILER, "--noEmit", "--strict", "--skipLibCheck", "false", "--types", "", "--lib", "es2022", path],
        { encoding: "utf8" },
    );
    assert.equal(status, 0, stdout);
});

test("the package has what the docs install, and its licences", () => {
    const [{ filename, files }] = JSON.parse(
        execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
            cwd: join(clients, "js"),
            encoding: "utf8",
            stdio: ["ignore", "pipe", "ignore"],
        }),
    );
    const names = files.map(({ path }) => path);
    for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) {
        assert.ok(names.includes(name), `${names}`);
        assert.ok(readFileSync(join(clients, "js", name)).equals(readFileSync(join(clients, "..", name))), name);
    }
    assert.ok(names.includes("dist/pushletd.mjs") && names.includes("README.md"));
    for (const page of ["../docs/client.md", "js/README.md"])
        assert.ok(readFileSync(join(clients, page), "utf8").includes(`npm install ./${filename}`), page);
});

// A program that is done with the client must be able to end: nothing may keep it alive, of which the shortest would be 10 s (a late answer of a poll).
const PROGRAM = `
import { connect } from ${JSON.stringify(join(dist, "pushletd.mjs"))};
const [, , base, transport, when] = process.argv;
const client = connect(base, transport ? { transports: [transport] } : {});
client.subscribe("/a");
if (when === "connected") {
    await client.ready();
    await client.publish("/a", 1);
}
client.close();
console.log(client.transport ?? "closed");
`;

test("after close() nothing keeps a Node program alive, connected or not", async () => {
    const server = await FakeServer.open();
    const path = join(folder, "program.mjs");
    writeFileSync(path, PROGRAM);
    try {
        for (const [base, transport, when] of [
            [server.base, "", "connected"],
            [server.base, "fetch", "connected"],
            [server.base, "poll", "connected"],
            [server.base, "poll", "at once"],
            ["http://127.0.0.1:1", "", "at once"],
        ]) {
            const { stdout } = await execute(process.execPath, [path, base, transport, when], { timeout: 8_000 });
            assert.equal(stdout, "closed\n");
        }
    } finally {
        await server.close();
    }
});

test("Node without a WebSocket reads the stream by fetch", async () => {
    const server = await FakeServer.open();
    const path = join(folder, "default.mjs");
    const text = PROGRAM.replace("client.close();", "console.log(client.transport);\nclient.close();").replace(
        "const client",
        "delete globalThis.WebSocket;\nconst client",
    );
    writeFileSync(path, text);
    try {
        const { stdout } = await execute(process.execPath, [path, server.base, "", "connected"], { timeout: 8_000 });
        assert.equal(stdout, "fetch\nclosed\n");
    } finally {
        await server.close();
    }
});
