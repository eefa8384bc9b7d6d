import { mkdtempSync, readFileSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DuckDBInstance } from "@duckdb/node-api";
import type { EpochEvent } from "../../lib/run/records.js";
import { PredictionFiles } from "../../lib/run/prediction-files.js";
import { resolveModelOptions } from "../../lib/model/config.js";
import { lockRunFolder } from "../../lib/run/files.js";
import { refuseOtherRun, RunFolder } from "../../lib/run/folder.js";
import { addStep, emptySums, trainMetrics } from "../../lib/train/running-sums.js";
import { readTrainingState, writeTrainingState, type RunIdentity, type TrainingState } from "../../lib/run/state.js";
import { initialPlateau } from "../../lib/train/schedule.js";
import { smallDataset } from "./small-dataset.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "astgnn-run-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const identity: RunIdentity = { config: resolveModelOptions({ numRiskFactors: 4 }).config, dtype: "float32", recipe: { epochs: 2, schedule: "constant", learningRate: 1e-3 }, dataset: { window: 4 }, split: { trainEnd: "2020-01-31" }, fingerprint: "aa" };
const fresh = { resume: false, overwrite: false };

describe("run folder", () => {
  it("is made where it is not there, and refused where there is a run", async () => {
    const path = join(folder, "a", "b");
    expect((await lockRunFolder(path, () => RunFolder.open(path, fresh, "run"))).continues).toBe(false);
    writeFileSync(join(path, "run.json"), "{}");
    await expect(RunFolder.open(path, fresh, "run")).rejects.toMatchObject({ code: "ERR_RUN_EXISTS" });
  });

  it("starts anew on resume where nothing but run.json was written, and refuses where a model lacks its state", async () => {
    writeFileSync(join(folder, "run.json"), "{");
    expect((await RunFolder.open(folder, { resume: true, overwrite: false }, "run")).continues).toBe(false);
    writeFileSync(join(folder, "model.safetensors"), "");
    await expect(RunFolder.open(folder, { resume: true, overwrite: false }, "run")).rejects.toThrow(/no last.safetensors/);
  });

  it("does not continue an ensemble as a single run", async () => {
    mkdirSync(join(folder, "seed-0"));
    await expect(RunFolder.open(folder, { resume: true, overwrite: false }, "run")).rejects.toThrow(/holds an ensemble/);
  });

  it("cuts metrics.jsonl back to the checkpoint, torn lines included", async () => {
    const { folder: run } = await RunFolder.open(folder, fresh, "run");
    const event = (epoch: number): EpochEvent => ({ epoch, seconds: epoch * 10, learningRate: 1, isBest: true, seed: 0, train: {} as never, valid: { ic: NaN } as never });
    for (const epoch of [1, 2, 3]) await run.appendEpoch(event(epoch));
    writeFileSync(join(folder, "metrics.jsonl"), `${readFileSync(join(folder, "metrics.jsonl"), "utf8")}{"epoch":4,"sec`);
    const history = [1, 2].map((epoch) => {
      const { seconds, ...record } = event(epoch);
      return record;
    });
    const events = await run.cutEpochs(history);
    expect(events.map(({ seconds }) => seconds)).toEqual([10, 20]);
    expect(readFileSync(join(folder, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => (JSON.parse(line) as EpochEvent).epoch)).toEqual([1, 2]);
  });
});

describe("resume", () => {
  const differing: [Partial<RunIdentity>, RegExp][] = [
    [{ config: resolveModelOptions({ numRiskFactors: 8 }).config }, /config.numRiskFactors 4, now it is 8/],
    [{ dataset: { window: 5 } }, /dataset.window 4, now it is 5/],
    [{ split: { trainEnd: "2020-02-01" } }, /split.trainEnd/],
    [{ fingerprint: "bb" }, /fingerprint "aa"/],
    [{ dtype: "float64" }, /dtype/],
    [{ recipe: { ...identity.recipe, learningRate: 1e-2 } }, /training.learningRate 0.001, now it is 0.01/],
    [{ recipe: { ...identity.recipe, epochs: 1 } }, /training.epochs 2, now it is 1.*not shrink/],
  ];
  it.each(differing)("with %j is refused by the name of the field", (change, message) => {
    expect(() => refuseOtherRun(identity, { ...identity, ...change }, "runs/a")).toThrow(message);
  });

  it("may have more epochs with a constant rate only", () => {
    expect(() => refuseOtherRun(identity, { ...identity, recipe: { ...identity.recipe, epochs: 5 } }, "runs/a")).not.toThrow();
    const cosine = { ...identity, recipe: { ...identity.recipe, schedule: "cosine" } };
    expect(() => refuseOtherRun(cosine, { ...cosine, recipe: { ...cosine.recipe, epochs: 5 } }, "runs/a")).toThrow(/only with schedule: "constant"/);
  });
});

describe("training state", () => {
  const state = (): TrainingState => ({
    identity, threads: 2, steps: 7, updates: 6,
    position: { epoch: 2, stepInEpoch: 3, sums: emptySums(2), plateau: initialPlateau(), stoppedEarly: false, warnings: [], history: [{ epoch: 1, learningRate: 1e-3, isBest: true, seed: 0, train: { loss: 0.1 } as never, valid: { ic: NaN, icir: 0.5 } as never }] },
    session: { "raw.weight": { dtype: "F32", shape: [2], data: new Float32Array([1, 2]) }, "exp_avg.weight": { dtype: "F32", shape: [2], data: new Float32Array([3, 4]) } },
    best: { weight: { dtype: "F32", shape: [2], data: new Float32Array([5, 6]) } },
  });

  it("comes back as it was written, sums and NaN included, and the same state gives the same bytes", async () => {
    const before = state();
    addStep(before.position.sums, { step: 1, updated: true, loss: 0.1 + 0.2, terms: [1 / 3, NaN], undefinedDates: [0, 1], gradientNorm: Math.PI, rows: 5, milliseconds: 1 });
    await writeTrainingState(join(folder, "last.safetensors"), before);
    const first = readFileSync(join(folder, "last.safetensors"));
    expect(await readTrainingState(join(folder, "last.safetensors"))).toEqual(before);
    await writeTrainingState(join(folder, "last.safetensors"), before);
    expect(readFileSync(join(folder, "last.safetensors")).equals(first)).toBe(true);
  });

  it("refuses a file of another version by the version that wrote it", async () => {
    await writeTrainingState(join(folder, "last.safetensors"), state());
    const bytes = readFileSync(join(folder, "last.safetensors")).toString("latin1").replace('"format_version":"1"', '"format_version":"7"');
    writeFileSync(join(folder, "last.safetensors"), bytes, "latin1");
    await expect(readTrainingState(join(folder, "last.safetensors"))).rejects.toThrow(/format_version "7", written by astgnn \d+\.\d+\.\d+/);
  });
});

describe("running sums", () => {
  it("leave out steps and terms that were not defined", () => {
    const sums = emptySums(2);
    addStep(sums, { step: 1, updated: true, loss: 2, terms: [2, NaN], undefinedDates: [0, 1], gradientNorm: 4, rows: 10, milliseconds: 1 });
    addStep(sums, { step: 2, updated: false, loss: NaN, terms: [NaN, NaN], undefinedDates: [1, 1], gradientNorm: 0, rows: 1, milliseconds: 1 });
    addStep(sums, { step: 3, updated: true, loss: 4, terms: [1, 3], undefinedDates: [0, 0], gradientNorm: 2, rows: 10, milliseconds: 1 });
    expect(trainMetrics(sums, ["ic", "vif"])).toEqual({ loss: 3, terms: { ic: 1.5, vif: 3 }, undefinedDates: { ic: 1, vif: 2 }, steps: 3, emptySteps: 1, rows: 21, gradientNorm: 3 });
  });
});

describe("prediction files", () => {
  it("hold every row in order, with null where a label is missing", async () => {
    const dataset = smallDataset({ dates: 30, stocks: 151, window: 2, horizons: 2, missing: 0.2 });
    const dates = Int32Array.from({ length: 30 }, (_, t) => t);
    const rows = dataset.rowStocks.length;
    const files = await PredictionFiles.create({ dataset, predictions: join(folder, "predictions.parquet"), factors: join(folder, "it's factors.parquet"), numPredictions: 1, numRiskFactors: 3, dtype: "float32" });
    const predictions = Float32Array.from({ length: rows }, (_, i) => i / 7);
    const riskFactors = Float32Array.from({ length: rows * 3 }, (_, i) => i / 11);
    await files.append({ dataset, dates: dates.subarray(0, 17) }, { predictions: predictions.subarray(0, dataset.rowOffsets[17]), riskFactors: riskFactors.subarray(0, 3 * dataset.rowOffsets[17]!), statistics: new Float64Array(0), terms: new Float64Array(0) }, "test");
    await files.append({ dataset, dates: dates.subarray(17) }, { predictions: predictions.subarray(dataset.rowOffsets[17]), riskFactors: riskFactors.subarray(3 * dataset.rowOffsets[17]!), statistics: new Float64Array(0), terms: new Float64Array(0) }, "unlabelled");
    await files.finish();

    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    const read = async (name: string): Promise<unknown[][]> => (await connection.runAndReadAll(`SELECT * REPLACE (date::VARCHAR AS date) FROM '${join(folder, name).replaceAll("'", "''")}'`)).getRowsJS() as unknown[][];
    const scores = await read("predictions.parquet");
    expect(scores).toHaveLength(rows);
    expect(rows).toBeGreaterThan(2048);
    const factors = await read("it's factors.parquet");
    for (const row of [0, 2047, 2048, rows - 1]) {
      const t = dataset.rowOffsets.findLastIndex((offset) => offset <= row);
      const stock = dataset.rowStocks[row]!;
      const label = (l: number): number | null => (Number.isNaN(dataset.labels[(t * 151 + stock) * 2 + l]!) ? null : dataset.labels[(t * 151 + stock) * 2 + l]!);
      expect(scores[row], `row ${row}`).toEqual([dataset.dates[t], dataset.tickers[stock], t < 17 ? "test" : "unlabelled", predictions[row], label(0), label(1)]);
      expect(factors[row]).toEqual([dataset.dates[t], dataset.tickers[stock], ...riskFactors.subarray(3 * row, 3 * row + 3)]);
    }
    connection.closeSync();
    instance.closeSync();
  });
});
