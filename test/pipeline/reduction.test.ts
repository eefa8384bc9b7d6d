import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, readSafetensors, train, writeSafetensors, type ModelOptions, type TrainOptions } from "../../lib/index.js";
import { loadCore } from "../../lib/binding/load.js";
import { resolveConfig } from "../../lib/model/config.js";
import { icTerm, tinyOptions } from "../binding/tiny.js";
import { smallDataset } from "../unit/small-dataset.js";
import { weightsOf } from "./weights-of.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-reduction-"));
afterAll(() => rmSync(folder, { recursive: true }));

const dataset = smallDataset({ dates: 30, stocks: 17, window: 3, seed: 1 });
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8] };
const recipe: TrainOptions = { epochs: 2, threads: 1, datesPerStep: 3 };

async function trained(options: TrainOptions): Promise<ReturnType<typeof weightsOf>> {
  using model = new ASTGNNFactorModel(small);
  await train(model, dataset, options);
  return weightsOf(model);
}

describe("reduction", () => {
  // Rows enough for products that are cut by the number of threads.
  it.skipIf(!cpus()[0]!.model.includes("Intel"))("exact ends with the same SHA-256 of weights, averages and moments for any number of threads", async () => {
    const core = loadCore();
    const [dates, stocks, window] = [8, 1024, 4];
    const features = Float32Array.from({ length: dates * stocks * 3 }, (_, i) => Math.sin(i * 12.9898) * 0.9);
    const targets = Float32Array.from({ length: dates * stocks }, (_, i) => Math.cos(i * 78.233));
    const rowOffsets = Int32Array.from({ length: dates + 1 }, (_, t) => Math.max(0, t - (window - 1)) * stocks);
    const panel = core.createPanel({ dates, stocks, featureCount: 3, window, features, rowOffsets, rowStocks: Int32Array.from({ length: rowOffsets[dates]! }, (_, i) => i % stocks), horizons: 1, targets, graph: "complete" });
    const hashes: string[] = [];
    for (const threads of [1, 2, 3]) {
      const model = core.createModel(resolveConfig({ sequentialInputSize: 3 }), "float32", 0);
      const objective = [icTerm, { ...icTerm, name: "rankIc" as const, weight: 0.1 }, { ...icTerm, name: "pairwiseRank" as const, weight: 0.1 }];
      const session = core.createSession(model, panel, tinyOptions({ objective, reduction: "exact" }));
      const losses: number[] = [];
      await session.run({ dates: Int32Array.of(3, 4, 5, 5, 6, 7), offsets: Int32Array.of(0, 3, 6), learningRates: Float64Array.of(1e-3, 1e-3) }, threads, (step) => losses.push(step.loss, step.gradientNorm)).done;
      const { tensors } = await session.state();
      const hash = createHash("sha256").update(Float64Array.from(losses));
      for (const [name, tensor] of Object.entries(tensors)) hash.update(name).update(tensor.toTypedArray() as Float32Array);
      hashes.push(hash.digest("hex"));
      session.dispose();
    }
    expect(new Set(hashes).size).toBe(1);
  });

  it("is exact by default, stored with the run, and compared on resume", async () => {
    const out = join(folder, "exact");
    const exact = await trained({ ...recipe, out });
    expect(exact).toEqual(await trained({ ...recipe, reduction: "exact" }));
    expect(exact).not.toEqual(await trained({ ...recipe, reduction: "fast" }));
    expect((JSON.parse(readFileSync(join(out, "run.json"), "utf8")) as { training: object }).training).toMatchObject({ reduction: "exact" });
    await expect(trained({ ...recipe, epochs: 3, out, resume: true, reduction: "fast" })).rejects.toMatchObject({ code: "ERR_CHECKPOINT", option: "training.reduction" });
  });

  it("of a run that was begun before there was one is fast, on every resume", async () => {
    const [out, old] = [join(folder, "fast"), join(folder, "old")];
    await trained({ ...recipe, reduction: "fast", out });
    cpSync(out, old, { recursive: true });
    const state = join(old, "last.safetensors");
    const { tensors, metadata } = readSafetensors(readFileSync(state));
    const identity = JSON.parse(metadata["identity"]!) as { recipe: Record<string, unknown> };
    delete identity.recipe["reduction"];
    writeFileSync(state, writeSafetensors(tensors, { ...metadata, identity: JSON.stringify(identity) }));
    for (const epochs of [3, 4]) {
      expect(await trained({ ...recipe, epochs, out: old, resume: true })).toEqual(await trained({ ...recipe, epochs, reduction: "fast" }));
    }
    await expect(trained({ ...recipe, epochs: 5, out: old, resume: true, reduction: "exact" })).rejects.toMatchObject({ code: "ERR_CHECKPOINT", option: "training.reduction" });
  });

  it("exact refuses CUDA graphs of several dates", async () => {
    await expect(trained({ ...recipe, cudaGraph: true })).rejects.toMatchObject({ code: "ERR_OPTION", option: "cudaGraph" });
  });
});
