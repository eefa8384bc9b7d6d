import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, describe, expect, test, vi } from "vitest";
import { loadTables } from "../../lib/binding/load.js";
import { openPanel } from "../../lib/data/panel.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const rows = priceRows({ days: 7, stocks: 5 });
const prices = folder.write("prices.csv", csv(rows));

async function toParquet(path: string, select: string): Promise<string> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet)`);
  connection.closeSync();
  instance.closeSync();
  return path;
}

describe("openPanel", () => {
  test("lays a long table out on the grid of dates and sorted tickers", async () => {
    const panel = await openPanel(prices);
    expect(panel.dates).toEqual([...new Set(rows.map((row) => row.date))].sort());
    expect(panel.tickers).toEqual(["S000", "S001", "S002", "S003", "S004"]);
    expect(panel.columns).toEqual(["open", "high", "low", "close", "volume"]);
    const close = panel.values("close");
    const expected = new Float64Array(35).fill(NaN);
    for (const row of rows) expected[panel.dates.indexOf(row.date) * 5 + panel.tickers.indexOf(row.ticker)] = row.close;
    expect(close).toEqual(expected);
    expect([...panel.universe]).toEqual(Array.from(expected, (x) => (Number.isNaN(x) ? 0 : 1)));
    expect(panel.ledger).toMatchObject({ rowsRead: rows.length, rowsKept: rows.length, entries: [] });
    expect(panel.summary()).toMatchObject({ dates: 7, stocks: 5, universe: rows.length, firstDate: panel.dates[0] });
  });

  test.each(["csv.gz", "parquet", "glob", "list", "sql", "shuffled"])("reads the same panel from %s", async (kind) => {
    const half = rows.length >> 1;
    const parts = () => [folder.write("part-1.csv", csv(rows.slice(0, half))), folder.write("part-2.csv", csv(rows.slice(half)))];
    const sources: Record<string, () => Promise<Parameters<typeof openPanel>[0]>> = {
      "csv.gz": async () => folder.write("prices.csv.gz", gzipSync(csv(rows))),
      parquet: () => toParquet(`${folder.path}/prices.parquet`, `SELECT * FROM '${prices}'`),
      glob: async () => (parts(), `${folder.path}/part-*.csv`),
      list: async () => parts(),
      sql: async () => ({ sql: `select volume, ticker, date, open, high, low, close from '${prices}' order by close;` }),
      shuffled: async () => folder.write("shuffled.csv", csv([...rows].sort((a, b) => a.volume - b.volume))),
    };
    const [expected, got] = [await openPanel(prices), await openPanel(await sources[kind]!())];
    expect(got.fingerprint).toBe(expected.fingerprint);
    expect(got.dates).toEqual(expected.dates);
    expect(got.values("open")).toEqual(expected.values("open"));
  });

  test.each(["lr=[x]", "lr=0.1", "a*b?{c}", "[!a]"])("takes the path of a file that is there literally: folder %s", async (name) => {
    const inside = join(folder.path, name);
    mkdirSync(inside);
    const [expected, csvFile] = [await openPanel(prices), join(inside, "prices.csv")];
    writeFileSync(csvFile, csv(rows));
    writeFileSync(join(inside, "groups.csv"), "ticker,group\n" + ["S000", "S001", "S002", "S003", "S004"].map((ticker) => `${ticker},a\n`).join(""));
    const parquet = await toParquet(join(inside, "prices.parquet"), `SELECT * FROM '${prices}'`);
    for (const source of [csvFile, parquet, [csvFile], [parquet]]) {
      const panel = await openPanel(source, { groups: { file: join(inside, "groups.csv") } });
      expect(panel.columns).toEqual(expected.columns);
      expect(panel.values("close")).toEqual(expected.values("close"));
    }
    const bad = join(inside, "bad.csv");
    writeFileSync(bad, csv(rows.map((row, i) => (i === 4 ? { ...row, close: "?" } : row))));
    await expect(openPanel(bad)).rejects.toMatchObject({ file: bad, row: 5 });
  });

  test("makes columns of folders named key=value that a glob goes through", async () => {
    const inside = join(folder.path, "year=2020");
    mkdirSync(inside);
    writeFileSync(join(inside, "prices.csv"), csv(rows));
    expect((await openPanel(join(folder.path, "year=*", "prices.csv"))).columns).toContain("year");
  });

  test.each([
    ["VARCHAR ISO with a time", "strftime(date, '%Y-%m-%d 16:00:00')"],
    ["VARCHAR yyyymmdd", "strftime(date, '%Y%m%d')"],
    ["INTEGER yyyymmdd", "CAST(strftime(date, '%Y%m%d') AS INTEGER)"],
    ["BIGINT yyyymmdd", "CAST(strftime(date, '%Y%m%d') AS BIGINT)"],
    ["DOUBLE yyyymmdd", "CAST(strftime(date, '%Y%m%d') AS DOUBLE)"],
    ["TIMESTAMP", "CAST(date AS TIMESTAMP) + INTERVAL 9 HOUR"],
    ["TIMESTAMP_NS", "CAST(date AS TIMESTAMP_NS)"],
    ["TIMESTAMP_MS", "CAST(date AS TIMESTAMP_MS)"],
  ])("accepts dates as %s", async (_, expression) => {
    const panel = await openPanel({ sql: `select ${expression} as date, ticker, close from '${prices}'` });
    expect(panel.dates).toEqual((await openPanel(prices)).dates);
  });

  test("reads dates of a TIMESTAMP WITH TIME ZONE in UTC, whatever the machine's zone", async () => {
    const zone = process.env.TZ;
    process.env.TZ = "Asia/Tokyo";
    try {
      const source = { sql: "select '2020-01-02 23:30:00+00'::timestamptz as date, 'A' as ticker, 1.0 as close" };
      expect((await openPanel(source, { onWarning: () => undefined })).dates).toEqual(["2020-01-02"]);
    } finally {
      if (zone === undefined) delete process.env.TZ;
      else process.env.TZ = zone;
    }
  });

  test.each([["Z", "Z"], ["+00:00", "+00:00"], ["+0530", "+05:30"], ["-05", "-05:00"], [" -05:00", "-05:00"], ["+09:00", "+09:00"], [" UTC", "Z"]])("reads a text time with the zone %s on its day in UTC, like a TIMESTAMP WITH TIME ZONE", async (zone, iso) => {
    for (const time of ["2020-01-02 00:00:00", "2020-01-02T05:15", "2020-01-03T12:00:00.123456", "2020-01-06 23:30:00"]) {
      const panel = await openPanel({ sql: `select '${time}${zone}' as date, 'A' as ticker, 1.0 as close` }, { onWarning: () => undefined });
      expect(panel.dates, time).toEqual([new Date(`${time.replace(" ", "T")}${iso}`).toISOString().slice(0, 10)]);
    }
  });

  test("says how many times with a zone fall on another day in UTC", async () => {
    const warnings: unknown[] = [];
    const panel = await openPanel({ sql: "select unnest(['2020-01-02T00:00:00+09:00', '2020-01-03T00:00:00+09:00', '2020-01-06T12:00:00+09:00']) as date, 'A' as ticker, 1.0 as close" }, { onWarning: (warning) => warnings.push(warning) });
    expect(panel.dates).toEqual(["2020-01-01", "2020-01-02", "2020-01-06"]);
    expect(panel.ledger.entries).toMatchObject([{ stage: "source", reason: "dates_in_utc", count: 2, unit: "dates" }]);
    expect(warnings).toMatchObject([{ reason: "dates_in_utc", text: expect.stringMatching(/^2 times of column date are written with a time zone and fall on another day in UTC/) as string }]);
  });

  test("says how many instants may be of the next day where they come from: midnight in Tokyo, not noon in London nor midnight in New York", async () => {
    const warnings: unknown[] = [];
    const source = { sql: "select unnest(['2020-01-02 00:00:00+09', '2020-01-03 00:00:00+09', '2020-01-06 09:59:00+00', '2020-01-07 00:00:00-05', '1969-12-31 00:00:00+09']::timestamptz[]) as date, 'A' as ticker, 1.0 as close" };
    const panel = await openPanel(source, { onWarning: (warning) => warnings.push(warning) });
    expect(panel.dates).toEqual(["1969-12-30", "2020-01-01", "2020-01-02", "2020-01-06", "2020-01-07"]);
    expect(panel.ledger.entries).toMatchObject([{ stage: "source", reason: "late_times", count: 3, unit: "rows" }]);
    expect(warnings).toMatchObject([{ reason: "late_times", text: expect.stringMatching(/^3 times of column date are 10:00 or later in UTC, whose day counts; .* Store days as DATE/) as string }]);
  });

  test("lets an edges file in text with a zone meet a panel in TIMESTAMP WITH TIME ZONE on the same days", async () => {
    const source = { sql: "select unnest(['2020-01-02 04:30:00+00'::timestamptz, '2020-01-03 04:30:00+00'::timestamptz]) as date, t as ticker, 1.0 as close from (values ('A'), ('B')) v(t)" };
    const edges = { file: folder.write("zoned.csv", "ticker,neighbor,from\nA,B,2020-01-02 23:30:00-05:00\n"), symmetric: false };
    expect([...(await openPanel(source, { edges })).edges!.from]).toEqual([1]);
  });

  test.each(["csv", "parquet", "sql"])("reads columns by other names, in other cases and in place of others: %s", async (kind) => {
    const written = rows.map((row) => ({ Date: row.date, TICKER: row.ticker, Open: row.open, High: row.high, Low: row.low, Close: 1, "Adj Close": row.close, Volume: row.volume }));
    const path = folder.write("names.csv", csv(written));
    const source = kind === "csv" ? path : kind === "sql" ? { sql: `select * from '${path}'` } : await toParquet(`${folder.path}/names.parquet`, `SELECT * FROM '${path}'`);
    const [expected, got] = [await openPanel(prices), await openPanel(source, { rename: { close: "adj close" } })];
    expect([...got.columns].sort()).toEqual([...expected.columns].sort());
    expect(got.fingerprint).toBe(expected.fingerprint);
    expect(got.values("close")).toEqual(expected.values("close"));
    expect(got.origin.options.rename).toEqual({ close: "adj close" });
  });

  test("finds the row of a bad cell in a column that is called otherwise", async () => {
    const path = folder.write("bad-names.csv", csv(rows.map((row, i) => ({ Date: row.date, Symbol: row.ticker, Price: i === 3 ? "?" : row.close }))));
    await expect(openPanel(path, { rename: { ticker: "Symbol", close: "Price" } })).rejects.toMatchObject({ file: path, column: "close", row: 4 });
    const copy = await toParquet(`${folder.path}/bad-names.parquet`, `SELECT * FROM read_csv('${path}', all_varchar = true)`);
    await expect(openPanel(copy, { rename: { ticker: "Symbol", close: "Price" } })).rejects.toMatchObject({ file: copy, column: "close", row: 4 });
  });

  test("takes other column names and only the columns asked for", async () => {
    const path = folder.write("renamed.csv", csv(rows.map((row) => ({ day: row.date, symbol: row.ticker, x: row.close, y: row.open }))));
    const panel = await openPanel(path, { dateColumn: "day", tickerColumn: "symbol", columns: ["y"] });
    expect(panel.columns).toEqual(["y"]);
  });

  test.each(["A", "0123456789ab", "0123456789abc", "an instrument with a long name", "Börse", "東証プライム市場", "𝔘"])("tells tickers apart whatever their length and letters: %s", async (name) => {
    const tickers = [name, `${name}x`, `x${name}`, "\uffee"];
    const text = weekdays(5).flatMap((date) => tickers.map((ticker, n) => `${date}, ${ticker} ,${n + 1}\n`));
    const panel = await openPanel(folder.write("letters.csv", `date,ticker,close\n${text.join("")}`));
    // DuckDB sorts text by its UTF-8 bytes, and so do panels.
    expect(panel.tickers).toEqual([...tickers].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    panel.tickers.forEach((ticker, n) => expect(panel.values("close")[n]).toBe(tickers.indexOf(ticker) + 1));
  });

  test("holds thousands of tickers and a missing value in any place of a chunk", async () => {
    const source = { sql: "select date '2020-01-01' + d::int as date, 'T' || n as ticker, case when (n * 7 + d) % 13 > 0 then 1 + n + d::double / 10 end as close, (case when n % 3 > 0 then n end)::float as beta from range(3) t(d), range(5000) u(n) order by hash(n, d)" };
    const panel = await openPanel(source, { maxDropped: 1, onWarning: () => undefined });
    expect(panel.tickers).toHaveLength(5000);
    const expected = { close: new Float64Array(15_000), beta: new Float32Array(15_000) };
    panel.tickers.forEach((ticker, i) => {
      const n = Number(ticker.slice(1));
      for (let d = 0; d < 3; d++) {
        expected.close[d * 5000 + i] = (n * 7 + d) % 13 > 0 ? 1 + n + d / 10 : NaN;
        expected.beta[d * 5000 + i] = n % 3 > 0 ? n : NaN;
      }
    });
    expect(panel.values("close")).toEqual(expected.close);
    await panel.read(["beta"]);
    expect(panel.values("beta")).toEqual(expected.beta);
  });

  test("keeps tickers as text, leading zeros included", async () => {
    const path = folder.write("codes.csv", "date,ticker,close\n2020-01-01,000001,1\n2020-01-01,600000,2\n");
    expect((await openPanel(path)).tickers).toEqual(["000001", "600000"]);
  });

  test("skips text columns, and says so", async () => {
    const path = folder.write("market.csv", csv(rows.map((row) => ({ ...row, market: "X" }))));
    const panel = await openPanel(path);
    expect(panel.columns).not.toContain("market");
    expect(panel.ledger.entries).toMatchObject([{ stage: "source", reason: "skipped_columns", count: 1, text: expect.stringContaining("market") as string }]);
  });

  test("makes impossible prices missing and counts them", async () => {
    const changed = rows.map((row) => ({ ...row }));
    changed[0]!.close = 0;
    changed[1]!.volume = 0;
    changed[2]!.open = -3;
    [changed[3]!.high, changed[3]!.low] = [1, 2];
    const panel = await openPanel(folder.write("dirty.csv", csv(changed)));
    const counts = Object.fromEntries(panel.ledger.entries.map((entry) => [entry.reason, entry.count]));
    expect(counts).toEqual({ zero_close: 1, zero_volume: 1, negative_open: 1, high_below_low: 1, rows_without_close: 1 });
    expect(panel.ledger).toMatchObject({ rowsRead: rows.length, rowsKept: rows.length - 1 });
    expect(Number.isNaN(panel.values("close")[panel.dates.indexOf(changed[0]!.date) * 5])).toBe(true);
  });

  test("leaves a lone exposure called volume as it is", async () => {
    const path = folder.write("exposures.csv", "date,ticker,volume,beta\n2020-01-01,A,-1.5,0\n2020-01-01,B,0,2\n");
    expect([...(await openPanel(path)).values("volume")]).toEqual([-1.5, 0]);
  });

  test("reads universe and tradable columns in any yes/no form", async () => {
    const path = folder.write("flags.csv", "date,ticker,close,u,b\n2020-01-01,A,1,true,1\n2020-01-01,B,2,false,0\n2020-01-02,A,1,,0.0\n2020-01-02,B,2,t,yes\n".replace("yes", "true"));
    const panel = await openPanel(path, { universeColumn: "u", tradableColumn: "b" });
    expect([...panel.universe]).toEqual([1, 0, 0, 1]);
    expect([...panel.tradable!]).toEqual([1, 0, 0, 1]);
    expect(panel.columns).toEqual(["close"]);
  });

  test("stops with ERR_ABORTED when its signal says so", async () => {
    await expect(openPanel(prices, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
  });

  test.each([
    ["a database of its own", undefined],
    ["the caller's connection", async () => (await DuckDBInstance.create(":memory:")).connect()],
  ])("stops a query that is running on %s", async (_, connect) => {
    const abort = new AbortController();
    const connection = await connect?.();
    // Rows come before the end is in sight: without an interrupt this reads for hours.
    const sql = "SELECT DATE '2020-01-01' + (i % 1000)::INTEGER AS date, i::VARCHAR AS ticker, 1.0 AS close FROM range(1000000000000) t(i) WHERE hash(i) % 1000000 = 0";
    const opening = openPanel({ sql, ...(connection === undefined ? {} : { connection }) }, { signal: abort.signal });
    setTimeout(() => abort.abort(), 100);
    await expect(opening).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
    connection?.closeSync();
  });

  test("leaves no folder behind where it is called", async () => {
    await openPanel(prices);
    expect(existsSync(".tmp")).toBe(false);
  });
});

describe("CSV files", () => {
  test.each([
    ["semicolons", (text: string) => text.replaceAll(",", ";")],
    ["tabs and Windows line ends", (text: string) => text.replaceAll(",", "\t").replaceAll("\n", "\r\n")],
    ["a byte order mark and quoted cells", (text: string) => `\uFEFF${text.replace("date,ticker", '"date","ticker"').replaceAll("S001", '"S001"')}`],
    ["no line end at the end", (text: string) => text.trimEnd()],
    ["an index column without a name", (text: string) => text.split("\n").map((line, i) => (line === "" ? "" : `${i === 0 ? "" : `r${i}`},${line}`)).join("\n")],
  ])("with %s hold the same panel", async (_, rewrite) => {
    const got = await openPanel(folder.write("variant.csv", rewrite(csv(rows))));
    const expected = await openPanel(prices);
    expect(got.values("close")).toEqual(expected.values("close"));
    expect(got.tickers).toEqual(expected.tickers);
  });

  test("are read by one scan, however many there are, if their headers are alike", async () => {
    const inside = join(folder.path, "daily");
    mkdirSync(inside);
    const dates = weekdays(300);
    for (const date of dates) writeFileSync(join(inside, `${date}.csv`), `date,ticker,close\n${date},A,1\n${date},B,2\n`);
    const scan = vi.spyOn(loadTables(), "startScan");
    try {
      expect((await openPanel(join(inside, "*.csv"))).dates).toEqual(dates);
      expect(scan.mock.calls.map(([, , sql]) => sql.match(/read_csv/g)?.length)).toEqual([1]);
    } finally {
      scan.mockRestore();
    }
    writeFileSync(join(inside, `${dates[250]!}.csv`), "date,ticker,close\n2020-01-02,A,1\n2020-01-02,B,?\n");
    await expect(openPanel(join(inside, "*.csv"))).rejects.toMatchObject({ file: join(inside, `${dates[250]!}.csv`), row: 2 });
  });

  test("may list their columns in another order from file to file", async () => {
    const paths = [folder.write("order-1.csv", csv(rows.slice(0, 9))), folder.write("order-2.csv", csv(rows.slice(9), ["volume", "close", "ticker", "date", "low", "open", "high"]))];
    expect((await openPanel(paths)).fingerprint).toBe((await openPanel(prices)).fingerprint);
  });
});
