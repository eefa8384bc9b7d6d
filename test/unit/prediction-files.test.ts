import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import type { Dataset } from "../../lib/data/types.js";
import { PredictionFiles } from "../../lib/run/prediction-files.js";
import { Folder } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const [DATES, STOCKS] = [40, 2000];
/** Names so long that the rows of all dates take 320 MB. */
const tickers = Array.from({ length: STOCKS }, (_, n) => `${String(n).padStart(4, "0")}${"x".repeat(4000)}`);
const dataset = {
  dates: Array.from({ length: DATES }, (_, t) => new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10)),
  tickers,
  horizons: [1],
  rowOffsets: Int32Array.from({ length: DATES + 1 }, (_, t) => t * STOCKS),
  rowStocks: Int32Array.from({ length: DATES * STOCKS }, (_, i) => i % STOCKS),
  labels: new Float32Array(DATES * STOCKS).fill(0.5),
} as unknown as Dataset;
const all = Int32Array.from(dataset.dates.keys());
const scores = { predictions: Float32Array.from({ length: DATES * STOCKS }, (_, i) => i) } as unknown as Parameters<PredictionFiles["append"]>[1];

describe("Rows beyond the memory that they may take", () => {
  test("wait beside the file, and end in it in their order", async () => {
    const predictions = join(folder.path, "predictions.parquet");
    const files = await PredictionFiles.create({ dataset, predictions, numPredictions: 1, dtype: "float32" });
    await files.append({ dataset, dates: all }, scores, "test");
    const [waiting] = readdirSync(folder.path);
    expect(readdirSync(join(folder.path, waiting!)).length).toBeGreaterThan(0);
    await files.finish();
    expect(readdirSync(folder.path)).toEqual(["predictions.parquet"]);
    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    const reader = await connection.runAndReadAll(`SELECT prediction, left(ticker, 4), strftime(date, '%Y-%m-%d') FROM read_parquet('${predictions}')`);
    const rows = reader.getRows();
    connection.closeSync();
    instance.closeSync();
    expect(rows).toHaveLength(DATES * STOCKS);
    expect(rows.every(([prediction, ticker, date], i) => prediction === i && Number(ticker) === i % STOCKS && date === dataset.dates[Math.floor(i / STOCKS)])).toBe(true);
  });

  test("leave nothing where they are given up", async () => {
    const given = join(folder.path, "given-up.parquet");
    const files = await PredictionFiles.create({ dataset, predictions: given, numPredictions: 1, dtype: "float32" });
    await files.append({ dataset, dates: all }, scores, "test");
    await files.close();
    expect(existsSync(given)).toBe(false);
    expect(readdirSync(folder.path).filter((name) => name.includes("given-up"))).toEqual([]);
  });
});

describe("Rows of tickers that are in no order", () => {
  const names = ["MSFT", "b", "AAPL", 'A"B', "BRK,A"];
  const shuffled = {
    dates: ["2020-01-02", "2020-01-03"],
    tickers: names,
    horizons: [1],
    rowOffsets: Int32Array.of(0, 4, 9),
    rowStocks: Int32Array.of(0, 1, 2, 4, 0, 1, 2, 3, 4),
    labels: Float32Array.from({ length: 10 }, (_, i) => i / 4),
  } as unknown as Dataset;
  const values = { predictions: Float32Array.from({ length: 18 }, (_, i) => i / 2) } as unknown as typeof scores;

  test("are written by date and ticker, each with its own predictions", async () => {
    const predictions = join(folder.path, "sorted.csv");
    const files = await PredictionFiles.create({ dataset: shuffled, predictions, labelled: false, numPredictions: 2, dtype: "float32" });
    await files.append({ dataset: shuffled, dates: Int32Array.of(0, 1) }, values);
    expect(files.rows).toBe(9);
    await files.finish();
    expect(readFileSync(predictions, "utf8").trim().split("\n")).toEqual([
      "date,ticker,prediction_0,prediction_1",
      "2020-01-02,AAPL,2.0,2.5",
      '2020-01-02,"BRK,A",3.0,3.5',
      "2020-01-02,MSFT,0.0,0.5",
      "2020-01-02,b,1.0,1.5",
      '2020-01-03,"A""B",7.0,7.5',
      "2020-01-03,AAPL,6.0,6.5",
      '2020-01-03,"BRK,A",8.0,8.5',
      "2020-01-03,MSFT,4.0,4.5",
      "2020-01-03,b,5.0,5.5",
    ]);
  });

  test("keep their labels too", async () => {
    const predictions = join(folder.path, "labelled.csv");
    const files = await PredictionFiles.create({ dataset: shuffled, predictions, numPredictions: 1, dtype: "float32" });
    await files.append({ dataset: shuffled, dates: Int32Array.of(0) }, values, "test");
    await files.finish();
    expect(readFileSync(predictions, "utf8").trim().split("\n")).toEqual(["date,ticker,split,prediction,label", "2020-01-02,AAPL,test,1.0,0.5", '2020-01-02,"BRK,A",test,1.5,1.0', "2020-01-02,MSFT,test,0.0,0.0", "2020-01-02,b,test,0.5,0.25"]);
  });
});

describe("A writer that cannot be made", () => {
  afterEach(() => void vi.restoreAllMocks());

  test.each(["connect", "run"] as const)("closes its database where %s fails", async (step) => {
    const closed = vi.spyOn(DuckDBInstance.prototype, "closeSync");
    if (step === "connect") vi.spyOn(DuckDBInstance.prototype, "connect").mockRejectedValue(new Error("no connection"));
    else vi.spyOn(DuckDBConnection.prototype, "run").mockRejectedValue(new Error("no table"));
    await expect(PredictionFiles.create({ dataset, predictions: join(folder.path, "never.parquet"), numPredictions: 1, dtype: "float32" })).rejects.toThrow(/^no /);
    expect(closed).toHaveBeenCalledTimes(1);
  });
});
