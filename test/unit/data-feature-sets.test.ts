import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DatasetOptions } from "../../lib/data/dataset-options.js";
import { STYLE_FEATURES } from "../../lib/data/features.js";
import { planRefreshes, type LoadingsBasis } from "../../lib/data/loadings.js";
import { openPanel, type Panel } from "../../lib/data/panel.js";
import type { Dataset } from "../../lib/data/types.js";
import { csv, Folder, priceRows, weekdays, type PriceRow } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const DAYS = 300;
const days = weekdays(DAYS);
const rows = priceRows({ days: DAYS, stocks: 12 }).map((row) => ({ ...row, mine: row.close / row.open }));
const open = (table: readonly object[], name: string): Promise<Panel> => openPanel(folder.write(name, csv(table)));
const loadings = { window: 40, halfLife: 20, count: 3, refresh: 5 };
const split = { trainEnd: days[285]! };

let panel: Panel;
beforeAll(async () => {
  panel = await open(rows, "prices.csv");
});
const cut = (options: Omit<Extract<DatasetOptions, { split: unknown }>, "split">, of = panel): Promise<Dataset> => of.dataset({ window: 4, split, ...options });
/** Features of a date: [stocks, F]. */
const onDate = ({ features, featureNames: { length: F }, tickers: { length: N } }: Dataset, t: number): Float32Array => features.slice(t * N * F, (t + 1) * N * F);

describe("the names of features", () => {
  test("are those of sets and columns, in the order written", async () => {
    const names = (await cut({ features: ["mine", "loadings", "ohlcv"], loadings, processors: ["rank", "fill"] })).featureNames;
    expect(names.slice(0, 5)).toEqual(["mine", "loading_1", "loading_2", "loading_3", "return_1"]);
    expect(names).toHaveLength(24);
    expect((await cut({ features: ["ohlcv"] })).featureNames).toEqual((await cut({ features: "ohlcv" })).featureNames);
  });

  test("of style stand beside those of ohlcv: the range that both have is called style_range", async () => {
    expect((await cut({ features: "style" })).featureNames).toEqual(["size_proxy", ...STYLE_FEATURES.slice(1)]);
    const { featureNames } = await cut({ features: ["style", "ohlcv"] });
    expect(new Set(featureNames).size).toBe(41);
    expect(featureNames[STYLE_FEATURES.indexOf("range")]).toBe("style_range");
  });

  test("of a set win over a column of that name", async () => {
    const named = await open(rows.map((row) => ({ ...row, style: 1 })), "style.csv");
    expect((await cut({ features: ["style"] }, named)).featureNames).toHaveLength(21);
  });

  test.each([
    [{ features: ["ohlcv", "ohlcv"] }, /Feature return_1 is listed twice/],
    [{ features: "ohlcv", loadings }, /loadings says how the set loadings is estimated, and neither features nor labelTransform\.neutralise names it/],
    [{ features: "loadings", loadings: { window: 30, count: 31 } }, /from 1 to 30, the window of the loadings, for loadings\.count but received 31/],
    [{ features: "loadings", loadings: { window: 5 } }, /loadings/],
    [{ features: "factors" }, /"ohlcv", "loadings" or "style"/],
  ] as const)("are refused in %j", async (options, message) => {
    await expect(cut(options as never)).rejects.toThrow(expect.objectContaining({ code: "ERR_OPTION", message: expect.stringMatching(message) as string }));
  });

  test("and options can be read back from a description", async () => {
    const dataset = await cut({ features: ["ohlcv", "loadings", "style", "mine"], loadings });
    expect(dataset.describe()).toMatchObject({ features: ["ohlcv", "loadings", "style", "mine"], loadings: { ...loadings, chain: expect.stringMatching(/^[0-9a-f]{16}$/) as string } });
    const again = await panel.dataset({ description: dataset.describe() });
    expect(again.featureNames).toEqual(dataset.featureNames);
    expect(again.features).toEqual(dataset.features);
    expect(again.describe()).toEqual(dataset.describe());
  });
});

describe("processors by default", () => {
  test("rank ohlcv, and fill what is missing in a set; columns stay as they are", async () => {
    const dataset = await cut({ features: ["ohlcv", "loadings", "mine"], loadings });
    const { featureNames } = dataset;
    expect(dataset.describe().processors).toEqual([
      { name: "rank", columns: featureNames.slice(0, 20) },
      { name: "fill", value: 0, columns: featureNames.slice(0, 23) },
    ]);
    const column = featureNames.indexOf("mine");
    expect(onDate(dataset, 200)[column]).toBe(Math.fround(panel.values("mine")[200 * panel.tickers.length]!));
  });

  test("leave a loading and a style exposure as they are: 4 times the loading, a z-score up to 3", async () => {
    const dataset = await cut({ features: ["loadings", "style"], loadings });
    const F = dataset.featureNames.length;
    const values = onDate(dataset, 290);
    for (let n = 0; n < panel.tickers.length; n++) {
      // The length of all 40 loadings of a stock would be 1 but for clipped values.
      const length = Math.hypot(...values.slice(n * F, n * F + 3)) / 4;
      expect(length).toBeGreaterThan(0.1);
      expect(length).toBeLessThan(1.001);
    }
    const beta = dataset.featureNames.indexOf("beta");
    const of = Array.from(panel.tickers, (_, n) => values[n * F + beta]!);
    expect(Math.max(...of.map(Math.abs))).toBeLessThanOrEqual(3);
    expect(of.reduce((sum, x) => sum + x, 0)).toBeCloseTo(0, 5);
  });
});

describe("history", () => {
  test("is the window of the loadings, the 252 dates of style, and the window of the sample", async () => {
    expect((await cut({ features: "loadings", loadings })).requiredHistory).toBe(44);
    expect((await cut({ features: ["style", "loadings"], loadings })).requiredHistory).toBe(256);
    const dataset = await cut({ features: ["loadings"], loadings });
    expect(dataset.train.dates[0]).toBe(days[43]);
  });

  test("that a stock lacks is counted, filled, and no loss that maxDropped refuses", async () => {
    const late = rows.filter(({ ticker, date }) => ticker !== rows[0]!.ticker || date >= days[150]!);
    const dataset = await cut({ features: ["loadings", "mine"], loadings, maxDropped: 0 }, await open(late, "late.csv"));
    const missing = dataset.ledger.entries.find(({ reason }) => reason === "missing_loadings")!;
    // Returns from date 151 on: 32 of 40 are there on date 182, the next refresh is that of 185. Windows read from date 150 on.
    expect(missing.count).toBe(3 * (185 - 150));
    expect(missing.text).toBe("values of 3 loadings are missing in the windows of rows, whose stocks have less than 80 % of 40 returns: a processor fills them");
    expect(dataset.ledger.entries.map(({ reason }) => reason)).not.toContain("missing_loading_1");
    const of = (t: number): number => onDate(dataset, t)[dataset.tickers.indexOf(rows[0]!.ticker) * 4]!;
    expect([of(184), of(185) === 0]).toEqual([0, false]);
  });
});

describe("all sets", () => {
  test("know nothing of later dates, to the last bit", async () => {
    const now = 280;
    const all = { features: ["ohlcv", "loadings", "style"], loadings, split: { trainEnd: days[275]! } } as const;
    const before = await panel.dataset({ window: 4, ...all });
    const tables: PriceRow[][] = [
      rows.filter(({ date }) => date < days[now]!),
      rows.map((row) => (row.date < days[now]! ? row : { ...row, open: 7 + row.high, high: 9 + row.high, close: 7 + row.low, low: row.low, volume: 1 + row.volume / 3 })),
    ];
    for (const [i, table] of tables.entries()) {
      const changed = await (await open(table, `later-${i}.csv`)).dataset({ window: 4, ...all, maxDropped: 1 });
      for (let t = 256; t < now; t++) expect(onDate(changed, t)).toEqual(onDate(before, t));
    }
  });

  test("take the size of style from a column where there is one", async () => {
    const sized = await open(rows.map((row) => ({ ...row, size: Number(row.ticker.replace(/\D/g, "")) })), "sized.csv");
    const dataset = await cut({ features: ["style"] }, sized);
    expect(dataset.featureNames[0]).toBe("size");
    const column = onDate(dataset, 270).filter((_, i) => i % 21 === 0);
    const ranks = [...column.keys()].sort((a, b) => column[a]! - column[b]!);
    expect(ranks.map((n) => sized.values("size")[270 * 12 + n]!)).toEqual([...sized.values("size").slice(270 * 12, 271 * 12)].sort((a, b) => a - b));
    await expect(panel.dataset({ description: dataset.describe() })).rejects.toThrow(expect.objectContaining({ code: "ERR_DATA", column: "size" }));
  });
});

const nasdaq = fileURLToPath(new URL("../../../shared/data/nasdaq.parquet", import.meta.url));

describe("loadings of real prices", () => {
  if (!existsSync(nasdaq)) console.log("skipped: loadings of real prices, for ../shared/data is not here");

  test.skipIf(!existsSync(nasdaq))("have the same bits with any number of threads", async () => {
    // A window of 480 dates of a thousand stocks: from there on MKL decomposes in another way where it may have several threads.
    const source = { sql: `SELECT date, ticker, close FROM read_parquet('${nasdaq}') WHERE date < '2013-01-31'` };
    const loadingsWith = async (threads: number): Promise<Float32Array> => {
      const real = await openPanel(source, { onWarning: () => {} });
      const { features } = await real.dataset({ features: ["loadings"], loadings: { window: 480, halfLife: 300, count: 40 }, window: 1, split: { fractions: [1, 0, 0] }, maxDropped: 1, threads });
      return features;
    };
    const one = Buffer.from((await loadingsWith(1)).buffer);
    for (const threads of [2, 3]) expect(Buffer.from((await loadingsWith(threads)).buffer).equals(one), `${threads} threads`).toBe(true);
  });
});

describe("refresh dates", () => {
  const options = { window: 20, halfLife: 10, count: 2, refresh: 5 };
  const on = (...at: number[]): LoadingsBasis => ({ dates: at.map((t) => days[t]!), tickers: ["A"], count: 2, values: new Float32Array(2 * at.length), chain: "0" });
  const plan = (from: number, to: number, basis?: LoadingsBasis) => {
    const { refreshes, refreshOf } = planRefreshes(days.slice(from, to), options, basis);
    return { refreshes: refreshes.map(({ date, known }) => [date + from, known]), held: [...refreshOf].map((r) => (r < 0 ? -1 : refreshes[r]!.date + from)) };
  };

  test("are every fifth from the first with 20 returns on", () => {
    const { refreshes, held } = plan(0, 33);
    expect(refreshes).toEqual([[20, undefined], [25, undefined], [30, undefined]]);
    expect(held.slice(18)).toEqual([-1, -1, 20, 20, 20, 20, 20, 25, 25, 25, 25, 25, 30, 30, 30]);
  });

  test("are the stored ones where there are some, then go on in their steps", () => {
    const { refreshes, held } = plan(22, 53, on(20, 25, 30, 35, 40));
    expect(refreshes).toEqual([[22, 0], [25, 1], [30, 2], [35, 3], [40, 4], [45, undefined], [50, undefined]]);
    expect(held.slice(0, 4)).toEqual([22, 22, 22, 25]);
    expect(held.slice(-4)).toEqual([45, 50, 50, 50]);
  });

  test("that would need dates before the data are left out, and no loadings hold until the next", () => {
    const { refreshes, held } = plan(33, 70, on(20, 25, 30, 35, 40));
    expect(refreshes).toEqual([[33, 2], [35, 3], [40, 4], [55, undefined], [60, undefined], [65, undefined]]);
    expect(held.slice(12, 23)).toEqual([-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 55]);
    expect(held.slice(7, 12)).toEqual([40, 40, 40, 40, 40]);
  });

  test("after all stored ones begin anew from the basis of the last", () => {
    const { refreshes, held } = plan(60, 90, on(20, 25, 30));
    expect(refreshes).toEqual([[60, 2], [80, undefined], [85, undefined]]);
    expect(held.slice(0, 21)).toEqual([...new Array<number>(20).fill(-1), 80]);
  });

  test("before all stored ones there are none", () => {
    expect(plan(0, 20, on(20, 25)).refreshes).toEqual([]);
    expect(plan(0, 23, on(20, 25))).toMatchObject({ refreshes: [[20, 0]], held: [...new Array<number>(20).fill(-1), 20, 20, 20] });
  });
});
