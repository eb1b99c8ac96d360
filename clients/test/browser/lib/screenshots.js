// Pictures of pages, for people: in the folder that SCREENSHOTS names, if it does.
import { mkdirSync } from "node:fs";
import { join } from "node:path";

export async function saveScreenshot(page, name) {
    const folder = process.env.SCREENSHOTS;
    if (!folder) return;
    mkdirSync(folder, { recursive: true });
    await page.screenshot({ path: join(folder, `${name.replaceAll(" ", "-")}.png`), fullPage: true });
}
