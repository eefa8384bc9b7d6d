import { describe, expect, it } from "vitest";
import { Panel } from "../../lib/data/panel.js";
import { backtest } from "../../lib/portfolio/backtest/backtest.js";
import { randomNumbers, weekdays } from "./data-tables.js";

const [DATES, TICKERS] = [weekdays(60), ["A", "B", "C"]];
const random = randomNumbers(5);
const close = DATES.reduce<number[][]>((rows, _, t) => [...rows, TICKERS.map((__, n) => (t === 0 ? 20 + n : rows[t - 1]![n]! * (1 + 0.04 * (random() - 0.5))))], []);
const panel = await Panel.from({ dates: DATES, tickers: TICKERS, columns: { close: Float64Array.from(close.flat()) } }, { onWarning: () => {} });
const free = { costBps: 0, borrowBps: 0, onWarning: () => {} };
const buy = (weights: readonly number[], every: number) => ({ every, rebalance: () => ({ tickers: TICKERS, weights }) });
const returnOf = (t: number, n: number): number => close[t]![n]! / close[t - 1]![n]! - 1;
const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

describe("a book beside its benchmark", () => {
  it("of the whole universe, renewed on every date, is it", async () => {
    const { relative } = await backtest(buy([1 / 3, 1 / 3, 1 / 3], 1), panel, { ...free, benchmark: "universe" });
    expect(relative!.activeReturn).toBeCloseTo(0, 12);
    expect(relative!.trackingError).toBeCloseTo(0, 12);
    expect(relative!.beta).toBeCloseTo(1, 12);
    expect(relative!.correlation).toBeCloseTo(1, 12);
  });

  it("of one ticker has the numbers of the two series", async () => {
    const { relative, daily } = await backtest(buy([0.5, 0.5, 0], 1000), panel, { ...free, benchmark: "C", periodsPerYear: 250 });
    // Decided after the first close, filled at the second: returns from the third date on.
    const theirs = DATES.slice(2).map((_, i) => returnOf(i + 2, 2));
    const active = theirs.map((value, i) => daily.return[i + 1]! - value);
    const deviation = Math.sqrt(active.reduce((sum, value) => sum + (value - meanOf(active)) ** 2, 0) / (active.length - 1));
    expect(relative).toMatchObject({ benchmark: "C" });
    expect(relative!.benchmarkReturn).toBeCloseTo(250 * meanOf(theirs), 12);
    expect(relative!.activeReturn).toBeCloseTo(250 * meanOf(active), 12);
    expect(relative!.trackingError).toBeCloseTo(Math.sqrt(250) * deviation, 12);
    expect(relative!.informationRatio).toBeCloseTo((Math.sqrt(250) * meanOf(active)) / deviation, 12);
  });

  it("has none where none was named, and refuses one that the prices do not have", async () => {
    expect((await backtest(buy([1, 0, 0], 1000), panel, free)).relative).toBeNull();
    await expect(backtest(buy([1, 0, 0], 1000), panel, { ...free, benchmark: "universes" })).rejects.toMatchObject({ code: "ERR_OPTION", option: "benchmark", next: "Did you mean universe?" });
  });
});
