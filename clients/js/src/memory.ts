// What worked at a URL, where the best transport did not: so that the next page need not find out again.
import type { TransportName } from "./api.js";
import type { Platform } from "./platform.js";

/** A lesser transport is kept for so long before better ones are tried again; doubled each time, up to the most. In milliseconds. */
const SPAN_MS = { least: 60_000, most: 3_600_000 };

interface Entry {
    name: TransportName;
    /** Until then it is the first to be tried, in ms since 1970. */
    until: number;
    span: number;
}

export interface Memory {
    /** What to begin with, and for how many ms. */
    recall(): { name: TransportName; left: number } | undefined;
    /** Keeps to a lesser transport, for longer each time. */
    keep(name: TransportName): void;
    /** The best one works. */
    forget(): void;
}

/** For where there is no storage: as long as the program runs. */
const here = new Map<string, string>();

export function memory({ storage, now }: Platform, base: string): Memory {
    const place = `pushletd ${base}`;

    function entry(): Entry | undefined {
        try {
            const known = JSON.parse((storage ? storage.getItem(place) : here.get(place)) ?? "null") as Entry | null;
            // A clock that was put back must not make it last.
            if (known && known.until - now() <= SPAN_MS.most) return known;
        } catch {
            // Forbidden, or not ours.
        }
        return undefined;
    }

    function write(text: string): void {
        try {
            if (storage) storage.setItem(place, text);
            else here.set(place, text);
        } catch {
            // Full or forbidden: then it is found out again.
        }
    }

    return {
        recall() {
            const known = entry();
            return known && { name: known.name, left: Math.max(0, known.until - now()) };
        },
        keep(name) {
            const span = Math.min((entry()?.span ?? SPAN_MS.least / 2) * 2, SPAN_MS.most);
            write(JSON.stringify({ name, until: now() + span, span } satisfies Entry));
        },
        forget: () => write("null"),
    };
}
