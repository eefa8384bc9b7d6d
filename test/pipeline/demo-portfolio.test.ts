import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import type { PortfolioDemonstration } from "../../lib/demo/portfolio.js";
import type { ReportNumbers } from "../../lib/report/numbers.js";
import { astgnn } from "./cli-capture.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-demo-portfolio-"));
afterAll(() => rmSync(folder, { recursive: true }));

// One epoch: what is tested is that the whole chain is gone through, named as simulated, and ends in one report.
it("demo --portfolio goes from simulated prices to books and one report", async () => {
  const { code, out, err } = await astgnn("demo", "--portfolio", "--epochs", "1", "--seed", "2", "--keep", folder, "--json");
  expect([code, err]).toEqual([0, ""]);
  const { simulated, report, ic, adjustedRand, risk, books, skipped } = JSON.parse(out) as PortfolioDemonstration;
  expect(simulated).toBe(true);
  // The signal is there without much training: .04 and more, with a standard error near .01.
  expect(ic.mean).toBeGreaterThan(0);
  // By chance it would be within .05 of 0.
  expect(adjustedRand).toBeGreaterThan(0.05);
  // A risk model that is off by half would be of no use.
  expect(risk.realised / risk.forecast).toBeGreaterThan(0.5);
  expect(risk.realised / risk.forecast).toBeLessThan(2);
  expect(books.map(({ name }) => name)).toEqual(expect.arrayContaining(["equal weights", "risk parity", "predictions"]));
  // The build says which of the two it is.
  expect([...books, ...skipped].map(({ name }) => name)).toContain("mean-variance");
  for (const { reason } of skipped) expect(reason).toContain("no solver");
  for (const { return: mean, volatility, costs, drawdown } of books) expect([mean, volatility, costs.total, drawdown].every(Number.isFinite)).toBe(true);
  const { backtests, test, peers, history, risk: judged } = JSON.parse(readFileSync(join(folder, "run", "report.json"), "utf8")) as ReportNumbers;
  expect(backtests?.map(({ name }) => name)).toEqual(books.map(({ name }) => name));
  expect([test?.ic, peers?.length, history?.length]).toEqual([ic.mean, 1, 1]);
  expect(Object.keys(judged!.models)).toEqual(["m", "lw", "pca"]);
  expect(existsSync(report)).toBe(true);
  expect(readFileSync(report, "utf8")).toContain("Eigenvectors as portfolios");
  expect(readFileSync(report, "utf8")).toContain("Value of the book");

  const again = await astgnn("demo", "--portfolio", "--keep", folder);
  expect([again.code, again.err]).toEqual([1, expect.stringContaining("already holds a run")]);
  expect((await astgnn("demo", "--portfolio", "--seeds", "0,1")).err).toContain("--portfolio has one market. Give --seed.");
}, 600_000);
