// The one physical connection: its transports, its session, and the union of what all tabs wish.
import type { Published, State, SubscriptionState, TransportName, Trouble } from "./api.js";
import { publish } from "./http.js";
import { Memory } from "./memory.js";
import type { Platform } from "./platform.js";
import { type Attempt, Race } from "./race.js";
import { fetchStream } from "./transports/fetch.js";
import { poll } from "./transports/poll.js";
import { sse } from "./transports/sse.js";
import { ws } from "./transports/ws.js";
import { type Ground, type Loss, type Transport, type Wish, lossOfEnd } from "./wire.js";

export const TRANSPORTS: Record<TransportName, Transport> = { ws, sse, fetch: fetchStream, poll };

/** The pause before a try is this to the least, and at random up to a bound that doubles with each failure, in milliseconds. */
const PAUSE_MS = { least: 500, first: 1000, most: 20_000 };
/** After so long a connection is stable. */
const STABLE_MS = 60_000;
/** So many cuts in a row, each before it was stable: connections that last do not work here. */
const CUTS_MAX = 3;
/** Where a session does not say how long a silence lasts. */
const HEARTBEAT_MS = 20_000;
/** A sign of life may be late by a quarter and this. */
const SLACK_MS = 2500;
/** So long an answer to `ping` may take. */
const PING_MS = 5000;
/** Subjects in a URL, in bytes; the rest follows by POST. */
const SUBJECTS_MAX = 2000;

/** What a tab asks of the connection. */
export type Command =
    | { do: "want"; tab: string; wishes: Record<string, Wish>; fresh?: boolean }
    | { do: "publish"; tab: string; id: number; item: string }
    | { do: "nudge" | "reconnect" };

/** What the connection tells the tabs; `to`: only this one. */
export type Notice = { to?: string } & (
    | { is: "hello" }
    | { is: "synced" }
    | {
          is: "state";
          state: State;
          transport?: TransportName | undefined;
          address?: string | undefined;
          reason?: Trouble | undefined;
          retryIn?: number | undefined;
      }
    | { is: "subscription"; pattern: string; state: SubscriptionState; reason?: Trouble | undefined }
    | { is: "event"; event: any }
    | { is: "reset"; reason: string }
    | { is: "answer"; id: number; published?: Published; trouble?: Trouble }
    | { is: "nack"; trouble: Trouble }
    | { is: "error"; trouble: Trouble }
);

/** What the server was asked for a pattern in this session. */
interface Held {
    wish: string;
    state: "subscribing" | "subscribed" | "failed";
}

export class Connection {
    private readonly tabs = new Map<string, Record<string, Wish>>();
    private readonly held = new Map<string, Held>();
    private readonly memory: Memory;
    private state: Notice & { is: "state" } = { is: "state", state: "connecting" };
    private live: Attempt | undefined;
    private race: Race | undefined;
    /** Time-outs: the next try, the next sync, silence, stability, the trial of better transports. */
    private readonly stops: Record<string, () => void> = {};
    private failures = 0;
    private cuts = 0;
    private since = 0;
    private silenceMs = 0;
    private retryMs: number | undefined;
    private synced = false;
    private flushing = false;
    private closed = false;
    /** Subjects go one by one, because one of them was refused. */
    private alone = false;

    constructor(
        private readonly platform: Platform,
        private readonly base: string,
        private readonly key: string | undefined,
        private readonly order: readonly TransportName[],
        private readonly tell: (notice: Notice) => void,
    ) {
        this.memory = new Memory(platform, base);
        // What is subscribed in the same turn goes with the first request.
        this.set("open", 0, () => this.open());
    }

    /** Calls once after so many ms, unless something else takes the name. */
    private set(name: string, ms: number, call: () => void): void {
        this.stop(name);
        this.stops[name] = this.platform.after(ms, call);
    }

    private stop(...names: string[]): void {
        for (const name of names) this.stops[name]?.();
    }

    take(command: Command): void {
        if (this.closed) return;
        if (command.do === "want") {
            this.tabs.set(command.tab, command.wishes);
            if (command.fresh) this.introduce(command.tab);
            this.flush();
        } else if (command.do === "publish") {
            this.publish(command);
        } else if (command.do === "reconnect" ? !this.live : this.stops["open"] && this.state.retryIn !== undefined) {
            this.open();
        } else if (this.live?.wire!.ping) {
            this.watch(PING_MS);
            this.live.wire!.ping();
        }
    }

    /** This tab is gone. */
    drop(tab: string): void {
        this.tabs.delete(tab);
        this.flush();
    }

    close(): void {
        this.closed = true;
        this.leave();
    }

    private leave(): void {
        this.stop(...Object.keys(this.stops));
        this.race?.cancel();
        const { live } = this;
        this.live = undefined;
        this.held.clear();
        this.synced = false;
        if (live) {
            live.over = true;
            live.wire!.close();
        }
    }

    private introduce(to: string): void {
        this.tell({ ...this.state, to });
        for (const [pattern, { state }] of this.held) this.tell({ is: "subscription", pattern, state, to });
        if (this.synced) this.tell({ is: "synced", to });
    }

    // Opening

    private open(): void {
        this.leave();
        this.turn({ state: "connecting" });
        const first = this.memory.recall();
        const begin = this.order.filter((name) => first?.left && name === first.name);
        this.compete([...new Set([...begin, ...this.order])], (loss) => this.lost(loss));
    }

    private compete(names: readonly TransportName[], lost: (loss: Loss) => void): void {
        this.race = new Race(this.platform, names, (name) => this.attempt(name), lost);
        this.race.next();
    }

    private attempt(name: TransportName): Attempt {
        const race = this.race!;
        const subjects = this.subjects();
        const attempt: Attempt = { name, patterns: subjects.map(([pattern]) => pattern), wire: undefined, over: false };
        const ground: Ground = {
            platform: this.platform,
            base: this.base,
            key: this.key,
            subjects,
            say: (said) => {
                for (const message of [said].flat()) if (!attempt.over) this.hear(attempt, race, message);
            },
            alive: () => {
                if (attempt === this.live) this.watch();
            },
            down: (loss) => {
                if (attempt.over) return;
                attempt.over = true;
                if (attempt === this.live) this.lost(loss);
                else if (race.active) this.refused(attempt, race, loss);
            },
        };
        try {
            attempt.wire = TRANSPORTS[name](ground);
        } catch (error) {
            // For example a WebSocket without TLS in a page with it.
            const trouble: Trouble = { code: "transport", message: `${error}` };
            this.platform.after(0, () => ground.down({ trouble }));
        }
        return attempt;
    }

    /** What to begin a session with: as much as a URL holds. */
    private subjects(): [string, Wish][] {
        let length = 0;
        const all = [...this.union()].filter(([pattern]) => {
            length += encodeURIComponent(pattern).length + 40;
            return length <= SUBJECTS_MAX;
        });
        return this.alone ? all.slice(0, 1) : all;
    }

    /** An opening has failed. Where it was for a subject, the others must not suffer. */
    private refused(attempt: Attempt, race: Race, loss: Loss): void {
        const [pattern, another] = attempt.patterns;
        if (loss.trouble.code !== "refused" || loss.trouble.field !== "subject") return race.failed(attempt, loss);
        if (another !== undefined) this.alone = true;
        else if (pattern !== undefined) this.fail(pattern, loss.trouble);
        else return race.failed(attempt, { trouble: loss.trouble });
        race.again(attempt);
    }

    // In session

    private hear(attempt: Attempt, race: Race, message: any): void {
        const { type } = message ?? {};
        if (attempt !== this.live) {
            if (type === "session" && race.active) this.won(attempt, race, message);
            else if (type === "end")
                this.platform.after(0, () => race.active && race.failed(attempt, this.ended(message)));
        } else if (type === "end") {
            this.lost(this.ended(message));
        } else if (type === "reset") {
            this.tell({ is: "reset", reason: message.reason });
        } else if (type === "retry") {
            this.retryMs = message.retry_ms;
        } else if (type === "nack") {
            this.tell({ is: "nack", trouble: message.trouble });
        } else if (type === "garbled") {
            this.tell({
                is: "error",
                trouble: { code: "transport", message: `A message cannot be read: ${message.error}` },
            });
        } else if (type === undefined && message?.subject !== undefined) {
            this.tell({ is: "event", event: message });
        }
    }

    private ended(message: any): Loss {
        return lossOfEnd(message, this.platform.random());
    }

    private won(attempt: Attempt, race: Race, session: any): void {
        race.won(attempt);
        const old = this.live;
        if (old) {
            old.over = true;
            old.wire!.close();
        }
        this.live = attempt;
        this.held.clear();
        this.synced = false;
        this.alone = false;
        this.retryMs = undefined;
        this.since = this.platform.now();
        // Browsers cannot see the server's own life signs.
        const heartbeat = session.heartbeat_ms ?? HEARTBEAT_MS;
        this.silenceMs = heartbeat && heartbeat * 1.25 + SLACK_MS;
        this.watch();
        this.set("stable", STABLE_MS, () => {
            this.failures = this.cuts = 0;
            if (attempt.name === this.order[0]) this.memory.forget();
        });
        this.better(attempt);
        if (attempt.name !== "ws") {
            const union = this.union();
            for (const pattern of attempt.patterns) {
                if (union.has(pattern))
                    this.held.set(pattern, { wish: JSON.stringify(union.get(pattern)), state: "subscribed" });
            }
        }
        this.turn({ state: "connected", transport: attempt.name, address: session.address });
        for (const [pattern, { state }] of this.held) this.tell({ is: "subscription", pattern, state });
        this.sync();
    }

    /** Tries better transports after a while, and goes over to the one that works. */
    private better(attempt: Attempt): void {
        const rank = this.order.indexOf(attempt.name);
        this.stop("better");
        if (rank === 0) return;
        const known = this.memory.recall();
        if (known?.name !== attempt.name || !known.left) this.memory.keep(attempt.name);
        this.set("better", this.memory.recall()?.left ?? STABLE_MS, () => {
            this.compete(this.order.slice(0, rank), () => this.better(attempt));
        });
    }

    /** Expects a sign of life in time. */
    private watch(ms = this.silenceMs): void {
        this.stop("silence");
        if (!ms) return;
        const due = this.platform.now() + ms;
        this.set("silence", ms, () => {
            // A machine that slept: what came meanwhile is heard only after this.
            if (this.platform.now() - due > PING_MS) return this.watch(PING_MS);
            this.lost({ trouble: { code: "silent", message: "The connection gave no sign of life." }, cut: true });
        });
    }

    // Losing

    private lost(loss: Loss): void {
        const attempt = this.live;
        const young = this.platform.now() - this.since < STABLE_MS;
        const hint = loss.retryMs ?? (attempt && loss.cut ? this.retryMs : undefined) ?? 0;
        this.leave();
        if (loss.fatal) {
            this.turn({ state: "disconnected", reason: loss.trouble });
            return this.tell({ is: "error", trouble: loss.trouble });
        }
        const last = this.order[this.order.length - 1]!;
        this.cuts = attempt && loss.cut && young ? this.cuts + 1 : attempt ? 0 : this.cuts;
        if (this.cuts >= CUTS_MAX && attempt?.name !== last) {
            this.cuts = 0;
            this.memory.keep(last);
        }
        const retryIn = Math.max(this.pause(), hint);
        this.set("open", retryIn, () => this.open());
        this.turn({ state: "connecting", reason: loss.trouble, retryIn });
        this.tell({ is: "error", trouble: loss.trouble });
    }

    /** Full jitter: at random up to a bound that doubles. */
    private pause(): number {
        const { least, first, most } = PAUSE_MS;
        const bound = Math.min(most, first * 2 ** this.failures++);
        return least + this.platform.random() * (bound - least);
    }

    private turn(state: Omit<Notice & { is: "state" }, "is">): void {
        this.state = { is: "state", ...state };
        this.tell(this.state);
    }

    // Subscriptions

    /** What all tabs wish, together: the longest queue, and conflation only if all want it. */
    private union(): Map<string, Wish> {
        const all = new Map<string, Wish>();
        for (const wishes of this.tabs.values()) {
            for (const [pattern, { queue, conflate }] of Object.entries(wishes)) {
                const other = all.get(pattern);
                all.set(pattern, {
                    queue: other ? queue && other.queue && Math.max(queue, other.queue) : queue,
                    conflate: (conflate && (!other || other.conflate)) || undefined,
                });
            }
        }
        return all;
    }

    private flush(): void {
        if (this.flushing) return;
        this.flushing = true;
        queueMicrotask(() => {
            this.flushing = false;
            this.sync();
        });
    }

    /** Asks the server for what is wished and not yet in force. */
    private sync(): void {
        const { live } = this;
        if (!live) return;
        const union = this.union();
        for (const [pattern, { state }] of this.held) {
            if (union.has(pattern)) continue;
            this.held.delete(pattern);
            this.tell({ is: "subscription", pattern, state: "unsubscribed" });
            if (state !== "failed") live.wire!.change("unsubscribe", pattern).catch(() => {});
        }
        for (const [pattern, wish] of union) {
            const text = JSON.stringify(wish);
            if (this.held.get(pattern)?.wish === text) continue;
            const held: Held = { wish: text, state: "subscribing" };
            this.held.set(pattern, held);
            this.tell({ is: "subscription", pattern, state: "subscribing" });
            live.wire!.change("subscribe", pattern, wish).then(
                () => this.answered(pattern, held),
                (trouble: Trouble) => this.answered(pattern, held, trouble),
            );
        }
        this.settle();
    }

    private answered(pattern: string, held: Held, trouble?: Trouble): void {
        if (this.held.get(pattern) !== held) return;
        if (!trouble) {
            held.state = "subscribed";
            this.tell({ is: "subscription", pattern, state: "subscribed" });
        } else if (trouble.code === "refused" && ![408, 429, 503].includes(trouble.status!)) {
            this.fail(pattern, trouble);
        } else {
            // It passes: ask again.
            this.held.delete(pattern);
            this.set("sync", Math.max(1000 + 1000 * this.platform.random(), (trouble.retryAfter ?? 0) * 1000), () =>
                this.sync(),
            );
            return;
        }
        this.settle();
    }

    private fail(pattern: string, reason: Trouble): void {
        this.held.delete(pattern);
        for (const wishes of this.tabs.values()) delete wishes[pattern];
        this.tell({ is: "subscription", pattern, state: "failed", reason });
        this.tell({ is: "nack", trouble: reason });
    }

    private settle(): void {
        if (this.synced || !this.live || [...this.held.values()].some(({ state }) => state === "subscribing")) return;
        this.synced = true;
        this.tell({ is: "synced" });
    }

    // Publishing

    private publish({ tab: to, id, item }: Command & { do: "publish" }): void {
        const { live } = this;
        const ground = { platform: this.platform, base: this.base, key: this.key } as Ground;
        const done = live?.wire!.publish ? live.wire!.publish(item) : publish(ground, item);
        done.then(
            (published) => this.tell({ is: "answer", to, id, published }),
            (trouble: Trouble) => {
                if (trouble.code === "refused") this.tell({ is: "nack", to, trouble });
                this.tell({ is: "answer", to, id, trouble });
            },
        );
    }
}
