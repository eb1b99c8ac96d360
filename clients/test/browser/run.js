// Tests in a real browser:  npm run browser [WORD...]   (all tests, or those whose name has every WORD)
//
// Needs Debian's Chromium (CHROMIUM names another one) and a built pushletd (PUSHLETD, or the newest in target/).
// Prints a line for each test. SCREENSHOTS=FOLDER saves pictures of all pages.
import { mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Bench, newContext } from "./lib/bench.js";
import { launch } from "./lib/browser.js";
import { tests } from "./lib/registry.js";
import { findProgram } from "./lib/server.js";
import { within } from "./lib/wait.js";

// Two tests at a time: they mostly wait for the network, but CI has two processors.
const AT_ONCE = 2;

const here = dirname(fileURLToPath(import.meta.url));
for (const file of readdirSync(join(here, "tests")).sort()) await import(`./tests/${file}`);

const words = process.argv.slice(2);
const chosen = tests.filter(({ name }) => words.every((word) => name.includes(word)));
if (chosen.length === 0) {
    console.error("no test has such a name");
    process.exit(2);
}

let folder;
function folderFor(name) {
    folder ??= mkdtempSync(join(tmpdir(), "pushletd-browser-"));
    const path = join(folder, name.replace(/[^\w]+/g, "-"));
    mkdirSync(path, { recursive: true });
    return path;
}

async function runOne(browser, home, { name, seconds, body }) {
    const bench = new Bench(browser, home);
    const begin = performance.now();
    let trouble;
    try {
        await within(`the test ${name}`, Promise.resolve(body(bench)), seconds * 1000);
        bench.judge();
    } catch (error) {
        trouble = error;
    }
    const took = ((performance.now() - begin) / 1000).toFixed(1).padStart(5);
    if (trouble) await report(bench, name, took, trouble);
    else console.log(`ok     ${took} s  ${name}`);
    await bench.close();
    return !trouble;
}

// Says what failed, and keeps what shows why.
async function report(bench, name, took, trouble) {
    const path = folderFor(name);
    await bench.keep(path);
    const place = /\n\s+at .*?(tests\/[\w-]+\.js:\d+)/.exec(trouble.stack ?? "")?.[1] ?? "";
    console.log(`FAILED ${took} s  ${name}  ${place}\n    ${trouble.message}\n    see ${path}`);
    const told = bench.console.filter((line) => !/^page \d+ (request|failed): /.test(line)).slice(-10);
    for (const line of told) console.log(`    | ${line}`);
    for (const server of bench.servers) {
        for (const line of server.log.trimEnd().split("\n").slice(-5)) if (line) console.log(`    > ${line}`);
    }
}

process.once("SIGTERM", () => process.exit(143));
const begin = performance.now();
const browser = await launch();
console.log(`Chromium ${browser.version()}, ${findProgram()}, ${chosen.length} tests`);
const waiting = [...chosen];
let failures = 0;
async function work() {
    let home = await newContext(browser);
    for (let next = waiting.shift(); next; next = waiting.shift()) {
        if (await runOne(browser, home, next)) continue;
        failures += 1;
        // Nobody knows what the failed test has left.
        await home.close();
        home = await newContext(browser);
    }
    await home.close();
}
try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
} finally {
    await browser.close();
}
const took = ((performance.now() - begin) / 1000).toFixed(0);
console.log(`${chosen.length - failures} of ${chosen.length} browser tests passed in ${took} s`);
if (failures > 0) console.log(`pictures, consoles and server logs: ${folder}`);
process.exitCode = failures > 0 ? 1 : 0;
