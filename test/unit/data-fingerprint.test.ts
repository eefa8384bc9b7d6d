import { afterAll, describe, expect, test } from "vitest";
import { openPanel, type PanelOptions } from "../../lib/data/panel.js";
import { csv, Folder, priceRows } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const rows = priceRows({ days: 9, stocks: 4 });
const prices = folder.write("prices.csv", csv(rows));
const of = async (source: Parameters<typeof openPanel>[0], options: PanelOptions = {}): Promise<string> => (await openPanel(source, options)).fingerprint;
const changed = (change: (row: Record<string, unknown>, i: number) => object): string => folder.write("changed.csv", csv(rows.map((row, i) => change({ ...row }, i))));
const groups = (text: string): PanelOptions => ({ maxDropped: 1, onWarning: () => undefined, groups: { file: folder.write("groups.csv", text) } });
const edges = (text: string): PanelOptions => ({ edges: { file: folder.write("edges.csv", text) } });

describe("the fingerprint", () => {
  test("is a SHA-256 that a second reading repeats", async () => {
    const first = await of(prices);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await of(prices)).toBe(first);
  });

  test("is the same for another order of rows and columns, another format and another way to write dates", async () => {
    const expected = await of(prices);
    expect(await of({ sql: `select close, volume, strftime(date::date, '%Y%m%d')::int as date, high, low, open, ticker from '${prices}' order by random()` })).toBe(expected);
  });

  test("does not tell a missing cell from a NaN", async () => {
    const empty = await of(changed((row, i) => (i === 3 ? { ...row, open: undefined } : row)));
    expect(await of(changed((row, i) => (i === 3 ? { ...row, open: "nan" } : row)))).toBe(empty);
    expect(empty).not.toBe(await of(prices));
  });

  test.each<[string, () => Promise<string>]>([
    ["a value in its last digit", () => of(changed((row, i) => (i === 5 ? { ...row, close: Number(row.close) + 1e-9 } : row)))],
    ["a ticker", () => of(changed((row) => ({ ...row, ticker: row.ticker === "S003" ? "T003" : row.ticker })))],
    ["a date", () => of(changed((row) => ({ ...row, date: row.date === rows.at(-1)!.date ? "2020-02-01" : row.date })))],
    ["a column's name", () => of({ sql: `select * rename (volume as turnover) from '${prices}'` })],
    ["fewer columns", () => of(prices, { columns: ["close"] })],
    ["a row less", () => of(folder.write("less.csv", csv(rows.slice(1))))],
    ["two values swapped", () => of(changed((row, i) => (i < 2 ? { ...row, open: rows[1 - i]!.open } : row)))],
    ["groups", () => of(prices, groups("ticker,group\nS000,a\nS001,a\n"))],
    ["edges", () => of(prices, edges("ticker,neighbor\nS000,S001\n"))],
    ["a universe column", () => of({ sql: `select *, true as u from '${prices}'` }, { universeColumn: "u" })],
  ])("changes with %s", async (_, fingerprint) => {
    expect(await fingerprint()).not.toBe(await of(prices));
  });

  test("changes with a stock's group and with an edge's dates", async () => {
    expect(await of(prices, groups("ticker,group\nS000,a\nS001,b\n"))).not.toBe(await of(prices, groups("ticker,group\nS000,a\nS001,a\nS002,b\n")));
    expect(await of(prices, edges("ticker,neighbor,to\nS000,S001,2020-01-08\n"))).not.toBe(await of(prices, edges("ticker,neighbor,to\nS000,S001,2020-01-09\n")));
  });
});
