// CPU seconds and memory of the whole of evaluate() on a simulated panel:
//   node scripts/bench/evaluation.mjs [dates] [stocks] [exposures]     (default 2520 5000 20)
import { evaluate } from "../../dist/index.js";

const [dates, stocks, styles] = [2520, 5000, 20].map((value, i) => Number(process.argv[2 + i] ?? value));
let state = 1;
const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const normal = () => uniform() + uniform() + uniform() + uniform() - 2;

const calendar = Array.from({ length: dates + 22 }, (_, t) => new Date(Date.UTC(2010, 0, 1 + t)).toISOString().slice(0, 10));
const tickers = Array.from({ length: stocks }, (_, n) => `S${String(n).padStart(5, "0")}`);
const panel = (length, draw) => ({ data: Float32Array.from({ length: length * stocks }, draw), shape: [length, stocks], dates: calendar.slice(0, length), tickers });

const closes = panel(calendar.length, () => 0);
for (let i = 0; i < closes.data.length; i++) closes.data[i] = i < stocks ? 20 + 10 * uniform() : closes.data[i - stocks] * (1 + 0.02 * normal());
// One in twenty (date, stock) pairs is no row.
const predictions = panel(dates, () => (uniform() < 0.05 ? NaN : normal()));
const horizon = 5;
const labels = panel(dates, (_, i) => closes.data[i + (1 + horizon) * stocks] / closes.data[i + stocks] - 1);
const groups = { codes: Int32Array.from({ length: dates * stocks }, (_, i) => (i % stocks) % 60), names: Array.from({ length: 60 }, (_, g) => `G${g}`) };
const sizes = panel(dates, (_, i) => closes.data[i]);
// Styles share one array: their values do not matter for the time.
const style = panel(dates, () => normal());
const exposures = Object.fromEntries(Array.from({ length: styles }, (_, k) => [`style${k}`, k % 2 === 0 ? style : { ...style, tickers: tickers.toReversed(), data: style.data }]));
exposures.size = sizes;

const options = { horizonDays: horizon, lagDays: 1, closes };
const memory = () => process.memoryUsage.rss() / 2 ** 20;
const timed = (name, added) => {
  const [before, started] = [memory(), process.cpuUsage()];
  const found = evaluate(predictions, labels, added);
  const { user, system } = process.cpuUsage(started);
  console.log(`${name.padEnd(40)} ${((user + system) / 1e6).toFixed(1).padStart(6)} CPU s, ${Math.max(0, memory() - before).toFixed(0)} MiB more than the ${before.toFixed(0)} MiB before`);
  return found;
};
console.log(`${dates} dates x ${stocks} stocks, one thread, Node ${process.versions.node}`);
timed("without closes", { horizonDays: horizon });
timed("with closes", options);
timed("with closes, groups and sizes", { ...options, groups, sizes });
const { ic, icT } = timed(`all, ${Object.keys(exposures).length} exposures`, { ...options, groups, sizes, exposures });
console.log(`IC ${ic.toFixed(5)}, t ${icT.toFixed(2)} (noise on purpose)`);
