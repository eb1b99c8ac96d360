// Numbers and time spans as the demo pages show them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { figure, rate, reasonFor, span } from "../../demo/page.js";

test("figures are for people", () => {
    const rows = [
        ["0", "0"],
        [4812, "4,812"],
        ["99999", "99,999"],
        ["1234567", "1.2M"],
        ["", "–"],
        [undefined, "–"],
        ["many", "–"],
    ];
    for (const [value, text] of rows) assert.equal(figure(value), text);
});

test("rates have a digit behind the point while they are small", () => {
    for (const [value, text] of [
        ["0", "0"],
        ["0.0", "0"],
        ["2.53", "2.5"],
        ["15.4", "15"],
        ["120000", "120K"],
        [undefined, "–"],
    ]) {
        assert.equal(rate(value), text);
    }
});

test("spans have their two largest units", () => {
    for (const [seconds, text] of [
        ["0", "0 s"],
        ["45", "45 s"],
        ["200", "3 min 20 s"],
        ["3600", "1 h"],
        ["18125", "5 h 2 min"],
        ["1051200", "12 d 4 h"],
        ["x", "–"],
        ["-1", "–"],
    ]) {
        assert.equal(span(seconds), text);
    }
});

test("every browser's word for a dead network is the same to a reader", () => {
    const words = [
        "Failed to fetch",
        "NetworkError when attempting to fetch resource.",
        "Load failed",
        "network error",
    ];
    for (const reason of words) assert.equal(reasonFor(reason), "the server does not answer");
    assert.equal(reasonFor("empty subject"), "empty subject");
});
