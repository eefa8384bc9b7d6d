import { rmSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { DuckDBInstance } from "@duckdb/node-api";
import { fingerprintOf } from "../../lib/data/digests.js";
import { ASTGNNFactorModel, openPanel, Panel, type Dataset, type DatasetOptions, type PanelOptions } from "../../lib/index.js";
import { csv, Folder, priceRows } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const quiet: PanelOptions = { maxDropped: 1, onWarning: () => undefined };
const rows = priceRows({ days: 30, stocks: 6 }).map((row, i) => ({ ...row, signal: Math.sin(i), beta: i % 9 === 0 ? "" : i / 7, target: Math.cos(3 * i), unused: i }));
const write = (name: string, change: (row: (typeof rows)[number], i: number) => object = (row) => row): string => folder.write(name, csv(rows.map(change) as never));
const table = write("table.csv");
const parquet = `${folder.path}/table.parquet`;
const instance = await DuckDBInstance.create(":memory:");
const connection = await instance.connect();
await connection.run(`COPY (SELECT * FROM read_csv('${table}')) TO '${parquet}' (FORMAT parquet)`);

const options: DatasetOptions = { features: ["signal", "beta"], window: 3, label: { column: "target", horizonDays: 1 }, maxDropped: 0.9, processors: [{ name: "fill", value: 0 }], split: { fractions: [0.6, 0.2, 0.2] } };
const bits = ({ features, targets, labels, rowStocks, rowOffsets }: Dataset) => [features, targets, labels, rowStocks, rowOffsets].map((values) => new Int32Array(values.buffer, values.byteOffset, values.length));

describe("columns that nobody names", () => {
  test.each<[string, () => Parameters<typeof openPanel>[0]]>([["a CSV file", () => table], ["a Parquet file", () => parquet], ["a query", () => ({ sql: `SELECT * FROM '${parquet}'` })]])("of %s are read by the dataset that uses them, and give the same bits", async (_, source) => {
    const panel = await openPanel(source(), quiet);
    const [close, later] = [panel.columns.filter((name) => panel.isRead(name)), panel.columns.filter((name) => !panel.isRead(name))];
    expect(close.sort()).toEqual(["close", "high", "low", "open", "volume"]);
    expect(later).toEqual(["signal", "beta", "target", "unused"]);
    expect(panel.has("signal")).toBe(true);
    expect(() => panel.values("signal")).toThrow(/Column signal of .* has not been read/);

    const dataset = await panel.dataset(options);
    expect(panel.columns.filter((name) => !panel.isRead(name))).toEqual(["unused"]);
    const named = await openPanel(source(), { ...quiet, columns: ["close", "unused", "target", "beta", "signal"] });
    const expected = await named.dataset(options);
    expect(bits(dataset)).toEqual(bits(expected));
    expect(dataset.digests).toEqual(expected.digests);
    expect(Object.keys(dataset.digests!)).toEqual(["column beta", "column close", "column signal", "column target", "dates and tickers"]);
    expect(dataset.fingerprint).toBe(expected.fingerprint);

    const model = new ASTGNNFactorModel({ sequentialInputSize: 2, gruHiddenSize: 4, numRiskFactors: 3, seed: 1 });
    const [a, b] = [await model.predict({ dataset, dates: dataset.test.dates }), await model.predict({ dataset: expected, dates: expected.test.dates })];
    expect(new Int32Array(a.predictions.data.buffer)).toEqual(new Int32Array(b.predictions.data.buffer));
  });

  test("leave the fingerprints of panel and dataset as those of a table in memory", async () => {
    const names = ["open", "high", "low", "close", "volume", "signal", "beta", "target", "unused"] as const;
    const columns = Object.fromEntries(names.map((name) => [name, rows.map((row) => (row[name] === "" ? null : row[name])) as number[]]));
    const memory = await Panel.from({ dates: rows.map(({ date }) => date), tickers: rows.map(({ ticker }) => ticker), columns }, quiet);
    const panel = await openPanel(table, quiet);
    expect(panel.fingerprint).toBe(memory.fingerprint);
    expect((await panel.dataset(options)).fingerprint).toBe((await memory.dataset(options)).fingerprint);
    expect(panel.fingerprint).toBe(fingerprintOf(panel.digests()));
    expect((await panel.dataset({ ...options, features: ["signal"] })).fingerprint).not.toBe((await panel.dataset(options)).fingerprint);
  });

  test("are all read at once without a close, where columns names them, and of a caller's connection", async () => {
    for (const panel of [await openPanel({ sql: `SELECT * EXCLUDE (close) FROM '${parquet}'` }, quiet), await openPanel(table, { ...quiet, columns: ["close", "signal"] }), await openPanel({ sql: `SELECT * FROM '${parquet}'`, connection }, quiet)]) {
      expect(panel.columns.every((name) => panel.isRead(name))).toBe(true);
    }
  });

  test("may be read by several calls at the same time, and again after an abort", async () => {
    const panel = await openPanel(table, quiet);
    await expect(panel.read(["beta"], { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" });
    const [a, b] = await Promise.all([panel.dataset(options), panel.dataset({ ...options, features: ["unused", "beta"] }), panel.read(["signal"])]);
    expect(a.featureNames).toEqual(["signal", "beta"]);
    expect(b.featureNames).toEqual(["unused", "beta"]);
    await expect(panel.read(["nothing"])).rejects.toMatchObject({ code: "ERR_DATA", column: "nothing" });
  });

  test("are what labels are made neutral to, too", async () => {
    const panel = await openPanel(table, quiet);
    const neutral: DatasetOptions = { features: ["signal"], window: 3, label: { horizonDays: 1 }, labelTransform: { neutralise: ["unused"] }, split: { fractions: [0.6, 0.2, 0.2] } };
    const expected = await (await openPanel(table, { ...quiet, columns: ["close", "signal", "unused"] })).dataset(neutral);
    const dataset = await panel.dataset(neutral);
    expect(bits(dataset)).toEqual(bits(expected));
    expect(dataset.fingerprint).toBe(expected.fingerprint);
  });
});

describe("a column that is read later", () => {
  const changing = `${folder.path}/changing.csv`;
  test.each<[string, (row: (typeof rows)[number], i: number) => object, string]>([
    ["a ticker", (row) => ({ ...row, ticker: row.ticker === "S003" ? "T003" : row.ticker }), "its dates and tickers are"],
    ["a date", (row) => ({ ...row, date: row.date === rows.at(-1)!.date ? "2021-01-04" : row.date }), "its dates and tickers are"],
    ["a close", (row, i) => ({ ...row, close: i === 7 ? row.close + 0.01 : row.close }), "its column close is"],
    ["a name", ({ signal, ...row }) => ({ ...row, other: signal }), "its column signal is"],
  ])("is refused where the file has another %s by then", async (_, change, text) => {
    writeFileSync(changing, csv(rows));
    const panel = await openPanel(changing, quiet);
    writeFileSync(changing, csv(rows.map(change) as never));
    await expect(panel.dataset(options)).rejects.toMatchObject({ code: "ERR_DATA", file: changing, message: expect.stringMatching(new RegExp(`has changed since the panel was opened: ${text} no longer the same.*Open the panel again`)) as string });
    expect(panel.isRead("signal")).toBe(false);
    rmSync(changing);
    await expect(panel.read(["signal"])).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringContaining("does not exist") as string });
  });

  test("is checked as those that are read at once are", async () => {
    const text = await openPanel(write("text.csv", (row, i) => ({ ...row, signal: i === 4 ? "high" : row.signal })), quiet);
    await expect(text.dataset(options)).rejects.toMatchObject({ code: "ERR_DATA", column: "signal", row: 5, message: expect.stringContaining('holds the text "high" in row 5') as string });
    const infinite = await openPanel(write("infinite.csv", (row, i) => ({ ...row, signal: i === 4 ? "inf" : row.signal })), quiet);
    await expect(infinite.dataset(options)).rejects.toMatchObject({ code: "ERR_DATA", column: "signal", row: 5, message: expect.stringContaining("is infinite in row 5") as string });
  });
});

describe("appended rows", () => {
  const day = { dates: "2021-01-04", tickers: ["S000", "S001"], columns: { open: [1, 2], high: [1, 2], low: [1, 2], close: [1, 2], volume: [5, 5] } };

  test("need the columns that were read; others are none of the panel without them", async () => {
    const panel = await openPanel(table, quiet);
    const appended = await panel.append(day, quiet);
    expect(appended.columns).toEqual(["open", "high", "low", "close", "volume"]);
    expect(panel.columns).toContain("signal");
    const withSignal = await panel.append({ ...day, columns: { ...day.columns, signal: [7, 8] } }, quiet);
    expect([...withSignal.values("signal").slice(-6)]).toEqual([7, 8, NaN, NaN, NaN, NaN]);
    expect(withSignal.values("signal")[5]).toBe(panel.values("signal")[5]);
    await expect(panel.append(day, quiet)).rejects.toMatchObject({ code: "ERR_DATA", column: "signal" });
  });

  test("give the fingerprints of a batch read", async () => {
    const all = csv([...rows, ...day.tickers.map((ticker, i) => ({ date: day.dates, ticker, open: i + 1, high: i + 1, low: i + 1, close: i + 1, volume: 5, signal: i + 7, beta: i, target: i, unused: i }))] as never);
    const panel = await openPanel(table, quiet);
    const columns = { ...day.columns, signal: [7, 8], beta: [0, 1], target: [0, 1], unused: [0, 1] };
    const [appended, batch] = [await panel.append({ ...day, columns }, quiet), await openPanel(folder.write("all.csv", all), quiet)];
    expect(appended.fingerprint).toBe(batch.fingerprint);
    expect((await appended.dataset(options)).digests).toEqual((await batch.dataset(options)).digests);
  });
});
