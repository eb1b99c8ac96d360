// Listening with the browser's own EventSource, publishing with fetch. No client library.
import { DOORS, curlListen, curlPublish, frameOf, itemOf, listOf, listenUrl, scriptListen, takes } from "./doors.js";
import { at, badge, clock, put, reasonFor } from "./page.js";
import { TABS_FIRST_MS, TABS_HOLDING, Tabs } from "./tabs.js";

const FRAMES_MAX = 100;
const REQUEST_MS = 10_000;
const PAUSE_MS = 1000; // At least so long before another try that is ours; a server that is full names its own time.
const JITTER_MS = 2000;
// Statuses of a server, or a proxy before it, that may do better soon. EventSource takes each of them for the end.
const AGAIN = [429, 502, 503, 504];
// So long a browser may need for an answer before the visitor is told what may be in its way.
const SLOW_MS = 5000;
// Events that tell of the session itself. Nobody can publish events with these names.
const OWN_EVENTS = ["session", "reset", "end"];
// Comes after a silence, because the address asks for it: the comment that others get is not for scripts.
const HEARTBEAT = "heartbeat";
// A sign of life may be late by a quarter and this; after a sleep of the machine it is heard within this.
const SLACK_MS = 2500;
// Names that the browser uses itself, nor can anybody publish those.
const RESERVED = [...OWN_EVENTS, HEARTBEAT, "message", "open", "error"];

const showState = badge(at("state"));

let source; // The one EventSource of this page.
let wanted; // { subjects, names, key } while the visitor wants to listen.
let heard = new Set(); // Names that the source brings.
let farewell = ""; // Why the server ended the session, if it said so.
let pause; // Until the next try that is ours, or the word that the answer takes long.
let silence; // Until a line without a sign of life is dead.
let silenceMs = 0;
let resting = false; // Whether this tab has given its place to others.
let run = 0; // Counts what was begun: whatever is answered later than that is of no interest.

// Tabs share six connections, whichever client they use: the same name is the same line of tabs.
const tabs = new Tabs(new URL("../pushlet.srv", import.meta.url).href, follow);

// ---- Listening

/** Ends what is under way, not the wish for it. */
function close() {
    run += 1;
    clearTimeout(pause);
    clearTimeout(silence);
    source?.close();
    source = undefined;
    resting = false;
}

/** Ends the wish, too: the tab needs no place among the others. */
function leave() {
    close();
    tabs.close();
    wanted = undefined;
    at("problem").hidden = true;
    put(at("listening"), "Not listening.");
}

function open() {
    close();
    at("problem").hidden = true;
    if (tabs.rank() >= TABS_HOLDING) return rest();
    const own = ++run;
    const url = `${listenUrl(DOORS, wanted.subjects, wanted.key)}&heartbeat=event`;
    showState({ name: "connecting" });
    put(at("listening"), "");
    heard = new Set();
    farewell = "";
    source = new EventSource(url);
    pause = setTimeout(noteSlow, SLOW_MS);
    source.addEventListener("message", show);
    for (const name of OWN_EVENTS) source.addEventListener(name, show);
    source.addEventListener("session", live);
    source.addEventListener(HEARTBEAT, isAlive);
    source.addEventListener("end", ({ data }) => (farewell = JSON.parse(data).text));
    source.addEventListener("error", () => broken(own, url));
    for (const name of wanted.names) listenTo(name);
}

/** A browser that has six connections to a host already lets the seventh wait, and does not say so. */
function noteSlow() {
    put(at("listening"), "No answer yet. Do other tabs hold the six connections that a browser opens to a host?");
}

/** An event with a name comes only to those who listen to the name. */
function listenTo(name) {
    if (heard.has(name) || RESERVED.includes(name)) return;
    heard.add(name);
    source.addEventListener(name, show);
}

function live({ data }) {
    const { heartbeat_ms: heartbeat, reset } = JSON.parse(data);
    clearTimeout(pause);
    farewell = "";
    showState({ name: "live" });
    silenceMs = heartbeat * 1.25 + SLACK_MS;
    isAlive();
    const life = `after ${heartbeat / 1000} s of silence the server gives a sign of life`;
    const gap = reset ? " Events between the two sessions are lost." : "";
    put(at("listening"), `Listening to ${wanted.subjects} since ${clock()}; ${life}.${gap}`);
}

/** A network that has gone away tells no browser: a line is dead when nothing comes for longer than the heartbeat. */
function isAlive() {
    clearTimeout(silence);
    const due = performance.now() + silenceMs;
    silence = setTimeout(() => {
        if (performance.now() - due > SLACK_MS) silence = setTimeout(isDead, SLACK_MS);
        else isDead();
    }, silenceMs);
}

/** Comes again, because the browser does not. What has a name that this page does not listen to is silence as well. */
function isDead() {
    close();
    const delay = PAUSE_MS + Math.random() * JITTER_MS;
    showState({ name: "waiting", reason: `nothing came for ${Math.round(silenceMs / 1000)} s`, delay });
    pause = setTimeout(open, delay);
}

/** A line that breaks is the browser's to mend. An answer that is none of events is the end for it, and only we can say why. */
function broken(own, url) {
    clearTimeout(pause);
    clearTimeout(silence);
    const reason = farewell || "the line broke";
    if (source.readyState === EventSource.CONNECTING) return showState({ name: "waiting", reason, delay: 0 });
    explain(own, url);
}

/** Asks for the same again by fetch, which may see the status and the problem document (RFC 9457). */
async function explain(own, url) {
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(new Error("no answer for 10 s")), REQUEST_MS);
    let told;
    try {
        const init = { headers: { Accept: "text/event-stream" }, cache: "no-store", signal: over.signal };
        const answer = await fetch(url, init);
        told = answer.ok ? { detail: "the server did not want us at first" } : await problemOf(answer);
    } catch (error) {
        told = { detail: reasonFor(error.message) };
    }
    clearTimeout(timer);
    over.abort(); // What was answered after all would be a second session.
    if (own !== run) return;
    if (told.status && !AGAIN.includes(told.status)) return refuse(told);
    const delay = Math.max(PAUSE_MS, 1000 * (told.retryAfter ?? 0)) + Math.random() * JITTER_MS;
    showState({ name: "waiting", reason: told.detail, delay });
    pause = setTimeout(open, delay);
}

/** { status, title, detail, field, retryAfter } of an answer that is no success. Proxies answer for themselves, and not in JSON. */
async function problemOf(answer) {
    const told = { status: answer.status, title: answer.statusText, detail: "" };
    told.retryAfter = Number(answer.headers.get("Retry-After")) || 0;
    if (answer.headers.get("Content-Type")?.startsWith("application/problem+json")) {
        return { ...told, ...(await answer.json()) };
    }
    return { ...told, detail: (await answer.text()).slice(0, 200) };
}

function refuse(told) {
    leave();
    showState({ name: "refused", reason: `refused: ${told.status}` });
    put(at("problem-title"), `${told.status} ${told.title}.`);
    put(at("problem-detail"), told.detail);
    put(at("problem-advice"), adviceFor(told));
    at("problem").hidden = false;
}

function adviceFor({ status, field }) {
    if (status === 401) return "Write your key into its field below Publish; EventSource sends it in the query.";
    if (status === 403) return "Who may listen to what is said in pushletd.toml.";
    if (status === 404) return "If a proxy stands between: let it pass on /v1/ as well.";
    if (field === "subject") return "A subject is like /hello; /hello/** is everything below it.";
    return "";
}

/** Four tabs with a line leave two connections for requests: the others wait until one of them goes. */
function rest() {
    close();
    resting = true;
    showState({ name: "aside", reason: "resting: many tabs listen" });
    put(at("listening"), "Not listening: four tabs of this server do, and their browser has six connections to it.");
}

/** The places among the tabs have changed. */
function follow() {
    const hasPlace = tabs.rank() < TABS_HOLDING;
    if (resting && hasPlace) open();
    if (source && !hasPlace) rest();
}

/** A tab that comes asks the others first whether there is a connection for it. */
async function begin() {
    close();
    const own = run;
    at("problem").hidden = true;
    showState({ name: "connecting" });
    if (tabs.open()) await new Promise((resolve) => setTimeout(resolve, TABS_FIRST_MS));
    if (own === run) open();
}

function listen() {
    wanted = { subjects: at("subjects").value.trim(), names: listOf(at("names").value), key: at("key").value };
    begin();
}

// ---- What came

/** A line of when and what, and the event as it was written. Texts of others only ever become text. */
function show(event) {
    isAlive();
    const entry = document.createElement("div");
    const line = document.createElement("p");
    line.className = "muted";
    const frame = document.createElement("pre");
    frame.textContent = frameOf(event);
    const isOwn = OWN_EVENTS.includes(event.type);
    if (isOwn) entry.className = "own";
    line.append(clock(), isOwn ? ", from the server itself" : "");
    const { lost } = JSON.parse(event.data);
    if (!isOwn && lost) line.append(`, ${lost} before it were lost: this page is too slow`);
    entry.append(line, frame);
    at("frames").prepend(entry);
    while (at("frames").childElementCount > FRAMES_MAX) at("frames").lastElementChild.remove();
}

// ---- Publishing

function itemOfForm() {
    return itemOf({ subject: at("subject").value.trim(), event: at("name").value.trim(), data: at("data").value });
}

async function publish() {
    try {
        const { item, isText } = itemOfForm();
        const key = at("key").value;
        const answer = await fetch(new URL("publish", DOORS), {
            method: "POST",
            headers: { "Content-Type": "application/json", ...(key !== "" && { Authorization: `Bearer ${key}` }) },
            body: JSON.stringify(item),
            signal: AbortSignal.timeout(REQUEST_MS),
        });
        if (!answer.ok) throw await refusalOf(answer);
        put(
            at("published"),
            `Published to ${item.subject} at ${clock()}${isText ? ", as a text" : ""}. ${whyUnseen(item)}`,
        );
    } catch (error) {
        put(at("published"), `Not published: ${reasonFor(error.message)}`);
    }
}

async function refusalOf(answer) {
    const { status, title, detail } = await problemOf(answer);
    const advice = status === 401 ? " Write your key into its field." : "";
    return new Error(`${status} ${title}. ${detail}${advice}`);
}

/** Why an event that was taken does not show up here. */
function whyUnseen({ subject, event }) {
    if (!source) return "This page is not listening.";
    if (!takes(wanted.subjects, subject))
        return `It does not come here: ${wanted.subjects} does not take that subject.`;
    if (event && event !== "message" && !heard.has(event)) {
        return `It does not come here: add ${event} to the names above, as EventSource brings names only to who asks.`;
    }
    return "";
}

// ---- The page

function showCommands() {
    const subjects = at("subjects").value.trim();
    const hasKey = at("key").value !== "";
    put(at("curl-listen"), curlListen(DOORS, subjects, hasKey));
    put(at("script-listen"), scriptListen(listenUrl(DOORS, subjects), listOf(at("names").value)));
    try {
        put(at("curl-publish"), curlPublish(DOORS, itemOfForm().item, hasKey));
    } catch (error) {
        put(at("curl-publish"), `# The data begin like JSON and are none: ${error.message}`);
    }
}

addEventListener("input", showCommands);
at("listen").addEventListener("submit", (event) => {
    event.preventDefault();
    listen();
});
at("stop").addEventListener("click", () => {
    leave();
    showState({ name: "left" });
});
at("publish").addEventListener("submit", (event) => {
    event.preventDefault();
    publish();
});
at("clear").addEventListener("click", () => at("frames").replaceChildren());

// A page that goes gives its connection back, and takes one again when it returns out of the history.
addEventListener("pagehide", () => {
    close();
    tabs.close();
});
addEventListener("pageshow", (event) => {
    if (event.persisted && wanted) begin();
});

// events.html?subject=/news/** is a link to what is listened to.
at("subjects").value = new URLSearchParams(location.search).get("subject") ?? at("subjects").value;
showCommands();
listen();
