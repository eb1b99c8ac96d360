// The stock ticker: the same market as it comes, and through a slow reader for whom the server keeps only the newest prices.
import { DOORS } from "./doors.js";
import { connect } from "./line.js";
import { at, badge, figure, put, rate, reasonFor, silence } from "./page.js";

const SUBJECT = "$demo/stocks/*";
const RATE_OVER_MS = 5000;
// Two answers on two connections do not arrive at the same instant: prices are compared with what was live this long before and after.
const TOLERANCE_MS = 400;

/** One reader's table and counts. */
class Market {
    count = 0;
    lost = 0;
    rows = new Map(); // by symbol: { row, price, change, shown }
    #name;

    constructor(name) {
        this.#name = name;
    }

    /** Takes the fields of an event, and how many the server left out directly before it (P-30). */
    take(event, lost = 0) {
        this.count += 1;
        this.lost += lost;
        put(at(`${this.#name}-count`), figure(this.count));
        put(at(`${this.#name}-lost`), figure(this.lost));
        const line = this.rows.get(event.symbol) ?? this.#addLine(event);
        const before = Number(line.price.textContent);
        const now = Number(event.price);
        put(line.price, now.toFixed(2));
        const change = Number(event.change);
        put(line.change, signed(change));
        line.change.className = `num ${direction(change, "rise", "fall")}`;
        if (line.price.textContent !== before.toFixed(2)) flash(line.price, direction(now - before, "up", "down"));
    }

    /** A new company, at its place in the alphabet. */
    #addLine({ symbol, name, price }) {
        const row = document.createElement("tr");
        const company = document.createElement("th");
        company.scope = "row";
        const short = document.createElement("b");
        short.textContent = symbol;
        const long = document.createElement("span");
        long.className = "muted";
        long.textContent = name;
        company.append(short, " ", long);
        const line = { row, price: document.createElement("td"), change: document.createElement("td") };
        line.price.className = line.change.className = "num";
        line.price.textContent = Number(price).toFixed(2);
        row.append(company, line.price, line.change);
        this.rows.set(symbol, line);
        const next = [...this.rows.keys()].sort()[[...this.rows.keys()].sort().indexOf(symbol) + 1];
        at(this.#name).insertBefore(row, next === undefined ? null : this.rows.get(next).row);
        return line;
    }
}

function direction(value, up, down) {
    return value > 0 ? up : value < 0 ? down : "";
}

/** A change in per cent: the direction has a shape beside its colour. */
function signed(value) {
    const sign = value > 0 ? "▲ +" : value < 0 ? "▼ −" : "";
    return `${sign}${Math.abs(value).toFixed(2)} %`;
}

/** Starts the animation of a cell anew: reading its width between the two changes makes the browser see both. */
function flash(cell, kind) {
    cell.classList.remove("up", "down");
    void cell.offsetWidth;
    if (kind) cell.classList.add(kind);
}

const live = new Market("live");
const slow = new Market("slow");
const showState = badge(at("state"));
const prices = silence((quiet) => (at("quiet").hidden = !quiet));
const arrivals = []; // Of live events, in ms, for the rate.
const history = new Map(); // by symbol: the live prices of the last seconds, each with its arrival

const client = connect((state) => {
    showState(state);
    prices.state(state);
});
const fast = client.subscribe(SUBJECT, ({ data, lost }) => {
    prices.news();
    live.take(data, lost);
    const now = performance.now();
    arrivals.push(now);
    const past = history.get(data.symbol) ?? history.set(data.symbol, []).get(data.symbol);
    past.push({ price: data.price, at: now });
    while (past.length > 2 && now - past[1].at > 4 * TOLERANCE_MS) past.shift();
});

// ---- The slow reader: it asks by itself, and takes its time. Meanwhile its queue of 16 fills with prices of ten companies.

const REST_MS = 4000;
const REQUEST_MS = 10_000;
const WISHES = { subject: SUBJECT, queue: "16", conflate: "true" };

let session = ""; // A secret: whoever knows it can read what is waiting for us.
let comesBack = 0; // When, or 0 while a request is under way.
let trouble = ""; // Why the last request failed.

/** One request: the first one begins a session, each further one gets what has come since. */
async function visit() {
    const query = session ? { session, wait: "0" } : WISHES;
    const answer = await fetch(new URL(`poll?${new URLSearchParams(query)}`, DOORS), {
        cache: "no-store",
        signal: AbortSignal.timeout(REQUEST_MS),
    });
    const told = await answer.json();
    session = answer.ok && !told.end ? told.session : "";
    if (!answer.ok) throw new Error(told.detail);
    for (const { data, lost } of told.events) slow.take(data, lost);
    const [last, when] = [new Map(told.events.map(({ data }) => [data.symbol, data.price])), performance.now()];
    if (last.size > 0) setTimeout(() => compare(last, when), TOLERANCE_MS);
}

async function poll() {
    comesBack = 0;
    showSlowState();
    try {
        await visit();
        trouble = "";
    } catch (error) {
        trouble = `${reasonFor(error)}, `;
    }
    comesBack = performance.now() + REST_MS;
    showSlowState();
    setTimeout(poll, REST_MS);
}

/** Shows how many of the prices that the slow reader got were the live ones at that moment. */
function compare(last, when) {
    const right = [...last].filter(([symbol, price]) => wasLive(symbol, price, when)).length;
    put(at("slow-right"), `${right} of ${last.size}`);
}

function wasLive(symbol, price, when) {
    const past = history.get(symbol) ?? [];
    return past.some((one, index) => {
        const until = past[index + 1]?.at ?? Infinity;
        return one.price === price && one.at <= when + TOLERANCE_MS && until >= when - TOLERANCE_MS;
    });
}

setInterval(() => {
    const now = performance.now();
    while (arrivals.length > 0 && now - arrivals[0] > RATE_OVER_MS) arrivals.shift();
    put(at("live-rate"), rate(arrivals.length / (RATE_OVER_MS / 1000)));
    showSlowState();
}, 500);

function showSlowState() {
    const seconds = Math.ceil((comesBack - performance.now()) / 1000);
    const visits = slow.count === 0 ? "first visit" : "comes back";
    put(at("slow-state"), `polls, ${trouble}${seconds > 0 ? `${visits} in ${seconds} s` : "asks now"}`);
}

// Only then, so that the slow reader knows of nothing that happened before the live one came.
fast.ready().then(poll, () => {}); // The badge says why not.
