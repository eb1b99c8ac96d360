// A small server with the /v1 doors that the modern client uses, in this process: the real sockets of Node, and a test can make it misbehave.
import { randomUUID } from "node:crypto";
import http from "node:http";
import { WebSocketServer } from "ws";

export class FakeServer {
    // doors: what a door does other than work: "refuse" (503 or a closed socket), "silent" (accepts and says nothing).
    static async open({ doors = {}, heartbeatMs = 20000, key } = {}) {
        const server = new FakeServer();
        Object.assign(server, { doors, heartbeatMs, key, sessions: new Map(), requests: [], published: [], ids: 0 });
        server.http = http.createServer((asked, answer) => server.answer(asked, answer));
        server.sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] });
        server.http.on("upgrade", (asked, socket, head) => server.upgrade(asked, socket, head));
        await new Promise((resolve) => {
            server.http.listen(0, "127.0.0.1", resolve);
        });
        server.base = `http://127.0.0.1:${server.http.address().port}`;
        return server;
    }

    async close() {
        for (const session of this.sessions.values()) session.cut();
        this.http.closeAllConnections();
        await new Promise((resolve) => {
            this.http.close(resolve);
        });
    }

    // The only session, or the latest.
    get session() {
        return [...this.sessions.values()].at(-1);
    }

    begin(kind, parts) {
        this.ids += 1;
        const session = { id: `S${this.ids}`, address: `A${this.ids}`, kind, patterns: new Map(), queue: [], ...parts };
        this.sessions.set(session.id, session);
        return session;
    }

    greeting({ id, address }) {
        return { session: id, address, heartbeat_ms: this.heartbeatMs };
    }

    // Gives an event to every session that has its subject (tests use plain subjects or one star).
    publish(item, from) {
        this.published.push(item);
        const { to, subjects = [item.subject], ...event } = item;
        for (const subject of subjects) {
            for (const session of this.sessions.values()) {
                const wanted = to
                    ? session.address === to
                    : [...session.patterns.keys()].some((one) => stands(one, subject));
                if (wanted) session.give({ ...event, subject, subjects: undefined, time: 1795334684, from });
            }
        }
        return { accepted: subjects.length, refused: 0 };
    }

    refusal(subject) {
        if (subject.startsWith("/secret"))
            return { status: 403, detail: `nobody may subscribe to ${subject}`, field: "subject" };
        if (/[^/]\*|\*[^/*]/.test(subject))
            return { status: 400, detail: `not a pattern: ${subject}`, field: "subject" };
        return undefined;
    }

    upgrade(asked, socket, head) {
        const url = new URL(asked.url, this.base);
        this.requests.push({ method: "GET", path: url.pathname, query: url.searchParams });
        if (this.doors.ws === "silent") return;
        if (this.doors.ws === "refuse" || (this.key && url.searchParams.get("key") !== this.key))
            return socket.destroy();
        this.sockets.handleUpgrade(asked, socket, head, (wire) => this.converse(wire));
    }

    converse(wire) {
        const say = (message) => wire.send(JSON.stringify(message));
        const session = this.begin("ws", { give: say, say, wire, cut: () => wire.terminate() });
        say({ type: "session", ...this.greeting(session), message_max: 262144 });
        wire.on("close", () => this.sessions.delete(session.id));
        wire.on("message", (data) => {
            const said = JSON.parse(data);
            for (const request of [said].flat()) {
                const answer = this.carryOut(session, request);
                if (answer && request.id !== undefined) say({ ...answer, id: request.id });
            }
        });
    }

    carryOut(session, { type, subject, queue, conflate, ...rest }) {
        this.requests.push({ method: "ws", path: type, subject });
        if (type === "ping") return { type: "pong", time: 1 };
        if (type === "publish") {
            if (`${subject}`.startsWith("$"))
                return { type: "nack", status: 403, reason: "the server's own", field: "subject" };
            const { id, ...item } = rest;
            return { type: "ack", ...this.publish({ subject, ...item }, session.address), of: id };
        }
        const refused = type === "subscribe" ? this.refusal(subject) : undefined;
        if (refused) return { type: "nack", status: refused.status, reason: refused.detail, field: "subject" };
        if (type === "subscribe") session.patterns.set(subject, { queue, conflate });
        else if (!session.patterns.delete(subject)) return { type: "nack", status: 404, reason: "not subscribed" };
        return { type: "ack" };
    }

    async answer(asked, answer) {
        const url = new URL(asked.url, this.base);
        const door = url.pathname.replace("/v1/", "");
        let body = "";
        for await (const part of asked) body += part;
        this.requests.push({
            method: asked.method,
            path: url.pathname,
            query: url.searchParams,
            headers: asked.headers,
            body,
        });
        if (this.doors[door] === "silent") return;
        if (this.doors[door] === "refuse") return answer.destroy();
        const presented = asked.headers.authorization?.replace("Bearer ", "") ?? url.searchParams.get("key");
        if (this.key && presented !== this.key)
            return problem(answer, { status: 401, detail: "the key is not known here" });
        this[`at_${door}`](url.searchParams, answer, body);
    }

    // Subjects of an opening, or undefined where one is refused.
    wanted(query, answer) {
        const patterns = new Map();
        let last;
        for (const [name, value] of query) {
            if (name === "subject") {
                const refused = this.refusal(value);
                if (refused) return problem(answer, refused);
                patterns.set((last = value), {});
            } else if (last && (name === "queue" || name === "conflate")) {
                patterns.get(last)[name] = JSON.parse(value);
            }
        }
        return patterns;
    }

    at_sse(query, answer) {
        const patterns = this.wanted(query, answer);
        if (!patterns) return;
        answer.writeHead(200, { "Content-Type": "text/event-stream" });
        const say = (name, data) => answer.write(`${name ? `event: ${name}\n` : ""}data: ${JSON.stringify(data)}\n\n`);
        const give = (event) => say(query.get("names") === "data" ? undefined : event.event, event);
        const session = this.begin("sse", { patterns, give, stream: answer, cut: () => answer.destroy() });
        session.say = ({ type, ...data }) => say(type, data);
        answer.on("close", () => this.sessions.delete(session.id));
        answer.write("retry: 700\n");
        say("session", this.greeting(session));
    }

    at_poll(query, answer) {
        if (!query.has("session")) {
            const patterns = this.wanted(query, answer);
            if (!patterns) return;
            const session = this.begin("poll", { patterns, cut: () => session.waiting?.destroy() });
            session.give = (event) => {
                session.queue.push(event);
                this.flush(session);
            };
            session.say = ({ type, ...end }) => {
                this.sessions.delete(session.id);
                this.flush(session, { [type]: end });
            };
            return json(answer, { session: session.id, address: session.address, events: [], wait_ms: 20000 });
        }
        const session = this.sessions.get(query.get("session"));
        if (!session) return problem(answer, { status: 404, detail: "no such session", field: "session" });
        session.waiting = answer;
        answer.on("close", () => {
            if (session.waiting === answer) session.waiting = undefined;
        });
        if (session.queue.length > 0) this.flush(session);
    }

    flush(session, more) {
        const { waiting, queue } = session;
        if (!waiting) return;
        session.waiting = undefined;
        session.queue = [];
        json(waiting, { session: session.id, events: queue, ...more });
    }

    at_publish(query, answer, body) {
        const from = this.sessions.get(query.get("session"))?.address;
        const item = JSON.parse(body);
        if (Array.isArray(item)) {
            for (const one of item) this.publish(one, from);
            return json(answer, { accepted: item.length, refused: 0, results: item.map(() => ({ status: 202 })) }, 202);
        }
        if (`${item.subject}`.startsWith("$"))
            return problem(answer, { status: 403, detail: "the server's own", field: "subject" });
        json(answer, this.publish(item, from), 202);
    }

    at_subscribe(query, answer) {
        this.change(query, answer, (session, subject) => {
            const refused = this.refusal(subject);
            if (refused) return problem(answer, refused);
            session.patterns.set(subject, Object.fromEntries(query));
            answer.writeHead(204).end();
        });
    }

    at_unsubscribe(query, answer) {
        this.change(query, answer, (session, subject) => {
            if (!session.patterns.delete(subject))
                return problem(answer, { status: 404, detail: "not subscribed", field: "subject" });
            answer.writeHead(204).end();
        });
    }

    change(query, answer, then) {
        const session = this.sessions.get(query.get("session"));
        if (!session) return problem(answer, { status: 404, detail: "no such session", field: "session" });
        then(session, query.get("subject"));
    }

    // How often a door was asked.
    count(path) {
        return this.requests.filter((one) => one.path === path).length;
    }
}

function stands(pattern, subject) {
    return pattern === subject || (pattern.endsWith("*") && subject.startsWith(pattern.replace(/\*+$/, "")));
}

function json(answer, body, status = 200) {
    answer.writeHead(status, { "Content-Type": "application/json" });
    answer.end(JSON.stringify(body));
}

function problem(answer, body) {
    answer.writeHead(body.status, { "Content-Type": "application/problem+json" });
    answer.end(JSON.stringify({ type: "about:blank", title: "Trouble", ...body, trace: randomUUID() }));
}
