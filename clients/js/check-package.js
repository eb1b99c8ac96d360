// Whether the package that `npm pack` makes is one that all kinds of programs can use: npm run check-package.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);

// The program that a package brings, found by its package.json wherever the package manager put it.
function program(name) {
    let folder = here;
    for (;;) {
        try {
            const path = join(folder, "node_modules", name, "package.json");
            const { bin } = require(path);
            return join(dirname(path), typeof bin === "string" ? bin : Object.values(bin)[0]);
        } catch (error) {
            if (folder === dirname(folder)) throw error;
            folder = dirname(folder);
        }
    }
}

function check(name, flags) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [program(name), ...flags], {
        cwd: here,
        encoding: "utf8",
    });
    if (status === 0) return;
    process.stderr.write(`${name}:\n${stdout}${stderr}`);
    process.exitCode = 1;
}

check("publint", ["--strict", "."]);
check("@arethetypeswrong/cli", ["--pack", ".", "--quiet"]);
