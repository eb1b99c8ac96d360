// The chat by the modern client: one connection for all tabs, whatever it goes by.
import { DOORS } from "./doors.js";
import { connect } from "./line.js";
import { at, badge, reasonFor } from "./page.js";
import { SUBJECT, enter, farewell, hear, missed, note, openRoom } from "./room.js";

const client = connect(badge(at("state")));

/** Who has a connection publishes over it, and the server adds the address; who polls or reads a stream publishes by POST, and says it. */
async function say(fields, to) {
    const options = to ? { to } : { wait: fields.kind === "text" };
    try {
        // Whoever waits has another address when it is over.
        if (options.wait) await client.ready();
        await client.publish(SUBJECT, { ...fields, address: client.address ?? "" }, options);
    } catch (error) {
        throw new Error(reasonFor(error), { cause: error });
    }
}

openRoom({ say, isLive: () => client.state === "connected" });

client.subscribe(SUBJECT, ({ data, from, time }) => {
    const get = (name) => (typeof data?.[name] === "string" ? data[name] : "");
    hear({ get, from, to: "", time });
});
// In force, at first and again in each new session: from now on we hear who answers.
client.on("subscription", ({ state }) => state === "subscribed" && enter());
client.on("lost", ({ count }) => missed(count));
client.on("reset", () => missed());
client.on("nack", (error) => note(`The server refused: ${reasonFor(error)}`));

// The last word of a page that goes: the browser sends it even when the page is no more. Captured, because the client lets go at the same event.
addEventListener("pagehide", sayBye, { capture: true });

function sayBye() {
    if (client.state !== "connected") return;
    const item = { subject: SUBJECT, data: { ...farewell(), address: client.address ?? "" } };
    const body = new Blob([JSON.stringify(item)], { type: "application/json" });
    navigator.sendBeacon(new URL("publish", DOORS), body);
}
