// A made-up world for the modern client: a clock that tests turn, chance that they choose, a server behind sockets and fetch, and tabs with locks and
// channels. Nothing here waits for real time.
import { createClient } from "./modern-build.js";

// Lets everything that is ready run: promises, streams, messages between tabs.
export async function settle() {
    for (let turn = 0; turn < 4; turn += 1) {
        await new Promise((resolve) => {
            setImmediate(resolve);
        });
    }
}

export class World {
    constructor() {
        this.time = 1_700_000_000_000;
        this.timers = new Set();
        this.chance = () => 0.5;
        this.storage = new Map();
        this.tabs = [];
        this.locks = new Map();
        this.channels = new Set();
        // How each door behaves: "open", "refuse", "silent", or a problem document.
        this.doors = {
            ws: "open",
            sse: "open",
            fetch: "open",
            poll: "open",
            publish: "open",
            subscribe: "open",
            unsubscribe: "open",
        };
        // What an opening adds to its session message.
        this.greeting = { heartbeat_ms: 20000 };
        // Everything that was opened or asked, with its time: { at, door, url, ... }.
        this.asked = [];
        this.lines = [];
        this.ids = 0;
        // Patterns that the server refuses, with their nack.
        this.refused = new Map();
        this.reports = [];
    }

    tab() {
        const tab = new Tab(this);
        this.tabs.push(tab);
        return tab;
    }

    // A client in a page of its own that shares with nobody.
    client(options, url = "http://push.test") {
        return this.tab().client({ share: false, ...options }, url);
    }

    // Lets time pass: timers run in their order, and what they start runs before the next.
    async pass(ms) {
        const end = this.time + ms;
        await settle();
        for (;;) {
            const due = [...this.timers].filter(({ at }) => at <= end).sort((one, other) => one.at - other.at)[0];
            if (!due) break;
            this.time = Math.max(this.time, due.at);
            this.timers.delete(due);
            due.call();
            await settle();
        }
        this.time = end;
    }

    // Something of this world, not of a tab.
    later(ms, call) {
        this.timers.add({ at: this.time + ms, call });
    }

    // Time passes, and nothing runs: a machine that sleeps.
    sleep(ms) {
        this.time += ms;
    }

    times(door) {
        return this.asked.filter((one) => one.door === door).map(({ at }) => at);
    }

    count(door) {
        return this.times(door).length;
    }

    // Open connections, oldest first.
    get live() {
        return this.lines.filter(({ open }) => open);
    }

    // The only one.
    get line() {
        const { live } = this;
        if (live.length !== 1) throw new Error(`${live.length} connections, not one`);
        return live[0];
    }

    // The answer of /v1/publish.
    published(body) {
        const items = [body].flat();
        const all = items.flatMap(({ subject, subjects = [subject] }) => subjects);
        const refused = all.filter((one) => this.refused.has(one)).length;
        const results = items.map(({ subject, subjects = [subject] }) => {
            const {
                status = 202,
                reason: detail,
                ...more
            } = this.refused.get(subjects.find((one) => this.refused.has(one))) ?? {};
            return { status, detail, ...more };
        });
        const counts = { accepted: all.length - refused, refused, ...((refused || body.length) && { results }) };
        if (counts.accepted) return Response.json(counts, { status: 202 });
        const statuses = new Set(results.map(({ status }) => status));
        const [{ status, detail }] = results;
        return problem(statuses.size > 1 ? { status: 400, detail: "none", ...counts } : { status, detail, ...counts });
    }

    session() {
        this.ids += 1;
        return { type: "session", session: `S${this.ids}`, address: `A${this.ids}`, ...this.greeting };
    }
}

// What the server sees of one connection.
class Line {
    constructor(world, door, url) {
        Object.assign(this, { world, door, url, open: true, heard: [], pattern: new Map() });
        world.lines.push(this);
        world.asked.push({ at: world.time, door, url: `${url}` });
        if (world.cutsAfter) world.later(world.cutsAfter, () => this.open && this.end?.(1006));
    }
}

function socketOf(tab) {
    const { world } = tab;
    return class extends Line {
        constructor(url, protocol) {
            super(world, "ws", new URL(url));
            Object.assign(this, { protocol, readyState: 0, onmessage: null, onclose: null, onerror: null });
            const behaviour = world.doors.ws;
            if (behaviour === "open") tab.soon(() => this.greet());
            else if (behaviour === "refuse") tab.soon(() => this.end(1006));
        }

        greet() {
            if (!this.open) return;
            this.readyState = 1;
            this.say(world.session());
        }

        // The server says something.
        say(message) {
            this.raw(JSON.stringify(message));
        }

        raw(text) {
            if (this.open) this.onmessage?.({ data: text });
        }

        // The connection ends.
        end(code, reason = "") {
            this.open = false;
            this.readyState = 3;
            this.onclose?.({ code, reason });
        }

        send(text) {
            const message = JSON.parse(text);
            this.heard.push(message);
            if (!this.deaf) tab.soon(() => this.answer(message));
        }

        answer({ id, type, subject, subjects = [subject] }) {
            const refusals = subjects.map((one) => world.refused.get(one)).filter(Boolean);
            const counts = { accepted: subjects.length - refusals.length, refused: refusals.length };
            const refused = refusals[0] && { ...refusals[0], ...(type === "publish" && counts) };
            if (refused) this.say({ type: "nack", id, ...refused });
            else if (type === "ping") this.say({ type: "pong", id, time: 1 });
            else this.say({ type: "ack", id, ...(type === "publish" && counts) });
        }

        close(code) {
            this.open = false;
            this.readyState = 3;
            this.closedWith = code;
        }
    };
}

function sourceOf(tab) {
    const { world } = tab;
    return class extends Line {
        constructor(url) {
            super(world, "sse", new URL(url));
            this.names = {};
            this.onerror = null;
            const behaviour = world.doors.sse;
            const refused = this.url.searchParams.getAll("subject").some((one) => world.refused.has(one));
            if (behaviour === "open" && !refused) tab.soon(() => this.say(world.session()));
            else if (behaviour !== "silent") tab.soon(() => this.end());
        }

        addEventListener(name, listener) {
            this.names[name] = listener;
        }

        say({ type, ...data }) {
            if (this.open) this.names[type ?? "message"]?.({ data: JSON.stringify(data) });
        }

        end() {
            this.open = false;
            this.onerror?.();
        }

        close() {
            this.open = false;
        }
    };
}

const JSON_TYPE = { "content-type": "application/json" };

// fetch of a tab. The stream of /v1/sse is the door "fetch", because the door "sse" is EventSource's.
function fetchOf(tab) {
    const { world } = tab;
    return async (address, { method = "GET", headers = {}, body, signal } = {}) => {
        const url = new URL(address);
        const path = url.pathname.split("/").at(-1);
        const door = path === "sse" ? "fetch" : path;
        const behaviour = world.doors[door];
        const about = { at: world.time, door, url: address, method, headers, signal, body: body && JSON.parse(body) };
        const broken = new Promise((_, reject) => {
            const abort = () => reject(new DOMException("aborted", "AbortError"));
            if (signal?.aborted) abort();
            else signal?.addEventListener("abort", abort);
            about.cut = () => reject(new TypeError("fetch failed"));
        });
        broken.catch(() => {});
        if (door !== "fetch") world.asked.push(about);
        if (behaviour === "silent") return broken;
        if (behaviour === "refuse") throw new TypeError("fetch failed");
        if (typeof behaviour === "function") return behaviour(about, url);
        if (typeof behaviour === "object") return problem(behaviour);
        const refused = [...url.searchParams.getAll("subject"), about.body?.subject]
            .map((one) => world.refused.get(one))
            .find(Boolean);
        if (refused) return problem({ detail: refused.reason, ...refused });
        if (door === "fetch") return stream(tab, url, signal, headers);
        if (door === "publish") return world.published(about.body);
        if (door !== "poll") return new Response(null, { status: 204 });
        return Promise.race([pollAnswer(world, url, about, signal), broken]);
    };
}

export function problem({ status, headers, ...more }) {
    const body = JSON.stringify({ type: "about:blank", status, ...more });
    return new Response(body, { status, headers: { "content-type": "application/problem+json", ...headers } });
}

function stream(tab, url, signal, headers) {
    const { world } = tab;
    const line = new Line(world, "fetch", url);
    line.headers = headers;
    const encoder = new TextEncoder();
    const body = new ReadableStream({
        start(controller) {
            line.raw = (text) =>
                line.open && controller.enqueue(typeof text === "string" ? encoder.encode(text) : text);
            line.say = ({ type, ...data }) =>
                line.raw(`${type ? `event: ${type}\n` : ""}data: ${JSON.stringify(data)}\n\n`);
            line.end = () => {
                line.open = false;
                controller.error(new TypeError("terminated"));
            };
            signal.addEventListener("abort", () => {
                if (line.open) controller.error(new DOMException("aborted", "AbortError"));
                line.open = false;
            });
        },
    });
    tab.soon(() => line.say(world.session()));
    return new Response(body, { status: 200, headers: { "content-type": "text/event-stream" } });
}

function pollAnswer(world, url, about, signal) {
    const id = url.searchParams.get("session");
    if (!id) {
        const line = new Line(world, "poll session", url);
        const { type, session, ...rest } = world.session();
        Object.assign(line, { id: session, queue: [], say: () => {} });
        line.forget = () => (line.open = false);
        return Response.json({ session, ...rest, events: [], wait_ms: 20000, ...(type && {}) });
    }
    const line = world.lines.find((one) => one.id === id && one.open);
    if (!line) return problem({ status: 404, detail: "no such session", field: "session" });
    line.request = about;
    signal.addEventListener("abort", () => (line.request = undefined));
    return new Promise((resolve) => {
        line.reply = (more) =>
            resolve(new Response(JSON.stringify({ session: id, events: [], ...more }), { headers: JSON_TYPE }));
        const { reply } = line;
        world.later(Number(url.searchParams.get("wait")) * 1000, () => reply());
        if (world.cutsAfter) world.later(world.cutsAfter, () => about.cut());
        line.say = ({ type, ...event }) => line.reply(type ? { [type]: event } : { events: [event] });
    });
}

// One tab of a browser.
class Tab {
    constructor(world) {
        this.world = world;
        this.window = new EventTarget();
        this.document = Object.assign(new EventTarget(), { visibilityState: "visible" });
        this.dead = false;
        this.slow = 0;
        this.clients = [];
    }

    // After this turn, unless the tab is gone.
    soon(call) {
        queueMicrotask(() => {
            if (!this.dead) call();
        });
    }

    platform(more) {
        const { world } = this;
        return {
            WebSocket: socketOf(this),
            EventSource: sourceOf(this),
            streams: true,
            fetch: fetchOf(this),
            after: (ms, call) => {
                // A hidden tab's timers may be late.
                const timer = { at: world.time + Math.max(0, ms) + this.slow, call: () => this.dead || call() };
                world.timers.add(timer);
                return () => world.timers.delete(timer);
            },
            now: () => world.time,
            random: () => world.chance(),
            unique: () => `tab ${(world.names = (world.names ?? 0) + 1)}`,
            storage: {
                getItem: (name) => world.storage.get(name) ?? null,
                setItem: (name, text) => world.storage.set(name, text),
                removeItem: (name) => world.storage.delete(name),
            },
            locks: { request: (...given) => this.lock(...given) },
            BroadcastChannel: channelOf(this),
            window: this.window,
            document: this.document,
            origin: "http://page.test",
            report: (error) => world.reports.push(error),
            ...more,
        };
    }

    client(options = {}, url = "http://push.test", more = {}) {
        const client = createClient(
            this.platform({ ...(options.share === false && { locks: undefined }), ...more }),
            url,
            options,
        );
        client.heard = [];
        for (const name of ["state", "subscription", "lost", "reset", "nack", "error", "event"]) {
            client.on(name, (event) =>
                client.heard.push([name, name === "subscription" ? `${event.pattern} ${event.state}` : event]),
            );
        }
        client.all = (name) => client.heard.filter(([one]) => one === name).map(([, event]) => event);
        this.clients.push(client);
        return client;
    }

    tell(target, name, more) {
        this[target].dispatchEvent(Object.assign(new Event(name), more));
    }

    hide(state = "hidden") {
        this.document.visibilityState = state;
        this.tell("document", "visibilitychange");
    }

    // The process is gone: nothing of it runs any more, its connections break and its locks are free.
    die() {
        this.dead = true;
        for (const channel of this.world.channels) if (channel.tab === this) this.world.channels.delete(channel);
        for (const [name, queue] of this.world.locks) {
            for (const one of [...queue]) if (one.tab === this) leaveQueue(this.world, name, one);
        }
    }

    lock(name, { signal }, held) {
        const { world } = this;
        if (this.noLocks) return Promise.reject(new DOMException("no origin", "SecurityError"));
        return new Promise((resolve, reject) => {
            const one = { tab: this, held, resolve, reject, active: false };
            if (!world.locks.has(name)) world.locks.set(name, []);
            world.locks.get(name).push(one);
            signal?.addEventListener("abort", () => {
                if (one.active) return;
                leaveQueue(world, name, one);
                reject(new DOMException("aborted", "AbortError"));
            });
            setImmediate(() => grant(world, name));
        });
    }
}

function grant(world, name) {
    const [first] = world.locks.get(name);
    if (!first || first.active) return;
    first.active = true;
    first.held().then(() => {
        leaveQueue(world, name, first);
        first.resolve();
    });
}

function leaveQueue(world, name, one) {
    const queue = world.locks.get(name);
    const place = queue.indexOf(one);
    if (place >= 0) queue.splice(place, 1);
    setImmediate(() => grant(world, name));
}

function channelOf(tab) {
    const { world } = tab;
    return class {
        constructor(name) {
            Object.assign(this, { name, tab, onmessage: null });
            world.channels.add(this);
        }

        postMessage(message) {
            if (!world.channels.has(this)) throw new Error("the channel is closed");
            const data = structuredClone(message);
            for (const other of world.channels) {
                if (other === this || other.name !== this.name) continue;
                setImmediate(() => world.channels.has(other) && other.onmessage?.({ data: structuredClone(data) }));
            }
        }

        close() {
            world.channels.delete(this);
        }
    };
}
