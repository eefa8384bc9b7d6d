// One of several processes of a training: node rank-training.mjs <csv> <options of train as JSON>, its place in RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
// Says "step <n>" on stdout after each step, "warning <reason>", and the code and message of an error.
// On a GPU with ASTGNN_EMULATED_GPU=1 (test/emulated-gpu.ts).
import { writeSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { ASTGNNFactorModel, openPanel, train } from "../../dist/index.js";

if (process.env.ASTGNN_EMULATED_GPU === "1") {
  (await import("../../dist/binding/load.js")).loadCore();
  process.dlopen({ exports: {} }, fileURLToPath(new URL("../../build/emulated/emulated_device.node", import.meta.url)), constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL); // for all: NCCL's functions are looked up by name
}
const [csv, options] = process.argv.slice(2);
const panel = await openPanel(csv);
const dataset = await panel.dataset({ features: ["x0", "x1"], window: 3, maxDropped: 0.5, label: { column: "y", horizonDays: 0 }, split: { trainEnd: "2020-02-05", validEnd: "2020-02-20" } });
const model = new ASTGNNFactorModel({
  sequentialInputSize: 2, gruHiddenSize: 8, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4,
  tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], dropout: 0.2,
});
const controller = new AbortController();
process.once("SIGINT", () => controller.abort());
try {
  await train(model, dataset, { epochs: 2, threads: 1, checkpointSteps: 3, rankStartSeconds: 60, ...JSON.parse(options), signal: controller.signal, onWarning: ({ reason }) => void writeSync(1, `warning ${reason}\n`), onStep: ({ step }) => void writeSync(1, `step ${step}\n`) });
  writeSync(1, "done\n");
} catch (error) {
  writeSync(1, `${error.code}: ${error.message}\n`);
  process.exitCode = 1;
}
