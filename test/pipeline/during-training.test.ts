import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, evaluate, Tensor, train, type Dataset, type EpochEvent, type ModelOptions, type Prediction, type TrainOptions } from "../../lib/index.js";
import { smallDataset } from "../unit/small-dataset.js";
import { weightsOf } from "./weights-of.js";

const dataset = smallDataset({ dates: 60, stocks: 31, window: 3, missing: 0.1, seed: 1 });
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], relationalSkip: true };
// Raw and averaged weights differ by far at this rate and decay.
const recipe: TrainOptions = { epochs: 3, learningRate: 1e-2, warmupSteps: 5, ema: 0.95, threads: 1 };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "astgnn-during-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function validIc(model: ASTGNNFactorModel, data: Dataset = dataset): Promise<number> {
  const { predictions } = await model.predict(data.valid, { threads: 1 });
  return evaluate(predictions, data.valid.labels).ic;
}

describe("a model while it is trained", () => {
  it("predicts and is saved in onEpoch with the weights that the event reports on", async () => {
    using model = new ASTGNNFactorModel(small);
    const seen: [event: number, predicted: number, saved: number][] = [];
    await train(model, dataset, {
      ...recipe,
      onEpoch: async ({ epoch, valid }: EpochEvent) => {
        const path = join(folder, `epoch-${epoch}.safetensors`);
        await model.save(path);
        using saved = await ASTGNNFactorModel.load(path);
        expect(saved.dataset).toEqual(dataset.describe());
        expect(weightsOf(saved)).toEqual(weightsOf(model));
        seen.push([valid.ic, await validIc(model), await validIc(saved)]);
      },
    });
    expect(seen).toHaveLength(3);
    for (const [event, predicted, saved] of seen) {
      expect(predicted).toBeCloseTo(event, 12);
      expect(saved).toBeCloseTo(event, 12);
    }
  });

  it("keeps the weights it came with until its first epoch ends, and can be read at any time", async () => {
    using model = new ASTGNNFactorModel(small);
    const [before, seed] = [weightsOf(model), model.seed];
    const checks: boolean[] = [];
    await train(model, dataset, {
      ...recipe,
      epochs: 1,
      onStep: ({ step }) => {
        if (step % 10 === 0) expect(weightsOf(model)).toEqual(before);
        checks.push(model.seed === seed && model.dataset === undefined);
      },
    });
    expect(checks).toHaveLength(dataset.train.dateIndices.length);
    expect(checks.every(Boolean)).toBe(true);
    expect(weightsOf(model)).not.toEqual(before);
    expect(model.dataset).toEqual(dataset.describe());
  });

  it("holds what the last event reported after an abort", async () => {
    const controller = new AbortController();
    using model = new ASTGNNFactorModel(small);
    const before = weightsOf(model);
    let reported = NaN;
    const perEpoch = dataset.train.dateIndices.length;
    const run = train(model, dataset, {
      ...recipe,
      signal: controller.signal,
      onEpoch: ({ valid }) => void (reported = valid.ic),
      onStep: ({ step }) => {
        if (step === perEpoch + 10) controller.abort();
      },
    });
    await expect(run).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
    expect(await validIc(model)).toBeCloseTo(reported, 12);
    expect(model.dataset).toEqual(dataset.describe());
    expect(weightsOf(model)).not.toEqual(before);
  });

  it("is as it was after an abort before the end of the first epoch", async () => {
    const controller = new AbortController();
    using model = new ASTGNNFactorModel(small);
    const before = weightsOf(model);
    await expect(train(model, dataset, { ...recipe, signal: controller.signal, onStep: ({ step }) => step === 10 && controller.abort() })).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
    expect(weightsOf(model)).toEqual(before);
    expect([model.seed, model.dataset]).toEqual([0, undefined]);
  });

  it("never mixes the weights of two epochs in one prediction, and does not hold up the training", async () => {
    using model = new ASTGNNFactorModel(small);
    const running: Promise<Prediction>[] = [];
    const expected: Prediction[] = [];
    const every = { dataset, dates: Int32Array.from({ length: 600 }, (_, i) => 2 + (i % 57)) };
    await train(model, dataset, {
      ...recipe,
      onEpoch: async ({ epoch }) => {
        expected.push(await model.predict(every, { riskFactors: true, threads: 1 }));
        // Not awaited: it goes on through the next epoch, or beyond the end of the training.
        if (epoch > 1) running.push(model.predict(every, { riskFactors: true, threads: 1 }));
      },
    });
    expect(await Promise.all(running)).toEqual(expected.slice(1));
  });

  it("runs forward and neighbours with these weights, in evaluation mode unless train() says otherwise", async () => {
    using model = new ASTGNNFactorModel({ ...small, dropout: 0.5 });
    const sequences = Tensor.from(Float32Array.from({ length: 3 * 9 * 3 }, (_, i) => Math.sin(i)), [3, 9, 3]);
    const date = dataset.dates[20]!;
    const ticker = dataset.tickers[dataset.rowStocks[dataset.rowOffsets[20]!]!]!;
    const look = async (of: ASTGNNFactorModel): Promise<unknown[]> => {
      const out = await of.forward(sequences, [0, 9]);
      return [out.predictions.toTypedArray(), await of.neighbours(dataset, date, ticker)];
    };
    const during: Promise<unknown[]>[] = [];
    let atEpoch: unknown[] = [];
    await train(model, dataset, {
      ...recipe,
      epochs: 2,
      onStep: ({ epoch, stepInEpoch }) => {
        if (epoch === 2 && stepInEpoch % 8 === 0) during.push(look(model));
      },
      onEpoch: async ({ epoch }) => {
        if (epoch === 1) atEpoch = await look(model);
      },
    });
    expect(during.length).toBeGreaterThan(2);
    for (const seen of await Promise.all(during)) expect(seen).toEqual(atEpoch);
    sequences.dispose();
  });

  it("refuses other weights, another device and a second training until the first ends", async () => {
    using model = new ASTGNNFactorModel(small);
    const state = model.stateDict();
    const refused: unknown[] = [];
    await train(model, dataset, {
      ...recipe,
      epochs: 1,
      onEpoch: async () => {
        for (const call of [() => model.loadStateDict(state), () => model.to("cpu"), async () => train(model, dataset, recipe)]) {
          refused.push(await Promise.resolve().then(call).then(() => "done", (error: unknown) => (error as { code: string }).code));
        }
      },
    });
    expect(refused).toEqual(["ERR_BUSY", "ERR_BUSY", "ERR_BUSY"]);
    model.loadStateDict(state);
    await train(model, dataset, { ...recipe, epochs: 1 });
    for (const tensor of Object.values(state)) tensor.dispose();
  });

  it("may be disposed: the training then ends with that error and nothing else", async () => {
    const model = new ASTGNNFactorModel(small);
    await expect(train(model, dataset, { ...recipe, onStep: ({ step }) => void (step === 5 && model.dispose()) })).rejects.toMatchObject({ code: "ERR_DISPOSED" });
  });
});
