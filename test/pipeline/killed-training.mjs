// A training that another process kills: node killed-training.mjs <csv> <run folder>. Says "step <n>" on stdout after each step.
import { writeSync } from "node:fs";
import { ASTGNNFactorModel, openPanel, train } from "../../dist/index.js";

const [csv, out] = process.argv.slice(2);
const panel = await openPanel(csv);
const dataset = await panel.dataset({ features: ["x0", "x1"], window: 3, label: { column: "y", horizonDays: 0 }, split: { trainEnd: "2020-02-15", validEnd: "2020-02-25" } });
const model = new ASTGNNFactorModel({
  sequentialInputSize: 2, gruHiddenSize: 8, gruNumLayers: 2, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4,
  tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], norm: "batch", dropout: 0.2,
});
await train(model, dataset, { epochs: 3, threads: 1, checkpointSteps: 3, schedule: "plateau", plateauPatience: 0, warmupSteps: 10, out, resume: true, onStep: ({ step }) => void writeSync(1, `step ${step}\n`) });
writeSync(1, "done\n");
