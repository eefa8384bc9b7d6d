import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openPanel, type Panel } from "../../lib/data/panel.js";
import type { PanelSource } from "../../lib/data/source/panel-source.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const FIELDS = ["open", "high", "low", "close", "volume"] as const;
const quiet = { onWarning: () => undefined };

function expectSame(panel: Panel, expected: Panel): void {
  expect(panel.fingerprint).toBe(expected.fingerprint);
  expect([panel.dates, panel.tickers]).toEqual([expected.dates, expected.tickers]);
  expect(panel.universe).toEqual(expected.universe);
  for (const name of expected.columns) expect(panel.values(name)).toEqual(expected.values(name));
  expect(panel.ledger).toEqual(expected.ledger);
}

describe("A DuckDB connection of the caller's", () => {
  const rows = priceRows({ days: 8, stocks: 4 });

  test("is read as a file of the same rows is, and stays open", async () => {
    const path = folder.write("prices.csv", csv(rows));
    const connection = await (await DuckDBInstance.create(":memory:")).connect();
    await connection.run(`CREATE TABLE prices AS SELECT * FROM '${path}'`);
    const panel = await openPanel({ sql: "SELECT * FROM prices", connection });
    expectSame(panel, await openPanel(path));
    expect(panel.origin.source).toBeNull();
    expect((await connection.runAndReadAll("SELECT count(*) FROM prices")).getRowsJS()).toEqual([[BigInt(rows.length)]]);
    await connection.run("INSERT INTO prices SELECT * FROM prices LIMIT 1");
    await expect(openPanel({ sql: "SELECT * FROM prices", connection })).rejects.toThrow(/^the query has 1 duplicated/);
    connection.closeSync();
  });

  test("is refused where its query fails after the first rows", async () => {
    const [good, bad] = [folder.write("good.csv", csv(rows)), folder.write("bad.csv", `date,ticker,close\n${Array.from({ length: 60_000 }, (_, i) => `2020-01-02,T${i},${i === 59_000 ? "text" : "1.5"}`).join("\n")}`)];
    const connection = await (await DuckDBInstance.create(":memory:")).connect();
    await expect(openPanel({ sql: `SELECT * FROM read_csv('${bad}', sample_size = 100)`, connection }, quiet)).rejects.toThrow(/^Cannot read the query: .*Could not convert string "text" to 'DOUBLE'/);
    expectSame(await openPanel({ sql: `SELECT * FROM '${good}'`, connection }), await openPanel(good));
    connection.closeSync();
  });

  test("must be one", async () => {
    await expect(openPanel({ sql: "SELECT 1", connection: {} } as unknown as PanelSource)).rejects.toThrow(/^Expected a DuckDBConnection of @duckdb\/node-api v.* for source\.connection but received /);
  });
});

describe("A Qlib folder", () => {
  const dates = weekdays(12);
  const rows = priceRows({ days: 12, stocks: 5 }).map((row) => ({ ...row, ticker: `SH${row.ticker}` }));
  const suspended = (row: { date: string; ticker: string }): boolean => row.ticker === "SHS001" && row.date === dates[6];
  const root = join(folder.path, "qlib");
  const tickers = [...new Set(rows.map((row) => row.ticker))];
  const fileOf = (ticker: string, field: string): string => join(root, "features", ticker.toLowerCase(), `${field}.day.bin`);

  function writeFolder(): void {
    rmSync(root, { recursive: true, force: true });
    for (const name of ["calendars", "instruments", "features"]) mkdirSync(join(root, name), { recursive: true });
    writeFileSync(join(root, "calendars", "day.txt"), `2019-12-30\n2019-12-31\n${dates.join("\n")}\n2020-02-03\n`);
    writeFileSync(join(root, "instruments", "all.txt"), tickers.map((ticker) => `${ticker}\t${dates[0]!}\t${dates[11]!}\n`).join(""));
    writeFileSync(join(root, "instruments", "csi2.txt"), `SHS000\t${dates[0]!}\t${dates[3]!}\nSHS002\t${dates[4]!}\t2099-12-31\nSHS000\t${dates[8]!}\t${dates[9]!}\n`);
    for (const ticker of tickers) {
      const own = rows.filter((row) => row.ticker === ticker);
      mkdirSync(join(root, "features", ticker.toLowerCase()));
      // The volume of one begins a date later than its prices.
      for (const field of FIELDS) {
        const from = ticker === "SHS003" && field === "volume" ? 1 : 0;
        const values = own.slice(from).map((row) => (suspended(row) ? NaN : row[field]));
        writeFileSync(fileOf(ticker, field), Buffer.from(Float32Array.of(2 + dates.indexOf(own[from]!.date), ...values).buffer));
      }
    }
  }
  beforeAll(writeFolder);

  /** The same rows as Parquet. */
  async function parquet(name: string, member: (row: { date: string; ticker: string }) => boolean, of = rows): Promise<string> {
    const first = new Map(of.map((row) => [row.ticker, row.date] as const).reverse());
    const kept = of.filter((row) => !suspended(row)).map((row) => ({ ...row, volume: row.ticker === "SHS003" && row.date === first.get(row.ticker) ? undefined : row.volume, member: member(row) }));
    const text = folder.write(`${name}.csv`, csv(kept));
    const connection = await (await DuckDBInstance.create(":memory:")).connect();
    const columns = FIELDS.map((field) => `${field}::float AS ${field}`).join(", ");
    await connection.run(`COPY (SELECT * REPLACE (${columns}) FROM '${text}') TO '${folder.path}/${name}.parquet' (FORMAT parquet)`);
    connection.closeSync();
    return `${folder.path}/${name}.parquet`;
  }

  test("is read as Parquet of the same rows is: a suspension is no row, dates and fields may be missing", async () => {
    const panel = await openPanel({ qlib: root }, quiet);
    expectSame(panel, await openPanel(await parquet("all", () => true), { columns: [...FIELDS], ...quiet }));
    expect(panel.values("close")).toBeInstanceOf(Float32Array);
    expect(panel.origin.source).toEqual({ qlib: root });
  });

  test("takes the universe of its instruments, with intervals", async () => {
    const listed = (row: { date: string; ticker: string }): boolean =>
      row.ticker === "SHS002" ? row.date >= dates[4]! : row.date <= dates[3]! || row.date === dates[8] || row.date === dates[9];
    const panel = await openPanel({ qlib: root, instruments: "csi2" }, quiet);
    const expected = await openPanel(await parquet("csi2", listed, rows.filter((row) => ["SHS000", "SHS002"].includes(row.ticker))), { columns: [...FIELDS], universeColumn: "member", ...quiet });
    expectSame(panel, expected);
  });

  test("may have other names for fields, and says which instruments have none", async () => {
    writeFileSync(join(root, "instruments", "more.txt"), `SHS000\t${dates[0]!}\t${dates[11]!}\nSHNONE\t${dates[0]!}\t${dates[11]!}\n`);
    const panel = await openPanel({ qlib: root, instruments: "more" }, { columns: ["close"], rename: { close: "open" }, ...quiet });
    expect([...panel.values("close")]).toEqual(rows.filter((row) => row.ticker === "SHS000").map((row) => Math.fround(row.open)));
    expect(panel.ledger.entries).toMatchObject([{ stage: "source", reason: "instruments_without_features", count: 1, unit: "stocks", text: expect.stringContaining("SHNONE") as string }]);
  });

  test.each<[string, () => PanelSource, Parameters<typeof openPanel>[1], RegExp]>([
    ["a folder that is none", () => ({ qlib: join(folder.path, "nowhere") }), {}, /^Cannot read .*nowhere\/calendars\/day\.txt\. Name a folder that holds calendars, instruments and features\.$/],
    ["unknown instruments", () => ({ qlib: root, instruments: "csi3" }), {}, /^Cannot read .*csi3\.txt\. Did you mean csi2\?$/],
    ["instruments that leave the folder", () => ({ qlib: root, instruments: "../x" }), {}, /^Expected the name of a file of instruments for source\.instruments/],
    ["a calendar out of order", () => (writeFileSync(join(root, "calendars", "day.txt"), "2020-01-02\n2020-01-01\n"), { qlib: root }), {}, /^Line 2 of .*day\.txt is "2020-01-01", which is no date after the one before/],
    ["a bad line of instruments", () => (writeFileSync(join(root, "instruments", "all.txt"), "SHS000 2020-01-01\n"), { qlib: root }), {}, /^Line 1 of .*all\.txt is "SHS000 2020-01-01", which is no symbol/],
    ["a cut file", () => (writeFileSync(fileOf("SHS001", "low"), Buffer.alloc(7)), { qlib: root }), {}, /low\.day\.bin holds 7 bytes from calendar index 0 on, which do not fit a calendar of 15 dates/],
    ["values beyond the calendar", () => (writeFileSync(fileOf("SHS001", "low"), Buffer.from(Float32Array.of(13, 1, 2, 3).buffer)), { qlib: root }), {}, /from calendar index 13 on, which do not fit/],
    ["an infinite value", () => (writeFileSync(fileOf("SHS001", "low"), Buffer.from(Float32Array.of(4, Infinity).buffer)), { qlib: root }), {}, /^Column low of .*shs001 is infinite \(2020-01-03, SHS001\)/],
    ["a field that is not there", () => ({ qlib: root }), { columns: ["vwap"] }, /has no column vwap \(columns\); its columns are close, high/],
    ["a column of flags", () => ({ qlib: root }), { universeColumn: "u" }, /^A Qlib folder holds numbers only, so universeColumn has no column to name\. Name instruments/],
  ])("is refused for %s", async (_, source, options, message) => {
    try {
      await expect(openPanel(source(), { ...options, ...quiet })).rejects.toThrow(message);
    } finally {
      writeFolder();
    }
  });
});
