import { describe, expect, it } from "vitest";
import { resolveDataset } from "../../lib/data/resolve-dataset.js";
import type { DatasetOptions } from "../../lib/data/dataset-options.js";
import { AstgnnError } from "../../lib/errors.js";
import { resolveModelOptions, type ModelOptions } from "../../lib/model/config.js";
import { presets, type Preset, type PresetName } from "../../lib/presets.js";
import { recipeOf, resolveTrainOptions, type TrainOptions } from "../../lib/train/options.js";

const split = { trainEnd: "2015-12-31", validEnd: "2016-12-30" };
const PRICES = ["open", "high", "low", "close", "volume"];
/** What a dataset is cut by. */
const cutOf = (options: Record<string, unknown>): unknown => resolveDataset({ split, ...options } as DatasetOptions, PRICES).cut;
const modelOf = (options: Record<string, unknown>): unknown => resolveModelOptions(options as ModelOptions);
const recipe = (options: Record<string, unknown>): unknown => recipeOf(resolveTrainOptions(options as TrainOptions));

describe.each(Object.entries(presets) as [PresetName, Preset][])("preset %s", (preset, { dataset, model, training }) => {
  it("means the options that are written in its table", () => {
    expect(cutOf({ preset })).toEqual(cutOf(dataset));
    expect(modelOf({ preset })).toEqual(modelOf(model));
    expect(recipe({ preset })).toEqual(recipe(training));
  });
});

describe("preset", () => {
  const preset = "peers";
  const { dataset, model, training } = presets.peers;

  it("changes something in each of the three calls", () => {
    expect(cutOf({ preset })).not.toEqual(cutOf({}));
    expect(modelOf({ preset })).not.toEqual(modelOf({}));
    expect(recipe({ preset })).not.toEqual(recipe({}));
  });

  it("yields to what is written, and keeps the rest", () => {
    expect(modelOf({ preset, numRiskFactors: 8, dropout: 0 })).toEqual(modelOf({ ...model, numRiskFactors: 8, dropout: 0 }));
    expect(recipe({ preset, epochs: 7 })).toEqual(recipe({ ...training, epochs: 7 }));
    expect(cutOf({ preset, window: 5 })).toEqual(cutOf({ ...dataset, window: 5 }));
  });

  it("yields to a loss as a whole, and to the options of loadings and of the label's transform one by one", () => {
    expect(recipe({ preset, loss: "mse" })).toEqual(recipe({ ...training, loss: "mse" }));
    expect(recipe({ preset, loss: { terms: [{ name: "ic" }] } })).toEqual(recipe({ ...training, loss: { terms: [{ name: "ic" }] } }));
    expect(cutOf({ preset, loadings: { count: 3 } })).toEqual(cutOf({ ...dataset, loadings: { ...dataset.loadings, count: 3 } }));
    expect(cutOf({ preset, labelTransform: { winsorize: 5 } })).toEqual(cutOf({ ...dataset, labelTransform: { ...dataset.labelTransform, winsorize: 5 } }));
  });

  it("does not yield to undefined, and is none itself where it is undefined", () => {
    expect(modelOf({ preset, numRiskFactors: undefined })).toEqual(modelOf(model));
    expect(modelOf({ preset: undefined, dropout: 0 })).toEqual(modelOf({ dropout: 0 }));
  });

  it("says nothing of loadings where the features that are written do without", () => {
    const { window } = dataset;
    const without = { features: "ohlcv", labelTransform: "rank" };
    expect(cutOf({ preset, ...without })).toEqual(cutOf({ window, ...without }));
    expect(() => cutOf({ preset, ...without, loadings: { count: 3 } })).toThrow(/neither features nor labelTransform.neutralise names it/);
    expect(cutOf({ preset, features: "ohlcv" })).toEqual(cutOf({ ...dataset, features: "ohlcv" }));
  });

  it.each([["dataset", cutOf], ["model", modelOf], ["training", recipe]])("of no such name is refused for the %s, and those that exist are named", (_, resolve) => {
    for (const name of ["peer", "toString", 3, null]) {
      const attempt = (): unknown => resolve({ preset: name });
      expect(attempt).toThrow(AstgnnError);
      expect(attempt).toThrow(/Expected "peers".* for preset but received/);
    }
  });

  it("leaves its table as it is", () => {
    const before = JSON.stringify(presets);
    cutOf({ preset, loadings: { count: 3 } });
    modelOf({ preset, dropout: 0 });
    expect(JSON.stringify(presets)).toBe(before);
  });
});
