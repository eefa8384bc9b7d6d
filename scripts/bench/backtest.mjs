// Times a backtest of simulated prices: node scripts/bench/backtest.mjs [dates] [stocks]. Predictions for every date, five portfolios side by side,
// every kind of cost; then weights decided anew every 21 dates. Prints CPU seconds of this process, wall seconds and the peak of its memory beyond the inputs.
import { backtest, Panel } from "../../dist/index.js";

const [dates, stocks] = [Number(process.argv[2] ?? 2520), Number(process.argv[3] ?? 5000)];
let state = 1;
const random = () => (state = (state * 48271) % 2147483647) / 2147483647 - 0.5;
const days = Array.from({ length: dates }, (_, t) => new Date(Date.UTC(2001, 0, 1) + t * 86_400_000).toISOString().slice(0, 10));
const tickers = Array.from({ length: stocks }, (_, n) => `S${String(n).padStart(5, "0")}`);
const [close, volume, data] = [new Float32Array(dates * stocks), new Float32Array(dates * stocks), new Float32Array(dates * stocks)];
for (let i = 0; i < close.length; i++) {
  close[i] = i < stocks ? 50 : close[i - stocks] * (1 + 0.04 * random());
  volume[i] = 1e5 * (1.5 + random());
  data[i] = random();
}
// Suspended for five dates in a hundred.
const tradable = Array.from({ length: close.length }, (_, i) => (Math.floor(i / stocks) + (i % stocks)) % 100 >= 5);
const panel = await Panel.from({ dates: days, tickers, columns: { close, volume, tradable } }, { tradableColumn: "tradable", onWarning: () => {} });
globalThis.gc?.();

async function time(name, source, options) {
  const [cpu, wall, base] = [process.cpuUsage(), performance.now(), process.memoryUsage.rss()];
  let peak = base;
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 20);
  const found = await backtest(source, panel, options);
  clearInterval(timer);
  const { user, system } = process.cpuUsage(cpu);
  console.log(`${name}: ${((user + system) / 1e6).toFixed(2)} CPU s, ${((performance.now() - wall) / 1e3).toFixed(2)} s, +${((peak - base) / 2 ** 20).toFixed(0)} MiB; ${found.decisions} decisions, Sharpe ${found.sharpe.toFixed(2)}`);
}

console.log(`${dates} dates x ${stocks} stocks`);
const predictions = { data, shape: [dates, stocks], dates: days, tickers };
const costs = { costBps: 5, borrowBps: 50, onWarning: () => {} };
await time("factor-weighted, daily, one portfolio", { predictions }, costs);
await time("factor-weighted, daily, five portfolios, impact", { predictions, horizonDays: 5 }, { ...costs, impact: 1, capital: 1e8 });
const equal = { rebalance: ({ tickers: known }) => ({ tickers: known, weights: known.map(() => 1 / known.length) }), every: 21 };
await time("equal weights every 21 dates", equal, { ...costs, impact: 1, lotSize: 100, capital: 1e9 });
