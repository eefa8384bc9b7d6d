import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { DOUBLE, DuckDBDataChunk, DuckDBInstance, INTEGER } from "@duckdb/node-api";
import { dayCount } from "../../data/calendar.js";
import { literal } from "../../data/source/sql.js";
import { AstgnnError, invalidOption } from "../../errors.js";
import { moveIntoPlace, partialPath } from "../../model/atomic-write.js";
import { breathe } from "../../run/breathe.js";
import type { Backtest } from "./backtest.js";

/** Rows of a chunk, DuckDB's most. */
const CHUNK_ROWS = 2048;

/**
 * Writes the positions after each decision was filled: date, ticker, weight, shares, by date and ticker.
 *
 * @param file .parquet or .csv; it appears whole or not at all
 * @throws AstgnnError ERR_OPTION where the file has another ending or cannot be written
 */
export async function writePositions(file: string, { fills, tickers }: Pick<Backtest, "fills" | "tickers">): Promise<void> {
  const format = /\.csv$/i.test(file) ? "csv, HEADER" : /\.parquet$/i.test(file) ? "parquet" : undefined;
  if (format === undefined) throw invalidOption("positions", "a path that ends in .parquet or .csv", file);
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  try {
    await mkdir(dirname(file), { recursive: true });
    await connection.run("CREATE TABLE names (stock INTEGER, ticker VARCHAR); CREATE TABLE positions (day INTEGER, stock INTEGER, weight DOUBLE, shares DOUBLE)");
    const names = await connection.createAppender("names");
    for (const [stock, ticker] of tickers.entries()) {
      names.appendInteger(stock);
      names.appendVarchar(ticker);
      names.endRow();
    }
    names.closeSync();
    const positions = await connection.createAppender("positions");
    for (const { date, stocks, weights, shares } of fills) {
      const day = dayCount(date);
      for (let from = 0; from < stocks.length; from += CHUNK_ROWS) {
        await breathe();
        const count = Math.min(CHUNK_ROWS, stocks.length - from);
        const chunk = DuckDBDataChunk.create([INTEGER, INTEGER, DOUBLE, DOUBLE], count);
        chunk.setColumnValues(0, new Array<number>(count).fill(day));
        chunk.setColumnValues(1, Array.from(stocks.subarray(from, from + count)));
        chunk.setColumnValues(2, Array.from(weights.subarray(from, from + count)));
        chunk.setColumnValues(3, Array.from(shares.subarray(from, from + count)));
        positions.appendDataChunk(chunk);
      }
    }
    positions.closeSync();
    const partial = partialPath(file);
    await connection.run(`COPY (SELECT DATE '1970-01-01' + day AS date, ticker, weight, shares FROM positions JOIN names USING (stock) ORDER BY day, stock) TO ${literal(partial)} (FORMAT ${format})`);
    await moveIntoPlace(partial, file);
  } catch (cause) {
    throw new AstgnnError("ERR_OPTION", `Cannot write positions to ${file}: ${(cause as Error).message}.`, { option: "positions", file, cause, next: "Name a file that can be written." });
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
