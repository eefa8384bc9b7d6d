import { afterAll, describe, expect, it } from "vitest";
import { openPanel, Panel } from "../../lib/data/panel.js";
import type { PanelValues } from "../../lib/data/types.js";
import { backtest } from "../../lib/portfolio/backtest/backtest.js";
import type { BacktestOptions, BacktestSource, Known } from "../../lib/portfolio/backtest/options.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());
const dates = weekdays(30);
const panel = await openPanel(folder.write("prices.csv", csv(priceRows({ days: 30, stocks: 8 }))), { onWarning: () => {} });
const values = (rows: Readonly<Record<string, readonly number[]>>, tickers = ["S000", "S001"]): PanelValues => ({ data: Float64Array.from(Object.values(rows).flat()), shape: [Object.keys(rows).length, tickers.length], dates: Object.keys(rows), tickers });
const weightsFile = (name: string, rows: readonly (readonly [string, string, number | string])[]): string => folder.write(name, csv(rows.map(([date, ticker, weight]) => ({ date, ticker, weight }))));
const run = (source: BacktestSource, options: BacktestOptions = {}) => backtest(source, panel, { onWarning: () => {}, ...options });
const reasons = ({ ledger }: { ledger: Panel["ledger"] }): Record<string, number> => Object.fromEntries(ledger.entries.map(({ reason, count }) => [reason, count]));

describe("weights of a table", () => {
  it("are the whole portfolio of their date: a stock that is not named any more is sold", async () => {
    const source = { weights: weightsFile("changing.csv", [[dates[5]!, "S000", 0.5], [dates[5]!, "S001", 0.5], [dates[9]!, "S002", 1]]) };
    const { fills, daily } = await run(source);
    expect(fills.map(({ date, stocks, weights }) => [date, Array.from(stocks), Array.from(weights, (w) => Number(w.toFixed(12)))])).toEqual([[dates[6], [0, 1], [0.5, 0.5]], [dates[10], [2], [1]]]);
    expect(Array.from(daily.positions.slice(0, 6))).toEqual([2, 2, 2, 2, 1, 1]);
  });

  it("of a date without prices count as decided after the last close before, the last one of several", async () => {
    // 2020-01-11 and 12 are a weekend.
    const source = { weights: weightsFile("weekend.csv", [["2020-01-11", "S000", 1], ["2020-01-12", "S001", 1], [dates[29]!, "S001", 1]]) };
    const found = await run(source);
    expect(found.fills.map(({ date, stocks }) => [date, Array.from(stocks)])).toEqual([["2020-01-13", [1]]]);
    expect(reasons(found)).toMatchObject({ between_dates: 2, superseded_dates: 1, decisions_after_end: 1 });
  });

  it.each<[string, readonly (readonly [string, string, number | string])[], BacktestOptions, RegExp]>([
    ["twice a stock on a date", [[dates[5]!, "S000", 0.5], [dates[5]!, "S000", 0.5]], {}, /S000 .*2020-01-08|2020-01-08.* S000/],
    ["no weight", [[dates[5]!, "S000", 0.5], [dates[5]!, "S001", ""]], {}, /has no weight for S001 on 2020-01-08/],
    ["a word for a weight", [[dates[5]!, "S000", "half"]], {}, /weight/],
    ["unknown stocks", [[dates[5]!, "S000", 0.5], [dates[5]!, "ZZZ", 0.5]], {}, /1 of 2 weights \(50.0 %\) are of stocks or dates that .* does not have, e.g. ZZZ; maxDropped allows 5.0 %/],
    ["percents", [[dates[5]!, "S000", 60], [dates[5]!, "S001", 40]], {}, /absolute weights of 2020-01-08 sum to 100; maxGross allows 2.*\.01 for one percent/],
    ["dates before the prices alone", [["2019-12-30", "S000", 1]], { maxDropped: 1 }, /No date and stock of the weights is in/],
    ["dates too late to be filled", [[dates[29]!, "S000", 1]], {}, /would be filled after the end/],
  ])("with %s are refused by name", async (name, rows, options, message) => {
    await expect(run({ weights: weightsFile(`${name.replaceAll(" ", "-")}.csv`, rows) }, options)).rejects.toMatchObject({ name: "AstgnnError", message: expect.stringMatching(message) as string });
  });

  it("of unknown stocks are counted where more may be lost", async () => {
    const found = await run({ weights: weightsFile("some.csv", [[dates[5]!, "S000", 0.5], [dates[5]!, "ZZZ", 0.5]]) }, { maxDropped: 0.5 });
    expect(reasons(found)).toMatchObject({ unknown_tickers: 1 });
    expect(found.daily.gross[0]).toBeCloseTo(0.5, 12);
  });
});

describe("values in memory", () => {
  it.each<[string, BacktestSource, RegExp]>([
    ["a ticker twice", { weights: values({ [dates[5]!]: [0.5, 0.5] }, ["S000", "S000"]) }, /weights has the ticker S000 twice/],
    ["an infinite weight", { weights: values({ [dates[5]!]: [0.5, Infinity] }) }, /infinite weight for S001/],
    ["an infinite prediction", { predictions: values({ [dates[5]!]: [0.5, -Infinity] }) }, /infinite prediction for S001/],
    ["a shape that does not fit", { predictions: { ...values({ [dates[5]!]: [1, 2] }), shape: [2, 2] } }, /shape \[2, 2\]/],
    ["an unknown book", { predictions: values({ [dates[5]!]: [1, 2] }), book: "best" as never }, /Expected one of factorWeighted, quantiles, top for book/],
    ["a prediction that is not there", { predictions: values({ [dates[5]!]: [1, 2] }), prediction: 1 }, /prediction/],
    ["nothing", {} as never, /Expected \{ predictions \}, \{ weights \} or \{ rebalance \}/],
  ])("with %s are refused by name", async (_, source, message) => {
    await expect(run(source)).rejects.toThrow(message);
  });

  it("need the columns that the options ask for", async () => {
    const closes = await Panel.from({ dates: dates.slice(0, 3), tickers: ["S000"], columns: { close: Float64Array.of(1, 2, 3) } });
    const source = { weights: values({ [dates[0]!]: [1] }, ["S000"]) };
    await expect(backtest(source, closes, { fill: "open" })).rejects.toThrow('has no column open; it has close. Add it, or fill at the "close".');
    await expect(backtest(source, closes, { impact: 1 })).rejects.toThrow("has no column volume");
    await expect(backtest(source, closes, { lagDays: 0 })).rejects.toThrow("Expected a whole number from 1 for lagDays");
    await expect(backtest(source, closes, { costBp: 1 } as never)).rejects.toThrow("Did you mean costBps?");
  });

  it("without a stock on a date leave it out, and a date without any decides nothing", async () => {
    const { fills } = await run({ predictions: values({ [dates[5]!]: [NaN, NaN], [dates[6]!]: [1, 2] }) });
    expect(fills.map(({ date }) => date)).toEqual([dates[7]]);
  });
});

describe("decisions on the way", () => {
  it("see the closes, weights and predictions of their date and no later one, and are filled a date later", async () => {
    const seen: Known[] = [];
    const rebalance = (known: Known) => {
      seen.push(known);
      return { tickers: known.tickers.slice(0, 2), weights: [0.25, 0.75] };
    };
    const risk = (date: string) => ({ date, tickers: [], factors: [], exposures: new Float64Array(), factorCovariance: new Float64Array(), specificVariance: new Float64Array() });
    const { fills, daily } = await run({ rebalance, every: 10, from: dates[4]!, predictions: values({ [dates[4]!]: [1, 2] }), risk });
    expect(seen.map(({ date }) => date)).toEqual([dates[4], dates[14], dates[24]]);
    expect(fills.map(({ date }) => date)).toEqual([dates[5], dates[15], dates[25]]);
    expect(seen.map((known) => known.risk?.date)).toEqual([dates[4], dates[14], dates[24]]);
    expect(Array.from(seen[0]!.predictions!).slice(0, 3)).toEqual([1, 2, NaN]);
    expect(Array.from(seen[0]!.weights)).toEqual(Array.from({ length: 8 }, () => 0));
    const close = panel.values("close");
    const grown = [0, 1].map((n) => [0.25, 0.75][n]! * (close[14 * 8 + n]! / close[5 * 8 + n]!));
    expect(seen[1]!.weights[0]).toBeCloseTo(grown[0]! / (grown[0]! + grown[1]!), 12);
    expect(seen[1]!.equity).toBeCloseTo(daily.equity[9]!, 6);
  });

  it("are the same decisions in the capacity curve, asked for once", async () => {
    let asked = 0;
    const rebalance = ({ tickers }: Known) => (asked++ % 2 === 0 ? { tickers: [tickers[asked % 8]!], weights: [1] } : undefined);
    const found = await run({ rebalance, every: [dates[4]!, dates[8]!, dates[12]!] }, { capacity: [1e7, 1e5], capital: 1e5, impact: 1 });
    expect(asked).toBe(3);
    expect(found.decisions).toBe(2);
    expect(found.capacity!.map(({ capital }) => capital)).toEqual([1e5, 1e7]);
    expect(found.capacity![0]!.return).toBe(found.return);
    expect(found.capacity![1]!.return).toBeLessThan(found.return);
  });

  it.each<[string, (known: Known) => { tickers: readonly string[]; weights: readonly number[] }, RegExp]>([
    ["an unknown stock", () => ({ tickers: ["ZZZ"], weights: [1] }), /name ZZZ, which is not in the prices/],
    ["a stock twice", () => ({ tickers: ["S000", "S000"], weights: [0.5, 0.5] }), /name S000 twice/],
    ["NaN", () => ({ tickers: ["S000"], weights: [NaN] }), /weight of S000 on .* is NaN/],
    ["fewer weights than tickers", () => ({ tickers: ["S000", "S001"], weights: [1] }), /are 1, the tickers 2/],
  ])("with %s are refused by name", async (_, rebalance, message) => {
    await expect(run({ rebalance })).rejects.toThrow(message);
  });

  it("stop with their signal", async () => {
    const controller = new AbortController();
    const rebalance = (): undefined => void controller.abort();
    await expect(run({ rebalance }, { signal: controller.signal })).rejects.toMatchObject({ code: "ERR_ABORTED" });
  });
});
