// What gets through which proxy, and how soon: the modern client in Chromium and in Node, with each transport by itself and by its own choice.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";
import { connect } from "../../unit/modern-build.js";
import { Modern } from "./modern.js";
import { Proxy } from "./proxies.js";

const DOCS = join(dirname(fileURLToPath(import.meta.url)), "../../../../docs");

export const TRANSPORTS = ["ws", "fetch", "sse", "poll"];
// A transport by itself that has brought no event by then does not get through. Longer than the client may take to find another one.
const PATIENCE_MS = 6000;

// A configuration of docs/proxies.md as it stands there, for another port and server.
function documented(kind) {
    const [, text] = new RegExp(`\n\`\`\`${kind}\n([^]*?)\n\`\`\``).exec(
        readFileSync(join(DOCS, "proxies.md"), "utf8"),
    );
    return `${text}\n`;
}

const inNginx = (page, folder) => `
daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr;
events {}
http {
    access_log off;
    ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join("\n    ")}
${page}
}
`;

// What nginx needs for a WebSocket, beside the rest.
const UPGRADE = `
    location = /v1/ws {
        proxy_pass http://pushletd;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header Host $http_host;
        proxy_read_timeout 60s;
        proxy_send_timeout 60s;
    }

    location /v1/ {`;

const nginx = (edit) => (port, upstream, folder) => {
    const page = edit(documented("nginx"))
        .replace("127.0.0.1:8080", `127.0.0.1:${upstream}`)
        .replace("listen 80;", `listen 127.0.0.1:${port};`);
    return inNginx(page, folder);
};

const haproxy = (edit) => (port, upstream) =>
    edit(documented("haproxy"))
        .replace("127.0.0.1:8080", `127.0.0.1:${upstream}`)
        .replace("bind :80", `bind 127.0.0.1:${port}`);

const withoutUpgrade = (page) => page.replace(/ {4}location = \/v1\/ws \{[^}]*\}\n+/, "");
const withUpgrade = (page) => withoutUpgrade(page).replace("\n    location /v1/ {", UPGRADE);
// nginx as it comes, by HTTP/1.0, gathers for sure, where pushletd's header may not switch it off.
const withBuffers = (page) =>
    withoutUpgrade(page)
        .replace("proxy_http_version 1.1;", "")
        .replace("proxy_buffering off;", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;");
const impatient = (page) => page.replace(/timeout (client|server) \d+s/g, "timeout $1 5s");

const ALL = TRANSPORTS.join();
const HTTP = "fetch,sse,poll";

// name, what is in the way, which transports get through, which one the client is to choose.
export const WAYS = [
    { name: "nothing in between", passes: ALL, choice: "ws" },
    { name: "nginx 1.22, documented, with Upgrade", proxy: ["nginx", nginx(withUpgrade)], passes: ALL, choice: "ws" },
    {
        name: "nginx 1.22, documented, no Upgrade",
        proxy: ["nginx", nginx(withoutUpgrade)],
        passes: HTTP,
        choice: "fetch",
    },
    {
        name: "nginx 1.22, buffering, HTTP/1.0, no Upgrade",
        proxy: ["nginx", nginx(withBuffers)],
        passes: "poll",
        choice: "poll",
    },
    { name: "haproxy 2.6, timeouts of 5 s", proxy: ["haproxy", haproxy(impatient)], passes: ALL, choice: "ws" },
    { name: "cuts every connection after 5 s", front: { cutAfter: 5000 }, passes: ALL, choice: "ws" },
    { name: "403 to Upgrade", front: { upgrade: "refuse" }, passes: HTTP, choice: "fetch" },
    { name: "silent on Upgrade", front: { upgrade: "silent" }, passes: HTTP, choice: "fetch" },
    {
        name: "silent on Upgrade, gathers answers",
        front: { upgrade: "silent", gather: true },
        passes: "poll",
        choice: "poll",
    },
];

let subjects = 0;

// Connects, and closes at the first event: { ms, transport }, or undefined. In a page and in Node, where connect and publish are different ones.
function firstEvent([transports, subject, patience], connectTo, publish) {
    return new Promise((resolve) => {
        const begun = performance.now();
        const client = (connectTo ?? ((options) => globalThis.pushletd.connect(undefined, options)))({
            share: false,
            transports,
        });
        const end = (result) => {
            clearTimeout(timer);
            client.close();
            resolve(result);
        };
        const timer = setTimeout(() => end(undefined), patience);
        client.on("subscription", ({ state }) => {
            if (state === "subscribed") (publish ?? globalThis.publishTo)(subject);
        });
        client.subscribe(subject, () => end({ ms: performance.now() - begun, transport: client.transport }));
    });
}

// Each transport by itself, then the client's choice, then its choice once more: { ws, fetch, sse, poll, choice, again }.
async function ask(measure, transports) {
    const found = {};
    await Promise.all(transports.map(async (name) => (found[name] = await measure([name]))));
    found.choice = await measure(undefined);
    found.again = await measure(undefined);
    return found;
}

// One way: { name, chromium, node }.
export async function walk(bench, server, { name, proxy, front: options }) {
    let upstream = server;
    if (proxy) {
        upstream = await Proxy.open(proxy[0], server.port, proxy[1]);
        bench.sites.push(upstream);
    }
    const front = await Modern.front(bench, upstream, options);
    const publish = (subject) => server.post({ subject, data: 1 });
    const given = (transports) => [transports, `/matrix/${(subjects += 1)}`, PATIENCE_MS];

    const page = await bench.page();
    await page.exposeFunction("publishTo", publish);
    const visit = () => page.goto(`${front.base}test/page.html`);
    await visit();
    const chromium = ask(async (transports) => {
        if (!transports) await visit(); // What is remembered outlives a page.
        return page.evaluate(firstEvent, given(transports));
    }, TRANSPORTS);

    // Node 20 has neither an EventSource nor a WebSocket of its own.
    const inNode = (more) => connect(front.base, { ...more, WebSocket });
    const node = ask(
        (transports) => firstEvent(given(transports), inNode, publish),
        TRANSPORTS.filter((one) => one !== "sse"),
    );
    const told = { name, chromium: await chromium, node: await node };
    await page.close();
    return told;
}

const seconds = ({ ms }) => `${(ms / 1000).toFixed(2)} s`;

function cells(name, place, found) {
    const alone = TRANSPORTS.map((one) => (one in found ? (found[one] ? seconds(found[one]) : "no") : "–"));
    const own = [found.choice, found.again].map((one) => (one ? `${one.transport} ${seconds(one)}` : "no"));
    return [name, place, ...alone, ...own];
}

// The lines of a table in Markdown.
export function table(rows) {
    const head = ["in the way", "client in", ...TRANSPORTS, "own choice", "next time"];
    const body = rows.flatMap(({ name, chromium, node }) => [
        cells(name, "Chromium", chromium),
        cells("", "Node", node),
    ]);
    return [head, head.map(() => "---"), ...body].map((line) => `| ${line.join(" | ")} |`);
}
