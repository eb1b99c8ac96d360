// What pages call and what they hear: names, requests, text, the queue, where the server is.
import assert from "node:assert/strict";
import test from "node:test";
import { CALLBACKS, World } from "./ajax-world.js";

const joinAck = { p_event: "join-ack", p_id: "ID1", p_format: "xml-strict" };

// A world that has joined.
function joined(options) {
    const world = new World(options);
    world.PL.join();
    world.next("join").events(joinAck);
    world.news();
    return world;
}

test("the names that old pages use are there", () => {
    const { window, PL } = new World({ ready: false });
    const calls =
        "heartbeat join joinListen leave listen publish subscribe unsubscribe setDebug _init setWebRoot getStatus";
    for (const name of calls.split(" ")) assert.equal(typeof PL[name], "function", name);
    const old =
        "p_debug p_embed p_join p_listen p_join_listen p_leave p_heartbeat p_publish p_subscribe p_unsubscribe p_setDebug " +
        "p_getSessionId p_getWebRoot p_getStatus PushletEvent";
    for (const name of old.split(" ")) assert.equal(typeof window[name], "function", name);
    const states = [PL.STATE_ERROR, PL.STATE_ABORT, PL.STATE_NULL, PL.STATE_READY, PL.STATE_JOINED, PL.STATE_LISTENING];
    assert.deepEqual(states, [-2, -1, 1, 2, 3, 3]);
    assert.equal(PL.NV_P_FORMAT, "p_format=xml-strict");
    assert.equal(PL.NV_P_MODE, "p_mode=pull");
    assert.equal(PL.state, PL.STATE_NULL);
    assert.equal(PL.sessionId, null);
});

test("the status tells the mode that the server has granted with the newest listen", () => {
    const world = new World();
    const modes = () => [world.PL.getStatus().mode, world.window.p_getStatus().mode];
    assert.deepEqual(modes(), ["", ""]);
    world.PL.joinListen("/a", "poll");
    world.next("join-listen").events({ ...joinAck, p_event: "join-listen-ack", p_mode: "poll" });
    assert.deepEqual(modes(), ["poll", "poll"]);
    world.PL.listen("/b");
    world.next("listen").events({ p_event: "nack", p_reason: "no" });
    assert.deepEqual(modes(), ["poll", "poll"]);
    world.PL.listen("/b");
    world.next("listen").events({ p_event: "listen-ack", p_mode: "pull" });
    assert.deepEqual(modes(), ["pull", "pull"]);
    world.PL.leave();
    world.next("leave").events({ p_event: "leave-ack" });
    assert.deepEqual(modes(), ["", ""]);
});

test("two listens in a row each have the mode of their own call", () => {
    const world = new World();
    world.PL.joinListen("/a", "poll");
    world.PL.listen("/b");
    const join = world.next("join-listen");
    assert.equal(join.params.p_mode, "poll");
    join.events({ ...joinAck, p_event: "join-listen-ack", p_mode: "poll" });
    assert.equal(world.next("listen").params.p_mode, "pull");
});

test("the state goes from null to listening and back, and tells joined from listening", () => {
    const world = new World({ ready: false });
    const { PL } = world;
    const both = () => [PL.state, PL.getStatus().state];
    assert.deepEqual(both(), [1, "loading"]);
    world.fire("window", "load", {});
    assert.deepEqual(both(), [2, "ready"]);
    PL.join();
    assert.deepEqual(both(), [2, "joining"]);
    world.next("join").events(joinAck);
    assert.deepEqual(both(), [3, "joined"]);
    assert.equal(PL.sessionId, "ID1");
    assert.equal(world.window.p_getSessionId(), "ID1");
    PL.listen("/a");
    world.next("listen").events({ p_event: "listen-ack", p_sid: "s1" }, { p_event: "refresh", p_wait: 2000 });
    assert.deepEqual(both(), [3, "listening"]);
    assert.equal(PL.statusMsg, "listening");
    PL.leave();
    world.next("leave").events({ p_event: "leave-ack", p_id: "ID1" });
    assert.deepEqual(both(), [2, "ready"]);
    assert.equal(PL.sessionId, "ID1");
});

// The order of a URL's parts is the old one: p_event, then the query, then p_id.
const REQUESTS = [
    [({ PL }) => PL.joinListen("/a"), "join-listen&p_format=xml-strict&p_mode=pull&p_subject=%2Fa"],
    [({ PL }) => PL.joinListen(), "join-listen&p_format=xml-strict&p_mode=pull"],
    [({ PL }) => PL.joinListen("/a", "poll"), "join-listen&p_format=xml-strict&p_mode=poll&p_subject=%2Fa"],
    [({ PL }) => PL.joinListen("/a", "stream"), "join-listen&p_format=xml-strict&p_mode=pull&p_subject=%2Fa"],
    [({ PL }) => PL.join(), "join&p_format=xml-strict&p_mode=pull"],
    [({ PL }) => PL.listen(), "listen&p_mode=pull&p_id=ID1"],
    [({ PL }) => PL.listen("/a"), "listen&p_mode=pull&p_subject=%2Fa&p_id=ID1"],
    [({ PL }) => PL.heartbeat(), "hb&p_id=ID1"],
    [({ PL }) => PL.subscribe("/a,/b"), "subscribe&p_subject=%2Fa%2C%2Fb&p_id=ID1"],
    [({ PL }) => PL.subscribe("/a", "l 1"), "subscribe&p_subject=%2Fa&p_label=l%201&p_id=ID1"],
    [({ PL }) => PL.unsubscribe("s1"), "unsubscribe&p_sid=s1&p_id=ID1"],
    [({ PL }) => PL.unsubscribe(), "unsubscribe&p_id=ID1"],
    [({ PL }) => PL.publish("/a", "x=1&y=2"), "publish&p_subject=%2Fa&x=1&y=2&p_id=ID1"],
    [({ PL }) => PL.publish("/a"), "publish&p_subject=%2Fa&p_id=ID1"],
    [({ window }) => window.p_publish("/a", "x", 1, "y", "2"), "publish&p_subject=%2Fa&x=1&y=2&p_id=ID1"],
    [({ window }) => window.p_publish("/a", "x", null, "y"), "publish&p_subject=%2Fa&x=&y=&p_id=ID1"],
    [({ window }) => window.p_heartbeat(), "hb&p_id=ID1"],
    [({ window }) => window.p_join(), "join&p_format=xml-strict&p_mode=pull"],
    [({ window }) => window.p_join_listen("/a"), "join-listen&p_format=xml-strict&p_mode=pull&p_subject=%2Fa"],
    [({ window }) => window.p_listen("/a", "poll"), "listen&p_mode=poll&p_subject=%2Fa&p_id=ID1"],
    [({ window }) => window.p_leave(), "leave&p_id=ID1"],
    [({ window }) => window.p_subscribe("/a", "l"), "subscribe&p_subject=%2Fa&p_label=l&p_id=ID1"],
    [({ window }) => window.p_unsubscribe("s1"), "unsubscribe&p_sid=s1&p_id=ID1"],
];

test("each call is one request", () => {
    for (const [call, expected] of REQUESTS) {
        const world = joined();
        call(world);
        const sent = world.requests.at(-1);
        assert.equal(sent.method, "GET");
        assert.equal(sent.url, `http://host.example/pushlet/pushlet.srv?p_event=${expected}`);
        assert.deepEqual(sent.sentHeaders, {}, "a header of its own would need a preflight");
    }
});

test("values are encoded whatever they hold", () => {
    const cases = [
        ["a b", "a%20b"],
        ["a+b", "a%2Bb"],
        ["100%", "100%25"],
        ["%41", "%2541"],
        ["a&b=c#d?e", "a%26b%3Dc%23d%3Fe"],
        ['"<>\\^`{|}', "%22%3C%3E%5C%5E%60%7B%7C%7D"],
        ["中文 é 😀", "%E4%B8%AD%E6%96%87%20%C3%A9%20%F0%9F%98%80"],
        ["a\r\n\tb\u0000", "a%0D%0A%09b%00"],
        ["\ud800x\udc00", "%EF%BF%BDx%EF%BF%BD"],
        [0, "0"],
        [false, "false"],
    ];
    for (const [value, expected] of cases) {
        const world = joined();
        world.window.p_publish("/s", "n", value);
        assert.equal(world.next("publish").text, `p_event=publish&p_subject=%2Fs&n=${expected}&p_id=ID1`);
    }
    const world = joined();
    world.window.p_publish("/中 文", "n&=", "v");
    assert.equal(world.next("publish").text, "p_event=publish&p_subject=%2F%E4%B8%AD%20%E6%96%87&n%26%3D=v&p_id=ID1");
});

// What the page has encoded stays, what may not stand in a query is encoded.
const QUERIES = [
    ["a=1&b=2", "a=1&b=2"],
    ["a=1 2", "a=1%202"],
    ["a=1+2", "a=1+2"],
    ["a=%41%e4%b8%ad", "a=%41%e4%b8%ad"],
    ["a=100%", "a=100%25"],
    ["a=%4&b=%zz&c=%%41", "a=%254&b=%25zz&c=%25%41"],
    ["a=#b", "a=%23b"],
    ["a='\"<>", "a=%27%22%3C%3E"],
    ["a=中😀", "a=%E4%B8%AD%F0%9F%98%80"],
    ["a=\udc00", "a=%EF%BF%BD"],
    ["a=b\nc", "a=b%0Ac"],
    ["a=/?:@!$()*,;-._~", "a=/?:@!$()*,;-._~"],
    ["a=[\\]^`{|}", "a=%5B%5C%5D%5E%60%7B%7C%7D"],
];

test("a query string may be encoded already", () => {
    for (const [query, expected] of QUERIES) {
        const world = joined();
        world.PL.publish("/s", query);
        assert.equal(world.next("publish").text, `p_event=publish&p_subject=%2Fs&${expected}&p_id=ID1`);
    }
});

test("valuesAreEncoded keeps what the page encoded, and no value can become two", () => {
    const world = joined();
    world.PL.valuesAreEncoded = true;
    world.window.p_publish("/s%20t", "n", "%E4%B8%AD&x=1 #", "m", "100%");
    const { text } = world.next("publish");
    assert.equal(text, "p_event=publish&p_subject=/s%20t&n=%E4%B8%AD%26x=1%20%23&m=100%25&p_id=ID1");
});

test("a long request goes by POST, as a form", () => {
    const world = joined();
    world.window.p_publish("/s", "n", "x".repeat(8000));
    const sent = world.next("publish");
    assert.equal(sent.method, "POST");
    assert.equal(sent.url, "http://host.example/pushlet/pushlet.srv");
    assert.deepEqual(sent.sentHeaders, { "Content-Type": "application/x-www-form-urlencoded" });
    assert.equal(sent.params.n.length, 8000);
    assert.equal(sent.params.p_id, "ID1");
});

test("calls before the page has loaded run in their order, the join first", () => {
    const world = new World({ ready: false });
    world.PL.subscribe("/a");
    world.PL.joinListen("/b");
    world.window.p_publish("/c", "n", 1);
    world.advance(60000);
    assert.equal(world.requests.length, 0);
    assert.equal(world.clock.timers.size, 0, "something polls");
    world.fire("window", "load", {});
    world.next("join-listen").events({ p_event: "join-listen-ack", p_id: "ID1", p_sid: "s1" });
    world.next("subscribe").events({ p_event: "subscribe-ack", p_sid: "s2" });
    world.next("publish").events({ p_event: "publish-ack" });
    assert.deepEqual(world.names(), ["onJoinListenAck", "onSubscribeAck"]);
});

test("control requests go one at a time, in their order", () => {
    const world = joined();
    for (let n = 0; n < 5; n += 1) world.window.p_publish("/a", "n", n);
    for (let n = 0; n < 5; n += 1) {
        assert.equal(world.waiting().length, 1);
        const sent = world.next("publish");
        assert.equal(sent.params.n, String(n));
        sent.events({ p_event: "publish-ack" });
    }
    assert.equal(world.waiting().length, 0);
    assert.deepEqual(world.names(), [], "publish-ack has no callback");
});

test("a call in a callback goes behind what is waiting", () => {
    const world = new World({ callbacks: false });
    world.window.onJoinAck = () => world.window.p_publish("/a", "n", "second");
    world.PL.join();
    world.window.p_publish("/a", "n", "first");
    world.next("join").events(joinAck);
    const first = world.next("publish");
    assert.equal(first.params.n, "first");
    first.events({ p_event: "publish-ack" });
    assert.equal(world.next("publish").params.n, "second");
});

test("a leave without a session takes back what waited for one", () => {
    const world = new World();
    world.PL.subscribe("/a");
    world.PL.leave();
    world.PL.join();
    world.next("join").events(joinAck);
    world.advance(10000);
    assert.deepEqual(
        world.requests.map((each) => each.event),
        ["join"],
    );
});

test("a second join is a new session, and the old one is left", () => {
    const world = new World();
    world.listening("/a", { id: "OLD" });
    world.PL.joinListen("/b");
    assert.equal(world.next("leave").params.p_id, "OLD");
    assert.equal(world.waiting("refresh").length, 0);
    world
        .next("join-listen")
        .events({ p_event: "join-listen-ack", p_id: "NEW", p_sid: "s1" }, { p_event: "refresh", p_wait: 2000 });
    world.next("leave").events({ p_event: "leave-ack", p_id: "OLD" });
    assert.equal(world.next("refresh").params.p_id, "NEW");
    assert.deepEqual(world.names(), ["onJoinListenAck"]);
});

test("a join that is nacked leaves no session and is not repeated", () => {
    const world = new World();
    world.PL.joinListen("");
    world.next("join-listen").events({ p_event: "nack", p_reason: "empty subject" });
    world.advance(60000);
    assert.deepEqual(world.names(), ["onNack"]);
    assert.equal(world.requests.length, 1);
    assert.equal(world.PL.getStatus().state, "ready");
});

test("specific functions come first, then onEvent, looked up at the time of the event", () => {
    for (const [type, name] of Object.entries(CALLBACKS)) {
        if (["error", "retry", "rejoined"].includes(type)) continue;
        const world = joined({ callbacks: false });
        const heard = [];
        world.window.onEvent = (event) => heard.push(`onEvent ${event.getEvent()}`);
        const bring = () => {
            world.PL.heartbeat();
            world.next("hb").events({ p_event: type, p_id: "ID1", p_reason: "r" });
        };
        bring();
        assert.equal(heard[0], `onEvent ${type}`);
        heard.length = 0;
        world.window[name] = (event) => heard.push(`${name} ${event.getEvent()}`);
        const { PL } = world;
        if (PL.getStatus().state !== "joined") continue; // A leave or an abort has ended the session.
        bring();
        assert.equal(heard[0], `${name} ${type}`);
    }
});

test("an event that nobody knows goes to onEvent; without functions nothing breaks", () => {
    const world = joined({ callbacks: false });
    world.PL.heartbeat();
    world.next("hb").events({ p_event: "toString" }, { p_event: "hb-ack" });
    world.listen(["onEvent"]);
    world.PL.heartbeat();
    world.next("hb").events({ p_event: "constructor" }, { p_event: "publish-ack" }, { p_event: "refresh" });
    assert.deepEqual(world.heard, [{ name: "onEvent", p_event: "constructor" }]);
});

test("what a page's function throws is reported and stops nothing", () => {
    const world = new World({ callbacks: false });
    const broken = new Error("the page's own");
    world.window.onData = () => {
        throw broken;
    };
    const data = { p_event: "data", p_subject: "/a" };
    world.listening().events({ p_event: "refresh-ack" }, data, data, { p_event: "refresh", p_wait: 2000 });
    world.next("refresh");
    assert.deepEqual(world.thrown, [broken, broken]);
});

test("PushletEvent", () => {
    const { window } = new World();
    const event = new window.PushletEvent();
    event.put("p_event", "data");
    event.put("p_subject", "/a");
    event.put("n", 1);
    assert.equal(event.getEvent(), "data");
    assert.equal(event.getSubject(), "/a");
    assert.equal(event.get("n"), "1");
    assert.equal(event.get("toString"), undefined);
    assert.equal(event.get("__proto__"), undefined);
    assert.deepEqual(Array.from(event.getKeys()), ["p_event", "p_subject", "n"]);
    assert.equal(String(event), "p_event=data\np_subject=/a\nn=1\n");
    event.put("x", `<img src=x onerror="a()">&'`);
    assert.ok(event.toTable().includes("<td>x</td><td>&#60;img src=x onerror=&#34;a()&#34;&#62;&#38;&#39;</td>"));
});

const ROOTS = [
    ["http://h/pushlet/lib/ajax-pushlet-client.js", "http://h/pushlet/"],
    ["http://h/lib/ajax-pushlet-client.js", "http://h/"],
    ["https://h:8443/lib/x/lib/ajax-pushlet-client.js?v=1/lib/2#/lib/", "https://h:8443/lib/x/"],
    ["http://library.example/glib/app/lib/ajax-pushlet-client.min.js", "http://library.example/glib/app/"],
    ["http://h/calib/ajax-pushlet-client.js", null],
    ["http://h/static/bundle.js", null],
];

test("the server is where the script came from", () => {
    for (const [src, root] of ROOTS) {
        const world = new World({ src });
        assert.equal(world.PL.webRoot, root, src);
        assert.equal(world.PL.pushletURL, root && `${root}pushlet.srv`, src);
    }
    const scripts = ["", "http://h/other.js", "../lib/ajax-pushlet-client.js"];
    assert.equal(new World({ src: null, scripts }).PL.webRoot, "http://host.example/");
});

test("an unknown server is one clear error, and calls wait until it is given", () => {
    const world = new World({ src: null });
    world.PL.join();
    assert.deepEqual(world.names(), ["onError"]);
    assert.match(world.heard[0].p_reason, /PL\.setWebRoot/);
    world.window.p_embed("http://other.example/push");
    assert.equal(world.next("join").url.split("?")[0], "http://other.example/push/pushlet.srv");
    const relative = new World({ src: null });
    relative.PL.setWebRoot("../push/");
    assert.equal(relative.PL.pushletURL, "http://host.example/push/pushlet.srv");
    const given = new World({ ready: false });
    given.PL.pushletURL = "/elsewhere/pushlet.srv";
    given.PL._init();
    given.PL.join();
    assert.equal(given.next("join").url.split("?")[0], "/elsewhere/pushlet.srv");
});

test("a web root that is no address is told once, and calls wait for a better one", () => {
    const world = new World({ ready: false });
    world.window.p_embed("http://:bad");
    world.PL.joinListen("/a");
    world.PL._init();
    assert.equal(world.requests.length, 0);
    const [told, ...more] = world.news();
    assert.deepEqual([told.p_event, more], ["error", []]);
    assert.match(told.p_reason, /http:\/\/:bad is no address.*PL\.setWebRoot/);
    world.PL.setWebRoot("/app?x=1#y");
    world.next("join-listen");
    assert.equal(world.PL.pushletURL, "http://host.example/app/pushlet.srv");
});

test("it starts at once in a page that is complete, and _init may be called again and again", () => {
    const world = new World({ ready: false, readyState: "complete" });
    world.PL.join();
    world.PL._init();
    world.PL._init();
    world.next("join").events(joinAck);
    world.PL._init();
    world.fire("window", "load", {});
    assert.equal(world.requests.length, 1);
    assert.equal(world.PL.state, world.PL.STATE_JOINED);
});

test("debug goes to the console and never tells the session's id", () => {
    const world = joined({ prepare: () => {} });
    assert.deepEqual(world.logged, []);
    world.window.p_setDebug(true);
    world.PL.heartbeat();
    world.next("hb").events({ p_event: "hb-ack" });
    assert.equal(world.logged.length, 2);
    assert.ok(world.logged.every((line) => line.startsWith("[pushlet] hb") && !line.includes("ID1")));
});
