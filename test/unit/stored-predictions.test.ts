import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, expect, test } from "vitest";
import { readStoredPredictions } from "../../lib/run/stored-predictions.js";
import { Folder } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

test.each(["lr=[x]", "split=0.1", "run*"])("Predictions of a run folder named %s are its own", async (name) => {
  const inside = join(folder.path, name);
  mkdirSync(inside);
  const file = join(inside, "predictions.parquet");
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  await connection.run(`COPY (SELECT DATE '2020-01-01' AS date, t AS ticker, s AS split, 0.5::FLOAT AS prediction, 0.1::FLOAT AS label FROM (VALUES ('A', 'valid'), ('B', 'test')) v(t, s)) TO '${file}' (FORMAT parquet)`);
  connection.closeSync();
  instance.closeSync();
  const { valid, test: last } = await readStoredPredictions(file);
  expect([valid.predictions.tickers, last.predictions.tickers]).toEqual([["A"], ["B"]]);
});
