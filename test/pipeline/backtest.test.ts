import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { backtestRun, openPanel } from "../../lib/index.js";
import type { ReportNumbers } from "../../lib/report/numbers.js";
import { astgnn } from "./cli-capture.js";

// The stored run of version 0.1.0: 12 stocks, 10 labelled test dates, a label of one day.
const stored = join(import.meta.dirname, "..", "fixtures", "run-0.1.0");
const prices = join(stored, "prices.parquet");
const folder = mkdtempSync(join(tmpdir(), "astgnn-backtest-"));
const run = join(folder, "run");
cpSync(join(stored, "run"), run, { recursive: true });
afterAll(() => rmSync(folder, { recursive: true }));

const panel = await openPanel(prices, { onWarning: () => {} });
const reportOf = (path: string): ReportNumbers => JSON.parse(readFileSync(join(path, "report.json"), "utf8")) as ReportNumbers;
const pageOf = (path: string): string => readFileSync(join(path, "report.html"), "utf8");

describe("astgnn backtest", () => {
  it("holds weights of a file and writes their report", async () => {
    const [file, out] = [join(folder, "weights.csv"), join(folder, "out")];
    const rows = [100, 121, 142].flatMap((t) => panel.tickers.slice(0, 4).map((ticker) => `${panel.dates[t]},${ticker},0.25`));
    writeFileSync(file, `date,ticker,weight\n${rows.join("\n")}\n`);
    const { code, out: text, err } = await astgnn("backtest", "--weights", file, "--data", prices, "--costs-bps", "20", "--impact", "0.5", "--capacity", "1e4,1e6", "--out", out, "--positions", join(folder, "positions.csv"), "--json");
    expect([code, err]).toEqual([0, ""]);
    const found = JSON.parse(text) as Record<string, number> & { costs: Record<string, number>; capacity: unknown[]; terms: Record<string, unknown>; ledger: unknown[] };
    expect(found).toMatchObject({ decisions: 3, portfolios: 1, dates: 69, ruined: null, delistings: [], terms: { costBps: 20, borrowBps: 50, impact: 0.5, fill: "close", capital: 1e6 } });
    for (const name of ["return", "volatility", "sharpe", "drawdown", "turnover", "t", "breakEvenBps"]) expect(Number.isFinite(found[name]), name).toBe(true);
    expect(found.costs["total"]).toBeCloseTo(found.costs["trading"]! + found.costs["impact"]!, 15);
    expect(found.return).toBeCloseTo(found["grossReturn"]! - found.costs["total"]!, 12);
    expect(found.capacity).toHaveLength(2);
    const [header, first, ...others] = readFileSync(join(folder, "positions.csv"), "utf8").trim().split("\n");
    expect([header, others.length]).toEqual(["date,ticker,weight,shares", 11]);
    expect(first).toMatch(new RegExp(`^${panel.dates[101]},${panel.tickers[0]},0\\.2[45]\\d*,\\d+`));
    const { subject, backtests } = reportOf(out);
    expect(subject).toEqual({ name: "weights.csv", kind: "backtest", prices });
    expect(backtests?.[0]?.daily.equity).toHaveLength(69);
    expect(pageOf(out)).toContain("Capacity, weights.csv");
    expect(pageOf(out)).not.toMatch(/>NaN|undefined|\[object/);
  });

  it("holds a book of a run's predictions and puts it into its report once", async () => {
    const before = reportOf(run);
    for (const book of ["quantiles", "quantiles"]) {
      const { code, out, err } = await astgnn("backtest", "--run", run, "--data", prices, "--book", book, "--horizon", "2");
      expect(code, err).toBe(0);
      expect(out).toMatch(/Sharpe +-?\d/);
      expect(err).toContain("report.html");
    }
    const { backtests, test, subject } = reportOf(run);
    expect(backtests?.map(({ name, portfolios }) => [name, portfolios])).toEqual([["quantiles", 2]]);
    expect([subject.kind, test?.ic]).toEqual(["run", before.test?.ic]);
    expect(pageOf(run)).toContain("Value of the book");
  });

  it("holds predictions for the days of the run's label, on its own data, from the close after", async () => {
    const found = await backtestRun(run, { source: panel });
    expect([found.portfolios, found.decisions]).toEqual([1, 10]);
    const { test } = JSON.parse(readFileSync(join(stored, "run", "run.json"), "utf8")).split as { test: { first: string } };
    expect(found.first).toBe(panel.dates[panel.dates.indexOf(test.first) + 1]);
    await expect(backtestRun(run, { split: "valid", source: panel })).resolves.toMatchObject({ portfolios: 1 });
  });

  it.each<[string[], RegExp]>([
    [["--data", prices], /Neither --run nor --weights is given/],
    [["--run", run, "--weights", "w.csv"], /Both --run and --weights are given/],
    [["--weights", "w.csv", "--data", prices, "--book", "top"], /--book goes with --run/],
    [["--run", run, "--out", folder], /--out goes with --weights/],
    [["--run", run, "--costs-bps", "-1"], /Expected a number from 0 for --costs-bps but received -1/],
    [["--run", run, "--data", prices, "--book", "best"], /Expected one of factorWeighted, quantiles, top for --book/],
  ])("%j is bad usage", async (args, message) => {
    const { code, err } = await astgnn("backtest", ...args);
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  });
});
