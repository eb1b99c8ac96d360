// What a page says to the doors below /v1/, and the same for a terminal. Texts in, texts out.

/** Where the doors are. Below the original's context there are the pages and the old door; the doors of today are at the root alone. */
export const DOORS = new URL("../v1/", import.meta.url).href.replace(/\/pushlet\/v1\/$/, "/v1/");

/** Whether one of the patterns of a list (with commas) takes the subject. docs/protocol.md has the table. */
export function takes(list, subject) {
    const patterns = list.split(",").map((pattern) => pattern.trim());
    return patterns.some((pattern) => pattern !== "" && takesOne(pattern, subject));
}

/** `*` is one segment that is not empty, `**` at the end is the rest: one segment or more. Everything else is the subject itself. */
function takesOne(pattern, subject) {
    const wanted = pattern.split("/");
    const given = subject.split("/");
    if (subject.startsWith("$") && wanted[0].startsWith("*")) return false;
    if (wanted.at(-1) === "**") {
        wanted.pop();
        if (given.length <= wanted.length) return false;
    } else if (given.length !== wanted.length) {
        return false;
    }
    return wanted.every((segment, nth) => (segment === "*" ? given[nth] !== "" : segment === given[nth]));
}

/** A value for a query, in which people can still read subjects and patterns. */
export function inQuery(text) {
    const encoded = encodeURIComponent(text).replaceAll("'", "%27");
    return encoded.replaceAll("%2F", "/").replaceAll("%2C", ",").replaceAll("%24", "$");
}

/** Where to listen. An EventSource cannot set a header, so a key goes into the query. */
export function listenUrl(doors, subjects, key = "") {
    const query = `subject=${inQuery(subjects)}${key === "" ? "" : `&key=${inQuery(key)}`}`;
    return new URL(`sse?${query}`, doors).href;
}

/**
 * What is published. Throws where a text begins like JSON and is none.
 *
 * @returns { item, isText }: isText if the data is a plain text, as it was typed
 */
export function itemOf({ subject, event, data }) {
    const [value, isText] = valueOf(data);
    return { item: { subject, ...(event !== "" && { event }), data: value }, isText };
}

function valueOf(text) {
    try {
        return [JSON.parse(text), false];
    } catch (error) {
        if (/^\s*[[{"]/.test(text)) throw error;
        return [text, true];
    }
}

/** A word of a shell. */
export function quoted(text) {
    return `'${text.replaceAll("'", "'\\''")}'`;
}

const KEY_HEADER = '-H "Authorization: Bearer $KEY"';

/** A key stays out of the commands: its place is a variable of the shell. */
export function curlListen(doors, subjects, hasKey) {
    return `curl -N ${hasKey ? `${KEY_HEADER} \\\n    ` : ""}${quoted(listenUrl(doors, subjects))}`;
}

export function curlPublish(doors, item, hasKey) {
    const words = [
        `curl ${quoted(new URL("publish", doors).href)}`,
        ...(hasKey ? [KEY_HEADER] : []),
        "-H 'Content-Type: application/json'",
        `-d ${quoted(JSON.stringify(item))}`,
    ];
    return words.join(" \\\n    ");
}

/** How a page of anybody listens. */
export function scriptListen(url, names) {
    const lines = [
        `const source = new EventSource(${JSON.stringify(url)});`,
        "source.onmessage = ({ data }) => console.log(JSON.parse(data));",
        ...names.map(
            (name) => `source.addEventListener(${JSON.stringify(name)}, ({ data }) => console.log(JSON.parse(data)));`,
        ),
    ];
    return lines.join("\n");
}

/** The lines of an event, as the server wrote those that EventSource lets us see. */
export function frameOf({ type, data, lastEventId }) {
    const lines = data.split("\n").map((line) => `data: ${line}`);
    if (type !== "message") lines.push(`event: ${type}`);
    if (lastEventId !== "") lines.push(`id: ${lastEventId}`);
    return lines.join("\n");
}

/** A list with commas, without what is empty and what stands there twice. */
export function listOf(text) {
    return [...new Set(text.split(",").map((item) => item.trim()))].filter((item) => item !== "");
}
