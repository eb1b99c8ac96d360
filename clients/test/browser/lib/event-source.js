// A page with a bare EventSource, which notes everything that it is told.
import { until } from "./wait.js";

// readyState of an EventSource.
export const CONNECTING = 0;
export const CLOSED = 2;

export class Source {
    constructor(page) {
        this.page = page;
    }

    // A page of the server, or of another site, that listens to subjects of `server`.
    static async open(bench, server, subjects, { site, names = [], parameters = {}, ...options } = {}) {
        let page;
        if (site) {
            page = await bench.page(options.context);
            await page.goto(`${site.origin}/event-source.html`);
        } else {
            page = await bench.open(server, "event-source", options);
        }
        const source = new Source(page);
        await source.listen(server, subjects, names, parameters);
        return source;
    }

    listen(server, subjects, names = [], parameters = {}) {
        const query = new URLSearchParams([...subjects.map((one) => ["subject", one]), ...Object.entries(parameters)]);
        return this.page.evaluate(
            ([url, wanted]) => globalThis.listenTo(url, wanted),
            [`${server.base}v1/sse?${query}`, names],
        );
    }

    // Listens, and waits until events are queued for this page.
    static async live(...given) {
        const source = await Source.open(...given);
        await source.told("session");
        return source;
    }

    seen() {
        return this.page.evaluate(() => globalThis.seen);
    }

    // The first note of a type for which it holds, of those after the first `skip`.
    told(type, { holds = () => true, skip = 0, patience } = {}) {
        const find = async () =>
            (await this.seen())
                .filter((one) => one.type === type)
                .slice(skip)
                .find(holds);
        return until(`EventSource: ${type}`, find, patience);
    }

    // The object of the first event of a name that has this data.
    async event(type, holds, patience) {
        const note = await this.told(type, { holds: ({ data }) => holds(JSON.parse(data)), patience });
        return JSON.parse(note.data);
    }

    // The objects of all events that were published.
    async objects(type = "message") {
        return (await this.seen()).filter((one) => one.type === type).map(({ data }) => JSON.parse(data));
    }

    state() {
        return this.page.evaluate(() => globalThis.source.readyState);
    }

    // Ends what it listens to and what it has noted.
    forget() {
        return this.page.evaluate(() => {
            globalThis.source.close();
            globalThis.seen = [];
        });
    }

    close() {
        return this.page.evaluate(() => globalThis.source.close());
    }
}
