// tabs.js: which tabs hold a connection. The messages are those of the classic clients, with which it shares.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

// Tabs of one browser, in one program: a bus that delivers at once, and a document for each tab.
const channels = new Set();
globalThis.BroadcastChannel = class {
    constructor(name) {
        this.name = name;
        channels.add(this);
    }

    postMessage(data) {
        for (const other of [...channels]) if (other !== this && other.name === this.name) other.onmessage({ data });
    }

    close() {
        channels.delete(this);
    }
};
globalThis.document = { visibilityState: "visible", addEventListener() {} };
const { TABS_HOLDING, Tabs } = await import("../../demo/tabs.js");

const URL_OF_SERVER = "http://127.0.0.1/pushlet.srv";
const SETTLED_MS = 1000;
let now = 0;

beforeEach(() => {
    mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_000_000 });
    mock.method(performance, "now", () => now);
});

afterEach(() => {
    mock.timers.reset();
    mock.restoreAll();
    channels.clear();
});

function pass(ms) {
    now += ms;
    mock.timers.tick(ms);
}

/** Tabs that come one after the other. */
function open(count) {
    return Array.from({ length: count }, () => {
        const tab = new Tabs(URL_OF_SERVER, () => (tab.changes = (tab.changes ?? 0) + 1));
        assert.equal(tab.open(), true);
        pass(SETTLED_MS);
        return tab;
    });
}

const ranks = (tabs) => tabs.map((tab) => tab.rank());

test("of many tabs the oldest come first, and each knows its place", () => {
    const tabs = open(6);
    assert.deepEqual(ranks(tabs), [0, 1, 2, 3, 4, 5]);
    assert.equal(tabs.filter((tab) => tab.rank() < TABS_HOLDING).length, 4);
    // Whoever comes is told to the others.
    assert.ok(tabs.every((tab) => tab.changes > 0));
});

test("a tab that closes gives its place to the next", () => {
    const tabs = open(5);
    const [first, ...others] = tabs;
    const before = others.map((tab) => tab.changes);
    first.close();
    pass(SETTLED_MS);
    assert.deepEqual(ranks(others), [0, 1, 2, 3]);
    for (const [at, tab] of others.entries()) assert.equal(tab.changes, before[at] + 1);
});

test("a tab that crashes is forgotten after 90 s", () => {
    const tabs = open(2);
    const bus = [...channels][0];
    channels.delete(bus); // It says nothing any more.
    bus.postMessage = () => {};
    pass(60_000);
    assert.equal(tabs[1].rank(), 1);
    pass(60_000);
    assert.equal(tabs[1].rank(), 0);
});

test("a visible tab comes before an older one that is hidden", () => {
    const [tab] = open(1);
    const say = (fields) => {
        const bus = new BroadcastChannel(`pushlet:${URL_OF_SERVER}`);
        bus.onmessage = () => {};
        bus.postMessage(fields);
        bus.close();
    };
    say({ type: "here", id: "hidden", since: 1, visible: false });
    assert.equal(tab.rank(), 0);
    say({ type: "here", id: "hidden", since: 1, visible: true });
    assert.equal(tab.rank(), 1);
    // What is no message of ours changes nothing.
    for (const one of [null, "here", { type: "here", id: 7, since: 1 }, { type: "here", id: "x", since: "1" }])
        say(one);
    assert.equal(tab.rank(), 1);
    say({ type: "bye", id: "hidden" });
    assert.equal(tab.rank(), 0);
});

test("a browser without BroadcastChannel does not share", () => {
    const { BroadcastChannel: real } = globalThis;
    globalThis.BroadcastChannel = undefined;
    try {
        const tab = new Tabs(URL_OF_SERVER, () => {});
        assert.equal(tab.open(), false);
        assert.equal(tab.rank(), 0);
    } finally {
        globalThis.BroadcastChannel = real;
    }
});
