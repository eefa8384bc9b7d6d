import { afterAll, describe, expect, test } from "vitest";
import { openPanel, type PanelOptions } from "../../lib/data/panel.js";
import type { Warning } from "../../lib/warn.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const days = weekdays(40);
const rows = priceRows({ days: 40, stocks: 6 });
const split = { trainEnd: days[20]!, validEnd: days[30]! };
const base = { features: ["open"], window: 3, split, label: { horizonDays: 1, lagDays: 1 } } as const;

let files = 0;
async function open(table: readonly object[], options: PanelOptions = {}) {
  const warnings: Warning[] = [];
  const panel = await openPanel(folder.write(`table-${files++}.csv`, csv(table)), { onWarning: (warning) => warnings.push(warning), ...options });
  return { panel, warnings };
}

describe("The ledger names", () => {
  test("a date on which most stocks are absent, with its tickers", async () => {
    const table = priceRows({ days: 40, stocks: 57 }).filter((row) => row.date !== days[20] || row.ticker < "S012");
    const { panel, warnings } = await open(table);
    const text = `${days[20]} (12 of 57 stocks, without S012, S013, S014 and 42 more)`;
    expect(panel.ledger.entries).toMatchObject([{ stage: "clean", reason: "partial_dates", unit: "dates", count: 1, text: expect.stringContaining(text) as string }]);
    expect(warnings).toMatchObject([{ reason: "partial_dates", text: expect.stringContaining(text) as string }]);
  });

  test("a newest date that is not delivered whole, and no date before stocks list or after they leave", async () => {
    const { panel } = await open(rows.filter((row) => row.date !== days[39] || row.ticker < "S002"));
    expect(panel.ledger.entries).toMatchObject([{ reason: "partial_dates", text: expect.stringContaining(`${days[39]} (2 of 6 stocks`) as string }]);
    const lists = await open(rows.filter((row) => row.ticker < "S002" || (row.date > days[9]! && row.date < days[30]!)));
    expect(lists.panel.ledger.entries).toEqual([]);
  });

  test("stocks that leave, with their last close and how many labels that cost, and single gaps", async () => {
    const table = rows.filter((row) => (row.ticker !== "S004" || row.date <= days[25]!) && (row.ticker !== "S005" || row.date !== days[15]));
    const { ledger } = await (await open(table)).panel.dataset(base);
    // S004: the labels of its last two dates end after its last close. S005: entry or end of the labels of days 13 and 14 is its gap.
    expect(ledger.entries).toContainEqual(expect.objectContaining({ stage: "labels", reason: "delisted_label", count: 2, text: expect.stringContaining(`S004 (last ${days[25]}, 2)`) as string }));
    expect(ledger.entries).toContainEqual(expect.objectContaining({ stage: "labels", reason: "missing_label", count: 2, text: expect.stringContaining(`S005 ${days[13]}, S005 ${days[14]}`) as string }));
  });
});

describe("More than maxDropped is an error for", () => {
  test("impossible values of a price column", async () => {
    const table = rows.map((row, i) => ({ ...row, volume: i % 4 === 0 ? 0 : row.volume }));
    await expect(open(table)).rejects.toMatchObject({ code: "ERR_DATA", column: "volume", option: "maxDropped", message: expect.stringMatching(/^\d+ of \d+ values of volume in .* \(25\.\d %\) are impossible and were made missing; maxDropped allows 5\.0 %/) as string });
    const crossed = rows.map((row, i) => ({ ...row, high: i % 4 === 0 ? row.low / 2 : row.high }));
    await expect(open(crossed)).rejects.toMatchObject({ code: "ERR_DATA", column: "high" });
    expect((await open(table, { maxDropped: 0.3 })).panel.ledger.entries).toMatchObject([{ reason: "zero_volume" }]);
  });

  test("closes of which none is usable, where a column says who is in the universe", async () => {
    await expect(open(rows.map((row) => ({ ...row, close: 0, member: 1 })), { universeColumn: "member" })).rejects.toMatchObject({ code: "ERR_DATA", option: "maxDropped" });
  });

  test("labels of rows", async () => {
    const { panel } = await open(rows.map((row, i) => ({ ...row, ret: i % 3 === 0 ? undefined : 0.01 * (i % 5) })));
    const options = { ...base, label: { column: "ret", horizonDays: 1 } } as const;
    await expect(panel.dataset(options)).rejects.toThrowError(expect.objectContaining({ code: "ERR_DATA", option: "maxDropped", message: expect.stringMatching(/^\d+ of \d+ labels of rows in train, valid and test \(3\d\.\d %\) are missing, e\.g\. S\d{3} 2020-\d\d-\d\d; maxDropped allows 5\.0 %/) as string }));
    expect((await panel.dataset({ ...options, maxDropped: 0.4 })).ledger.entries).toContainEqual(expect.objectContaining({ reason: "missing_label" }));
  });

  test("but not for labels of stocks that may not be traded", async () => {
    const { panel } = await open(rows.map((row, i) => ({ ...row, ok: i % 3 === 0 ? 0 : 1 })), { tradableColumn: "ok" });
    expect((await panel.dataset(base)).ledger.entries.map(({ reason }) => reason)).toEqual(expect.arrayContaining(["untradable_entry"]));
  });
});
