// What tickers that come and go cost: memory and processor time of a panel with 1,000 stocks a day on 2,500 dates, the same ones all along and 4,000 that take turns.
// node scripts/bench/lifespans.mjs [--package DIR] [--dates N] [--stocks N]
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { DuckDBInstance } from "@duckdb/node-api";

const { values: options } = parseArgs({
  options: { package: { type: "string", default: resolve(import.meta.dirname, "../..") }, dates: { type: "string", default: "2500" }, stocks: { type: "string", default: "1000" }, measure: { type: "string" } },
});
const MIB = 2 ** 20;

/** Stocks of each place follow each other, at other dates in other places; each has a random walk of prices. */
async function write(file, dates, stocks, turns) {
  const database = await DuckDBInstance.create(":memory:");
  const connection = await database.connect();
  const life = Math.ceil(dates / turns);
  await connection.run(`COPY (
    WITH cells AS (SELECT t, n, least((t + hash(n) % ${life}) // ${life}, ${turns - 1}) AS turn FROM range(${dates}) d(t), range(${stocks}) s(n)),
    moves AS (SELECT t, turn * ${stocks} + n AS stock, 50 * exp(sum(.01 * (hash(t, n) % 2001 / 1000.0 - 1)) OVER (PARTITION BY turn, n ORDER BY t)) AS close, hash(n, t, 1) % 1000 / 1e5 AS a, hash(n, t, 2) % 1000 / 1e5 AS b FROM cells)
    SELECT CAST(DATE '2010-01-01' + CAST(t AS INTEGER) AS DATE) AS date, printf('S%06d', CAST(hash(stock) % 100 AS BIGINT) * 10000 + stock) AS ticker,
      CAST(close * (1 + a - b) AS FLOAT) AS open, CAST(close * (1 + a) AS FLOAT) AS high, CAST(close * (1 - b) AS FLOAT) AS low, CAST(close AS FLOAT) AS close, CAST(1000 + hash(t, stock) % 9000 AS FLOAT) AS volume
    FROM moves ORDER BY date, ticker) TO '${file}' (FORMAT parquet)`);
  connection.closeSync();
  database.closeSync();
}

/** In a process of its own, so that the peak is this file's alone. */
async function measure(file) {
  const { openPanel } = await import(join(options.package, "dist/index.js"));
  const { nativePanel } = await import(join(options.package, "dist/data/native-panel.js"));
  const peak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1024;
  const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };
  const arrays = (...list) => list.filter((array) => array !== undefined).reduce((sum, array) => sum + array.byteLength, 0) / MIB;
  const at = [cpu()];
  const panel = await openPanel(file, { onWarning: () => {} });
  at.push(cpu());
  const peaks = [peak()];
  const kept = arrays(panel.universe, panel.present, ...panel.columns.map((name) => panel.values(name)));
  const dataset = await panel.dataset({ window: 20, label: { horizonDays: 1, lagDays: 1 }, split: { fractions: [0.6, 0.2, 0.2] }, maxDropped: 1, threads: 1 });
  at.push(cpu());
  peaks.push(peak());
  const resident = nativePanel(dataset, "cpu").bytes / MIB;
  const { length: rows } = dataset.rowStocks;
  console.log(JSON.stringify({
    rows, tickers: panel.tickers.length, panelMib: kept, openPeakMib: peaks[0], openSeconds: at[1] - at[0], residentMib: resident, residentWithoutTargetsMib: resident - (4 * panel.dates.length * panel.tickers.length) / MIB,
    rowsNeedMib: (panel.ledger.rowsKept * 4 * (dataset.featureNames.length + 1)) / MIB, labelsMib: arrays(dataset.labels), datasetPeakMib: peaks[1], datasetSeconds: at[2] - at[1],
  }));
}

if (options.measure !== undefined) {
  await measure(options.measure);
} else {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-lifespans-"));
  try {
    for (const turns of [1, 4]) {
      const file = join(folder, `turns-${turns}.parquet`);
      await write(file, Number(options.dates), Number(options.stocks), turns);
      const { stdout, stderr, status } = spawnSync(process.execPath, [import.meta.filename, "--package", resolve(options.package), "--measure", file], { encoding: "utf8" });
      if (status !== 0) throw new Error(stderr);
      const numbers = JSON.parse(stdout);
      console.log(turns === 1 ? "the same stocks all along" : `${turns} stocks take turns in each place`);
      for (const [name, value] of Object.entries(numbers)) console.log(`  ${name}: ${Number(value.toFixed(2))}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
