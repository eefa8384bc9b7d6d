import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import {
  adjustedRandIndex, ASTGNNFactorModel, audit, averagePredictions, backtest, clusters, evaluate, explain, explainDay, GraphAttention, loadRun, marketOf, openPack, openPanel, optimise, pairedDifference, Panel, peers, readSafetensors,
  RiskModel, riskModel, sampleCovariances, setPrecision, similar, simulateMarket, Tensor, TimeGraphConvolution, train, walkForward, writeSafetensors, type Dataset, type LabelValues,
} from "../../lib/index.js";
import { loadCore } from "../../lib/binding/load.js";
import { expectFinite, fuzz, FUZZ_TIMEOUT } from "./fuzz.js";
import type { Mutator } from "./mutate.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-fuzz-calls-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const detached = (): Float64Array => {
  const values = new Float64Array(4);
  structuredClone(values.buffer, { transfer: [values.buffer] });
  return values;
};
/** What callers pass by mistake. */
const ODD: readonly (() => unknown)[] = [
  () => undefined, () => null, () => NaN, () => Infinity, () => -1, () => 0, () => 1.5, () => 2 ** 31, () => 2 ** 53, () => 1e308, () => "", () => "x", () => "3", () => "2020-13-45", () => "__proto__", () => true, () => 5n, () => Symbol("x"),
  () => [], () => [NaN], () => ["A", "A"], () => ({}), () => ({ length: -1 }), () => Object.create(null), () => () => 0, () => new Date(NaN), () => new Map(), () => Promise.resolve(1),
  () => new Float64Array(0), () => Float64Array.of(NaN, Infinity), () => new Int8Array(3), () => new Uint8Array(7), () => new BigInt64Array(2), () => new ArrayBuffer(8), detached,
];

/** The arguments with one to three parts replaced, left out or of another length; what is no plain object, list or array of numbers is replaced as a whole. */
function changed(mutator: Mutator, args: readonly unknown[]): unknown[] {
  const copy = [...args];
  for (let changes = mutator.below(4) === 0 ? 3 : 1; changes > 0; changes--) {
    const k = mutator.below(copy.length);
    copy[k] = within(mutator, copy[k]);
  }
  return copy;
}

function within(mutator: Mutator, value: unknown): unknown {
  if (ArrayBuffer.isView(value) && !(value instanceof DataView) && value.byteLength > 0 && mutator.below(2) === 0) {
    const array = (value as Float64Array).slice(0, mutator.below(3) === 0 ? mutator.below((value as Float64Array).length + 1) : undefined);
    if (array.length > 0 && typeof array[0] === "number") array[mutator.below(array.length)] = mutator.pick([NaN, Infinity, -1, 2 ** 31 - 1, 1e308]);
    return array;
  }
  const isPlain = Array.isArray(value) || (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype);
  if (!isPlain || mutator.below(8) === 0) return mutator.pick(ODD)();
  const keys = Object.keys(value as object);
  if (keys.length === 0) return mutator.pick(ODD)();
  const key = mutator.pick(keys);
  if (Array.isArray(value)) return mutator.below(4) === 0 ? value.toSpliced(Number(key), 1) : value.with(Number(key), within(mutator, value[Number(key)]));
  const { [key]: part, ...rest } = value as Record<string, unknown>;
  return mutator.below(5) === 0 ? { ...rest, [mutator.below(2) === 0 ? `${key}x` : "onWarning"]: part } : { ...rest, [key]: within(mutator, part) };
}

type Call = { readonly args: () => unknown[]; readonly call: (...args: never[]) => unknown };
const calls = new Map<string, Call>();
const quiet = { onWarning: (): void => {} };
let panel: Panel;
let dataset: Dataset;
let model: ASTGNNFactorModel;

beforeAll(async () => {
  const stocks = ["A", "B", "C", "D", "E"];
  const dates = Array.from({ length: 40 }, (_, t) => new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10));
  const cells = dates.flatMap((date, t) => stocks.map((ticker, n) => ({ date, ticker, close: 10 + n + Math.sin(t * (n + 1)), size: 1 + ((n + t) % 5) })));
  const table = { dates: cells.map(({ date }) => date), tickers: cells.map(({ ticker }) => ticker), columns: { close: Float64Array.from(cells, ({ close }) => close), size: cells.map(({ size }) => size) } };
  const samples = { features: ["close", "size"], window: 2, label: { horizonDays: 1, lagDays: 0 }, processors: ["zscore", { name: "fill", value: 0 }], labelTransform: { transform: "rank", winsorize: 3 }, graph: "complete", maxDropped: 0.9, split: { fractions: [0.6, 0.2, 0.2] } } as const;
  const sizes = { gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4] };
  panel = await Panel.from(table, { ...quiet, maxDropped: 0.9 });
  dataset = await panel.dataset(samples);
  model = new ASTGNNFactorModel({ ...sizes, sequentialInputSize: 2 });
  const { predictions } = await model.predict(dataset.test);
  const { labels } = dataset.test;
  const [date, ticker] = [dataset.test.dates[1]!, "A"];
  const values = { data: predictions.data, shape: [...predictions.shape], dates: [...predictions.dates], tickers: stocks };
  const returns: LabelValues = { ...labels, shape: [...labels.shape] as [number, number], dates: [...labels.dates], tickers: stocks };
  const covariance = { tickers: ["A", "B", "C"], values: Float64Array.of(0.04, 0.01, 0, 0.01, 0.09, -0.02, 0, -0.02, 0.01) };
  const limits = { longOnly: true, maxWeight: 0.6, gross: 1.5, net: { min: 0.5, max: 1 }, groups: [{ name: "x", tickers: ["A", "B"], max: 0.7 }], factors: [{ name: "size", exposures: { A: 1, B: -1, C: 0.5 }, min: -0.1, max: 0.1 }] };
  const x = Tensor.from(new Float32Array(2 * 5 * 2).map((_, i) => Math.sin(i)), [2, 5, 2]);
  const h = Tensor.from(new Float32Array(5 * 4).map((_, i) => Math.cos(i)), [5, 4]);
  const m = Tensor.from(new Float32Array(5 * 3).map((_, i) => Math.cos(i)), [5, 3]);
  const layer = new GraphAttention(4, 4);
  const convolution = new TimeGraphConvolution(4, 4);
  const day = { date, tickers: stocks, exposures: new Float64Array(10).map((_, i) => Math.sin(i)), returns: Float64Array.of(0.01, 0.02, -0.01, 0, 0.03), groups: undefined, sizes: Float64Array.of(1, 2, 3, 4, 5) };
  const add = <A extends unknown[]>(name: string, call: (...args: A) => unknown, ...args: A): void => void calls.set(name, { args: () => args, call: call as Call["call"] });
  const drained = async (generator: AsyncIterable<unknown>): Promise<void> => { for await (const _ of generator) continue; };
  const stopped = (options: object): object => { const controller = new AbortController(); return { ...options, signal: controller.signal, onStep: () => controller.abort() }; };

  add("Panel.from", (data, options) => Panel.from(data, options), table, { ...quiet, maxDropped: 0.9, columns: ["close"], extremeReturns: "warn" } as never);
  add("openPanel", (source, options) => openPanel(source, options), join(folder, "nowhere.csv"), { ...quiet, rename: { close: "c" }, groups: { file: "x" } });
  add("panel.append", (rows, options) => panel.append(rows, options), { dates: "2021-01-01", tickers: ["A", "B"], columns: { close: [1, 2], size: Float64Array.of(1, 2) } }, { ...quiet, maxDropped: 0.5 });
  add("panel.read", (names, options) => panel.read(names, options), ["close"], {});
  add("panel.values", (name) => panel.values(name), "close");
  add("panel.dataset", async (options) => (await panel.dataset(options as never)).dispose(), { ...samples, threads: 1, preset: undefined } as object);
  add("new ASTGNNFactorModel", (options) => new ASTGNNFactorModel(options).dispose(), { ...sizes, sequentialInputSize: 2, seed: 1, dropout: 0.1, similarityScale: 4, topK: 2 });
  add("ASTGNNFactorModel.load", (path, options) => ASTGNNFactorModel.load(path, options), join(folder, "nowhere.safetensors"), { device: "cpu" } as never);
  add("model.predict", (input, options) => model.predict(input as never, options), { dataset, dates: [date] }, { riskFactors: true, threads: 1, neutralise: ["close"] });
  add("model.predictDates", (input, options) => drained(model.predictDates(input as never, options)), { dataset, dates: [date] }, { from: date, threads: 1 });
  add("model.neighbours", (...args) => model.neighbours(...args), dataset, date, ticker, { top: 2, ...quiet });
  add("model.forward", (...args) => model.forward(...args), x, [0, 2, 5], { edges: { offsets: [0, 1, 1, 1, 1, 1], targets: [1] } });
  add("model.similarity", (...args) => model.similarity(...args), m, [0, 0, 1, 1, 1]);
  add("model.attention", (...args) => model.attention(...args), h, { groups: [0, 0, 1, 1, 1] });
  add("model.loadStateDict", (state) => model.loadStateDict(state), model.stateDict());
  add("model.to", (device) => model.to(device), "cpu" as never);
  add("layer.forward", (...args) => layer.forward(...args), h, { offsets: [0, 2, 5], groups: [0, 0, 1, 1, 1] });
  add("convolution.forward", (...args) => convolution.forward(...args), h, m, { offsets: [0, 2, 5] });
  add("new GraphAttention", (a, b, options) => new GraphAttention(a, b, options).dispose(), 4, 4, { heads: 2 } as object);
  add("new TimeGraphConvolution", (a, b, options) => new TimeGraphConvolution(a, b, options).dispose(), 4, 4, {});
  add("Tensor.from", (data, shape) => Tensor.from(data, shape).dispose(), [1, 2, 3, 4] as readonly number[], [2, 2]);
  add("train", (trained, data, options) => train(trained, data, stopped(options)), model, dataset, { epochs: 1, threads: 1, loss: { terms: [{ name: "ic", weight: 1 }, { name: "coMovement", weight: 0.1, horizonDays: 3 }] }, learningRate: 0.001, ...quiet } as object);
  add("walkForward", (data, options) => walkForward(data, options as never), panel, { train: "20d", step: "x", out: join(folder, "walk"), dataset: samples } as object);
  add("peers", (...args) => peers(...args), model, dataset, { date, ticker, top: 2, lookBack: 3, threads: 1, ...quiet });
  add("clusters", (...args) => clusters(...args), model, dataset, { date, resolution: 1, threads: 1, ...quiet, exposures: { size: Float32Array.of(1, 2, 3, 4, 5) } } as never);
  add("explain", (...args) => explain(...args), model, dataset, { date, ticker, prediction: 0, threads: 1 });
  add("explainDay", (...args) => explainDay(...args), model, dataset, { date, count: 1, threads: 1 } as never);
  add("optimise", (options) => optimise(options), { covariance, objective: "meanVariance", expected: { A: 0.1, B: 0.2, C: 0.05 }, current: { A: 1 }, costBps: 5, riskAversion: 2, limits, timeLimitMs: 5000 } as never);
  add("optimise risk parity", (options) => optimise(options), { covariance, objective: "riskParity", budgets: { A: 1, B: 2, C: 3 } } as never);
  add("riskModel", (...args) => riskModel(...args), ["close"] as const, panel, { date, size: "size", axes: 3, model: { ridge: 0.1 } });
  add("RiskModel.update", (names, groups, options, ...days) => { const risk = new RiskModel(names, groups, options); for (const one of days) risk.update(one as never); return risk.form(); }, ["a", "b"], [] as string[], { residuals: false } as object, ...Array.from({ length: 62 }, (_, k) => ({ ...day, date: new Date(Date.UTC(2021, 0, 1 + k)).toISOString().slice(0, 10), returns: day.returns.map((value, n) => value + 0.01 * Math.sin(7 * k * (n + 1))) }) as unknown));
  add("RiskModel.read", (bytes) => RiskModel.read(bytes), new Uint8Array(9));
  add("sampleCovariances", (window, names, components) => sampleCovariances(window, names, components), { tickers: ["A", "B"], returns: Float64Array.of(0.01, 0.02, 0.01, -0.02, 0, 0.02) } as never, ["sample", "lw", "oas"] as never, 2);
  add("backtest of predictions", (source, data, options) => backtest(source, data, options), { predictions: values, horizonDays: 2, book: "quantiles", quantiles: 2 } as never, panel, { costBps: 1, capital: 1000, benchmark: "universe", ...quiet });
  add("backtest of weights", (source, data, options) => backtest(source, data, options), { weights: values } as never, panel, { maxGross: 1e9, lagDays: 1, capacity: [1000], ...quiet });
  add("backtest on the way", (source, data, options) => backtest(source, data, options), { rebalance: () => ({ tickers: ["A"], weights: [0.5] }), every: 5, from: date } as never, panel, { ...quiet });
  add("evaluate", (a, b, options) => evaluate(a, b, options), values as never, returns, { horizonDays: 1, ...marketOf(panel, returns), quantiles: 2, topK: 1, costBps: 2, trials: [], seed: 1 } as never);
  add("marketOf", (data, of, options) => marketOf(data, of, options), panel, { dates: values.dates, tickers: stocks }, { exposures: ["size"] });
  add("pairedDifference", (...args) => pairedDifference(...args), { daily: { dates: [...values.dates], ic: values.dates.map((_, t) => 0.1 * t), rankIc: values.dates.map(() => 0) } } as never, { daily: { dates: [...values.dates], ic: values.dates.map(() => 0.1), rankIc: values.dates.map(() => 0) } } as never, { metric: "ic", horizonDays: 1 } as never);
  add("adjustedRandIndex", (a, b) => adjustedRandIndex(a, b), [1, 2, 2] as ArrayLike<number | string>, ["a", "b", "b"] as ArrayLike<number | string>);
  add("averagePredictions", (members) => averagePredictions(members), [values, values] as never);
  add("audit", (data, options) => audit(data, options as never), panel, { ...samples } as object);
  add("similar", (run, options) => similar(run, options), join(folder, "nowhere"), { date, ticker, top: 3 });
  add("loadRun", (run) => loadRun(run), join(folder, "nowhere"));
  add("openPack", (file, options) => openPack(file, options), join(folder, "nowhere.pack"), { verify: true });
  add("readSafetensors", (bytes) => readSafetensors(bytes), new Uint8Array(12));
  add("writeSafetensors", (tensors, metadata) => writeSafetensors(tensors, metadata), { a: { dtype: "F32", shape: [2], data: new Float32Array(2) } } as never, { format: "pt" });
  add("setPrecision", (precision) => setPrecision(precision), setPrecision("highest"));
  add("simulateMarket", (options) => simulateMarket(options), { seed: 1, stocks: 3, dates: 30 });
});

describe("fuzz: calls", { timeout: FUZZ_TIMEOUT }, () => {
  it("do with the arguments that are changed below, but for names of nothing", async () => {
    for (const [name, { args, call }] of calls) {
      // A core may be built without the solver.
      if (name === "optimise" && !loadCore().hasSolver) continue;
      const namesNothing = args().some((value) => typeof value === "string" && value.includes("nowhere")) || ["walkForward", "train", "RiskModel.read", "readSafetensors"].includes(name);
      if (!namesNothing) await call(...(args() as never[]));
    }
  });

  it("arguments of the public functions", () =>
    fuzz("calls", 1500, async (mutator, seed) => {
      const name = [...calls.keys()][seed % calls.size]!;
      const { args, call } = calls.get(name)!;
      const result = await call(...(changed(mutator, args()) as never[]));
      if (typeof result === "number") expectFinite([result], name, true);
    }));
});
