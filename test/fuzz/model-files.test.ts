import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tableFromArrays, tableToIPC } from "@uwdata/flechette";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Database } from "../../lib/data/source/database.js";
import { simulateMarket, SIMULATED_FEATURES, writeSimulatedMarket } from "../../lib/demo/simulate.js";
import { ASTGNNFactorModel, audit, evaluateRun, type EvaluateRunOptions, loadRun, openPanel, optimise, readSafetensors, RiskModel, train, writeReport, writeSafetensors, type Dataset, type Panel, type SafetensorsFile } from "../../lib/index.js";
import { readPlan, writePlan } from "../../lib/evaluate/sweep/plan-file.js";
import { expectFinite, fuzz, FUZZ_TIMEOUT } from "./fuzz.js";
import type { RiskDate } from "../../lib/risk/risk-date.js";
import type { Mutator } from "./mutate.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-fuzz-"));
const at = (...path: string[]): string => join(folder, ...path);
const model = { gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4], dropout: 0 };
let panel: Panel;
let dataset: Dataset;
let weights: Uint8Array;
let state: Uint8Array;
let description: Record<string, unknown>;

beforeAll(async () => {
  await writeSimulatedMarket(simulateMarket({ seed: 5, stocks: 12, dates: 60 }), at("prices.csv"));
  panel = await openPanel(at("prices.csv"), { onWarning: () => {} });
  // The same as Arrow, which is read in a tenth of the time.
  await using database = Database.open();
  const names = (await database.rows(`DESCRIBE SELECT * FROM '${at("prices.csv")}'`, "")).map(([name]) => String(name));
  const rows = await database.rows(`SELECT * REPLACE (date::VARCHAR AS date) FROM '${at("prices.csv")}'`, "");
  writeFileSync(at("prices.arrow"), tableToIPC(tableFromArrays(Object.fromEntries(names.map((name, k) => [name, rows.map((row) => row[k] as number)]))), { format: "file" })!);
  dataset = await panel.dataset({ features: SIMULATED_FEATURES, processors: ["zscore"], window: 3, label: { horizonDays: 1, lagDays: 1 }, maxDropped: 0.3, split: { fractions: [0.6, 0.2, 0.2] } });
  using untrained = new ASTGNNFactorModel({ ...model, sequentialInputSize: dataset.featureNames.length });
  await train(untrained, dataset, { epochs: 1, threads: 1, onWarning: () => {}, out: at("run") });
  weights = readFileSync(at("run", "model.safetensors"));
  state = readFileSync(at("run", "last.safetensors"));
  description = JSON.parse(readFileSync(at("run", "run.json"), "utf8")) as Record<string, unknown>;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const dateOf = (t: number): string => new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10);

/** A safetensors file whose bytes, or whose header, were changed. */
function changedFile(mutator: Mutator, bytes: Uint8Array): Uint8Array {
  if (mutator.below(2) === 0) return mutator.bytes(bytes);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, unknown>;
  const metadata = header["__metadata__"] as Record<string, string> | undefined;
  // The JSON inside of the metadata is read too.
  const name = metadata === undefined ? undefined : mutator.pick(Object.keys(metadata));
  if (name !== undefined && mutator.below(2) === 0 && /^[[{]/.test(metadata![name]!)) metadata![name] = JSON.stringify(mutator.json(JSON.parse(metadata![name]!)));
  else Object.assign(header, mutator.json(header) as object);
  const text = new TextEncoder().encode(JSON.stringify(header));
  const changed = new Uint8Array(8 + text.length + bytes.length - 8 - length);
  new DataView(changed.buffer).setBigUint64(0, BigInt(text.length), true);
  changed.set(text, 8);
  changed.set(bytes.subarray(8 + length), 8 + text.length);
  return changed;
}

describe("fuzz: files of a model", { timeout: FUZZ_TIMEOUT }, () => {
  it("safetensors", async () => {
    const seeds = [
      writeSafetensors({}),
      writeSafetensors({ a: { dtype: "F32", shape: [], data: new Float32Array([1]) } }, { format: "pt" }),
      writeSafetensors({ a: { dtype: "F64", shape: [2, 3], data: new Float64Array(6) }, b: { dtype: "I64", shape: [2], data: new BigInt64Array(2) }, c: { dtype: "BOOL", shape: [0, 4], data: new Uint8Array(0) } }),
    ];
    await fuzz("safetensors", 20_000, (mutator) => {
      const bytes = changedFile(mutator, mutator.pick(seeds));
      const { tensors }: SafetensorsFile = readSafetensors(bytes);
      for (const [name, { shape, data }] of Object.entries(tensors)) if (shape.reduce((product, size) => product * size, 1) !== data.length) throw new Error(`${name}: ${shape.join(" x ")} of ${data.length}`);
      // What was read can be written, and is the same again.
      expect(readSafetensors(writeSafetensors(tensors)).tensors).toEqual(tensors);
    });
  });

  it("weights", () =>
    fuzz("weights", 150, async (mutator) => {
      writeFileSync(at("model.safetensors"), changedFile(mutator, weights));
      using loaded = await ASTGNNFactorModel.load(at("model.safetensors"));
      for (const [name, tensor] of Object.entries(loaded.stateDict())) expectFinite(tensor.toTypedArray() as Float32Array, name);
      using again = await panel.dataset({ description: loaded.dataset! });
      const { predictions } = await loaded.predict(again);
      expectFinite(predictions.data, "predictions", true);
    }));

  it("state of a training", () =>
    fuzz("state of a training", 60, async (mutator) => {
      rmSync(at("resumed"), { recursive: true, force: true });
      cpSync(at("run"), at("resumed"), { recursive: true });
      writeFileSync(at("resumed", "last.safetensors"), changedFile(mutator, state));
      using resumed = new ASTGNNFactorModel({ ...model, sequentialInputSize: dataset.featureNames.length });
      await train(resumed, dataset, { epochs: 1, threads: 1, onWarning: () => {}, out: at("resumed"), resume: true });
      for (const [name, tensor] of Object.entries(resumed.stateDict())) expectFinite(tensor.toTypedArray() as Float32Array, name);
    }));

  it("risk model", () => {
    const tickers = ["A", "B", "C", "D", "E", "F"];
    const day = (t: number): RiskDate => ({
      date: dateOf(t), tickers, exposures: Float64Array.from({ length: 12 }, (_, i) => Math.sin(i + (t % 3))), returns: Float64Array.from(tickers, (_, n) => 0.01 * Math.sin(7 * t * (n + 1))), groups: Int32Array.of(0, 0, 0, 1, 1, 1), sizes: Float64Array.from(tickers, (_, n) => n + 1),
    });
    const whole = new RiskModel(["a", "b"], ["x", "y"], { volatilityLags: 1, residuals: { window: 30, refresh: 5, factors: 2 } });
    for (let t = 0; t < 90; t++) whole.update(day(t));
    const bytes = whole.write();
    RiskModel.read(bytes).form();
    return fuzz("risk model", 150, async (mutator) => {
      const changed = changedFile(mutator, bytes);
      const read = RiskModel.read(changed);
      const { exposures, factorCovariance, specificVariance } = read.form();
      for (const [what, values] of Object.entries({ exposures, factorCovariance, specificVariance })) expectFinite(values, what);
      // Numbers between are as good as those that were written.
      read.update(day(90));
      writeFileSync(at("risk.safetensors"), changed);
      const found = await optimise({ covariance: { risk: at("risk.safetensors") }, objective: "riskParity" });
      if (found.status === "optimal") expectFinite(found.weights, "weights");
    });
  });

  it("run.json", () => {
    mkdirSync(at("described"));
    writeFileSync(at("described", "model.safetensors"), weights);
    return fuzz("run.json", 100, async (mutator) => {
      const text = JSON.stringify(mutator.json(description));
      writeFileSync(at("described", "run.json"), mutator.below(3) === 0 ? mutator.bytes(new TextEncoder().encode(text)) : text);
      using run = await loadRun(at("described"));
      const panel = await run.openPanel(at("prices.arrow"), { onWarning: () => {} });
      expect(panel.dates.length).toBeGreaterThan(0);
    });
  });

  it("what stands beside a run", async () => {
    const names = ["report.json", "metrics.jsonl", "run.json"] as const;
    const whole = new Map<string, string>();
    cpSync(at("run"), at("beside"), { recursive: true });
    await evaluateRun(at("beside"), { onWarning: () => {} } as EvaluateRunOptions);
    for (const name of names) whole.set(name, readFileSync(at("beside", name), "utf8"));
    return fuzz("what stands beside a run", 12, async (mutator) => {
      const name = mutator.pick(names);
      const text = whole.get(name)!;
      const lines = name === "metrics.jsonl" ? text.trim().split("\n").map((line) => JSON.stringify(mutator.json(JSON.parse(line)))).join("\n") : JSON.stringify(mutator.json(JSON.parse(text)));
      for (const [other, as] of whole) writeFileSync(at("beside", other), other !== name ? as : mutator.below(4) === 0 ? mutator.bytes(new TextEncoder().encode(as)) : lines);
      if (mutator.below(2) === 0) await evaluateRun(at("beside"), { onWarning: () => {} } as EvaluateRunOptions);
      else await audit(at("beside"));
    });
  });

  it("what a report says already", async () => {
    cpSync(at("run"), at("reported"), { recursive: true });
    const evaluation = await evaluateRun(at("reported"), { onWarning: () => {} } as EvaluateRunOptions);
    const found = await audit(at("reported"));
    await writeReport(at("reported"), evaluation);
    await writeReport(at("reported"), { audit: found });
    const whole = JSON.parse(readFileSync(at("reported", "report.json"), "utf8")) as object;
    return fuzz("what a report says already", 12, async (mutator) => {
      const text = JSON.stringify(mutator.json(whole));
      const changed = mutator.below(4) === 0 ? mutator.bytes(new TextEncoder().encode(text)) : new TextEncoder().encode(text);
      writeFileSync(at("reported", "report.json"), changed);
      try {
        await writeReport(at("reported"), mutator.below(2) === 0 ? evaluation : { audit: found });
      } catch (error) {
        // What cannot be kept is not written over.
        expect(readFileSync(at("reported", "report.json")).equals(changed)).toBe(true);
        throw error;
      }
      expect(readFileSync(at("reported", "report.html")).includes("<script"), "text on the page as markup").toBe(false);
      JSON.parse(readFileSync(at("reported", "report.json"), "utf8"));
    });
  });

  it("plan.json", async () => {
    const trials = [{ name: "trial-1", settings: { loss: "ic" }, folds: null }];
    const { file } = await writePlan(folder, { flags: ["--epochs=1"], seeds: [0, 1], space: { loss: ["ic"] }, random: null, trials });
    const plan = JSON.parse(readFileSync(file, "utf8")) as unknown;
    const { accepted, inputs } = await fuzz("plan.json", 500, async (mutator, seed) => {
      const changed = seed % 50 === 0 ? plan : mutator.json(plan);
      writeFileSync(file, JSON.stringify(changed));
      expect(await readPlan(file)).toEqual(plan);
    });
    expect(accepted).toBeLessThan(inputs / 2);
  });
});
