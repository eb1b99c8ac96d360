// The iframe client for Pushlet servers: the functions p_* and the class PushletEvent, for pages written for the
// original.
//
// A page calls p_embed(), p_join(), p_listen(subject, mode) and so on, and defines functions named onData, onJoinAck,
// ..., or one onEvent for everything that has no function of its own. All of it, with examples:
// docs/classic-clients.md.
//
// The parts, in the order of this file: events, the web root, addresses, tabs that share a host's connections, the
// hidden frame, the queue of requests, outages, leaving, a page that goes away and comes back, what the server's answers
// mean, and the functions for the page.
(function () {
    "use strict";

    if (window._push) {
        return; // The script stands in the page twice: two clients would call every function twice.
    }

    // Seconds would be too short for a slow server, minutes too long for a person who waits.
    const ANSWER_MS = 30000;
    const FRAME_MS = 20000;
    // The server lets a heartbeat come after 20 s of silence; two may be late.
    const STREAM_SILENCE_MS = 45000;
    // A pull answer waits 20 s for events; then comes the time until the next one, which the answer itself tells.
    const PULL_WAIT_MS = 20000;
    const RELOAD_MS = 10000;
    const SLACK_MS = 10000;
    // Only a connection that has lived this long ends a row of failures.
    const STEADY_MS = 10000;
    const QUEUE_MAX = 1000;
    // A request that is answered with an HTTP error this often is given up: it would hold up all others for ever.
    const TRIES_MAX = 3;
    const SHORTEST_RETRY_MS = 100;
    const FIRST_RETRY_MS = 500;
    const LONGEST_RETRY_MS = 20000;

    const TABS_STREAMING_MAX = 4;
    const TABS_HERE_MS = 20000;
    const TABS_FORGET_MS = 90000;
    // A newcomer waits 200 ms for answers: one that comes later finds all connections taken, its own among them, and the
    // request that would give one back waits for one.
    const TABS_ANSWER_MS = 50;
    // How long the first listen waits for what other tabs say, and how long a change of rank must last.
    const TABS_SETTLE_MS = 200;

    const CALLBACKS = new Map([
        ["data", "onData"],
        ["join-ack", "onJoinAck"],
        ["join-listen-ack", "onJoinListenAck"],
        ["listen-ack", "onListenAck"],
        ["hb", "onHeartbeat"],
        ["hb-ack", "onHeartbeatAck"],
        ["leave-ack", "onLeaveAck"],
        ["refresh-ack", "onRefreshAck"],
        ["subscribe-ack", "onSubscribeAck"],
        ["unsubscribe-ack", "onUnsubscribeAck"],
        ["abort", "onAbort"],
        ["nack", "onNack"],
        ["error", "onError"],
    ]);

    const SCRIPT_NAME = "lib/js-pushlet-client.js";
    const ownScript = document.currentScript;

    let debugging = false;
    let debuggingNet = false;

    function log(label, text) {
        window.console.log("[pushlet] " + label + (text === undefined ? "" : ": " + text));
    }

    function debug(label, text) {
        if (debugging) {
            log(label, text);
        }
    }

    function debugNet(label, text) {
        if (debuggingNet) {
            log("net: " + label, text);
        }
    }

    // ---------------------------------------------------------------------------------------------------------- events

    /** One event: names and values. Made of an array of names and values in turn. */
    class PushletEvent {
        constructor(names) {
            this.fields = new Map();
            for (let at = 0; at + 1 < names.length; at += 2) {
                this.fields.set(String(names[at]), String(names[at + 1]));
            }
        }

        getSubject() {
            return this.get("p_subject");
        }

        getEvent() {
            return this.get("p_event");
        }

        /** The value, or "" if there is none of that name, as old pages of this client know it. */
        get(name) {
            const value = this.fields.get(String(name));
            return value === undefined ? "" : value;
        }

        getKeys() {
            return Array.from(this.fields.keys());
        }

        /** Sets a value and returns the one before it. */
        put(name, value) {
            const before = this.fields.get(String(name));
            this.fields.set(String(name), String(value));
            return before;
        }

        /** One line for each field: name=value. */
        toString() {
            let text = "";
            for (const [name, value] of this.fields) {
                text += name + "=" + value + "\n";
            }
            return text;
        }

        /** An HTML table with a row for each field. Whatever publishers wrote is escaped. */
        toTable() {
            let rows = "";
            for (const [name, value] of this.fields) {
                rows += "<tr><td>" + escapeHtml(name) + "</td><td>" + escapeHtml(value) + "</td></tr>";
            }
            return '<table border="1"><tbody>' + rows + "</tbody></table>";
        }
    }

    const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

    function escapeHtml(text) {
        return text.replace(/[&<>"']/g, function (letter) {
            return ENTITIES[letter];
        });
    }

    /** Calls the page. What goes wrong there is shown as the page's own error and does not stop us. */
    function call(name, event) {
        const callback = window[name];
        if (typeof callback !== "function") {
            return false;
        }
        try {
            callback.call(window, event);
        } catch (error) {
            if (typeof window.reportError === "function") {
                window.reportError(error);
            } else {
                window.console.error(error);
            }
        }
        return true;
    }

    /** Gives an event to the function for its kind, else to onEvent. */
    function deliver(event) {
        const name = CALLBACKS.get(event.getEvent());
        debug("event", event.toString());
        if (name === undefined || !call(name, event)) {
            call("onEvent", event);
        }
    }

    /** A trouble that is told and not tried again. It may be one of a request. */
    function deliverError(reason, request) {
        const about = request ? ["p_request", request.event] : [];
        const subject = request && request.subject !== undefined ? ["p_subject", request.subject] : [];
        deliver(new PushletEvent(["p_event", "error", "p_reason", reason].concat(about, subject)));
    }

    // -------------------------------------------------------------------------------------------------------- web root

    /** The part of a script's address in front of its last /lib/, or null. */
    function rootOf(script) {
        if (!script || !script.src) {
            return null;
        }
        const address = new URL(script.src, document.baseURI);
        const end = address.pathname.lastIndexOf("/lib/");
        return end < 0 ? null : address.origin + address.pathname.slice(0, end + 1);
    }

    function findRoot() {
        const own = rootOf(ownScript);
        if (own !== null) {
            return own;
        }
        for (const script of document.getElementsByTagName("script")) {
            if (script.src && new URL(script.src, document.baseURI).pathname.endsWith("/" + SCRIPT_NAME)) {
                return rootOf(script);
            }
        }
        return null;
    }

    // With a slash at its end; null until p_embed.
    let webRoot = null;
    // What p_embed was given, if it is no address.
    let brokenRoot = null;

    function setRoot(given) {
        brokenRoot = null;
        if (given === undefined || given === null || given === "") {
            webRoot = findRoot();
            return;
        }
        try {
            const address = new URL(String(given), document.baseURI);
            webRoot = address.origin + address.pathname.replace(/\/*$/, "/");
        } catch (error) {
            debug("web root", error);
            webRoot = null;
            brokenRoot = String(given);
        }
    }

    // ------------------------------------------------------------------------------------------------------- addresses

    /** Half a character pair has no UTF-8, and encodeURIComponent throws on it: it becomes U+FFFD. */
    function wellFormed(text) {
        return text.replace(/[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g, function (found) {
            return found.length === 2 ? found : "\ufffd";
        });
    }

    function encode(text) {
        return encodeURIComponent(wellFormed(String(text)));
    }

    /** For what the page gives. A page that encodes its values itself says p_valuesAreEncoded = true. */
    function encodeGiven(text) {
        return window.p_valuesAreEncoded === true ? String(text) : encode(text);
    }

    /** The address of a request as the session stands now. */
    function addressOf(request) {
        let address = webRoot + "pushlet.srv?p_event=" + request.event;
        if (request.needsId) {
            address += "&p_id=" + encode(session.id);
        }
        if (request.sid !== undefined) {
            const subscription = findSubscription(request.sid);
            address += "&p_sid=" + encode(subscription ? subscription.serverSid : request.sid);
        }
        if (request.mode !== undefined) {
            address += "&p_mode=" + encode(modeFor(request.mode));
        }
        for (const [name, value] of request.fields) {
            address += "&" + name + "=" + value;
        }
        // Two requests with one address would wait for each other in the browser's cache. A publish has no p_time of
        // ours: it would hide the server's from those who get the event.
        return request.event === "publish" ? address : address + "&p_time=" + Date.now();
    }

    // ------------------------------------------------------------------------------------------------------------ tabs

    // A browser opens six connections to a host, for all its tabs together, and each data channel holds one. Tabs
    // tell each other that they are there; who comes late, or is hidden, polls, so that connections stay free.
    const tabs = {
        channel: null,
        id: randomId(),
        since: 0,
        others: new Map(),
        answeredAt: -Infinity,
        answerTimer: 0,
        hereTimer: 0,
        rankTimer: 0,
        startedAt: 0,
    };

    function randomId() {
        const bits = new Uint32Array(4);
        window.crypto.getRandomValues(bits);
        return Array.from(bits, function (part) {
            return part.toString(36);
        }).join("-");
    }

    function isVisible() {
        return document.visibilityState === "visible";
    }

    function startTabs() {
        if (tabs.channel || typeof window.BroadcastChannel !== "function") {
            return;
        }
        tabs.startedAt = Date.now();
        tabs.since = tabs.since || tabs.startedAt;
        tabs.channel = new window.BroadcastChannel("pushlet:" + webRoot + "pushlet.srv");
        tabs.channel.onmessage = hearTab;
        sayHere();
    }

    function stopTabs() {
        if (!tabs.channel) {
            return;
        }
        tabs.channel.postMessage({ type: "bye", id: tabs.id });
        tabs.channel.close();
        tabs.channel = null;
        tabs.others.clear();
        for (const timer of [tabs.answerTimer, tabs.hereTimer, tabs.rankTimer]) {
            clearTimeout(timer);
        }
        tabs.answerTimer = 0;
        tabs.rankTimer = 0;
    }

    function sayHere() {
        if (!tabs.channel) {
            return;
        }
        tabs.channel.postMessage({ type: "here", id: tabs.id, since: tabs.since, visible: isVisible() });
        clearTimeout(tabs.hereTimer);
        tabs.hereTimer = setTimeout(sayHere, TABS_HERE_MS);
        checkRankSoon();
    }

    function hearTab(message) {
        const said = message.data;
        if (!said || typeof said.id !== "string" || said.id === tabs.id) {
            return;
        }
        if (said.type === "bye") {
            tabs.others.delete(said.id);
        } else if (said.type === "here") {
            const isNew = !tabs.others.has(said.id);
            const since = Number(said.since) || 0;
            tabs.others.set(said.id, {
                id: said.id,
                since: since,
                visible: said.visible === true,
                heardAt: Date.now(),
            });
            if (isNew) {
                answerTab();
            }
        }
        checkRankSoon();
    }

    /** At most twenty times a second, but a newcomer is never left without an answer. */
    function answerTab() {
        if (tabs.answerTimer) {
            return;
        }
        const wait = Math.max(0, tabs.answeredAt + TABS_ANSWER_MS - Date.now());
        tabs.answerTimer = setTimeout(function () {
            tabs.answerTimer = 0;
            tabs.answeredAt = Date.now();
            sayHere();
        }, wait);
    }

    function isBefore(one, other) {
        if (one.visible !== other.visible) {
            return one.visible;
        }
        return one.since !== other.since ? one.since < other.since : one.id < other.id;
    }

    /** How many tabs go before this one. */
    function rank() {
        const self = { id: tabs.id, since: tabs.since, visible: isVisible() };
        const now = Date.now();
        let before = 0;
        for (const other of tabs.others.values()) {
            if (now - other.heardAt > TABS_FORGET_MS) {
                tabs.others.delete(other.id);
            } else if (isBefore(other, self)) {
                before += 1;
            }
        }
        return before;
    }

    /** The mode to ask for where the page wants `wanted`. */
    function modeFor(wanted) {
        return tabs.channel && rank() >= TABS_STREAMING_MAX ? "poll" : wanted;
    }

    function checkRankSoon() {
        if (!tabs.rankTimer && tabs.channel) {
            tabs.rankTimer = setTimeout(function () {
                tabs.rankTimer = 0;
                checkRank();
            }, TABS_SETTLE_MS);
        }
    }

    function isOurListen(request) {
        return request.event === "listen" && !request.own;
    }

    /** Listens again if the rank now asks for another mode: the newest data request of a session wins (rule P-26). */
    function checkRank() {
        const mayChange = channel && channel.isOpen && !outage && !leaving && !current;
        if (!mayChange || modeFor(channel.wanted) === channel.asked || queue.some(isOurListen)) {
            return;
        }
        debug("tabs", "rank " + rank() + ", so mode " + modeFor(channel.wanted));
        queue.unshift(listenAgain());
        pump();
    }

    // ------------------------------------------------------------------------------------------------------- the frame

    // The hidden iframe, what its script offers once it has loaded, and the timer that ends the waiting for it.
    let frame = null;
    let net = null;
    let frameTimer = 0;
    // A stream opened before the page's own load event would hold that event back for ever.
    let pageLoaded = false;

    function embedFrame() {
        if (frame || !checkRoot()) {
            return;
        }
        if (!document.body) {
            document.addEventListener("DOMContentLoaded", embedFrame, { once: true });
            return;
        }
        frame = document.createElement("iframe");
        frame.name = "pushletNetFrame";
        frame.title = "Pushlet network frames";
        frame.tabIndex = -1;
        frame.setAttribute("aria-hidden", "true");
        // Set one by one: a page's policy may forbid style attributes, and this is none.
        const style = { position: "absolute", width: "0", height: "0", border: "0", visibility: "hidden" };
        Object.assign(frame.style, style);
        frame.addEventListener("load", frameLoaded);
        frame.src = webRoot + "lib/js-pushlet-net.html";
        frameTimer = setTimeout(frameFailed, FRAME_MS);
        document.body.appendChild(frame);
    }

    let rootTold = false;

    /** Says once, clearly, what is wrong with the web root. */
    function checkRoot() {
        let wrong = null;
        if (brokenRoot !== null) {
            wrong = "The web root that p_embed was given is no address: " + brokenRoot;
        } else if (webRoot === null) {
            wrong = "The web root is not known: load the client from .../" + SCRIPT_NAME + " or call p_embed(webRoot).";
        } else if (new URL(webRoot).origin !== window.location.origin) {
            wrong =
                "The server " +
                webRoot +
                " has another origin than this page, " +
                window.location.origin +
                ": the iframe client works only on pages of its server's origin. Nothing will be tried again.";
        }
        if (wrong !== null && !rootTold) {
            rootTold = true;
            setTimeout(deliverError, 0, wrong);
        }
        return wrong === null;
    }

    function frameLoaded() {
        const page = frame.contentDocument;
        if (page && page.URL === "about:blank") {
            return;
        }
        const found = page ? frame.contentWindow.PushletNet : null;
        if (!found) {
            frameFailed();
            return;
        }
        clearTimeout(frameTimer);
        const isAgain = net !== null;
        net = found;
        net.onEnded = frameEnded;
        debugNet("ready", frame.src);
        if (isAgain) {
            // The page has moved our frame, which loads it anew and ends all that was in it.
            resume();
        }
        if (queue.length === 0) {
            settle();
        }
        pump();
    }

    function frameFailed() {
        const address = frame.src;
        dropFrame();
        fail("The page " + address + " could not be loaded", {});
    }

    function dropFrame() {
        clearTimeout(frameTimer);
        if (frame) {
            frame.removeEventListener("load", frameLoaded);
            frame.remove();
        }
        frame = null;
        net = null;
    }

    /** Ends what a frame does, unless the page has thrown ours away. */
    function blank(name) {
        if (net && frame.isConnected) {
            net.blank(name);
        }
    }

    /** Whether requests can be sent now. A page that has thrown our frame away gets a new one. */
    function isReady() {
        if (frame && !frame.isConnected) {
            dropFrame();
            if (channel && channel.isOpen) {
                resume();
            }
        }
        if (!frame) {
            embedFrame();
        }
        return net !== null;
    }

    // ----------------------------------------------------------------------------------------------------------- queue

    // {id, address, isGone}, or null before a join and after a leave.
    let session = null;
    // {wanted, asked, mode, isOpen, reloadWait}: the mode that the page wants, the one asked for, the one that the server
    // gave, and the time until a pull or poll loads its next answer; null while the page does not listen.
    let channel = null;
    // {sid, serverSid, subject, label}, oldest first. `sid` is what the page knows, `serverSid` what this session
    // calls it.
    let subscriptions = [];
    // What the page has asked for and was not sent; and what restores a session, which goes first.
    let queue = [];
    let recovery = [];
    let tellsDrop = false;
    // The request whose answer is awaited: {request, number, answered, asked, timer}. One at a time, in order.
    let current = null;
    // How many were sent. The hidden frame gives the number back, so that no end is taken for another request's.
    let sent = 0;
    let leaving = false;
    // True from pagehide to pageshow: nothing is sent, and nothing fails.
    let away = false;

    function makeRequest(event, fields, more) {
        const base = { event: event, fields: fields, needsId: true, own: true, frame: "controlFrame", tries: 0 };
        return Object.assign(base, more);
    }

    function enqueue(request) {
        embedOnce();
        if (queue.length >= QUEUE_MAX && !isLeave(request)) {
            const what = "More than " + QUEUE_MAX + " requests wait to be sent: this " + request.event + " is dropped.";
            // A page that publishes its errors would be told of that without end.
            if (!tellsDrop) {
                tellsDrop = true;
                deliverError(what, request);
                tellsDrop = false;
            }
            return;
        }
        queue.push(request);
        pump();
    }

    function hasWork() {
        return !away && !current && !(outage && outage.isWaiting) && (queue.length > 0 || recovery.length > 0);
    }

    /** Sends the next request, if its time has come. */
    function pump() {
        // Making the frame ready may have sent something already.
        if (!hasWork() || !isReady() || !hasWork()) {
            return;
        }
        const next = recovery[0] || queue[0];
        if (next.frame === "listenFrame" && !mayListen()) {
            return;
        }
        if (recovery.length > 0) {
            recovery.shift();
        } else {
            queue.shift();
        }
        if (next.needsId && !session) {
            // Old pages leave when they are closed, whether they have joined or not.
            if (next.event !== "leave" && !next.isSilent) {
                deliverError("This " + next.event + " was not sent: there is no session. Call p_join first.", next);
            }
            pump();
            return;
        }
        if (next.sid !== undefined && isStale(next.sid)) {
            const reason = "no subscription for sid=" + next.sid;
            deliver(new PushletEvent(["p_event", "nack", "p_id", session.id, "p_reason", reason]));
            pump();
            return;
        }
        send(next);
    }

    /**
     * Whether the page means a subscription that has ended. The server may have given its p_sid to another one since.
     */
    function isStale(sid) {
        return sidsTold.has(sid) && !findSubscription(sid);
    }

    /** A data channel waits for the page to be loaded, and for the other tabs to have said that they are there. */
    function mayListen() {
        if (!pageLoaded) {
            return false;
        }
        startTabs();
        const wait = tabs.channel ? tabs.startedAt + TABS_SETTLE_MS - Date.now() : 0;
        if (wait > 0) {
            setTimeout(pump, wait);
        }
        return wait <= 0;
    }

    function send(request) {
        const address = addressOf(request);
        const timer = setTimeout(answerMissing, ANSWER_MS);
        sent += 1;
        current = { request: request, number: sent, answered: false, asked: null, timer: timer };
        if (request.event === "leave") {
            leaving = true;
        }
        if (request.mode !== undefined) {
            stopWatch();
            current.asked = modeFor(request.mode);
            if (channel) {
                channel.isOpen = false;
            }
        }
        debugNet(request.frame, address);
        net.go(request.frame, address, current.number);
    }

    /** Ends the waiting for the current request and sends the next. */
    function proceed() {
        clearTimeout(current.timer);
        current = null;
        settle();
        pump();
        if (!current) {
            checkRank();
        }
    }

    function answerMissing() {
        if (current.answered) {
            // It was answered, only its end does not come: the next address in the frame ends it.
            proceed();
            return;
        }
        const failed = describe(current.request.event) + " failed: ";
        requestFailed({ reason: failed + "no answer in " + ANSWER_MS / 1000 + " s", gone: false, status: 0 });
    }

    /** All of an answer is there, or its connection has failed. */
    function frameEnded(name, outcome) {
        debugNet(name + " ended", outcome.address + (outcome.hasSpoken ? "" : " without an event: " + outcome.text));
        const isCurrent = current !== null && current.number === outcome.number;
        if (isCurrent && !current.answered) {
            requestFailed(explain(current.request.event, outcome));
        } else if (isCurrent && name === "controlFrame") {
            proceed();
        } else if (name === "listenFrame" && channel && channel.isOpen && !leaving) {
            channelLoaded(outcome);
        }
    }

    /** What a reason begins with. Without the query: it holds the session's secret id, and reasons are shown. */
    function describe(what) {
        return what + " at " + webRoot + "pushlet.srv";
    }

    /** What an answer without the event that was awaited means. */
    function explain(what, outcome) {
        const failed = describe(what) + " failed: ";
        if (outcome.text === null) {
            return { reason: failed + "no connection", gone: false, status: 0 };
        }
        const gone = outcome.text.includes("Invalid or expired id") || outcome.text.includes("No id specified");
        const status = outcome.status > 0 ? "status " + outcome.status + ", " : "";
        const told = outcome.text.replace(/\.$/, "") || "an answer without an event";
        const text = gone ? "the session has ended" : status + told;
        return { reason: failed + text, gone: gone, status: outcome.status };
    }

    /**
     * An answer of the data channel has ended: right for a pull or a poll that will load the next one, the end of a
     * stream otherwise.
     */
    function channelLoaded(outcome) {
        if (outcome.hasSpoken && outcome.reloadWait !== null) {
            channel.reloadWait = outcome.reloadWait;
            watch();
            prove();
            return;
        }
        const trouble = outcome.hasSpoken
            ? { reason: describe("The data channel") + " was closed", gone: false }
            : explain("The data channel", outcome);
        fail(trouble.reason, { gone: trouble.gone, channelDown: true });
    }

    // --------------------------------------------------------------------------------------------------------- outages

    // {tries, trouble, reason, isTold, endIsTold, isWaiting, rejoins, channelDown, nextAt, timer}; null while all is well.
    // `reason` is `trouble` and what is planned.
    let outage = null;
    // Failures in a row: what the pause depends on. The row goes on in the next outage if the connection did not last
    // and the data channel brought nothing meanwhile.
    let failures = 0;
    let recoveredAt = -Infinity;
    let isProved = false;
    // A session was unknown in this row: joining again may not help, as behind a balancer that sends each request to
    // another server.
    let inVain = false;
    let watchTimer = 0;

    function retrySetting(name, otherwise) {
        const given = window.p_retry ? Number(window.p_retry[name]) : NaN;
        return given > 0 ? given : otherwise;
    }

    function startPausesAnew() {
        failures = 0;
        inVain = false;
    }

    /** The data channel does what it is for. */
    function prove() {
        isProved = isProved || !outage;
    }

    /** Backoff with full jitter: a server that returns is not met by all its clients at once. */
    function backoff(tries) {
        const longest = retrySetting("longest", LONGEST_RETRY_MS);
        const ceiling = Math.min(longest, retrySetting("first", FIRST_RETRY_MS) * Math.pow(2, Math.min(tries - 1, 30)));
        const floor = Math.min(SHORTEST_RETRY_MS, ceiling);
        return Math.round(floor + Math.random() * (ceiling - floor));
    }

    /** The awaited answer did not come, or was a refusal outside of the protocol. */
    function requestFailed(trouble) {
        const request = current.request;
        clearTimeout(current.timer);
        current = null;
        if (request.event === "leave") {
            leftWithoutAck(trouble);
            return;
        }
        request.tries += trouble.status > 0 && !trouble.gone ? 1 : 0;
        const isRefused = trouble.status >= 400 && trouble.status < 500 && !trouble.gone && trouble.status !== 429;
        if (request.own && session && request.frame === "controlFrame" && (isRefused || request.tries > TRIES_MAX)) {
            deliverError(trouble.reason + ". It is not sent again.", request);
            settle();
            pump();
            return;
        }
        const isUndone = trouble.gone || isRefused || trouble.status === 503 || trouble.status === 429;
        let reason = trouble.reason;
        if (request.own && (isUndone || request.event !== "publish")) {
            queue.unshift(request);
        } else if (request.own) {
            reason += ", and nobody knows whether this publish has arrived; it is not sent again";
        }
        // A subscription that the server may have made and that nobody told us of would send us events with an
        // unknown p_sid.
        const isUnclear = !isUndone && request.given !== undefined && request.given.subject !== null;
        const about = request.own ? request : null;
        const isData = request.frame === "listenFrame";
        fail(reason, { gone: trouble.gone, unclear: isUnclear, channelDown: isData, about: about });
    }

    /** Something does not work: plans the next try, and tells the page once. */
    function fail(reason, what) {
        if (away) {
            return;
        }
        if (current && current.request.frame === "listenFrame") {
            // Its answer would come in a channel that is given up. A control request may still be answered, and is
            // waited for.
            clearTimeout(current.timer);
            if (current.request.own && !current.answered) {
                queue.unshift(current.request);
            }
            current = null;
        }
        recovery = [];
        if (!outage) {
            outage = newOutage(what.gone === true);
        }
        clearTimeout(outage.timer);
        outage.tries += 1;
        failures += 1;
        outage.trouble = reason;
        outage.reason = reason;
        outage.rejoins = outage.rejoins || what.gone === true || what.unclear === true;
        if (session && what.gone) {
            session.isGone = true;
        }
        outage.isWaiting = true;
        if (what.channelDown) {
            stopWatch();
            blank("listenFrame");
        }
        if (what.channelDown && channel) {
            channel.isOpen = false;
            outage.channelDown = true;
        }
        if (queue.some(isLeave)) {
            leaveInOutage();
            return;
        }
        // A session that is unknown can be made anew at once, but not in a circle.
        const wait = backoff(what.gone && !inVain ? 1 : failures);
        inVain = inVain || what.gone === true;
        outage.nextAt = Date.now() + wait;
        outage.timer = setTimeout(retry, wait);
        tellOutage(outage, wait, what.about);
    }

    function newOutage(isGone) {
        if (Date.now() - recoveredAt >= STEADY_MS) {
            startPausesAnew();
        } else if (isProved && !isGone) {
            failures = 0;
        }
        const nothing = { isTold: false, endIsTold: false, isWaiting: false, rejoins: false, channelDown: false };
        return Object.assign(nothing, { tries: 0, trouble: "", reason: "", nextAt: 0, timer: 0 });
    }

    function tellOutage(told, wait, request) {
        const reason =
            told.trouble + (told.rejoins && session ? "; joining again in " : "; trying again in ") + wait + " ms.";
        const fields = ["p_reason", reason, "p_wait", wait, "p_tries", told.tries];
        if (request && request.event === "publish") {
            fields.push("p_request", "publish", "p_subject", request.subject);
        }
        told.reason = reason;
        if (told.isTold) {
            call("onRetry", new PushletEvent(["p_event", "retry"].concat(fields)));
        } else {
            told.isTold = true;
            told.endIsTold = true;
            deliver(new PushletEvent(["p_event", "error"].concat(fields)));
        }
    }

    /** The next try: go on with the session if it may still live (rule P-31), else join and subscribe again. */
    function retry() {
        clearTimeout(outage.timer);
        outage.isWaiting = false;
        if (outage.rejoins && session) {
            recovery = rejoin();
        } else if (session && (outage.channelDown || (channel && !channel.isOpen))) {
            recovery = [makeRequest("refresh", [], { own: false, frame: "listenFrame" })];
        } else if (session) {
            recovery = [makeRequest("hb", [], { own: false })];
        }
        if (recovery.length === 0 && queue.length === 0 && isReady()) {
            settle();
        }
        pump();
    }

    /** Ends an outage if nothing is left to be tried. */
    function settle() {
        if (outage && !outage.isWaiting && !current && recovery.length === 0 && net) {
            recovered();
        }
    }

    function rejoin() {
        const requests = [makeRequest("join", [], { own: false, needsId: false })];
        for (const subscription of subscriptions) {
            const fields = [["p_subject", subscription.subject]];
            if (subscription.label !== null) {
                fields.push(["p_label", subscription.label]);
            }
            requests.push(makeRequest("subscribe", fields, { own: false, restores: subscription }));
        }
        if (channel) {
            requests.push(listenAgain());
        }
        return requests;
    }

    function listenAgain() {
        return makeRequest("listen", [], { own: false, frame: "listenFrame", mode: channel.wanted });
    }

    function recovered() {
        const isTold = outage.endIsTold;
        recoveredAt = Date.now();
        isProved = false;
        outage = null;
        if (isTold) {
            const event = new PushletEvent(["p_event", "rejoined", "p_id", session ? session.id : ""]);
            putAddress(event);
            call("onRejoined", event);
        }
    }

    /** Goes on with the data channel without a word to the page, unless that fails. */
    function resume() {
        if (!outage && !away && session && channel) {
            channel.isOpen = false;
            stopWatch();
            outage = newOutage(false);
            outage.channelDown = true;
            retry();
        }
    }

    function stopWatch() {
        clearTimeout(watchTimer);
        watchTimer = 0;
    }

    /** Whether the data channel's answers end, and each loads the next one. */
    function isByTurns() {
        return channel.mode === "pull" || channel.mode === "poll";
    }

    function silenceMs() {
        if (isByTurns()) {
            return PULL_WAIT_MS + (channel.reloadWait || RELOAD_MS) + SLACK_MS;
        }
        return Number(window.p_silence) > 0 ? Number(window.p_silence) : STREAM_SILENCE_MS;
    }

    /** From now on the data channel must be heard of within its time. */
    function watch() {
        stopWatch();
        if (!channel || !channel.isOpen) {
            return;
        }
        const silence = silenceMs();
        const due = Date.now() + silence;
        watchTimer = setTimeout(function () {
            if (Date.now() - due > SLACK_MS / 4) {
                // The computer slept, and so did this timer. What came in meanwhile is read first.
                watchTimer = setTimeout(silent, SLACK_MS / 2, silence);
                return;
            }
            silent(silence);
        }, silence);
    }

    function silent(silence) {
        fail(describe("The data channel") + " was silent for " + silence / 1000 + " s", { channelDown: true });
    }

    // ----------------------------------------------------------------------------------------------------------- leave

    function isLeave(request) {
        return request.event === "leave";
    }

    /** Whatever was left undone is dropped: the page does not want this session any more. */
    function forget() {
        session = null;
        channel = null;
        subscriptions = [];
        leaving = false;
        recovery = [];
        startPausesAnew();
        stopWatch();
        if (outage) {
            clearTimeout(outage.timer);
            outage = null;
        }
        blank("listenFrame");
        stopTabs();
    }

    /** Nobody waits for the answer any more: a join that is answered now would be a session that nobody wants. */
    function dropCurrent() {
        if (current) {
            clearTimeout(current.timer);
            current = null;
            blank("controlFrame");
        }
    }

    /** One attempt to tell the server, and no retry. What waited in front of the leave cannot be sent any more. */
    function leaveInOutage() {
        const dropped = queue.findIndex(isLeave);
        const id = session ? session.id : null;
        queue = queue.slice(dropped + 1);
        const isGone = session !== null && session.isGone;
        const reason = outage.trouble.replace(/\.$/, "") || "The page was away";
        dropCurrent();
        forget();
        if (id !== null && !isGone) {
            tellLeave(id);
        }
        if (dropped > 0) {
            deliverError(reason + "; the page leaves, and " + dropped + " of its requests were not sent.");
        }
        deliver(new PushletEvent(["p_event", "leave-ack", "p_id", id === null ? "" : id]));
        pump();
    }

    function leftWithoutAck(trouble) {
        const id = session.id;
        forget();
        if (!trouble.gone) {
            deliverError(trouble.reason + ". The session is left; the server will end it by itself.");
        }
        deliver(new PushletEvent(["p_event", "leave-ack", "p_id", id]));
        pump();
    }

    /** Tells the server that nobody will use the session `id` again; nobody waits for the answer. */
    function tellLeave(id) {
        const address = webRoot + "pushlet.srv?p_event=leave&p_id=" + encode(id);
        debugNet("leave", address);
        // The hidden frame's policy allows it whatever the page's own policy is.
        if (net && frame.isConnected) {
            net.tell(address);
        }
    }

    // ------------------------------------------------------------------------------------------ a page that goes away

    // What was cut off when the page went away: whether an outage had been told, and a publish in doubt or null.
    let cut = null;

    /**
     * The page is closed, or the browser keeps it for the way back. Nobody hears it either way, so its session ends
     * (rule P-27), and nothing stays open: a browser does not keep a page that waits for an answer.
     */
    function goAway() {
        if (away) {
            return;
        }
        away = true;
        stopTabs();
        stopWatch();
        const request = current && !current.answered && current.request.own ? current.request : null;
        const isPublish = request !== null && request.event === "publish";
        cut = { wasTold: outage !== null && outage.isTold, publish: isPublish ? request : null };
        if (request && !isPublish) {
            queue.unshift(request);
        }
        if (current) {
            clearTimeout(current.timer);
            current = null;
        }
        if (outage) {
            clearTimeout(outage.timer);
            outage = null;
        }
        recovery = [];
        leaving = false;
        if (channel) {
            channel.isOpen = false;
        }
        if (session && !session.isGone) {
            tellLeave(session.id);
            session.isGone = true;
        }
        blank("controlFrame");
        blank("listenFrame");
        if (!net) {
            // It may be half loaded, and is made anew when it is needed.
            dropFrame();
        }
    }

    /** The page is shown again, with all that it knew: what it had at the server is made anew. */
    function comeBack() {
        if (!away) {
            return;
        }
        away = false;
        if (session || cut.wasTold) {
            startPausesAnew();
            outage = newOutage(false);
            Object.assign(outage, { isTold: cut.wasTold, endIsTold: true, rejoins: true });
            if (queue.some(isLeave)) {
                leaveInOutage();
            } else {
                retry();
            }
        }
        if (cut.publish) {
            const reason =
                " failed: the page went away, and nobody knows whether this publish has arrived; it is not sent again";
            deliverError(describe("publish") + reason, cut.publish);
        }
        pump();
    }

    // --------------------------------------------------------------------------------------------------------- answers

    function findSubscription(sid) {
        return subscriptions.find(function (subscription) {
            return subscription.sid === sid;
        });
    }

    // Every p_sid that the page was ever told: a new session begins to count again, and the page must not take one
    // for another.
    const sidsTold = new Set();

    /** The p_sid to tell the page for one of the server's. */
    function newSid(serverSid) {
        let sid = serverSid;
        for (let nth = 2; sidsTold.has(sid); nth += 1) {
            sid = serverSid + "-" + nth;
        }
        sidsTold.add(sid);
        return sid;
    }

    /** Without a `sid`: all of them. */
    function dropSubscription(sid) {
        subscriptions = subscriptions.filter(function (subscription) {
            return sid !== undefined && subscription.sid !== sid;
        });
    }

    function addSubscription(serverSid, request) {
        const subscription = Object.assign({ sid: newSid(serverSid), serverSid: serverSid }, request.given);
        subscriptions.push(subscription);
        return subscription;
    }

    /** Writes the p_sid that the page knows into an event of the server. */
    function translateSid(event) {
        const serverSid = event.get("p_sid");
        const known = subscriptions.find(function (subscription) {
            return serverSid !== "" && subscription.serverSid === serverSid;
        });
        if (known) {
            event.put("p_sid", known.sid);
        }
    }

    /** An event of the server. `name` is the frame that it came in, or empty if the browser does not tell. */
    function take(names, name) {
        const event = new PushletEvent(names);
        if (name === "listenFrame" && channel && channel.isOpen) {
            watch();
            if (!isByTurns() && (event.getEvent() === "data" || event.getEvent() === "hb")) {
                prove();
            }
        }
        if (current && !current.answered && answers(event, name)) {
            answered(event);
            return;
        }
        translateSid(event);
        deliver(event);
        if (event.getEvent() === "abort") {
            aborted(event);
        }
    }

    function answers(event, name) {
        const kind = event.getEvent();
        if (kind === "nack") {
            return name === "" || name === current.request.frame;
        }
        return kind === current.request.event + "-ack";
    }

    /** The awaited answer is here. */
    function answered(event) {
        const request = current.request;
        current.answered = true;
        if (event.getEvent() === "nack") {
            refused(event, request);
        } else {
            MEANINGS[request.event](event, request);
        }
        // A data channel goes on when its first event is there; a control answer must have ended before the next one.
        if (request.frame === "listenFrame" && current && current.request === request) {
            proceed();
        }
    }

    function refused(event, request) {
        if (request.restores) {
            dropSubscription(request.restores.sid);
        }
        if (!request.own && request.event === "refresh") {
            // The server knows the session and nothing of its listening.
            recovery = channel ? [listenAgain()] : [];
            return;
        }
        if (!request.own && (request.event === "join" || request.event === "listen")) {
            // The page has not asked for it now, and nothing would slow down the next one.
            const failed = describe(request.event) + " failed: " + (event.get("p_reason") || "refused");
            requestFailed({ reason: failed, gone: false, status: 0 });
            return;
        }
        if (request.event === "unsubscribe" && request.sid !== undefined) {
            // Also where it was done before, and only the answer was lost: a new session must not bring it back.
            dropSubscription(request.sid);
        }
        if (request.event === "leave") {
            forget();
        }
        deliver(event);
        if (request.frame === "listenFrame" && channel) {
            // The server leaves the channel alone that was open before, and so do we.
            if (net && net.goBack()) {
                channel.isOpen = true;
                watch();
            } else {
                setTimeout(resume, 0);
            }
        }
    }

    function joined(event, request) {
        beginSession(event, request.own);
        if (request.own) {
            deliver(event);
        }
    }

    /**
     * From now on this join-ack's session is the one. What the page did in an older one is over if the page itself
     * has joined again.
     */
    function beginSession(ack, isNew) {
        if (session && !session.isGone) {
            tellLeave(session.id);
        }
        if (isNew) {
            subscriptions = [];
            sidsTold.clear();
        }
        if (channel) {
            stopWatch();
            blank("listenFrame");
            channel.isOpen = false;
            channel = isNew ? null : channel;
        }
        session = { id: ack.get("p_id"), address: ack.get("p_from"), isGone: false };
    }

    function listening(event, request) {
        const mode = event.get("p_mode");
        channel = { wanted: request.mode, asked: current.asked, mode: mode, isOpen: true, reloadWait: 0 };
        watch();
        if (!request.own) {
            return;
        }
        const serverSid = event.get("p_sid");
        if (serverSid !== "") {
            event.put("p_sid", addSubscription(serverSid, request).sid);
        }
        // As the original does: the lease begins anew, and the page learns that requests get through beside the data
        // channel.
        queue.unshift(makeRequest("hb", [], {}));
        deliver(event);
        if (request.isSecond) {
            const both = new PushletEvent(Array.from(event.fields).flat());
            both.put("p_event", "join-listen-ack");
            putAddress(both);
            call("onJoinListenAck", both);
        }
    }

    /** Where others send events for this session alone (rule P-22); servers of old have none. */
    function putAddress(event) {
        if (session && session.address !== "") {
            event.put("p_from", session.address);
        }
    }

    function refreshed() {
        if (channel) {
            channel.isOpen = true;
            watch();
        }
    }

    function subscribed(event, request) {
        const serverSid = event.get("p_sid");
        if (request.restores) {
            request.restores.serverSid = serverSid;
        } else if (request.own) {
            event.put("p_sid", addSubscription(serverSid, request).sid);
            deliver(event);
        }
    }

    function unsubscribed(event, request) {
        translateSid(event);
        dropSubscription(request.sid);
        deliver(event);
    }

    function left(event) {
        forget();
        deliver(event);
    }

    function acked(event, request) {
        if (request.own) {
            deliver(event);
        }
    }

    /** As with the original, no function hears of it. */
    function published(event) {
        debug("event", event.toString());
    }

    const MEANINGS = {
        join: joined,
        listen: listening,
        refresh: refreshed,
        subscribe: subscribed,
        unsubscribe: unsubscribed,
        publish: published,
        hb: acked,
        leave: left,
    };

    /** The server has ended the session, and says why. */
    function aborted(event) {
        if (session && !leaving) {
            const reason = event.get("p_reason") || "no reason";
            fail(describe("The session") + " was ended by the server: " + reason, {
                gone: true,
                channelDown: true,
            });
        }
    }

    // ---------------------------------------------------------------------------------------------------- for the page

    function embedOnce() {
        p_getWebRoot();
        embedFrame();
    }

    /**
     * Puts the hidden frame into the page. `root` is where pushlet.srv and lib/ are; usually the script's own address
     * tells.
     */
    function p_embed(root) {
        if (root !== undefined && root !== null && root !== "" && frame === null) {
            setRoot(root);
        }
        embedOnce();
    }

    function p_join() {
        enqueue(makeRequest("join", [], { needsId: false }));
    }

    function listenRequest(subject, mode, more) {
        const isGiven = subject !== undefined && subject !== null && subject !== "";
        const fields = isGiven ? [["p_subject", encodeGiven(subject)]] : [];
        const request = makeRequest("listen", fields, {
            frame: "listenFrame",
            mode: mode ? String(mode) : "stream",
            given: { subject: isGiven ? fields[0][1] : null, label: null },
        });
        return Object.assign(request, more);
    }

    /** `mode` is stream (also if it is missing), pull or poll. */
    function p_listen(subject, mode) {
        enqueue(listenRequest(subject, mode, {}));
    }

    /** Both in one call. The page hears of both, and of the whole if it has a function onJoinListenAck. */
    function p_join_listen(subject, mode) {
        p_join();
        enqueue(listenRequest(subject, mode, { isSecond: true, isSilent: true }));
    }

    function p_leave() {
        enqueue(makeRequest("leave", [], {}));
        if (outage && queue.some(isLeave)) {
            leaveInOutage();
        }
    }

    function p_heartbeat() {
        enqueue(makeRequest("hb", [], {}));
    }

    /** p_publish(subject, name, value, name, value, ...) */
    function p_publish(subject, ...names) {
        const fields = [["p_subject", encodeGiven(subject)]];
        for (let at = 0; at < names.length; at += 2) {
            fields.push([encodeGiven(names[at]), at + 1 < names.length ? encodeGiven(names[at + 1]) : ""]);
        }
        enqueue(makeRequest("publish", fields, { subject: String(subject) }));
    }

    function p_subscribe(subject, label) {
        const hasLabel = label !== undefined && label !== null && label !== "";
        const given = { subject: encodeGiven(subject), label: hasLabel ? encodeGiven(label) : null };
        const fields = [["p_subject", given.subject]];
        if (hasLabel) {
            fields.push(["p_label", given.label]);
        }
        enqueue(makeRequest("subscribe", fields, { given: given }));
    }

    /** Without a `sid`: all subscriptions. */
    function p_unsubscribe(sid) {
        const isGiven = sid !== undefined && sid !== null && sid !== "";
        enqueue(makeRequest("unsubscribe", [], isGiven ? { sid: String(sid) } : {}));
    }

    function p_getWebRoot() {
        if (webRoot === null && brokenRoot === null) {
            setRoot();
        }
        return webRoot;
    }

    function p_getSessionId() {
        return session ? session.id : null;
    }

    function stateName() {
        if (outage) {
            return outage.isWaiting ? "waiting" : "trying";
        }
        if (session) {
            return channel && channel.isOpen ? "listening" : "joined";
        }
        if (current && current.request.event === "join") {
            return "joining";
        }
        return net ? "ready" : "loading";
    }

    /** What the client does now. All is well while `tries` is 0. Works alike in the XHR client. */
    function p_getStatus() {
        return {
            state: stateName(),
            mode: (channel && channel.mode) || "",
            tries: outage ? outage.tries : 0,
            reason: outage ? outage.reason : "",
            nextTryInMs: outage && outage.isWaiting ? Math.max(0, outage.nextAt - Date.now()) : 0,
        };
    }

    /**
     * p_debug(true, label, text), as old pages write it, or p_debug(label, text), which is shown after
     * p_setDebug(true).
     */
    function p_debug(flag, label, text) {
        if (typeof flag !== "boolean") {
            debug(flag, label);
        } else if (flag) {
            log(label, text);
        }
    }

    function p_setDebug(flag) {
        debugging = flag === true || flag === "true";
    }

    function p_setNetDebug(flag) {
        debuggingNet = flag === true || flag === "true";
    }

    /**
     * Takes one event as names and values: what the hidden frame calls. Also for pages that bring events of their
     * own.
     */
    function _push(names, name, ...rest) {
        if (typeof names === "string") {
            take([names, name].concat(rest), "");
        } else {
            take(names, name || "");
        }
    }

    Object.assign(window, {
        PushletEvent: PushletEvent,
        _push: _push,
        p_embed: p_embed,
        p_join: p_join,
        p_listen: p_listen,
        p_join_listen: p_join_listen,
        p_leave: p_leave,
        p_heartbeat: p_heartbeat,
        p_publish: p_publish,
        p_subscribe: p_subscribe,
        p_unsubscribe: p_unsubscribe,
        p_getWebRoot: p_getWebRoot,
        p_getSessionId: p_getSessionId,
        p_getStatus: p_getStatus,
        p_debug: p_debug,
        p_setDebug: p_setDebug,
        p_setNetDebug: p_setNetDebug,
    });

    function pageIsLoaded() {
        pageLoaded = true;
        pump();
    }

    if (document.readyState === "complete") {
        pageLoaded = true;
    } else {
        // One turn later: what begins inside the load event would still hold up the end of loading.
        window.addEventListener("load", function () {
            setTimeout(pageIsLoaded, 0);
        });
    }

    document.addEventListener("visibilitychange", sayHere);

    window.addEventListener("online", function () {
        if (outage && outage.isWaiting) {
            retry();
        }
    });

    window.addEventListener("pagehide", goAway);
    window.addEventListener("pageshow", comeBack);
})();
