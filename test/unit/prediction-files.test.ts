import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, describe, expect, test } from "vitest";
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
const scores = { predictions: Float32Array.from({ length: DATES * STOCKS }, (_, i) => i) } as unknown as Parameters<PredictionFiles["append"]>[2];

describe("Rows beyond the memory that they may take", () => {
  test("wait beside the file, and end in it in their order", async () => {
    const predictions = join(folder.path, "predictions.parquet");
    const files = await PredictionFiles.create({ dataset, predictions, numPredictions: 1, dtype: "float32" });
    await files.append({ dataset, dates: all }, "test", scores);
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
    await files.append({ dataset, dates: all }, "test", scores);
    await files.close();
    expect(existsSync(given)).toBe(false);
    expect(readdirSync(folder.path).filter((name) => name.includes("given-up"))).toEqual([]);
  });
});
