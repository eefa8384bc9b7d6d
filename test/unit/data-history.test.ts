import { afterAll, describe, expect, test } from "vitest";
import { openPanel } from "../../lib/data/panel.js";
import type { Ledger } from "../../lib/data/types.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const days = weekdays(190);
const open = (rows: readonly object[], name = "prices.csv") => openPanel(folder.write(name, csv(rows)));
const rows = priceRows({ days: 190, stocks: 5 });
const split = { trainEnd: days[160]!, validEnd: days[175]! };
const label = { horizonDays: 1, lagDays: 0 } as const;
const entry = ({ entries }: Ledger, reason: string) => entries.find((line) => line.reason === reason);

describe("dates whose window and look-backs begin before the data", () => {
  test("are no sample dates: one ledger line, outside maxDropped", async () => {
    const dataset = await (await open(rows)).dataset({ label, split, maxDropped: 0.2 });
    // A window of 16 and the 120 dates before it that return_120 reads.
    expect(dataset.requiredHistory).toBe(136);
    expect(dataset.train.dates[0]).toBe(days[135]);
    expect(dataset.rowOffsets[135]).toBe(0);
    expect(entry(dataset.ledger, "short_history")).toEqual({
      stage: "split", reason: "short_history", count: 135, unit: "dates",
      text: `dates are no sample dates: a sample needs 136 dates (a window of 16 and up to 120 dates before it that its features look back on), so scoring is possible from ${days[135]} on`,
    });
    // Stocks that listed 1 to 3 dates late: nothing else is missing.
    expect(entry(dataset.ledger, "missing_return_120")!.count).toBe(1 + 2 + 3);
    expect(entry(dataset.ledger, "missing_return_60")).toBeUndefined();
  });

  test("are those before the first whole window where columns are taken as they are", async () => {
    const dataset = await (await open(rows)).dataset({ features: ["close"], window: 3, label, split });
    expect(dataset.requiredHistory).toBe(3);
    expect(dataset.train.dates[0]).toBe(days[2]);
    expect(entry(dataset.ledger, "short_history")!.count).toBe(2);
  });

  test("are not counted where the sample was to begin later anyway", async () => {
    const dataset = await (await open(rows)).dataset({ label, split: { ...split, start: days[140]! }, maxDropped: 1 });
    expect(dataset.train.dates[0]).toBe(days[139]);
    expect(entry(dataset.ledger, "short_history")).toBeUndefined();
  });

  test("are refused where nothing else remains, naming how many there are and how many are needed", async () => {
    const description = (await (await open(rows)).dataset({ label, split, maxDropped: 1 })).describe();
    const fresh = await open(rows.filter((row) => row.date >= days[163]!), "27.csv");
    await expect(fresh.dataset({ description })).rejects.toThrow(
      expect.objectContaining({
        code: "ERR_DATA",
        message: expect.stringMatching(/27\.csv has 27 dates, but a sample needs 136: a window of 16 and up to 120 dates before it .* Scoring is possible from the 136th date on\. Read 109 more dates before/) as string,
      }),
    );
  });

  test("are refused where split.start asks for one of them", async () => {
    const panel = await open(rows);
    await expect(panel.dataset({ label, split: { ...split, start: days[135]! } })).rejects.toThrow(
      expect.objectContaining({
        code: "ERR_DATA", option: "split.start", date: days[135],
        message: `There is too little history for split.start ${days[135]}: 135 of the 136 dates that a sample needs (a window of 16 and up to 120 dates before it that its features look back on). ` +
          `Scoring is possible from ${days[135]} on. Read 1 more date before ${days[0]}, or ask for ${days[136]} or later.`,
      }),
    );
    expect((await panel.dataset({ label, split: { ...split, start: days[136]! }, maxDropped: 1 })).train.dates[0]).toBe(days[135]);
  });
});

describe("values that a processor fills", () => {
  const late = rows.filter((row) => row.ticker !== "S004" || row.date >= days[100]!);

  test("are counted in the windows of rows, and refused on their share before the fill", async () => {
    const panel = await open(late, "late.csv");
    // S004 lists on date 100: all of its 55 rows lack a return over 120 dates.
    await expect(panel.dataset({ label, split, maxDropped: 0.19 })).rejects.toThrow(
      expect.objectContaining({ code: "ERR_DATA", option: "maxDropped", column: "return_120", message: expect.stringMatching(/^\d+ of 275 rows \(2\d\.\d %\) lack a feature in their window, most often return_120; a processor would fill \d+ of them\. maxDropped allows 19\.0 %\./) as string }),
    );
    const dataset = await panel.dataset({ label, split, maxDropped: 0.3 });
    // They read dates 120 to 189, and its returns over 60 dates begin on date 160. S001 to S003 listed 1, 2 and 3 dates late: as many rows.
    expect(entry(dataset.ledger, "missing_return_60")).toMatchObject({ stage: "features", count: 40, unit: "values" });
    expect(entry(dataset.ledger, "filled_feature")).toMatchObject({ stage: "rows", unit: "rows", count: 55 + 1 + 2 + 3 });
  });

  test("keep the bound of the run that is scored", async () => {
    const panel = await open(late, "late.csv");
    const description = (await panel.dataset({ label, split, maxDropped: 0.3 })).describe();
    expect((await panel.dataset({ description })).unlabelled.dates.length).toBe(55);
    await expect(panel.dataset({ description, maxDropped: 0.05 })).rejects.toThrow(/maxDropped allows 5\.0 %/);
  });
});
