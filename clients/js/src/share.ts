// One connection for all tabs of an origin: who holds a lock has it, the others speak to it through a channel.
import type { Command, Connection, Notice } from "./connection.js";
import type { Platform } from "./platform.js";

/** The connection, here or in another tab. */
export interface Hub {
    send(command: Command): void;
    stop(): void;
}

/** What a hub makes where it has the connection. */
export type Maker = (tell: (notice: Notice) => void) => Connection;

/** A connection of one's own. */
export function own(make: Maker, tell: (notice: Notice) => void): Hub {
    const connection = make(tell);
    return {
        send: (command) => connection.take(command),
        stop: () => connection.close(),
    };
}

/**
 * A connection that all with the same name share. Whoever gets the lock `name` makes it. Each tab holds a lock of its own as long as it lives: the
 * leader waits for it, and so learns of the end of a tab that could say nothing.
 */
export function shared(
    platform: Platform,
    name: string,
    tab: string,
    make: Maker,
    tell: (notice: Notice) => void,
): Hub {
    const control = new AbortController();
    const { signal } = control;
    const channel = new platform.BroadcastChannel!(name);
    const known = new Set([tab]);
    let alone: Hub | undefined;
    let connection: Connection | undefined;
    let held = false;
    let waiting: Command[] = [];

    /** Holds a lock until the end. */
    function hold(lock: string, then: () => void): void {
        platform
            .locks!.request(lock, { signal }, () => {
                if (signal.aborted) return Promise.resolve();
                then();
                return new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
            })
            .catch(() => {
                // Frames without an origin have no locks.
                if (!signal.aborted && !alone) release(() => (alone = own(make, tell)));
            });
    }

    function release(then: () => void): void {
        held = true;
        then();
        const commands = waiting;
        waiting = [];
        for (const command of commands) send(command);
    }

    function send(command: Command): void {
        if (signal.aborted) return;
        if (!held) waiting.push(command);
        else if (alone) alone.send(command);
        else if (connection) connection.take(command);
        else channel.postMessage({ command });
    }

    function take(command: Command): void {
        if (command.do === "want" && !known.has(command.tab)) {
            known.add(command.tab);
            const { tab: other } = command;
            platform
                .locks!.request(`${name} ${other}`, { signal }, async () => {
                    known.delete(other);
                    connection!.drop(other);
                })
                .catch(() => {});
        }
        connection!.take(command);
    }

    channel.onmessage = ({ data }) => {
        if (connection && data?.command) take(data.command);
        else if (!connection && data?.notice && (data.notice.to ?? tab) === tab) tell(data.notice);
    };
    hold(`${name} ${tab}`, () => release(() => {}));
    hold(name, () => {
        const say = (notice: Notice): void => {
            if (signal.aborted) return;
            if ((notice.to ?? tab) === tab) tell(notice);
            if (notice.to !== tab && (notice.is === "hello" || known.size > 1)) channel.postMessage({ notice });
        };
        connection = make(say);
        say({ is: "hello" });
    });
    return {
        send,
        stop() {
            connection?.close();
            alone?.stop();
            control.abort();
            channel.onmessage = null;
            channel.close();
        },
    };
}
