// The chat by the classic client with frames: p_join_listen, p_publish and so on, which calls functions of the page: onData for what was published,
// and some more.
import { field, showStatus, status } from "./classic.js";
import { at } from "./page.js";
import { SUBJECT, enter, farewell, greet, hear, missed, note, openRoom } from "./room.js";

const STAYED_MS = 5_000;

let session = "";

function isLive() {
    return status().state === "listening";
}

function say(fields, to) {
    const all = to ? { ...fields, p_to: to } : fields;
    window.p_publish(SUBJECT, ...Object.entries(all).flat());
}

/** A session has begun. One that goes on says so in the same way. */
function begin(event) {
    const id = field(event, "p_id");
    if (id === session) return;
    session = id;
    enter();
}

// The client itself leaves when the page goes (pagehide). By then a word from us would come too late, so it is said at
// the first sign; if the page stays after all (a download, a dialog), it greets again. Where a browser gives no sign,
// or the leave is quicker, our name fades at the others.
function sayBye() {
    const id = window.p_getSessionId();
    if (!id) return;
    const query = new URLSearchParams({ p_event: "publish", p_id: id, p_subject: SUBJECT, ...farewell() });
    fetch(`../pushlet.srv?${query}`, { keepalive: true }).catch(() => {}); // Nobody is left to be told.
    setTimeout(greet, STAYED_MS);
}

// What the client calls. There is more of it (docs/classic-clients.md); what is not defined is not called.
window.onData = (event) => {
    if (event.get("p_lost")) missed(event.get("p_lost"));
    hear({
        get: (name) => field(event, name),
        from: field(event, "p_from"),
        to: field(event, "p_to"),
        time: Number(field(event, "p_time")),
    });
};
window.onListenAck = begin;
window.onJoinListenAck = begin;
window.onRejoined = (event) => {
    missed();
    begin(event);
};
window.onError = (event) => note(`Trouble: ${field(event, "p_reason")}`);
window.onNack = (event) => note(`The server refused: ${field(event, "p_reason")}`);

openRoom({ say, isLive });
addEventListener("beforeunload", sayBye);
addEventListener("pageshow", (showing) => showing.persisted && greet());
addEventListener("load", () => {
    window.p_embed(); // The hidden frame is put here.
    window.p_join_listen(SUBJECT, "stream");
    showStatus(at("state"));
});
