// `node scripts/bench/open-panel.mjs FILE.parquet [ROUNDS]`: openPanel beside DuckDB's scan of the same columns, in alternation in one process, and how long
// JavaScript's thread computes between two turns of the event loop: its own processor time, whatever else the machine does. Linux.
import { openSync, readSync } from "node:fs";
import { median } from "./statistics.mjs";
import { scanTable, timePanel } from "./real-data.mjs";

const [file, rounds = "5"] = process.argv.slice(2);
if (file === undefined) throw new Error("Name a Parquet file.");

const schedule = openSync("/proc/thread-self/schedstat", "r");
const bytes = Buffer.alloc(64);
const threadMs = () => Number(bytes.toString("latin1", 0, readSync(schedule, bytes, 0, bytes.length, 0)).split(" ")[0]) / 1e6;
let last = threadMs();
let heldMs = 0;
setInterval(() => {
  const now = threadMs();
  heldMs = Math.max(heldMs, now - last);
  last = now;
}, 1).unref();

const MIB = 2 ** 20;
const first = await timePanel(file);
console.log(`${first.rows} rows, ${first.dates} dates x ${first.stocks} stocks, ${first.columns.join(", ")}`);
console.log(`keeps ${(first.residentBytes / MIB).toFixed(0)} MiB, ${(first.peakBytes / MIB).toFixed(0)} more than before at the peak (${(first.peakBytes / first.residentBytes).toFixed(2)} times)`);
const opened = [];
const scanned = [];
const held = [];
for (let round = 0; round < Number(rounds); round++) {
  heldMs = 0;
  last = threadMs();
  opened.push(await timePanel(file));
  held.push(heldMs);
  scanned.push(await scanTable(file, first.columns));
}
const shown = (values) => `${Math.min(...values).toFixed(2)} / ${median(values).toFixed(2)}`;
const ratio = (key) => (median(opened.map((one) => one[key])) / median(scanned.map((one) => one[key]))).toFixed(2);
for (const [key, what] of [["cpuSeconds", "processor seconds"], ["seconds", "seconds"]]) {
  console.log(`${what}, least / median: openPanel ${shown(opened.map((one) => one[key]))}, DuckDB ${shown(scanned.map((one) => one[key]))}; ratio of medians ${ratio(key)}`);
}
console.log(`event loop: held for ${median(held).toFixed(1)} ms at most (median of the rounds; worst ${Math.max(...held).toFixed(1)}), delayed by ${median(opened.map(({ delayMs }) => delayMs)).toFixed(1)}`);
