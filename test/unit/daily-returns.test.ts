import { afterAll, describe, expect, test } from "vitest";
import { openPanel } from "../../lib/data/panel.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const days = weekdays(20);
const rows = priceRows({ days: 20, stocks: 6 });
const base = { features: ["volume"], window: 3, split: { trainEnd: days[10]!, validEnd: days[15]! } } as const;

describe("daily returns of a dataset", () => {
  test("are close[t] / close[t - 1] - 1, missing where one of the two closes is", async () => {
    const gone = rows.map((row) => (row.ticker === "S002" && row.date === days[7] ? { ...row, close: 0 } : row));
    const panel = await openPanel(folder.write("prices.csv", csv(gone)));
    const { returns } = await panel.dataset({ ...base, maxMissingDates: 1 });
    const close = (n: number, t: number): number => gone.find(({ ticker, date }) => ticker === panel.tickers[n] && date === days[t])?.close || NaN;
    for (let t = 0; t < 20; t++) {
      for (let n = 0; n < 6; n++) {
        const expected = t === 0 ? NaN : Math.fround(close(n, t) / close(n, t - 1) - 1);
        expect(returns!.values[t * 6 + n]).toBe(expected);
      }
    }
    expect(returns!.values[7 * 6 + 2]).toBeNaN();
    expect(returns!.values[8 * 6 + 2]).toBeNaN();
  });

  test.each([
    ["one day", 1, 0],
    ["three days after a day", 3, 1],
  ])("may be looked at up to the end of a sample's split, with labels of %s", async (_, horizonDays, lagDays) => {
    const panel = await openPanel(folder.write("prices.csv", csv(rows)));
    const dataset = await panel.dataset({ ...base, label: { horizonDays, lagDays } });
    const { ends } = dataset.returns!;
    for (const t of dataset.train.dateIndices) expect(ends[t]).toBe(10);
    for (const t of dataset.valid.dateIndices) expect(ends[t]).toBe(15);
    for (const t of [...dataset.test.dateIndices, ...dataset.unlabelled.dateIndices]) expect(ends[t]).toBe(19);
    const samples = [dataset.train, dataset.valid, dataset.test, dataset.unlabelled].reduce((sum, { dateIndices }) => sum + dateIndices.length, 0);
    // Purged dates and those without a complete window look at nothing.
    expect(ends.filter((end) => end === -1)).toHaveLength(20 - samples);
  });

  test("end with train where nothing validates, and with the panel where nothing is split", async () => {
    const panel = await openPanel(folder.write("prices.csv", csv(rows)));
    const unvalidated = await panel.dataset({ ...base, split: { trainEnd: days[10]! } });
    for (const t of unvalidated.train.dateIndices) expect(unvalidated.returns!.ends[t]).toBe(10);
    for (const t of unvalidated.test.dateIndices) expect(unvalidated.returns!.ends[t]).toBe(19);
    const whole = await panel.dataset({ description: unvalidated.describe() });
    for (const t of whole.unlabelled.dateIndices) expect(whole.returns!.ends[t]).toBe(19);
  });

  test("are missing over a return that looks like a split where such returns are", async () => {
    const split = rows.map((row) => (row.ticker === "S001" && row.date >= days[9]! ? { ...row, open: row.open / 10, high: row.high / 10, low: row.low / 10, close: row.close / 10 } : row));
    const panel = await openPanel(folder.write("split.csv", csv(split)), { extremeReturns: "missing" });
    const { returns } = await panel.dataset(base);
    expect(returns!.values[9 * 6 + 1]).toBeNaN();
    expect(returns!.values[10 * 6 + 1]).not.toBeNaN();
  });

  test("need a close", async () => {
    const panel = await openPanel(folder.write("closeless.csv", csv(rows.map(({ close, ...row }) => ({ ...row, y: close })))));
    expect((await panel.dataset({ ...base, label: { column: "y", horizonDays: 0 } })).returns).toBeUndefined();
  });
});
