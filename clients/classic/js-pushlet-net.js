// The hidden frame of the iframe client, between js-pushlet-client.js in the page around it and the server's answers in its two frames.
//
// An answer in format js is a page of scripts that call parent.push(...): this window's push. This file loads addresses into the
// frames and says what came of it; what to load, and when, is the client's business.
(function () {
    "use strict";

    const FRAME_NAMES = ["controlFrame", "listenFrame"];
    const RELOAD = /setTimeout\(\s*"refresh\(\)"\s*,\s*(\d+)\s*\)/;
    const TEXT_CHARS_MAX = 300;

    // By name: element, `wanted` (the address that was asked for last, null for none) and `before` (the one before it).
    const frames = new Map();
    // Documents that have pushed at least one event.
    const speakers = new WeakSet();

    /** Loads `url` into a frame. replace() leaves no entry in the history, so the page's back button works as if we were not there. */
    function go(name, url) {
        const frame = frames.get(name);
        frame.before = frame.wanted;
        frame.wanted = new URL(url, window.location.href).href;
        frame.element.contentWindow.location.replace(frame.wanted);
    }

    /** Ends what a frame does. */
    function blank(name) {
        const frame = frames.get(name);
        frame.wanted = null;
        frame.before = null;
        frame.element.contentWindow.location.replace("about:blank");
    }

    /** Sends a request whose answer nobody awaits, and which outlives this page. */
    function tell(url) {
        window.fetch(url, { keepalive: true, cache: "no-store" }).catch(function () {
            // The page is on its way out, or the server is gone: there is nobody left to tell.
        });
    }

    /** The frame whose script is running: only that document has a current script. */
    function speaker() {
        for (const [name, frame] of frames) {
            const page = frame.element.contentDocument;
            if (page && page.currentScript) {
                return { name: name, page: page };
            }
        }
        return null;
    }

    /** What the server's scripts call, once for each event: names and values in turn. */
    function push(...names) {
        const from = speaker();
        if (from) {
            if (!speakers.has(from.page)) {
                speakers.add(from.page);
                takeReload(from.name, from.page);
            }
            // A stream is one page that never ends: without this it would keep every event that it ever got.
            from.page.currentScript.remove();
        }
        window.parent._push(names, from ? from.name : "");
    }

    /** The answers of pull and poll load the next one themselves, by their function refresh. Ours does it without a history entry. */
    function takeReload(name, page) {
        const inner = page.defaultView;
        if (inner && typeof inner.refresh === "function") {
            inner.refresh = function () {
                go(name, inner.url);
            };
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
    function statusOf(page) {
        const inner = page.defaultView;
        const entry = inner && inner.performance ? inner.performance.getEntriesByType("navigation")[0] : null;
        return (entry && entry.responseStatus) || 0;
    }

    function loaded(name) {
        const frame = frames.get(name);
        if (frame.wanted === null) {
            return;
        }
        // Null where the browser shows a page of its own because the network failed.
        const page = frame.element.contentDocument;
        const outcome = { address: frame.wanted, text: null, status: 0, pushed: false, reloadWait: null };
        if (page) {
            if (page.URL === "about:blank" || (page.URL === frame.before && page.URL !== frame.wanted)) {
                return;
            }
            outcome.text = textOf(page);
            outcome.status = statusOf(page);
            outcome.pushed = speakers.has(page);
            outcome.reloadWait = reloadWait(page);
        }
        if (net.onLoaded) {
            net.onLoaded(name, outcome);
        }
    }

    /**
     * For the client. `onLoaded(name, outcome)` is its own: called when a frame has loaded to its end. `outcome.text` is what a
     * person would read there, null if the page is not ours to read; `pushed` says whether any event came of it.
     */
    const net = { go: go, blank: blank, tell: tell, onLoaded: null };

    for (const name of FRAME_NAMES) {
        const element = document.getElementsByName(name)[0];
        frames.set(name, { element: element, wanted: null, before: null });
        element.addEventListener("load", function () {
            loaded(name);
        });
    }
    window.push = push;
    window.PushletNet = net;
})();
