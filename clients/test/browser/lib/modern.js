// A page with the modern client, which notes everything that it is told.
import { Front } from "./front.js";
import { until } from "./wait.js";

export class Modern {
    constructor(page) {
        this.page = page;
    }

    // A site in front of a server, which closes with the test.
    static async front(bench, { port }, options) {
        const front = await Front.open(port, options);
        bench.sites.push(front);
        return front;
    }

    // A page of a front that listens to patterns.
    static async open(bench, front, patterns, { options = {}, context, page: given } = {}) {
        const page = given ?? (await bench.page(context));
        await page.goto(`${front.base}test/page.html`);
        const modern = new Modern(page);
        await modern.begin(patterns, options);
        return modern;
    }

    // Opens it, and waits until all is subscribed.
    static async live(...given) {
        const modern = await Modern.open(...given);
        await modern.subscribed();
        return modern;
    }

    begin(patterns, options = {}) {
        return this.page.evaluate(([more, wanted]) => globalThis.begin(more, wanted), [options, patterns]);
    }

    subscribed() {
        return until("subscriptions in force", () =>
            this.page.evaluate(() => globalThis.subscriptions.every(({ state }) => state === "subscribed")),
        );
    }

    seen(type) {
        return this.page.evaluate((wanted) => globalThis.seen.filter((one) => !wanted || one.type === wanted), type);
    }

    // The first note of this type for which it holds.
    told(type, holds = () => true, patience) {
        return until(`the modern client: ${type}`, async () => (await this.seen(type)).find(holds), patience);
    }

    forget() {
        return this.page.evaluate(() => {
            globalThis.seen = [];
        });
    }

    about() {
        return this.page.evaluate(() => {
            const { state, transport, address } = globalThis.client;
            return { state, transport, address };
        });
    }

    // What becomes of a call: its result, or { code, status } of its error.
    call(name, ...given) {
        return this.page.evaluate(
            ([method, values]) =>
                globalThis.client[method](...values).then(
                    (result) => result ?? true,
                    ({ code, status, message }) => ({ code, status, message }),
                ),
            [name, given],
        );
    }
}
