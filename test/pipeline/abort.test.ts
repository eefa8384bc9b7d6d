import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, readSafetensors, train, type Dataset, type ModelOptions, type TrainOptions } from "../../lib/index.js";
import { smallDataset } from "../unit/small-dataset.js";
import { weightsOf } from "./weights-of.js";

const dataset = smallDataset({ dates: 60, stocks: 17, window: 3, seed: 1 });
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8] };
const recipe: TrainOptions = { epochs: 3, threads: 1, checkpointSteps: 7 };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "astgnn-abort-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("a training that is stopped", () => {
  it("ends before its time, and its last checkpoint resumes to the uninterrupted weights", async () => {
    const out = join(folder, "signal");
    using straight = new ASTGNNFactorModel(small);
    await train(straight, dataset, recipe);

    const controller = new AbortController();
    let last = 0;
    using model = new ASTGNNFactorModel(small);
    const stopped = train(model, dataset, { ...recipe, out, signal: controller.signal, onStep: ({ step }) => {
      last = step;
      if (step === 50) controller.abort(new Error("enough"));
    } });
    await expect(stopped).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED", cause: new Error("enough") });
    // The compute thread runs ahead of this one by as many steps as the reports need on their way, on a busy machine to the end of the epoch.
    expect(last).toBeGreaterThanOrEqual(50);
    expect(last).toBeLessThanOrEqual(66);
    const { metadata } = readSafetensors(readFileSync(join(out, "last.safetensors")));
    // 33 training dates, checkpoints every seven: step 50 is the 17th of the second epoch, the checkpoint before it is at 14.
    expect([33 + 14, 33 + 21, 33 + 28, 66]).toContain((JSON.parse(metadata["state"]!) as { steps: number }).steps);

    using again = new ASTGNNFactorModel(small);
    await train(again, dataset, { ...recipe, out, resume: true });
    expect(weightsOf(again)).toEqual(weightsOf(straight));
  });

  it("does not start with a signal that is already aborted", async () => {
    using model = new ASTGNNFactorModel(small);
    const before = weightsOf(model);
    await expect(train(model, dataset, { ...recipe, signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
    await expect(model.predict(dataset, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
    expect(weightsOf(model)).toEqual(before);
  });

  it.each(["onStart", "onStep", "onEpoch", "onWarning"] as const)("rejects with what %s throws, and the process lives on", async (name) => {
    using model = new ASTGNNFactorModel({ ...small, similarityScale: 1e-3 });
    let calls = 0;
    const thrown = new Error(`from ${name}`);
    await expect(train(model, dataset, { ...recipe, [name]: () => {
      calls++;
      throw thrown;
    } })).rejects.toBe(thrown);
    expect(calls).toBe(1);
    await model.predict(dataset.valid, { threads: 1 });
  });

  it("rejects with what an async callback rejects with", async () => {
    using model = new ASTGNNFactorModel(small);
    const thrown = new Error("later");
    await expect(train(model, dataset, { ...recipe, onStep: async () => Promise.reject(thrown) })).rejects.toBe(thrown);
    await expect(train(model, dataset, { ...recipe, onEpoch: async () => Promise.reject(thrown) })).rejects.toBe(thrown);
  });
});

describe("a loss that is not finite", () => {
  it("stops the run with step, date and term, and keeps the last good checkpoint", async () => {
    const t = dataset.train.dateIndices[20]!;
    const features = dataset.features.slice();
    const stock = dataset.rowStocks[dataset.rowOffsets[t]!]!;
    features[(t * dataset.tickers.length + stock) * 3 + 1] = NaN;
    const broken: Dataset = { ...dataset, features };
    const out = join(folder, "nan");
    using model = new ASTGNNFactorModel(small);
    const dates = [t, t + 1, t + 2].map((index) => dataset.dates[index]!);
    const error = await train(model, broken, { ...recipe, out }).then(() => undefined, (reason: unknown) => reason as Error & { code: string; date: string });
    expect(error).toMatchObject({ code: "ERR_NOT_FINITE" });
    // The window of three dates carries the NaN to the two dates after it; whichever the shuffled order brings first is named.
    expect(dates).toContain(error!.date);
    expect(error!.message).toMatch(new RegExp(`at step \\d+: term ic on ${error!.date}`));
    expect(existsSync(join(out, "last.safetensors"))).toBe(true);
    for (const { data } of Object.values(weightsOf(model))) if (data instanceof Float32Array) expect(data.every(Number.isFinite)).toBe(true);
  });
});

describe("what does not fit", () => {
  it("is refused before anything runs", async () => {
    using model = new ASTGNNFactorModel(small);
    await expect(train(model, { ...dataset, featureNames: ["x0"] }, recipe)).rejects.toThrow(/takes 3 features.*the dataset has 1/);
    using grouped = new ASTGNNFactorModel({ ...small, similarityGraph: "groups", excludeSelf: true });
    await expect(train(grouped, dataset, recipe)).rejects.toThrow(/has no groups/);
    const empty = { ...dataset.train, dateIndices: new Int32Array(0), dates: [] };
    await expect(train(model, { ...dataset, train: empty }, recipe)).rejects.toThrow(/no training dates/);
    await expect(train(model, { ...dataset, valid: { ...empty, name: "valid" } }, { ...recipe, patience: 2 })).rejects.toThrow(/no validation dates for patience/);
    await expect(train(model, undefined as never, recipe)).rejects.toThrow(/a dataset for dataset/);
    await expect(train({} as never, dataset, recipe)).rejects.toThrow(/an ASTGNNFactorModel for model/);
  });

  it("prediction names missing features, another window and dates that are not there", async () => {
    using model = new ASTGNNFactorModel(small);
    await train(model, dataset, { ...recipe, epochs: 1 });
    await expect(model.predict({ ...dataset, featureNames: ["x0", "x9", "x2"] })).rejects.toThrow(/lacks 1 of the 3 features the model was trained on: x1/);
    await expect(model.predict({ ...dataset, featureNames: ["x0", "x2", "x1"] })).rejects.toThrow(/in this order/);
    await expect(model.predict({ ...dataset, window: 4 })).rejects.toThrow(/windows of 3 dates but the dataset has 4/);
    await expect(model.predict({ dataset, dates: ["1999-01-01"] })).rejects.toMatchObject({ code: "ERR_DATA", date: "1999-01-01" });
    await expect(model.predict({ dataset, dates: Int32Array.of(60) })).rejects.toThrow(/indices from 0 to 59/);
    await expect(model.predict("test" as never)).rejects.toThrow(/a split, a dataset/);
    await expect(model.neighbours(dataset, dataset.dates[10]!, "S0O1")).rejects.toThrow(/Did you mean S001/);
  });

  it("use after dispose is a clear error", async () => {
    const model = new ASTGNNFactorModel(small);
    model.dispose();
    model.dispose();
    expect(model.disposed).toBe(true);
    expect(() => model.stateDict()).toThrow(/This ASTGNNFactorModel was disposed/);
    await expect(model.predict(dataset)).rejects.toMatchObject({ code: "ERR_DISPOSED" });
    await expect(train(model, dataset, recipe)).rejects.toMatchObject({ code: "ERR_DISPOSED" });
    await expect(model.save(join(folder, "gone.safetensors"))).rejects.toMatchObject({ code: "ERR_DISPOSED" });
  });
});
