// The real market data as our side reads them: the protocol's dataset, and the two readings that --load compares.
import { DuckDBInstance } from "@duckdb/node-api";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openPanel } from "../../dist/index.js";
import { nativePanelData } from "../../dist/model/native-panel.js";

/**
 * The NASDAQ protocol's dataset (the options of scripts/reproduce.mjs), its arrays written to `folder` for the peer.
 *
 * @returns `native`: what createPanel takes; `description`: sizes and the sample dates, JSON-safe
 */
export async function openProtocol(data, folder) {
  const panel = await openPanel(join(data, "nasdaq.parquet"));
  const dataset = await panel.dataset({
    features: "ohlcv",
    window: 16,
    label: { horizonDays: 1, lagDays: 0 },
    split: { trainEnd: "2015-12-31", validEnd: "2016-12-30", start: "2013-01-02" },
  });
  const native = nativePanelData(dataset);
  for (const name of ["features", "targets", "rowOffsets", "rowStocks"]) writeFileSync(join(folder, name), native[name]);
  const { dates, stocks, featureCount, window } = native;
  return { native, description: { dates, stocks, featureCount, window, trainDates: [...dataset.train.dateIndices], validDates: [...dataset.valid.dateIndices] } };
}

/** One openPanel; the columns that it read, for the others to read the same. */
export async function timePanel(file) {
  const start = performance.now();
  const panel = await openPanel(file);
  const seconds = (performance.now() - start) / 1e3;
  return { seconds, rows: panel.ledger.rowsRead, columns: ["date", "ticker", ...panel.columns], stocks: panel.tickers.length, dates: panel.dates.length };
}

/** The same columns through DuckDB alone, chunk by chunk; values stay in DuckDB's vectors. */
export async function scanTable(file, columns) {
  const start = performance.now();
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const quoted = columns.map((name) => `"${name.replaceAll('"', '""')}"`).join(", ");
  const result = await connection.stream(`SELECT ${quoted} FROM read_parquet('${file.replaceAll("'", "''")}')`);
  let rows = 0;
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) rows += chunk.rowCount;
  const seconds = (performance.now() - start) / 1e3;
  connection.closeSync();
  instance.closeSync();
  return { seconds, rows };
}
