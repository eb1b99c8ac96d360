import { chromium } from "playwright-core";
const base = "http://127.0.0.1:18080/";
const pages = process.argv.slice(2);
const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu","--disable-background-networking"] });
for (const [w,h] of [[1280,800],[390,844]]) for (const scheme of ["light","dark"]) {
  const c = await b.newContext({ viewport: {width:w,height:h}, colorScheme: scheme });
  for (const p of pages) { const g = await c.newPage(); g.on("console", m => m.type()==="error" && console.log(p, m.text())); g.on("pageerror", e => console.log(p, e.message));
    await g.goto(base + p); await g.waitForTimeout(6000); await g.screenshot({ path: `/tmp/shots/${p.replace(/[^a-z]/g,"_")||"home"}-${w}-${scheme}.png`, fullPage: true }); await g.close(); }
  await c.close(); }
await b.close();
