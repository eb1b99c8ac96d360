// The hidden frame of the iframe client, between js-pushlet-client.js in the page around it and the server's answers
// in its frames.
//
// An answer in format js is a page of scripts that call parent.push(...). This file loads addresses into two frames,
// controlFrame and listenFrame, and says what came of it; what to load, and when, is the client's business.
//
// Each address gets a frame of its own, inside another one, the holder. A new frame leaves no entry in the history,
// so the page's back button works as if we were not there. And when a connection breaks in the middle of a stream,
// Chromium tells the page in it nothing, no load event and no change of its readyState; but a holder is loaded when
// whatever is in it has ended, however.
(function () {
    "use strict";

    const RELOAD = /setTimeout\(\s*"refresh\(\)"\s*,\s*(\d+)\s*\)/;
    // In front of each event. Values never hold it: the server escapes their angle brackets.
    const CALL = '<script language="JavaScript">parent.push(';
    const TEXT_CHARS_MAX = 300;
    // Servers refuse long request lines: what is longer goes by POST.
    const URL_LENGTH_MAX = 7000;
    // How long events of a new data channel wait for the end of the one that it replaces.
    const OLDER_MS = 1000;

    // By name, {holder, inner, address, number, hasSpoken, hasEnded}: the frame that was asked for last.
    const newest = new Map();
    // The data channel that is being replaced, or null; and what came over the new one meanwhile.
    let older = null;
    let olderTimer = 0;
    let held = [];

    function makeFrame(name, address) {
        const holder = document.createElement("iframe");
        holder.title = "Pushlet";
        document.body.appendChild(holder);
        const page = holder.contentDocument;
        page.open();
        holder.contentWindow.push = push;
        const inner = page.createElement("iframe");
        inner.name = name;
        inner.title = name;
        inner.src = address;
        const root = page.createElement("html");
        page.appendChild(root);
        root.appendChild(page.createElement("body")).appendChild(inner);
        const frame = { name: name, holder: holder, inner: inner, address: address };
        Object.assign(frame, { number: 0, hasSpoken: false, hasEnded: false });
        holder.addEventListener("load", function () {
            ended(frame);
        });
        page.close();
        return frame;
    }

    /**
     * A request too long for an address: by POST (rule P-3), and its answer is read instead of run. In place of a
     * frame.
     */
    function post(name, address) {
        const stop = new AbortController();
        const holder = {
            remove: function () {
                stop.abort();
            },
        };
        const frame = { name: name, holder: holder, inner: { contentDocument: null }, address: address.href };
        const type = { "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8" };
        const what = {
            method: "POST",
            headers: type,
            body: address.search.slice(1),
            cache: "no-store",
            signal: stop.signal,
        };
        let status = 0;
        window
            .fetch(address.origin + address.pathname, what)
            .then(function (response) {
                status = response.status;
                return response.text();
            })
            .catch(function () {
                return null;
            })
            .then(function (text) {
                posted(frame, status, text);
            });
        return frame;
    }

    function posted(frame, status, text) {
        if (frame !== newest.get(frame.name)) {
            return;
        }
        const events = text === null ? [] : readPushes(text);
        for (const names of events) {
            window.parent._push(names, frame.name);
        }
        const shown = text === null ? null : text.trim().slice(0, TEXT_CHARS_MAX);
        report(frame, { text: shown, status: status, hasSpoken: events.length > 0, reloadWait: null });
    }

    /** The names and values in the calls of parent.push in an answer. */
    function readPushes(text) {
        const events = [];
        for (const piece of text.split(CALL).slice(1)) {
            const pair = /,?\s*'([^'\\]*(?:\\.[^'\\]*)*)',\s*("[^"\\]*(?:\\.[^"\\]*)*")/y;
            const names = [];
            for (let found = pair.exec(piece); found; found = pair.exec(piece)) {
                names.push(JSON.parse('"' + found[1] + '"'), JSON.parse(found[2]));
            }
            events.push(names);
        }
        return events;
    }

    /**
     * Loads an address into a frame. A data channel that is still open is read to its end. `number` is the client's
     * for this request, and comes back with the outcome.
     */
    function go(name, address, number) {
        dropOlder();
        const before = newest.get(name);
        newest.delete(name);
        if (before && name === "listenFrame" && !before.hasEnded) {
            older = before;
        } else if (before) {
            before.holder.remove();
        }
        const url = new URL(address, window.location.href);
        const isLong = url.href.length > URL_LENGTH_MAX && name === "controlFrame";
        const frame = isLong ? post(name, url) : makeFrame(name, url.href);
        frame.number = number;
        newest.set(name, frame);
    }

    /** Ends what a frame does. */
    function blank(name) {
        const frame = newest.get(name);
        if (name === "listenFrame") {
            dropOlder();
        }
        if (frame) {
            newest.delete(name);
            frame.holder.remove();
        }
    }

    /** The older data channel has ended, or had its time: what came over the new one is next. */
    function dropOlder() {
        clearTimeout(olderTimer);
        olderTimer = 0;
        if (older) {
            const gone = older;
            older = null;
            gone.holder.remove();
        }
        const waiting = held;
        held = [];
        for (const names of waiting) {
            window.parent._push(names, "listenFrame");
        }
        const next = newest.get("listenFrame");
        if (waiting.length > 0 && next && next.hasEnded) {
            ended(next);
        }
    }

    function isNack(names) {
        return names[names.indexOf("p_event") + 1] === "nack";
    }

    /**
     * Returns to the data channel that was open before the last go, which the server has refused; false if there is
     * none.
     */
    function goBack() {
        if (!older) {
            return false;
        }
        const refusedFrame = newest.get("listenFrame");
        clearTimeout(olderTimer);
        olderTimer = 0;
        held = [];
        newest.set("listenFrame", older);
        older = null;
        refusedFrame.holder.remove();
        return true;
    }

    /** Sends a request whose answer nobody awaits, and which outlives this page. */
    function tell(address) {
        window.fetch(address, { keepalive: true, cache: "no-store" }).catch(function () {
            // The page is on its way out, or the server is gone: there is nobody left to tell.
        });
    }

    /** The frame whose script is running: only that document has a current script. */
    function speaker() {
        for (const frame of [older, newest.get("listenFrame"), newest.get("controlFrame")]) {
            const page = frame ? frame.inner.contentDocument : null;
            if (page && page.currentScript) {
                return frame;
            }
        }
        return null;
    }

    /** What the server's scripts call, once for each event: names and values in turn. */
    function push(...names) {
        const frame = speaker();
        if (!frame) {
            // Its frame was thrown away between two of its scripts.
            return;
        }
        if (!frame.hasSpoken) {
            frame.hasSpoken = true;
            takeReload(frame);
        }
        // A stream is one page that never ends: without this it would keep every event that it ever got.
        frame.inner.contentDocument.currentScript.remove();
        if (older && frame === newest.get("listenFrame") && !isNack(names)) {
            held.push(names);
            olderTimer = olderTimer || setTimeout(dropOlder, OLDER_MS);
            return;
        }
        window.parent._push(names, frame.name);
    }

    /**
     * The answers of pull and poll load the next one themselves, by their function refresh. Ours does it without a
     * history entry, at the address that it has: the server does not know the path that a proxy shows, and only its
     * query counts.
     */
    function takeReload(frame) {
        const inner = frame.inner.contentWindow;
        if (typeof inner.refresh === "function") {
            inner.refresh = function () {
                // Not at once: this runs for the frame that is going to be removed, which may then open no other.
                setTimeout(reload, 0, frame, String(inner.url));
            };
        }
    }

    function reload(frame, asked) {
        if (newest.get(frame.name) === frame) {
            const address = new URL(frame.address);
            const query = asked.indexOf("?");
            address.search = query < 0 ? "" : asked.slice(query);
            go(frame.name, address.href, 0);
        }
    }

    /** Milliseconds until the page loads the next answer, or null if it will not. */
    function reloadWait(page) {
        for (const script of page.scripts) {
            const found = RELOAD.exec(script.textContent);
            if (found) {
                return Number(found[1]);
            }
        }
        return null;
    }

    /** What a person would read: refusals are plain text; a page with scripts is an answer that was cut off. */
    function textOf(page) {
        return page.body && page.scripts.length === 0 ? page.body.textContent.trim().slice(0, TEXT_CHARS_MAX) : "";
    }

    /** The HTTP status of a page, or 0 where the browser does not say. */
    function statusOf(inner) {
        const entry = inner.performance ? inner.performance.getEntriesByType("navigation")[0] : null;
        return (entry && entry.responseStatus) || 0;
    }

    /** All of an answer is there, or its connection has failed. */
    function ended(frame) {
        if (frame !== older && frame !== newest.get(frame.name)) {
            // Its holder is being removed: Chromium then fires its load event, which is no end of an answer.
            return;
        }
        // Null where the browser shows a page of its own because the network failed.
        const page = frame.inner.contentDocument;
        if (page && page.URL === "about:blank") {
            // Not our address yet.
            return;
        }
        frame.hasEnded = true;
        if (frame === older) {
            dropOlder();
        } else if (held.length > 0 && frame.name === "listenFrame") {
            // Its events come first: dropOlder will be back.
        } else {
            const outcome = { text: null, status: 0, hasSpoken: frame.hasSpoken, reloadWait: null };
            if (page) {
                outcome.text = textOf(page);
                outcome.status = statusOf(frame.inner.contentWindow);
                outcome.reloadWait = reloadWait(page);
            }
            report(frame, outcome);
        }
    }

    function report(frame, outcome) {
        outcome.address = frame.address;
        outcome.number = frame.number;
        if (net.onEnded) {
            net.onEnded(frame.name, outcome);
        }
    }

    /**
     * For the client. `onEnded(name, outcome)` is its own: called when all of an answer is there. `outcome.text` is
     * what a person would read there, null if the page is not ours to read; `hasSpoken` says whether any event came
     * of it; `number` is the one that go was given, 0 where an answer has loaded the next one by itself.
     */
    const net = { go: go, goBack: goBack, blank: blank, tell: tell, onEnded: null };
    window.PushletNet = net;
})();
