// The package `pushletd`.
import type { UrlObject, Client, Options } from "./api.js";
import { createClient } from "./client.js";
import { world } from "./platform.js";

export * from "./api.js";

/**
 * Connects to a pushletd, at once and for as long as you do not `close()` it.
 *
 * `url`: `http(s)://HOST[:PORT][/PATH]`, by default where the page is from.
 */
export function connect(url?: string | UrlObject, options?: Options): Client {
    return createClient(world(), url, options ?? {});
}
