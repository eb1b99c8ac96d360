// Opens transports one after the other, each as soon as the former has failed or been silent for its share of the time. The first session wins.
import type { TransportName } from "./api.js";
import type { Platform } from "./platform.js";
import type { Loss, Wire } from "./wire.js";

/** The last transport begins after so many ms at the latest, and each is alone for no more than the other. */
const ALL_BEGUN_MS = 3000;
const STEP_MS = 1500;
/** The last one may be silent for so long. */
const SILENCE_MS = 10_000;

/** One opening of one transport. */
export interface Attempt {
    readonly name: TransportName;
    /** The patterns that it begins with. */
    readonly patterns: readonly string[];
    wire: Wire | undefined;
    over: boolean;
}

export class Race {
    private readonly running = new Set<Attempt>();
    private readonly names: TransportName[];
    private readonly step: number;
    private stop = () => {};
    private ended = false;
    private worst: Loss | undefined;

    constructor(
        private readonly platform: Platform,
        names: readonly TransportName[],
        private readonly open: (name: TransportName) => Attempt,
        private readonly lost: (loss: Loss) => void,
    ) {
        this.names = [...names];
        this.step = Math.min(STEP_MS, ALL_BEGUN_MS / (names.length - 1 || 1));
    }

    /** Whether it still runs. */
    get active(): boolean {
        return !this.ended;
    }

    next(): void {
        this.stop();
        const name = this.names.shift();
        if (!name) {
            if (this.running.size === 0) this.fail(this.worst!);
            else this.stop = this.platform.after(SILENCE_MS, () => this.fail(this.silence()));
            return;
        }
        this.begin(name);
    }

    private begin(name: TransportName): void {
        this.stop = this.platform.after(this.step, () => this.next());
        this.running.add(this.open(name));
    }

    private silence(): Loss {
        return { trouble: { code: "silent", message: "The server did not answer in time." } };
    }

    /** Opens the same transport again, because what it began with has changed. */
    again(attempt: Attempt): void {
        this.running.delete(attempt);
        this.running.add(this.open(attempt.name));
    }

    /** This one has lost. */
    failed(attempt: Attempt, loss: Loss): void {
        this.running.delete(attempt);
        // What the server said itself says more than that something did not work.
        if (!this.worst || loss.trouble.code === "refused") this.worst = loss;
        // Refused for good, or overloaded: the others would hear the same.
        if (loss.fatal || (loss.retryMs !== undefined && loss.trouble.code === "refused")) this.fail(loss);
        else if (this.running.size === 0 || this.names.length > 0) this.next();
    }

    private fail(loss: Loss): void {
        if (this.ended) return;
        this.cancel();
        this.lost(loss);
    }

    /** This one has its session: the others are closed. */
    won(attempt: Attempt): void {
        this.running.delete(attempt);
        this.cancel();
    }

    cancel(): void {
        this.ended = true;
        this.stop();
        for (const attempt of this.running) {
            attempt.over = true;
            attempt.wire?.close();
        }
        this.running.clear();
    }
}
