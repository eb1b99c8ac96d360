// WebSocket: /v1/ws. Subscribing, publishing and life signs in one connection.
import type { Trouble } from "../api.js";
import { urlOf } from "../http.js";
import { type Outcome, type Transport, lossOfClose, tooLarge } from "../wire.js";

const OPEN = 1;

export const ws: Transport = (ground) => {
    const { platform } = ground;
    const url = urlOf(ground, "ws", { heartbeat: "event" }, true).replace(/^http/, "ws");
    const socket = new platform.WebSocket!(url, "pushlet.v1.json");
    const waiting = new Map<number, { resolve: (answer: any) => void; reject: (trouble: Trouble) => void }>();
    let ids = 0;
    let messageMax: number | undefined;

    function ask(members: string): Promise<any> {
        return new Promise((resolve, reject) => {
            const id = ++ids;
            const text = `{"id":${id},${members}`;
            // The server would close the connection.
            const trouble = tooLarge(text, messageMax);
            if (trouble) return reject(trouble);
            if (socket.readyState !== OPEN)
                return reject({ code: "not-connected", message: "The WebSocket is not open." });
            waiting.set(id, { resolve, reject });
            socket.send(text);
        });
    }

    function take(message: any): void {
        if (message.type === "session") messageMax = message.message_max;
        const asked = waiting.get(message.id);
        if (message.type === "ack") {
            waiting.delete(message.id);
            asked?.resolve(message);
        } else if (message.type === "nack") {
            const { id, status, reason, field, limit, retry_after_s: retryAfter } = message;
            const trouble: Trouble = { code: "refused", message: reason, status, field, limit, retryAfter };
            waiting.delete(id);
            // What belongs to no request is told by the connection.
            if (message.accepted) asked?.resolve({ ...message, trouble });
            else if (asked) asked.reject(trouble);
            else ground.say({ type: "nack", trouble });
        } else if (message.type !== "pong") {
            ground.say(message);
        }
    }

    function end(): void {
        socket.onmessage = socket.onclose = null;
        const message = "The connection broke before the answer: it may have been done or not.";
        for (const { reject } of waiting.values()) reject({ code: "unknown", message });
        waiting.clear();
    }

    socket.onmessage = ({ data }) => {
        ground.alive();
        let message;
        try {
            message = JSON.parse(data as string);
        } catch (error) {
            return ground.say({ type: "garbled", error });
        }
        for (const one of [message].flat()) if (socket.onmessage) take(one ?? {});
    };
    socket.onclose = ({ code, reason }) => {
        end();
        ground.down(lossOfClose(code, reason, platform.random()));
    };
    // The close event says more.
    socket.onerror = () => {};

    return {
        close() {
            end();
            socket.close(1000);
        },
        change: (type, subject, wish) => ask(JSON.stringify({ type, subject, ...wish }).slice(1)),
        publish: (item) =>
            ask(`"type":"publish",${item.slice(1)}`).then(
                ({ accepted, refused, trouble }): Outcome => ({ published: { accepted, refused }, trouble }),
                (trouble) => ({ trouble }),
            ),
        ping: () => void ask('"type":"ping"}').catch(() => {}),
    };
};
