import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { watchContent, watchPage } from "../../lib/watch/page.js";
import { RunWatcher } from "../../lib/watch/run-watcher.js";
import { serveWatch } from "../../lib/watch/server.js";
import { chromiumPath, launch } from "./chromium.js";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
if (chromiumPath === undefined) console.log("test/browser: SKIPPED, there is no Chromium (apt-get install chromium, or ASTGNN_CHROMIUM).");

test.skipIf(chromiumPath === undefined)("the live page shows new epochs, keeps what the reader unfolded, says when the watch has ended, and the browser has nothing to complain of", async () => {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-live-"));
  const write = (epochs: number): void => {
    const lines = Array.from({ length: epochs }, (_, i) => JSON.stringify({ epoch: i + 1, train: { loss: 1 / (i + 1), terms: { ic: -0.01 * i } }, valid: { loss: 1, ic: 0.02 * i, rankIc: 0.01, peerCorrelation: 0.1, effectiveNeighbours: 30 }, isBest: true, seconds: 1 }));
    writeFileSync(join(folder, "metrics.jsonl"), `${lines.join("\n")}\n`);
  };
  writeFileSync(join(folder, "run.json"), JSON.stringify({ status: "running", training: { epochs: 9 }, warnings: [{ text: "A warning of the training." }] }));
  write(2);
  const watcher = new RunWatcher(folder);
  const server = await serveWatch({ page: async () => watchPage(await watcher.look(), { isLive: true }), state: async () => watchContent(await watcher.look()) });
  const browser = await launch();
  try {
    for (const [width, colorScheme] of [[390, "light"], [1280, "dark"]] as const) {
      const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
      const complaints: string[] = [];
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("request", (request) => request.url().startsWith(server.url) || request.url().startsWith("data:") || complaints.push(`fetches ${request.url()}`));
      // The page's policy allows no text as script, so the test asks from outside.
      const until = async (condition: string): Promise<void> => {
        while (!(await page.evaluate<boolean>(condition))) await page.waitForTimeout(50);
      };
      await page.goto(server.url);
      await page.click("summary");
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
      await page.evaluate(axe);
      const { violations } = await page.evaluate<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }>("axe.run()");
      expect(violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
      if (width === 1280) {
        write(5);
        await until("document.querySelectorAll('details tbody tr').length === 5");
        expect(await page.evaluate("document.querySelector('details').open")).toBe(true);
        expect(complaints).toEqual([]);
        await server.close();
        await until("document.querySelector('#note').textContent.includes('has ended')");
      } else expect(complaints).toEqual([]);
      await page.close();
    }
  } finally {
    await browser.close();
    await server.close().catch(() => undefined);
    rmSync(folder, { recursive: true });
  }
});
