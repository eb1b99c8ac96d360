// A WebSocket of the package ws, driven by lines of JSON on its standard input: what a program of somebody else does. It writes what it hears, one
// JSON object a line.
//     node conversation.mjs URL compress|plain
import { createInterface } from "node:readline";

import { WebSocket } from "ws";

const [url, compression] = process.argv.slice(2);
const tell = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const socket = new WebSocket(url, "pushlet.v1.json", { perMessageDeflate: compression === "compress" });
socket.on("open", () => tell({ open: socket.extensions, protocol: socket.protocol }));
socket.on("message", (data, isBinary) => tell(isBinary ? { binary: true } : { heard: JSON.parse(data) }));
socket.on("close", (code, reason) => {
    tell({ code, reason: reason.toString() });
    process.exit();
});
socket.on("error", (error) => tell({ error: error.message }));
for await (const line of createInterface({ input: process.stdin })) {
    const { say, close } = JSON.parse(line);
    if (close) {
        socket.close(close, "done");
    } else {
        socket.send(JSON.stringify(say));
    }
}
