// Round trips with either classic client, in any of its modes: ping.html?client=frames&mode=poll

import { at, clock, put } from "./page.js";
import { field, showStatus, status } from "./classic.js";

const PING_MS = 2000;
const GIVE_UP_MS = 60_000;
const MEDIAN_OF = 50;
const TRIPS_SHOWN = 10;
const LINES_MAX = 50;

// Both clients define the same functions, so a page has one of them.
const CLIENTS = {
    xhr: { script: "../lib/ajax-pushlet-client.js", modes: ["pull"] },
    frames: { script: "../lib/js-pushlet-client.js", modes: ["stream", "pull", "poll"] },
};

const asked = new URLSearchParams(location.search);
const client = asked.get("client") === "frames" ? "frames" : "xhr";
const { script, modes } = CLIENTS[client];
const mode = modes.includes(asked.get("mode")) ? asked.get("mode") : modes[0];

const subject = `/demo/ping/${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
const underWay = new Map(); // number of a ping -> when it was sent, in ms of performance.now()
const trips = []; // ms, newest first
const kinds = new Map(); // p_event -> count
let sent = 0;
let back = 0;
let granted = "";

function ping() {
    showMode();
    if (status().state !== "listening") return;
    const now = performance.now();
    for (const [number, sentAt] of underWay) {
        if (now - sentAt > GIVE_UP_MS) underWay.delete(number);
    }
    sent += 1;
    underWay.set(String(sent), now);
    window.p_publish(subject, "number", sent);
    showFigures();
}

// ---- What the clients call

function count(event) {
    const kind = event.getEvent();
    kinds.set(kind, (kinds.get(kind) || 0) + 1);
    if (event.get("p_mode")) granted = event.get("p_mode");
    showKinds();
    showMode();
    showFigures();
}

function onData(event) {
    const number = field(event, "number");
    if (underWay.has(number)) {
        const sentAt = underWay.get(number);
        const ms = performance.now() - sentAt;
        underWay.delete(number);
        back += 1;
        trips.unshift(ms);
        trips.length = Math.min(trips.length, MEDIAN_OF);
        showTrip(number, sentAt, ms);
    }
    if (event.get("p_lost")) line(`${event.get("p_lost")} events were lost (p_lost): our queue was full`);
    count(event);
}

function onTrouble(event) {
    line(`${event.getEvent()}: ${field(event, "p_reason")}`);
    count(event);
}

// The client's own words say when it tries again.
function onRetry(event) {
    line(`try ${field(event, "p_tries")} failed: ${field(event, "p_reason")}`);
}

// ---- What is shown

function milliseconds(value) {
    if (value === undefined) return "–";
    return value < 1000 ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

function median(values) {
    const sorted = [...values].sort((one, other) => one - other);
    const half = sorted.length / 2;
    return sorted.length % 2 ? sorted[Math.floor(half)] : (sorted[half - 1] + sorted[half]) / 2;
}

function showFigures() {
    put(at("last"), milliseconds(trips[0]));
    put(at("median"), milliseconds(trips.length > 0 ? median(trips) : undefined));
    put(at("back"), `${back} of ${sent}`);
    put(at("heartbeats"), String(kinds.get("hb") || 0));
}

/**
 * The mode that the server has granted: another one than we asked for if it makes us pull (P-18), or if we are one of
 * too many tabs.
 */
function showMode() {
    const now = status().mode || granted;
    put(at("mode"), now || "–");
    put(at("asked"), now && now !== mode ? `mode, granted (asked: ${mode})` : "mode, granted");
    at("demoted").hidden = now !== "poll" || mode === "poll";
}

function row(...cells) {
    const made = document.createElement("tr");
    for (const [text, className] of cells) {
        const cell = document.createElement("td");
        cell.className = className;
        cell.textContent = text;
        made.append(cell);
    }
    return made;
}

function showTrip(number, sentAt, ms) {
    const date = new Date(performance.timeOrigin + sentAt);
    const body = at("trips").tBodies[0];
    body.prepend(row([number, ""], [clock(date), "mono"], [milliseconds(ms), "num"]));
    while (body.rows.length > TRIPS_SHOWN) body.lastChild.remove();
    at("trips").hidden = false;
    at("waiting").hidden = true;
}

function showKinds() {
    const rows = [...kinds].sort().map(([kind, times]) => row([kind, "mono"], [String(times), "num"]));
    at("kinds").replaceChildren(...rows);
}

function line(text) {
    const log = at("log");
    log.hidden = false;
    const made = document.createElement("li");
    made.textContent = `${clock()} ${text}`;
    log.append(made);
    while (log.children.length > LINES_MAX) log.firstChild.remove();
    log.scrollTop = log.scrollHeight;
    at("quiet").hidden = true;
}

// ---- The page

function start() {
    window.p_embed(); // The frames client puts its hidden frame here; the other one needs none.
    window.p_join_listen(subject, mode);
    showStatus(at("state"));
    setInterval(ping, PING_MS);
}

Object.assign(window, {
    onData,
    onError: onTrouble,
    onNack: onTrouble,
    onAbort: onTrouble,
    onRetry,
    onRejoined: () => line("the connection is back"),
    onEvent: count, // Every other event, of whatever kind.
});

for (const link of document.querySelectorAll(".choice a")) {
    if (new URL(link.href).search === `?client=${client}&mode=${mode}`) link.setAttribute("aria-current", "page");
}

// The client finds the server by looking for its own script in the head.
const element = document.createElement("script");
element.src = script;
element.addEventListener("load", start);
element.addEventListener("error", () => {
    at("state").className = "badge bad";
    put(at("state"), "the client's script cannot be loaded");
});
document.head.append(element);
