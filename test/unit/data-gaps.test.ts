import { afterAll, describe, expect, test } from "vitest";
import type { DatasetOptions } from "../../lib/data/dataset-options.js";
import { openPanel } from "../../lib/data/panel.js";
import type { Dataset } from "../../lib/data/types.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const days = weekdays(40);
const STOCKS = 3;
/** Stocks that are there from the first date on; S000 has no row on dates 20 and 23. */
const rows = priceRows({ days: 40, stocks: 9 }).filter(({ ticker, date }) => (ticker === "S000" ? date !== days[20] && date !== days[23] : ticker === "S004" || ticker === "S008"));
const panel = await openPanel(folder.write("prices.csv", csv(rows)));
const base = { features: ["close", "open"], window: 5, split: { trainEnd: days[30]!, validEnd: days[34]! }, label: { horizonDays: 1, lagDays: 0 }, processors: ["rank", "fill"] } as const;
const cut = (more: Partial<Extract<DatasetOptions, { split: unknown }>> = {}): Promise<Dataset> => panel.dataset({ ...base, ...more });
const datesOf = (dataset: Dataset): number[] => Array.from({ length: 40 }, (_, t) => t).filter((t) => dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1]).includes(0));
const without = (...lost: number[]): number[] => Array.from({ length: 36 }, (_, i) => i + 4).filter((t) => !lost.includes(t));
const entry = (dataset: Dataset, reason: string) => dataset.ledger.entries.find((line) => line.reason === reason);

describe("a date that a window lacks", () => {
  test("takes the stock out for the whole window by default", async () => {
    expect(datesOf(await cut())).toEqual(without(20, 21, 22, 23, 24, 25, 26, 27));
    expect(entry(await cut(), "window_gap")).toBeUndefined();
  });

  test("is filled by the processors where maxMissingDates allows it, and counted; the date itself is never one", async () => {
    // Two labels end or begin on a missing date, 2.1 %; the rows with a gap would be 5 %.
    const one = await cut({ maxMissingDates: 1, maxDropped: 0.03 });
    // On date 24 the window 20 to 24 lacks two dates; on 20 and 23 the stock itself has no close.
    expect(datesOf(one)).toEqual(without(20, 23, 24));
    expect(entry(one, "window_gap")).toMatchObject({ stage: "rows", unit: "rows", count: 5, text: "rows lack a close on up to 1 of the 5 dates of their window: processors fill their features there" });
    expect([...one.features.subarray(20 * STOCKS * 2, 20 * STOCKS * 2 + 2)]).toEqual([0, 0]);
    expect(entry(one, "missing_close")!.count).toBe(2);
    const two = await cut({ maxMissingDates: 2, maxDropped: 0.03 });
    expect(datesOf(two)).toEqual(without(20, 23));
    expect(entry(two, "window_gap")!.count).toBe(6);
    expect(entry(one, "incomplete_window")).toMatchObject({ count: 1, text: "rows lack a close on more than 1 of the 5 dates of their window, or on the last" });
    expect(entry(two, "incomplete_window")).toBeUndefined();
  });

  test("costs the row where no processor fills it", async () => {
    const bare = await cut({ maxMissingDates: 1, processors: [] });
    expect(datesOf(bare)).toEqual(datesOf(await cut()));
    expect(entry(bare, "window_gap")).toBeUndefined();
    expect(entry(bare, "missing_feature")!.count).toBe(5);
    await expect(cut({ maxMissingDates: 1, processors: [], maxDropped: 0.01 })).rejects.toThrow(/^5 of \d+ rows \(\d\.\d %\) lack a feature in their window, most often close\. maxDropped allows 1\.0 %/);
  });

  test("is allowed in new data as it was in training", async () => {
    const trained = await cut({ maxMissingDates: 1 });
    expect(trained.options).toMatchObject({ maxMissingDates: 1 });
    const scored = await panel.dataset({ description: trained.describe() });
    expect(scored.rowStocks).toEqual(trained.rowStocks);
    expect(scored.describe()).toEqual(trained.describe());
  });

  test("may not be the whole window", async () => {
    await expect(cut({ maxMissingDates: 5 })).rejects.toThrow(expect.objectContaining({ code: "ERR_OPTION", message: "Expected a whole number from 0 to 4, below the window, for maxMissingDates but received 5 of type number." }));
  });
});
