// The home page: the server's own figures as they come, and a box to publish beside a box to watch.
import { DOORS, curlListen, curlPublish, listOf, takes } from "./doors.js";
import { Graph } from "./graph.js";
import { connect } from "./line.js";
import { at, badge, clock, figure, put, rate, reasonFor, silence, span } from "./page.js";

// The server's built-in source publishes its figures once a second while somebody listens.
const FIGURES = "$server/figures";
const LINES_MAX = 100;

const publishedGraph = new Graph(at("published-graph"), { format: rate });
const deliveredGraph = new Graph(at("delivered-graph"), { format: rate, colours: ["--line-2"] });
const showState = badge(at("state"));
const figures = silence((quiet) => {
    at("quiet").hidden = !quiet;
    at("picture").hidden = quiet;
});

// What is watched, a list with commas, and its subscriptions.
let watched = "";
let subscriptions = [];

// One connection for both: the figures, and what is watched. The other tabs share it, so events come that others watch.
const client = connect((state) => {
    showState(state);
    figures.state(state);
});
client.subscribe(FIGURES, ({ data }) => showFigures(data));
client.on("event", (event) => takes(watched, event.subject) && showEvent(event));

function showFigures(event) {
    figures.news();
    put(at("sessions"), figure(event.sessions));
    put(at("listening"), figure(event.listening));
    put(at("published"), rate(event.published_per_s));
    put(at("delivered"), rate(event.delivered_per_s));
    publishedGraph.add(Number(event.published_per_s));
    deliveredGraph.add(Number(event.delivered_per_s));
    const facts = [
        `version ${event.version}`,
        `up ${span(event.uptime_s)}`,
        plural(event.cores, "core"),
        plural(event.connections, "connection"),
        plural(event.subscriptions, "subscription"),
        `${figure(event.published)} published`,
        `${figure(event.delivered)} delivered`,
        `${figure(event.lost)} lost to slow readers`,
    ];
    put(at("facts"), facts.join(" · "));
}

function plural(count, word) {
    return `${figure(count)} ${word}${Number(count) === 1 ? "" : "s"}`;
}

/** A line for an event: when, which subject, and what was published. Texts of others only ever become text. */
function showEvent({ subject, data, event, lost, contentType }) {
    const line = document.createElement("p");
    const time = document.createElement("span");
    time.className = "muted mono";
    time.textContent = clock();
    const name = document.createElement("b");
    name.textContent = subject;
    line.append(time, " ", name, " ", event ? `(${event}) ` : "", textOf(data, contentType));
    if (lost) line.append(` - ${lost} before it were lost: this page is too slow`);
    at("events").prepend(line);
    while (at("events").childElementCount > LINES_MAX) at("events").lastElementChild.remove();
}

/** What was published: an object as its fields, bytes as their number, everything else as it is in JSON. */
function textOf(data, contentType) {
    if (data instanceof Uint8Array) return `${figure(data.length)} bytes of ${contentType}`;
    const inShort = (value) => (typeof value === "string" ? value : JSON.stringify(value));
    if (data === null || typeof data !== "object" || Array.isArray(data)) return inShort(data);
    return Object.entries(data)
        .map(([name, value]) => `${name}: ${inShort(value)}`)
        .join(", ");
}

/** Watches a list of patterns from now on: first the new subscriptions, then the end of the old ones, so nothing falls between. */
async function watch(text) {
    const fresh = listOf(text).map((pattern) => client.subscribe(pattern, () => {}));
    try {
        await Promise.all(fresh.map((subscription) => subscription.ready()));
    } catch (error) {
        for (const subscription of fresh) subscription.unsubscribe();
        throw error;
    }
    for (const subscription of subscriptions) subscription.unsubscribe();
    [subscriptions, watched] = [fresh, text];
    put(at("watch-note"), `Listening to ${watched}. New events come on top.`);
}

/** What to say where the watched list stays as it was. */
function noteUnchanged(why) {
    put(at("watch-note"), `${watched ? `Still listening to ${watched}` : "Not listening"}: ${why}.`);
}

at("publish").addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const subject = at("subject").value.trim();
    try {
        await client.publish(subject, { text: at("text").value });
        put(at("published-note"), `Published to ${subject} at ${clock()}.`);
    } catch (error) {
        put(at("published-note"), `Not published: ${reasonFor(error)}.`);
    }
});

at("watch").addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const text = at("watched").value.trim();
    const button = submit.submitter ?? at("watch").querySelector("button");
    if (listOf(text).length === 0) return noteUnchanged("name a subject");
    if (client.state !== "connected") return noteUnchanged("not connected");
    button.disabled = true; // One change at a time.
    try {
        await watch(text);
    } catch (error) {
        noteUnchanged(reasonFor(error));
    } finally {
        button.disabled = false;
    }
});

function showCommands() {
    at("curl-listen").textContent = curlListen(DOORS, "/hello,/hello/**", false);
    const item = { subject: "/hello/world", data: { text: "Hello from curl" } };
    at("curl-publish").textContent = curlPublish(DOORS, item, false);
}

showCommands();
watch(at("watched").value).catch((error) => noteUnchanged(reasonFor(error)));
