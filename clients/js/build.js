// Builds dist/: npm run build. With --modern it also writes ../modern/pushletd.js, which the server serves and which is committed.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import esbuild from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const { version, license } = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));
const BANNER = `/*! pushletd ${version}, ${license} */`;

const FORMS = {
    "pushletd.mjs": { entry: "index.ts", format: "esm" },
    "pushletd.cjs": { entry: "index.ts", format: "cjs", platform: "neutral" },
    "pushletd.js": { entry: "script.ts", format: "iife", minify: true },
};

/** The text of one build. */
export function bundle(name) {
    const { entry, ...form } = FORMS[name];
    const common = {
        absWorkingDir: HERE,
        bundle: true,
        write: false,
        charset: "utf8",
        target: "es2022",
        banner: { js: BANNER },
    };
    return esbuild.buildSync({ entryPoints: [join(HERE, "src", entry)], ...common, ...form }).outputFiles[0].text;
}

/** The declarations in one file: the public types, and what index.ts adds to them. */
function declarations(folder) {
    const [api, index] = ["api.d.ts", "index.d.ts"].map((name) => readFileSync(join(folder, name), "utf8"));
    const own = index.replace(/^(import|export \*) .*\n/gm, "").replace(/^\/\/.*\n/gm, "");
    return `${BANNER}\n${api.replace(/^\/\/.*\n/gm, "")}${own}`.replace(/^export \{\};\n/gm, "");
}

function build() {
    const dist = join(HERE, "dist");
    rmSync(dist, { recursive: true, force: true });
    mkdirSync(dist);
    const types = join(dist, "types");
    const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
    execFileSync(process.execPath, [compiler, "-p", HERE], { stdio: "inherit" });
    for (const name of ["pushletd.d.ts", "pushletd.d.cts"]) writeFileSync(join(dist, name), declarations(types));
    rmSync(types, { recursive: true });
    for (const name of Object.keys(FORMS)) writeFileSync(join(dist, name), bundle(name));
    const script = readFileSync(join(dist, "pushletd.js"));
    console.log(`dist/pushletd.js: ${script.length} bytes, ${gzipSync(script, { level: 9 }).length} by gzip`);
    if (process.argv.includes("--modern")) {
        mkdirSync(join(HERE, "../modern"), { recursive: true });
        writeFileSync(join(HERE, "../modern/pushletd.js"), script);
    }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build();
