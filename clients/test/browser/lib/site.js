// Somebody else's web server, with the pages of pages/. A page that Playwright makes up would not do: for Chromium it comes from nowhere, and may
// not ask a server on this machine.
import { readFileSync } from "node:fs";
import http from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PAGES = join(dirname(fileURLToPath(import.meta.url)), "../pages");

export class Site {
    static async open() {
        const site = new Site();
        site.server = http.createServer((asked, answer) => {
            const name = /^\/([\w-]+\.html)$/.exec(asked.url)?.[1];
            if (!name) return answer.writeHead(asked.url === "/favicon.ico" ? 204 : 404).end();
            answer.writeHead(200, { "Content-Type": "text/html; charset=utf-8" });
            answer.end(readFileSync(join(PAGES, name)));
        });
        await new Promise((resolve) => {
            site.server.listen(0, "127.0.0.1", resolve);
        });
        site.origin = `http://127.0.0.1:${site.server.address().port}`;
        return site;
    }

    close() {
        this.server.close();
        this.server.closeAllConnections();
    }
}
