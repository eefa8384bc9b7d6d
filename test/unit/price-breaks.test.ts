import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { openPanel, type PanelOptions } from "../../lib/data/panel.js";
import { findPriceBreaks } from "../../lib/data/price-breaks.js";
import type { Warning } from "../../lib/warn.js";
import { csv, Folder, priceRows, type PriceRow, randomNumbers, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const days = weekdays(60);
const rows = priceRows({ days: 60, stocks: 5 });
const [ticker, date] = ["S000", days[40]!];

/** Rows whose prices of one stock are multiplied by `factor` from a date on; `volume` says by what its volumes are. */
function planted(factor: number, volume: number, since = date): PriceRow[] {
  const scaled = (row: PriceRow): PriceRow => ({ ...row, open: row.open * factor, high: row.high * factor, low: row.low * factor, close: row.close * factor, volume: row.volume * volume });
  return rows.map((row) => (row.ticker === ticker && row.date >= since ? scaled(row) : row));
}

let files = 0;
async function open(table: readonly object[], options: PanelOptions = {}) {
  const warnings: Warning[] = [];
  const panel = await openPanel(folder.write(`table-${files++}.csv`, csv(table)), { onWarning: (warning) => warnings.push(warning), ...options });
  return { panel, warnings };
}

describe("a split that the prices were not adjusted for", () => {
  test.each([
    ["1:10", 10, 1 / 10],
    ["2:1", 1 / 2, 2],
    ["3:2", 2 / 3, 3 / 2],
    ["1:7", 7, 1 / 7],
    ["2:1", 1 / 2, 1],
  ])("%s is listed with ticker, date and ratio (prices times %f, volumes times %f)", async (ratio, factor, volume) => {
    const { panel, warnings } = await open(planted(factor, volume));
    expect(panel.priceBreaks).toMatchObject([{ ticker, date, ratio }]);
    expect(panel.priceBreaks[0]!.return / (factor - 1)).toBeCloseTo(1, 0);
    expect(panel.ledger.entries).toMatchObject([{ stage: "clean", reason: "split_like_return", count: 1, text: expect.stringContaining(`${ticker} ${date}`) as string }]);
    expect(warnings).toMatchObject([{ reason: "split_like_return", text: expect.stringMatching(`1 return of .* looks like a split.*${ticker} ${date}`) as string }]);
  });

  test("is found where trading was halted before it, and without an open", async () => {
    const halted = planted(0.5, 2).filter((row) => row.ticker !== ticker || row.date >= date || row.date < days[36]!);
    expect((await open(halted)).panel.priceBreaks).toMatchObject([{ ticker, date, ratio: "2:1" }]);
    const unopened = planted(0.5, 2).map((row) => (row.ticker === ticker && row.date === date ? { ...row, open: undefined } : row));
    expect((await open(unopened)).panel.priceBreaks).toMatchObject([{ ticker, date }]);
  });

  test("stops reading where that is asked for, naming ticker, date and option", async () => {
    await expect(open(planted(10, 0.1), { extremeReturns: "error" })).rejects.toMatchObject({
      code: "ERR_DATA",
      date,
      option: "extremeReturns",
      message: expect.stringMatching(`${ticker} ${date} \\(\\+9\\d\\d\\.\\d %, 1:10\\)`) as string,
    });
  });

  test("is no return, no label and no feature where those are made missing, and all other values stay", async () => {
    const options = { window: 2, split: { fractions: [0.5, 0.25, 0.25] }, label: { horizonDays: [1, 3], lagDays: 1 }, features: "ohlcv", processors: [], maxDropped: 1 } as const;
    const long = (table: typeof rows): PriceRow[] => [...priceRows({ days: 260, stocks: 5 }).filter((row) => row.date > days[59]!), ...table];
    const [clean, broken] = await Promise.all([open(long(rows)), open(long(planted(0.5, 2)).map((row) => (row.ticker === ticker && row.date > days[59]! ? { ...row, open: row.open / 2, high: row.high / 2, low: row.low / 2, close: row.close / 2, volume: row.volume * 2 } : row)), { extremeReturns: "missing" })]);
    const [expected, got] = [await clean.panel.dataset(options), await broken.panel.dataset(options)];
    expect(broken.warnings).toEqual([]);
    const names = got.featureNames;
    const at = (dataset: typeof got, name: string, t: number): number => dataset.features[(t * 5 + 0) * names.length + names.indexOf(name)]!;
    for (const [name, reach] of [["return_1", 1], ["return_20", 20], ["close_over_mean_5", 4], ["volume_over_mean_5", 4], ["max_return_20", 20]] as const) {
      expect(at(got, name, 39)).toBeCloseTo(at(expected, name, 39), 5);
      for (let t = 40; t < 40 + reach; t++) expect(at(got, name, t), `${name} on date ${t}`).toBeNaN();
      expect(at(got, name, 40 + reach)).toBeCloseTo(at(expected, name, 40 + reach), 5);
    }
    const label = (dataset: typeof got, t: number, l: number): number => dataset.labels[(t * 5 + 0) * 2 + l]!;
    expect([37, 38, 39].map((t) => Number.isNaN(label(got, t, 0)))).toEqual([false, true, false]);
    expect([35, 36, 37, 38, 39].map((t) => Number.isNaN(label(got, t, 1)))).toEqual([false, true, true, true, false]);
    expect(got.ledger.entries).toContainEqual(expect.objectContaining({ reason: "split_like_label", count: 4 }));
    expect(got.options).toMatchObject({ extremeReturns: "missing" });
  });
});

describe("what is no split", () => {
  test("a crash on news, which is traded", async () => {
    const table = planted(0.5, 1).map((row) => (row.ticker === ticker && row.date === date ? { ...row, volume: row.volume * 40 } : row));
    expect((await open(table)).panel.priceBreaks).toEqual([]);
  });

  test("a fall during the day", async () => {
    const table = planted(0.5, 1).map((row) => (row.ticker === ticker && row.date === date ? { ...row, open: row.open * 2, high: row.high * 2 } : row));
    expect((await open(table)).panel.priceBreaks).toEqual([]);
  });

  test("a ratio that splits do not have", async () => {
    expect((await open(planted(1 / 1.75, 1.75))).panel.priceBreaks).toEqual([]);
  });

  test("a move that is usual for the stock", async () => {
    const wild = rows.map((row, i) => (row.ticker === ticker && i % 2 === 1 ? { ...row, open: row.open / 2, high: row.high / 2, low: row.low / 2, close: row.close / 2 } : row));
    expect((await open(wild)).panel.priceBreaks).toEqual([]);
  });

  test("anything in a table of closes alone", async () => {
    expect((await open(planted(0.5, 2).map(({ date: day, ticker: name, close }) => ({ date: day, ticker: name, close })))).panel.priceBreaks).toEqual([]);
  });
});

test("Later dates change no price break: what is found on a date was found when it was the last", async () => {
  const find = async (count: number): Promise<unknown[]> => {
    const dates = days.slice(0, count);
    const column = (name: "open" | "high" | "low" | "close" | "volume"): Float64Array => Float64Array.from(dates, (day) => planted(0.5, 2).find((row) => row.ticker === ticker && row.date === day)![name]);
    return [...(await findPriceBreaks(new Map((["open", "high", "low", "close", "volume"] as const).map((name) => [name, column(name)])), dates, [ticker])).breaks];
  };
  expect(await find(41)).toHaveLength(1);
  expect(await find(60)).toEqual(await find(41));
});

const real = fileURLToPath(new URL("../../../shared/data/nasdaq.parquet", import.meta.url));
describe.skipIf(!existsSync(real))("Real prices of 1,026 tickers", () => {
  test("hold 15 such returns, each a corporate action or a fault of the file", async () => {
    const panel = await openPanel(real, { onWarning: () => undefined });
    const found = panel.priceBreaks.map((price) => `${price.ticker} ${price.date}`);
    // CSX split 3:1, MDLZ spun off Kraft, CIGI is a spin-off, SYNT paid $15, EXPO is adjusted on one side of its split only.
    for (const known of ["CSX 2011-06-16", "MDLZ 2012-10-02", "CIGI 2015-06-02", "SYNT 2016-10-04", "EXPO 2015-06-04", "XIV 2011-06-27", "SQQQ 2012-05-11"]) expect(found).toContain(known);
    expect(found).toHaveLength(15);
  });

  test("with a split planted into each show at least 19 of 20, and nothing else", async () => {
    const panel = await openPanel(real, { onWarning: () => undefined });
    const [D, N] = [panel.dates.length, panel.tickers.length];
    const known = new Set(panel.priceBreaks.map((price) => `${price.ticker} ${price.date}`));
    const columns = new Map(["open", "high", "low", "close", "volume"].map((name) => [name, Float64Array.from(panel.values(name))]));
    const random = randomNumbers(1);
    const expected = new Set<string>();
    for (let n = 0; n < N; n++) {
      const first = 50 + Math.floor(random() * (D - 50));
      if (panel.universe[first * N + n] !== 1 || panel.universe[(first - 1) * N + n] !== 1 || panel.universe[(first - 20) * N + n] !== 1) continue;
      const factor = [10, 1 / 2, 2 / 3][n % 3]!;
      for (let t = first; t < D; t++) for (const [name, values] of columns) values[t * N + n]! *= name === "volume" ? 1 / factor : factor;
      expected.add(`${panel.tickers[n]!} ${panel.dates[first]!}`);
    }
    const found = (await findPriceBreaks(columns, panel.dates, panel.tickers)).breaks.map((price) => `${price.ticker} ${price.date}`);
    expect(found.filter((price) => expected.has(price)).length / expected.size).toBeGreaterThan(0.95);
    expect(found.filter((price) => !expected.has(price) && !known.has(price))).toEqual([]);
  });
});
