// One of several processes of a training: node rank-training.mjs <csv> <options of train as JSON>, its place in RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
// Says "step <n>" on stdout after each step, "warning <reason>", and the code and message of an error.
// On a GPU with ASTGNN_EMULATED_GPU=1 (test/emulated-gpu.ts). Dozens of these are started, so that it imports no more than it needs.
import { readFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { openPanel } from "../../dist/data/panel.js";
import { ASTGNNFactorModel } from "../../dist/model/model.js";
import { train } from "../../dist/train/train.js";

const recipe = JSON.parse(readFileSync(new URL("./rank-recipe.json", import.meta.url), "utf8"));

if (process.env.ASTGNN_EMULATED_GPU === "1") {
  (await import("../../dist/binding/load.js")).loadCore();
  process.dlopen({ exports: {} }, fileURLToPath(new URL("../../build/emulated/emulated_device.node", import.meta.url)), constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL); // for all: NCCL's functions are looked up by name
}
const [csv, options] = process.argv.slice(2);
const panel = await openPanel(csv);
const dataset = await panel.dataset(recipe.samples);
const model = new ASTGNNFactorModel(recipe.model);
const controller = new AbortController();
process.once("SIGINT", () => controller.abort());
try {
  await train(model, dataset, { ...recipe.training, ...JSON.parse(options), signal: controller.signal, onWarning: ({ reason }) => void writeSync(1, `warning ${reason}\n`), onStep: ({ step }) => void writeSync(1, `step ${step}\n`) });
  writeSync(1, "done\n");
} catch (error) {
  writeSync(1, `${error.code}: ${error.message}\n`);
  process.exitCode = 1;
}
