// Opens transports one after the other, each as soon as the former has failed or been silent for its share of the time. The first session wins.
import type { TransportName } from "./api.js";
import type { Platform } from "./platform.js";
import type { Loss, Wire, Wish } from "./wire.js";

/** A transport is alone for so long; with many of them for less, so that the last begins in time. In milliseconds. */
const STEP_MS = 1500;
const LAST_BEGINS_MS = 3000;
/** The last one may be silent for so long. */
const SILENCE_MS = 10_000;

/** One opening of one transport. */
export interface Attempt {
    readonly name: TransportName;
    /** What it begins with. */
    readonly subjects: readonly (readonly [string, Wish])[];
    wire: Wire | undefined;
    /** It has failed, lost, or been closed. */
    over: boolean;
}

export interface Race {
    readonly ended: boolean;
    /** Opens the same transport again, because what it is to begin with has changed. */
    again(attempt: Attempt): void;
    failed(attempt: Attempt, loss: Loss): void;
    /** This one has its session: the others are closed. */
    won(attempt: Attempt): void;
    cancel(): void;
}

/** `open` begins one transport; `lost` is called where none has come to a session. */
export function race(
    platform: Platform,
    names: readonly TransportName[],
    open: (name: TransportName, race: Race) => Attempt,
    lost: (loss: Loss) => void,
): Race {
    const left = [...names];
    const running = new Set<Attempt>();
    const step = Math.min(STEP_MS, LAST_BEGINS_MS / (names.length - 1 || 1));
    let stop = (): void => {};
    let worst: Loss | undefined;

    function next(): void {
        stop();
        const name = left.shift();
        if (name) {
            stop = platform.after(left.length ? step : SILENCE_MS, next);
            running.add(open(name, self));
        } else {
            fail(worst ?? { trouble: { code: "silent", message: "The server did not answer in time." } });
        }
    }

    function fail(loss: Loss): void {
        self.cancel();
        lost(loss);
    }

    const self = {
        ended: false,
        again(attempt: Attempt) {
            running.delete(attempt);
            running.add(open(attempt.name, self));
        },
        failed(attempt: Attempt, loss: Loss) {
            running.delete(attempt);
            const refused = loss.trouble.code === "refused";
            // What the server said itself says more than that something did not work.
            if (!worst || refused) worst = loss;
            // Refused for good, or asked to wait: the others would hear the same.
            if (loss.fatal || (refused && loss.retryMs)) fail(loss);
            else if (!running.size || left.length) next();
        },
        won(attempt: Attempt) {
            running.delete(attempt);
            self.cancel();
        },
        cancel() {
            self.ended = true;
            stop();
            for (const attempt of running) {
                attempt.over = true;
                attempt.wire?.close();
            }
            running.clear();
        },
    };
    next();
    return self;
}
