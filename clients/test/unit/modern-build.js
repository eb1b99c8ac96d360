// The modern client's sources, built for these tests: with its inner parts, and a world that tests can make up.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";

const sources = join(dirname(fileURLToPath(import.meta.url)), "../../js/src");
const contents = `export * from "./index.ts"; export * from "./platform.ts"; export * from "./match.ts"; export * from "./client.ts";`;
const { outputFiles } = esbuild.buildSync({
    stdin: { contents, resolveDir: sources, loader: "ts" },
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    sourcemap: "inline",
});
const inner = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
export const { createClient, PushletError, connect, matches, world } = inner;
