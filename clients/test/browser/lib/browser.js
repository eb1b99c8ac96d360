// How Chromium is started.
import { chromium } from "playwright-core";

const FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

// Debian's, or the one that CHROMIUM names. Playwright switches the back/forward cache off, which users have.
export function launch({ pageCache = false } = {}) {
    return chromium.launch({
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        headless: true,
        args: FLAGS,
        ignoreDefaultArgs: pageCache ? ["--disable-back-forward-cache"] : [],
    });
}
