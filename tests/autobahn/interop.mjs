// The client `ws` of node against the echo server: interop.mjs PLAIN_PORT DEFLATE_PORT

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";

// The package is not beside this file.
const require = createRequire(new URL("../../target/autobahn/node/package.json", import.meta.url));
const WebSocket = require("ws");

const LENGTHS = [0, 1, 2, 125, 126, 127, 65535, 65536, 300_000, 4_000_000];
const TEXT = '{"subject":"/a","data":"héllo, 世界 🎈"}';
const [plain, deflate] = process.argv.slice(2);

async function echoed(socket, message, send = () => socket.send(message)) {
    const answer = once(socket, "message");
    send();
    const [data, isBinary] = await answer;
    assert.equal(isBinary, typeof message !== "string");
    assert.ok(data.equals(Buffer.from(message)), `${message.length} came back as ${data.length}`);
}

// Says much and wants it back; tells what was agreed on.
async function talk(port, options, protocols = []) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, protocols, { maxPayload: 0, ...options });
    await once(socket, "open");
    const agreed = [socket.extensions, socket.protocol];
    for (const length of LENGTHS) {
        await echoed(socket, TEXT.repeat(Math.ceil(length / TEXT.length)).slice(0, length).toWellFormed());
        await echoed(socket, randomBytes(length));
    }
    const pieces = ["", "a", TEXT.repeat(2000), "世界", ""];
    await echoed(socket, pieces.join(""), () => {
        pieces.forEach((piece, index) => socket.send(piece, { fin: index === pieces.length - 1 }));
    });
    const pong = once(socket, "pong");
    socket.ping("x".repeat(125));
    assert.equal(String((await pong)[0]), "x".repeat(125));
    const many = [];
    const all = new Promise((resolve) => {
        socket.on("message", (data) => many.push(String(data)) === 1000 && resolve());
    });
    for (let number = 0; number < 1000; number += 1) {
        socket.send(`${TEXT}${number}`);
    }
    await all;
    many.forEach((message, number) => assert.equal(message, `${TEXT}${number}`));
    const closed = once(socket, "close");
    socket.close(4001, "enough");
    assert.equal((await closed)[0], 4001);
    return agreed;
}

async function refused(port, protocols) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, protocols);
    const [request, response] = await once(socket, "unexpected-response");
    request.destroy();
    return response.statusCode;
}

assert.deepEqual(await talk(plain, { perMessageDeflate: false }), ["", ""]);
assert.deepEqual(await talk(plain, { perMessageDeflate: true }), ["", ""]);
const agreed = ["permessage-deflate", ""];
for (const perMessageDeflate of [
    true,
    { threshold: 0 },
    { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 },
    { clientMaxWindowBits: 9, threshold: 0 },
    { serverMaxWindowBits: 15, threshold: 0 },
]) {
    assert.deepEqual(await talk(deflate, { perMessageDeflate }), agreed);
}
assert.deepEqual(await talk(deflate, { perMessageDeflate: { serverMaxWindowBits: 9 } }), ["", ""]);
assert.deepEqual(await talk(plain, {}, ["other", "pushlet.v1.json"]), ["", "pushlet.v1.json"]);
assert.equal(await refused(plain, ["other"]), 400);
console.log("ws: ok");
