// The real server as a child process: started, restarted on its port, drained, killed.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Listener, Publisher, command, post, request } from "./http.js";
import { until, within } from "./wait.js";

const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), "../../../..");

// PUSHLETD, or the newest of what cargo has built.
export function findProgram() {
    if (process.env.PUSHLETD) return process.env.PUSHLETD;
    const built = ["release", "debug"].map((kind) => join(REPOSITORY, "target", kind, "pushletd")).filter(existsSync);
    built.sort((one, other) => statSync(other).mtimeMs - statSync(one).mtimeMs);
    if (built.length === 0) throw new Error("there is no pushletd: run `cargo build`, or name one by PUSHLETD");
    return built[0];
}

// Short waits, so that a test of pull takes as long as one of stream.
const settings = (heartbeat, pullWait, [pollMin, pollMax]) => `heartbeat = "${heartbeat}"
drain_time = "2s"
cores = 2
[pushlet]
pull_wait = "${pullWait}"
pull_refresh_wait_min = "100ms"
pull_refresh_wait_max = "300ms"
poll_refresh_wait_min = "${pollMin}"
poll_refresh_wait_max = "${pollMax}"
`;

// Whatever ends this process ends its servers.
const running = new Set();
process.on("exit", () => {
    for (const child of running) child.kill("SIGKILL");
});

export class Server {
    // heartbeat: after how long a silence; pullWait: how long a pull waits; pollRest: from one poll to the next; admin: true for an admin port; more: further settings,
    // with files ({ name: text }) beside them.
    constructor({
        heartbeat = "1s",
        pullWait = "1s",
        pollRest = ["100ms", "300ms"],
        admin = false,
        more = "",
        files = {},
    } = {}) {
        this.admin = admin;
        this.listeners = [];
        this.port = 0;
        this.log = "";
        this.folder = mkdtempSync(join(tmpdir(), "pushletd-server-"));
        this.config = join(this.folder, "pushletd.toml");
        writeFileSync(this.config, settings(heartbeat, pullWait, pollRest) + more);
        for (const [name, text] of Object.entries(files)) writeFileSync(join(this.folder, name), text, { mode: 0o600 });
    }

    get base() {
        return `http://127.0.0.1:${this.port}/`;
    }

    // Starts the program; a second time on the port of the first.
    async start() {
        const admin = this.admin ? "127.0.0.1:0" : "off";
        const flags = ["--listen", `127.0.0.1:${this.port}`, "--admin", admin, "--config", this.config];
        const child = spawn(findProgram(), flags, { stdio: ["ignore", "pipe", "pipe"] });
        this.child = child;
        running.add(child);
        this.exited = new Promise((resolve) => {
            child.on("exit", () => {
                running.delete(child);
                resolve();
            });
            child.on("error", (error) => {
                this.log += `${error}\n`;
                resolve();
            });
        });
        let told = "";
        child.stdout.on("data", (part) => {
            told += part;
        });
        child.stderr.on("data", (part) => (this.log += part));
        await until("the server's start lines", () => {
            if (child.exitCode !== null) throw new Error(`the server ended at once: ${this.log}`);
            return /^limits: .*\n/m.test(told);
        });
        this.port = Number(/^listening on http:\/\/[^/]*:(\d+)\//m.exec(told)[1]);
        if (this.admin) this.adminBase = /^admin on (http:\/\/\S+?)\/?\s/m.exec(told)[1];
        this.publisher = new Publisher(this.base);
        return this;
    }

    async end(signal) {
        if (this.child && this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
        await within(`the end of the server by ${signal}`, this.exited);
    }

    // Drains: every listener is told, then the process ends.
    drain() {
        return this.end("SIGTERM");
    }

    // Ends without a word.
    kill() {
        return this.end("SIGKILL");
    }

    // Takes all its time away, as if its machine had gone from the network: connections stay, and nothing comes.
    hold() {
        this.child.kill("SIGSTOP");
    }

    goOn() {
        this.child.kill("SIGCONT");
    }

    publish(subject, fields) {
        return this.publisher.publish(subject, fields);
    }

    // By the door of today: an item, or an array of them.
    post(item) {
        return post(this.base, item);
    }

    // A listener outside the browser, which ends with the server.
    async listen(subject) {
        const listener = await Listener.open(this.base, subject);
        this.listeners.push(listener);
        return listener;
    }

    command(fields) {
        return command(this.base, fields);
    }

    // Whether the session lives, seen from outside.
    async knows(id) {
        const answer = await this.command({ p_event: "hb", p_id: id });
        return answer.status === 200;
    }

    // One figure of /metrics, without labels.
    async figure(name) {
        const page = await request(`${this.adminBase}/metrics`);
        const line = new RegExp(`^${name} (\\S+)$`, "m").exec(page.body);
        if (!line) throw new Error(`/metrics has no ${name}`);
        return Number(line[1]);
    }

    async close() {
        for (const listener of this.listeners) listener.close();
        if (this.child) await this.kill();
        rmSync(this.folder, { recursive: true, force: true });
    }
}
