import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, openPanel, train, writeSimulatedMarket, simulateMarket, type Dataset, type DatasetOptions, type ModelOptions, type Panel, type TrainOptions } from "../../lib/index.js";

const small: ModelOptions = { gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8] };
const recipe: TrainOptions = { epochs: 1, threads: 1, onWarning: () => {} };
const options = {
  features: ["day_return", "news"],
  window: 3,
  label: { horizonDays: 1, lagDays: 0 },
  split: { fractions: [0.6, 0.2, 0.2] },
  processors: ["standardize"],
  maxDropped: 1,
} as const satisfies DatasetOptions;

let folder: string;
let panel: Panel;
let own: Dataset;
let model: ASTGNNFactorModel;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "astgnn-compatibility-"));
  const file = join(folder, "market.csv");
  await writeSimulatedMarket(simulateMarket({ seed: 0, dates: 60, stocks: 20 }), file);
  panel = await openPanel(file);
  own = await panel.dataset(options);
  model = new ASTGNNFactorModel({ ...small, sequentialInputSize: 2 });
  await train(model, own, recipe);
});
afterAll(() => {
  model.dispose();
  rmSync(folder, { recursive: true });
});

const others: [string, Partial<DatasetOptions>, RegExp][] = [
  ["statistics of other training dates", { split: { fractions: [0.3, 0.3, 0.4] } }, /processors\[0\]\.statistics\.day_return\.mean is -?\d\S*, the model's -?\d\S*; processors\[0\]\.statistics\.day_return\.sd is/],
  ["another processor", { processors: ["zscore"] }, /processors\[0\]\.name is "zscore", the model's "standardize"/],
  ["no processor", { processors: [] }, /processors\[0\] is none, the model's \{"name":"standardize"/],
  ["another horizon and transform", { label: { horizonDays: 5, lagDays: 0 }, labelTransform: "zscore" }, /label\.horizonDays is 5, the model's 1; labelTransform\.transform is "zscore", the model's "rank"/],
  ["another graph", { graph: "none" }, /graph is "none", the model's "complete"/],
  ["another window", { window: 4 }, /windows of 3 dates but the dataset has 4/],
  ["features in another order", { features: ["news", "day_return"] }, /features are news, day_return but the model was trained on day_return, news, in this order/],
];

describe("a model on data prepared otherwise", () => {
  it.each(others)("refuses %s, in prediction and in training, and says what differs", async (_, change, message) => {
    const other = await panel.dataset({ ...options, ...change } as DatasetOptions);
    const inPrediction = await refusal(model.predict(other, { threads: 1 }));
    expect(inPrediction).toMatchObject({ code: "ERR_DATA", message: expect.stringMatching(message) });
    expect(inPrediction.message).toContain("panel.dataset({ description: model.dataset })");
    const date = other.dates[30]!;
    const ticker = other.tickers[other.rowStocks[other.rowOffsets[30]!]!]!;
    expect((await refusal(model.neighbours(other, date, ticker))).message).toMatch(message);
    const inTraining = await refusal(train(model, other, recipe));
    expect(inTraining).toMatchObject({ code: "ERR_DATA", message: expect.stringMatching(message) });
    expect(inTraining.message).toContain("fineTune: true");
  });

  it("takes a dataset that was built from its description, with other dates and another split", async () => {
    const again = await panel.dataset({ description: model.dataset!, split: { fractions: [0.3, 0.3, 0.4] } });
    expect(again.train.dates).not.toEqual(own.train.dates);
    await model.predict(again.test, { threads: 1 });
    using copy = new ASTGNNFactorModel({ ...small, sequentialInputSize: 2 });
    await train(copy, own, recipe);
    await train(copy, again, recipe);
  });

  it("trains on it on purpose with fineTune, and describes the new data from then on", async () => {
    const other = await panel.dataset({ ...options, label: { horizonDays: 5, lagDays: 0 }, processors: ["zscore"], graph: "none" });
    using tuned = new ASTGNNFactorModel({ ...small, sequentialInputSize: 2 });
    await train(tuned, own, recipe);
    await train(tuned, other, { ...recipe, fineTune: true });
    expect(tuned.dataset).toEqual(other.describe());
    await tuned.predict(other.test, { threads: 1 });
    await expect(tuned.predict(own.test)).rejects.toMatchObject({ code: "ERR_DATA" });
    // The width of the input is the architecture's: nothing makes that fit.
    const wider = await panel.dataset({ ...options, features: ["day_return", "news", "close"] });
    await expect(train(tuned, wider, { ...recipe, fineTune: true })).rejects.toThrow(/takes 2 features/);
  });

  it("gives only its config to an ensemble, whose members are new", async () => {
    const other = await panel.dataset({ ...options, label: { horizonDays: 5, lagDays: 0 } });
    const { ensemble } = await train(model, other, { ...recipe, seeds: [1, 2] });
    ensemble!.dispose();
  });
});

async function refusal(promise: Promise<unknown>): Promise<Error> {
  return promise.then(() => Promise.reject(new Error("was not refused")), (error: Error) => error);
}
