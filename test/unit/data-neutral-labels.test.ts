import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { labelExposures } from "../../lib/data/exposures.js";
import { openPanel, type Panel } from "../../lib/data/panel.js";
import type { DatasetOptions, Label, LabelTransform } from "../../lib/data/dataset-options.js";
import type { Dataset } from "../../lib/data/types.js";
import { pearson } from "../../lib/metrics/statistics.js";
import { residuals, transformLabels } from "../oracle/labels.js";
import { csv, Folder, priceRows, randomNumbers, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const [DAYS, STOCKS] = [90, 33];
const days = weekdays(DAYS);
const random = randomNumbers(3);
const rows = priceRows({ days: DAYS, stocks: STOCKS }).map((row, i) => ({
  ...row,
  // A jump that a fit must not follow.
  close: row.ticker === "S005" && row.date >= days[70]! ? 1.4 * row.close : row.close,
  value: i % 50 === 0 ? undefined : random(),
  // Twice value and a constant: what it could take out is gone.
  same: 7,
  sector: row.ticker === "S004" ? undefined : `sector ${Number(row.ticker.slice(1)) % 3}`,
}));
const split = { trainEnd: days[70]!, validEnd: days[80]! };
const loadings = { window: 40, halfLife: 20, count: 4, refresh: 5 };
const open = (table: readonly object[], name: string): Promise<Panel> => openPanel(folder.write(name, csv(table)), { groupColumn: "sector", onWarning: () => {} });

let panel: Panel;
beforeAll(async () => {
  panel = await open(rows, "prices.csv");
});

type Options = Partial<Extract<DatasetOptions, { split: unknown }>>;
const cut = (labelTransform: LabelTransform, options: Options = {}, of = panel): Promise<Dataset> =>
  of.dataset({ features: ["close"], window: 3, split, labelTransform, ...(JSON.stringify(labelTransform).includes("loadings") ? { loadings } : {}), ...options });
const everything = ["loadings", "value", "same", "groups"];
const counts = ({ ledger }: Dataset): Record<string, number> => Object.fromEntries(ledger.entries.map(({ reason, count }) => [reason, count]));
const rowsOf = ({ rowOffsets, rowStocks }: Dataset, t: number): number[] => [...rowStocks.subarray(rowOffsets[t], rowOffsets[t + 1])];
const sampleDates = ({ train, valid, test: last }: Dataset): number[] => [...train.dateIndices, ...valid.dateIndices, ...last.dateIndices];

/** Residuals of the labels of one date and horizon, by the oracle. */
function expected(dataset: Dataset, t: number, l = 0): { cells: number[]; left: number[]; rank: number; filled: number } {
  const [N, L] = [dataset.tickers.length, dataset.horizons.length];
  const exposures = labelExposures(dataset)!;
  const matrix = exposures.of(t);
  const stocks = rowsOf(dataset, t).filter((n) => !Number.isNaN(dataset.labels[(t * N + n) * L + l]!));
  const raw = stocks.map((n) => dataset.labels[(t * N + n) * L + l]!);
  const clipped = raw.map((value) => Math.min(0.15, Math.max(-0.15, value)));
  const codes = stocks.map((n) => panel.groups!.codes[t * N + n]!);
  const { left, rank, filled } = residuals(clipped, exposures.names.map((_, k) => stocks.map((n) => matrix[k * N + n]!)), codes);
  return { cells: stocks.map((n) => (t * N + n) * L + l), left: left.map((value, i) => value + raw[i]! - clipped[i]!), rank, filled };
}

describe("labels made neutral", () => {
  test("are residuals by least squares on loadings, columns and an intercept per group; the fit does not follow a jump", async () => {
    const dataset = await cut({ transform: "none", neutralise: everything }, { label: { horizonDays: [1, 3], lagDays: 1 } });
    expect(labelExposures(dataset)!.names).toEqual(["loading_1", "loading_2", "loading_3", "loading_4", "value", "same"]);
    const found = { filled: 0, dependent: 0, jumps: 0 };
    for (const t of sampleDates(dataset)) {
      for (const l of [0, 1]) {
        const { cells, left, rank, filled } = expected(dataset, t, l);
        // Targets are in single precision: 24 bits.
        cells.forEach((cell, i) => expect(Math.abs(dataset.targets[cell]! - left[i]!)).toBeLessThan(1e-7 * Math.max(1, Math.abs(left[i]!))));
        found.filled += filled;
        // Intercepts: three sectors, and S004 where it is in.
        const intercepts = new Set(cells.map((cell) => panel.groups!.codes[(cell - l) / 2]!)).size;
        found.dependent += 6 - (rank - intercepts);
        found.jumps += left.filter((value) => value > 0.3).length;
      }
    }
    expect(found.jumps).toBeGreaterThan(0);
    expect(found.filled).toBeGreaterThan(0);
    expect(counts(dataset)).toMatchObject({ missing_exposure: found.filled, dependent_exposure: found.dependent });
  });

  test("are ranked or winsorised like raw labels, and the labels that metrics are taken on stay raw", async () => {
    const [plain, raw] = [await cut({ transform: "none", neutralise: everything }), await cut("rank")];
    for (const transform of [{ transform: "rank" }, { transform: "zscore", winsorize: 2 }] as const) {
      const dataset = await cut({ ...transform, neutralise: everything });
      expect(dataset.labels).toEqual(raw.labels);
      // Equal but for what single precision loses of residuals before the oracle transforms them.
      const oracle = transformLabels(plain.targets, plain.rowOffsets, plain.rowStocks, STOCKS, 1, transform as never);
      expect(dataset.targets.map(Number.isNaN as never)).toEqual(oracle.map(Number.isNaN as never));
      for (const [i, value] of dataset.targets.entries()) if (!Number.isNaN(value)) expect(value).toBeCloseTo(oracle[i]!, 4);
    }
  });

  test("are the same bits on one, two and three threads", async () => {
    const [one, two, three] = await Promise.all([1, 2, 3].map((threads) => cut({ neutralise: everything }, { threads })));
    expect(two!.targets).toEqual(one!.targets);
    expect(three!.targets).toEqual(one!.targets);
  });

  test("may be neutral to groups alone: the mean of each group is taken off", async () => {
    const dataset = await cut({ transform: "none", neutralise: ["groups"] });
    const t = dataset.train.dateIndices[5]!;
    const { cells, left } = expected(dataset, t);
    cells.forEach((cell, i) => expect(dataset.targets[cell]!).toBeCloseTo(left[i]!, 7));
    // S004 has no sector: it is a group of one, which leaves it nothing.
    expect(dataset.targets[t * STOCKS + 4]).toBe(0);
  });

  test("depend on nothing after their own end: other later prices, values and sectors change neither exposures nor targets before", async () => {
    const last = 75;
    const changed = rows.map((row, i) => (row.date <= days[last]! ? row : { ...row, close: row.close * (1 + 0.02 * Math.sin(i)), value: i % 7, sector: "sector 1" }));
    const [before, after] = [await cut({ neutralise: everything }), await cut({ neutralise: everything }, {}, await open(changed, "changed.csv"))];
    for (let t = 0; t < DAYS; t++) {
      const [a, b] = [labelExposures(before)!.of(t), labelExposures(after)!.of(t)];
      if (t <= last) expect(b).toEqual(a);
      else expect(b).not.toEqual(a);
      const of = ({ targets }: Dataset): Float32Array => targets.slice(t * STOCKS, (t + 1) * STOCKS);
      // Horizon 1 and lag 1.
      if (t + 2 <= last) expect(of(after)).toEqual(of(before));
    }
    expect(before.targets.some((value) => !Number.isNaN(value))).toBe(true);
  });

  test("wait until exposures have their history: a sample needs 40 returns for loadings", async () => {
    const dataset = await cut({ neutralise: ["loadings"] });
    expect(dataset.requiredHistory).toBe(41);
    expect(dataset.train.dates[0]).toBe(days[40]);
    expect((await cut({ neutralise: ["value"] })).requiredHistory).toBe(3);
  });

  test("are described, so that other data are cut alike and otherwise prepared ones refused; without a split there are no targets", async () => {
    const dataset = await cut({ neutralise: ["value", "loadings"] });
    const description = dataset.describe();
    expect(description).toMatchObject({ labelTransform: { transform: "rank", neutralise: ["value", "loadings"] }, exposureNames: ["value", "loading_1", "loading_2", "loading_3", "loading_4"], loadings: { count: 4 } });
    const again = await panel.dataset({ description, split });
    expect(again.targets).toEqual(dataset.targets);
    expect(again.describe()).toEqual(description);
    const scored = await panel.dataset({ description });
    expect(scored.describe()).toEqual(description);
    expect(scored.requiredHistory).toBe(3);
    expect(scored.targets.every((value) => Number.isNaN(value))).toBe(true);
  });

  test("may be neutral to style, whose size is the panel's where it has one; data that lack it are refused", async () => {
    const long = weekdays(264);
    const table = priceRows({ days: 264, stocks: 31 }).map((row, i) => ({ ...row, size: 1 + (i % 97), sector: "one" }));
    const styled = await open(table, "style.csv");
    const options = { features: ["close"], window: 3, split: { trainEnd: long[260]! }, labelTransform: { transform: "none", neutralise: ["style"] } } as const;
    const dataset = await styled.dataset(options);
    expect(dataset.requiredHistory).toBe(253);
    expect(dataset.describe().exposureNames!.slice(0, 2)).toEqual(["size", "size_cubed"]);
    const t = dataset.train.dateIndices[4]!;
    const matrix = labelExposures(dataset)!.of(t);
    const stocks = rowsOf(dataset, t).filter((n) => !Number.isNaN(dataset.labels[t * 31 + n]!));
    const { left, rank } = residuals(stocks.map((n) => dataset.labels[t * 31 + n]!), Array.from({ length: 21 }, (_, k) => stocks.map((n) => matrix[k * 31 + n]!)), stocks.map(() => 0));
    expect(rank).toBeGreaterThan(18);
    stocks.forEach((n, i) => expect(dataset.targets[t * 31 + n]!).toBeCloseTo(left[i]!, 7));
    const without = await open(table.map(({ size: _, ...row }) => row), "without.csv");
    expect((await without.dataset(options)).describe().exposureNames![0]).toBe("size_proxy");
    await expect(without.dataset({ description: dataset.describe(), split: options.split })).rejects.toThrow(/lacks the column size for labelTransform\.neutralise/);
  });

  test("of a column are not clipped", async () => {
    const label: Label = { column: "value", horizonDays: 1 };
    const dataset = await cut({ transform: "none", neutralise: ["loadings"] }, { label });
    const t = dataset.train.dateIndices[3]!;
    const stocks = rowsOf(dataset, t).filter((n) => !Number.isNaN(dataset.labels[t * STOCKS + n]!));
    const matrix = labelExposures(dataset)!.of(t);
    const { left } = residuals(stocks.map((n) => dataset.labels[t * STOCKS + n]!), [0, 1, 2, 3].map((k) => stocks.map((n) => matrix[k * STOCKS + n]!)), stocks.map(() => 0));
    stocks.forEach((n, i) => expect(dataset.targets[t * STOCKS + n]!).toBeCloseTo(left[i]!, 6));
  });
});

describe("a factor planted into a market", () => {
  test("is gone from the labels, and what is a stock's own stays", async () => {
    const noise = randomNumbers(11);
    const [exposure, own] = [0, 1].map(() => Array.from({ length: DAYS * STOCKS }, () => noise() - 0.5)) as [number[], number[]];
    const close = Array.from({ length: STOCKS }, () => 50);
    const table = days.flatMap((date, t) => {
      const move = 0.1 * Math.sin(t);
      return Array.from({ length: STOCKS }, (_, n) => {
        const at = (t - 1) * STOCKS + n;
        if (t > 0) close[n]! *= 1 + move * exposure[at]! + 0.02 * own[at]!;
        return { date, ticker: `S${String(n).padStart(3, "0")}`, close: close[n], exposure: exposure[t * STOCKS + n], own: own[t * STOCKS + n] };
      });
    });
    const market = await openPanel(folder.write("market.csv", csv(table)));
    const options: Options = { label: { horizonDays: 1, lagDays: 0 } };
    const [raw, neutral] = [await cut("none", options, market), await cut({ transform: "none", neutralise: ["exposure"] }, options, market)];
    const correlations = ({ targets }: Dataset, of: readonly number[]): number[] =>
      sampleDates(raw).map((t) => pearson(Float64Array.from(of.slice(t * STOCKS, (t + 1) * STOCKS)), Float64Array.from(targets.slice(t * STOCKS, (t + 1) * STOCKS)), STOCKS));
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + Math.abs(value), 0) / values.length;
    expect(mean(correlations(raw, exposure))).toBeGreaterThan(0.7);
    // Rounding of single precision.
    expect(Math.max(...correlations(neutral, exposure).map(Math.abs))).toBeLessThan(1e-5);
    expect(mean(correlations(raw, own))).toBeLessThan(0.6);
    expect(mean(correlations(neutral, own))).toBeGreaterThan(0.95);
  });
});

describe("what labels cannot be made neutral to is refused", () => {
  test.each([
    [{ neutralise: ["valeu"] }, /lacks the column valeu for labelTransform\.neutralise; the panel has .*Did you mean value\?/],
    [{ neutralise: ["ohlcv"] }, /Expected "loadings", "style", "groups" or columns for labelTransform\.neutralise/],
    [{ neutralise: ["value", "value"] }, /Expected each name once for labelTransform\.neutralise/],
    [{ neutralise: [] }, /Expected a list of "loadings", "style", "groups" and column names for labelTransform\.neutralise/],
    [{ neutralise: "loadings" }, /labelTransform/],
  ])("%j", async (labelTransform, message) => {
    await expect(cut(labelTransform as LabelTransform, { loadings: undefined })).rejects.toThrow(message);
  });

  test("groups of a panel without any, the label itself, and options of loadings that nothing uses", async () => {
    const bare = await openPanel(folder.write("bare.csv", csv(rows, ["date", "ticker", "close", "value"])), { onWarning: () => {} });
    await expect(cut({ neutralise: ["groups"] }, {}, bare)).rejects.toThrow(/labelTransform\.neutralise names groups, and the panel has none/);
    await expect(cut({ neutralise: ["value"] }, { label: { column: "value", horizonDays: 1 } })).rejects.toThrow(/value is both the label and an exposure/);
    await expect(cut({ neutralise: ["value"] }, { loadings })).rejects.toThrow(/neither features nor labelTransform\.neutralise names it/);
  });

  test("more exposures than stocks leave no labels: counted, and refused beyond maxDropped", async () => {
    const few = await openPanel(folder.write("few.csv", csv(rows.filter(({ ticker }) => ticker <= "S005"))), { groupColumn: "sector", onWarning: () => {} });
    const options = { labelTransform: { neutralise: ["loadings", "value", "groups"] }, features: ["close"], loadings, window: 3, split };
    await expect(few.dataset(options)).rejects.toThrow(/labels of rows in train, valid and test \(\d+\.\d %\) are of dates with no more labels than it takes to make them neutral to 5 exposures and the groups; maxDropped allows 5\.0 %/);
    const dataset = await few.dataset({ ...options, maxDropped: 1 });
    expect(counts(dataset)["too_few_for_exposures"]).toBe(sampleDates(dataset).length * 6);
    expect(dataset.targets.every((value) => Number.isNaN(value))).toBe(true);
  });
});
