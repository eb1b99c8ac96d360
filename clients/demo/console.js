// The console: one fetch for each request, and its answer as it arrives. No client library.

const SERVER = new URL("../pushlet.srv", location.href).href;
const ANSWERS_MAX = 30;
// What one answer shows at most; of a longer one the newest bytes stay.
const SHOWN_BYTES_MAX = 32768;
const HEADERS = ["Content-Type", "Content-Length", "Transfer-Encoding", "Cache-Control", "Retry-After", "Allow"];

// The fields that each request may have, in the order in which they are sent. docs/protocol.md has the whole table.
const FIELDS = {
    join: ["p_format"],
    "join-listen": ["p_format", "p_mode", "p_subject", "p_label"],
    listen: ["p_id", "p_mode", "p_subject", "p_label"],
    subscribe: ["p_id", "p_subject", "p_label"],
    unsubscribe: ["p_id", "p_sid"],
    publish: ["p_id", "p_subject", "p_to", "more"],
    hb: ["p_id"],
    refresh: ["p_id"],
    leave: ["p_id"],
};
// Sent only if something was typed. An empty p_subject is sent: the server has an answer to that.
const OPTIONAL = ["p_label", "p_sid", "p_to"];

const byId = (id) => document.getElementById(id);
const form = byId("request");
const answers = [];
let paused = false;
// A session that this page joined and has not left: it leaves with the page.
let joined = null;

// ---- The request

function fieldsOfForm() {
    const event = form.elements.p_event.value;
    const fields = [["p_event", event]];
    for (const name of FIELDS[event]) {
        const value = form.elements[name].value;
        if (name === "more") {
            fields.push(...fieldsOfLines(value));
        } else if (value !== "" || !OPTIONAL.includes(name)) {
            fields.push([name, value]);
        }
    }
    return fields;
}

function fieldsOfLines(text) {
    const lines = text.split("\n").filter((line) => line.trim() !== "");
    return lines.map((line) => {
        const equals = line.indexOf("=");
        return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
    });
}

// A tag of the kind that the old programs post (P-3).
function tagOf(fields) {
    const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\\": "&#92;" };
    const escaped = (value) => value.replace(/[&<>"\\]/g, (character) => entities[character]);
    return `<event ${fields.map(([name, value]) => `${name}="${escaped(value)}"`).join(" ")} />`;
}

function requestOfForm() {
    const fields = fieldsOfForm();
    const query = new URLSearchParams(fields);
    const post = (type, body) => ({ url: SERVER, init: { method: "POST", headers: { "Content-Type": type }, body } });
    switch (form.elements.method.value) {
        case "form":
            return post("application/x-www-form-urlencoded", query.toString());
        case "json":
            return post("application/json", JSON.stringify(Object.fromEntries(fields)));
        case "tag":
            return post("text/xml;charset=UTF-8", tagOf(fields));
        default:
            return { url: `${SERVER}?${query}`, init: { method: "GET" } };
    }
}

function textOfRequest({ url, init }) {
    const { pathname, search } = new URL(url);
    return `${init.method} ${pathname}${search}${init.body === undefined ? "" : `\n\n${init.body}`}`;
}

function showForm() {
    const wanted = FIELDS[form.elements.p_event.value];
    for (const control of form.elements) {
        if (control.name && control.name !== "p_event" && control.name !== "method") {
            control.closest(".field").hidden = !wanted.includes(control.name);
        }
    }
    byId("preview").textContent = textOfRequest(requestOfForm());
}

// ---- The answer

function make(name, className, text) {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    return element;
}

// One answer: what is known of it, and the list item that shows it.
function addAnswer(request) {
    const answer = {
        abort: new AbortController(),
        open: true,
        bytes: new Uint8Array(0),
        total: 0,
        binary: false,
        began: performance.now(),
        item: make("li", "", ""),
        status: make("p", "badge", "waiting"),
        size: make("span", "muted", ""),
        headers: make("dl", "mono", ""),
        body: make("pre", "", ""),
    };
    const line = make("div", "row spread", "");
    line.append(answer.status, answer.size);
    answer.body.tabIndex = 0; // It scrolls, so the keyboard must reach it.
    answer.body.setAttribute("aria-label", "Body of the answer");
    answer.item.append(make("p", "sent mono", textOfRequest(request)), line, answer.headers, answer.body);
    answers.unshift(answer);
    byId("answers").prepend(answer.item);
    for (const old of answers.splice(ANSWERS_MAX)) {
        old.abort.abort();
        old.item.remove();
    }
    return answer;
}

function keepBytes(answer, chunk) {
    answer.total += chunk.length;
    const all = new Uint8Array(answer.bytes.length + chunk.length);
    all.set(answer.bytes);
    all.set(chunk, answer.bytes.length);
    answer.bytes = all.slice(-SHOWN_BYTES_MAX);
}

// Sixteen bytes a line, as hexdump prints them.
function hexDump(bytes, offset) {
    const lines = [];
    for (let at = 0; at < bytes.length; at += 16) {
        const row = [...bytes.subarray(at, at + 16)];
        const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
        const text = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
        lines.push(`${(offset + at).toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text}`);
    }
    return lines.join("\n");
}

function textOfBody({ bytes, total, binary }) {
    const gone = total - bytes.length;
    const cut = gone > 0 ? `[${gone} bytes before this are not shown]\n` : "";
    return cut + (binary ? hexDump(bytes, gone) : new TextDecoder().decode(bytes));
}

function showAnswer(answer) {
    if (paused) {
        return;
    }
    const seconds = ((performance.now() - answer.began) / 1000).toFixed(answer.open ? 0 : 2);
    answer.size.textContent = `${answer.total} bytes, ${answer.open ? `open for ${seconds} s` : `${seconds} s`}`;
    const text = textOfBody(answer);
    if (answer.body.textContent !== text) {
        // Whoever reads the newest of a stream goes on doing so; other answers are read from the top.
        const { scrollHeight, scrollTop, clientHeight } = answer.body;
        const follows = answer.item.classList.contains("open") && scrollHeight - scrollTop - clientHeight < 30;
        answer.body.classList.toggle("dump", answer.binary);
        answer.body.textContent = text;
        if (follows) {
            answer.body.scrollTop = answer.body.scrollHeight;
        }
    }
    answer.body.hidden = text === "";
}

// However quickly chunks come, the page is written once a frame.
function showSoon(answer) {
    if (!answer.due) {
        answer.due = true;
        requestAnimationFrame(() => {
            answer.due = false;
            showAnswer(answer);
        });
    }
}

function setStatus(answer, text, kind) {
    answer.status.textContent = text;
    answer.status.className = `badge ${kind}`;
}

// The value of a field in a body of any format, or null: name, what the format puts between, value.
function findField(answer, name) {
    const text = new TextDecoder("latin1").decode(answer.bytes);
    const found = answer.binary
        ? new RegExp(`${name}t\\x00.([\\w-]+)t\\x00`).exec(text)
        : new RegExp(`["' ]${name}["']?(?:=|:|, )"([\\w-]+)"`).exec(text);
    return found && found[1];
}

// The ids are kept for the next requests. They are in the ack, so only the beginning of an answer matters.
function keepIds(answer, event) {
    if (answer.total > answer.bytes.length) {
        return;
    }
    const id = findField(answer, "p_id");
    if (id && event.startsWith("join") && answer.id !== id) {
        answer.id = id;
        joined = id;
        form.elements.p_id.value = id;
    }
    const sid = findField(answer, "p_sid");
    if (sid && /listen|^subscribe/.test(event) && answer.sid !== sid) {
        answer.sid = sid;
        form.elements.p_sid.value = sid;
    }
    showForm();
}

function showHeaders(answer, response) {
    setStatus(answer, `${response.status} ${response.statusText}`, response.ok ? "ok" : "bad");
    // Only one that has no length stays open for long; the others end in this moment.
    answer.item.classList.toggle("open", !response.headers.has("Content-Length"));
    for (const name of HEADERS) {
        const value = response.headers.get(name);
        if (value !== null) {
            answer.headers.append(make("dt", "muted", name), make("dd", "", value));
        }
    }
    answer.binary = (response.headers.get("Content-Type") ?? "").includes("java-serialized");
}

async function readBody(answer, response, event) {
    const reader = response.body.getReader();
    for (;;) {
        const { done, value } = await reader.read();
        if (done) {
            return;
        }
        keepBytes(answer, value);
        keepIds(answer, event);
        showSoon(answer);
    }
}

async function send() {
    const event = form.elements.p_event.value;
    const leaving = event === "leave" ? form.elements.p_id.value : null;
    const request = requestOfForm();
    const answer = addAnswer(request);
    showState();
    try {
        const response = await fetch(request.url, { ...request.init, cache: "no-store", signal: answer.abort.signal });
        showHeaders(answer, response);
        await readBody(answer, response, event);
        if (response.ok && leaving === joined) {
            joined = null;
        }
    } catch (error) {
        const stopped = error.name === "AbortError";
        setStatus(
            answer,
            stopped ? "stopped here" : `no answer, or it broke off: ${error.message}`,
            stopped ? "" : "bad",
        );
    }
    answer.open = false;
    answer.item.classList.remove("open");
    showAnswer(answer);
    showState();
}

// ---- The page

function showState() {
    const open = answers.filter((answer) => answer.open).length;
    const badge = byId("state");
    badge.textContent = paused ? "paused" : open ? `${open} open answer${open > 1 ? "s" : ""}` : "no open answer";
    badge.className = `badge ${paused ? "warn" : open ? "ok" : ""}`;
    byId("stop").disabled = open === 0;
    byId("empty").hidden = answers.length > 0;
}

function stopAll() {
    answers.forEach((answer) => answer.abort.abort());
}

function pauseOrGoOn() {
    paused = !paused;
    const button = byId("pause");
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Go on" : "Pause";
    answers.forEach(showAnswer);
    showState();
}

function clearAnswers() {
    // An open answer goes on, and its place in the list with it.
    const kept = answers.filter((answer) => answer.open);
    for (const answer of answers.splice(0, answers.length, ...kept)) {
        answer.bytes = new Uint8Array(0);
        if (!answer.open) {
            answer.item.remove();
        }
        showAnswer(answer);
    }
    showState();
}

function leaveWithPage() {
    stopAll();
    if (joined) {
        navigator.sendBeacon(SERVER, new URLSearchParams({ p_event: "leave", p_id: joined }));
    }
}

form.addEventListener("input", showForm);
form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
});
byId("stop").addEventListener("click", stopAll);
byId("pause").addEventListener("click", pauseOrGoOn);
byId("clear").addEventListener("click", clearAnswers);
addEventListener("pagehide", leaveWithPage);
setInterval(() => answers.filter((answer) => answer.open).forEach(showAnswer), 1000);
showForm();
showState();
