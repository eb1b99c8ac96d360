// The home page: the server's own figures as they come, and a box to publish beside a box to watch.
import { DOORS, curlListen, curlPublish } from "./doors.js";
import { Graph } from "./graph.js";
import { at, badge, clock, figure, put, rate, silence, span } from "./page.js";
import { Stream } from "./stream.js";

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

let watched = at("watched").value;

// One session for both: the figures, and what is watched. A browser opens six connections to a host, so a page should do with one stream.
const stream = new Stream({
    url: new URL("../pushlet.srv", import.meta.url),
    subject: `${FIGURES},${watched}`,
    onEvent(event) {
        const isFigures = event.p_subject === FIGURES;
        if (isFigures) showFigures(event);
        if (!isFigures || watches(FIGURES)) showEvent(event);
    },
    onState(state) {
        showState(state);
        figures.state(state);
        if (state.name === "live") noteWatch();
    },
});

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

/** Whether the box to watch asks for this subject: it may hold several, with commas (P-19). */
function watches(subject) {
    const wanted = watched.split(",").map((item) => item.trim());
    return wanted.some((item) => item !== "" && subject.startsWith(item));
}

/** A line for an event: when, which subject, and the publisher's own fields. Texts of others only ever become text. */
function showEvent(event) {
    const line = document.createElement("p");
    const time = document.createElement("span");
    time.className = "muted mono";
    time.textContent = clock();
    const subject = document.createElement("b");
    subject.textContent = event.p_subject;
    const fields = Object.entries(event).filter(([name]) => !name.startsWith("p_"));
    const text = fields.map(([name, value]) => `${name}: ${value}`).join(", ");
    line.append(time, " ", subject, " ", text);
    at("events").prepend(line);
    while (at("events").childElementCount > LINES_MAX) at("events").lastElementChild.remove();
}

function noteWatch() {
    put(at("watch-note"), `Listening to ${watched}. New events come on top.`);
}

at("publish").addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const subject = at("subject").value.trim();
    try {
        await stream.publish(subject, { text: at("text").value });
        put(at("published-note"), `Published to ${subject} at ${clock()}.`);
    } catch (error) {
        put(at("published-note"), `Not published: ${error.message}.`);
    }
});

at("watch").addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const subject = at("watched").value.trim();
    const button = submit.submitter ?? at("watch").querySelector("button");
    if (!subject) return put(at("watch-note"), `Still listening to ${watched}: name a subject.`);
    button.disabled = true; // One change at a time: each ends the subscription of the one before.
    try {
        await stream.watch(`${FIGURES},${subject}`);
        watched = subject;
        noteWatch();
    } catch (error) {
        put(at("watch-note"), `Still listening to ${watched}: ${error.message}.`);
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
stream.start();
