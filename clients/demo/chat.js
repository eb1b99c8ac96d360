// The chat by the modern client: one connection for all tabs, whatever it goes by.
import { DOORS } from "./doors.js";
import { connect, fieldsOf } from "./line.js";
import { at, badge, reasonFor } from "./page.js";
import { SUBJECT, enter, farewell, hear, missed, note, openRoom } from "./room.js";

const client = connect(badge(at("state")));
let address = ""; // Of the newest session in which we were heard of.

/** Who has a connection publishes over it, and the server adds the address. Who polls, reads a stream or goes publishes by POST, and says it. */
function itemOf(fields) {
    return { subject: SUBJECT, data: { ...fields, address: client.address ?? address } };
}

async function say(fields, to) {
    const options = to ? { to } : { wait: fields.kind === "text" };
    try {
        // Whoever waits has another address when it is over.
        if (options.wait) await client.ready();
        const { subject, data } = itemOf(fields);
        await client.publish(subject, data, options);
    } catch (error) {
        throw new Error(reasonFor(error), { cause: error });
    }
}

openRoom({ say, isLive: () => client.state === "connected" });

client.subscribe(SUBJECT, ({ data, from, time }) => {
    const fields = fieldsOf(data);
    hear({ get: (name) => fields[name] ?? "", from, to: "", time });
});
// In force, at first and again in each new session: from now on we hear who answers.
client.on("subscription", ({ state }) => {
    if (state !== "subscribed") return;
    address = client.address;
    enter();
});
client.on("lost", ({ count }) => missed(count));
client.on("reset", () => missed());
client.on("nack", (error) => note(`The server refused: ${reasonFor(error)}`));

// The last word of a page that goes: the browser sends it even when the page is no more. By then the client may have let go of its connection.
addEventListener("pagehide", () => {
    if (!address) return;
    const body = new Blob([JSON.stringify(itemOf(farewell()))], { type: "application/json" });
    navigator.sendBeacon(new URL("publish", DOORS), body);
});
