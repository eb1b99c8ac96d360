// Server-Sent Events by the browser's EventSource: /v1/sse. It tells no status, and hears no event whose name it does not know.
import { changer } from "../http.js";
import type { Transport } from "../wire.js";
import { NAMES, hear, urlOfStream } from "./stream.js";

export const sse: Transport = (ground) => {
    let session = "";
    // names=data: events come without their name, which stands in their data as well.
    const source = new ground.platform.EventSource!(urlOfStream(ground, { names: "data" }, true));
    for (const name of ["message", ...NAMES]) {
        source.addEventListener(name, ({ data }) => {
            if (source.onerror) session = hear(ground, name, data) ?? session;
        });
    }
    function close(): void {
        source.onerror = null;
        source.close();
    }
    source.onerror = () => {
        // It would come again by a law of its own.
        close();
        ground.down({ trouble: { code: "transport", message: "The EventSource failed." }, cut: true });
    };
    return { close, change: changer(ground, () => session) };
};
