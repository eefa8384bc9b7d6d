import { afterAll, describe, expect, test } from "vitest";
import type { LabelTransform } from "../../lib/data/dataset-options.js";
import { openPanel } from "../../lib/data/panel.js";
import { averageTieRanks, normalQuantile } from "../../lib/data/ranks.js";
import type { Dataset } from "../../lib/data/types.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const days = weekdays(20);
const split = { trainEnd: days[11]!, validEnd: days[15]! };
const rows = priceRows({ days: 20, stocks: 6 });
const base = { features: ["close"], window: 3, split } as const;
const closeOf = (ticker: string, t: number): number | undefined => rows.find((row) => row.ticker === ticker && row.date === days[t])?.close;
const isRow = (dataset: Dataset, t: number, n: number): boolean => dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1]).includes(n);

describe("labels", () => {
  test.each([
    [1, 0], [1, 1], [3, 0], [2, 2],
  ])("are close[t + l + h] / close[t + l] - 1 for h = %d, l = %d", async (h, l) => {
    const panel = await openPanel(folder.write("prices.csv", csv(rows)));
    const dataset = await panel.dataset({ ...base, label: { horizonDays: h, lagDays: l } });
    for (let t = 0; t < 20; t++) {
      panel.tickers.forEach((ticker, n) => {
        const [entry, end] = [closeOf(ticker, t + l), closeOf(ticker, t + l + h)];
        const label = dataset.labels[t * 6 + n]!;
        if (entry === undefined || end === undefined) expect(label).toBeNaN();
        else expect(label).toBe(Math.fround(end / entry - 1));
      });
    }
    expect(dataset.unlabelled.dates).toEqual(days.slice(20 - h - l));
  });

  test("of several horizons lie side by side, and splits hold only rows", async () => {
    const panel = await openPanel(folder.write("prices.csv", csv(rows)));
    const dataset = await panel.dataset({ ...base, label: { horizonDays: [1, 3], lagDays: 0 } });
    const single = await panel.dataset({ ...base, label: { horizonDays: 3, lagDays: 0 } });
    expect(dataset.horizons).toEqual([1, 3]);
    expect(dataset.test.labels.shape).toEqual([dataset.test.dates.length, 6, 2]);
    expect(single.train.labels.shape).toEqual([single.train.dates.length, 6]);
    single.train.dateIndices.forEach((t, i) => {
      for (let n = 0; n < 6; n++) {
        const expected = isRow(single, t, n) ? single.labels[t * 6 + n]! : NaN;
        expect(single.train.labels.data[i * 6 + n]).toBe(expected);
        expect(dataset.labels[(t * 6 + n) * 2 + 1]).toBe(single.labels[t * 6 + n]);
      }
    });
  });

  test("are missing where a close is, and where the entry date is not tradable; the row stays", async () => {
    const changed = rows.map((row) => ({ ...row, close: row.ticker === "S000" && row.date === days[9] ? 0 : row.close, ok: row.ticker === "S004" && row.date === days[8] ? 0 : 1 }));
    const panel = await openPanel(folder.write("tradable.csv", csv(changed)), { tradableColumn: "ok" });
    const dataset = await panel.dataset({ ...base, features: ["open"], label: { horizonDays: 1, lagDays: 1 } });
    expect([7, 8].map((t) => dataset.labels[t * 6]!)).toEqual([NaN, NaN]);
    expect(dataset.labels[7 * 6 + 4]).toBeNaN();
    expect(isRow(dataset, 7, 4)).toBe(true);
    expect(isRow(dataset, 8, 4)).toBe(true);
    expect(dataset.labels[6 * 6 + 4]).not.toBeNaN();
    const counts = Object.fromEntries(dataset.ledger.entries.map((entry) => [entry.reason, entry.count]));
    expect(counts.untradable_entry).toBe(1);
    // S000 on t = 7 and 8 (on t = 9 to 11 it is no row); S004 on t = 7 is counted above.
    expect(counts.missing_label).toBe(1 + 1);
  });

  test("may come from a column", async () => {
    const changed = rows.map((row, i) => ({ ...row, ret: row.date > days[17]! ? undefined : (i % 7) / 100 }));
    const panel = await openPanel(folder.write("column.csv", csv(changed)));
    const dataset = await panel.dataset({ ...base, label: { column: "ret", horizonDays: 2 } });
    expect(dataset.horizons).toEqual([0]);
    expect(dataset.unlabelled.dates).toEqual(days.slice(18));
    expect(dataset.labels[5 * 6]).toBe(Math.fround(5 % 7 / 100));
    expect(dataset.splitSummary.purged).toEqual({ trainValid: 1, validTest: 1 });
    expect(dataset.train.dates.some((date) => dataset.valid.dates.includes(date))).toBe(false);
    const ofToday = await panel.dataset({ ...base, label: { column: "ret", horizonDays: 0 } });
    expect(ofToday.splitSummary.purged).toEqual({ trainValid: 0, validTest: 0 });
  });
});

describe("targets", () => {
  const targetsOf = async (labelTransform: LabelTransform = "rank"): Promise<Dataset> => {
    const panel = await openPanel(folder.write("prices.csv", csv(rows)));
    return panel.dataset({ ...base, label: { horizonDays: 1, lagDays: 0 }, labelTransform });
  };
  const t = 10;
  const labelsAt = (dataset: Dataset): Float64Array => Float64Array.from(dataset.labels.subarray(t * 6, t * 6 + 6));

  test("are the inverse normal of the rank by default", async () => {
    const dataset = await targetsOf();
    const ranks = averageTieRanks(labelsAt(dataset));
    expect([...dataset.targets.subarray(t * 6, t * 6 + 6)]).toEqual(Array.from(ranks, (rank) => Math.fround(normalQuantile((rank - 0.5) / 6))));
  });

  test("can be z-scores or the returns themselves", async () => {
    const dataset = await targetsOf("zscore");
    const z = dataset.targets.subarray(t * 6, t * 6 + 6);
    // 6 float32 values near 1: sums within a few units of 1e-7
    expect(Math.abs(z.reduce((sum, x) => sum + x, 0))).toBeLessThan(1e-6);
    expect(Math.abs(z.reduce((sum, x) => sum + x * x, 0) / 6 - 1)).toBeLessThan(1e-6);
    const raw = await targetsOf("none");
    expect(raw.targets.subarray(t * 6, t * 6 + 6)).toEqual(raw.labels.subarray(t * 6, t * 6 + 6));
  });

  test("can be clipped to the median and k MADs before", async () => {
    const dataset = await targetsOf({ winsorize: 0.5, transform: "none" });
    const y = labelsAt(dataset).sort();
    const median = (y[2]! + y[3]!) / 2;
    const deviations = y.map((x) => Math.abs(x - median)).sort();
    const reach = 0.5 * 1.4826 * ((deviations[2]! + deviations[3]!) / 2);
    const clipped = [...labelsAt(dataset)].map((x) => Math.fround(Math.min(median + reach, Math.max(median - reach, x))));
    expect([...dataset.targets.subarray(t * 6, t * 6 + 6)]).toEqual(clipped);
    expect(new Set(clipped).size).toBeLessThan(6);
  });

  test("are missing where a stock is no row, though its label is known", async () => {
    const dataset = await targetsOf();
    // S003 lists on day 3: from day 5 on it has its 3 closes.
    expect(isRow(dataset, 4, 3)).toBe(false);
    expect(dataset.labels[4 * 6 + 3]).not.toBeNaN();
    expect(dataset.targets[4 * 6 + 3]).toBeNaN();
    expect(dataset.targets[5 * 6 + 3]).not.toBeNaN();
  });
});
