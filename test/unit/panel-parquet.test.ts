// A Parquet file is scanned twice, keys first; a query over it once.
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, expect, test, vi } from "vitest";
import { loadTables } from "../../lib/binding/load.js";
import { openPanel, type Panel, type PanelOptions } from "../../lib/data/panel.js";
import { csv, Folder, priceRows } from "./data-tables.js";

const folder = new Folder();
afterAll(() => {
  vi.restoreAllMocks();
  folder.remove();
});

const prices = folder.write("prices.csv", csv(priceRows({ days: 40, stocks: 70 })));
const TYPED = `SELECT date::DATE AS date, ticker, open::FLOAT AS open, high::FLOAT AS high, low, close, volume::BIGINT AS volume FROM '${prices}'`;

async function parquet(name: string, select: string): Promise<string> {
  const path = `${folder.path}/${name}.parquet`;
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet)`);
  connection.closeSync();
  instance.closeSync();
  return path;
}

const query = (path: string): { sql: string } => ({ sql: `SELECT * FROM read_parquet('${path}')` });
const contents = ({ dates, tickers, columns, universe, present, tradable, groups, ledger, fingerprint, values }: Panel, panel: Panel): object => ({
  dates, tickers, columns, universe, present, tradable, groups, ledger, fingerprint, values: columns.map((name) => values.call(panel, name)),
});

test.each<[string, string, PanelOptions]>([
  ["prices", TYPED, {}],
  ["rows in no order", `${TYPED} ORDER BY hash(ticker, date)`, {}],
  ["missing numbers", `SELECT * REPLACE (CASE WHEN hash(ticker, date) % 7 = 0 THEN NULL ELSE close END AS close, CASE WHEN volume % 3 = 0 THEN 'nan'::FLOAT ELSE open END AS open) FROM (${TYPED})`, { maxDropped: 1 }],
  ["tickers with spaces and of any length", `SELECT * REPLACE (CASE WHEN volume % 2 = 0 THEN '  ' || ticker || ' ' ELSE ticker END || CASE WHEN ticker > 'S040' THEN ' of a long name' ELSE '' END AS ticker) FROM (${TYPED})`, {}],
  ["groups and flags", `SELECT *, CASE WHEN ticker < 'S020' THEN 'a' WHEN ticker < 'S030' THEN NULL ELSE ' b ' END AS industry, volume % 5 > 0 AS member, volume % 4 > 0 AS tradable FROM (${TYPED})`, { groupColumn: "industry", universeColumn: "member", tradableColumn: "tradable" }],
  ["numbers and dates as text", `SELECT * REPLACE (strftime(date, '%Y%m%d') AS date, close::VARCHAR AS close) FROM (${TYPED})`, {}],
])("%s are the same panel either way", async (name, select, options) => {
  const path = await parquet(name.replaceAll(" ", "-"), select);
  const [keysFirst, once] = [await openPanel(path, options), await openPanel(query(path), options)];
  expect({ ...contents(keysFirst, keysFirst), ledger: 0 }).toEqual({ ...contents(once, once), ledger: 0 });
  expect(keysFirst.ledger.rowsRead).toBe(once.ledger.rowsRead);
});

test.each<[string, string, RegExp]>([
  ["a repeated row", `${TYPED} UNION ALL (SELECT * FROM (${TYPED}) ORDER BY ticker, date LIMIT 1)`, /duplicated \(date, ticker\) row; the first pair is \(2020-01-01, S000\)/],
  ["an infinite number", `SELECT * REPLACE (CASE WHEN date = '2020-01-09' AND ticker = 'S005' THEN 'infinity'::FLOAT ELSE high END AS high) FROM (${TYPED})`, /^Column high of .* is infinite in row \d+ \(2020-01-09, S005\)/],
  ["a ticker of spaces", `SELECT * REPLACE (CASE WHEN ticker = 'S007' THEN '  ' ELSE ticker END AS ticker) FROM (${TYPED})`, /^Column ticker of .* is empty in row/],
  ["a text for a number", `SELECT * REPLACE (CASE WHEN ticker = 'S008' THEN 'n.a.' ELSE close::VARCHAR END AS close) FROM (${TYPED})`, /^Column close of .* holds the text "n.a."/],
  ["no row", `${TYPED} LIMIT 0`, /has no rows/],
])("%s is refused either way", async (name, select, message) => {
  const path = await parquet(name.replaceAll(" ", "-"), select);
  await expect(openPanel(path)).rejects.toThrow(message);
  await expect(openPanel(query(path))).rejects.toThrow(message);
});

test.each([
  ["more rows", `${TYPED} UNION ALL SELECT * REPLACE ('NEW' AS ticker) FROM (${TYPED}) WHERE ticker = 'S001'`],
  ["fewer rows", `${TYPED} LIMIT 100`],
])("a file that has %s at the second scan is refused", async (_, select) => {
  const [path, changed] = [await parquet("changing", TYPED), await parquet("changed", select)];
  const tables = loadTables();
  const { startScan } = tables;
  let scans = 0;
  const spy = vi.spyOn(tables, "startScan").mockImplementation((table, library, sql, settings) => startScan(table, library, ++scans === 2 ? sql.replace(path, changed) : sql, settings));
  await expect(openPanel(path)).rejects.toThrow(/changed while (it was|they were) read/);
  spy.mockRestore();
});
