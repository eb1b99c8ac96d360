// The protocol by hand: what the tests do to the server from outside the browser.
import http from "node:http";
import { until, within } from "./wait.js";

// One request over a connection of its own. Returns { status, headers, body }. A path goes out as it stands, unlike one in a URL.
export function request(url, { method = "GET", headers = {}, path, body } = {}) {
    const exchange = new Promise((resolve, reject) => {
        const sent = http.request(url, { method, headers, agent: false, ...(path && { path }) }, (response) => {
            const parts = [];
            response.on("data", (part) => parts.push(part));
            response.on("error", reject);
            response.on("end", () => {
                const text = Buffer.concat(parts).toString("utf8");
                resolve({ status: response.statusCode, headers: response.headers, body: text });
            });
        });
        sent.on("error", reject);
        sent.end(body);
    });
    return within(`${method} ${url}`, exchange);
}

export function query(fields) {
    return Object.entries(fields)
        .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
        .join("&");
}

// One request of the protocol. Returns { status, body, event }; event is the first one of a JSON answer.
export async function command(base, fields) {
    const answer = await request(`${base}pushlet.srv?${query(fields)}`);
    const event = answer.body.startsWith("[") ? JSON.parse(answer.body)[0] : undefined;
    return { ...answer, event };
}

// Publishes one item, or an array of them, by the door of today. Throws unless all of it is taken.
export async function post(base, item) {
    const headers = { "Content-Type": "application/json" };
    const answer = await request(`${base}v1/publish`, { method: "POST", headers, body: JSON.stringify(item) });
    if (answer.status !== 202 || JSON.parse(answer.body).refused !== 0) {
        throw new Error(`the server did not take it: ${answer.status} ${answer.body}`);
    }
}

// A session outside the browser that publishes, and joins again when the server has forgotten it.
export class Publisher {
    constructor(base) {
        this.base = base;
        this.id = "";
    }

    async publish(subject, fields = {}) {
        for (let tries = 0; tries < 2; tries += 1) {
            if (this.id === "") {
                const { event } = await command(this.base, { p_event: "join", p_format: "json" });
                this.id = event.p_id;
            }
            const asked = { p_event: "publish", p_id: this.id, p_subject: subject, ...fields };
            const answer = await command(this.base, asked);
            if (answer.status === 200 && answer.event.p_event === "publish-ack") return;
            this.id = "";
        }
        throw new Error(`the server did not take an event for ${subject}`);
    }
}

// A session outside the browser that streams JSON and keeps what it was sent.
export class Listener {
    constructor() {
        this.events = [];
        this.ended = false;
    }

    static async open(base, subject) {
        const listener = new Listener();
        const asked = query({ p_event: "join-listen", p_format: "json", p_mode: "stream", p_subject: subject });
        listener.sent = http.get(`${base}pushlet.srv?${asked}`, { agent: false }, (response) => {
            let rest = "";
            response.setEncoding("utf8");
            response.on("data", (text) => {
                const lines = (rest + text).split("\n");
                rest = lines.pop();
                for (const line of lines) listener.events.push(JSON.parse(line));
            });
            response.on("close", () => (listener.ended = true));
            response.on("error", () => (listener.ended = true));
        });
        listener.sent.on("error", () => (listener.ended = true));
        const ack = await until("the ack of an outside listener", () => listener.events[0]);
        listener.id = ack.p_id;
        listener.address = ack.p_from;
        return listener;
    }

    // The first event for which it holds.
    heard(what, holds, patience) {
        return until(what, () => this.events.find((event) => event.p_event === "data" && holds(event)), patience);
    }

    close() {
        this.sent.destroy();
    }
}
