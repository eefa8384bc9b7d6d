import { once } from "node:events";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, setPrecision, train, type ModelOptions, type Precision, type TrainOptions } from "../../lib/index.js";
import { emulateGpu, hasEmulatedGpu } from "../emulated-gpu.js";
import { smallDataset } from "../unit/small-dataset.js";
import { weightsOf } from "./weights-of.js";

const dataset = smallDataset({ dates: 40, stocks: 31, window: 3, missing: 0.1, seed: 1 });
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gruNumLayers: 2, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8] };
const recipe: TrainOptions = { loss: "mse", epochs: 2, learningRate: 1e-2, warmupSteps: 5, threads: 1 };

interface Trained {
  weights: ReturnType<typeof weightsOf>;
  losses: number[];
  predictions: Float32Array | Float64Array;
}

async function trained(precision: Precision, options: { dtype?: "float64" } = {}): Promise<Trained> {
  expect(setPrecision(precision)).toBe(precision);
  using model = new ASTGNNFactorModel({ ...small, device: "cuda", ...options });
  const { epochs } = await train(model, dataset, recipe);
  const { predictions } = await model.predict(dataset.test);
  return { weights: weightsOf(model), losses: epochs.map((epoch) => epoch.train.loss), predictions: predictions.data };
}

const furthest = (a: ArrayLike<number>, b: ArrayLike<number>): number => Math.max(...Array.from(a, (value, i) => (Number.isNaN(value) && Number.isNaN(b[i]) ? 0 : Math.abs(value - b[i]!))));

if (!hasEmulatedGpu) console.log("Precision on a GPU is not tested: the emulated GPU is not built; `npm test` builds it.");
describe.skipIf(!hasEmulatedGpu && process.env["CI"] === undefined)("precision on a GPU (emulated)", () => {
  beforeAll(emulateGpu);
  afterEach(() => {
    delete process.env["ASTGNN_EMULATED_GPU_BF16"];
    setPrecision("highest");
  });

  it("is in force there without AMX, trains within its bars, and leaves no trace", async () => {
    const exact = await trained("highest");
    // For high, ten times what float32 on the GPU is held to beside float32 on the CPU (device.test.ts); medium's own roundings of 2^-9
    // make another training of it.
    for (const [precision, least, most, mostLoss] of [["high", 0, 1e-2, 5e-4], ["medium", 1e-3, 0.5, 2e-2]] as const) {
      const rounded = await trained(precision);
      const off = furthest(rounded.predictions, exact.predictions);
      console.log(`${precision}: predictions after training off by ${off.toExponential(1)}, losses by ${furthest(rounded.losses, exact.losses).toExponential(1)}`);
      expect(off).toBeGreaterThan(least);
      expect(off).toBeLessThan(most);
      expect(furthest(rounded.losses, exact.losses)).toBeLessThan(mostLoss);
    }
    expect(await trained("highest")).toEqual(exact);
  });

  it("rounds no float64", async () => {
    const exact = await trained("highest", { dtype: "float64" });
    expect(await trained("medium", { dtype: "float64" })).toEqual(exact);
  });

  it("stays float32 on a GPU without bf16, and says so", async () => {
    process.env["ASTGNN_EMULATED_GPU_BF16"] = "0";
    const warning = once(process, "warning") as Promise<[Error & { code?: string }]>;
    expect(setPrecision("high")).toBe("highest");
    expect((await warning)[0]).toMatchObject({ code: "ASTGNN_PRECISION", message: 'precision "high" needs a GPU of compute capability 8.0 and cuda:0 is older: "highest" is used.' });
  });
});
