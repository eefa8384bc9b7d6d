import { describe, expect, it } from "vitest";
import { ASTGNNFactorModel, Tensor, train, type Dataset, type ModelOptions, type Prediction } from "../../lib/index.js";
import { smallDataset } from "../unit/small-dataset.js";

const plain: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gruNumLayers: 2, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], relationalSkip: true };
const models: [string, ModelOptions][] = [
  ["the literal formula", plain],
  ["exclude-self, top-k, learned scale, state", { ...plain, excludeSelf: true, topK: 3, similarityScale: "learned", relationalInput: "both", gatResidual: "subtract" }],
  ["A within groups", { ...plain, similarityGraph: "groups", excludeSelf: true }],
];
const dataset = smallDataset({ dates: 24, stocks: 33, window: 4, missing: 0.2, seed: 4, groups: true, emptyDates: [9] });
const options = { riskFactors: true, threads: 1 } as const;

/** The dataset with its stocks in another order; `order[new] = old`. */
function reordered(source: Dataset, order: readonly number[]): Dataset {
  const { dates, tickers } = source;
  const [D, N] = [dates.length, tickers.length];
  const move = (values: Float32Array, width: number): Float32Array => {
    const moved = new Float32Array(D * order.length * width).fill(NaN);
    for (let t = 0; t < D; t++) for (const [n, old] of order.entries()) if (old >= 0) moved.set(values.subarray((t * N + old) * width, (t * N + old + 1) * width), (t * order.length + n) * width);
    return moved;
  };
  const rowOffsets = new Int32Array(D + 1);
  const rowStocks: number[] = [];
  const groups: number[] = [];
  for (let t = 0; t < D; t++) {
    const rows = new Map([...source.rowStocks.subarray(source.rowOffsets[t], source.rowOffsets[t + 1])].map((stock, i) => [stock, source.rowOffsets[t]! + i]));
    for (const [n, old] of order.entries()) {
      const row = rows.get(old);
      if (row === undefined) continue;
      rowStocks.push(n);
      groups.push(source.groups![row]!);
    }
    rowOffsets[t + 1] = rowStocks.length;
  }
  const F = source.featureNames.length;
  return {
    ...source, tickers: order.map((old, n) => (old < 0 ? `GHOST${n}` : tickers[old]!)), features: move(source.features, F), labels: move(source.labels, 1), targets: move(source.targets, 1),
    rowOffsets, rowStocks: Int32Array.from(rowStocks), groups: Int32Array.from(groups),
  };
}

/** Largest difference between two predictions on the stocks and dates they share; fails where one has NaN and the other not. */
function difference(a: Prediction, b: Prediction, dates: readonly string[]): number {
  let worst = 0;
  for (const name of ["predictions", "riskFactors"] as const) {
    const [left, right] = [a[name]!, b[name]!];
    const width = left.shape[2] ?? 1;
    for (const date of dates) {
      for (const [n, ticker] of left.tickers.entries()) {
        const m = right.tickers.indexOf(ticker);
        if (m < 0) continue;
        for (let k = 0; k < width; k++) {
          const x = left.data[(left.dates.indexOf(date) * left.shape[1]! + n) * width + k]!;
          const y = right.data[(right.dates.indexOf(date) * right.shape[1]! + m) * width + k]!;
          if (Number.isNaN(x) !== Number.isNaN(y)) return Infinity;
          if (!Number.isNaN(x)) worst = Math.max(worst, Math.abs(x - y));
        }
      }
    }
  }
  return worst;
}

describe.each(models)("a model with %s", (_name, config) => {
  // Float64: what is left is rounding, 1e-16 per operation.
  const make = (): ASTGNNFactorModel => new ASTGNNFactorModel({ ...config, dtype: "float64", seed: 7 });

  it("permuting stocks permutes outputs", async () => {
    using model = make();
    const order = Array.from({ length: 33 }, (_, n) => (n * 10 + 3) % 33);
    const a = await model.predict(dataset, options);
    const b = await model.predict(reordered(dataset, order), options);
    expect(difference(a, b, a.predictions.dates)).toBeLessThan(1e-12);
    expect(b.similarity.effectiveNeighbours).toBeCloseTo(a.similarity.effectiveNeighbours, 10);
  });

  it("a ghost stock changes nothing", async () => {
    using model = make();
    const order = [-1, ...Array.from({ length: 33 }, (_, n) => n), -1];
    const a = await model.predict(dataset, options);
    const b = await model.predict(reordered(dataset, order), options);
    expect(difference(a, b, a.predictions.dates)).toBe(0);
    expect(b.predictions.data.filter((value) => !Number.isNaN(value))).toHaveLength(dataset.rowStocks.length);
  });

  it("a date's output does not depend on what else is asked for", async () => {
    using model = make();
    const all = await model.predict(dataset, options);
    const one = await model.predict({ dataset, dates: [dataset.dates[13]!] }, options);
    expect(difference(one, all, [dataset.dates[13]!])).toBe(0);
    const shuffled = await model.predict({ dataset, dates: Int32Array.of(20, 9, 13, 5) }, options);
    expect(difference(shuffled, all, [20, 13, 5].map((t) => dataset.dates[t]!))).toBe(0);
    expect([...shuffled.predictions.data.subarray(33, 66)].every(Number.isNaN)).toBe(true);
  });

  it("appending future days changes no past output", async () => {
    using model = make();
    const D = 15;
    const cut = (values: Float32Array, width: number): Float32Array => values.slice(0, D * 33 * width);
    const short: Dataset = {
      ...dataset, dates: dataset.dates.slice(0, D), features: cut(dataset.features, 3), labels: cut(dataset.labels, 1), targets: cut(dataset.targets, 1),
      rowOffsets: dataset.rowOffsets.slice(0, D + 1), rowStocks: dataset.rowStocks.slice(0, dataset.rowOffsets[D]), groups: dataset.groups!.slice(0, dataset.rowOffsets[D]),
    };
    const a = await model.predict(short, options);
    const b = await model.predict(dataset, options);
    expect(difference(a, b, a.predictions.dates)).toBe(0);
  });
});

describe("training", () => {
  it("does not see validation, test or future dates", async () => {
    const losses = async (data: Dataset): Promise<number[]> => {
      using model = new ASTGNNFactorModel({ ...plain, seed: 7 });
      const seen: number[] = [];
      await train(model, data, { epochs: 1, threads: 1, onStep: ({ loss }) => void seen.push(loss) });
      return seen;
    };
    const changed: Dataset = { ...dataset, targets: dataset.targets.slice(), features: dataset.features.slice() };
    const firstValid = dataset.valid.dateIndices[0]!;
    changed.targets.fill(1, firstValid * 33);
    changed.features.fill(2, firstValid * 33 * 3);
    expect(await losses(changed)).toEqual(await losses(dataset));
  });

  it("finds nothing in labels that have nothing to do with the features", async () => {
    const random = smallDataset({ dates: 200, stocks: 40, window: 2, seed: 11 });
    const other = smallDataset({ dates: 200, stocks: 40, window: 2, seed: 12 });
    const null_: Dataset = { ...random, labels: other.labels, targets: Float32Array.from(random.targets, (value, i) => (Number.isNaN(value) ? NaN : other.labels[i]!)), test: { ...random.test, labels: other.test.labels } };
    using model = new ASTGNNFactorModel(plain);
    await train(model, null_, { epochs: 2, threads: 1 });
    const { predictions } = await model.predict(null_.test, options);
    const { evaluate } = await import("../../lib/index.js");
    const { ic, icStandardError } = evaluate(predictions, null_.test.labels);
    expect(Math.abs(ic)).toBeLessThan(4 * icStandardError);
  });
});

describe("the graph of a date", () => {
  it("neighbours are the row of A, heaviest first, without those that the options exclude", async () => {
    using model = new ASTGNNFactorModel({ ...plain, similarityGraph: "groups", excludeSelf: true });
    const date = dataset.dates[12]!;
    const rows = [...dataset.rowStocks.subarray(dataset.rowOffsets[12], dataset.rowOffsets[13])];
    const ticker = dataset.tickers[rows[5]!]!;
    const neighbours = await model.neighbours(dataset, date, ticker, { top: 100 });
    expect(neighbours.map(({ ticker: one }) => one)).not.toContain(ticker);
    expect(neighbours).toHaveLength(rows.filter((stock) => stock % 3 === rows[5]! % 3).length - 1);
    expect(neighbours.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 5);
    expect(neighbours.map(({ weight }) => weight)).toEqual(neighbours.map(({ weight }) => weight).sort((a, b) => b - a));
    expect(await model.neighbours(dataset, date, ticker, { top: 2 })).toEqual(neighbours.slice(0, 2));
  });

  it.each(models)("the neighbours of every stock are its row of similarity(), %s", async (_, config) => {
    using model = new ASTGNNFactorModel({ ...config, dtype: "float64" });
    const t = 12;
    const rows = [...dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1])];
    const { riskFactors } = await model.predict({ dataset, dates: Int32Array.of(t) }, options);
    using m = Tensor.from(Float64Array.from(rows.flatMap((stock) => [...riskFactors.data.subarray(4 * stock, 4 * stock + 4)])), [rows.length, 4]);
    using a = await model.similarity(m, dataset.groups!.slice(dataset.rowOffsets[t]!, dataset.rowOffsets[t + 1]!));
    const weights = a.toTypedArray() as Float64Array;
    for (const [i, stock] of rows.entries()) {
      const row = rows.map((other, j) => ({ ticker: dataset.tickers[other]!, weight: weights[i * rows.length + j]! })).filter(({ weight }) => weight > 0).sort((x, y) => y.weight - x.weight);
      const found = await model.neighbours(dataset, dataset.dates[t]!, dataset.tickers[stock]!, { top: 100 });
      expect(found).toHaveLength(row.length);
      const expected = new Map(row.map(({ ticker, weight }) => [ticker, weight]));
      for (const { ticker, weight } of found) expect(weight).toBeCloseTo(expected.get(ticker)!, 12);
    }
  });

  it("neighbours of one stock make nothing of the size of A", async () => {
    const stocks = 6000;
    const wide = smallDataset({ dates: 3, stocks, window: 2, missing: 0, seed: 1 });
    using model = new ASTGNNFactorModel(plain);
    await model.predict({ dataset: wide, dates: Int32Array.of(1) }, { threads: 1 });
    const before = process.resourceUsage().maxRSS;
    expect(await model.neighbours(wide, wide.dates[1]!, wide.tickers[7]!, { top: 3 })).toHaveLength(3);
    // In KiB; A alone takes 137 MiB.
    expect(process.resourceUsage().maxRSS - before).toBeLessThan((stocks * stocks * 4) / 1024 / 4);
  });

  it("forward on the user's own tensors gives what predict gives", async () => {
    using model = new ASTGNNFactorModel({ ...plain, dtype: "float64" });
    const t = 14;
    const rows = [...dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1])];
    const values = new Float64Array(4 * rows.length * 3);
    for (let s = 0; s < 4; s++) for (const [r, stock] of rows.entries()) for (let f = 0; f < 3; f++) values[(s * rows.length + r) * 3 + f] = dataset.features[((t - 3 + s) * 33 + stock) * 3 + f]!;
    using sequences = Tensor.from(values, [4, rows.length, 3]);
    const output = await model.forward(sequences, [0, rows.length]);
    const { predictions, riskFactors } = await model.predict({ dataset, dates: Int32Array.of(t) }, options);
    const own = [...(output.predictions.toTypedArray() as Float64Array)];
    expect(own.map((value, r) => Math.abs(value - predictions.data[rows[r]!]!)).every((gap) => gap < 1e-12)).toBe(true);
    const m = output.riskFactors.toTypedArray() as Float64Array;
    expect(rows.every((stock, r) => [0, 1, 2, 3].every((k) => Math.abs(m[r * 4 + k]! - riskFactors.data[stock * 4 + k]!) < 1e-12))).toBe(true);
    for (const tensor of Object.values(output) as Tensor[]) tensor.dispose();
  });
});
