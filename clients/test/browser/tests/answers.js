// What the server sends besides events: the heads of pages and clients, from outside the browser.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { request } from "../lib/http.js";
import { test } from "../lib/registry.js";

const FOLDER = new URL("../../../", import.meta.url);
const TYPES = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml", png: "image/png" };

// Every path that is served, with the type of its file.
function paths() {
    const found = [["", "html"]];
    for (const [folder, path] of [
        ["classic", "lib/"],
        ["demo", "demo/"],
    ]) {
        for (const name of readdirSync(new URL(folder, FOLDER))) found.push([`${path}${name}`, name.split(".").pop()]);
    }
    return found.map(([path, kind]) => [path === "demo/index.html" ? "demo/" : path, kind]);
}

test("every page and script: type, policy, nosniff", {}, async (bench) => {
    const server = await bench.server();
    assert.ok(paths().length > 5);
    for (const prefix of ["", "pushlet/"]) {
        for (const [path, kind] of paths()) {
            const { status, headers, body } = await request(`${server.base}${prefix}${path}`);
            assert.equal(status, 200, path);
            assert.ok(headers["content-type"].startsWith(TYPES[kind]), `${path}: ${headers["content-type"]}`);
            assert.equal(headers["x-content-type-options"], "nosniff", path);
            assert.ok(body.length > 0, path);
            const policy = headers["content-security-policy"];
            assert.equal(policy !== undefined, kind === "html", path);
            if (policy) {
                assert.match(policy, /default-src 'none'/, path);
                assert.match(policy, /script-src 'self'/, path);
                assert.doesNotMatch(policy, /unsafe/, path);
            }
        }
    }
});

test("every page and script: ETag, 304, HEAD, 405", {}, async (bench) => {
    const server = await bench.server();
    for (const [path] of paths()) {
        const url = `${server.base}${path}`;
        const whole = await request(url);
        const etag = whole.headers.etag;
        assert.match(etag, /^"[0-9a-f]+"$/, path);
        const again = await request(url, { headers: { "If-None-Match": etag } });
        assert.deepEqual([again.status, again.body, again.headers.etag], [304, "", etag], path);
        const other = await request(url, { headers: { "If-None-Match": '"other"' } });
        assert.deepEqual([other.status, other.body], [200, whole.body], path);
        const head = await request(url, { method: "HEAD" });
        assert.deepEqual([head.status, head.body, head.headers.etag], [200, "", etag], path);
        for (const method of ["POST", "PUT", "DELETE"]) {
            const refused = await request(url, { method });
            assert.equal(refused.status, 405, `${method} ${path}`);
            assert.match(refused.headers.allow, /GET/, path);
        }
    }
});

test("what is not there is 404, below every folder", {}, async (bench) => {
    const server = await bench.server();
    const missing = [
        "nothing",
        "lib/",
        "lib/nothing.js",
        "demo/nothing.html",
        "classic/js-pushlet-net.html",
        "package.json",
    ];
    for (const path of [...missing, "demo/../package.json", "demo/%2e%2e/package.json", "lib/%2e%2e/package.json"]) {
        const { status } = await request(server.base, { path: `/${path}` });
        assert.equal(status, 404, path);
    }
});
