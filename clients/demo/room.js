// A chat room: who is here, what is said, and the page of it. How words get to the server and back is the business of a line: chat.js has that
// of the modern client, chat-frames.js that of a classic one, and people in both see each other.
//
// Everybody publishes to one subject. The field `kind` says what an event is:
//     join   somebody is new; everybody answers to them alone, so that they know who is here
//     here   somebody is still here, or has another name
//     text   a message, to all or (with `for`) to one
//     bye    somebody has closed the page
// People are known by two things. The address of their session is where one can write to, and it gives no other right (P-22, P-23). Tabs of one
// browser may share a connection and so an address: the field `tab` says which of them speaks, the field `for` which of them is meant.

import { at, clock, put } from "./page.js";

export const SUBJECT = "/demo/chat";
const SAY_HERE_MS = 30_000;
const FORGET_MS = 90_000; // A background tab may say "here" only once a minute.
const ANSWER_MS = 20_000; // A tab that polls by a classic client hears us only after 10 s.
const FADE_MS = 5_000;
const LINES_MAX = 300;
const PEOPLE_MAX = 200;
const NAME_MAX = 40;
const TEXT_MAX = 4000;
const ID_MAX = 100;

// Random, and of this page alone: a reload is somebody new.
const myTab = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");

const people = new Map(); // id -> { address, tab, name, heardAt, item, option }
const pending = new Map(); // number of an own message -> its line, until the server's copy is back
let sent = 0;
let line; // How we speak: { say(fields, to), isLive() }
let myName = sessionStorage.getItem("chat-name") || `Guest ${1000 + Math.floor(Math.random() * 9000)}`;

/**
 * Opens the room. `given.say(fields, to)` publishes fields to all, or to one address; its promise, if it gives one, rejects with an error whose
 * `message` is for people. `given.isLive()` says whether words would get out now.
 */
export function openRoom(given) {
    line = given;
    at("name").value = myName;
    setInterval(forgetTheSilent, 1000);
    setInterval(() => line.isLive() && say("here"), SAY_HERE_MS);
}

// ---- What we say

/** The fields of what we say; `to` is a person, or nobody for all. */
function fieldsOf(kind, to, more) {
    return { kind, name: myName, tab: myTab, ...(to?.tab && { for: to.tab }), ...more };
}

/** What others know the room by: it is not our fault if one gets lost, and the next one follows. */
function say(kind, to) {
    Promise.resolve(line.say(fieldsOf(kind, to), to?.address)).catch(() => {});
}

/** The last word, for whoever sends it by their own way while the page goes. */
export function farewell() {
    return fieldsOf("bye");
}

/** A session has begun, or goes on after all. After a loss nobody may be who they were: whoever is still here answers our join. */
export function enter() {
    for (const person of people.values()) person.heardAt -= FORGET_MS - ANSWER_MS;
    say("join");
}

/** Says that we are here, to all. */
export function greet() {
    say("here");
}

function sendMessage() {
    const text = at("text").value;
    if (text.trim() === "") return;
    const chosen = at("to").value;
    const to = people.get(chosen);
    if (chosen && !to) return note("That person is gone. Choose somebody else, or everybody.");
    if (to && !line.isLive()) return note("Not connected. Your message stays in the box.");
    const more = { text };
    let shown;
    if (to) {
        // Only the receiver gets a copy of this one. If they are gone it goes nowhere, and nobody tells us (P-23).
        shown = addMessage(`${myName} to ${to.name}`, text, Date.now(), "private");
    } else {
        more.nr = String((sent += 1));
        shown = addMessage(myName, text, Date.now(), "pending");
        pending.set(more.nr, shown);
        if (pending.size > LINES_MAX) pending.delete(pending.keys().next().value);
    }
    Promise.resolve(line.say(fieldsOf("text", to, more), to?.address)).catch((error) => fail(shown, error));
    at("text").value = "";
}

function fail(shown, error) {
    shown.classList.remove("pending");
    shown.append(element("p", "failed", `Not sent: ${error.message}`));
}

// ---- What we hear

/** Takes an event: get(name) is a field as text, "" without it; { from, to, time } are the server's words, where it has any; time in s. */
export function hear({ get, from, to, time }) {
    const tab = get("tab").slice(0, ID_MAX);
    if (tab === myTab) return hearMyself(get("nr"));
    const meant = get("for");
    if (meant && meant !== myTab) return; // For another tab with our address.
    const name = get("name").replace(/\s+/g, " ").trim().slice(0, NAME_MAX) || "Somebody";
    // The server says who published if that was a session. Whoever publishes by a plain POST names an address itself: one more claim in a room
    // where names are claims, too.
    const address = from || get("address").slice(0, ID_MAX);
    switch (get("kind")) {
        case "join":
            if (!moved(address, tab)) note(`${name} has come`);
            return say("here", meet(address, tab, name));
        case "here":
            moved(address, tab);
            return meet(address, tab, name);
        case "bye":
            note(`${name} has left`);
            return forget(idOf(address, tab));
        case "text": {
            const isPrivate = Boolean(to || meant);
            moved(address, tab);
            meet(address, tab, name);
            return addMessage(
                isPrivate ? `${name} to you` : name,
                get("text").slice(0, TEXT_MAX),
                time * 1000,
                isPrivate ? "private" : "",
            );
        }
    }
}

function hearMyself(number) {
    pending.get(number)?.classList.remove("pending");
    pending.delete(number);
}

/** Events that came too fast, or while the line was broken. */
export function missed(count) {
    if (count) note(`${count} events are missing here: this page was too slow to take them`);
    else note("The connection is back. What was said meanwhile may be missing here.");
}

function idOf(address, tab) {
    return `${address} ${tab}`;
}

/**
 * The same tab may have another address now, because it was made to join anew. Anybody can say so of anybody: whoever was chosen is therefore
 * gone, and to be chosen again. A private message must not follow a mere word.
 */
function moved(address, tab) {
    if (!tab || people.has(idOf(address, tab))) return false;
    const old = [...people].find(([, person]) => person.tab === tab);
    if (old) forget(old[0]);
    return Boolean(old);
}

/** The person, new or known; without an address nobody could answer, so there is no person. */
function meet(address, tab, name) {
    if (!address) return undefined;
    const id = idOf(address, tab);
    const known = people.get(id);
    const person = known || addPerson(id, address, tab);
    if (known && known.name !== name) note(`${known.name} is now ${name}`);
    person.name = name;
    person.heardAt = Date.now();
    person.item.className = "";
    put(person.item.firstChild, name);
    put(person.option, name);
    at("alone").hidden = true;
    return person;
}

function addPerson(id, address, tab) {
    if (people.size >= PEOPLE_MAX) forget(people.keys().next().value);
    const person = { address, tab, item: document.createElement("li"), option: new Option("", id) };
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Write to this person only";
    button.addEventListener("click", () => {
        choose(id);
        at("text").focus();
    });
    person.item.append(button);
    at("people").append(person.item);
    at("to").append(person.option);
    people.set(id, person);
    if (at("to").value === id) choose(id); // Chosen, gone, and here again.
    return person;
}

function forget(id) {
    const person = people.get(id);
    if (!person) return;
    person.item.remove();
    people.delete(id);
    at("alone").hidden = people.size > 0;
    // Whoever is chosen stays chosen: were it "everybody" all at once, a private message would go to all.
    if (person.option.selected) put(person.option, `${person.name} (gone), choose again`);
    else person.option.remove();
}

function choose(id) {
    at("to").value = "";
    dropGone();
    at("to").value = id;
}

function dropGone() {
    const present = new Set([...people.values()].map((person) => person.option));
    for (const option of [...at("to").options]) {
        if (option.value && !option.selected && !present.has(option)) option.remove();
    }
}

function forgetTheSilent() {
    for (const [id, person] of people) {
        const silent = Date.now() - person.heardAt;
        if (silent > FORGET_MS + FADE_MS) forget(id);
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

export function note(text) {
    return addLine(element("li", "note", text));
}

function changeName() {
    const name = at("name").value.replace(/\s+/g, " ").trim().slice(0, NAME_MAX);
    at("name").value = name || myName;
    if (!name || name === myName) return;
    myName = name;
    sessionStorage.setItem("chat-name", name);
    greet();
}

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
