// Pictures of pages, for people: in the folder that SCREENSHOTS names, if it does.
import { mkdirSync } from "node:fs";
import { join } from "node:path";

function fileFor(name) {
    const folder = process.env.SCREENSHOTS;
    mkdirSync(folder, { recursive: true });
    return join(folder, `${name.replaceAll(" ", "-")}.png`);
}

export async function saveScreenshot(page, name) {
    if (process.env.SCREENSHOTS) await page.screenshot({ path: fileFor(name), fullPage: true });
}

// What several tabs of a context show, side by side in one picture.
export async function saveSheet(pages, name) {
    if (!process.env.SCREENSHOTS) return;
    const images = [];
    for (const page of pages) {
        await page.evaluate(() => globalThis.scrollTo(0, 0));
        const bytes = await page.screenshot({ type: "jpeg", quality: 80 });
        images.push(`<img width="480" src="data:image/jpeg;base64,${bytes.toString("base64")}" />`);
    }
    const sheet = await pages[0].context().newPage();
    await sheet.setViewportSize({ width: 1980, height: 800 });
    await sheet.setContent(`<body style="background: #444; margin: 4px">${images.join("\n")}</body>`);
    await sheet.screenshot({ path: fileFor(name), fullPage: true });
    await sheet.close();
}
