// Tabs of one browser: at most four hold a connection, the others poll, whoever comes, goes, or is looked at.
import assert from "node:assert/strict";
import test from "node:test";
import { Airwaves, Clock, World } from "./ajax-world.js";

const NAME = "pushlet:http://host.example/pushlet/pushlet.srv";

// A browser with tabs that share time and waves. serve() answers whatever they send as a server with no news would.
class Browser {
    constructor() {
        this.clock = new Clock();
        this.waves = new Airwaves(this.clock);
        this.tabs = [];
        this.holdsMost = 0;
    }

    open(options = {}) {
        const number = this.tabs.length;
        const crypto = { getRandomValues: (bytes) => bytes.fill(number) };
        const tab = new World({ clock: this.clock, waves: this.waves, crypto, ...options });
        this.tabs.push(tab);
        tab.mode = null;
        return tab;
    }

    serve(ms) {
        for (let passed = 0; passed < ms; passed += 50) {
            for (const tab of this.tabs) for (const exchange of tab.waiting()) this.answer(tab, exchange);
            this.holdsMost = Math.max(this.holdsMost, this.held());
            this.clock.advance(50);
        }
    }

    answer(tab, exchange) {
        const { p_event: event, p_mode: mode } = exchange.params;
        const pause = { p_event: "refresh", p_wait: tab.mode === "poll" ? 6000 : 2000 };
        if (event === "join-listen" || event === "listen") {
            tab.mode = mode;
            const old = tab.waiting("refresh"); // P-26
            exchange.events({ p_event: `${event}-ack`, p_id: "ID", p_mode: mode }, pause);
            for (const each of old) each.answer("</pushlet>");
        } else if (event === "refresh" && tab.mode === "poll") {
            exchange.events({ p_event: "refresh-ack" }, { p_event: "hb" }, pause);
        } else if (event === "refresh") {
            // P-15: the ack at once, the rest after 20 s.
            if (exchange.since === undefined) exchange.part('<pushlet><event p_event="refresh-ack" />');
            exchange.since ??= this.clock.now;
            const rest = '<event p_event="hb" /><event p_event="refresh" p_wait="2000" /></pushlet>';
            if (this.clock.now - exchange.since >= 20000) exchange.answer(rest);
        } else {
            exchange.events({ p_event: `${event}-ack`, p_id: "ID" });
        }
    }

    modes() {
        return this.tabs.map((tab) => tab.mode);
    }

    held() {
        return this.tabs.reduce((sum, tab) => sum + tab.waiting("refresh").length, 0);
    }

    show(tab, visible) {
        tab.document.visibilityState = visible ? "visible" : "hidden";
        tab.fire("document", "visibilitychange", {});
    }
}

const pull = (count) => Array(count).fill("pull");
const poll = (count) => Array(count).fill("poll");

test("seven tabs: the oldest four pull, the others poll, and connections stay free", () => {
    const browser = new Browser();
    for (let n = 0; n < 7; n += 1) {
        browser.open().PL.joinListen("/a");
        browser.serve(500);
    }
    browser.serve(30000);
    assert.deepEqual(browser.modes(), [...pull(4), ...poll(3)]);
    browser.holdsMost = 0;
    browser.serve(120000);
    assert.ok(browser.holdsMost <= 4, `${browser.holdsMost} connections`);
    for (const tab of browser.tabs) assert.ok(tab.names().filter((name) => name === "onHeartbeat").length > 4);
    // The page hears of no listen that it did not ask for.
    for (const tab of browser.tabs) assert.ok(!tab.names().includes("onListenAck"));
});

test("seven tabs that open in one moment agree as well", () => {
    const browser = new Browser();
    for (let n = 0; n < 7; n += 1) browser.open().PL.joinListen("/a");
    browser.serve(5000);
    assert.deepEqual(browser.modes(), [...pull(4), ...poll(3)], "by id, as the time is the same");
});

test("the tab that is looked at comes first", () => {
    const browser = new Browser();
    for (let n = 0; n < 6; n += 1) {
        browser.open({ hidden: n !== 0 }).PL.joinListen("/a");
        browser.serve(300);
    }
    browser.serve(3000);
    assert.deepEqual(browser.modes(), [...pull(4), ...poll(2)]);
    const said = browser.tabs.map((tab) => tab.requests.length);
    browser.show(browser.tabs[0], false);
    browser.show(browser.tabs[5], true);
    browser.serve(3000);
    assert.deepEqual(browser.modes(), ["pull", "pull", "pull", "poll", "poll", "pull"]);
    assert.equal(browser.tabs[4].requests.slice(said[4]).filter((each) => each.event === "listen").length, 0);
});

// Five tabs, of which the fifth polls.
function five() {
    const browser = new Browser();
    for (let n = 0; n < 5; n += 1) {
        browser.open().PL.joinListen("/a");
        browser.serve(300);
    }
    browser.serve(2000);
    assert.equal(browser.tabs[4].mode, "poll");
    return browser;
}

test("a tab that leaves or is closed makes room", () => {
    const ways = [
        (tab) => tab.PL.leave(),
        (tab) => tab.fire("window", "pagehide", { persisted: false }),
        (tab) => tab.fire("window", "pagehide", { persisted: true }),
    ];
    for (const go of ways) {
        const browser = five();
        go(browser.tabs[0]);
        browser.serve(3000);
        assert.equal(browser.tabs[4].mode, "pull");
    }
});

test("a tab that is not heard for 90 s is forgotten", () => {
    const browser = five();
    const [first] = browser.waves.open;
    first.postMessage = () => {};
    browser.serve(65000);
    assert.equal(browser.tabs[4].mode, "poll", "it may only be slow");
    browser.serve(50000);
    assert.equal(browser.tabs[4].mode, "pull");
});

test("what is said: here at the start, every 20 s, when seen or hidden; bye at the end", () => {
    const browser = new Browser();
    const tab = browser.open();
    browser.serve(60000);
    assert.deepEqual(browser.waves.said, [], "who wants no data channel says nothing");
    tab.PL.joinListen("/a");
    browser.serve(100);
    const [{ name, data }] = browser.waves.said;
    assert.equal(name, NAME);
    assert.deepEqual({ ...data }, { type: "here", id: data.id, since: data.since, visible: true });
    assert.match(data.id, /^[0-9a-f]{24}$/);
    assert.equal(typeof data.since, "number");
    browser.serve(60000);
    assert.equal(browser.waves.said.length, 4);
    browser.show(tab, false);
    assert.equal(browser.waves.said[4].data.visible, false);
    tab.PL.leave();
    browser.serve(100);
    assert.deepEqual({ ...browser.waves.said[5].data }, { type: "bye", id: data.id });
    browser.serve(60000);
    assert.equal(browser.waves.said.length, 6);
    assert.equal(browser.waves.open.size, 0);
});

test("strangers are answered, at most twenty times a second, and nobody is forgotten", () => {
    const browser = new Browser();
    browser.open().PL.joinListen("/a");
    browser.serve(2000);
    const before = browser.waves.said.length;
    const Channel = browser.waves.channelClass();
    const stranger = new Channel(NAME);
    const heard = [];
    stranger.onmessage = ({ data }) => heard.push(data.type);
    for (let n = 0; n < 10; n += 1) stranger.postMessage({ type: "here", id: `s${n}`, since: 1, visible: false });
    browser.serve(40);
    assert.equal(browser.waves.said.length - before - 10, 1);
    stranger.postMessage({ type: "here", id: "late", since: 1, visible: false });
    browser.serve(1100);
    assert.deepEqual(heard, ["here", "here"]);
});

test("nonsense on the channel is ignored", () => {
    const browser = new Browser();
    const tab = browser.open();
    tab.PL.joinListen("/a");
    browser.serve(1000);
    const Channel = browser.waves.channelClass();
    const other = new Channel(NAME);
    const nonsense = [{}, { type: "here" }, { type: "here", id: 1, since: 0 }, { type: "here", id: "x", since: "0" }];
    for (let n = 0; n < 5; n += 1) for (const each of nonsense) other.postMessage(each);
    [...browser.waves.open][0].onmessage({ data: null });
    [...browser.waves.open][0].onmessage({ data: "here" });
    browser.serve(3000);
    assert.equal(tab.mode, "pull");
    assert.deepEqual(tab.thrown, []);
});

test("a mode is followed once the outage is over, and a page's own poll stays", () => {
    const browser = new Browser();
    const tab = browser.open();
    tab.PL.joinListen("/a");
    browser.serve(2500);
    tab.waiting("refresh")[0].cut();
    const Channel = browser.waves.channelClass();
    const others = new Channel(NAME);
    for (let n = 0; n < 4; n += 1) others.postMessage({ type: "here", id: `o${n}`, since: 1, visible: true });
    browser.serve(3000);
    assert.equal(tab.mode, "poll");
    const polling = new Browser();
    const own = polling.open();
    own.PL.joinListen("/a", "poll");
    polling.serve(5000);
    assert.equal(own.mode, "poll");
    const byField = polling.open();
    byField.PL.NV_P_MODE = "p_mode=poll";
    byField.PL.joinListen("/a");
    polling.serve(5000);
    assert.equal(byField.mode, "poll");
});

test("a listen that is nacked takes no place", () => {
    const browser = new Browser();
    const tab = browser.open();
    tab.PL.joinListen("");
    tab.next("join-listen").events({ p_event: "nack", p_reason: "empty subject" });
    browser.serve(100);
    assert.deepEqual(
        browser.waves.said.map(({ data }) => data.type),
        ["here", "bye"],
    );
});

test("without BroadcastChannel each tab is alone", () => {
    const world = new World();
    world.listening();
    world.fire("document", "visibilitychange", {});
    assert.equal(world.waiting("refresh").length, 1);
    assert.deepEqual(world.thrown, []);
});

// A page can show the mode that it has now, though it does not hear of the listen that brought it.
test("the status tells a demoted tab that it polls", () => {
    const browser = new Browser();
    for (let n = 0; n < 5; n += 1) {
        browser.open({ hidden: n === 4 }).PL.joinListen("/a");
        browser.serve(500);
    }
    browser.serve(3000);
    const modes = () => browser.tabs.map((tab) => tab.PL.getStatus().mode);
    assert.deepEqual(modes(), [...pull(4), "poll"]);
    browser.show(browser.tabs[0], false);
    browser.show(browser.tabs[4], true);
    browser.serve(3000);
    assert.equal(modes()[4], "pull");
    assert.equal(modes().filter((mode) => mode === "poll").length, 1);
});

test("a tab that gives up its join before it listens leaves its place to others", () => {
    const browser = new Browser();
    const tab = browser.open();
    tab.PL.joinListen("/a");
    tab.next("join-listen").cut();
    assert.equal(browser.waves.open.size, 1);
    tab.PL.leave();
    assert.equal(browser.waves.open.size, 0);
    assert.equal(browser.clock.timers.size, 0);
});

test("a tab that leaves does not listen again, whatever its rank", () => {
    const browser = new Browser();
    for (let n = 0; n < 4; n += 1) browser.open().PL.joinListen("/a");
    const last = browser.open({ hidden: true });
    last.PL.joinListen("/a");
    browser.serve(3000);
    browser.show(browser.tabs[0], false);
    browser.show(last, true);
    const before = last.requests.length;
    last.PL.leave();
    browser.clock.advance(1000); // The leave takes its time.
    browser.serve(1000);
    last.PL.join();
    browser.serve(3000);
    const asked = last.requests.slice(before).map(({ event }) => event);
    assert.deepEqual(asked, ["leave", "join"]);
});

test("another server has other tabs", () => {
    const browser = new Browser();
    const [one, other] = [browser.open(), browser.open()];
    one.PL.joinListen("/a");
    other.PL.joinListen("/a");
    browser.serve(1000);
    one.PL.setWebRoot("http://other.example/push/");
    const names = [...browser.waves.open].map(({ name }) => name).sort();
    assert.deepEqual(names, [
        "pushlet:http://host.example/pushlet/pushlet.srv",
        "pushlet:http://other.example/push/pushlet.srv",
    ]);
});

test("a tab that is kept aside says good-bye, and has its place again when it is back", () => {
    const browser = new Browser();
    for (let n = 0; n < 5; n += 1) {
        browser.open().PL.joinListen("/a");
        browser.serve(500);
    }
    browser.serve(3000);
    browser.tabs[0].fire("window", "pagehide", { persisted: true });
    browser.serve(3000);
    assert.equal(browser.tabs[4].mode, "pull");
    browser.tabs[0].fire("window", "pageshow", { persisted: true });
    browser.serve(5000);
    assert.deepEqual(browser.modes(), [...pull(4), "poll"]);
});
