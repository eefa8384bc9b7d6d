import { existsSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { loadCore } from "../../lib/binding/load.js";
import { OHLCV_FEATURES } from "../../lib/data/features.js";
import { openPanel } from "../../lib/data/panel.js";
import { ORACLE_FEATURES, type PriceSeries } from "../oracle/features.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const series = (values: Partial<Record<keyof PriceSeries, number[]>>): PriceSeries => {
  const length = Object.values(values)[0]!.length;
  const column = (name: keyof PriceSeries): Float64Array => Float64Array.from(values[name] ?? new Array<number>(length).fill(NaN));
  return { open: column("open"), high: column("high"), low: column("low"), close: column("close"), volume: column("volume") };
};
/** The core's value of a feature of one stock, in single precision. */
async function valueAt(name: string, prices: PriceSeries, t: number): Promise<number> {
  const dates = prices.close.length;
  const made = await loadCore().panelFeatures({ dates, stocks: 1, sources: [name], ...prices, universe: new Uint8Array(dates).fill(1), processors: [] }, 1, () => undefined).done;
  if (!("features" in made)) throw new Error("no features");
  return made.features.toTypedArray()[t]!;
}
const ramp = (n: number): number[] => Array.from({ length: n }, (_, i) => 10 + i);

describe("the ohlcv features", () => {
  test("are the 20 of the protocol, in order", () => {
    expect(OHLCV_FEATURES.map((f) => f.name)).toEqual([
      "return_1", "return_5", "return_20", "return_60", "return_120", "close_over_mean_5", "close_over_mean_10", "close_over_mean_20", "close_over_mean_30", "range",
      "position", "overnight_return", "intraday_return", "volatility_5", "volatility_20", "volume_over_mean_5", "volume_over_mean_20", "dollar_volume", "max_return_20", "close_over_max_60",
    ]);
  });

  test("have the values of their definitions by hand", async () => {
    const prices = series({ open: [9, 11, 12], high: [11, 13, 12], low: [9, 10, 12], close: [10, 12, 12], volume: [5, 5, 5] });
    expect(await valueAt("return_1", prices, 1)).toBeCloseTo(0.2, 6);
    expect(await valueAt("range", prices, 1)).toBe(3 / 12);
    expect(await valueAt("position", prices, 1)).toBe(Math.fround(2 / 3));
    expect(await valueAt("overnight_return", prices, 1)).toBeCloseTo(0.1, 6);
    expect(await valueAt("intraday_return", prices, 0)).toBeCloseTo(1 / 9, 6);
    const long = series({ close: ramp(121), volume: ramp(121) });
    expect(await valueAt("close_over_mean_5", long, 120)).toBeCloseTo(130 / 128, 6);
    expect(await valueAt("return_120", long, 120)).toBeCloseTo(12, 6);
    expect(await valueAt("close_over_max_60", long, 120)).toBe(1);
    expect(await valueAt("volume_over_mean_20", long, 120)).toBeCloseTo(Math.log(130 / 120.5), 6);
    expect(await valueAt("max_return_20", long, 20)).toBeCloseTo(0.1, 6);
    // 5 daily returns .1, -.1, .1, -.1, .1: mean .02, squared deviations 3 * .0064 + 2 * .0144 over 4.
    const swing = [100, 110, 99, 108.9, 98.01, 107.811];
    expect(await valueAt("volatility_5", series({ close: swing }), 5)).toBeCloseTo(Math.sqrt((3 * 0.0064 + 2 * 0.0144) / 4), 6);
    const flat = series({ close: new Array<number>(20).fill(2), volume: new Array<number>(20).fill(50) });
    expect(await valueAt("dollar_volume", flat, 19)).toBeCloseTo(Math.log(100), 6);
  });

  test("leave the position missing where high equals low", async () => {
    expect(await valueAt("position", series({ high: [5], low: [5], close: [5] }), 0)).toBeNaN();
  });

  test("are named and look back as the core's", () => {
    expect(OHLCV_FEATURES).toEqual(ORACLE_FEATURES.map(({ name, reach }) => ({ name, reach })));
  });

  test.each(ORACLE_FEATURES)("$name reads exactly the dates of its look-back", async ({ name, needs, reach }) => {
    const t = 150;
    const random = (field: string): number[] => Array.from({ length: 200 }, (_, i) => (field === "high" ? 40 : field === "low" ? 5 : 10) + ((i * 7919 + field.length) % 23) / 3);
    const whole = (): Record<keyof PriceSeries, number[]> => ({ open: random("open"), high: random("high"), low: random("low"), close: random("close"), volume: random("volume") });
    const value = await valueAt(name, series(whole()), t);
    expect(Number.isFinite(value)).toBe(true);
    const returnsOnly = /^return_/.test(name);
    for (const field of needs) {
      const firstDate = whole();
      // overnight_return takes its open from t and its close from t - 1.
      const edge = name === "overnight_return" && field === "open" ? t : t - reach;
      firstDate[field][edge] = NaN;
      expect(await valueAt(name, series(firstDate), t)).toBeNaN();
      const outside = whole();
      for (const i of [t - reach - 1, t + 1, t + 2]) outside[field][i] = NaN;
      expect(await valueAt(name, series(outside), t)).toBe(value);
      const inside = whole();
      if (reach > 2) {
        inside[field][t - 1] = NaN;
        if (returnsOnly) expect(await valueAt(name, series(inside), t)).toBe(value);
        else expect(await valueAt(name, series(inside), t)).toBeNaN();
      }
    }
  });
});

describe("a dataset of ohlcv features", () => {
  const DAYS = 160;
  const days = weekdays(DAYS);
  // Stocks list up to 3 dates late, so a few rows lack their oldest return_120.
  const options = { split: { trainEnd: days[145]!, validEnd: days[152]! }, maxDropped: 0.3 } as const;

  test("ranks each feature among the universe of its date, missing in the middle", async () => {
    const rows = priceRows({ days: DAYS, stocks: 9 });
    rows.find((row) => row.ticker === "S004" && row.date === days[150])!.open = 0;
    const panel = await openPanel(folder.write("nine.csv", csv(rows)));
    const dataset = await panel.dataset({ window: 5, ...options });
    const f = dataset.featureNames.indexOf("intraday_return");
    const stocks = rows.filter((row) => row.date === days[150]);
    for (const row of stocks) {
      const cell = 150 * 9 + dataset.tickers.indexOf(row.ticker);
      const others = stocks.filter((other) => other.open > 0).map((other) => other.close / other.open - 1);
      const x = row.close / row.open - 1;
      const rank = others.filter((y) => y < x).length + (others.filter((y) => y === x).length + 1) / 2;
      const expected = row.open > 0 ? ((rank - 0.5) / 8 - 0.5) * Math.sqrt(12) : 0;
      // float32 storage: half a unit in the last place of numbers below 2
      expect(Math.abs(dataset.features[cell * 20 + f]! - expected)).toBeLessThan(1.2e-7);
    }
    const { count } = dataset.ledger.entries.find((entry) => entry.reason === "missing_intraday_return")!;
    expect(count).toBe(1);
  });

  test("gives every sample a window of finite features and complete closes", async () => {
    const rows = priceRows({ days: DAYS, stocks: 7 }).filter((row) => !(row.ticker === "S002" && row.date === days[140]));
    const panel = await openPanel(folder.write("seven.csv", csv(rows)));
    const dataset = await panel.dataset({ window: 5, ...options });
    const close = panel.values("close");
    for (let t = 0; t < DAYS; t++) {
      const found = [...dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1])];
      const expected = panel.tickers.flatMap((_, n) => (t >= 124 && [0, 1, 2, 3, 4].every((k) => close[(t - k) * 7 + n]! > 0) ? [n] : []));
      expect(found).toEqual(expected);
      for (const n of found) for (let k = 0; k < 5; k++) for (let f = 0; f < 20; f++) expect(Number.isFinite(dataset.features[((t - k) * 7 + n) * 20 + f])).toBe(true);
    }
    // S002 is away on one date: no window of 5 may hold it, so 4 later dates are lost.
    expect(dataset.ledger.entries.find((entry) => entry.reason === "incomplete_window")!.count).toBe(4);
  });

  test("changes no past feature, row, label, target or split when future days are appended", async () => {
    const short = await openPanel(folder.write("short.csv", csv(priceRows({ days: DAYS, stocks: 11 }))));
    const long = await openPanel(folder.write("long.csv", csv(priceRows({ days: DAYS + 15, stocks: 11 }))));
    const both = { window: 6, ...options, label: { horizonDays: [1, 3], lagDays: 1 } } as const;
    const [a, b] = [await short.dataset(both), await long.dataset(both)];
    expect(b.dates.slice(0, DAYS)).toEqual(a.dates);
    expect(b.features.slice(0, a.features.length)).toEqual(a.features);
    expect(b.rowOffsets.slice(0, DAYS + 1)).toEqual(a.rowOffsets);
    expect(b.rowStocks.slice(0, a.rowStocks.length)).toEqual(a.rowStocks);
    // The last 4 dates of the short panel have no label of 3 days entered a day later yet.
    const labelled = (DAYS - 4) * 11 * 2;
    expect(b.labels.slice(0, labelled)).toEqual(a.labels.slice(0, labelled));
    expect(b.targets.slice(0, labelled)).toEqual(a.targets.slice(0, labelled));
    expect(b.train.dates).toEqual(a.train.dates);
    expect(b.valid.dates).toEqual(a.valid.dates);
    expect(b.test.dates.slice(0, a.test.dates.length)).toEqual(a.test.dates);
  });

  test("depends on the stocks' names only through their order", async () => {
    const rows = priceRows({ days: DAYS, stocks: 5 });
    const renamed = rows.map((row) => ({ ...row, ticker: { S000: "E", S001: "C", S002: "A", S003: "D", S004: "B" }[row.ticker]! }));
    const a = await (await openPanel(folder.write("names-a.csv", csv(rows)))).dataset({ window: 4, ...options });
    const b = await (await openPanel(folder.write("names-b.csv", csv(renamed)))).dataset({ window: 4, ...options });
    const place = [4, 2, 0, 3, 1];
    for (let t = 0; t < DAYS; t++) for (let n = 0; n < 5; n++) expect(b.features.slice((t * 5 + place[n]!) * 20, (t * 5 + place[n]! + 1) * 20)).toEqual(a.features.slice((t * 5 + n) * 20, (t * 5 + n + 1) * 20));
  });
});

const nasdaq = "../shared/data/nasdaq.parquet";
const here = existsSync(nasdaq);
if (!here) console.log(`Skipped the NASDAQ protocol: ${nasdaq} is not here.`);

describe.skipIf(!here)("the NASDAQ protocol", () => {
  test("has 756 training, 252 validation and 237 test dates with 992 to 1,026 stocks", { timeout: 120_000 }, async () => {
    const panel = await openPanel(nasdaq);
    const split = { start: "2013-01-02", trainEnd: "2015-12-31", validEnd: "2016-12-30" };
    const dataset = await panel.dataset({ features: "ohlcv", window: 16, label: { horizonDays: 1, lagDays: 0 }, split });
    expect([dataset.train, dataset.valid, dataset.test].map(({ dates }) => dates.length)).toEqual([756, 252, 237]);
    expect(dataset.unlabelled.dates).toEqual(["2017-12-08"]);
    expect(dataset.train.dates[0]).toBe("2012-12-31");
    const counts = [dataset.train, dataset.valid, dataset.test].flatMap(({ labels: { data, dates } }) => dates.map((_, i) => Array.from(data.subarray(i * 1026, (i + 1) * 1026)).filter((label) => label === label).length));
    expect([Math.min(...counts), Math.max(...counts)]).toEqual([992, 1026]);
  });
});
