// Waiting for what must become true, never for a time to pass.

// How long a condition may take before the test fails, in milliseconds. The machines of CI are small and busy.
export const PATIENCE_MS = 15000;
const LOOK_AGAIN_MS = 25;

// Calls look() until it returns something true and returns that. A look that throws counts as not yet.
export async function until(what, look, patience = PATIENCE_MS) {
    const end = performance.now() + patience;
    let trouble;
    for (;;) {
        try {
            const found = await look();
            if (found) return found;
            trouble = undefined;
        } catch (error) {
            trouble = error;
        }
        if (performance.now() > end) {
            const cause = trouble ? `\n    last error: ${trouble.message}` : "";
            throw new Error(`waited ${patience} ms in vain for: ${what}${cause}`);
        }
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
}

// Fails if the promise is not settled in time.
export function within(what, promise, patience = PATIENCE_MS) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what}: not done within ${patience} ms`)), patience);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
