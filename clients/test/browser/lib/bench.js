// What one test works with: servers, pages, and everything it must answer for.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.js";
import { Server } from "./server.js";
import { Site } from "./site.js";
import { until } from "./wait.js";

const PAGES = join(dirname(fileURLToPath(import.meta.url)), "../pages");

// How long a click or a look may wait for its element; who can wait longer looks again (until).
const ACTION_MS = 5000;

// What Chromium says by itself when a request fails: expected wherever a test takes the server away.
export const NO_SERVER = /^(Failed to load resource|WebSocket connection to \S+ failed): /;

// A page whose inline scripts are files instead: [html, { "NAME.1.js": text }].
function moveScriptsOut(name, html) {
    const scripts = {};
    const moved = html.replace(/<script type="text\/javascript">([^]*?)<\/script>/g, (_, text) => {
        const file = `${name}.${Object.keys(scripts).length + 1}.js`;
        scripts[file] = text;
        return `<script type="text/javascript" src="/test/${file}"></script>`;
    });
    return [moved, scripts];
}

export async function newContext(browser, options) {
    const context = await browser.newContext(options);
    // In every frame of every page.
    await context.addInitScript(() => {
        Object.defineProperty(globalThis, "hacked", {
            set() {
                globalThis.console.error("a publisher's script runs in a page");
            },
        });
        // Chromium tells violations on its console as well; this names the rule and the place.
        globalThis.document.addEventListener("securitypolicyviolation", (event) => {
            globalThis.console.error(
                `CSP: ${event.violatedDirective} forbids ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}`,
            );
        });
    });
    return context;
}

export class Bench {
    // home: the context in which pages are opened. It outlives a test, because a new one is a window of Chromium and costs most of a
    // second; tests do not meet there, as each has a server and so an origin of its own.
    constructor(browser, home) {
        this.browser = browser;
        this.home = home;
        this.browsers = [];
        this.servers = [];
        this.sites = [];
        this.contexts = [];
        this.pages = [];
        this.console = [];
        this.faults = [];
        this.allowed = [];
        this.closed = false;
    }

    // Messages of pages that this test expects.
    allow(...patterns) {
        this.allowed.push(...patterns);
    }

    // A test that ran out of time goes on until it notices.
    mustBeOpen() {
        if (this.closed) throw new Error("the test is over");
    }

    async server(options) {
        this.mustBeOpen();
        const server = new Server(options);
        this.servers.push(server);
        return server.start();
    }

    // Another origin, with pages of its own.
    async site() {
        this.mustBeOpen();
        const site = await Site.open();
        this.sites.push(site);
        return site;
    }

    // A context of this test alone. pageCache: in a browser of its own that keeps pages aside when the user goes on (bfcache).
    async context({ pageCache = false, ...options } = {}) {
        this.mustBeOpen();
        let { browser } = this;
        if (pageCache) {
            browser = await launch({ pageCache });
            this.browsers.push(browser);
        }
        const context = await newContext(browser, options);
        this.contexts.push(context);
        return context;
    }

    // A page that answers for what it complains of.
    async page(context = this.home) {
        this.mustBeOpen();
        const page = await context.newPage();
        page.setDefaultTimeout(ACTION_MS);
        const number = this.pages.push(page);
        const note = (kind, text) => this.console.push(`page ${number} ${kind}: ${text}`);
        page.on("console", (message) => {
            const { url } = message.location();
            note(message.type(), `${message.text()} (${url})`);
            // A browser with a tab strip looks for this by itself, now and then; no page asked for it.
            if (url.endsWith("/favicon.ico")) return;
            if (message.type() === "error") this.faults.push(message.text());
        });
        page.on("pageerror", (error) => {
            note("exception", error.stack ?? error.message);
            this.faults.push(`exception: ${error.message}`);
        });
        page.on("crash", () => this.faults.push("the page crashed"));
        page.on("popup", (popup) => this.faults.push(`a window that nobody asked for: ${popup.url()}`));
        page.on("dialog", (dialog) => {
            this.faults.push(`dialog: ${dialog.message()}`);
            dialog.dismiss().catch(() => {});
        });
        page.on("request", (sent) => note("request", `${sent.method()} ${sent.url()}`));
        page.on("requestfailed", (sent) => note("failed", `${sent.failure()?.errorText} ${sent.url()}`));
        return page;
    }

    // Opens a page of pages/ as a page of the server itself. With a policy (CSP) its scripts are files.
    async open(server, name, { page: given, context, policy, change = (html) => html } = {}) {
        const page = given ?? (await this.page(context));
        let html = change(readFileSync(join(PAGES, `${name}.html`), "utf8"));
        const headers = { "Content-Type": "text/html; charset=utf-8" };
        let scripts = {};
        if (policy) {
            headers["Content-Security-Policy"] = policy;
            [html, scripts] = moveScriptsOut(name, html);
        }
        await page.route(`**/test/${name}.html*`, (route) => route.fulfill({ headers, body: html }));
        for (const [file, body] of Object.entries(scripts)) {
            const type = { "Content-Type": "text/javascript; charset=utf-8" };
            await page.route(`**/test/${file}`, (route) => route.fulfill({ headers: type, body }));
        }
        await page.goto(`${server.base}test/${name}.html`);
        return page;
    }

    // Opens one of the server's own pages.
    async visit(server, path, { context } = {}) {
        const page = await this.page(context);
        await page.goto(`${server.base}${path}`);
        return page;
    }

    // Waits until a function holds in the page.
    until(what, page, holds, argument, patience) {
        return until(what, () => page.evaluate(holds, argument), patience);
    }

    // Throws for every message of a page that nobody expected.
    judge() {
        const unexpected = this.faults.filter((text) => !this.allowed.some((pattern) => pattern.test(text)));
        if (unexpected.length > 0) throw new Error(`the page complained:\n    ${unexpected.join("\n    ")}`);
    }

    // What somebody needs who looks for the cause of a failure.
    async keep(folder) {
        writeFileSync(join(folder, "console.txt"), `${this.console.join("\n")}\n`);
        for (const [at, server] of this.servers.entries()) {
            writeFileSync(join(folder, `server-${at + 1}.txt`), server.log);
        }
        for (const [at, page] of this.pages.entries()) {
            if (page.isClosed()) continue;
            const path = join(folder, `page-${at + 1}.png`);
            await page.screenshot({ path, timeout: 5000 }).catch(() => {});
            const seen = await page.evaluate(() => globalThis.seen).catch(() => undefined);
            if (seen) writeFileSync(join(folder, `page-${at + 1}.json`), JSON.stringify(seen, null, 1));
        }
    }

    async close() {
        this.closed = true;
        for (const page of this.pages) await page.close().catch(() => {});
        for (const context of this.contexts) await context.close().catch(() => {});
        for (const browser of this.browsers) await browser.close();
        for (const server of this.servers) await server.close();
        for (const site of this.sites) site.close();
    }
}
