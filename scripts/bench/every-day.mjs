// Every day's work in a process that lives on: prices of a new date of 5,000 stocks from memory to scores. 300 simulated dates, ohlcv, a window of 16.
// node scripts/bench/every-day.mjs [stocks] [days]: wall and CPU milliseconds of each part of a day, after two of warm-up.
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { ASTGNNFactorModel, openPanel } from "../../dist/index.js";

const [stocks = 5000, days = 10] = process.argv.slice(2).map(Number);
const DATES = 300;
const folder = mkdtempSync(join(tmpdir(), "astgnn-every-day-"));
const file = join(folder, "prices.parquet");
const table = (from, to) => `WITH grid AS (SELECT t, n, DATE '2020-01-01' + CAST(t AS INTEGER) AS date, 'S' || lpad(CAST(n AS VARCHAR), 5, '0') AS ticker,
  50 + n % 50 + 5 * sin(n * 1.7 + t / (3.0 + n % 5)) + (hash(n * 1009 + t) % 1000) / 1000.0 AS close FROM range(${from}, ${to}) dates(t), range(${stocks}) stocks(n))
  SELECT date, ticker, CAST(close * 0.99 AS FLOAT) AS open, CAST(close * 1.02 AS FLOAT) AS high, CAST(close * 0.97 AS FLOAT) AS low, CAST(close AS FLOAT) AS close, CAST(1000 + hash(n + t * 7919) % 9000 AS FLOAT) AS volume FROM grid ORDER BY date, ticker`;
const connection = await (await DuckDBInstance.create(":memory:")).connect();
await connection.run(`COPY (${table(0, DATES)}) TO '${file}' (FORMAT parquet)`);
const newDays = await readDays();
async function readDays() {
  const rows = (await connection.runAndReadAll(table(DATES, DATES + days + 2))).getColumns();
  const tickers = rows[1].slice(0, stocks);
  return Array.from({ length: days + 2 }, (_, d) => ({
    dates: String(rows[0][d * stocks]), tickers,
    columns: Object.fromEntries(["open", "high", "low", "close", "volume"].map((name, k) => [name, Float32Array.from(rows[2 + k].slice(d * stocks, (d + 1) * stocks))])),
  }));
}

let panel = await openPanel(file, { onWarning: () => {} });
rmSync(folder, { recursive: true });
const first = await panel.dataset({ split: { fractions: [1, 0, 0] } });
const description = first.describe();
first.dispose();
const model = new ASTGNNFactorModel({ sequentialInputSize: description.featureNames.length });

const parts = { append: [], dataset: [], predict: [], whole: [] };
async function timed(part, work) {
  const [began, used] = [performance.now(), process.cpuUsage()];
  const result = await work();
  const { user, system } = process.cpuUsage(used);
  parts[part].push({ wall: performance.now() - began, cpu: (user + system) / 1000 });
  return result;
}
for (const today of newDays) {
  await timed("whole", async () => {
    panel = await timed("append", () => panel.append(today));
    const dataset = await timed("dataset", () => panel.dataset({ description, from: panel.dates.at(-1) }));
    await timed("predict", () => model.predict(dataset));
    dataset.dispose();
  });
}
const spread = (values) => [...values].sort((a, b) => a - b).filter((_, i, { length }) => i === 0 || i === length >> 1).map((value) => value.toFixed(1)).join(" / ");
console.log(`${cpus()[0].model}, ${cpus().length} CPUs, ${stocks} stocks, ${panel.dates.length - days - 2} dates, then ${days} days`);
for (const [part, times] of Object.entries(parts)) {
  const warm = times.slice(2);
  console.log(`${part.padEnd(8)} least / median: wall ${spread(warm.map(({ wall }) => wall))} ms, CPU ${spread(warm.map(({ cpu }) => cpu))} ms`);
}
