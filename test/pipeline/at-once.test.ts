import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, type ModelOptions, train, type TrainOptions } from "../../lib/index.js";
import { eachAtOnce, sharesOf } from "../../lib/train/at-once.js";
import { smallDataset } from "../unit/small-dataset.js";
import { weightsOf } from "./weights-of.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-at-once-"));
afterAll(() => rmSync(folder, { recursive: true }));

const dataset = smallDataset({ dates: 40, stocks: 33, window: 3, seed: 1 });
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], dropout: 0.3 };
const isIntel = cpus()[0]!.model.includes("Intel");

async function membersOf(options: TrainOptions) {
  using model = new ASTGNNFactorModel(small);
  const { members, ensemble } = await train(model, dataset, { onWarning: () => {}, epochs: 2, datesPerStep: 2, seeds: [3, 1, 2], ...options });
  const { predictions } = await ensemble!.predict(dataset.test, { threads: 1 });
  const found = { weights: members!.map((run) => weightsOf(run.model)), epochs: members!.map(({ epochs }) => epochs.map(({ seconds: _, ...epoch }) => epoch)), threads: members!.map(({ threads }) => threads), predictions };
  ensemble!.dispose();
  return found;
}

describe("members of an ensemble at once", () => {
  it.skipIf(!isIntel)("are those of one after the other, to the last bit, in weights, metrics and files", async () => {
    const [alone, together] = [join(folder, "alone"), join(folder, "together")];
    const one = await membersOf({ threads: 1, atOnce: 1, out: alone });
    const order: number[] = [];
    const three = await membersOf({ threads: 3, atOnce: 3, out: together, onStep: ({ seed }) => void order.push(seed) });
    expect(three).toEqual(one);
    expect((await membersOf({ threads: 2, atOnce: 1 })).weights).toEqual(one.weights);
    for (const seed of [1, 2, 3]) for (const file of ["last.safetensors", "report.json"]) expect(readFileSync(join(together, `seed-${seed}`, file))).toEqual(readFileSync(join(alone, `seed-${seed}`, file)));
    // Steps of all of them come before any has ended.
    expect(new Set(order.slice(0, 30)).size).toBe(3);
  });

  it("are as many as there are threads, and each has its part of them", async () => {
    expect((await membersOf({ threads: 2, epochs: 1 })).threads).toEqual([1, 1, 1]);
    const demand = { memoryBytes: 1, device: "cpu", isInFile: false };
    expect(sharesOf(5, { threads: 16 }, demand)).toEqual({ atOnce: 5, threads: 3 });
    expect(sharesOf(5, { threads: 2 }, demand)).toEqual({ atOnce: 2, threads: 1 });
    expect(sharesOf(5, { threads: 2, atOnce: 4 }, demand)).toEqual({ atOnce: 4, threads: 1 });
    expect(sharesOf(5, { threads: 16 }, { ...demand, memoryBytes: 1e18 })).toEqual({ atOnce: 1, threads: 16 });
    expect(sharesOf(5, { threads: 16 }, { ...demand, isInFile: true })).toEqual({ atOnce: 1, threads: 16 });
    expect(sharesOf(5, { threads: 16 }, { ...demand, device: "cuda:0" })).toEqual({ atOnce: 1, threads: 16 });
  });

  it("all end where one fails or the caller stops, and go on with resume", async () => {
    const out = join(folder, "stopped");
    const failing = membersOf({ threads: 2, atOnce: 2, out, onStep: ({ seed, step }) => {
      if (seed === 1 && step === 8) throw new Error("planned");
    } });
    await expect(failing).rejects.toThrow("planned");
    const controller = new AbortController();
    const aborted = membersOf({ threads: 2, atOnce: 2, out, resume: true, signal: controller.signal, onEpoch: () => controller.abort() });
    await expect(aborted).rejects.toMatchObject({ code: "ERR_ABORTED" });
    const whole = await membersOf({ threads: 2, atOnce: 2, out, resume: true });
    expect(whole.weights).toEqual((await membersOf({ threads: 2, atOnce: 2 })).weights);
  });
});

describe("eachAtOnce", () => {
  it("keeps to the number and the order, and throws the first failure once all have ended", async () => {
    let [inside, most] = [0, 0];
    const squares = await eachAtOnce([1, 2, 3, 4, 5], 2, undefined, async (item) => {
      most = Math.max(most, ++inside);
      await new Promise((done) => setImmediate(done));
      inside--;
      return item * item;
    });
    expect([squares, most]).toEqual([[1, 4, 9, 16, 25], 2]);
    const ended: number[] = [];
    const failing = eachAtOnce([1, 2, 3], 2, undefined, async (item, signal) => {
      if (item === 1) throw new Error("first");
      await new Promise<void>((done) => signal.addEventListener("abort", () => done()));
      ended.push(item);
    });
    await expect(failing).rejects.toThrow("first");
    expect(ended).toEqual([2]);
  });
});
