// One date of real data as the model saw it, with what it made of it, for `python scripts/reference/load_checkpoint.py MODEL --batch FILE`:
//   node scripts/export-batch.mjs --run runs/nasdaq/complete/seed-0 --data ../shared/data/nasdaq.parquet --date 2017-06-01 --out batch.safetensors
//     [--groups FILE --group-column NAME]
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { loadRun, openPanel, writeSafetensors } from "../dist/index.js";

const { values: flags } = parseArgs({
  options: {
    run: { type: "string" }, data: { type: "string" }, date: { type: "string" }, out: { type: "string" },
    groups: { type: "string" }, "group-column": { type: "string", default: "group" },
  },
});
for (const name of ["run", "data", "date", "out"]) {
  if (flags[name] === undefined) throw new Error(`--${name} is missing; see the head of this script.`);
}

const run = await loadRun(flags.run);
if (run.ensemble !== undefined) throw new Error("Name the folder of one member: an ensemble has no factors of its own.");
const [model] = run.models;
const panel = await openPanel(flags.data, flags.groups === undefined ? {} : { groups: { file: flags.groups, column: flags["group-column"] } });
const dataset = await panel.dataset({ description: model.dataset });
if (dataset.graph !== "complete") throw new Error("This script writes no mask: the run must have the complete attention graph.");
const t = dataset.dates.indexOf(flags.date);
if (t < 0) throw new Error(`${flags.date} is no date of ${flags.data}.`);

const [begin, end] = [dataset.rowOffsets[t], dataset.rowOffsets[t + 1]];
const [N, T, F, S] = [end - begin, dataset.window, dataset.featureNames.length, dataset.tickers.length];
const stocks = dataset.rowStocks.subarray(begin, end);
const sequences = new Float32Array(T * N * F);
for (let k = 0; k < T; k++) {
  for (let i = 0; i < N; i++) {
    const cell = ((t - T + 1 + k) * S + stocks[i]) * F;
    sequences.set(dataset.features.subarray(cell, cell + F), (k * N + i) * F);
  }
}
const { predictions, riskFactors } = await model.predict({ dataset, dates: [flags.date] }, { riskFactors: true });
const packed = (values, width) => Float32Array.from({ length: N * width }, (_, i) => values.data[stocks[Math.floor(i / width)] * width + (i % width)]);
const K = model.config.numRiskFactors;
const P = model.config.numPredictions;
writeFileSync(flags.out, writeSafetensors({
  sequences: { dtype: "F32", shape: [T, N, F], data: sequences },
  offsets: { dtype: "I32", shape: [2], data: Int32Array.of(0, N) },
  predictions: { dtype: "F32", shape: [N, P], data: packed(predictions, P) },
  risk_factors: { dtype: "F32", shape: [N, K], data: packed(riskFactors, K) },
  ...(dataset.groups === undefined ? {} : { group: { dtype: "I32", shape: [N], data: dataset.groups.slice(begin, end) } }),
}, {}));
console.log(`${flags.out}: ${N} stocks on ${flags.date}`);
