// A browser for ajax-pushlet-client.js in which the test owns the network, the time and the dice.
import { readFileSync } from "node:fs";
import vm from "node:vm";
import { JSDOM } from "jsdom";

const CLIENT = new URL("../../classic/ajax-pushlet-client.js", import.meta.url);
const script = new vm.Script(readFileSync(CLIENT, "utf8"), { filename: CLIENT.pathname });
const { DOMParser } = new JSDOM("").window;

export const CALLBACKS = {
    data: "onData",
    "join-ack": "onJoinAck",
    "join-listen-ack": "onJoinListenAck",
    "listen-ack": "onListenAck",
    hb: "onHeartbeat",
    "hb-ack": "onHeartbeatAck",
    "leave-ack": "onLeaveAck",
    "refresh-ack": "onRefreshAck",
    "subscribe-ack": "onSubscribeAck",
    "unsubscribe-ack": "onUnsubscribeAck",
    abort: "onAbort",
    nack: "onNack",
    error: "onError",
    retry: "onRetry",
    rejoined: "onRejoined",
};

// Time that passes only when the test says so. Several worlds may share one.
export class Clock {
    constructor() {
        this.now = 1000000;
        this.timers = new Map();
        this.next = 1;
    }

    set(action, ms, every) {
        const id = this.next;
        this.next += 1;
        this.timers.set(id, { at: this.now + Math.max(0, ms || 0), action, every });
        return id;
    }

    advance(ms) {
        const end = this.now + ms;
        for (;;) {
            const due = [...this.timers].filter(([, timer]) => timer.at <= end);
            if (due.length === 0) break;
            due.sort(([a, one], [b, other]) => one.at - other.at || a - b);
            const [id, timer] = due[0];
            this.now = Math.max(this.now, timer.at);
            if (timer.every) timer.at += timer.every;
            else this.timers.delete(id);
            timer.action();
        }
        this.now = end;
    }
}

// mulberry32: small, and the same on every machine.
export function seeded(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
}

// BroadcastChannel of one browser: everyone on the name but the sender, a moment later.
export class Airwaves {
    constructor(clock) {
        this.clock = clock;
        this.open = new Set();
        this.said = [];
    }

    channelClass() {
        const waves = this;
        return class {
            constructor(name) {
                this.name = name;
                waves.open.add(this);
            }
            postMessage(data) {
                waves.said.push({ name: this.name, data });
                const others = [...waves.open].filter((other) => other !== this && other.name === this.name);
                for (const other of others) {
                    waves.clock.set(() => waves.open.has(other) && other.onmessage?.({ data: { ...data } }), 1);
                }
            }
            close() {
                waves.open.delete(this);
            }
        };
    }
}

// One XMLHttpRequest, from the side of the network.
class Exchange {
    readyState = 0;
    status = 0;
    statusText = "";
    responseText = "";
    headers = {};
    sentHeaders = {};
    onreadystatechange = null;
    aborted = false;

    open(method, url) {
        Object.assign(this, { method, url, readyState: 1 });
    }
    setRequestHeader(name, value) {
        this.sentHeaders[name] = value;
    }
    getResponseHeader(name) {
        return this.headers[name] ?? null;
    }
    abort() {
        this.aborted = true;
        this.readyState = 0;
    }
    get text() {
        return this.method === "POST" ? this.body : this.url.slice(this.url.indexOf("?") + 1);
    }
    get params() {
        return Object.fromEntries(new URLSearchParams(this.text));
    }
    get event() {
        return this.params.p_event;
    }
    get waiting() {
        return !this.aborted && this.readyState !== 4;
    }
    change(readyState) {
        if (!this.aborted) {
            this.readyState = readyState;
            this.onreadystatechange?.();
        }
    }
    // The beginning of an answer with status 200.
    part(text) {
        this.status = 200;
        this.responseText += text;
        this.change(3);
    }
    answer(body, { status = 200, statusText = "OK", headers = {} } = {}) {
        Object.assign(this, { status, statusText, headers });
        this.responseText += body;
        this.change(4);
    }
    // Events, each an object of fields.
    events(...events) {
        const tag = (fields) => {
            const attributes = Object.entries(fields).map(([name, value]) => `${name}="${quote(String(value))}"`);
            return `<event ${attributes.join(" ")} />`;
        };
        this.answer(`<pushlet>${events.map(tag).join("")}</pushlet>`);
    }
    refuse(status, body = "", headers = {}) {
        this.answer(body, { status, statusText: "Refused", headers: { "Content-Type": "text/plain", ...headers } });
    }
    expire() {
        this.refuse(400, `Invalid or expired id: ${this.params.p_id}`);
    }
    // No connection, or one that breaks.
    cut() {
        Object.assign(this, { status: 0, statusText: "", responseText: "" });
        this.change(4);
    }
}

function quote(text) {
    return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

export class World {
    constructor(options = {}) {
        this.clock = options.clock ?? new Clock();
        this.requests = [];
        this.heard = [];
        this.thrown = [];
        this.beacons = [];
        this.listeners = { window: {}, document: {} };
        this.logged = [];
        const exchanges = this.requests;
        this.window = this.makeWindow(options);
        this.window.XMLHttpRequest = class extends Exchange {
            send(body) {
                if (options.unsendable) throw new Error("not allowed");
                this.body = body;
                exchanges.push(this);
            }
        };
        vm.createContext(this.window);
        this.window.window = this.window;
        vm.runInContext("Math", this.window).random = options.random ?? seeded(options.seed ?? 1);
        const now = () => this.clock.now;
        this.window.Date = class extends Date {
            static now() {
                return now();
            }
        };
        if (options.callbacks !== false) this.listen(Object.values(CALLBACKS));
        options.prepare?.(this.window);
        script.runInContext(this.window);
        this.PL = this.window.PL;
        if (options.ready !== false) this.fire("window", "load", {});
    }

    makeWindow(options) {
        const clock = this.clock;
        const guarded = (action) => () => {
            try {
                action();
            } catch (error) {
                this.thrown.push(error);
            }
        };
        const src = options.src === undefined ? "http://host.example/pushlet/lib/ajax-pushlet-client.js" : options.src;
        this.document = {
            currentScript: src ? { src } : null,
            baseURI: "http://host.example/app/page.html",
            readyState: options.readyState ?? "loading",
            visibilityState: options.hidden ? "hidden" : "visible",
            getElementsByTagName: () => (options.scripts ?? []).map((each) => ({ src: each })),
            addEventListener: (type, action) => (this.listeners.document[type] = action),
        };
        return {
            document: this.document,
            addEventListener: (type, action) => (this.listeners.window[type] = action),
            setTimeout: (action, ms) => clock.set(guarded(action), ms),
            setInterval: (action, ms) => clock.set(guarded(action), ms, ms),
            clearTimeout: (id) => clock.timers.delete(id),
            clearInterval: (id) => clock.timers.delete(id),
            console: { log: (...words) => this.logged.push(words.join(" ")) },
            crypto: options.crypto ?? { getRandomValues: (bytes) => bytes.map((_, at) => (bytes[at] = at)) },
            BroadcastChannel: options.waves?.channelClass(),
            navigator: { sendBeacon: (url, body) => this.beacons.push({ url, body }) },
            Request:
                options.keepalive === false
                    ? undefined
                    : class {
                          get keepalive() {
                              return true;
                          }
                      },
            fetch: (url, init) => {
                this.beacons.push({ url, init });
                return Promise.resolve();
            },
            DOMParser,
            URL,
        };
    }

    // Defines these functions in the page; each writes down what it was called with.
    listen(names) {
        for (const name of names) {
            this.window[name] = (event) => {
                const fields = Object.fromEntries(event.getKeys().map((key) => [key, event.get(key)]));
                this.heard.push({ name, ...fields });
            };
        }
    }

    fire(where, type, event) {
        this.listeners[where][type]?.(event);
    }

    advance(ms) {
        this.clock.advance(ms);
    }

    // The requests that wait for an answer, those of one kind.
    waiting(event) {
        return this.requests.filter((each) => each.waiting && (!event || each.event === event));
    }

    // The one request of this kind that waits; if there is none yet, time passes until there is.
    next(event, patience = 60000) {
        for (let waited = 0; this.waiting(event).length === 0; waited += 10) {
            if (waited > patience) {
                const there = this.waiting().map((each) => each.event);
                throw new Error(`no ${event} in ${patience} ms; waiting: ${there}; heard: ${this.names()}`);
            }
            this.advance(10);
        }
        const found = this.waiting(event);
        if (found.length > 1) throw new Error(`${found.length} ${event} at once`);
        return found[0];
    }

    names() {
        return this.heard.map((each) => each.name);
    }

    // What the page has heard since the last time.
    news() {
        return this.heard.splice(0);
    }

    // The usual beginning: joined, listening to a subject, a refresh waiting.
    listening(subject = "/a", { id = "ID1", sid = "s1" } = {}) {
        this.PL.joinListen(subject);
        this.next("join-listen").events(
            { p_event: "join-listen-ack", p_id: id, p_mode: "pull", p_format: "xml-strict", p_sid: sid },
            { p_event: "refresh", p_wait: 2000 },
        );
        const refresh = this.next("refresh");
        this.news();
        return refresh;
    }
}
