// The list of tests, filled by the files in tests/.
export const tests = [];

// A test has `seconds` to end; body gets a Bench (bench.js).
export function test(name, { seconds = 30 } = {}, body) {
    if (tests.some((known) => known.name === name)) throw new Error(`two tests are called ${name}`);
    tests.push({ name, seconds, body });
}
