// Server-Sent Events read by fetch: /v1/sse. Hears every name, sees the status, and sends the key in a header.
import { broken, call, changer } from "../http.js";
import type { Ground, Loss, Transport } from "../wire.js";
import { hear, urlOfStream } from "./stream.js";

export const fetchStream: Transport = (ground) => {
    const control = new AbortController();
    let session = "";
    let over = false;

    async function run(): Promise<void> {
        const headers = { Accept: "text/event-stream" };
        const response = await call(ground, urlOfStream(ground, {}), { headers }, control.signal);
        const reader = response.body!.getReader();
        const decoder = new TextDecoder();
        const push = parser(ground, (name, data) => {
            if (!over) session = hear(ground, name, data) ?? session;
        });
        for (;;) {
            const { done, value } = await reader.read();
            if (over || done) break;
            ground.alive();
            push(decoder.decode(value, { stream: true }));
        }
        throw new Error("The stream ended.");
    }

    run().catch((error: unknown) => {
        if (!over) ground.down((error as Loss).trouble ? (error as Loss) : broken(error));
    });
    return {
        close() {
            over = true;
            control.abort();
        },
        change: changer(ground, () => session),
    };
};

/** Reads the form of Server-Sent Events, as pushletd writes it: lines end with LF. */
function parser(ground: Ground, dispatch: (name: string, data: string) => void): (text: string) => void {
    let rest = "";
    let name = "";
    let data: string[] = [];

    function read(line: string): void {
        const [, field, value = ""] = /^([^:]*)(?:: ?([^]*))?$/.exec(line)!;
        if (field === "event") name = value;
        else if (field === "data") data.push(value);
        else if (field === "retry") ground.say({ type: "retry", retry_ms: Number(value) });
        else if (line === "") {
            if (data.length) dispatch(name, data.join("\n"));
            name = "";
            data = [];
        }
    }

    return (text) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop()!;
        for (const line of lines) read(line.replace(/\r$/, ""));
    };
}
