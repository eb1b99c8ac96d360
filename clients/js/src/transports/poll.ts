// Long poll: /v1/poll. Gets through everything that lets a request and its answer through.
import { broken, call, changer, subjectsOf, urlOf } from "../http.js";
import type { Loss, Transport } from "../wire.js";

/** A request that broke is asked again so many times in a row before the session is given up. */
const TRIES = 3;
/** Where somebody cuts requests that take long, they ask for less time, but not for less than this, in milliseconds. */
const WAIT_LEAST_MS = 2000;
/** An answer may be late by this. */
const LATE_MS = 10_000;

export const poll: Transport = (ground) => {
    const { platform } = ground;
    let session = "";
    let control = new AbortController();
    let over = false;
    let stop = () => {};
    let waitMs = 0;

    /** Waits, unless it is closed meanwhile: then for ever. */
    function pause(ms: number): Promise<void> {
        return new Promise((resolve) => {
            stop = platform.after(ms, resolve);
        });
    }

    async function ask(): Promise<any> {
        control = new AbortController();
        stop = platform.after(waitMs + LATE_MS, () => control.abort());
        try {
            const url = session
                ? urlOf(ground, "poll", { session, wait: waitMs < 1000 ? 0 : Math.floor(waitMs / 1000) })
                : `${urlOf(ground, "poll", {})}&${subjectsOf(ground)}`;
            const response = await call(ground, url, {}, control.signal);
            return await response.json();
        } catch (error) {
            throw (error as Loss).trouble ? error : broken(error);
        } finally {
            stop();
        }
    }

    /** One request and its answer; the result is whether a session goes on. */
    async function turn(): Promise<void> {
        const answer = await ask();
        if (over) return;
        ground.alive();
        if (answer.wait_ms !== undefined) waitMs = answer.wait_ms;
        if (!session) {
            if (!answer.session) throw broken("The answer is no session.");
            session = answer.session;
            ground.say({ ...answer, type: "session", heartbeat_ms: 0 });
        }
        ground.say(answer.events ?? []);
        if (answer.end) ground.say({ ...answer.end, type: "end" });
    }

    async function run(): Promise<void> {
        let failures = 0;
        while (!over) {
            const begun = platform.now();
            try {
                await turn();
                failures = 0;
            } catch (error) {
                const loss = error as Loss;
                if (over) return;
                const passing = loss.cut || loss.retryMs !== undefined;
                if (!session || !passing || ++failures === TRIES) return ground.down(loss);
                const took = platform.now() - begun;
                if (loss.cut && took >= 1000 && took < waitMs) waitMs = Math.max(WAIT_LEAST_MS, took * 0.6);
                await pause(loss.retryMs ?? 500 + 1500 * failures * platform.random());
                if (loss.cut && !over) ground.say({ type: "reset", reason: "broken-request" });
            }
        }
    }

    void run();
    return {
        close() {
            over = true;
            stop();
            control.abort();
        },
        change: changer(ground, () => session),
    };
};
