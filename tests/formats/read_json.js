// Reads an answer of format json from standard input and prints it as arrays of [name, value]. The argument says what
// it must be: one array, or one object a line.
'use strict';
const bytes = require('fs').readFileSync(0);
const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
const events = process.argv[2] === 'array'
    ? JSON.parse(text)
    : text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
process.stdout.write(JSON.stringify(events.map((event) => Object.entries(event))));
