// Times of portfolios in factor form, from the options to verified weights: node scripts/bench/optimise.mjs [--stocks 5000] [--factors 50] [--runs 5]
// Milliseconds of the clock and of the processor (user and system), medians over the runs after one that warms up.
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { optimise } from "../../dist/index.js";

const { values } = parseArgs({ options: { stocks: { type: "string", default: "5000" }, factors: { type: "string", default: "50" }, runs: { type: "string", default: "5" } } });
const [N, K, runs] = [Number(values.stocks), Number(values.factors), Number(values.runs)];
let seed = 1;
const uniform = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5;
const tickers = Array.from({ length: N }, (_, i) => `S${i}`);
const covariance = {
  tickers, factors: Array.from({ length: K }, (_, k) => `f${k}`), exposures: Float64Array.from({ length: N * K }, uniform),
  factorCovariance: Float64Array.from({ length: K * K }, (_, c) => (c % (K + 1) === 0 ? 1e-4 : 0)), specificVariance: Float64Array.from({ length: N }, () => 1e-4 * (1 + Math.abs(uniform()))),
};
const byTicker = (value) => Object.fromEntries(tickers.map((ticker) => [ticker, value()]));
const groups = Array.from({ length: 20 }, (_, g) => ({ name: `g${g}`, tickers: tickers.filter((_, i) => i % 20 === g), max: 0.1 }));
const factors = covariance.factors.slice(0, 10).map((name) => ({ name, min: -0.1, max: 0.1 }));
const limits = { maxWeight: 0.01, groups, factors };
const cases = {
  riskParity: { objective: "riskParity" },
  minimumVariance: { objective: "minimumVariance", limits },
  meanVariance: { objective: "meanVariance", expected: byTicker(() => 1e-3 * uniform()), current: byTicker(() => 1 / N), costBps: 5, limits: { ...limits, turnover: 0.5 } },
  trackingError: { objective: "trackingError", benchmark: byTicker(() => 1 / N), limits },
};
const median = (all) => [...all].sort((a, b) => a - b)[all.length >> 1];
const found = {};
for (const [name, options] of Object.entries(cases)) {
  const times = [];
  for (let run = 0; run <= runs; run++) {
    const [clock, processor] = [performance.now(), process.cpuUsage()];
    const { status, volatility } = await optimise({ covariance, ...options }).catch((error) => ({ status: error.code }));
    const { user, system } = process.cpuUsage(processor);
    if (run > 0) times.push({ clock: performance.now() - clock, processor: (user + system) / 1000 });
    found[name] = { status, volatility };
  }
  Object.assign(found[name], { clockMs: median(times.map(({ clock }) => clock)), processorMs: median(times.map(({ processor }) => processor)) });
}
console.log(JSON.stringify({ processor: cpus()[0].model, node: process.version, stocks: N, factors: K, runs, ...found, peakRssMb: process.resourceUsage().maxRSS / 1024 }, null, 1));
