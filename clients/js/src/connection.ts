// The one physical connection: its transports, its session, and the union of what all tabs wish.
import type { State, SubscriptionState, TransportName, Trouble } from "./api.js";
import { call, publish } from "./http.js";
import { memory as memoryOf } from "./memory.js";
import type { Platform } from "./platform.js";
import { type Attempt, type Race, race as begin } from "./race.js";
import { fetchStream } from "./transports/fetch.js";
import { poll } from "./transports/poll.js";
import { sse } from "./transports/sse.js";
import { urlOfStream } from "./transports/stream.js";
import { ws } from "./transports/ws.js";
import { type Ground, type Loss, type Outcome, type Transport, type Wish, lossOfEnd, tooLarge } from "./wire.js";

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
/** So long the answer to a ping may take. */
const PING_MS = 5000;
/** Subjects in a URL, in bytes; the rest follows by POST. */
const SUBJECTS_MAX = 2000;
/** So many publications go in one POST, and so many UTF-16 units: the server takes 1,024, and 262,144 bytes. */
const BATCH = { items: 1000, units: 80_000 };
const UNSENT: Outcome = { trouble: { code: "not-connected", message: "Not published: the connection was lost." } };
/** Statuses after which the same request may be carried out. */
const PASSING = [408, 429, 503];

interface Publication {
    do: "publish";
    tab: string;
    id: number;
    item: string;
    /** It is of one subject. */
    single: boolean;
}

/** What a tab asks of the connection. */
export type Command =
    | { do: "want"; tab: string; wishes: Map<string, Wish>; fresh?: boolean }
    | Publication
    /** `nudge`: try now if it waits, see whether it lives if not. `check`: only the latter. `due`: the pause is over, as this tab sees it. */
    | { do: "nudge" | "check" | "due" | "reconnect" };

export interface StateNotice {
    is: "state";
    state: State;
    transport?: TransportName | undefined;
    address?: string | undefined;
    reason?: Trouble | undefined;
    retryIn?: number | undefined;
}

/** What the connection tells the tabs; `to`: only this one. */
export type Notice = { to?: string } & (
    | StateNotice
    | { is: "hello" }
    /** All subscriptions are in force in this session. */
    | { is: "synced"; session: string }
    | { is: "subscription"; pattern: string; state: SubscriptionState; reason?: Trouble }
    | { is: "event"; event: any }
    | { is: "reset"; reason: string }
    /** It is answered in any case, perhaps later than a request may take. */
    | { is: "queued"; id: number }
    | ({ is: "answer"; id: number } & Outcome)
    | { is: "nack"; trouble: Trouble }
    | { is: "error"; trouble: Trouble }
);

export interface Connection {
    take(command: Command): void;
    /** This tab is gone. */
    drop(tab: string): void;
    close(): void;
}

/** What the server was asked for a pattern in this session. */
interface Held {
    /** As JSON; empty: ask again. */
    wish: string;
    state: "subscribing" | "subscribed";
    /** The server asked to wait. */
    waits?: boolean;
}

/** Two wishes for one pattern: the longest queue, and conflation only if both want it. */
export function both(one: Wish | undefined, { queue, conflate }: Wish): Wish {
    if (one) {
        queue = queue && one.queue && Math.max(queue, one.queue);
        conflate &&= one.conflate;
    }
    return { queue, conflate: conflate || undefined };
}

/** Opens a connection and keeps it open. */
export function connection(
    platform: Platform,
    base: string,
    key: string | undefined,
    order: readonly TransportName[],
    tell: (notice: Notice) => void,
): Connection {
    const { now, random } = platform;
    const memory = memoryOf(platform, base);
    const tabs = new Map<string, Map<string, Wish>>();
    const held = new Map<string, Held>();
    const stops = new Map<string, () => void>();
    let state: StateNotice = { is: "state", state: "connecting" };
    let live: Attempt | undefined;
    let race: Race | undefined;
    let failures = 0;
    let cuts = 0;
    let since = 0;
    let silenceMs = 0;
    let retryMs: number | undefined;
    // When the next try begins, and whether the server named the time.
    let due = 0;
    let hinted = false;
    let synced = false;
    let flushing = false;
    let closed = false;
    // Subjects go one by one, because one of them was refused.
    let alone = false;
    let session = "";
    // Publications that are not sent. Invariant: empty without a session.
    let queue: Publication[] = [];
    // The POST that is on its way.
    let posting: AbortController | undefined;

    /** Calls once after so many ms, unless something else takes the name. */
    function set(name: string, ms: number, call: () => void): void {
        stops.get(name)?.();
        stops.set(name, platform.after(ms, call));
    }

    function turn(next: Omit<StateNotice, "is">): void {
        state = { is: "state", ...next };
        tell(state);
    }

    function ended(message: any): Loss {
        return lossOfEnd(message, random());
    }

    // Opening

    function open(): void {
        leave();
        turn({ state: "connecting" });
        const known = memory.recall();
        const first = order.filter((name) => known?.left && name === known.name);
        compete([...new Set([...first, ...order])], (loss) => {
            lost(loss);
            inquire();
        });
    }

    /** A WebSocket does not say why it was refused. Where nothing else may be used, a request asks whether it is for good. */
    function inquire(): void {
        if (closed || order.join() !== "ws") return;
        const round = failures;
        const control = new AbortController();
        stops.set("inquiry", () => control.abort());
        const ground = { platform, base, key, subjects: [] } as unknown as Ground;
        call(ground, urlOfStream(ground, {}), {}, control.signal).then(
            () => control.abort(),
            (loss: Loss) => {
                if (!closed && !live && round === failures && loss.fatal && loss.trouble.field !== "subject")
                    lost(loss);
            },
        );
    }

    function leave(): void {
        for (const stop of stops.values()) stop();
        race?.cancel();
        const old = live;
        live = undefined;
        drop(old);
        for (const one of queue.splice(0)) answer(one, UNSENT);
    }

    /** Forgets a session. */
    function drop(old: Attempt | undefined): void {
        held.clear();
        synced = false;
        if (!old) return;
        old.over = true;
        old.wire!.close();
    }

    function compete(names: readonly TransportName[], failed: (loss: Loss) => void): void {
        race = begin(platform, names, attempt, failed);
    }

    function attempt(name: TransportName, mine: Race): Attempt {
        const self: Attempt = { name, subjects: subjects(), wire: undefined, over: false };
        const ground: Ground = {
            platform,
            base,
            key,
            subjects: self.subjects,
            say(said) {
                for (const message of [said].flat()) if (!self.over) hear(self, mine, message ?? {});
            },
            alive() {
                if (self === live) watch();
            },
            down(loss) {
                if (self.over) return;
                self.over = true;
                if (self === live) lost(loss);
                else refused(self, mine, loss);
            },
        };
        try {
            self.wire = TRANSPORTS[name](ground);
        } catch (error) {
            // For example a WebSocket without TLS in a page with it.
            platform.after(0, () => ground.down({ trouble: { code: "transport", message: `${error}` } }));
        }
        return self;
    }

    /** What to begin a session with: as much as a URL holds. */
    function subjects(): [string, Wish][] {
        let length = 0;
        const all = [...union()].filter(
            ([pattern]) => (length += encodeURIComponent(pattern).length + 40) <= SUBJECTS_MAX,
        );
        return alone ? all.slice(0, 1) : all;
    }

    /** An opening has failed. Where it was for a subject, the others must not suffer. */
    function refused(self: Attempt, mine: Race, loss: Loss): void {
        const [one, another] = self.subjects;
        if (loss.trouble.code !== "refused" || loss.trouble.field !== "subject") return mine.failed(self, loss);
        if (another) alone = true;
        else if (one) fail(one[0], loss.trouble);
        // Not even the subject that stands for none.
        else return mine.failed(self, { trouble: loss.trouble });
        mine.again(self);
    }

    // In session

    function hear(self: Attempt, mine: Race, message: any): void {
        const { type } = message;
        if (self !== live) {
            if (type === "session") won(self, mine, message);
            else if (type === "end") {
                self.over = true;
                self.wire?.close();
                mine.failed(self, ended(message));
            }
        } else if (type === "end") {
            lost(ended(message));
        } else if (type === "reset") {
            tell({ is: "reset", reason: message.reason });
        } else if (type === "retry") {
            retryMs = message.retry_ms;
        } else if (type === "nack") {
            tell({ is: "nack", trouble: message.trouble });
        } else if (type === "garbled") {
            tell({
                is: "error",
                trouble: { code: "transport", message: `A message cannot be read: ${message.error}` },
            });
        } else if (!type && message.subject !== undefined) {
            tell({ is: "event", event: message });
        }
    }

    function won(self: Attempt, mine: Race, message: any): void {
        const old = live;
        live = self;
        session = message.session;
        mine.won(self);
        drop(old);
        alone = false;
        retryMs = undefined;
        since = now();
        const heartbeat = message.heartbeat_ms ?? HEARTBEAT_MS;
        silenceMs = heartbeat && heartbeat * 1.25 + SLACK_MS;
        watch();
        set("stable", STABLE_MS, () => {
            failures = cuts = 0;
            if (self.name === order[0]) memory.forget();
        });
        better(self.name);
        // A WebSocket begins without subjects, so that each is answered by itself.
        if (self.name !== "ws") {
            for (const [pattern, wish] of self.subjects)
                held.set(pattern, { wish: JSON.stringify(wish), state: "subscribed" });
        }
        turn({ state: "connected", transport: self.name, address: message.address });
        for (const [pattern, { state }] of held) tell({ is: "subscription", pattern, state });
        sync();
        pump();
    }

    /** Tries better transports after a while, and goes over to the one that works. */
    function better(name: TransportName): void {
        const rank = order.indexOf(name);
        stops.get("better")?.();
        if (rank === 0) return;
        const known = memory.recall();
        if (known?.name !== name || !known.left) memory.keep(name);
        set("better", memory.recall()?.left || STABLE_MS, () => compete(order.slice(0, rank), () => better(name)));
    }

    /** Expects a sign of life in time. */
    function watch(ms = silenceMs): void {
        stops.get("silence")?.();
        if (!ms) return;
        const latest = now() + ms;
        set("silence", ms, () => {
            // A machine that slept: what came meanwhile is heard only after this.
            if (now() - latest > PING_MS) watch(PING_MS);
            else lost({ trouble: { code: "silent", message: "The connection gave no sign of life." }, cut: true });
        });
    }

    // Losing

    function lost(loss: Loss): void {
        const { trouble } = loss;
        const hint = loss.retryMs ?? (live && loss.cut ? retryMs : undefined) ?? 0;
        const last = order[order.length - 1]!;
        if (live) {
            cuts = loss.cut && now() - since < STABLE_MS ? cuts + 1 : 0;
            if (cuts >= CUTS_MAX && live.name !== last) {
                cuts = 0;
                memory.keep(last);
            }
        }
        leave();
        if (loss.fatal) {
            turn({ state: "disconnected", reason: trouble });
        } else {
            const retryIn = Math.max(pause(), hint);
            due = now() + retryIn;
            hinted = hint > 0;
            set("open", retryIn, open);
            turn({ state: "connecting", reason: trouble, retryIn });
        }
        tell({ is: "error", trouble });
    }

    /** Full jitter: at random up to a bound that doubles. */
    function pause(): number {
        const bound = Math.min(PAUSE_MS.most, PAUSE_MS.first * 2 ** failures++);
        return PAUSE_MS.least + random() * (bound - PAUSE_MS.least);
    }

    // Subscriptions

    /** What all tabs wish, together. */
    function union(): Map<string, Wish> {
        const all = new Map<string, Wish>();
        for (const wishes of tabs.values()) {
            for (const [pattern, wish] of wishes) all.set(pattern, both(all.get(pattern), wish));
        }
        return all;
    }

    function flush(): void {
        if (flushing) return;
        flushing = true;
        queueMicrotask(() => {
            flushing = false;
            sync();
        });
    }

    /** Asks the server for what is wished and not yet in force. */
    function sync(): void {
        if (!live) return;
        const wire = live.wire!;
        const wanted = union();
        for (const pattern of [...held.keys()]) {
            if (wanted.has(pattern)) continue;
            held.delete(pattern);
            tell({ is: "subscription", pattern, state: "unsubscribed" });
            wire.change("unsubscribe", pattern).catch(() => {});
        }
        for (const [pattern, wish] of wanted) {
            const text = JSON.stringify(wish);
            const old = held.get(pattern);
            if (old?.waits || old?.wish === text) continue;
            const one: Held = { wish: text, state: "subscribing" };
            held.set(pattern, one);
            tell({ is: "subscription", pattern, state: "subscribing" });
            wire.change("subscribe", pattern, wish).then(
                () => answered(pattern, one),
                (trouble: Trouble) => answered(pattern, one, trouble),
            );
        }
        settle();
    }

    function answered(pattern: string, one: Held, trouble?: Trouble): void {
        if (held.get(pattern) !== one) return;
        if (!trouble) {
            one.state = "subscribed";
            tell({ is: "subscription", pattern, state: "subscribed" });
        } else if (["refused", "too-large"].includes(trouble.code) && !PASSING.includes(trouble.status!)) {
            fail(pattern, trouble);
        } else {
            // It passes: ask again.
            one.waits = true;
            set(`sync ${pattern}`, Math.max(1000 + 1000 * random(), (trouble.retryAfter ?? 0) * 1000), () => {
                one.waits = false;
                one.wish = "";
                sync();
            });
        }
        settle();
    }

    function fail(pattern: string, reason: Trouble): void {
        held.delete(pattern);
        for (const wishes of tabs.values()) wishes.delete(pattern);
        tell({ is: "subscription", pattern, state: "failed", reason });
        tell({ is: "nack", trouble: reason });
    }

    /** Says once in a session that all subscriptions are in force. */
    function settle(): void {
        if (synced || !live || [...held.values()].some((one) => one.state === "subscribing")) return;
        synced = true;
        tell({ is: "synced", session });
    }

    // Commands

    /** Whether a command is to open a connection now. What the server asked to wait for is waited for, if the user does not say otherwise. */
    function asks(what: Command["do"]): boolean {
        if (what === "reconnect") return !live;
        const waiting = state.retryIn !== undefined;
        if (what === "nudge") return waiting && !hinted;
        // It could not begin without a subject.
        if (what === "want") return waiting && state.reason?.field === "subject";
        // The timers of a hidden tab are late; those of another are not.
        return what === "due" && waiting && now() >= due;
    }

    function introduce(to: string): void {
        tell({ ...state, to });
        for (const [pattern, { state }] of held) tell({ is: "subscription", pattern, state, to });
        if (synced) tell({ is: "synced", session, to });
    }

    function publishes(one: Publication): void {
        const trouble = live && !live.wire!.publish && tooLarge(one.item);
        if (!live || trouble) return answer(one, trouble ? { trouble } : UNSENT);
        queue.push(one);
        if (posting || !live.wire!.publish) tell({ is: "queued", to: one.tab, id: one.id });
        pump();
    }

    /** Sends what waits. By POST one request after the other: what goes over several connections may arrive in another order. */
    function pump(): void {
        const { wire } = live ?? {};
        if (posting || !wire) return;
        if (wire.publish) {
            for (const one of queue.splice(0)) void wire.publish(one.item).then((outcome) => answer(one, outcome));
            return;
        }
        const [first] = queue;
        if (!first) return;
        // What waits meanwhile goes together.
        let units = 0;
        const end = queue.findIndex(
            ({ item, single }, place) =>
                (units += item.length) > BATCH.units || !(single && first.single) || place === BATCH.items,
        );
        const batch = queue.splice(0, end < 0 ? queue.length : Math.max(1, end));
        posting = new AbortController();
        const items = batch.map(({ item }) => item);
        void publish({ platform, base, key } as Ground, session, items, posting).then((outcomes) => {
            posting = undefined;
            for (const [place, one] of batch.entries()) answer(one, outcomes[place]!);
            pump();
        });
    }

    function answer({ tab: to, id }: Publication, outcome: Outcome): void {
        const { trouble } = outcome;
        if (trouble?.code === "refused") tell({ is: "nack", to, trouble });
        tell({ is: "answer", to, id, ...outcome });
    }

    // What is subscribed in the same turn goes with the first request.
    set("open", 0, open);

    return {
        take(command) {
            if (closed) return;
            const what = command.do;
            if (what === "publish") return publishes(command);
            // Another tab may be of another version.
            if (what === "want" && command.wishes instanceof Map) {
                tabs.set(command.tab, command.wishes);
                if (command.fresh) {
                    // A page that was opened, or loaded again, is the user's way to try again.
                    if (state.state === "disconnected") open();
                    introduce(command.tab);
                }
                flush();
            }
            if (asks(what)) open();
            else if ((what === "nudge" || what === "check") && live?.wire!.ping) {
                watch(PING_MS);
                live.wire!.ping();
            }
        },
        drop(tab) {
            tabs.delete(tab);
            queue = queue.filter((one) => one.tab !== tab);
            flush();
        },
        close() {
            closed = true;
            leave();
            posting?.abort();
        },
    };
}
