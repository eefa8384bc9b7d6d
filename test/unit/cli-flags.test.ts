import { describe, expect, it } from "vitest";
import { z } from "zod";
import { panelFlags, datasetFlags } from "../../lib/cli/data-flags.js";
import { datasetOptionsFrom, panelOptionsFrom, sourceFrom } from "../../lib/cli/data-source.js";
import { namingFlags, optionsFrom } from "../../lib/cli/flags.js";
import { modelFlags } from "../../lib/cli/model-flags.js";
import { flagsOf } from "../../lib/cli/schema-flags.js";
import { trainFlags } from "../../lib/cli/train-flags.js";
import { DatasetOptionsSchema } from "../../lib/data/dataset-options.js";
import { AstgnnError, invalidOption } from "../../lib/errors.js";
import { configNames, resolveModelOptions } from "../../lib/model/config.js";
import { recipeOf, resolveTrainOptions } from "../../lib/train/options.js";

const rootsOf = (flags: typeof modelFlags): Set<string> => new Set(flags.flags.map(({ option }) => option.split(".")[0]!));

describe("flags", () => {
  it("cover every option of the model but the number of features, which the data decide", () => {
    const flags = rootsOf(modelFlags);
    expect(configNames.filter((name) => !flags.has(name))).toEqual(["sequentialInputSize"]);
  });

  it("cover every option that decides a training", () => {
    const flags = rootsOf(trainFlags);
    const recipe = Object.keys(recipeOf(resolveTrainOptions({})));
    expect(recipe.filter((name) => !flags.has(name))).toEqual([]);
  });

  it("cover every option of a dataset but how it is computed", () => {
    const flags = new Set([...rootsOf(datasetFlags), ...rootsOf(panelFlags)]);
    expect(Object.keys(DatasetOptionsSchema.shape).filter((name) => !flags.has(name))).toEqual(["threads", "signal", "onProgress"]);
  });

  it("are each spelled like their option, so that one can be guessed from the other", () => {
    const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    for (const { flags, option } of [...modelFlags.flags, ...trainFlags.flags]) expect(flags.split(" ")[0]).toBe(`--${kebab(option)}`);
  });

  it("say in their help what the schema of their option takes and what it is by default", () => {
    const group = flagsOf("Group", {
      someWidth: z.int().min(2).default(4).describe("a whole number from 2").meta({ help: "width of it", value: "width" }),
      kind: z.enum(["a", "b"]).optional().describe('"a" or "b"').meta({ help: "kind of it", byDefault: "as the data" }),
      sizes: z.array(z.int()).default([2, 3]).describe("a list of whole numbers").meta({ help: "sizes", value: "sizes" }),
      isOn: z.boolean().default(false).describe("true or false").meta({ help: "turns it on" }),
      folder: z.string().optional().describe("the path of a folder").meta({ help: "where it goes", value: "folder" }),
      inner: z.string().default("x").describe("a text"),
    });
    expect(group).toEqual({
      title: "Group",
      flags: [
        { flags: "--some-width <width>", option: "someWidth", kind: "scalar", help: "width of it: a whole number from 2 (default: 4)" },
        { flags: "--kind <value>", option: "kind", kind: "text", help: "kind of it: a or b (default: as the data)" },
        { flags: "--sizes <sizes>", option: "sizes", kind: "scalars", help: "sizes: whole numbers, comma-separated (default: 2,3)" },
        { flags: "--is-on", option: "isOn", kind: "switch", help: "turns it on" },
        { flags: "--folder <folder>", option: "folder", kind: "text", help: "where it goes" },
      ],
    });
  });

  it("turn name=column into an object, and refuse what is no such pair", () => {
    expect(panelOptionsFrom({ rename: ["close=Adj Close", "volume=Vol=1"] })).toEqual({ rename: { close: "Adj Close", volume: "Vol=1" } });
    for (const text of ["close", "=Close", "close="]) expect(() => panelOptionsFrom({ rename: [text] })).toThrow(`Expected name=column for --rename but received "${text}". Write e.g. --rename close="Adj Close".`);
  });

  it("turn numbers, lists, switches and JSON into options, and leave out what was not written", () => {
    expect(optionsFrom(modelFlags, { gruHiddenSize: "16", similarityScale: "learned", tgcModes: "add, subtract", excludeSelf: true, predictionHiddenSizes: "" })).toEqual({
      gruHiddenSize: 16,
      similarityScale: "learned",
      tgcModes: ["add", "subtract"],
      excludeSelf: true,
      predictionHiddenSizes: [],
    });
    expect(optionsFrom(trainFlags, { learningRate: "5e-3", seeds: "0,1,2", loss: '{"terms":[{"name":"ic"}]}' })).toEqual({
      learningRate: 0.005,
      seeds: [0, 1, 2],
      loss: { terms: [{ name: "ic" }] },
    });
  });

  it("leave text that is no number for the library to refuse", () => {
    expect(optionsFrom(datasetFlags, { window: "ten" })).toEqual({ window: "ten" });
    expect(() => resolveModelOptions(optionsFrom(modelFlags, { gruHiddenSize: "" }))).toThrow('Expected a whole number from 1 for gruHiddenSize but received "" of type string');
  });

  it("build nested options for labels and splits", () => {
    const written = { features: "ohlcv", labelHorizon: "1,5", labelLag: "0", trainEnd: "2015-12-31", validEnd: "2016-12-30", start: "2013-01-02", labelTransform: "zscore" };
    expect(datasetOptionsFrom(written)).toEqual({
      features: "ohlcv",
      label: { horizonDays: [1, 5], lagDays: 0 },
      split: { trainEnd: "2015-12-31", validEnd: "2016-12-30", start: "2013-01-02" },
      labelTransform: { transform: "zscore" },
    });
    expect(datasetOptionsFrom({ features: "value,size", fractions: "0.6,0.2,0.2" })).toEqual({ features: ["value", "size"], split: { fractions: [0.6, 0.2, 0.2] } });
  });

  it("take --group-column for the groups file where there is one, else for the data", () => {
    expect(panelOptionsFrom({ groups: "g.csv", groupColumn: "industry" })).toEqual({ groups: { file: "g.csv", column: "industry" } });
    expect(panelOptionsFrom({ groupColumn: "industry" })).toEqual({ groupColumn: "industry" });
  });

  it("name one source of data", () => {
    expect(sourceFrom({ data: ["a.parquet"] })).toBe("a.parquet");
    expect(sourceFrom({ data: ["a.csv", "b.csv"] })).toEqual(["a.csv", "b.csv"]);
    expect(sourceFrom({ sql: "select 1" })).toEqual({ sql: "select 1" });
  });
});

describe("namingFlags", () => {
  it("puts the flag in place of the option's name", () => {
    const renamed = namingFlags(invalidOption("label.lagDays", "a whole number of panel dates from 0", -1), [datasetFlags]) as AstgnnError;
    expect(renamed.message).toBe("Expected a whole number of panel dates from 0 for --label-lag but received -1 of type number.");
    expect(renamed.code).toBe("ERR_OPTION");
  });

  it("passes every other error unchanged", () => {
    const errors = [new Error("x"), new AstgnnError("ERR_DATA", "No data."), invalidOption("unknown", "a", 1)];
    for (const error of errors) expect(namingFlags(error, [datasetFlags, modelFlags])).toBe(error);
  });
});
