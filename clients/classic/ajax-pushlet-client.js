// The classic Pushlet client for pages: requests by XMLHttpRequest, format xml-strict, mode pull.
//
//     <script src="/pushlet/lib/ajax-pushlet-client.js"></script>
//
// A page calls PL.joinListen("/subject") or p_join_listen("/subject") and defines onData(event) and its sisters. How it
// differs from the old client of this name, and what happens when the server is away: docs/classic-clients.md.
//
// One control request is under way at a time, in the order of the calls; beside it one data request (a refresh that
// waits for events). An outage begins with the first failure and ends with the first good answer; while it lasts calls
// are kept in the queue. A page that goes away leaves, and joins anew if it comes back.

(function () {
    "use strict";

    if (window.PL && window.PL.getStatus) {
        return; // The script stands in the page twice: two engines would call every callback twice.
    }

    // ---- Names and times

    // The page's function for each event; where it is missing, onEvent gets it. publish-ack and refresh go to nobody.
    const CALLBACKS = {
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
    };
    const UNTOLD = ["publish-ack", "refresh"];

    // What a page is told even when it is the client itself that asked (a re-join, a change of mode).
    const TOLD_ANYWAY = ["data", "hb", "abort", "nack"];

    // P-31: the server keeps a session this long without its data connection. Later it is not worth asking for.
    const SESSION_KEPT_MS = 45000;
    // P-17: the pause where an answer names none, and the longest that is believed.
    const PAUSE_MS = 3000;
    const PAUSE_MAX_MS = 600000;
    // No try follows a failure faster than this, however the dice fall.
    const PAUSE_MIN_MS = 100;
    // Requests that are longer go by POST: servers refuse long request lines.
    const URL_LENGTH_MAX = 7000;
    // Calls that may wait, as in a long outage.
    const QUEUE_MAX = 1000;
    // A request that fails this often although the session is well is given up: it would hold up all others for ever.
    const TRIES_MAX = 3;

    // A browser opens six connections to a host: so many clients may hold one, the rest is for control requests.
    const TABS_HOLDING = 4;
    const TABS_SAY_MS = 20000;
    const TABS_FORGET_MS = 90000;
    // A newcomer waits 200 ms for answers: one that comes later finds all connections taken, its own among them, and the
    // request that would give one back waits for one.
    const TABS_ANSWER_MS = 50;
    const TABS_SETTLE_MS = 250;

    const PL = {
        NV_P_FORMAT: "p_format=xml-strict",
        NV_P_MODE: "p_mode=pull",
        // Where the server is: pushletURL is what counts; _init fills in what the page has left open.
        webRoot: null,
        pushletURL: null,
        sessionId: null,

        STATE_ERROR: -2,
        STATE_ABORT: -1,
        STATE_NULL: 1,
        STATE_READY: 2,
        STATE_JOINED: 3,
        STATE_LISTENING: 3, // As it always was. PL.getStatus().state tells the two apart.
        state: 1,
        statusMsg: "loading",
        debugOn: false,

        // For pages that percent-encode the values of their calls themselves.
        valuesAreEncoded: false,
        // Pauses before a new try, in ms: at random up to first, then up to twice that, and so on, at most longest.
        retry: { first: 500, longest: 20000 },
        // A request without an end after this many ms has failed. A pull waits 20 s (P-15).
        requestTimeout: 45000,
    };

    // ---- Events

    /** One event: the attributes of an XML element, or nothing yet. */
    function PushletEvent(element) {
        this.fields = new Map();
        const attributes = (element && element.attributes) || [];
        for (let i = 0; i < attributes.length; i += 1) {
            this.fields.set(attributes[i].name, attributes[i].value);
        }
    }

    PushletEvent.prototype = {
        constructor: PushletEvent,
        getEvent() {
            return this.get("p_event");
        },
        getSubject() {
            return this.get("p_subject");
        },
        get(name) {
            return this.fields.get(String(name));
        },
        put(name, value) {
            this.fields.set(String(name), String(value));
            return value;
        },
        getKeys() {
            return Array.from(this.fields.keys());
        },
        toString() {
            return this.getKeys()
                .map((name) => `${name}=${this.get(name)}\n`)
                .join("");
        },
        /** HTML, for pages that write it into themselves: so everything in it is escaped. */
        toTable() {
            const rows = this.getKeys().map(
                (name) => `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(this.get(name))}</td></tr>`,
            );
            return `<table border="1">${rows.join("")}</table>`;
        },
    };

    function escapeHtml(text) {
        return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
    }

    /** An event that did not come from the server. */
    function localEvent(type, fields) {
        const event = new PushletEvent();
        event.put("p_event", type);
        Object.keys(fields).forEach((name) => event.put(name, fields[name]));
        return event;
    }

    /** Calls a function of the page, if it is there. What it throws is reported as usual, and stops nothing here. */
    function call(name, event) {
        const callback = window[name];
        if (typeof callback !== "function") {
            return false;
        }
        try {
            callback.call(window, event);
        } catch (error) {
            setTimeout(() => {
                throw error;
            }, 0);
        }
        return true;
    }

    function deliver(event) {
        const type = event.getEvent();
        if (UNTOLD.includes(type)) {
            return;
        }
        const own = Object.prototype.hasOwnProperty.call(CALLBACKS, type) && call(CALLBACKS[type], event);
        if (!own) {
            call("onEvent", event);
        }
    }

    function debug(...words) {
        if (PL.debugOn && window.console) {
            window.console.log("[pushlet]", ...words);
        }
    }

    // ---- Text of requests

    /** One name or value. A half of a surrogate pair has no UTF-8; it becomes U+FFFD as in any form. */
    function encodeValue(value) {
        const text = value === undefined || value === null ? "" : String(value);
        if (PL.valuesAreEncoded) {
            return encodeQuery(text).replace(/&/g, "%26");
        }
        return encodeURIComponent(text.replace(/[\uD800-\uDFFF]/gu, "\uFFFD"));
    }

    /** A query that may be encoded already: %XX & = + stay, what may not stand in a query is encoded. */
    function encodeQuery(query) {
        const text = String(query).replace(/[\uD800-\uDFFF]/gu, "\uFFFD");
        const outside = /%(?![0-9A-Fa-f]{2})|[^%A-Za-z0-9\-._~!$&()*+,;=:@/?]/gu;
        return text.replace(outside, (sign) => (sign === "'" ? "%27" : encodeURIComponent(sign)));
    }

    /** `name=value&...` of those that have a value. */
    function queryOf(pairs) {
        return pairs
            .filter((pair) => pair[1] !== undefined && pair[1] !== null)
            .map((pair) => `${pair[0]}=${encodeValue(pair[1])}`)
            .join("&");
    }

    // ---- Where the server is

    const ownScript = document.currentScript;

    /** The part of a script's URL before the last /lib/ of its path, or null if it is another script. */
    function rootOfScript(script) {
        if (!script || !script.src) {
            return null;
        }
        const url = new URL(script.src, document.baseURI);
        if (!/\/lib\/[^/]*ajax-pushlet-client[^/]*\.js$/.test(url.pathname)) {
            return null;
        }
        return url.origin + url.pathname.slice(0, url.pathname.lastIndexOf("/lib/") + 1);
    }

    // The page has named a root that is none: the script's own one is not what it means.
    let hasBadRoot = false;

    function noRoot(problem) {
        if (PL.state === PL.STATE_NULL) {
            PL.state = PL.STATE_READY;
        }
        showState();
        const plan = "Call PL.setWebRoot(url); calls made so far wait for it.";
        deliver(localEvent("error", { p_reason: `${problem} ${plan}` }));
    }

    function findWebRoot() {
        const scripts = [ownScript].concat(Array.from(document.getElementsByTagName("script")));
        return scripts.map(rootOfScript).find((root) => root !== null) || null;
    }

    /** A root without an address at all is told, and calls wait for a better one. */
    function setWebRoot(root) {
        let url;
        try {
            url = new URL(String(root), document.baseURI);
        } catch (notAnAddress) {
            hasBadRoot = true;
            noRoot(`The web root ${root} is no address (${notAnAddress.message}).`);
            return;
        }
        hasBadRoot = false;
        const absolute = url.origin + url.pathname;
        const before = PL.pushletURL;
        PL.webRoot = absolute.endsWith("/") ? absolute : `${absolute}/`;
        PL.pushletURL = `${PL.webRoot}pushlet.srv`;
        if (PL.pushletURL !== before) {
            tabs.move();
            hurry();
        }
        showState();
        pump();
    }

    // ---- One request

    /**
     * Sends a request; `done(failure, events)` is called once: failure is null, or {kind, why, retryAfter}. `heard` is
     * called with the first event as soon as that is there. Returns what can cancel it; then nothing is called.
     *
     * Kinds of failure: network, hang, malformed, http (in all four nobody knows what the server did), busy (it did
     * nothing, come again), refused (it will never take this), expired (it does not know the session).
     */
    function send(event, query, id, done, heard) {
        const parts = [`p_event=${event}`, query, id ? `p_id=${encodeURIComponent(id)}` : ""];
        const text = parts.filter((part) => part !== "").join("&");
        const xhr = new XMLHttpRequest();
        let watchdog = 0;
        let over = false;
        const close = () => {
            over = true;
            clearTimeout(watchdog);
            xhr.onreadystatechange = null;
        };
        const finish = (failure, events) => {
            if (!over) {
                close();
                debug(event, failure ? `failed: ${failure.why}` : `answered with ${events.length} events`);
                done(failure, events);
            }
        };
        xhr.onreadystatechange = () => {
            if (over) {
                return;
            }
            if (xhr.readyState === 3 && heard && xhr.status === 200) {
                const end = xhr.responseText.indexOf("/>");
                const events = end < 0 ? null : parse(`${xhr.responseText.slice(0, end + 2)}</pushlet>`);
                if (events) {
                    heard(events[0]);
                    heard = null;
                }
            } else if (xhr.readyState === 4) {
                const events = xhr.status === 200 ? parse(xhr.responseText) : null;
                finish(events ? null : failureOf(xhr), events);
            }
        };
        watchdog = setTimeout(() => {
            const seconds = Math.round(PL.requestTimeout / 1000);
            finish({ kind: "hang", why: `no complete answer in ${seconds} s` });
            xhr.abort();
        }, PL.requestTimeout);
        debug(event, query);
        try {
            if (PL.pushletURL.length + text.length < URL_LENGTH_MAX) {
                xhr.open("GET", `${PL.pushletURL}?${text}`, true);
                xhr.send(null);
            } else {
                xhr.open("POST", PL.pushletURL, true);
                xhr.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
                xhr.send(text);
            }
        } catch (error) {
            setTimeout(() => finish({ kind: "network", why: `the request could not be made (${error.message})` }), 0);
        }
        return {
            cancel() {
                if (!over) {
                    close();
                    xhr.abort();
                }
            },
        };
    }

    /** The events of an answer, or null if it is not one: the server always answers with at least one event. */
    function parse(text) {
        const tree = new DOMParser().parseFromString(text, "text/xml");
        if (tree.getElementsByTagName("parsererror").length > 0) {
            return null;
        }
        const events = Array.from(tree.getElementsByTagName("event"), (element) => new PushletEvent(element));
        return events.length > 0 ? events : null;
    }

    function failureOf(xhr) {
        const status = xhr.status;
        if (status === 0) {
            return { kind: "network", why: "the server cannot be reached from this page" };
        }
        if (status === 200) {
            return { kind: "malformed", why: "the answer is not the XML of a Pushlet server" };
        }
        const body = xhr.responseText || "";
        if (status === 400 && body.includes("Invalid or expired id")) {
            return { kind: "expired", why: "the server does not know the session any more" }; // P-8
        }
        const plain = (xhr.getResponseHeader("Content-Type") || "").startsWith("text/plain");
        const words = (plain ? body.trim().slice(0, 200) : xhr.statusText).replace(/[\s.]+$/, "");
        const busy = status === 503 || status === 429;
        const refused = status < 500 && !busy && status !== 408;
        return {
            kind: busy ? "busy" : refused ? "refused" : "http",
            why: `status ${status}${words ? ` (${words})` : ""}`,
            retryAfter: secondsOf(xhr.getResponseHeader("Retry-After")) * 1000,
        };
    }

    /** Retry-After is a number of seconds or a date. */
    function secondsOf(header) {
        if (!header) {
            return 0;
        }
        const seconds = /^\s*\d+\s*$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
        return seconds > 0 ? seconds : 0;
    }

    // ---- The session, as the page knows it

    // id is null while the server has none for us; joined, listening and subs are what a re-join restores. from is the
    // session's address (P-22), mode is what was asked for by the last listen, granted is what the server made of it.
    const NO_SESSION = { id: null, from: null, joined: false, listening: false, mode: null, granted: "", rejoins: 0 };
    const session = Object.assign({ wantsPoll: false, subs: [] }, NO_SESSION);

    // A subscription keeps the sid that the page was told; `now` is what the server calls it in the session `on`.
    function bind(event, request) {
        const now = event.get("p_sid");
        if (now === undefined) {
            return;
        }
        let sub = request.sub;
        if (!sub) {
            // After a re-join the server counts from the start, and the page still uses the old names.
            const sid = session.rejoins > 0 ? `${now}.${session.rejoins}` : now;
            sub = { sid, now, on: null, subject: request.subject, label: request.label };
            session.subs.push(sub);
        }
        sub.now = now;
        sub.on = session.id;
        event.put("p_sid", sub.sid);
    }

    function findNow(now) {
        return session.subs.find((sub) => sub.now === now && sub.on === session.id);
    }

    /** What the server calls the subscription that the page calls `sid`; null if that name now means another one. */
    function currentSid(sid) {
        const sub = session.subs.find((each) => each.sid === sid);
        if (sub) {
            return sub.now;
        }
        return findNow(sid) ? null : sid;
    }

    function adopt(event, request) {
        const type = event.getEvent();
        const sub = findNow(event.get("p_sid"));
        if ((type === "join-ack" || type === "join-listen-ack") && event.get("p_id")) {
            session.id = event.get("p_id");
            session.from = event.get("p_from");
            session.joined = true;
            request.joined = true;
            session.rejoins += request.page ? 0 : 1;
            PL.sessionId = session.id;
        }
        if ((type === "join-listen-ack" || type === "listen-ack") && session.id) {
            request.listened = true;
            session.listening = true;
            session.mode = request.mode;
            session.granted = event.get("p_mode") || request.mode;
        }
        if (["join-listen-ack", "listen-ack", "subscribe-ack"].includes(type) && session.id) {
            bind(event, request);
        } else if (type === "unsubscribe-ack" && event.get("p_sid") === undefined) {
            session.subs = [];
        } else if (type === "unsubscribe-ack" && sub) {
            session.subs = session.subs.filter((each) => each !== sub);
            event.put("p_sid", sub.sid);
        } else if (type === "data" && sub) {
            event.put("p_sid", sub.sid);
        } else if (type === "refresh") {
            const wait = Number(event.get("p_wait"));
            request.wait = wait >= 0 ? Math.min(wait, PAUSE_MAX_MS) : PAUSE_MS;
        } else if (type === "abort") {
            request.aborted = event.get("p_reason") || "no reason given";
        } else if (type === "nack") {
            request.nacked = event.get("p_reason") || "no reason given";
        } else if (type === "leave-ack") {
            forget();
        }
    }

    /** Takes an answer: what it means for us, then what the page hears of it. */
    function take(events, request) {
        events.forEach((event) => {
            adopt(event, request);
            showState();
            if (request.page || TOLD_ANYWAY.includes(event.getEvent())) {
                deliver(event);
            }
        });
        if (request.listened && session.id && session.listening) {
            // P-26: the server ends the answer that still waits; its events are welcome, its end means nothing.
            channel.request = null;
            refreshIn(request.wait === undefined ? PAUSE_MS : request.wait);
        }
    }

    function forget() {
        stopChannel();
        tabs.close();
        Object.assign(session, NO_SESSION, { subs: [] });
    }

    // ---- Control requests: a queue, one under way

    const queue = [];
    let busy = null;
    let cancelBusy = null;
    let tellsDrop = false;
    // True from pagehide to pageshow: nothing is sent.
    let away = false;

    function isJoin(entry) {
        return entry.event === "join" || entry.event === "join-listen";
    }

    function isListen(entry) {
        return entry.event === "listen" || entry.event === "join-listen";
    }

    function isLeave(entry) {
        return entry.event === "leave";
    }

    function isLeaving() {
        return queue.some(isLeave) || Boolean(busy && isLeave(busy));
    }

    function enqueue(event, fields) {
        if (queue.length >= QUEUE_MAX && event !== "leave") {
            // A page that publishes its errors would be told of that without end.
            if (!tellsDrop) {
                tellsDrop = true;
                const reason = `${event} is dropped: ${QUEUE_MAX} calls wait for the server already.`;
                deliver(localEvent("error", { p_request: event, p_reason: reason }));
                tellsDrop = false;
            }
            return;
        }
        queue.push(Object.assign({ event, page: true, tries: 0 }, fields));
        pump();
    }

    /** Sends the next request that can be sent: without a session that is a join, whatever was called before it. */
    function pump() {
        if (busy || away || PL.state === PL.STATE_NULL || !PL.pushletURL || (outage && !outage.joining)) {
            return;
        }
        if (!session.id) {
            const join = queue.findIndex(isJoin);
            const leave = queue.findIndex(isLeave);
            if (leave >= 0 && (join < 0 || leave < join)) {
                queue.splice(0, leave + 1);
                pump();
            } else if (join >= 0) {
                start(queue.splice(join, 1)[0]);
            }
        } else if (queue.length > 0) {
            start(queue.shift());
        }
    }

    function start(entry) {
        if (isJoin(entry) && session.id) {
            // A join makes a new session. The old one would live on at the server, unheard.
            send("leave", "", session.id, () => {});
            forget();
        }
        if (!entry.page && !session.listening) {
            pump(); // Our own listen, and by now there is nothing to listen to.
            return;
        }
        if (entry.event === "unsubscribe" && entry.sid !== undefined && currentSid(entry.sid) === null) {
            deliver(localEvent("nack", { p_id: session.id, p_reason: `no subscription for sid=${entry.sid}` }));
            pump();
            return;
        }
        busy = entry;
        entry.on = session.id;
        const request = send(entry.event, queryFor(entry), session.id, (failure, events) => {
            busy = null;
            if (failure) {
                controlFailed(entry, failure);
            } else {
                controlAnswered(entry, events);
            }
            showState();
            pump();
        });
        cancelBusy = request.cancel;
        showState();
    }

    function queryFor(entry) {
        const listens = isListen(entry);
        if (listens) {
            session.wantsPoll = entry.poll === undefined ? session.wantsPoll : entry.poll;
            tabs.open();
            entry.mode = modeNow();
        }
        const subject = queryOf([
            ["p_subject", entry.subject],
            ["p_label", entry.label],
        ]);
        const parts = [
            isJoin(entry) ? "p_format=xml-strict" : "",
            listens ? `p_mode=${entry.mode}` : entry.event === "join" ? `p_mode=${modeNow()}` : "",
            subject,
            entry.sid === undefined ? "" : queryOf([["p_sid", currentSid(entry.sid)]]),
            entry.query || "",
        ];
        return parts.filter((part) => part !== "").join("&");
    }

    function controlAnswered(entry, events) {
        if (isLeave(entry)) {
            take(events, entry);
            if (session.id === entry.on) {
                hasLeft(entry);
            }
            return;
        }
        if (!isJoin(entry) && entry.on !== session.id) {
            // Its session has been replaced meanwhile, and with it what the server did for this request.
            if (entry.page && session.joined && entry.event !== "publish") {
                queue.unshift(entry);
            }
            return;
        }
        take(events, entry);
        if (!session.listening && !(busy && isListen(busy))) {
            tabs.close(); // A listen that was nacked.
        }
        if (entry.aborted) {
            fail({ kind: "abort", why: `the server ended the session: ${entry.aborted}` }, entry.event);
        } else if (isJoin(entry) && !entry.nacked && !entry.joined) {
            queue.unshift(entry);
            fail({ kind: "malformed", why: "the answer names no session" }, entry.event);
        } else if (outage && outage.joining) {
            if (session.id) {
                overcome();
            } else {
                endOutage(); // The server is there, and has said no.
            }
        }
    }

    /** A leave has ended without its ack. The page has left in any case; the server forgets a session by itself. */
    function hasLeft(leave) {
        if (session.id === leave.on) {
            forget();
        }
        deliver(localEvent("leave-ack", { p_id: leave.on }));
    }

    function controlFailed(entry, failure) {
        const stale = !isJoin(entry) && entry.on !== session.id;
        const untaken = failure.kind === "expired" || failure.kind === "busy";
        entry.tries += untaken ? 0 : 1;
        if (isLeave(entry)) {
            hasLeft(entry);
            return;
        }
        if (stale && !session.joined) {
            return; // The page has left meanwhile.
        }
        const hopeless = failure.kind === "refused" || entry.tries >= TRIES_MAX;
        const lost = entry.event === "publish" && !untaken;
        if (!isJoin(entry) && (hopeless || lost)) {
            const fate = failure.kind === "refused" ? "it was not taken" : "it may have arrived";
            if (failure.kind === "refused" || stale || outage) {
                tellLost(entry, failure.why, fate);
            } else {
                fail(failure, entry.event, `${fate} and is not repeated, `, detailsOf(entry));
            }
            return;
        }
        if (entry.page) {
            queue.unshift(entry);
        }
        if (!stale) {
            fail(failure, entry.event);
        }
    }

    function detailsOf(entry) {
        const details = { p_request: entry.event };
        if (entry.subject !== undefined) {
            details.p_subject = entry.subject;
        }
        return details;
    }

    function tellLost(entry, why, fate) {
        const reason = `${entry.event} at ${PL.pushletURL} failed: ${why}; ${fate} and is not repeated.`;
        deliver(localEvent("error", Object.assign(detailsOf(entry), { p_reason: reason })));
    }

    // ---- The data channel: refresh, wait, refresh

    const channel = { request: null, timer: 0 };

    function stopChannel() {
        clearTimeout(channel.timer);
        channel.timer = 0;
        if (channel.request) {
            channel.request.cancel();
            channel.request = null;
        }
    }

    function refreshIn(ms) {
        clearTimeout(channel.timer);
        channel.timer = setTimeout(refresh, ms);
    }

    function refresh() {
        clearTimeout(channel.timer);
        channel.timer = 0;
        if (!session.id || !session.listening || channel.request || isLeaving()) {
            return;
        }
        const id = session.id;
        const answer = { event: "refresh", page: true };
        // P-15: the ack comes at once, the rest when there are events.
        const heard = (event) => {
            if (channel.request === request && event.getEvent() === "refresh-ack") {
                answer.acked = true;
                take([event], answer);
                overcome();
            }
        };
        const done = (failure, events) => {
            const current = channel.request === request;
            if (current) {
                channel.request = null;
            }
            if (failure) {
                if (current) {
                    fail(failure, "refresh");
                }
                return;
            }
            if (id === session.id) {
                take(
                    events.filter((event) => !answer.acked || event.getEvent() !== "refresh-ack"),
                    answer,
                );
            }
            // The page may have left or joined anew in a callback.
            if (!current || id !== session.id) {
                return;
            }
            if (answer.aborted || answer.nacked) {
                const kind = answer.aborted ? "abort" : "expired";
                fail({ kind, why: `the server ended the session: ${answer.aborted || answer.nacked}` }, "refresh");
                return;
            }
            startPausesAnew();
            refreshIn(answer.wait === undefined ? PAUSE_MS : answer.wait);
            overcome();
        };
        const request = send("refresh", "", id, done, heard);
        channel.request = request;
    }

    // ---- Outages

    // From the first failure to the first good answer: {since, tries, reason, timer, at, request, joining}. Either a
    // timer runs (the pause) or a try is under way: request, the channel's refresh, or the page's own join (joining).
    // No tries have failed yet in the one that brings back a page that was away.
    let outage = null;
    // Tries in a row without one whole good answer of the data channel: what the pause depends on.
    let failures = 0;
    // No such answer since a session was unknown: joining again may not help, as behind a balancer that sends each
    // request to another server.
    let inVain = false;

    function retryTimes() {
        return { first: Number(PL.retry.first) || 500, longest: Number(PL.retry.longest) || 20000 };
    }

    function startPausesAnew() {
        failures = 0;
        inVain = false;
    }

    function pauseAfter(failure) {
        const { first, longest } = retryTimes();
        // A session that is unknown can be made anew at once, but not in a circle.
        const quick = failure.kind === "expired" && !inVain;
        const most = quick ? first : Math.min(longest, first * Math.pow(2, Math.min(failures - 1, 30)));
        const asked = Math.min(failure.retryAfter || 0, 3 * longest);
        return Math.round(asked + Math.max(Math.min(PAUSE_MIN_MS, first), Math.random() * most));
    }

    /** Something failed: says so, and sees to a new try. `details` are further fields of the error event. */
    function fail(failure, what, plan, details) {
        if (busy && isLeave(busy)) {
            return; // Whatever has failed ends with the session.
        }
        if (failure.kind === "expired" || failure.kind === "abort") {
            session.id = null;
            stopChannel();
        }
        if (queue.some(isLeave)) {
            leaveNow();
            return;
        }
        if (outage && (outage.timer || outage.request)) {
            return; // One more loss in the same outage; the next try is already decided.
        }
        failures += 1;
        const begins = !outage || outage.tries === 0;
        const wait = pauseAfter(failure);
        const verb = session.joined && !session.id ? "joining again" : "trying again";
        const reason = `${what} at ${PL.pushletURL} failed: ${failure.why}; ${plan || ""}${verb} in ${wait} ms.`;
        outage = outage || { since: Date.now(), tries: 0 };
        clearTimeout(channel.timer);
        channel.timer = 0;
        Object.assign(outage, {
            tries: outage.tries + 1,
            reason,
            at: Date.now() + wait,
            timer: setTimeout(recover, wait),
            request: null,
            joining: false,
        });
        inVain = inVain || failure.kind === "expired";
        debug(reason);
        showState();
        const fields = { p_reason: reason, p_wait: wait, p_tries: outage.tries };
        if (begins) {
            deliver(localEvent("error", Object.assign(fields, details)));
        } else {
            call("onRetry", localEvent("retry", fields));
        }
    }

    function recover() {
        clearTimeout(outage.timer);
        outage.timer = 0;
        if (Date.now() - outage.since > SESSION_KEPT_MS) {
            session.id = null; // P-31: it has ended by now, or nothing was queued for it.
            stopChannel();
        }
        showState();
        restore(false);
    }

    /** The next step back to what the page had; `proved` when a step of this try has succeeded. */
    function restore(proved) {
        if (!session.joined) {
            outage.joining = true;
            pump();
            if (!busy) {
                endOutage(); // The join was withdrawn.
            }
            return;
        }
        const missing = session.subs.find((sub) => sub.on !== session.id);
        if (!session.id && session.listening) {
            attempt({
                event: "join-listen",
                sub: missing,
                subject: missing && missing.subject,
                label: missing && missing.label,
            });
        } else if (!session.id) {
            attempt({ event: "join" });
        } else if (missing) {
            attempt({ event: "subscribe", sub: missing, subject: missing.subject, label: missing.label });
        } else if (proved) {
            overcome();
        } else if (session.listening && !channel.request) {
            refresh();
        } else {
            attempt({ event: "hb" });
        }
    }

    function attempt(request) {
        const id = isJoin(request) ? null : session.id;
        outage.request = send(request.event, queryFor(request), id, (failure, events) => {
            outage.request = null;
            if (failure) {
                fail(failure, request.event);
                return;
            }
            take(events, request);
            if (!outage) {
                return; // The page has left in a callback.
            }
            if (request.nacked && request.sub) {
                session.subs = session.subs.filter((sub) => sub !== request.sub);
            }
            if (request.aborted || !session.id) {
                const why = request.aborted || request.nacked || "the answer names no session";
                fail({ kind: request.aborted ? "abort" : "http", why }, request.event);
            } else {
                restore(true);
            }
        });
    }

    function endOutage() {
        if (outage) {
            clearTimeout(outage.timer);
            if (outage.request) {
                outage.request.cancel();
            }
            outage = null;
            showState();
        }
    }

    /** The outage is over, if there is one. */
    function overcome() {
        if (!outage || !session.id || outage.timer || outage.request) {
            return;
        }
        endOutage();
        if (!session.listening) {
            startPausesAnew();
        }
        if (session.listening && !channel.request && !channel.timer) {
            refreshIn(0);
        }
        const fields = { p_id: session.id };
        if (session.from) {
            fields.p_from = session.from;
        }
        call("onRejoined", localEvent("rejoined", fields));
        followRank();
        pump();
    }

    /** A leave during an outage: nothing that was called before it matters any more. */
    function leaveNow() {
        const { id, joined } = session;
        queue.splice(0, queue.findIndex(isLeave) + 1);
        endOutage();
        forget();
        startPausesAnew();
        showState();
        if (id) {
            const bye = { event: "leave", on: id, tries: 0 };
            send("leave", "", id, (failure, events) =>
                failure ? controlFailed(bye, failure) : events.forEach(deliver),
            );
        } else if (joined) {
            const ack = localEvent("leave-ack", { p_id: PL.sessionId });
            setTimeout(() => deliver(ack), 0);
        }
        pump();
    }

    // ---- Tabs: who may hold a connection

    // The clients of one origin and one server tell each other that they are there. Visible pages come first, then the
    // oldest. The first TABS_HOLDING of them pull, each holding a connection for most of the time; the others poll,
    // which holds none.
    const tabs = {
        id: Array.from(randomBytes(12), (byte) => (byte + 256).toString(16).slice(1)).join(""),
        since: 0,
        bus: null,
        ticker: 0,
        settling: 0,
        answering: 0,
        answeredAt: 0,
        others: new Map(),

        open() {
            if (this.bus || typeof BroadcastChannel !== "function") {
                return;
            }
            this.bus = new BroadcastChannel(`pushlet:${new URL(PL.pushletURL, document.baseURI).href}`);
            this.bus.onmessage = (message) => this.hear(message.data);
            this.since = this.since || Date.now();
            this.ticker = setInterval(() => this.say(), TABS_SAY_MS);
            this.say();
        },

        close() {
            if (this.bus) {
                this.bus.postMessage({ type: "bye", id: this.id });
                this.bus.close();
                this.bus = null;
                clearInterval(this.ticker);
                clearTimeout(this.settling);
                clearTimeout(this.answering);
                this.settling = this.answering = 0;
                this.others.clear();
            }
        },

        /** The tabs of another server are others. */
        move() {
            if (this.bus) {
                this.close();
                this.open();
            }
        },

        say() {
            if (this.bus) {
                this.bus.postMessage({ type: "here", id: this.id, since: this.since, visible: isVisible() });
                this.changed();
            }
        },

        hear(message) {
            if (!message || typeof message.id !== "string" || message.id === this.id) {
                return;
            }
            const known = this.others.has(message.id);
            if (message.type === "bye") {
                this.others.delete(message.id);
            } else if (message.type === "here" && typeof message.since === "number") {
                const { id, since } = message;
                this.others.set(id, { id, since, visible: Boolean(message.visible), heardAt: Date.now() });
            }
            if (!known && message.type === "here" && !this.answering) {
                const due = this.answeredAt + TABS_ANSWER_MS - Date.now();
                this.answering = setTimeout(() => this.answer(), Math.max(0, due));
            }
            this.changed();
        },

        /** One answer is for all who have come since the last one. */
        answer() {
            this.answering = 0;
            this.answeredAt = Date.now();
            this.say();
        },

        /** How many clients come before this one. */
        rank() {
            const before = (a, b) =>
                a.visible !== b.visible ? a.visible : a.since !== b.since ? a.since < b.since : a.id < b.id;
            const own = { id: this.id, since: this.since, visible: isVisible() };
            let count = 0;
            this.others.forEach((other) => {
                if (Date.now() - other.heardAt > TABS_FORGET_MS) {
                    this.others.delete(other.id);
                } else if (before(other, own)) {
                    count += 1;
                }
            });
            return count;
        },

        /** A tab that is left and one that is entered speak one after the other: only what lasts counts. */
        changed() {
            if (!this.settling) {
                this.settling = setTimeout(() => {
                    this.settling = 0;
                    followRank();
                }, TABS_SETTLE_MS);
            }
        },
    };

    function isVisible() {
        return document.visibilityState === "visible";
    }

    function randomBytes(count) {
        const bytes = new Uint8Array(count);
        return window.crypto ? window.crypto.getRandomValues(bytes) : bytes.map(() => Math.random() * 256);
    }

    function modeNow() {
        const poll = session.wantsPoll || PL.NV_P_MODE === "p_mode=poll";
        return poll || tabs.rank() >= TABS_HOLDING ? "poll" : "pull";
    }

    /** Listens again when the rank asks for another mode. */
    function followRank() {
        const relistens = (entry) => entry.event === "listen" && !entry.page;
        const underWay = queue.some(relistens) || (busy && relistens(busy));
        const settled = session.id && session.listening && !outage && !underWay && !isLeaving();
        if (settled && session.mode !== modeNow()) {
            enqueue("listen", { page: false });
        }
    }

    // ---- The life of the page

    /**
     * The page is closed, or kept aside by the browser for a way back. Either way nobody hears it now, so its session
     * ends, and nothing stays open: a browser does not keep a page aside that waits for an answer.
     */
    function onPageHide() {
        const id = session.id;
        away = true;
        endOutage();
        stopChannel();
        tabs.close();
        session.id = null;
        if (busy) {
            cancelBusy();
        }
        showState();
        if (!id) {
            return;
        }
        const text = `p_event=leave&p_id=${encodeURIComponent(id)}`;
        if (typeof Request === "function" && "keepalive" in Request.prototype) {
            fetch(`${PL.pushletURL}?${text}`, { keepalive: true, mode: "no-cors", cache: "no-store" }).catch(() => {});
        } else if (navigator.sendBeacon) {
            navigator.sendBeacon(PL.pushletURL, text);
        }
    }

    /** The page is back, with all that it knew: what it had at the server is made anew. */
    function onPageShow() {
        if (!away) {
            return;
        }
        away = false;
        const cut = busy;
        busy = null;
        if (cut && cut.page && cut.event !== "publish") {
            queue.unshift(cut);
        }
        if (queue.some(isLeave)) {
            leaveNow();
        } else if (session.joined) {
            outage = { since: Date.now(), tries: 0, reason: "", timer: 0, at: 0, request: null, joining: false };
            showState();
            restore(false);
            if (cut && cut.event === "publish") {
                tellLost(cut, "the page went away before the answer", "it may have arrived");
            }
        } else {
            pump();
        }
    }

    /** The network is back, or the server is another: no reason to wait out a long pause. */
    function hurry() {
        if (outage && outage.timer) {
            clearTimeout(outage.timer);
            const wait = Math.round(Math.random() * retryTimes().first);
            outage.at = Date.now() + wait;
            outage.timer = setTimeout(recover, wait);
        }
    }

    /** What the page can read at any time. */
    function showState() {
        const listening = session.id && session.listening;
        if (PL.state === PL.STATE_NULL) {
            return;
        }
        if (outage && outage.tries > 0) {
            PL.state = PL.STATE_ERROR;
        } else if (session.id) {
            PL.state = listening ? PL.STATE_LISTENING : PL.STATE_JOINED;
        } else {
            PL.state = PL.STATE_READY;
        }
        const status = PL.getStatus();
        PL.statusMsg = status.reason ? `${status.state}: ${status.reason}` : status.state;
    }

    function stateWord() {
        if (PL.state === PL.STATE_NULL) {
            return "loading";
        }
        if (outage) {
            return outage.timer ? "waiting" : "trying";
        }
        if (session.id) {
            return session.listening ? "listening" : "joined";
        }
        return busy && isJoin(busy) ? "joining" : "ready";
    }

    // ---- What pages call

    Object.assign(PL, {
        /** Finds the server and starts with what was called so far. Happens by itself when the window has loaded. */
        _init() {
            if (hasBadRoot) {
                return;
            }
            if (!PL.pushletURL) {
                PL.webRoot = PL.webRoot || findWebRoot();
                if (!PL.webRoot) {
                    noRoot("The server is unknown: the client was not loaded from .../lib/ajax-pushlet-client.js.");
                    return;
                }
            }
            if (PL.state === PL.STATE_NULL) {
                PL.state = PL.STATE_READY;
            }
            if (PL.pushletURL) {
                pump();
            } else {
                setWebRoot(PL.webRoot);
            }
        },
        setWebRoot,
        heartbeat() {
            enqueue("hb");
        },
        join() {
            enqueue("join");
        },
        joinListen(subject, mode) {
            enqueue("join-listen", { subject, poll: mode === "poll" });
        },
        listen(subject, mode) {
            enqueue("listen", { subject, poll: mode === "poll" });
        },
        leave() {
            enqueue("leave");
            if (outage && !(busy && isJoin(busy)) && queue.some(isLeave)) {
                leaveNow();
            }
        },
        publish(subject, queryString) {
            enqueue("publish", { subject, query: queryString ? encodeQuery(queryString) : "" });
        },
        subscribe(subject, label) {
            enqueue("subscribe", { subject, label: label || undefined });
        },
        unsubscribe(sid) {
            enqueue("unsubscribe", { sid: sid === null ? undefined : sid });
        },
        setDebug(on) {
            PL.debugOn = Boolean(on);
        },
        /** For pages that show how things are: tries that failed in this outage, why the last one did. */
        getStatus() {
            return {
                state: stateWord(),
                mode: session.granted,
                tries: outage ? outage.tries : 0,
                reason: outage ? outage.reason : "",
                nextTryInMs: outage && outage.timer ? Math.max(0, outage.at - Date.now()) : 0,
            };
        },
    });

    // The names of the first client, from before there was PL.
    Object.assign(window, {
        PL,
        PushletEvent,
        p_debug(flag, label, value) {
            if (flag && window.console) {
                window.console.log("[pushlet]", label, value);
            }
        },
        p_embed(webRoot) {
            if (webRoot) {
                setWebRoot(webRoot);
            }
        },
        p_getStatus: () => PL.getStatus(),
        p_getSessionId: () => PL.sessionId,
        p_getWebRoot: () => PL.webRoot,
        p_heartbeat: () => PL.heartbeat(),
        p_join: () => PL.join(),
        p_join_listen: (subject, mode) => PL.joinListen(subject, mode),
        p_leave: () => PL.leave(),
        p_listen: (subject, mode) => PL.listen(subject, mode),
        p_publish(subject, ...namesAndValues) {
            const pairs = [];
            for (let i = 0; i < namesAndValues.length; i += 2) {
                pairs.push(`${encodeValue(namesAndValues[i])}=${encodeValue(namesAndValues[i + 1])}`);
            }
            enqueue("publish", { subject, query: pairs.join("&") });
        },
        p_setDebug: (on) => PL.setDebug(on),
        p_subscribe: (subject, label) => PL.subscribe(subject, label),
        p_unsubscribe: (sid) => PL.unsubscribe(sid),
    });

    window.addEventListener("pagehide", onPageHide);
    window.addEventListener("pageshow", onPageShow);
    window.addEventListener("online", hurry);
    document.addEventListener("visibilitychange", () => tabs.say());
    if (document.readyState === "complete") {
        PL._init();
    } else {
        window.addEventListener("load", () => PL._init());
    }
})();
