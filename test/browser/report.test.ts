import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evaluate } from "../../lib/metrics/evaluate.js";
import { renderReport } from "../../lib/report/render.js";
import { chromiumPath, launch } from "./chromium.js";
import { fullReport, market, stored } from "./numbers.js";

const lookAtPage = readFileSync(fileURLToPath(new URL("in-page.js", import.meta.url)), "utf8").replace(/^\/[/*].*$/gm, "");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

if (chromiumPath === undefined) console.log("test/browser: SKIPPED, there is no Chromium (apt-get install chromium, or ASTGNN_CHROMIUM).");

const VIEWS: readonly [string, BrowserContextOptions][] = [
  ["1280 px, light", { viewport: { width: 1280, height: 800 }, colorScheme: "light" }],
  ["1280 px, dark", { viewport: { width: 1280, height: 800 }, colorScheme: "dark" }],
  ["390 px, light", { viewport: { width: 390, height: 844 }, colorScheme: "light" }],
  ["390 px, dark", { viewport: { width: 390, height: 844 }, colorScheme: "dark" }],
];

describe.skipIf(chromiumPath === undefined)("a report in Chromium", () => {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-report-"));
  const file = join(folder, "report.html");
  let browser: Browser;
  let complaints: string[];

  beforeAll(async () => {
    writeFileSync(file, await renderReport(fullReport()));
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The page, and what the browser says about it and fetches for it. */
  async function open(options: BrowserContextOptions): Promise<Page> {
    const page = await browser.newPage(options);
    complaints = [];
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => request.url() === pathToFileURL(file).href || request.url().startsWith("data:") || complaints.push(`fetches ${request.url()}`));
    await page.goto(pathToFileURL(file).href);
    return page;
  }
  const faultsOf = (page: Page): Promise<string[]> => page.evaluate<string[]>(`(${lookAtPage.trim().replace(/;$/, "")})()`);
  const unfold = (page: Page): Promise<unknown> => page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))");

  test.each(VIEWS)("%s: every chart is there, nothing lies over anything, nothing overflows, axe finds nothing serious", async (_, options) => {
    const page = await open(options);
    expect(await faultsOf(page)).toEqual([]);
    await unfold(page);
    expect(await faultsOf(page)).toEqual([]);
    await page.evaluate(axe);
    const { violations } = await page.evaluate<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }>("axe.run()");
    expect(violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
    expect(complaints).toEqual([]);
    await page.close();
  });

  test.each([
    ["one date", 1, 12],
    ["two stocks", 30, 2],
  ])("of %s the page is laid out as well", async (_, dates, stocks) => {
    const { predictions, labels, options } = market(dates, stocks);
    writeFileSync(join(folder, "little.html"), await renderReport(stored({ test: evaluate(predictions, labels, options) })));
    const page = await browser.newPage(VIEWS[2]![1]);
    await page.goto(pathToFileURL(join(folder, "little.html")).href);
    await unfold(page);
    expect(await faultsOf(page)).toEqual([]);
    await page.close();
  });

  test.each(VIEWS)("%s: that of a backtest alone is laid out as well", async (_, options) => {
    writeFileSync(join(folder, "backtest.html"), await renderReport(stored({ subject: { name: "weights.csv", kind: "backtest", prices: "prices.parquet" }, backtests: fullReport().backtests!.slice(0, 1) })));
    const page = await browser.newPage(options);
    await page.goto(pathToFileURL(join(folder, "backtest.html")).href);
    await unfold(page);
    expect(await faultsOf(page)).toEqual([]);
    await page.close();
  });

  test("markup is text wherever it stands: in every text of the report, in names of columns, stocks, runs and files", async () => {
    const evil = `"><img src=x onerror="document.title='fell'">'</title></style></script><script>document.title='fell'</script><svg onload="document.title='fell'"></svg>javascript:alert(1)<a href="javascript:alert(1)">--> ]]> &quot;`;
    // Words that the page chooses by stay as they are.
    const isWord = (key: string, text: string): boolean => ["kind", "severity", "code", "status", "stage", "reason", "unit"].includes(key) || /^(\d{4}-\d\d(-\d\d)?)?$/.test(text);
    let planted = 0;
    const spoiled = (value: unknown, key: string): unknown => {
      if (typeof value === "string") return isWord(key, value) || ++planted === 0 ? value : `${value}${evil}`;
      if (Array.isArray(value)) return value.map((one) => spoiled(one, key));
      if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, spoiled(one, name)]));
    };
    const spoiledFile = join(folder, "spoiled.html");
    writeFileSync(spoiledFile, await renderReport(spoiled(fullReport(), "") as ReturnType<typeof fullReport>));
    expect(planted).toBeGreaterThan(100);
    const page = await browser.newPage();
    const dialogs: string[] = [];
    page.on("dialog", (dialog) => (dialogs.push(dialog.message()), void dialog.dismiss()));
    await page.goto(pathToFileURL(spoiledFile).href);
    const found = await page.evaluate<string[]>(`[...document.querySelectorAll("script, img, iframe, object, embed, form, base, a:not([href^='#']), link:not([rel=icon])"),
      ...[...document.querySelectorAll("*")].filter((one) => [...one.attributes].some(({ name, value }) => name.startsWith("on") || /^javascript:/i.test(value)))].map((one) => one.outerHTML.slice(0, 200))`);
    expect([found, dialogs]).toEqual([[], []]);
    expect(await page.title()).toContain("<script>document.title='fell'</script>");
    await page.close();
  });

  test("on paper the page has the width of a sheet, and every chart", async () => {
    const page = await open({ viewport: { width: 696, height: 1000 } });
    await page.emulateMedia({ media: "print" });
    expect(await faultsOf(page)).toEqual([]);
    expect((await page.pdf({ format: "A4" })).length).toBeGreaterThan(20_000);
    await page.close();
  });

  test("the keyboard reaches the content, every table and what scrolls in it", async () => {
    const page = await open(VIEWS[2]![1]);
    const focused = (): Promise<string> => page.evaluate<string>("document.activeElement.outerHTML.slice(0, 60)");
    await page.keyboard.press("Tab");
    expect(await focused()).toContain('class="skip"');
    await page.keyboard.press("Tab");
    expect(await focused()).toContain("<summary>");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    expect(await focused()).toContain('class="scroll"');
    expect(await page.evaluate("document.activeElement.checkVisibility()")).toBe(true);
    await page.close();
  });

  test("the one drawing of a chart has the colours of the theme that the reader has", async () => {
    const colours = [];
    for (const colorScheme of ["light", "dark"] as const) {
      const page = await open({ colorScheme });
      colours.push(await page.evaluate("getComputedStyle(document.querySelector('svg.wide text')).fill"));
      await page.close();
    }
    expect(new Set(colours).size).toBe(2);
  });

  test.each([
    ["a text over another", "document.querySelector('.deck').style.marginTop = '-30px'", /lies over/],
    ["an empty chart", "document.querySelectorAll('svg.wide').forEach((svg) => svg.replaceChildren())", /is missing/],
    ["a hidden chart", "document.querySelector('.chart').style.display = 'none'", /shows 0 charts/],
    ["a wide table", "document.querySelector('details').open = true; document.querySelector('table').style.width = '3000px'", /overflows/],
    ["a wide page", "document.querySelector('h1').style.width = '3000px'", /the page is/],
    ["a label outside its chart", "document.querySelector('svg.wide text').setAttribute('transform', 'translate(-2000,0)')", /leaves the chart/],
  ])("%s would be seen", async (_, damage, fault) => {
    const page = await open(VIEWS[0]![1]);
    await page.evaluate(damage);
    expect((await faultsOf(page)).join("\n")).toMatch(fault);
    await page.close();
  });
});
