// A browser that is not there: pages with the iframe client, its hidden frame and the frames in it, one clock, one
// server that the test plays. Answers are bytes of format js; their scripts run as they would in a frame.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import vm from "node:vm";

const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");
const CLIENT = new vm.Script(read("../../classic/js-pushlet-client.js"), { filename: "js-pushlet-client.js" });
const NET = new vm.Script(read("../../classic/js-pushlet-net.js"), { filename: "js-pushlet-net.js" });

export const ORIGIN = "http://push.example";

export const CALLBACKS = [
    ...["onData", "onJoinAck", "onJoinListenAck", "onListenAck", "onHeartbeat", "onHeartbeatAck", "onLeaveAck"],
    ...["onRefreshAck", "onSubscribeAck", "onUnsubscribeAck", "onAbort", "onNack", "onError", "onRetry", "onRejoined"],
];

// What every answer in js begins with; in the transcripts it is one word (tests/golden/body.rs).
export const PROLOGUE =
    '<html><head><meta http-equiv="Pragma" content="no-cache">' +
    '<meta http-equiv="Expires" content="Tue, 31 Dec 1997 23:59:59 GMT"></head><body>\n' +
    '<script language="JavaScript"> var url=" "; \nfunction refresh() { document.location.href=url; }</script>';

const SCRIPT = /<script language="JavaScript">([^]*?)<\/script>/g;

const plain = (value) => JSON.parse(JSON.stringify(value));

// Time that passes when a test says so.
class Clock {
    constructor() {
        this.now = 1_000_000;
        this.timers = new Map();
        this.nextId = 1;
    }

    set(code, wait = 0, ...values) {
        const id = this.nextId++;
        this.timers.set(id, { id, due: this.now + Math.max(0, wait), code, values });
        return id;
    }

    clear(id) {
        this.timers.delete(id);
    }

    // Passes `ms` and runs what is due, in order. `late` ms later each: a computer that slept.
    pass(ms) {
        const end = this.now + ms;
        for (;;) {
            const due = [...this.timers.values()].filter((timer) => timer.due <= end);
            if (due.length === 0) break;
            due.sort((one, other) => one.due - other.due || one.id - other.id);
            const [timer] = due;
            this.timers.delete(timer.id);
            this.now = Math.max(this.now, timer.due);
            timer.code(...timer.values);
        }
        this.now = end;
    }

    // Jumps without running anything, as if the computer had slept.
    sleep(ms) {
        this.now += ms;
    }
}

class Listeners {
    constructor() {
        this.all = [];
    }

    add(type, listener, options) {
        this.all.push({ type, listener, once: Boolean(options?.once) });
    }

    remove(type, listener) {
        this.all = this.all.filter((one) => one.type !== type || one.listener !== listener);
    }

    fire(type, event = {}) {
        const found = this.all.filter((one) => one.type === type);
        this.all = this.all.filter((one) => one.type !== type || !one.once);
        for (const one of found) one.listener(event);
    }
}

function timersOf(clock) {
    return {
        setTimeout: (code, wait, ...values) => clock.set(code, wait, ...values),
        clearTimeout: (id) => clock.clear(id),
    };
}

// One request of a page, and the answer that the test writes: in a frame, or to a fetch (`post`).
export class Request {
    constructor(page, name, address, holder, inner) {
        const url = new URL(address);
        Object.assign(this, { page, name, url, holder, inner, isOpen: true, isPost: false });
        this.fields = Object.fromEntries(url.searchParams);
        this.event = this.fields.p_event;
        this.query = url.search.slice(1).replace(/&p_time=\d+$/, "");
    }

    // Bytes of format js, as they arrive.
    write(html) {
        assert.ok(this.isOpen && !this.isGone, `the answer to ${this.query} goes nowhere`);
        if (!this.document) this.makeDocument();
        for (const [, text] of html.matchAll(SCRIPT)) {
            const script = { textContent: text, remove: () => this.scripts.delete(script) };
            this.scripts.add(script);
            this.document.currentScript = script;
            vm.runInContext(text, this.window);
            this.document.currentScript = null;
        }
        return this;
    }

    makeDocument() {
        const { clock } = this.page.world;
        this.scripts = new Set();
        const document = { URL: this.url.href, currentScript: null, body: { textContent: "" }, location: {} };
        Object.defineProperty(document, "scripts", { get: () => Object.assign([...this.scripts]) });
        Object.defineProperty(document.location, "href", {
            set: (address) => {
                this.page.world.escaped.push(address);
            },
        });
        this.window = vm.createContext({
            document,
            parent: this.holder.contentWindow,
            // The server's reload is a string, which its own policy allows.
            setTimeout: (code, wait) => clock.set(() => this.runLater(code), wait),
        });
        this.document = document;
        this.inner.contentDocument = document;
        this.inner.contentWindow = this.window;
    }

    runLater(code) {
        if (!this.isGone) vm.runInContext(code, this.window);
    }

    get isGone() {
        return this.holder.isRemoved;
    }

    // The answer is whole.
    end() {
        assert.ok(this.isOpen, "ended twice");
        this.isOpen = false;
        if (!this.isGone) this.holder.listeners.fire("load");
        return this;
    }

    // The connection is refused, or breaks: the browser tells the same.
    fail() {
        if (!this.document) this.inner.contentDocument = null;
        return this.end();
    }

    // An answer that is no script.
    text(status, text) {
        this.makeDocument();
        this.document.body.textContent = text;
        this.window.performance = { getEntriesByType: () => [{ responseStatus: status }] };
        return this.end();
    }

    // Events in the server's way to write them.
    events(...events) {
        for (const event of events) this.write((this.document ? "" : PROLOGUE) + eventScript(event));
        return this;
    }

    // A control answer.
    answer(event) {
        return this.events(event).end();
    }

    // The end of a pull or poll answer.
    reload(wait = 2500) {
        const path = `/pushlet/pushlet.srv?p_id=${this.fields.p_id}&p_event=refresh`;
        const script = `url='${path}';\n setTimeout("refresh()", ${wait});\n`;
        return this.write(`\n<script language="JavaScript">${script}</script></body></html>`).end();
    }
}

function escapeJs(text) {
    const special = /['"\\<>&\x00-\x1f\x7f-\x9f\u2028\u2029]/g; // eslint-disable-line no-control-regex
    return text.replace(special, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export function eventScript(event) {
    const pairs = Object.entries(event).map(([name, value]) => `'${escapeJs(name)}', "${escapeJs(String(value))}"`);
    return `<script language="JavaScript">parent.push(${pairs.join(",")});</script>`;
}

// One page, with the client in it.
export class Page {
    constructor(world, options = {}) {
        const {
            script = "/pushlet/lib/js-pushlet-client.js",
            path = "/page.html",
            loaded = true,
            visible = true,
        } = options;
        Object.assign(this, { world, visible, requests: [], told: [], bodies: [], news: [], logged: [] });
        this.windowListeners = new Listeners();
        this.documentListeners = new Listeners();
        this.address = ORIGIN + path;
        this.scriptAddress = script && new URL(script, this.address).href;
        this.document = this.makeDocument({ body: options.body ?? true, loaded, current: options.current ?? true });
        this.window = vm.createContext(this.makeWindow(options.globals));
        this.window.window = this.window;
        vm.runInContext(`Math.random = () => ${options.dice ?? 1 - 2 ** -53}`, this.window);
        CLIENT.runInContext(this.window);
        if (options.callbacks !== false) this.define(...CALLBACKS, "onEvent");
    }

    // As if the script stood in the page a second time.
    runAgain() {
        CLIENT.runInContext(this.window);
    }

    define(...names) {
        for (const name of names) {
            this.window[name] = (event) => {
                this.news.push([name, Object.fromEntries(event.fields)]);
                this.during?.(name, event);
            };
        }
    }

    makeDocument({ body, loaded, current }) {
        const script = this.scriptAddress ? { src: this.scriptAddress } : null;
        return {
            readyState: loaded ? "complete" : "loading",
            baseURI: this.address,
            currentScript: current ? script : null,
            body: body ? this.makeBody() : null,
            getElementsByTagName: (name) => (name === "script" && script ? [script] : []),
            createElement: (name) => this.makeNetElement(name),
            addEventListener: (...given) => this.documentListeners.add(...given),
            get visibilityState() {
                return this.page.visible ? "visible" : "hidden";
            },
            page: this,
        };
    }

    makeBody() {
        return {
            appendChild: (element) => {
                element.isConnected = true;
                this.netElement = element;
                if (this.world.netLoads) this.loadNet();
                return element;
            },
        };
    }

    makeWindow(globals) {
        const { clock } = this.world;
        const note = (...words) => this.logged.push(words.join(" "));
        return {
            ...timersOf(clock),
            document: this.document,
            location: new URL(this.address),
            console: { log: note, error: note },
            reportError: (error) => note(error),
            crypto: { getRandomValues: (bits) => bits.map((_, at) => (bits[at] = this.world.random())) },
            URL,
            URLSearchParams,
            Date: class extends Date {
                static now() {
                    return clock.now;
                }
            },
            BroadcastChannel: this.world.makeChannel(this),
            addEventListener: (...given) => this.windowListeners.add(...given),
            ...globals,
        };
    }

    makeNetElement(tag) {
        assert.equal(tag, "iframe");
        const listeners = new Listeners();
        return {
            listeners,
            style: {},
            isConnected: false,
            contentDocument: { URL: "about:blank" },
            contentWindow: {},
            setAttribute: () => {},
            addEventListener: (...given) => listeners.add(...given),
            removeEventListener: (...given) => listeners.remove(...given),
            remove() {
                this.isConnected = false;
            },
        };
    }

    // The hidden frame has loaded: by its script, or as something else.
    loadNet(how = "well") {
        const element = this.netElement;
        if (how === "well") {
            element.contentDocument = this.makeNetDocument(element.src);
            element.contentWindow = vm.createContext(this.makeNetWindow(element));
            element.contentWindow.window = element.contentWindow;
            NET.runInContext(element.contentWindow);
        } else {
            element.contentDocument = how === "network" ? null : { URL: element.src };
        }
        element.listeners.fire("load");
    }

    makeNetDocument(address) {
        return {
            URL: address,
            createElement: () => this.makeHolder(),
            body: {
                appendChild: (holder) => {
                    holder.contentDocument = holder.makeDocument();
                },
            },
        };
    }

    makeNetWindow(element) {
        return {
            ...timersOf(this.world.clock),
            document: element.contentDocument,
            location: new URL(element.src),
            parent: this.window,
            AbortController,
            URL,
            fetch: (address, what) => this.fetch(address, what),
        };
    }

    fetch(address, what) {
        if (what.method === "POST") {
            return new Promise((resolve, reject) => this.bodies.push({ address, what, resolve, reject }));
        }
        this.told.push(address);
        return Promise.resolve();
    }

    makeHolder() {
        const page = this;
        const listeners = new Listeners();
        const holder = {
            listeners,
            isRemoved: false,
            contentWindow: {},
            addEventListener: (...given) => listeners.add(...given),
            // As Chromium does: what is in a holder ends when it is removed, so it is loaded.
            remove: () => {
                const isFirst = !holder.isRemoved;
                holder.isRemoved = true;
                if (isFirst) listeners.fire("load");
            },
            makeDocument: () => ({
                open: () => {},
                createElement: (tag) => ({
                    tag,
                    contentDocument: { URL: "about:blank" },
                    contentWindow: {},
                    appendChild: (child) => child,
                }),
                appendChild: (child) => child,
                close: () => {
                    const request = new Request(page, holder.inner.name, holder.inner.src, holder, holder.inner);
                    page.requests.push(request);
                },
            }),
        };
        // The only frame made in a holder.
        const make = holder.makeDocument;
        holder.makeDocument = () => {
            const document = make();
            const create = document.createElement;
            document.createElement = (tag) => {
                const element = create(tag);
                if (tag === "iframe") holder.inner = element;
                return element;
            };
            return document;
        };
        return holder;
    }

    // The only request that was sent since the last call; of this kind.
    next(event) {
        assert.deepEqual(
            this.requests.map((request) => request.event),
            [event],
        );
        return this.requests.shift();
    }

    // Calls a function of the client.
    call(name, ...values) {
        return this.window[name](...values);
    }

    status() {
        return plain(this.window.p_getStatus());
    }

    // What was called back since the last call: [[name, fields]], or the names only.
    takeNews() {
        return plain(this.news.splice(0));
    }

    takeNames() {
        return this.takeNews().map(([name]) => name);
    }

    // Joins and listens; returns the open data request.
    live({ id = "ID1", mode = "stream", subject = "/a", sid = "s1" } = {}) {
        this.call("p_join");
        this.next("join").answer({ p_event: "join-ack", p_id: id, p_format: "js" });
        this.call("p_listen", subject, mode);
        this.world.settle();
        const listen = this.next("listen");
        const ack = { p_event: "listen-ack", p_id: id, p_mode: listen.fields.p_mode, p_format: "js" };
        listen.events(subject ? { ...ack, p_sid: sid } : ack);
        if (listen.fields.p_mode === "stream") listen.events({ p_seq: 1, p_event: "hb" });
        this.next("hb").answer({ p_event: "hb-ack" });
        this.takeNews();
        return listen;
    }

    subscribe(subject, sid, label) {
        this.call("p_subscribe", subject, label);
        const ack = { p_event: "subscribe-ack", p_subject: subject, p_sid: sid };
        this.next("subscribe").answer(label === undefined ? ack : { ...ack, p_label: label });
        return this.takeNews();
    }
}

export class World {
    constructor({ netLoads = true } = {}) {
        this.clock = new Clock();
        this.netLoads = netLoads;
        this.channels = new Set();
        this.posted = [];
        this.seed = 0;
        // What a frame loaded by itself, which would leave an entry in the history.
        this.escaped = [];
    }

    random() {
        this.seed += 1;
        return this.seed;
    }

    page(options) {
        return new Page(this, options);
    }

    pass(ms) {
        this.clock.pass(ms);
    }

    // The time that a client gives other tabs to answer it.
    settle() {
        this.pass(200);
    }

    makeChannel(page) {
        const world = this;
        return class {
            constructor(name) {
                this.name = name;
                this.page = page;
                world.channels.add(this);
            }

            postMessage(message) {
                world.posted.push(plain(message));
                for (const other of world.channels) {
                    if (other !== this && other.name === this.name) {
                        world.clock.set(
                            () => world.channels.has(other) && other.onmessage({ data: plain(message) }),
                            1,
                        );
                    }
                }
            }

            close() {
                world.channels.delete(this);
            }
        };
    }
}

const LINE = /^> ([A-Z]\d+) \| ?(.*)$/;

// The pieces of one answer in a transcript of the real server, in order, as bytes of format js.
export function golden(file, answer, { id = "ID1", from = "FROM1", wait = 2500 } = {}) {
    const pieces = [];
    for (const line of read(`../../../tests/golden/${file}`).split("\n")) {
        const found = LINE.exec(line);
        if (found?.[1] === answer) pieces.push(found[2]);
    }
    assert.ok(pieces.length > 0, `${file} has no ${answer}`);
    return pieces.map((piece) =>
        piece
            .replace("(prologue) ", PROLOGUE)
            .replaceAll("\\n", "\n")
            .replaceAll("(2000 to 6000)", wait)
            .replace(/\{[A-Z](?:#\d)?\.from\}/g, from)
            .replace(/\{[A-Z](?:#\d)?\}/g, id),
    );
}

// The text of an HTTP error in a transcript.
export function goldenError(file, answer) {
    const found = new RegExp(`^> ${answer} (\\d{3}) (.*)$`, "m").exec(read(`../../../tests/golden/${file}`));
    assert.ok(found, `${file} has no error ${answer}`);
    return [Number(found[1]), found[2]];
}
