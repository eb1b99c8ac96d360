// Real proxies in front of a server: Debian's nginx and haproxy.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./wait.js";

// nginx as it comes, but without the one thing by which pushletd switches its buffering off.
const nginx = (port, upstream, folder) => `
daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr;
events {}
http {
    access_log off;
    ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join("\n    ")}
    server {
        listen 127.0.0.1:${port};
        location / {
            proxy_pass http://127.0.0.1:${upstream};
            proxy_set_header Host $http_host;
            proxy_buffering on;
            proxy_ignore_headers X-Accel-Buffering;
        }
    }
}
`;

const haproxy = (port, upstream) => `
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend web
    bind 127.0.0.1:${port}
    default_backend pushletd
backend pushletd
    server one 127.0.0.1:${upstream}
`;

const KINDS = {
    nginx: [nginx, "/usr/sbin/nginx", (file, folder) => ["-e", "stderr", "-p", folder, "-c", file]],
    haproxy: [haproxy, "/usr/sbin/haproxy", (file) => ["-db", "-f", file]],
};

const running = new Set();
process.on("exit", () => {
    for (const child of running) child.kill("SIGKILL");
});

// A port that nobody has at the moment.
function freePort() {
    return new Promise((resolve) => {
        const probe = net.createServer().listen(0, "127.0.0.1", () => {
            const { port } = probe.address();
            probe.close(() => resolve(port));
        });
    });
}

function answers(port) {
    return new Promise((resolve) => {
        const socket = net.connect(port, "127.0.0.1", () => resolve(true));
        socket.on("error", () => resolve(false));
        socket.on("connect", () => socket.destroy());
    });
}

export class Proxy {
    // configure(port, upstream, folder): the text of another configuration than the one as it comes.
    static async open(kind, upstream, configure) {
        const [asItComes, program, words] = KINDS[kind];
        const config = configure ?? asItComes;
        const proxy = new Proxy();
        proxy.folder = mkdtempSync(join(tmpdir(), `pushletd-${kind}-`));
        proxy.port = await freePort();
        const file = join(proxy.folder, "config");
        writeFileSync(file, config(proxy.port, upstream, proxy.folder));
        let told = "";
        proxy.child = spawn(program, words(file, proxy.folder), { stdio: ["ignore", "pipe", "pipe"] });
        running.add(proxy.child);
        for (const pipe of [proxy.child.stdout, proxy.child.stderr]) pipe.on("data", (part) => (told += part));
        proxy.child.on("error", (error) => (told += error));
        await until(`${kind} to listen`, () => {
            if (proxy.child.exitCode !== null) throw new Error(`it has ended: ${told}`);
            return answers(proxy.port);
        });
        return proxy;
    }

    close() {
        this.child.kill("SIGKILL");
        running.delete(this.child);
        rmSync(this.folder, { recursive: true, force: true });
    }
}
