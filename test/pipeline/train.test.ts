import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, evaluate, loadRun, readSafetensors, train, type EpochEvent, type ModelOptions, type PhaseEvent, type StepEvent, type TrainOptions } from "../../lib/index.js";
import { smallDataset } from "../unit/small-dataset.js";
import { weightsOf } from "./weights-of.js";

const dataset = smallDataset({ dates: 60, stocks: 31, window: 3, missing: 0.1, seed: 1 });
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], relationalSkip: true };
const recipe: TrainOptions = { epochs: 3, learningRate: 1e-2, warmupSteps: 5, threads: 1 };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "astgnn-train-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("training", () => {
  it("learns a planted signal, reports every step and epoch, and leaves the best epoch's averaged weights in the model", async () => {
    const out = join(folder, "run");
    const steps: StepEvent[] = [];
    const epochs: EpochEvent[] = [];
    const model = new ASTGNNFactorModel(small);
    const run = await train(model, dataset, { ...recipe, epochs: 6, ema: 0.9, out, onStep: (event) => steps.push(event), onEpoch: (event) => void epochs.push(event) });

    const perEpoch = dataset.train.dateIndices.length;
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 6 * perEpoch }, (_, i) => i + 1));
    expect(steps.map(({ learningRate }) => learningRate).slice(0, 7)).toEqual([1, 2, 3, 4, 5, 5, 5].map((s) => 1e-2 * (s / 5)));
    expect(epochs.map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(epochs.at(-1)!.train.loss).toBeLessThan(epochs[0]!.train.loss);
    // The label is half planted signal, half noise: a fitted model finds an IC near 0.45, chance stays within 0.06 (11 dates of 31 stocks).
    expect(Math.max(...epochs.map(({ valid }) => valid.ic))).toBeGreaterThan(0.25);
    expect(run.bestEpoch).toBe(epochs.reduce((best, event) => (event.valid.ic > best.valid.ic ? event : best)).epoch);
    expect(epochs[run.bestEpoch! - 1]).toMatchObject({ isBest: true, valid: { mse: expect.any(Number), effectiveNeighbours: expect.any(Number), selfWeight: expect.any(Number), emptyShare: 0 } });

    const stored = readSafetensors(readFileSync(join(out, "model.safetensors"))).tensors;
    expect(weightsOf(model)).toEqual(stored);
    const { predictions, riskFactors } = await model.predict(dataset.valid, { riskFactors: true, threads: 1 });
    expect(evaluate(predictions, dataset.valid.labels).ic).toBeCloseTo(epochs[run.bestEpoch! - 1]!.valid.ic, 12);
    expect(riskFactors.shape).toEqual([11, 31, 4].map((size, i) => (i === 0 ? dataset.valid.dateIndices.length : size)));
    model.dispose();
  });

  it("says when it validates, scores and writes, and stops with what that callback throws", async () => {
    const seen: unknown[] = [];
    using model = new ASTGNNFactorModel(small);
    const all = [dataset.train, dataset.valid, dataset.test, dataset.unlabelled].reduce((sum, { dates }) => sum + dates.length, 0);
    const onPhase = ({ phase, done, total, seed }: PhaseEvent): void => void seen.push([phase, done, total, seed]);
    const run = await train(model, dataset, { ...recipe, seeds: [4], epochs: 1, out: join(folder, "phases"), onPhase });
    run.members![0]!.model.dispose();
    const scoring = (seed: number | null) => expect.arrayContaining([["scoring", 0, all, seed], ["scoring", all, all, seed], ["writing", all, all, seed]]) as unknown;
    expect(seen[0]).toEqual(["validation", 0, dataset.valid.dates.length, 4]);
    expect([seen, seen]).toEqual([scoring(4), scoring(null)]);
    expect(seen.at(-1)).toEqual(["writing", all, all, null]);
    await expect(train(model, dataset, { ...recipe, epochs: 1, onPhase: () => { throw new Error("enough"); } })).rejects.toThrow("enough");
  });

  it("reports of each date what M explains, repeats and changes, as computed by hand", async () => {
    // After one epoch the columns of M do not repeat one another yet.
    const out = join(folder, "phases", "seed-4");
    const { byDate } = JSON.parse(readFileSync(join(out, "report.json"), "utf8")) as { byDate: { test: Record<string, (number | null)[]> } };
    using run = await loadRun(out);
    const { riskFactors } = await run.models[0].predict(dataset.test, { riskFactors: true, threads: 1 });
    const [stocks, K] = [31, 4];
    const factorsOf = (t: number): number[][] => Array.from({ length: stocks }, (_, n) => Array.from(riskFactors.data.subarray((t * stocks + n) * K, (t * stocks + n + 1) * K)));
    for (const t of [1, 5]) {
      const [today, before] = [factorsOf(t), factorsOf(t - 1)];
      const targets = dataset.targets.subarray(dataset.test.dateIndices[t]! * stocks);
      const seen = today.flatMap((row, n) => (Number.isNaN(row[0]!) || Number.isNaN(targets[n]!) ? [] : [{ row, target: targets[n]! }]));
      // Three decimals: M is float32.
      expect(byDate.test["rSquared"]![t]).toBeCloseTo(rSquared(seen.map(({ row }) => row), seen.map(({ target }) => target)), 3);
      const kept = today.filter((row) => !Number.isNaN(row[0]!));
      const vifs = kept[0]!.map((_, k) => 1 / (1 - rSquared(kept.map((row) => row.filter((__, i) => i !== k)), kept.map((row) => row[k]!))));
      expect(byDate.test["vif"]![t]! / (vifs.reduce((a, b) => a + b) / K)).toBeCloseTo(1, 2);
      const changes = today.flatMap((row, n) => row.map((value, k) => (value - before[n]![k]!) ** 2)).filter((change) => !Number.isNaN(change));
      expect(byDate.test["factorTurnover"]![t]).toBeCloseTo(changes.reduce((a, b) => a + b) / changes.length, 6);
    }
    expect(byDate.test["factorTurnover"]![0]).toBeNull();
    expect(byDate.test["dates"]).toEqual(dataset.test.dates);
  });

  it("keeps a run folder from which the run is known: settings, epochs, predictions, factors and reports", async () => {
    const out = join(folder, "run");
    const json = JSON.parse(readFileSync(join(out, "run.json"), "utf8")) as Record<string, unknown>;
    expect(json).toMatchObject({ kind: "run", status: "finished", fingerprint: dataset.fingerprint, threads: 1, seeds: { model: 0, train: 0 }, training: { epochs: 6, ema: 0.9, loss: "ic" }, versions: { libtorch: expect.stringMatching(/^2\./), node: process.versions.node } });
    const lines = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as EpochEvent).epoch)).toEqual([1, 2, 3, 4, 5, 6]);
    const report = JSON.parse(readFileSync(join(out, "report.json"), "utf8")) as { test: { ic: number; mse: number } };

    using run = await loadRun(out);
    expect(run.ensemble).toBeUndefined();
    const { predictions, riskFactors } = await run.models[0].predict(dataset.test, { riskFactors: true, threads: 1 });
    const unasked = await run.models[0].predict(dataset.test, { threads: 1 });
    expect(unasked).not.toHaveProperty("riskFactors");
    expect(unasked.predictions).toEqual(predictions);
    expect((await run.predict(dataset.test, { threads: 1 })).predictions).toEqual(predictions);
    const metrics = evaluate(predictions, dataset.test.labels);
    expect(report.test.ic).toBeCloseTo(metrics.ic, 12);
    const rows = await readParquet(join(out, "predictions.parquet"));
    expect(new Set(rows.map(([, , split]) => split))).toEqual(new Set(["train", "valid", "test", "unlabelled"]));
    expect(rows).toHaveLength(dataset.rowStocks.length);
    const tested = rows.filter(([, , split]) => split === "test");
    expect(tested.map(([, , , prediction]) => prediction)).toEqual([...predictions.data].filter((value) => !Number.isNaN(value)));
    expect(rows.filter(([, , split]) => split === "unlabelled").every((row) => row[4] === null)).toBe(true);
    const factors = await readParquet(join(out, "factors.parquet"));
    const first = factors.find(([date]) => date === dataset.test.dates[0])!;
    const stock = dataset.tickers.indexOf(first[1] as string);
    expect(first.slice(2)).toEqual([...riskFactors.data.subarray(stock * 4, stock * 4 + 4)]);
  });

  it("does not touch the weights of a finished run on resume, and refuses it without", async () => {
    const out = join(folder, "run");
    const before = readFileSync(join(out, "model.safetensors"));
    const written = readFileSync(join(out, "run.json"), "utf8");
    using model = new ASTGNNFactorModel(small);
    await expect(train(model, dataset, { ...recipe, epochs: 6, ema: 0.9, out })).rejects.toMatchObject({ code: "ERR_RUN_EXISTS" });
    const run = await train(model, dataset, { ...recipe, epochs: 6, ema: 0.9, out, resume: true });
    expect(run.epochs).toHaveLength(6);
    expect(readFileSync(join(out, "model.safetensors")).equals(before)).toBe(true);
    expect(readFileSync(join(out, "run.json"), "utf8")).toBe(written);
    expect(weightsOf(model)).toEqual(readSafetensors(before).tensors);
    await expect(train(model, dataset, { ...recipe, epochs: 6, ema: 0.8, out, resume: true })).rejects.toMatchObject({ code: "ERR_CHECKPOINT", option: "training.ema" });
    await expect(train(model, { ...dataset, fingerprint: "0" }, { ...recipe, epochs: 6, ema: 0.9, out, resume: true })).rejects.toThrow(/fingerprint/);
  });

  it("gives the same bits for the same seed and others for another, with every loss and schedule", async () => {
    const loss = { terms: [{ name: "ic" }, { name: "mse", weight: 0.1 }, { name: "pairwiseRank", weight: 0.1 }, { name: "rankIc" }, { name: "risk", weight: 0.3 }, { name: "vif", weight: 0.01 }, { name: "turnover", weight: 0.1 }] } as const;
    const options: TrainOptions = { ...recipe, epochs: 2, loss, datesPerStep: 3, schedule: "cosine", minLearningRate: 1e-4 };
    const trained = async (seed: number) => {
      using model = new ASTGNNFactorModel({ ...small, similarityScale: "learned", relationalInput: "both" });
      const run = await train(model, dataset, { ...options, seed });
      return { run, weights: weightsOf(model) };
    };
    const [a, b, c] = [await trained(5), await trained(5), await trained(6)];
    expect(a.weights).toEqual(b.weights);
    expect(a.weights).not.toEqual(c.weights);
    expect(Object.keys(a.run.epochs[0]!.train.terms)).toEqual(["ic", "mse", "pairwiseRank", "rankIc", "risk", "vif", "turnover"]);
    for (const [name, value] of Object.entries(a.run.epochs[1]!.valid.terms)) expect(value, name).toSatisfy(Number.isFinite);
    const total = loss.terms.reduce((sum, term) => sum + ("weight" in term ? term.weight : 1) * a.run.epochs[0]!.valid.terms[term.name]!, 0);
    expect(a.run.epochs[0]!.valid.loss).toBeCloseTo(total, 12);
  });

  it("stops early after `patience` epochs without a better one and keeps the best", async () => {
    using model = new ASTGNNFactorModel(small);
    const run = await train(model, dataset, { ...recipe, epochs: 40, learningRate: 0.1, patience: 2, ema: 0 });
    expect(run.stoppedEarly).toBe(true);
    expect(run.epochs).toHaveLength(run.bestEpoch! + 2);
    const { predictions } = await model.predict(dataset.valid, { threads: 1 });
    expect(evaluate(predictions, dataset.valid.labels).ic).toBeCloseTo(run.epochs[run.bestEpoch! - 1]!.valid.ic, 12);
  });

  it("warns once, after the first epoch, where A is the plain average", async () => {
    using model = new ASTGNNFactorModel({ ...small, similarityScale: 1e-3 });
    const warnings: string[] = [];
    const run = await train(model, dataset, { ...recipe, epochs: 2, onWarning: ({ reason }) => void warnings.push(reason) });
    expect(warnings).toEqual(["graph_is_average"]);
    expect(run.warnings[0]!.text).toMatch(/effective neighbours of 2\d\.\d allowed/);
  });

  it("prints each warning once to stderr where nobody registered for them, and not where somebody did", async () => {
    const printed: (Error & { code?: string })[] = [];
    const listen = (warning: Error): void => void (warning.name === "AstgnnWarning" && printed.push(warning));
    process.on("warning", listen);
    try {
      using model = new ASTGNNFactorModel({ ...small, similarityScale: 1e-3 });
      const run = await train(model, dataset, { ...recipe, epochs: 2 });
      // Node tells its listeners in a tick of its own.
      await new Promise((resolve) => setImmediate(resolve));
      expect(printed.map(({ code, message }) => [code, message])).toEqual([["ASTGNN_GRAPH_IS_AVERAGE", run.warnings[0]!.text]]);
      using heard = new ASTGNNFactorModel({ ...small, similarityScale: 1e-3 });
      await train(heard, dataset, { ...recipe, epochs: 1, onWarning: () => {} });
      await new Promise((resolve) => setImmediate(resolve));
      expect(printed).toHaveLength(1);
    } finally {
      process.off("warning", listen);
    }
  });

  it("counts the steps in which no term is defined and changes nothing in them", async () => {
    const labelless = { ...dataset, targets: new Float32Array(dataset.targets.length).fill(NaN) };
    using model = new ASTGNNFactorModel(small);
    const before = weightsOf(model);
    const run = await train(model, labelless, { ...recipe, epochs: 1 });
    expect(run.epochs[0]!.train).toMatchObject({ emptySteps: dataset.train.dateIndices.length, undefinedDates: { ic: dataset.train.dateIndices.length } });
    expect(run.warnings.map(({ reason }) => reason)).toContain("empty_steps");
    expect(weightsOf(model)).toEqual(before);
  });

  it("predicts several horizons with one prediction each", async () => {
    const several = smallDataset({ dates: 40, stocks: 12, window: 2, horizons: 2, seed: 2 });
    using model = new ASTGNNFactorModel({ ...small, numPredictions: 2 });
    const out = join(folder, "several");
    const run = await train(model, several, { ...recipe, epochs: 1, out });
    const { predictions } = await model.predict(several.valid, { threads: 1 });
    expect(predictions.shape).toEqual([several.valid.dateIndices.length, 12, 2]);
    expect(evaluate(predictions, several.valid.labels).ic).toBeCloseTo(run.epochs[0]!.valid.ic, 12);
    expect((await readParquet(join(out, "predictions.parquet")))[0]).toHaveLength(7);
  });

  it("trains on float64 as well", async () => {
    using model = new ASTGNNFactorModel({ ...small, dtype: "float64" });
    await train(model, dataset, { ...recipe, epochs: 1 });
    const { predictions } = await model.predict(dataset.test, { threads: 1 });
    expect(predictions.data).toBeInstanceOf(Float64Array);
    const path = join(folder, "double.safetensors");
    await model.save(path);
    using same = await ASTGNNFactorModel.load(path);
    expect(same.dtype).toBe("float64");
    expect((await same.predict(dataset.test, { threads: 1 })).predictions).toEqual(predictions);
  });
});

describe("an ensemble", () => {
  it("is one complete run per seed, and the mean of their z-scores above them", async () => {
    const out = join(folder, "ensemble");
    using model = new ASTGNNFactorModel(small);
    const before = weightsOf(model);
    const run = await train(model, dataset, { ...recipe, epochs: 1, seeds: [3, 4], out });
    expect(weightsOf(model)).toEqual(before);
    expect(run.members!.map(({ seed, bestEpoch }) => [seed, bestEpoch])).toEqual([[3, 1], [4, 1]]);
    using alone = new ASTGNNFactorModel({ ...small, seed: 3 });
    await train(alone, dataset, { ...recipe, epochs: 1, seed: 3 });
    expect(weightsOf(run.members![0]!.model)).toEqual(weightsOf(alone));
    expect(existsSync(join(out, "seed-3", "factors.parquet"))).toBe(true);
    expect(existsSync(join(out, "model.safetensors"))).toBe(false);
    expect(existsSync(join(out, "factors.parquet"))).toBe(false);

    using loaded = await loadRun(out);
    expect(loaded.ensemble?.members).toEqual(loaded.models);
    expect(loaded.dataset).toEqual(dataset.describe());
    const { predictions } = await loaded.predict(dataset.test, { threads: 1 });
    expect(predictions).toEqual((await run.ensemble!.predict(dataset.test, { threads: 1 })).predictions);
    const rows = (await readParquet(join(out, "predictions.parquet"))).filter(([, , split]) => split === "test");
    expect(rows.map(([, , , prediction]) => prediction)).toEqual([...predictions.data].filter((value) => !Number.isNaN(value)));
    const report = JSON.parse(readFileSync(join(out, "report.json"), "utf8")) as { test: { ic: number; mse: null; effectiveNeighbours: number } };
    expect(report.test.ic).toBeCloseTo(evaluate(predictions, dataset.test.labels).ic, 12);
    expect(report.test.mse).toBeNull();
    expect(report.test.effectiveNeighbours).toBeGreaterThan(1);
    run.ensemble!.dispose();

    const again = await train(model, dataset, { ...recipe, epochs: 1, seeds: [3, 4], out, resume: true });
    expect(again.members).toHaveLength(2);
    await expect(train(model, dataset, { ...recipe, epochs: 1, seeds: [3, 5], out, resume: true })).rejects.toMatchObject({ code: "ERR_CHECKPOINT", option: "seeds" });
    await expect(train(model, dataset, { ...recipe, epochs: 1, seed: 3, out, resume: true })).rejects.toThrow(/holds an ensemble/);
    again.ensemble!.dispose();
  });
});

async function readParquet(path: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const rows = (await connection.runAndReadAll(`SELECT * REPLACE (date::VARCHAR AS date) FROM '${path}'`)).getRowsJS() as unknown[][];
  connection.closeSync();
  instance.closeSync();
  return rows;
}

/** R² of y on the columns of x and an intercept, by Gram-Schmidt. */
function rSquared(x: readonly (readonly number[])[], y: readonly number[]): number {
  const centred = (values: readonly number[]): number[] => values.map((value) => value - values.reduce((a, b) => a + b) / values.length);
  const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const basis: number[][] = [];
  for (const k of x[0]!.keys()) {
    let column = centred(x.map((row) => row[k]!));
    for (const other of basis) column = column.map((value, i) => value - (dot(column, other) / dot(other, other)) * other[i]!);
    basis.push(column);
  }
  const target = centred(y);
  return basis.reduce((sum, column) => sum + dot(target, column) ** 2 / dot(column, column), 0) / dot(target, target);
}
