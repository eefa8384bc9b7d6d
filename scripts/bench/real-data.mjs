// The real market data as our side reads them: the protocol's dataset, and the two readings that --load compares.
import { DuckDBInstance } from "@duckdb/node-api";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { openPanel } from "../../dist/index.js";
import { nativePanelData } from "../../dist/data/native-panel.js";

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
  for (const name of ["features", "targets", "rowOffsets", "rowStocks"]) writeFileSync(join(folder, name), dataset[name]);
  const { dates, stocks, featureCount, window } = native;
  return { native, description: { dates, stocks, featureCount, window, trainDates: [...dataset.train.dateIndices], validDates: [...dataset.valid.dateIndices] } };
}

/** One openPanel: seconds, processor seconds, the longest delay of the event loop, memory at its peak beside what the panel keeps, and the columns that it read. */
export async function timePanel(file) {
  const before = process.memoryUsage.rss();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const start = performance.now();
  const cpu = process.cpuUsage();
  delay.enable();
  const panel = await openPanel(file, { maxDropped: 1, onWarning: () => undefined });
  const seconds = (performance.now() - start) / 1e3;
  delay.disable();
  const { user, system } = process.cpuUsage(cpu);
  const kept = new Set([panel.present, panel.universe, ...panel.columns.filter((name) => panel.isRead(name)).map((name) => panel.values(name))]);
  return {
    seconds,
    cpuSeconds: (user + system) / 1e6,
    delayMs: delay.max / 1e6,
    residentBytes: [...kept].reduce((sum, { byteLength }) => sum + byteLength, 0),
    peakBytes: process.resourceUsage().maxRSS * 1024 - before,
    rows: panel.ledger.rowsRead,
    columns: ["date", "ticker", ...panel.columns.filter((name) => panel.isRead(name))],
    stocks: panel.tickers.length,
    dates: panel.dates.length,
  };
}

const OHLCV = { features: "ohlcv", window: 16, maxDropped: 1, split: { fractions: [0.6, 0.2, 0.2] } };

/**
 * Opens the panel and cuts its first dataset, then `rounds` more from the panel, each with features of its own: seconds and processor seconds
 * of each of these, the longest delay of the event loop, and memory from the file to the first dataset at its peak beside what training keeps.
 */
export async function timeDatasets(file, threads, rounds) {
  const before = process.memoryUsage.rss();
  const panel = await openPanel(file, { columns: ["open", "high", "low", "close", "volume"], maxDropped: 1, onWarning: () => undefined });
  (await panel.dataset({ ...OHLCV, threads })).dispose();
  const peakBytes = process.resourceUsage().maxRSS * 1024 - before;
  const [dates, stocks] = [panel.dates.length, panel.tickers.length];
  const measured = { seconds: [], cpuSeconds: [], delayMs: [] };
  for (let round = 1; round <= rounds; round++) {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    const [start, cpu] = [performance.now(), process.cpuUsage()];
    delay.enable();
    // What fills the gaps tells the features of one round from those of another.
    const dataset = await panel.dataset({ ...OHLCV, processors: ["rank", { name: "fill", value: round }], threads });
    delay.disable();
    const { user, system } = process.cpuUsage(cpu);
    measured.seconds.push((performance.now() - start) / 1e3);
    measured.cpuSeconds.push((user + system) / 1e6);
    measured.delayMs.push(delay.max / 1e6);
    dataset.dispose();
  }
  return { ...measured, peakBytes, residentBytes: 4 * dates * stocks * (20 + 1), dates, stocks, rows: panel.ledger.rowsRead };
}

/** The same columns through DuckDB alone, chunk by chunk; values stay in DuckDB's vectors. */
export async function scanTable(file, columns) {
  const start = performance.now();
  const cpu = process.cpuUsage();
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const quoted = columns.map((name) => `"${name.replaceAll('"', '""')}"`).join(", ");
  const result = await connection.stream(`SELECT ${quoted} FROM read_parquet('${file.replaceAll("'", "''")}')`);
  let rows = 0;
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) rows += chunk.rowCount;
  const seconds = (performance.now() - start) / 1e3;
  connection.closeSync();
  instance.closeSync();
  const { user, system } = process.cpuUsage(cpu);
  return { seconds, cpuSeconds: (user + system) / 1e6, rows };
}
