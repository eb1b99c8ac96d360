// Server-Sent Events by the browser's EventSource: /v1/sse. It tells no status, and hears no event whose name it does not know.
import { call, changer } from "../http.js";
import type { Loss, Transport } from "../wire.js";
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
    const control = new AbortController();
    function close(): void {
        source.onerror = null;
        source.close();
        control.abort();
    }
    source.onerror = () => {
        // It would come again by a law of its own.
        source.onerror = null;
        source.close();
        const loss: Loss = { trouble: { code: "transport", message: "The EventSource failed." }, cut: true };
        if (session) return ground.down(loss);
        // Refused? Perhaps for one subject only: a request is told.
        call(ground, urlOfStream(ground, {}), {}, control.signal).then(
            () => {
                control.abort();
                ground.down(loss);
            },
            (told: Loss) => ground.down(told.trouble.code === "refused" ? told : loss),
        );
    };
    return { close, change: changer(ground, () => session) };
};
