// Requests that are answered at once, and problem documents.
import type { Trouble } from "./api.js";
import { type Ground, type Loss, type Outcome, REQUEST_MS, type Request, type Wire, type Wish } from "./wire.js";

type Parameters = Record<string, string | number | boolean | undefined>;

/** The URL of a door. `secret`: the key stands in the URL, for what cannot set a header. */
export function urlOf(ground: Ground, door: string, parameters: Parameters, secret?: boolean): string {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.append(name, `${value}`);
    if (secret && ground.key) query.append("key", ground.key);
    return `${ground.base}/v1/${door}?${query}`;
}

/** Subjects as the doors of HTTP want them, wishes behind each. Without any, one that nobody uses: a session there needs a subject. */
export function subjectsOf(ground: Ground): string {
    const query = new URLSearchParams();
    for (const [pattern, { queue, conflate }] of ground.subjects) {
        query.append("subject", pattern);
        if (queue) query.append("queue", `${queue}`);
        if (conflate) query.append("conflate", "true");
    }
    return `${query}` || `subject=${NOBODY}`;
}

const NOBODY = "pushletd-client/nobody";

/** A request whose answer is read by the caller, unless it is a refusal. Rejects with a `Loss`. */
export async function call(ground: Ground, url: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { ...(init.headers as object) };
    if (ground.key) headers["Authorization"] = `Bearer ${ground.key}`;
    let response;
    try {
        response = await ground.platform.fetch(url, { cache: "no-store", ...init, headers, signal });
    } catch (error) {
        throw broken(error);
    }
    if (response.ok) return response;
    throw await problem(response, ground.platform.random());
}

/** The network failed, not the server. */
export function broken(error: unknown): Loss {
    const cause = (error as any)?.cause?.message;
    return {
        trouble: { code: "transport", message: `${(error as Error)?.message ?? error}${cause ? `: ${cause}` : ""}` },
        cut: true,
    };
}

async function problem(response: Response, random: number): Promise<Loss> {
    const { status } = response;
    const seconds = Number(response.headers.get("retry-after"));
    const trouble: Trouble = { code: "transport", message: `The answer was ${status}.`, status };
    let list;
    // Somebody in between may answer 401 or 403, too: only the server's own word is final.
    if (/^application\/problem\+json/.test(response.headers.get("content-type") ?? "")) {
        const { detail, field, limit, results } = await response.json().catch(() => ({}));
        list = results;
        Object.assign(
            trouble,
            { code: "refused", message: detail ?? trouble.message },
            field && { field },
            limit && { limit },
        );
    } else {
        response.body?.cancel().catch(() => {});
    }
    if (seconds) trouble.retryAfter = seconds;
    return {
        trouble,
        fatal: trouble.code === "refused" && [400, 401, 403].includes(status),
        // Not all at the same moment.
        retryMs: seconds ? seconds * 1000 * (1 + random / 4) : undefined,
        results: list,
    };
}

/** A POST; resolves with the answer's text. */
export async function post(
    ground: Ground,
    url: string,
    body?: string,
    control = new AbortController(),
): Promise<string> {
    const cancel = ground.platform.after(REQUEST_MS, () => control.abort());
    try {
        const headers = body ? { "Content-Type": "application/json" } : {};
        const response = await call(ground, url, { method: "POST", headers, body: body ?? null }, control.signal);
        return await response.text();
    } catch (error) {
        throw (error as Loss).trouble ? error : broken(error);
    } finally {
        cancel();
    }
}

/** Publishes items of a session in one request: one of any number of subjects, or several of one each. What becomes of each; never rejects. */
export async function publish(
    ground: Ground,
    session: string,
    items: readonly string[],
    control: AbortController,
): Promise<Outcome[]> {
    const list = items.length > 1;
    let said: any = {};
    let whole: Trouble | undefined;
    try {
        const body = list ? `[${items.join()}]` : items[0];
        said = JSON.parse(await post(ground, urlOf(ground, "publish", { session }), body, control));
        if (!said.accepted) throw new Error("The answer cannot be read.");
    } catch (error) {
        const { trouble, results } = error as Loss;
        const { message } = trouble ?? (error as Error);
        said = { results };
        if (trouble?.code !== "refused")
            whole = { ...trouble, code: "unknown", message: `${message} It may have been published or not.` };
        // The session has ended, and its connection will learn it.
        else
            whole =
                trouble.status === 404 && trouble.field === "session" ? { ...trouble, code: "not-connected" } : trouble;
    }
    return items.map((_, place): Outcome => {
        const { status, detail: message, field, limit } = said.results?.[place] ?? {};
        const trouble: Trouble | undefined =
            status && status !== 202 ? { code: "refused", message, status, field, limit } : whole;
        if (list) return trouble ? { trouble } : { published: { accepted: 1, refused: 0 } };
        const { accepted, refused } = said;
        return { trouble, published: accepted && { accepted, refused } };
    });
}

/** Changes subscriptions of a session by POST, one request after the other, so that they are carried out in order. */
export function changer(ground: Ground, session: () => string): Wire["change"] {
    let tail: Promise<unknown> = Promise.resolve();
    return (request: Request, pattern: string, wish?: Wish) => {
        const next = tail.then(async () => {
            try {
                await post(ground, urlOf(ground, request, { session: session(), subject: pattern, ...wish }));
            } catch (error) {
                const { trouble } = error as Loss;
                // The session is gone: the connection is, too.
                if (trouble.status === 404 && trouble.field === "session") ground.down({ trouble });
                throw trouble;
            }
        });
        tail = next.catch(() => {});
        return next;
    };
}
