import { afterAll, describe, expect, test } from "vitest";
import type { DatasetOptions, Processor } from "../../lib/data/dataset-options.js";
import { openPanel, type Panel } from "../../lib/data/panel.js";
import type { DatasetDescription } from "../../lib/data/types.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const days = weekdays(24);
const split = { trainEnd: days[13]!, validEnd: days[18]! };
const STOCKS = 9;
/** An exposure per row: odd numbers with ties, missing for S005 on one date. */
const exposures = priceRows({ days: 24, stocks: STOCKS }).map((row, i) => ({ date: row.date, ticker: row.ticker, close: row.close, x: row.ticker === "S005" && row.date === days[10] ? undefined : ((i * 37) % 11) ** 2, y: row.open }));

const open = (rows: readonly object[] = exposures, name = "exposures.csv"): Promise<Panel> => openPanel(folder.write(name, csv(rows)));
const cut = (panel: Panel, processors: readonly Processor[], more: Partial<Extract<DatasetOptions, { split: unknown }>> = {}) =>
  panel.dataset({ features: ["x", "y"], window: 2, split, processors, label: { horizonDays: 1, lagDays: 0 }, maxDropped: 1, ...more });
const column = (dataset: { features: Float32Array }, t: number, f: number, stocks = STOCKS): number[] => Array.from({ length: stocks }, (_, n) => dataset.features[(t * stocks + n) * 2 + f]!);
const expectClose = (got: readonly number[], expected: readonly number[]): void => {
  got.forEach((value, i) => {
    if (Number.isNaN(expected[i])) expect(value).toBeNaN();
    // float32 storage of values of a few units
    else expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-6 * Math.max(1, Math.abs(expected[i]!)));
  });
};
const present = (xs: readonly number[]): number[] => xs.filter((x) => !Number.isNaN(x));
const mean = (xs: readonly number[]): number => xs.reduce((sum, x) => sum + x, 0) / xs.length;
const median = (xs: readonly number[]): number => {
  const sorted = [...xs].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

describe("per-date processors", () => {
  const t = 10;

  test("rank spreads the date's values over (-sqrt 3, sqrt 3), ties in the middle of their places", async () => {
    const panel = await open();
    const raw = column(await cut(panel, []), t, 0);
    const values = present(raw);
    const expected = raw.map((x) => ((values.filter((y) => y < x).length + values.filter((y) => y === x).length / 2) / values.length - 0.5) * Math.sqrt(12));
    expected[5] = NaN;
    expectClose(column(await cut(panel, ["rank"]), t, 0), expected);
  });

  test("zscore has mean 0 and population sd 1", async () => {
    const panel = await open();
    const raw = column(await cut(panel, []), t, 0);
    const centre = mean(present(raw));
    const sd = Math.sqrt(mean(present(raw).map((x) => (x - centre) ** 2)));
    expectClose(column(await cut(panel, ["zscore"]), t, 0), raw.map((x) => (x - centre) / sd));
  });

  test("zscore is 0 where all values are equal", async () => {
    const panel = await open(exposures.map((row) => ({ ...row, x: 0.1 })), "equal.csv");
    expect(column(await cut(panel, ["zscore"]), t, 0)).toEqual(new Array<number>(STOCKS).fill(0));
  });

  test("winsorize clips to the median and k scaled MADs", async () => {
    const panel = await open();
    const raw = column(await cut(panel, []), t, 0);
    const centre = median(present(raw));
    const reach = 1 * 1.4826 * median(present(raw).map((x) => Math.abs(x - centre)));
    const expected = raw.map((x) => Math.min(centre + reach, Math.max(centre - reach, x)));
    expect(expected).not.toEqual(raw);
    expectClose(column(await cut(panel, [{ name: "winsorize", k: 1 }]), t, 0), expected);
  });

  test("see the universe only: a stock outside it changes nobody", async () => {
    const rows = exposures.map((row) => ({ ...row, u: 1 }));
    const ghosts = days.map((date, i) => ({ date, ticker: "GHOST", close: 5, x: 1e6 * i, y: -1e6, u: 0 }));
    const without = await cut(await openPanel(folder.write("u.csv", csv(rows)), { universeColumn: "u" }), ["rank", { name: "fill" }]);
    const withGhost = await cut(await openPanel(folder.write("ghost.csv", csv([...rows, ...ghosts])), { universeColumn: "u" }), ["rank", { name: "fill" }]);
    for (let d = 0; d < 24; d++) expect(column(withGhost, d, 0, STOCKS + 1).slice(1)).toEqual(column(without, d, 0));
    expect(withGhost.rowStocks.includes(0)).toBe(false);
    expect(withGhost.rowStocks.length).toBe(without.rowStocks.length);
  });

  describe("place a stock outside the universe among its members", () => {
    // Members have x = 0, 1, 4, 9, 4; of the others one is below them, one equal to two of them, one between, one above, one missing.
    const x: Record<string, number | undefined> = { S000: -5, S001: 0, S002: 1, S003: 4, S004: 9, S005: 4, S006: 4, S007: 2, S008: 100, S009: undefined };
    const members = ["S001", "S002", "S003", "S004", "S005"];
    const table = days.flatMap((date) => Object.keys(x).map((ticker, i) => ({ date, ticker, close: 5 + i, x: x[ticker], y: i, u: members.includes(ticker) ? 1 : 0 })));
    const xs = members.map((ticker) => x[ticker]!);
    const processed = async (processors: readonly Processor[], rows: readonly object[] = table): Promise<number[]> =>
      column(await cut(await openPanel(folder.write("members.csv", csv(rows, ["date", "ticker", "close", "x", "y", "u"])), { universeColumn: "u" }), processors), t, 0, 10);

    test("by rank: (members less + half of those equal) / n", async () => {
      const expected = Object.values(x).map((value) => (value === undefined ? NaN : ((xs.filter((y) => y < value).length + xs.filter((y) => y === value).length / 2) / 5 - 0.5) * Math.sqrt(12)));
      expectClose(await processed(["rank"]), expected);
    });

    test("by zscore, with the members' mean and sd", async () => {
      const sd = Math.sqrt(mean(xs.map((value) => (value - mean(xs)) ** 2)));
      expectClose(await processed(["zscore"]), Object.values(x).map((value) => (value === undefined ? NaN : (value - mean(xs)) / sd)));
    });

    test("by winsorize, within the members' bounds", async () => {
      // median 4, MAD 3: 4 +- 1.4826 * 3
      expectClose(await processed([{ name: "winsorize", k: 1 }]), Object.values(x).map((value) => (value === undefined ? NaN : Math.min(4 + 1.4826 * 3, Math.max(4 - 1.4826 * 3, value)))));
    });

    test("or leave it missing on a date on which no member has a value", async () => {
      const nobody = table.map((row) => (row.date === days[t] && row.u === 1 ? { ...row, x: undefined } : row));
      expect(await processed(["rank"], nobody)).toEqual(new Array<number>(10).fill(NaN));
      expect(await processed(["zscore"], nobody)).toEqual(new Array<number>(10).fill(NaN));
    });
  });

  test("give a new member the window before it joined", async () => {
    const joins = exposures.map((row) => ({ ...row, x: row.x ?? 0, u: row.ticker === "S004" && row.date < days[12]! ? 0 : 1 }));
    const panel = await openPanel(folder.write("joins.csv", csv(joins)), { universeColumn: "u" });
    const dataset = await cut(panel, ["rank", "fill"], { window: 4, maxDropped: 0 });
    expect([11, 12].map((d) => dataset.rowStocks.subarray(dataset.rowOffsets[d], dataset.rowOffsets[d + 1]).includes(4))).toEqual([false, true]);
    // S002 and S003 list 2 and 3 dates late; nothing is filled.
    expect(dataset.ledger.entries.map(({ reason }) => reason)).toEqual(["incomplete_window", "short_history"]);
    for (let d = 9; d < 12; d++) {
      const raw = column(await cut(panel, []), d, 0);
      const others = raw.filter((_, n) => n !== 4);
      const place = others.filter((value) => value < raw[4]!).length + others.filter((value) => value === raw[4]).length / 2;
      expectClose([column(dataset, d, 0)[4]!], [(place / 8 - 0.5) * Math.sqrt(12)]);
    }
  });

  test("limit themselves to their columns and run in order", async () => {
    const panel = await open();
    const [raw, ranked] = [await cut(panel, []), await cut(panel, [{ name: "rank", columns: ["y"] }])];
    expect(column(ranked, t, 0)).toEqual(column(raw, t, 0));
    expect(column(ranked, t, 1)).not.toEqual(column(raw, t, 1));
  });
});

describe("fill", () => {
  test("keeps rows that a missing feature would cost", async () => {
    const panel = await open();
    const [bare, filled] = [await cut(panel, []), await cut(panel, [{ name: "fill", value: -7 }])];
    // window 2: S005 loses t = 10 and 11
    expect(filled.rowStocks.length - bare.rowStocks.length).toBe(2);
    expect(bare.ledger.entries.find((entry) => entry.reason === "missing_feature")!.count).toBe(2);
    expect(bare.ledger.entries.find((entry) => entry.reason === "missing_x")!.count).toBe(1);
    expect(column(filled, 10, 0)[5]).toBe(-7);
  });

  test("takes the median of the training dates", async () => {
    const panel = await open();
    const dataset = await cut(panel, [{ name: "fill", value: "median" }]);
    const training = exposures.filter((row) => dataset.train.dates.includes(row.date) && row.x !== undefined).map((row) => row.x!);
    expect(column(dataset, 10, 0)[5]).toBe(median(training));
    expect(dataset.describe().processors).toEqual([{ name: "fill", value: "median", statistics: { x: median(training), y: expect.any(Number) as number } }]);
  });
});

describe("standardize", () => {
  test("uses mean and sample sd of the training dates", async () => {
    const dataset = await cut(await open(), ["standardize"]);
    const training = exposures.filter((row) => dataset.train.dates.includes(row.date) && row.x !== undefined).map((row) => row.x!);
    const centre = mean(training);
    const sd = Math.sqrt(training.reduce((sum, x) => sum + (x - centre) ** 2, 0) / (training.length - 1));
    const [{ statistics }] = dataset.describe().processors as unknown as [{ statistics: { x: { mean: number; sd: number } } }];
    // one float64 sum of a hundred terms in another order
    expect(Math.abs(statistics.x.mean - centre)).toBeLessThan(1e-12);
    expect(Math.abs(statistics.x.sd - sd)).toBeLessThan(1e-12);
    const raw = exposures.filter((row) => row.date === days[20]).map((row) => (row.x! - centre) / sd);
    expectClose(column(dataset, 20, 0), raw);
  });

  test("does not move when validation, test or earlier-than-sample values change", async () => {
    const changed = exposures.map((row) => (row.date > days[12]! || row.date < days[1]! ? { ...row, x: 1e5, y: -1e5 } : row));
    const chain = ["standardize", { name: "fill", value: "median" }] as const;
    const [a, b] = [await cut(await open(), chain), await cut(await open(changed, "changed.csv"), chain)];
    expect(a.train.dates[a.train.dates.length - 1]).toBe(days[12]);
    expect(b.describe()).toEqual(a.describe());
    const touched = await cut(await open(exposures.map((row) => (row.date === days[12] ? { ...row, x: 1e5 } : row)), "touched.csv"), chain);
    expect(touched.describe()).not.toEqual(a.describe());
  });
});

describe("a description", () => {
  const chain = ["winsorize", "standardize", { name: "fill", value: "median" }] as const;

  test("repeats features with the stored statistics on other data", async () => {
    const trained = await cut(await open(), chain, { labelTransform: { winsorize: 3, transform: "zscore" } });
    const description = JSON.parse(JSON.stringify(trained.describe())) as DatasetDescription;
    const last = days.slice(14);
    const fresh = await open(exposures.filter((row) => last.includes(row.date)), "fresh.csv");
    const scored = await fresh.dataset({ description });
    expect(scored.describe()).toEqual(description);
    expect(scored.features).toEqual(trained.features.slice(14 * STOCKS * 2));
    expect(scored.unlabelled.dates).toEqual(last.slice(1));
    expect([scored.train, scored.valid, scored.test].map(({ dates }) => dates.length)).toEqual([0, 0, 0]);
    expect(scored.labels).toEqual(trained.labels.slice(14 * STOCKS));
  });

  test("scores data that cannot have labels", async () => {
    const trained = await cut(await open(), ["zscore", "fill"], { label: { column: "close", horizonDays: 1 } });
    const fresh = await open(exposures.slice(-60).map(({ date, ticker, x, y }) => ({ date, ticker, x, y })), "nolabel.csv");
    const scored = await fresh.dataset({ description: trained.describe() });
    expect(scored.labels.every((label) => Number.isNaN(label))).toBe(true);
    expect(scored.unlabelled.dates.length).toBe(scored.dates.length - 1);
  });

  test("keeps ohlcv working, and takes a split where one is given", async () => {
    const dates = weekdays(144);
    const panel = await openPanel(folder.write("prices.csv", csv(priceRows({ days: 144, stocks: STOCKS }))));
    const late = { trainEnd: dates[133]!, validEnd: dates[138]! };
    const trained = await panel.dataset({ window: 3, split: late, maxDropped: 1 });
    const again = await panel.dataset({ description: trained.describe(), split: late });
    expect(again.features).toEqual(trained.features);
    expect(again.test.dates).toEqual(trained.test.dates);
    expect(trained.describe()).toMatchObject({ features: "ohlcv", window: 3, graph: "complete", label: { horizonDays: 1, lagDays: 1 }, processors: [{ name: "rank" }, { name: "fill", value: 0 }], labelTransform: { transform: "rank" } });
  });

  test("names the features that new data lack", async () => {
    const description = (await cut(await open(), chain)).describe();
    const fresh = await open(exposures.map(({ date, ticker, close }) => ({ date, ticker, close })), "lacking.csv");
    await expect(fresh.dataset({ description })).rejects.toThrow(/lacks the columns x, y for features x, y/);
  });

  test("is refused where its features are not those of this version, or statistics are missing", async () => {
    const panel = await open();
    const description = (await cut(panel, chain)).describe();
    await expect(panel.dataset({ description: { ...description, featureNames: ["x", "z"] } })).rejects.toThrow(/features that this version does not make: z/);
    await expect(panel.dataset({ description: { ...description, processors: [{ name: "standardize" }] } })).rejects.toThrow(/Processor standardize has no statistics for feature x/);
    await expect(panel.dataset({ description: { ...description, window: "3" } as unknown as DatasetDescription })).rejects.toThrow(/window/);
  });
});
