// Readers and publishers that are no browsers: programs that a test starts, and that end with it.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { query } from "./http.js";
import { findProgram } from "./server.js";
import { until } from "./wait.js";

const JAVA = join(dirname(fileURLToPath(import.meta.url)), "../../../../tests/formats/java");
// A virtual machine or a compiler starts slowly on a busy machine.
const START_MS = 60000;

const execute = promisify(execFile);

// Whatever ends this process ends its programs.
const running = new Set();
process.on("exit", () => {
    for (const child of running) child.kill("SIGKILL");
});

// A program, and the lines that it prints.
class Reader {
    constructor(name, words) {
        this.name = name;
        this.lines = [];
        this.told = "";
        this.child = spawn(name, words, { stdio: ["pipe", "pipe", "pipe"] });
        running.add(this.child);
        this.child.on("exit", () => running.delete(this.child));
        this.child.on("error", (error) => (this.told += error));
        this.child.stdin.on("error", (error) => (this.told += error));
        this.child.stderr.on("data", (part) => (this.told += part));
        createInterface({ input: this.child.stdout }).on("line", (line) => this.lines.push(JSON.parse(line)));
    }

    // The first event for which it holds.
    async heard(what, holds) {
        return until(
            `${what}, printed by ${this.name}`,
            () => {
                const found = this.lines.find(holds);
                if (!found && this.child.exitCode !== null) throw new Error(`${this.name} has ended: ${this.told}`);
                return found;
            },
            START_MS,
        );
    }

    // Acts again and again until anything is printed.
    heardWhile(what, act) {
        return until(`${what}, printed by ${this.name}`, async () => {
            await act();
            return this.lines.length > 0;
        });
    }

    close() {
        this.child.kill("SIGKILL");
    }
}

// `pushletd sub`, which prints an object for each event.
export function subscribe(server, subject) {
    return new Reader(findProgram(), ["sub", "--format", "json", "--output", "json", server.base, subject]);
}

// A Java program that reads serialized objects (format ser), as old applets did: it prints an object for each event.
export class JavaReader extends Reader {
    static async open(server, subject) {
        const classes = mkdtempSync(join(tmpdir(), "pushletd-java-"));
        const sources = ["ReadEvents.java", "nl/justobjects/pushlet/core/Event.java"].map((file) => join(JAVA, file));
        await execute("javac", ["-encoding", "UTF-8", "-d", classes, ...sources], { timeout: START_MS });
        const reader = new JavaReader("java", ["-cp", classes, "ReadEvents"]);
        reader.classes = classes;
        const asked = query({ p_event: "join-listen", p_format: "ser", p_mode: "stream", p_subject: subject });
        reader.sent = http.get(`${server.base}pushlet.srv?${asked}`, { agent: false });
        const [answer] = await once(reader.sent, "response");
        answer.on("error", (error) => (reader.told += error));
        answer.pipe(reader.child.stdin);
        await reader.heard("the ack", (pairs) => fieldsOf(pairs).p_event === "join-listen-ack");
        return reader;
    }

    async event(what, holds) {
        return fieldsOf(await this.heard(what, (pairs) => holds(fieldsOf(pairs))));
    }

    close() {
        super.close();
        this.sent.destroy();
        rmSync(this.classes, { recursive: true, force: true });
    }
}

// Names and values in turn.
function fieldsOf(pairs) {
    return Object.fromEntries(Array.from({ length: pairs.length / 2 }, (_, at) => pairs.slice(2 * at, 2 * at + 2)));
}

// Publishes with curl, as its user types it. Returns { status, answer }.
export async function curlPost(server, item) {
    const words = ["-sS", "-w", "\n%{http_code}", "-H", "Content-Type: application/json", "-d", JSON.stringify(item)];
    const { stdout } = await execute("curl", [...words, `${server.base}v1/publish`], { timeout: START_MS });
    const [answer, status] = stdout.split(/\n(?=\d+$)/);
    return { status: Number(status), answer: JSON.parse(answer) };
}

// Runs what a page shows as a command for a terminal. Returns { stdout, over }: over is settled when it has ended.
export function shell(command, environment = {}) {
    const child = spawn("sh", ["-c", command], {
        stdio: ["ignore", "pipe", "ignore"],
        env: { ...process.env, ...environment },
        detached: true,
    });
    const run = { stdout: "", over: once(child, "exit").then(([code]) => code) };
    running.add(child);
    child.on("exit", () => running.delete(child));
    child.stdout.on("data", (part) => (run.stdout += part));
    // With what it has started.
    run.close = () => {
        if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGKILL");
    };
    return run;
}
