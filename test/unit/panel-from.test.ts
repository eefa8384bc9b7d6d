import { afterAll, describe, expect, test } from "vitest";
import { openPanel, Panel } from "../../lib/data/panel.js";
import type { PanelDataOptions } from "../../lib/data/panel-options.js";
import type { PanelData } from "../../lib/data/source/memory.js";
import { csv, Folder, priceRows, type PriceRow } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const PRICES = ["open", "high", "low", "close", "volume"] as const;
const rows = priceRows({ days: 9, stocks: 5 });
const file = folder.write("prices.csv", csv(rows));

/** Rows as a long table of typed arrays. */
function long(of: readonly PriceRow[]): PanelData & { columns: Record<string, Float64Array> } {
  return { dates: of.map((row) => row.date), tickers: of.map((row) => row.ticker), columns: Object.fromEntries(PRICES.map((name) => [name, Float64Array.from(of, (row) => row[name])])) };
}

/** The same rows on the grid of the given dates and tickers, NaN where there is none. */
function dense(dates: string[], tickers: string[]): PanelData {
  const grid = (name: (typeof PRICES)[number]): Float64Array => {
    const values = new Float64Array(dates.length * tickers.length).fill(NaN);
    for (const row of rows) values[dates.indexOf(row.date) * tickers.length + tickers.indexOf(row.ticker)] = row[name];
    return values;
  };
  return { dates, tickers, columns: Object.fromEntries(PRICES.map((name) => [name, grid(name)])) };
}

const dates = [...new Set(rows.map((row) => row.date))].sort();
const tickers = [...new Set(rows.map((row) => row.ticker))].sort();

async function expectSame(panel: Panel, expected: Panel): Promise<void> {
  for (const one of [panel, expected]) await one.read(one.columns);
  expect(panel.digests(panel.columns)).toEqual(expected.digests(expected.columns));
  expect(panel.fingerprint).toBe(expected.fingerprint);
  expect(panel.dates).toEqual(expected.dates);
  expect(panel.tickers).toEqual(expected.tickers);
  expect(panel.present).toEqual(expected.present);
  expect(panel.universe).toEqual(expected.universe);
  for (const name of expected.columns) expect(panel.values(name)).toEqual(expected.values(name));
  expect(panel.ledger).toEqual(expected.ledger);
}

describe("Panel.from", () => {
  test.each<[string, () => PanelData]>([
    ["a long table", () => long(rows)],
    ["a long table in another order", () => long([...rows].sort((a, b) => a.volume - b.volume))],
    ["dates as whole numbers", () => ({ ...long(rows), dates: Int32Array.from(rows, (row) => Number(row.date.replaceAll("-", ""))) })],
    ["dates as text yyyymmdd and as Date", () => ({ ...long(rows), dates: rows.map((row, i) => (i % 2 === 0 ? row.date.replaceAll("-", "") : new Date(`${row.date}T15:00:00Z`))) })],
    ["plain arrays, and other cases", () => ({ ...long(rows), columns: Object.fromEntries(PRICES.map((name) => [name.toUpperCase(), rows.map((row) => row[name])])) })],
    ["big integers", () => ({ ...long(rows), columns: { ...long(rows).columns, volume: BigInt64Array.from(rows, (row) => BigInt(row.volume)) } })],
    ["a dense table", () => dense(dates, tickers)],
    ["a dense table whose dates and tickers are in another order", () => dense([...dates].reverse(), [...tickers].reverse())],
  ])("makes the panel of a file of %s", async (_, data) => {
    await expectSame(await Panel.from(data()), await openPanel(file));
  });

  test("leaves what it was given as it was", async () => {
    const data = long(rows.map((row, i) => (i === 2 ? { ...row, volume: 0 } : row)));
    const before = structuredClone(data);
    const panel = await Panel.from(data);
    expect(panel.ledger.entries).toMatchObject([{ reason: "zero_volume", count: 1 }]);
    expect(data).toEqual(before);
    expect(panel.origin.source).toBeNull();
  });

  test("takes single precision, flags, groups, names of columns and missing values as files have them", async () => {
    const given = rows.map((row, i) => ({ date: row.date, ticker: row.ticker, close: Math.fround(row.close), beta: i % 5 === 0 ? null : i, member: i % 7 > 0, group: ["a", " b ", "n/a", null][i % 4] ?? null, name: "text" }));
    const options: PanelDataOptions = { universeColumn: "member", groupColumn: "group", maxDropped: 1, onWarning: () => undefined };
    const column = (name: keyof (typeof given)[number]) => given.map((row) => row[name]);
    const columns = { close: Float32Array.from(given, (row) => row.close), beta: column("beta"), member: column("member"), group: column("group"), name: column("name") };
    const panel = await Panel.from({ dates: column("date") as string[], tickers: column("ticker") as string[], columns }, options);
    const expected = await openPanel({ sql: `select * replace (close::float as close) from read_csv('${folder.write("given.csv", csv(given))}', sample_size = -1)` }, options);
    await expectSame(panel, expected);
    expect(panel.groups).toEqual(expected.groups);
    expect(panel.values("close")).toBeInstanceOf(Float32Array);
    expect((await Panel.from({ dates: column("date") as string[], tickers: column("ticker") as string[], columns }, { columns: ["beta"], maxDropped: 1 })).columns).toEqual(["beta"]);
  });

  test("appends rows to a panel from memory", async () => {
    const [before, after] = [rows.filter((row) => row.date < dates[7]!), rows.filter((row) => row.date >= dates[7]!)];
    const panel = await (await Panel.from(long(before))).append(long(after) as Parameters<Panel["append"]>[0]);
    expect(panel.values("close")).toEqual((await openPanel(file)).values("close"));
  });

  const columns = (change: Record<string, unknown>): PanelData => ({ ...long(rows), columns: { ...long(rows).columns, ...change } as PanelData["columns"] });
  test.each<[string, () => unknown, PanelDataOptions, RegExp]>([
    ["nothing", () => null, {}, /^Expected \{ dates, tickers, columns \} for data but received null/],
    ["no dates", () => ({ ...long(rows), dates: [] }), {}, /^Expected a list of dates for dates/],
    ["no columns", () => ({ ...long(rows), columns: {} }), {}, /^Expected an object of columns for columns/],
    ["a column that is none", () => columns({ close: 3 }), {}, /^Expected a list of values for columns\.close but received 3/],
    ["a column of another length", () => columns({ low: new Float64Array(7) }), {}, /^Expected 39 values, as many as open has, for columns\.low .* It has 7\.$/],
    ["columns of neither shape", () => ({ ...dense(dates, tickers), tickers: tickers.slice(1) }), {}, /^Expected 9 values, one a row, or 9 x 4, one per date and ticker, for columns\.open .* It has 45\.$/],
    ["an impossible date", () => ({ ...long(rows), dates: rows.map((row, i) => (i === 4 ? "2020-02-30" : row.date)) }), {}, /^Expected a date as YYYY-MM-DD, yyyymmdd or a Date for dates\[4\] but received "2020-02-30"/],
    ["a date that is a time", () => ({ ...long(rows), dates: new Float64Array(rows.length).fill(1577836800000) }), {}, /for dates\[0\] but received 1577836800000/],
    ["an empty ticker", () => ({ ...long(rows), tickers: rows.map((row, i) => (i === 3 ? " " : row.ticker)) }), {}, /^Expected a ticker for tickers\[3\] but received " "/],
    ["a text where a number belongs", () => columns({ close: rows.map((row, i) => (i === 6 ? "?" : row.close)) }), {}, /^Expected a number for columns\.close but received "\?" of type string\. It is that of S000 on 2020-01-09\.$/],
    ["a flag that is none", () => columns({ member: rows.map(() => "maybe") }), { universeColumn: "member" }, /^Expected true or false, or 1 or 0, for columns\.member but received "maybe"/],
    ["a row twice", () => long([...rows, rows[3]!]), {}, /^the data has 1 duplicated \(date, ticker\) row; the first pair is \(2020-01-06, S000\), first seen in row 4 of the data\./],
    ["an infinite value", () => long(rows.map((row, i) => (i === 5 ? { ...row, low: -Infinity } : row))), {}, /^Column low of the data is infinite in row 6 \(2020-01-08, S000\)/],
    ["a missing column", () => long(rows), { columns: ["beta"] }, /^the data has no column beta \(columns\); its columns are open, high/],
    ["a missing universe", () => long(rows), { universeColumn: "u" }, /^the data has no column u \(universeColumn\)/],
    ["no numbers", () => ({ ...long(rows), columns: { name: rows.map(() => "x") } }), {}, /^the data has no numeric column/],
    ["an unknown option", () => long(rows), { dateColumn: "day" } as PanelDataOptions, /^Unknown option dateColumn of Panel\.from/],
    ["too much that is lost", () => columns({ close: new Float64Array(rows.length) }), {}, /^The universe of the data is empty/],
  ])("refuses %s", async (_, data, options, message) => {
    await expect(Panel.from(data() as PanelData, options)).rejects.toThrow(message);
  });
});
