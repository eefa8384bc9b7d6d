// Times and memory of the risk model at N stocks and K factors on one thread: node scripts/bench/risk.mjs [--stocks 5000] [--factors 60] [--dates 280]
// Processor time (user and system), since the clock tells of others on the machine too; medians.
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { RiskModel } from "../../dist/index.js";

const { values } = parseArgs({ options: { stocks: { type: "string", default: "5000" }, factors: { type: "string", default: "60" }, dates: { type: "string", default: "280" } } });
const [N, K, T] = [Number(values.stocks), Number(values.factors), Number(values.dates)];
let seed = 1;
const uniform = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5;
const tickers = Array.from({ length: N }, (_, i) => `S${i}`);
const exposures = Float32Array.from({ length: N * K }, uniform);
const sizes = Float64Array.from({ length: N }, () => 1 + Math.abs(uniform()));
const names = Array.from({ length: K }, (_, k) => `f${k}`);
const milliseconds = (work) => {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return [(user + system) / 1000, result];
};
const median = (all) => [...all].sort((a, b) => a - b)[all.length >> 1];

const before = process.memoryUsage();
const model = new RiskModel(names);
const updates = [];
for (let t = 0; t < T; t++) {
  const common = Float64Array.from({ length: K }, () => 0.01 * uniform());
  const returns = Float64Array.from(tickers, (_, i) => {
    let sum = 0.04 * uniform();
    for (let k = 0; k < K; k++) sum += exposures[i * K + k] * common[k];
    return sum;
  });
  const date = new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10);
  updates.push(milliseconds(() => model.update({ date, tickers, returns, exposures, sizes }))[0]);
}
const forms = Array.from({ length: 5 }, () => milliseconds(() => model.form()));
const [write, bytes] = milliseconds(() => model.write());
const [read] = milliseconds(() => RiskModel.read(bytes));
const after = process.memoryUsage();
const adjusted = new RiskModel(names, [], { eigenfactors: {} });
for (let t = 0; t < K + 30; t++) adjusted.update({ date: new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10), tickers: tickers.slice(0, 200), returns: Float64Array.from({ length: 200 }, uniform).map((x) => x / 20), exposures: exposures.subarray(0, 200 * K) });
console.log(JSON.stringify({
  processor: cpus()[0].model, node: process.version, stocks: N, factors: K, dates: T,
  updateMs: median(updates), formMs: median(forms.map(([ms]) => ms)), residualsEvery21DatesMs: forms[0][0] - median(forms.map(([ms]) => ms)), writeMs: write, readMs: read, fileMb: bytes.length / 1e6,
  eigenfactorsEvery21DatesMs: milliseconds(() => adjusted.form())[0], peakRssMb: process.resourceUsage().maxRSS / 1024, heapAndBuffersMb: (after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers) / 1e6,
}, null, 1));
