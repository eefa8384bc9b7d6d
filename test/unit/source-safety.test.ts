import { existsSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { openPanel } from "../../lib/data/panel.js";
import { csv, Folder, priceRows } from "./data-tables.js";

// A path or a query may be that of a run's file, and cells are anybody's: reading them writes nothing, fetches nothing and loads no code.
const folder = new Folder();
afterAll(() => folder.remove());
const quiet = { onWarning: () => undefined };
const rows = priceRows({ days: 8, stocks: 3 });

describe("a query", () => {
  test.each(["; ", ";\n--\n"])("that goes on with another statement after %j is refused before any of it runs", async (end) => {
    const written = `${folder.write("empty.csv", "")}.written`;
    const sql = `SELECT DATE '2020-01-01' AS date, 'A' AS ticker, 1.0 AS close)${end}COPY (SELECT 'text') TO '${written}'; SELECT * FROM (SELECT 1`;
    await expect(openPanel({ sql }, quiet)).rejects.toMatchObject({ code: "ERR_OPTION", message: expect.stringMatching(/^Expected one query for source\.sql/) });
    expect(existsSync(written)).toBe(false);
  });

  test("may end in semicolons and hold them in texts", async () => {
    const path = folder.write("prices.csv", csv(rows));
    const panel = await openPanel({ sql: `SELECT * FROM '${path}' WHERE ticker <> '); SELECT 1;' ;; ` }, quiet);
    expect(panel.tickers).toHaveLength(3);
  });

  test.each(["INSTALL httpfs", "LOAD httpfs", "SET autoload_known_extensions = true", "ATTACH 'other.duckdb'"])("%s is none", async (sql) => {
    await expect(openPanel({ sql }, quiet)).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_(DATA|OPTION)$/) });
  });
});

test.each(["https://127.0.0.1:9/prices.parquet", "s3://bucket/prices.parquet"])("%s needs an extension, and none is fetched or loaded for it", async (path) => {
  for (const source of [path, { sql: `SELECT * FROM read_parquet('${path}')` }]) {
    await expect(openPanel(source, quiet)).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringContaining("it needs httpfs of DuckDB, and none is loaded"), next: expect.stringContaining("{ sql, connection }") });
  }
});

test("cells that name paths or hold SQL are texts", async () => {
  const written = folder.write("cells.txt", "secret").replace(/cells\.txt$/, "written-by-a-cell");
  const names = [`'); COPY (SELECT 1) TO '${written}'; --`, "read_text('cells.txt')", `"; DROP TABLE a; --`];
  const tickers = [...new Set(rows.map(({ ticker }) => ticker))].sort();
  const named = rows.map((row) => ({ ...row, ticker: `"${names[tickers.indexOf(row.ticker)]!.replaceAll('"', '""')}"`, industry: `"${names[0]!}"` }));
  const panel = await openPanel(folder.write("named.csv", csv(named)), { ...quiet, groupColumn: "industry" });
  expect([...panel.tickers].sort()).toEqual([...names].sort());
  expect(existsSync(written)).toBe(false);
});
