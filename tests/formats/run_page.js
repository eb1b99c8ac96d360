// Does with a page of format js, read from standard input, what a browser does: finds its script elements, runs them
// one after the other inside a frame whose parent has push(), and prints what was pushed, what stood outside the
// scripts, and where the page went.
'use strict';
const vm = require('vm');

const bytes = require('fs').readFileSync(0);
// A page parser decodes strictly where it reports errors, makes every line end a LF and replaces NUL inside scripts.
const page = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    .decode(bytes).replace(/\r\n?/g, '\n').replace(/\0/g, '\ufffd');

const result = { pushed: [], outside: '', delays: [], loaded: [] };
const frame = vm.createContext({
    parent: { push: (...parts) => { result.pushed.push(parts); } },
    document: { location: { set href(url) { result.loaded.push(url); } } },
    setTimeout: (code, delay) => {
        result.delays.push(delay);
        vm.runInContext(code, frame);
    },
    alert: () => { throw new Error('a published script ran'); },
});

let at = 0;
while (at < page.length) {
    const begin = page.slice(at).search(/<script[\s>]/i);
    if (begin < 0) break;
    result.outside += page.slice(at, at + begin);
    const content = page.indexOf('>', at + begin) + 1;
    const length = page.slice(content).search(/<\/script[\s\/>]/i);
    if (length < 0) throw new Error('a script element does not end');
    const script = page.slice(content, content + length);
    if (script.includes('<!--')) throw new Error('a script escapes its end tag');
    vm.runInContext(script, frame);
    at = page.indexOf('>', content + length) + 1;
}
result.outside += page.slice(at);
process.stdout.write(JSON.stringify(result));
