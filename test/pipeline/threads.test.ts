import { monitorEventLoopDelay } from "node:perf_hooks";
import { describe, expect, it } from "vitest";
import { ASTGNNFactorModel, train, type ModelOptions, type StepEvent } from "../../lib/index.js";
import { physicalCores, resolveThreads } from "../../lib/binding/threads.js";
import { smallDataset } from "../unit/small-dataset.js";
import { weightsOf } from "./weights-of.js";

const dataset = smallDataset({ dates: 40, stocks: 33, window: 3, seed: 1 });
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gruNumLayers: 2, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], dropout: 0.3 };

describe("two trainings in one process", () => {
  it("take turns and end with the bits that each has alone", async () => {
    const alone = async (seed: number) => {
      using model = new ASTGNNFactorModel({ ...small, seed });
      await train(model, dataset, { epochs: 2, seed, threads: 1 });
      return weightsOf(model);
    };
    const expected = [await alone(1), await alone(2)];
    const order: number[] = [];
    using first = new ASTGNNFactorModel({ ...small, seed: 1 });
    using second = new ASTGNNFactorModel({ ...small, seed: 2 });
    const onStep = ({ seed }: StepEvent): void => void order.push(seed);
    await Promise.all([train(first, dataset, { epochs: 2, seed: 1, threads: 1, onStep }), train(second, dataset, { epochs: 2, seed: 2, threads: 1, onStep })]);
    expect(weightsOf(first)).toEqual(expected[0]);
    expect(weightsOf(second)).toEqual(expected[1]);
    expect(order.slice(1).filter((seed, i) => seed !== order[i]).length).toBeGreaterThan(10);
  });

  it("leave room for predictions with another model", async () => {
    using busy = new ASTGNNFactorModel(small);
    using idle = new ASTGNNFactorModel({ ...small, seed: 9 });
    const expected = await idle.predict(dataset.test, { threads: 1 });
    const training = train(busy, dataset, { epochs: 2, threads: 1 });
    expect(await idle.predict(dataset.test, { threads: 1 })).toEqual(expected);
    await training;
  });

  it("a model that is being trained refuses to have its weights replaced", async () => {
    using model = new ASTGNNFactorModel(small);
    const state = model.stateDict();
    let refused: unknown;
    await train(model, dataset, { epochs: 1, threads: 1, onStep: ({ step }) => {
      if (step !== 3) return;
      try {
        model.loadStateDict(state);
      } catch (error) {
        refused = error;
      }
    } });
    expect(refused).toMatchObject({ code: "ERR_BUSY" });
    for (const tensor of Object.values(state)) tensor.dispose();
  });
});

describe("threads", () => {
  it("are the option, else ASTGNN_THREADS, else the physical cores, and the run says how many", async () => {
    const before = process.env["ASTGNN_THREADS"];
    try {
      delete process.env["ASTGNN_THREADS"];
      expect(resolveThreads()).toBe(physicalCores());
      process.env["ASTGNN_THREADS"] = "3";
      expect(resolveThreads()).toBe(3);
      expect(resolveThreads(2)).toBe(2);
      process.env["ASTGNN_THREADS"] = "many";
      expect(() => resolveThreads()).toThrow(/for ASTGNN_THREADS but received "many"/);
    } finally {
      if (before === undefined) delete process.env["ASTGNN_THREADS"];
      else process.env["ASTGNN_THREADS"] = before;
    }
    using model = new ASTGNNFactorModel(small);
    expect((await train(model, dataset, { epochs: 1, threads: 2 })).threads).toBe(2);
  });

  it("another count agrees to rounding and draws the same dropout", async () => {
    const losses = async (threads: number): Promise<number> => {
      using model = new ASTGNNFactorModel({ ...small, dtype: "float64" });
      return (await train(model, dataset, { epochs: 1, threads })).epochs[0]!.train.loss;
    };
    // Another order of sums moves a float64 by about 1e-16 per operation; other dropout masks would move the loss by about 1e-2.
    expect(Math.abs((await losses(1)) - (await losses(2)))).toBeLessThan(1e-9);
  });
});

describe("the event loop", () => {
  it("turns while steps run", async () => {
    const wide = smallDataset({ dates: 16, stocks: 400, window: 8, seed: 3, missing: 0 });
    using model = new ASTGNNFactorModel({ sequentialInputSize: 3 });
    const delay = monitorEventLoopDelay({ resolution: 1 });
    let turns = 0;
    let steps = 0;
    const timer = setInterval(() => turns++, 1);
    delay.enable();
    await train(model, wide, { epochs: 2, threads: 1, onStep: () => void steps++ });
    delay.disable();
    clearInterval(timer);
    // Each step takes tens of milliseconds on the compute thread; a loop that waited for them would turn about once per step.
    expect(turns).toBeGreaterThan(5 * steps);
  });
});
