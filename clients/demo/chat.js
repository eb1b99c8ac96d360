// The chat. It is the same script for both classic clients, because they have the same functions: p_join_listen,
// p_publish and so on, and call the same functions of the page: onData for what was published, and some more.
//
// Everybody publishes to one subject. The field `kind` says what an event is:
//     join   somebody is new; everybody answers to them alone, so that they know who is here
//     here   somebody is still here, or has another name
//     text   a message, to all or (with p_to) to one
//     bye    somebody has closed the page
// People are known by the p_from of their events: an address that one can write to, and that gives no other right
// (P-22, P-23).

import { at, clock, put } from "./page.js";
import { field, showStatus, status } from "./classic.js";

const SUBJECT = "/demo/chat";
const SAY_HERE_MS = 30_000;
const FORGET_MS = 90_000; // A background tab may say "here" only once a minute.
const ANSWER_MS = 20_000; // A tab that polls hears us only after 10 s.
const FADE_MS = 5_000;
const STAYED_MS = 5_000;
const LINES_MAX = 300;
const PEOPLE_MAX = 200;
const NAME_MAX = 40;
const TEXT_MAX = 4000;

const people = new Map(); // address -> { name, heardAt, item, option }
const pending = new Map(); // number of an own message -> its line, until the server's copy is back
let sent = 0;
let me = { id: "", address: "", was: "" }; // Of this session, and the address before it: a new one after each join.
let myName = sessionStorage.getItem("chat-name") || `Guest ${1000 + Math.floor(Math.random() * 9000)}`;

// ---- What we say

function say(kind, ...namesAndValues) {
    window.p_publish(SUBJECT, "kind", kind, "name", myName, ...namesAndValues);
}

/** A join or a here: with our address before the last loss, for those who know us by that one. */
function greet(kind, ...namesAndValues) {
    if (me.was) say(kind, "was", me.was, ...namesAndValues);
    else say(kind, ...namesAndValues);
}

function sendMessage() {
    const text = at("text").value;
    if (text.trim() === "") return;
    const to = at("to").value;
    if (to && !people.has(to)) return note("That person is gone. Choose somebody else, or everybody.");
    if (to) {
        // Only the receiver gets a copy of this one. If they are gone it goes nowhere, and nobody tells us (P-23).
        say("text", "p_to", to, "text", text);
        addMessage(`${myName} to ${people.get(to).name}`, text, Date.now(), "private");
    } else {
        sent += 1;
        say("text", "nr", sent, "text", text);
        pending.set(String(sent), addMessage(myName, text, Date.now(), "pending"));
        if (pending.size > LINES_MAX) pending.delete(pending.keys().next().value);
    }
    at("text").value = "";
}

/** A session has begun. After a loss nobody may be who they were: whoever is still here answers our join. */
function enter(id, address) {
    if (id === me.id) return; // The old session goes on.
    me = { id, address, was: me.address };
    for (const person of people.values()) person.heardAt -= FORGET_MS - ANSWER_MS;
    greet("join");
}

// ---- What we hear

function hear(event) {
    const from = field(event, "p_from");
    const name = field(event, "name").replace(/\s+/g, " ").trim().slice(0, NAME_MAX) || "Somebody";
    if (event.get("p_lost"))
        note(`${event.get("p_lost")} events are missing here: this page was too slow to take them`);
    // In the copy that a publisher gets of its own event, p_from is its p_id (P-22).
    if (from === me.id || from === window.p_getSessionId()) return hearMyself(event);
    // After a re-join we learn our new address from the first who writes to it.
    if (event.get("p_to")) me.address = event.get("p_to");
    switch (field(event, "kind")) {
        case "join":
            if (!moved(field(event, "was"), from, name)) note(`${name} has come`);
            meet(from, name);
            return greet("here", "p_to", from);
        case "here":
            moved(field(event, "was"), from, name);
            return meet(from, name);
        case "bye":
            note(`${name} has left`);
            return forget(from);
        case "text":
            meet(from, name);
            return addMessage(
                event.get("p_to") ? `${name} to you` : name,
                field(event, "text").slice(0, TEXT_MAX),
                Number(field(event, "p_time")) * 1000,
                event.get("p_to") ? "private" : "",
            );
    }
}

function hearMyself(event) {
    const number = field(event, "nr");
    const line = pending.get(number);
    if (line) line.classList.remove("pending");
    pending.delete(number);
}

/**
 * Somebody was made to join anew, so the same person has another address now. Anybody can say so of anybody: whoever was
 * chosen is therefore gone, and to be chosen again. A private message must not follow a mere word.
 */
function moved(was, from, name) {
    const person = people.get(was);
    if (!person || person.name !== name) return false;
    forget(was);
    meet(from, name);
    return true;
}

function meet(address, name) {
    if (!address) return;
    const known = people.get(address);
    const person = known || addPerson(address);
    if (known && known.name !== name) note(`${known.name} is now ${name}`);
    person.name = name;
    person.heardAt = Date.now();
    person.item.className = "";
    put(person.item.firstChild, name);
    put(person.option, name);
    at("alone").hidden = true;
}

function addPerson(address) {
    if (people.size >= PEOPLE_MAX) forget(people.keys().next().value);
    const person = { item: document.createElement("li"), option: new Option("", address) };
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Write to this person only";
    button.addEventListener("click", () => {
        choose(address);
        at("text").focus();
    });
    person.item.append(button);
    at("people").append(person.item);
    at("to").append(person.option);
    people.set(address, person);
    if (at("to").value === address) choose(address); // Chosen, gone, and here again.
    return person;
}

function forget(address) {
    const person = people.get(address);
    if (!person) return;
    person.item.remove();
    people.delete(address);
    at("alone").hidden = people.size > 0;
    // Whoever is chosen stays chosen: were it "everybody" all at once, a private message would go to all.
    if (person.option.selected) put(person.option, `${person.name} (gone), choose again`);
    else person.option.remove();
}

function choose(address) {
    at("to").value = "";
    dropGone();
    at("to").value = address;
}

function dropGone() {
    const present = new Set([...people.values()].map((person) => person.option));
    for (const option of [...at("to").options]) {
        if (option.value && !option.selected && !present.has(option)) option.remove();
    }
}

function forgetTheSilent() {
    for (const [address, person] of people) {
        const silent = Date.now() - person.heardAt;
        if (silent > FORGET_MS + FADE_MS) forget(address);
        else if (silent > FORGET_MS) person.item.className = "gone";
    }
}

// ---- The page

/** Adds a line, and keeps the newest in sight unless the reader has scrolled back. */
function addLine(line) {
    const log = at("log");
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(line);
    while (log.children.length > LINES_MAX) log.firstChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
    return line;
}

function element(name, className, text) {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
}

// What others wrote only ever becomes text, never markup.
function addMessage(who, text, time, className) {
    const line = element("li", className, "");
    const about = element("div", "about-it", "");
    const date = new Date(time);
    about.append(element("b", "", who), element("span", "muted", clock(isNaN(date) ? new Date() : date)));
    line.append(about, element("p", "", text));
    return addLine(line);
}

function note(text) {
    return addLine(element("li", "note", text));
}

function changeName() {
    const name = at("name").value.replace(/\s+/g, " ").trim().slice(0, NAME_MAX);
    at("name").value = name || myName;
    if (!name || name === myName) return;
    myName = name;
    sessionStorage.setItem("chat-name", name);
    greet("here");
}

// The client itself leaves when the page goes (pagehide). By then a word from us would come too late, so it is said at
// the first sign; if the page stays after all (a download, a dialog), it greets again. Where a browser gives no sign,
// or the leave is quicker, our name fades at the others.
function sayBye() {
    const id = window.p_getSessionId();
    if (!id) return;
    const query = new URLSearchParams({ p_event: "publish", p_id: id, p_subject: SUBJECT, kind: "bye", name: myName });
    fetch(`../pushlet.srv?${query}`, { keepalive: true }).catch(() => {}); // Nobody is left to be told.
    setTimeout(() => greet("here"), STAYED_MS);
}

// What the clients call. There are more of these (docs/classic-clients.md); what is not defined is not called.
window.onData = hear;
// One client joins and listens in one request, the other one in two: then the address is in the first ack.
let joinedAs = "";
window.onJoinAck = (event) => (joinedAs = field(event, "p_from"));
window.onListenAck = (event) => enter(field(event, "p_id"), joinedAs);
window.onJoinListenAck = (event) => enter(field(event, "p_id"), field(event, "p_from"));
window.onRejoined = (event) => {
    note("The connection is back");
    enter(field(event, "p_id"), field(event, "p_from"));
};
window.onError = (event) => note(`Trouble: ${field(event, "p_reason")}`);
window.onNack = (event) => note(`The server refused: ${field(event, "p_reason")}`);

at("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    sendMessage();
});
at("text").addEventListener("keydown", (event) => {
    // While an input method composes (Chinese, Japanese ...), Enter is part of the word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    sendMessage();
});
at("to").addEventListener("change", dropGone);
at("name").addEventListener("change", changeName);
at("name").value = myName;
addEventListener("beforeunload", sayBye);
addEventListener("pageshow", (showing) => showing.persisted && greet("here"));
setInterval(forgetTheSilent, 1000);
setInterval(() => status().state === "listening" && greet("here"), SAY_HERE_MS);

addEventListener("load", () => {
    window.p_embed(); // The frames client puts its hidden frame here; the other one needs none.
    window.p_join_listen(SUBJECT, "stream");
    showStatus(at("state"));
});
