// What worked at a URL, where the best transport did not: so that the next page need not find out again.
import type { TransportName } from "./api.js";
import type { Platform } from "./platform.js";

/** The first time that a lesser transport is kept before better ones are tried again; it doubles each time, up to the most. */
const SPAN_MS = { least: 60_000, most: 3_600_000 };

interface Entry {
    name: TransportName;
    /** Until then it is the first to be tried, in ms since 1970. */
    until: number;
    span: number;
}

const here = new Map<string, string>();

export class Memory {
    private readonly place: string;

    constructor(
        private readonly platform: Platform,
        base: string,
    ) {
        this.place = `pushletd ${base}`;
    }

    private entry(): Entry | undefined {
        try {
            const text = this.platform.storage ? this.platform.storage.getItem(this.place) : here.get(this.place);
            const entry = JSON.parse(text ?? "null") as Entry | null;
            // A clock that was put back must not make it last.
            return entry && entry.until - this.platform.now() <= SPAN_MS.most ? entry : undefined;
        } catch {
            return undefined;
        }
    }

    /** What to begin with, and for how many ms. */
    recall(): { name: TransportName; left: number } | undefined {
        const entry = this.entry();
        return entry && { name: entry.name, left: Math.max(0, entry.until - this.platform.now()) };
    }

    /** Keeps to a lesser transport, for longer each time. */
    keep(name: TransportName): void {
        const span = Math.min((this.entry()?.span ?? SPAN_MS.least / 2) * 2, SPAN_MS.most);
        this.write(JSON.stringify({ name, until: this.platform.now() + span, span } satisfies Entry));
    }

    /** The best one works. */
    forget(): void {
        this.write();
    }

    private write(text?: string): void {
        try {
            const { storage } = this.platform;
            if (!storage) text ? here.set(this.place, text) : here.delete(this.place);
            else if (text) storage.setItem(this.place, text);
            else storage.removeItem(this.place);
        } catch {
            // A full or forbidden storage: then it is found out again.
        }
    }
}
