import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { columnFromArray, dateDay, float64, int32, int64, interval, IntervalUnit, tableFromArrays, tableFromColumns, tableToIPC, timestamp, utf8, TimeUnit } from "@uwdata/flechette";
import { afterAll, describe, expect, test } from "vitest";
import { openPanel, type Panel } from "../../lib/data/panel.js";
import type { PanelOptions } from "../../lib/data/panel-options.js";
import type { PanelSource } from "../../lib/data/source/panel-source.js";
import { csv, Folder, priceRows } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/arrow/${name}`, import.meta.url));
const options: PanelOptions = { universeColumn: "member", groupColumn: "industry", maxDropped: 1, onWarning: () => undefined };

async function expectSame(panel: Panel, expected: Panel): Promise<void> {
  for (const one of [panel, expected]) await one.read(one.columns);
  expect(panel.digests(panel.columns)).toEqual(expected.digests(expected.columns));
  expect(panel.fingerprint).toBe(expected.fingerprint);
  expect([panel.dates, panel.tickers, panel.columns]).toEqual([expected.dates, expected.tickers, expected.columns]);
  expect(panel.universe).toEqual(expected.universe);
  expect(panel.groups).toEqual(expected.groups);
  for (const name of expected.columns) expect(panel.values(name)).toEqual(expected.values(name));
  expect(panel.ledger).toEqual(expected.ledger);
}

describe("Feather files that pyarrow wrote", () => {
  const rows = { sql: `SELECT * REPLACE (beta::float AS beta) FROM '${fixture("prices.csv")}'` };

  test.each(["uncompressed", "lz4", "zstd"])("are read as the same rows in DuckDB are, in several batches, with missing values and dictionaries: %s", async (codec) => {
    const panel = await openPanel(fixture(`prices-${codec}.feather`), options);
    await expectSame(panel, await openPanel(rows, options));
    expect(panel.values("beta")).toBeInstanceOf(Float32Array);
    expect(panel.ledger.rowsRead).toBeGreaterThan(80);
  });

  test("may come as bytes, and name columns as files do", async () => {
    const named: PanelOptions = { ...options, columns: ["price"], rename: { price: "CLOSE" } };
    const panel = await openPanel({ arrow: readFileSync(fixture("prices-lz4.feather")) }, named);
    await expectSame(panel, await openPanel(rows, named));
    expect(panel.origin.source).toBeNull();
    await expect(openPanel(fixture("prices-lz4.feather"), { ...options, columns: ["alpha"] })).rejects.toThrow(/has no column alpha \(columns\); its columns are/);
  });
});

describe("An Arrow table in memory", () => {
  const prices = priceRows({ days: 7, stocks: 3 });
  const file = folder.write("prices.csv", csv(prices));
  const column = (name: keyof (typeof prices)[number]) => prices.map((row) => row[name]);
  const numbers = { open: float64(), high: float64(), low: float64(), close: float64(), volume: int32() } as const;
  const tableOf = (date: Parameters<typeof columnFromArray>) =>
    tableFromColumns({
      Date: columnFromArray(...date),
      ticker: columnFromArray(column("ticker"), utf8()),
      ...Object.fromEntries(Object.entries(numbers).map(([name, type]) => [name, columnFromArray(column(name as keyof typeof numbers), type)])),
    });

  test.each<[string, () => Parameters<typeof columnFromArray>]>([
    ["DATE", () => [prices.map((row) => new Date(row.date)), dateDay()]],
    ["a timestamp with a time of day", () => [prices.map((row) => new Date(`${row.date}T09:00:00Z`)), timestamp(TimeUnit.MICROSECOND)]],
    ["text", () => [column("date"), utf8()]],
    ["whole numbers yyyymmdd", () => [prices.map((row) => Number(row.date.replaceAll("-", ""))), int32()]],
  ])("with dates as %s is read as a file of the same rows is, from flechette and from IPC", async (_, date) => {
    const table = tableOf(date());
    const expected = await openPanel(file);
    await expectSame(await openPanel({ arrow: table }), expected);
    await expectSame(await openPanel({ arrow: tableToIPC(table, { format: "stream" })! }), expected);
    await expectSame(await openPanel(folder.write("table.arrow", tableToIPC(table, { format: "file" })!)), expected);
  });

  test("with instants counts those that may be of the next day", async () => {
    const table = tableOf([prices.map((row) => new Date(`${row.date}T15:00:00Z`)), timestamp(TimeUnit.MILLISECOND, "Asia/Tokyo")]);
    const panel = await openPanel({ arrow: table }, { onWarning: () => undefined });
    expect(panel.ledger.entries).toMatchObject([{ reason: "late_times", count: prices.length }]);
  });

  test("with integers of 64 bits has them as DuckDB reads them: rounded beyond 2^53, missing where they are", async () => {
    const values = [2n ** 62n + 1n, null, -5n, 7n];
    const keys = { date: ["2020-01-01", "2020-01-01", "2020-01-02", "2020-01-02"], ticker: ["A", "B", "A", "B"] };
    const table = tableFromColumns({ date: columnFromArray(keys.date, utf8()), ticker: columnFromArray(keys.ticker, utf8()), close: columnFromArray([1, 2, 3, 4], float64()), shares: columnFromArray(values, int64()) });
    const sql = `SELECT * FROM (VALUES ${values.map((value, i) => `('${keys.date[i]}', '${keys.ticker[i]}', ${i + 1}.0::DOUBLE, ${value}::BIGINT)`).join(", ")}) AS t(date, ticker, close, shares)`;
    const panel = await openPanel({ arrow: tableToIPC(table, { format: "file" })! });
    await expectSame(panel, await openPanel({ sql }));
    expect(panel.values("shares")).toEqual(Float64Array.of(2 ** 62, NaN, -5, 7));
  });

  const small = (change: Record<string, unknown>): PanelSource => ({ arrow: tableFromArrays({ date: ["2020-01-01", "2020-01-02"], ticker: ["A", "A"], close: Float64Array.of(1, 2), ...change } as unknown as Record<string, string[]>) });
  test.each<[string, () => PanelSource, PanelOptions, RegExp]>([
    ["bytes that are no Arrow", () => ({ arrow: new TextEncoder().encode("this is no Arrow table at all") }), {}, /^Cannot read the Arrow table: .* It must be in Arrow's IPC format/],
    ["a file that breaks off", () => folder.write("cut.feather", readFileSync(fixture("prices-zstd.feather")).subarray(0, 900)), {}, /^Cannot read .*cut\.feather: /],
    ["a file that is not there", () => "nowhere/x.feather", {}, /^File nowhere\/x\.feather does not exist\. Check the path\.$/],
    ["an object that is no table", () => ({ arrow: {} }) as unknown as PanelSource, {}, /^Expected bytes in Arrow's IPC format or a table of @uwdata\/flechette for source\.arrow/],
    ["a missing date column", () => small({}), { dateColumn: "day" }, /^the Arrow table has no column day \(dateColumn\); its columns are date, ticker, close/],
    ["a date that is none", () => small({ date: ["2020-01-01", "soon"] }), {}, /^Cannot read the Arrow table: Expected a date as YYYY-MM-DD, yyyymmdd or a Date for dates\[1\] but received "soon"/],
    ["a date that no number holds", () => ({ arrow: tableFromColumns({ date: columnFromArray([new Float64Array([1, 1, 2 ** 60])], interval(IntervalUnit.MONTH_DAY_NANO)), ticker: columnFromArray(["A"], utf8()), close: columnFromArray([1], float64()) }) }), {}, /^Cannot read column date of the Arrow table: BigInt exceeds/],
    ["a missing ticker", () => small({ ticker: ["A", null] }), {}, /^Cannot read the Arrow table: Expected a ticker for tickers\[1\] but received null/],
    ["a row twice", () => small({ date: ["2020-01-01", "2020-01-01"] }), {}, /^the Arrow table has 1 duplicated \(date, ticker\) row; the first pair is \(2020-01-01, A\), first seen in row 1/],
    ["an infinite value", () => small({ close: Float32Array.of(1, Infinity) }), {}, /^Column close of the Arrow table is infinite in row 2 \(2020-01-02, A\)/],
    ["text in a price", () => small({ close: ["1", "x"] }), {}, /^Cannot read the Arrow table: Expected a number for columns\.close but received "1"/],
  ])("is refused for %s", async (_, source, given, message) => {
    await expect(openPanel(source(), given)).rejects.toThrow(message);
  });
});

