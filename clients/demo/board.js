// A drawing board for all who have the page open, by the modern client.
//
// The server keeps no drawing: it only passes on what is published to one subject. The field `kind` says what it is:
//     line    a part of a stroke: its name, colour, width and some points
//     move    where a pen is that does not draw
//     undo    a stroke is taken back
//     clear   a new sheet for all. Its number is the time at which it began; what belongs to an older one is ignored
//     ask     somebody is new, and everybody who has something answers:
//     offer   (to one) how many strokes they have; the newcomer takes the largest offer:
//     want    (to one) send it
//     have    (to one) the strokes, as much as fits into one event
// Points are whole numbers, 3000 across and 2000 down, so that a phone and a large screen show the same.

import { connect, fieldsOf } from "./line.js";
import { at, badge } from "./page.js";

const SUBJECT = "/demo/board";
const WIDE = 3000;
const HIGH = 2000;
const SEND_MS = 50; // At most 20 publishes a second.
const MOVE_MS = 150; // A pen that only moves needs less.
const PEN_SHOWN_MS = 2500;
const OFFERS_MS = 600; // How long a newcomer waits for offers, and then for each that it takes.
const HAVE_MS = 4000;
// A sheet from a clock that is more than an hour fast is not believed: nobody could clear it.
const AHEAD_MS = 3_600_000;

// Bounds of what others can make us keep and send.
const STROKES_MAX = 2000;
const POINTS_MAX = 60_000;
const POINTS_PER_STROKE_MAX = 4000;
const DRAWING_CHARS_MAX = 150_000; // The server takes bodies of 256 KiB.
const PENS_MAX = 50;

// What is sent is the index of a colour or width: so nothing that others write comes near a style, and each of us sees
// ink that suits their own light or dark sheet.
const COLOURS = [
    ["Ink", "#1a232d", "#e4eaf0"],
    ["Red", "#c62828", "#ff7b72"],
    ["Orange", "#c75b00", "#ffa657"],
    ["Green", "#1b7f3b", "#6fdd8b"],
    ["Blue", "#1a5fb4", "#79b8ff"],
    ["Violet", "#7b3fb5", "#cfa0ff"],
];
const WIDTHS = [
    ["Thin", 6],
    ["Medium", 16],
    ["Thick", 44],
];

const dark = matchMedia("(prefers-color-scheme: dark)");
const strokes = new Map(); // name -> { colour, width, points: [x, y, x, y ...] }, in the order in which they were begun
const pens = new Map(); // address and page -> { x, y, colour, seenAt }
let pointsKept = 0;
let sheet = 0;
let colour = Math.floor(Math.random() * COLOURS.length);
let width = 1;

const colourOf = (index) => COLOURS[index][dark.matches ? 2 : 1];
const isIndex = (value, list) => Number.isInteger(value) && value >= 0 && value < list.length;

// ---- The drawing as data

/** Adds points to a stroke, and draws them. False if it would be more than we keep of one stroke. */
function extend(name, strokeColour, strokeWidth, points) {
    const stroke = strokes.get(name) || { colour: strokeColour, width: strokeWidth, points: [] };
    if (stroke.points.length + points.length > 2 * POINTS_PER_STROKE_MAX) return false;
    strokes.set(name, stroke);
    const from = Math.max(0, stroke.points.length - 2);
    stroke.points.push(...points);
    pointsKept += points.length / 2;
    paint(stroke, from);
    forgetOldest();
    return true;
}

function forgetOldest() {
    while (strokes.size > STROKES_MAX || pointsKept > POINTS_MAX) remove(strokes.keys().next().value);
    showCount();
}

function remove(name) {
    const stroke = strokes.get(name);
    if (!stroke) return;
    pointsKept -= stroke.points.length / 2;
    strokes.delete(name);
    paintSoon();
    showCount();
}

/** Goes on to the sheet of this number. False if it is an older one than ours, whose events are too late. */
function turnTo(number) {
    if (!(number >= 0 && number <= Date.now() + AHEAD_MS) || number < sheet) return false;
    if (number > sheet) {
        sheet = number;
        strokes.clear();
        pointsKept = 0;
        unsent.length = 0;
        own.length = 0;
        if (stroke) {
            stroke.unsent = []; // Its rest belongs to the new sheet.
            own.push(stroke.name);
        }
        paintSoon();
        showCount();
    }
    return true;
}

// Points as text: "x,y x,y". Whatever is no pair of numbers within the sheet is left out.
const textOfPoints = (points) =>
    points.reduce((text, value, i) => text + (i === 0 ? "" : i % 2 ? "," : " ") + value, "");

function pointsOfText(text) {
    const points = [];
    for (const pair of String(text).split(" ")) {
        const [x, y] = pair.split(",").map(Number);
        if (x >= 0 && x <= WIDE && y >= 0 && y <= HIGH) points.push(Math.round(x), Math.round(y));
    }
    return points;
}

/** The drawing as text, a stroke a line; if it is too long, the newest strokes of it. */
function textOfDrawing() {
    const lines = [];
    let length = 0;
    for (const [name, stroke] of [...strokes].reverse()) {
        const line = `${name} ${stroke.colour} ${stroke.width} ${textOfPoints(stroke.points)}`;
        length += line.length + 1;
        if (length > DRAWING_CHARS_MAX) break;
        lines.push(line);
    }
    return lines.reverse().join("\n");
}

function takeDrawing(text) {
    // What we have seen ourselves since we came is newer: it goes on top. A stroke that we have only the end of is
    // taken whole.
    const newer = new Map(strokes);
    strokes.clear();
    pointsKept = 0;
    for (const line of text.split("\n").slice(0, STROKES_MAX)) {
        const [name, strokeColour, strokeWidth, ...pairs] = line.split(" ");
        const points = pointsOfText(pairs.join(" "));
        if (isName(name) && isIndex(+strokeColour, COLOURS) && isIndex(+strokeWidth, WIDTHS) && points.length > 0) {
            extend(name, +strokeColour, +strokeWidth, points);
        }
    }
    for (const [name, stroke] of newer) {
        const theirs = strokes.get(name);
        if (theirs && theirs.points.length >= stroke.points.length) continue;
        remove(name);
        extend(name, stroke.colour, stroke.width, stroke.points);
    }
    paintSoon();
}

const isName = (name) => /^[\w-]{1,40}$/.test(name);

// ---- The drawing as picture

const drawing = at("drawing").getContext("2d");
const overlay = at("pens").getContext("2d");
let paintDue = false;

/** Draws a stroke from its point at `from` on (an index into points). */
function paint({ colour: strokeColour, width: strokeWidth, points }, from) {
    drawing.strokeStyle = colourOf(strokeColour);
    drawing.lineWidth = WIDTHS[strokeWidth][1];
    drawing.beginPath();
    drawing.moveTo(points[from], points[from + 1]);
    for (let i = from; i < points.length; i += 2) drawing.lineTo(points[i], points[i + 1]);
    drawing.stroke();
}

function paintSoon() {
    if (paintDue) return;
    paintDue = true;
    requestAnimationFrame(() => {
        paintDue = false;
        drawing.clearRect(0, 0, WIDE, HIGH);
        for (const stroke of strokes.values()) paint(stroke, 0);
    });
}

/** As many pixels as the screen has there; the drawing itself keeps its 3000 by 2000. */
function fit() {
    for (const context of [drawing, overlay]) {
        const canvas = context.canvas;
        canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
        canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
        context.setTransform(canvas.width / WIDE, 0, 0, canvas.height / HIGH, 0, 0);
    }
    drawing.lineCap = "round";
    drawing.lineJoin = "round";
    paintSoon();
    showPens();
}

let pensDue = false;

/** The pens of the others, and our own if it is moved by keys; each fades away unless it is heard of again. */
function showPens() {
    if (pensDue) return;
    pensDue = true;
    requestAnimationFrame(() => {
        pensDue = false;
        overlay.clearRect(0, 0, WIDE, HIGH);
        const now = performance.now();
        for (const [id, pen] of pens) {
            const left = 1 - (now - pen.seenAt) / PEN_SHOWN_MS;
            if (left <= 0) {
                pens.delete(id);
                continue;
            }
            overlay.globalAlpha = left;
            overlay.fillStyle = colourOf(pen.colour);
            overlay.beginPath();
            overlay.arc(pen.x, pen.y, 26, 0, 2 * Math.PI);
            overlay.fill();
        }
        overlay.globalAlpha = 1;
        if (keyPen) ring(keyPen);
        if (pens.size > 0) showPens();
    });
}

function ring({ x, y, down }) {
    overlay.strokeStyle = colourOf(colour);
    overlay.lineWidth = down ? 20 : 8;
    overlay.beginPath();
    overlay.arc(x, y, 34, 0, 2 * Math.PI);
    overlay.stroke();
}

function meetPen({ address, page: other }, x, y, penColour) {
    const id = `${address} ${other}`;
    if (!pens.has(id) && pens.size >= PENS_MAX) return;
    pens.set(id, { x, y, colour: penColour, seenAt: performance.now() });
    showPens();
}

function showCount() {
    const count = strokes.size;
    at("count").textContent = `The sheet has ${count} stroke${count === 1 ? "" : "s"}.`;
    at("undo").disabled = own.length === 0;
}

// ---- The own pen

const page = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
const own = []; // names of own strokes, for undo
const unsent = []; // ended strokes with points that are not sent yet
let stroke = null; // the one being drawn: { name, colour, width, unsent: [x, y ...] }
let hover = null; // where the pen is while it does not draw
let keyPen = null;
let count = 0;
let sending = 0; // the timer
let movedAt = 0;

function begin(x, y) {
    count += 1;
    stroke = { name: `${page}-${count}`, colour, width, unsent: [] };
    own.push(stroke.name);
    goOn(x, y);
}

function goOn(x, y) {
    if (!extend(stroke.name, stroke.colour, stroke.width, [x, y])) return begin(x, y);
    stroke.unsent.push(x, y);
    sendSoon();
}

function end() {
    if (!stroke) return;
    if (stroke.unsent.length > 0) unsent.push(stroke);
    stroke = null;
    sendSoon();
}

/**
 * Gathers what happens within SEND_MS into one event, and sends the next one when this one has its ack: so they keep
 * their order.
 */
function sendSoon() {
    sending ||= setTimeout(async () => {
        await sendNext();
        sending = 0;
        if (live && (unsent.length > 0 || stroke?.unsent.length > 0 || hover)) sendSoon();
    }, SEND_MS);
}

async function sendNext() {
    if (!live) return; // It waits until the line is back.
    const line = unsent.shift() || (stroke?.unsent.length > 0 ? stroke : null);
    if (line) {
        const points = line.unsent;
        line.unsent = [];
        const fields = { name: line.name, colour: line.colour, width: line.width, points: textOfPoints(points) };
        if (await tell("line", fields)) return;
        line.unsent = [...points, ...line.unsent];
        if (line !== stroke) unsent.unshift(line);
    } else if (hover && performance.now() - movedAt >= MOVE_MS) {
        movedAt = performance.now();
        const points = textOfPoints(hover);
        hover = null;
        await tell("move", { colour, points });
    }
}

function place(event) {
    const box = at("sheet").getBoundingClientRect();
    const within = (value, most) => Math.round(Math.min(Math.max(value, 0), 1) * most);
    return [within((event.clientX - box.left) / box.width, WIDE), within((event.clientY - box.top) / box.height, HIGH)];
}

function onDown(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    at("sheet").setPointerCapture(event.pointerId);
    end();
    begin(...place(event));
}

function onMove(event) {
    if (!event.isPrimary) return;
    if (!stroke) {
        hover = place(event);
        return sendSoon();
    }
    // A quick hand is somewhere several times a frame; the browser has kept the places.
    const places = event.getCoalescedEvents?.() ?? [];
    for (const each of places.length > 0 ? places : [event]) goOn(...place(each));
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event) {
    const arrow = ARROWS[event.key];
    if (!arrow && event.key !== " ") return;
    event.preventDefault();
    keyPen ??= { x: WIDE / 2, y: HIGH / 2, down: false };
    if (arrow) {
        keyPen.x = Math.min(Math.max(keyPen.x + 30 * arrow[0], 0), WIDE);
        keyPen.y = Math.min(Math.max(keyPen.y + 30 * arrow[1], 0), HIGH);
        if (keyPen.down && stroke) goOn(keyPen.x, keyPen.y);
    } else {
        keyPen.down = !keyPen.down;
        if (keyPen.down) begin(keyPen.x, keyPen.y);
        else end();
    }
    showPens();
}

function liftKeyPen() {
    if (keyPen?.down) end();
    keyPen = null;
    showPens();
}

function undo() {
    end();
    const name = own.pop();
    if (!name) return;
    remove(name);
    tell("undo", { name });
}

function clear() {
    end();
    turnTo(Math.max(Date.now(), sheet + 1));
    tell("clear", {});
}

// ---- What goes over the line

let live = false;
let address = ""; // Of our session, which other tabs may share: the field `page` says who speaks, the field `for` who is meant.
let offers = []; // [peer, number of strokes], largest last, while we are new; a peer is { address, page }
let wanted; // whom we have asked for the drawing
let waiting = 0;

/**
 * To all, or to one peer. False if it could not be sent. Every event says which page it is of: a publisher gets its own events, too (P-24). Fields are
 * texts, so that they are fields for clients of the Pushlet protocol as well.
 */
async function tell(kind, fields, peer) {
    const given = { kind, page, sheet, address, ...(peer && { for: peer.page }), ...fields };
    const data = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)]));
    try {
        await client.publish(SUBJECT, data, peer ? { to: peer.address } : {});
        return true;
    } catch {
        return false; // The badge shows the reason as soon as the client notices.
    }
}

function onState(state) {
    showState(state);
    live = state.name === "live";
}

/** Events come, at first and again in each new session. */
function enter() {
    address = client.address;
    ask();
    sendSoon();
}

/** Asks for the drawing: when we come, and when we were away for a while. */
function ask() {
    offers = [];
    wanted = undefined;
    tell("ask", {});
    clearTimeout(waiting);
    waiting = setTimeout(takeOffer, OFFERS_MS);
}

function takeOffer() {
    const offer = offers.pop();
    wanted = offer?.[0];
    if (!offer) return;
    tell("want", {}, wanted);
    waiting = setTimeout(takeOffer, HAVE_MS); // If they are gone by now, the next one.
}

function onEvent({ data, from }) {
    const event = fieldsOf(data);
    if (event.page === page) return; // It is drawn already.
    if (event.for && event.for !== page) return; // For another tab with our address.
    // The server names the address of who has a session to publish in; who publishes by POST has to be believed.
    const peer = { address: from ?? event.address ?? "", page: isName(event.page) ? event.page : "" };
    const points = pointsOfText(event.points ?? "");
    const [strokeColour, strokeWidth] = [Number(event.colour), Number(event.width)];
    switch (event.kind) {
        case "line":
            if (!isName(event.name) || points.length === 0 || !turnTo(Number(event.sheet))) return;
            if (!isIndex(strokeColour, COLOURS) || !isIndex(strokeWidth, WIDTHS)) return;
            extend(event.name, strokeColour, strokeWidth, points);
            return meetPen(peer, ...points.slice(-2), strokeColour);
        case "move":
            if (points.length === 2 && isIndex(strokeColour, COLOURS)) meetPen(peer, ...points, strokeColour);
            return;
        case "undo":
            return remove(event.name);
        case "clear":
            return turnTo(Number(event.sheet));
        default:
            return onHandover(event, peer);
    }
}

function onHandover(event, peer) {
    switch (event.kind) {
        case "ask":
            // An empty sheet counts as well: the newcomer must know its number.
            if (sheet > 0 || strokes.size > 0) tell("offer", { strokes: strokes.size }, peer);
            return;
        case "offer":
            if (!turnTo(Number(event.sheet))) return;
            offers.push([peer, Number(event.strokes) || 0]);
            offers = offers.sort((one, other) => one[1] - other[1]).slice(-PENS_MAX);
            return;
        case "want":
            return tell("have", { drawing: textOfDrawing() }, peer);
        case "have":
            if (!wanted || peer.page !== wanted.page || peer.address !== wanted.address) return; // Only from whom we have asked.
            clearTimeout(waiting);
            wanted = undefined;
            if (turnTo(Number(event.sheet))) takeDrawing(event.drawing ?? "");
    }
}

// ---- The page

/** A row of buttons of which one is chosen. `look` sets what the button shows of its entry. */
function choices(box, list, chosen, look, onChoose) {
    const buttons = list.map(([name], index) => {
        const button = document.createElement("button");
        button.type = "button";
        button.title = name;
        button.setAttribute("aria-label", name);
        button.append(document.createElement("span"));
        button.addEventListener("click", () => {
            onChoose(index);
            mark(index);
        });
        box.append(button);
        return button;
    });
    const mark = (index) => buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
    mark(chosen);
    return () => buttons.forEach((button, index) => look(button.firstChild.style, index));
}

function size(style, rem) {
    style.width = `${rem}rem`;
    style.height = `${rem}rem`;
}

const showColours = choices(
    at("colours"),
    COLOURS,
    colour,
    (style, index) => {
        size(style, 1.5);
        style.backgroundColor = colourOf(index);
    },
    (index) => (colour = index),
);
const showWidths = choices(
    at("widths"),
    WIDTHS,
    width,
    (style, index) => size(style, 0.3 + 0.4 * index),
    (index) => (width = index),
);

const showState = badge(at("state"));
const client = connect(onState);

at("sheet").addEventListener("pointerdown", onDown);
at("sheet").addEventListener("pointermove", onMove);
for (const name of ["pointerup", "pointercancel"]) at("sheet").addEventListener(name, end);
at("sheet").addEventListener("keydown", onKey);
at("sheet").addEventListener("blur", liftKeyPen);
at("undo").addEventListener("click", undo);
at("clear").addEventListener("click", clear);
new ResizeObserver(fit).observe(at("sheet"));
dark.addEventListener("change", () => {
    showColours();
    paintSoon();
});
showColours();
showWidths();
showCount();
client.subscribe(SUBJECT, onEvent);
client.on("subscription", ({ state }) => state === "subscribed" && enter());
