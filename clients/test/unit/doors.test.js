// What a page says to the doors of today, and the commands that say the same.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import {
    curlListen,
    curlPublish,
    frameOf,
    inQuery,
    itemOf,
    listOf,
    listenUrl,
    quoted,
    scriptListen,
    takes,
} from "../../demo/doors.js";

const DOORS = "http://host:8080/v1/";
const HARD = 'it\'s "quoted" $HOME `id` \\ %41 & ? # + 中文 </script>';

test("a pattern takes its subjects", () => {
    for (const [pattern, subject, expected] of [
        ["/a", "/a", true],
        ["/a", "/a/b", false],
        ["/a", "/ab", false],
        ["/a/*", "/a/b", true],
        ["/a/*", "/a", false],
        ["/a/*", "/a/", false],
        ["/a/*", "/a/b/c", false],
        ["/a/**", "/a/b", true],
        ["/a/**", "/a/b/c", true],
        ["/a/**", "/a/", true],
        ["/a/**", "/a", false],
        ["/*/b", "/a/b", true],
        ["/*/b", "/a/c", false],
        ["**", "/a", true],
        ["**", "a", true],
        ["**", "$server/figures", false],
        ["*/figures", "$server/figures", false],
        ["$server/*", "$server/figures", true],
        ["/x, /a/*", "/a/b", true],
        ["", "/a", false],
        [",", "", false],
    ]) {
        assert.equal(takes(pattern, subject), expected, `${pattern} and ${subject}`);
    }
});

test("an address carries every subject and key", () => {
    const url = listenUrl(DOORS, `/a/**,${HARD}`, "a key&subject=/b");
    assert.ok(url.startsWith(`${DOORS}sse?subject=/a/**,it%27s`), url);
    const query = new URL(url).searchParams;
    assert.deepEqual(query.getAll("subject"), [`/a/**,${HARD}`]);
    assert.equal(query.get("key"), "a key&subject=/b");
    assert.equal(listenUrl(DOORS, "$server/*"), `${DOORS}sse?subject=$server/*`);
    assert.equal(inQuery("a b"), "a%20b");
});

test("data are JSON, or a text that is not meant to be JSON", () => {
    const of = (data, event = "") => itemOf({ subject: "/a", event, data });
    assert.deepEqual(of(' {"n": 1} '), { item: { subject: "/a", data: { n: 1 } }, isText: false });
    assert.deepEqual(of("12", "name").item, { subject: "/a", event: "name", data: 12 });
    assert.deepEqual(of("null").item.data, null);
    assert.deepEqual(of("hello there"), { item: { subject: "/a", data: "hello there" }, isText: true });
    assert.deepEqual(of("").item.data, "");
    for (const half of ['{"n": ', "[1,", '"text', " {'n': 1}"]) assert.throws(() => of(half), SyntaxError, half);
});

test("a shell gives curl what was meant", () => {
    // Prints its words, each on a line of its own.
    const words = (command) =>
        execFileSync("sh", ["-c", command.replace(/^curl/, "printf '%s\\n'")], {
            encoding: "utf8",
            env: { ...process.env, KEY: "the key" },
        })
            .trimEnd()
            .split("\n");
    assert.equal(quoted("it's"), "'it'\\''s'");
    const item = { subject: "/a", data: HARD };
    const type = ["-H", "Content-Type: application/json"];
    const key = ["-H", "Authorization: Bearer the key"];
    const body = ["-d", JSON.stringify(item)];
    assert.deepEqual(words(curlPublish(DOORS, item, false)), [`${DOORS}publish`, ...type, ...body]);
    assert.deepEqual(words(curlPublish(DOORS, item, true)), [`${DOORS}publish`, ...key, ...type, ...body]);
    assert.deepEqual(words(curlListen(DOORS, HARD, false)), ["-N", listenUrl(DOORS, HARD)]);
    assert.deepEqual(words(curlListen(DOORS, HARD, true)), ["-N", ...key, listenUrl(DOORS, HARD)]);
});

test("a script listens to every name", () => {
    const script = scriptListen(listenUrl(DOORS, "/a"), ["one", 'a "name"']);
    assert.equal(script.split("\n").length, 4);
    assert.ok(script.includes(`new EventSource("${DOORS}sse?subject=/a")`), script);
    assert.ok(script.includes('addEventListener("a \\"name\\"", '), script);
});

test("a frame is what the server wrote", () => {
    assert.equal(frameOf({ type: "message", data: "{}", lastEventId: "" }), "data: {}");
    assert.equal(frameOf({ type: "name", data: "a\n\nb", lastEventId: "" }), "data: a\ndata: \ndata: b\nevent: name");
    assert.equal(frameOf({ type: "message", data: "{}", lastEventId: "1-2-3" }), "data: {}\nid: 1-2-3");
});

test("a list has each item once", () => {
    assert.deepEqual(listOf(" a, b,,a , "), ["a", "b"]);
    assert.deepEqual(listOf(""), []);
});
