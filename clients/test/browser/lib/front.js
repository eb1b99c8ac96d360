// A web site in front of a server: it has the test's page, and passes everything else on, as faithfully or as badly as a test wants. (A page that
// Playwright makes up would not do: Chromium lets it open no WebSocket to this machine.)
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const CLIENTS = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const PAGE = readFileSync(join(CLIENTS, "test/browser/pages/modern-client.html"), "utf8");
// What a page with the client needs, and nothing else.
const POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'";

const text = (type, body, more) => ({ headers: { "Content-Type": `${type}; charset=utf-8`, ...more }, body });
const scripts = [];
const page = PAGE.replace(/<script type="text\/javascript">([^]*?)<\/script>/g, (_, body) => {
    scripts.push(body);
    return '<script type="text/javascript" src="/test/page.js"></script>';
});
const FILES = {
    "/test/page.html": text("text/html", page, { "Content-Security-Policy": POLICY }),
    "/test/other.html": text("text/html", "<title>Another page</title>"),
    "/test/page.js": text("text/javascript", scripts.join("\n")),
    // The build of these sources, whatever the server has.
    "/lib/pushletd.js": text("text/javascript", readFileSync(join(CLIENTS, "modern/pushletd.js"), "utf8")),
    "/favicon.ico": text("image/x-icon", ""),
};

export class Front {
    // upstream: the port that it passes everything on to. upgrade: "pass", "refuse" (403) or "silent". gather: whether an answer is kept back until
    // it ends. cutAfter: how long a connection to a door lasts, in milliseconds.
    static async open(upstream, { upgrade = "pass", gather = false, cutAfter = 0 } = {}) {
        const front = new Front();
        Object.assign(front, { upstream, upgrade, gather, cutAfter, connections: new Set(), asked: [] });
        front.http = http.createServer((asked, answer) => front.answer(asked, answer));
        front.http.on("upgrade", (asked, socket, head) => front.convert(asked, socket, head));
        front.http.on("connection", (socket) => {
            front.connections.add(socket);
            socket.on("close", () => front.connections.delete(socket));
            socket.on("error", () => {});
        });
        await new Promise((resolve) => {
            front.http.listen(0, "127.0.0.1", resolve);
        });
        front.base = `http://127.0.0.1:${front.http.address().port}/`;
        return front;
    }

    note(asked, socket) {
        this.asked.push(asked.url);
        if (this.cutAfter) {
            const timer = setTimeout(() => socket.destroy(), this.cutAfter);
            socket.on("close", () => clearTimeout(timer));
        }
    }

    answer(asked, answer) {
        const file = FILES[asked.url];
        if (file) return answer.writeHead(200, file.headers).end(file.body);
        this.note(asked, asked.socket);
        const { method, url, headers } = asked;
        const forward = http.request({
            port: this.upstream,
            host: "127.0.0.1",
            method,
            path: url,
            headers,
            agent: false,
        });
        forward.on("response", (given) => {
            const parts = [];
            given.on("data", (part) => (this.gather ? parts.push(part) : answer.write(part)));
            given.on("end", () => answer.end(...parts.slice(0, 1).map(() => Buffer.concat(parts))));
            given.on("error", () => answer.destroy());
            answer.writeHead(given.statusCode, given.headers);
            if (!this.gather) answer.flushHeaders();
        });
        forward.on("error", () => answer.destroy());
        answer.on("close", () => forward.destroy());
        asked.pipe(forward);
    }

    convert(asked, socket, head) {
        this.note(asked, socket);
        if (this.upgrade === "silent") return;
        if (this.upgrade === "refuse")
            return socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        const forward = net.connect(this.upstream, "127.0.0.1", () => {
            const fields = [];
            for (let at = 0; at < asked.rawHeaders.length; at += 2)
                fields.push(`${asked.rawHeaders[at]}: ${asked.rawHeaders[at + 1]}`);
            forward.write(`GET ${asked.url} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`);
            forward.write(head);
            forward.pipe(socket);
            socket.pipe(forward);
        });
        forward.on("error", () => socket.destroy());
        forward.on("close", () => socket.destroy());
        socket.on("close", () => forward.destroy());
    }

    // How often a door was asked.
    count(door) {
        return this.asked.filter((url) => url.startsWith(`/v1/${door}`)).length;
    }

    close() {
        this.http.close();
        for (const socket of this.connections) socket.destroy();
    }
}
