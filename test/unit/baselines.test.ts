import { describe, expect, it } from "vitest";
import { comparePredictions, planeOf } from "../../lib/evaluate/baselines/compare.js";
import { priceSignal } from "../../lib/evaluate/baselines/price-signals.js";
import { LAMBDAS, ridgeBaseline } from "../../lib/evaluate/baselines/ridge-baseline.js";
import { ridgeCoefficients, ridgeSums } from "../../lib/evaluate/baselines/ridge.js";
import { evaluate, pairedDifference, Panel } from "../../lib/index.js";
import { evaluatePairs } from "../../lib/metrics/pairs.js";
import { smallDataset } from "./small-dataset.js";

const X = Array.from({ length: 9 }, (_, i) => [0, 1, 2].map((f) => (((i * 7 + f * 3 + 1) * (i + 2 * f + 1)) % 11) / 3 - 1.5));
const Y = Array.from({ length: 9 }, (_, i) => ((i * 5 + 2) % 7) / 2 - 1.3);
const rowsOf = (x: readonly number[][], y: readonly number[]) => ({ rows: y.length, features: x[0]!.length, row: (i: number, out: Float64Array) => (out.set(x[i]!), y[i]!) });

describe("ridge", () => {
  // numpy.linalg.solve(Z.T @ Z / n + lambda * I, Z.T @ (y - y.mean()) / n) / X.std(0) with Z = (X - X.mean(0)) / X.std(0)
  it.each([
    [1e-4, [0.0004888471264053998, 0.42384055557490236, -0.5711794374854315]],
    [0.1, [-0.0062450281792133825, 0.396524616324944, -0.5294659485621365]],
    [10, [-0.009228782320373016, 0.0541172230280886, -0.06535468131563786]],
  ])("has NumPy's coefficients for lambda %d", (lambda, expected) => {
    const found = ridgeCoefficients(ridgeSums(rowsOf(X, Y)), lambda);
    for (const [f, value] of expected.entries()) expect(found[f]).toBeCloseTo(value, 12);
  });

  it("gives a constant feature the coefficient 0, and scaling or shifting a feature changes no prediction", () => {
    const found = ridgeCoefficients(ridgeSums(rowsOf(X.map((x) => [...x, 5]), Y)), 0.1);
    const scaled = ridgeCoefficients(ridgeSums(rowsOf(X.map((x) => [1e6 + 1000 * x[0]!, x[1]!, x[2]!, 5]), Y)), 0.1);
    expect(found[3]).toBe(0);
    // A shift of 1e6 costs six digits.
    expect(scaled[0]! * 1000).toBeCloseTo(found[0]!, 8);
    expect(scaled[1]).toBeCloseTo(found[1]!, 8);
  });

  it("is fitted and standardised on training rows alone, its penalty the best of the validation", () => {
    const dataset = smallDataset({ dates: 40, stocks: 13, window: 3, seed: 4 });
    const { predictions, lambda } = ridgeBaseline(dataset, 0);
    const [N, F] = [13, 3];
    const cells = (split: typeof dataset.train): number[] => [...split.dateIndices].flatMap((t) => [...dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1])].map((n) => t * N + n));
    const features = (cell: number): number[] => [...dataset.features.subarray(cell * F, cell * F + F)];
    const training = cells(dataset.train);
    const sums = ridgeSums(rowsOf(training.map(features), training.map((cell) => dataset.targets[cell]!)));
    const scores = (split: typeof dataset.test, penalty: number) => {
      const b = ridgeCoefficients(sums, penalty);
      const data = new Float64Array(split.dates.length * N).fill(NaN);
      for (const cell of cells(split)) data[cell - split.dateIndices[0]! * N] = features(cell).reduce((sum, x, f) => sum + x * b[f]!, 0);
      return { data, shape: [split.dates.length, N] as const, dates: split.dates, tickers: dataset.tickers };
    };
    expect(predictions).toEqual(scores(dataset.test, lambda));
    const ics = LAMBDAS.map((penalty) => evaluatePairs(scores(dataset.valid, penalty), dataset.valid.labels, [[0, 0]]).ic);
    expect(LAMBDAS[ics.indexOf(Math.max(...ics))]).toBe(lambda);
    // The first feature makes the label.
    expect(evaluate(predictions, dataset.test.labels).ic).toBeGreaterThan(0.1);
  });
});

describe("priceSignal", () => {
  it("is minus the last return, minus that of 20 dates, and the return from 252 to 21 dates before, by hand", async () => {
    const dates = Array.from({ length: 260 }, (_, t) => new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10));
    const close = Float64Array.from({ length: 520 }, (_, i) => (i === 2 * 258 + 1 ? NaN : 100 + (i >> 1) * (i % 2 === 0 ? 1 : 2)));
    const panel = await Panel.from({ dates, tickers: ["A", "B"], columns: { close } }, { onWarning: () => {} });
    const of = (name: "reversal1" | "reversal20" | "momentum"): number[] => [...priceSignal(panel, name, [dates[5]!, dates[259]!, "2030-01-01"]).data];
    expect(of("reversal1")).toEqual([-(105 / 104 - 1), -(110 / 108 - 1), -(359 / 358 - 1), NaN, NaN, NaN]);
    expect(of("reversal20")).toEqual([NaN, NaN, -(359 / 339 - 1), -(618 / 578 - 1), NaN, NaN]);
    expect(of("momentum")).toEqual([NaN, NaN, 338 / 107 - 1, 576 / 114 - 1, NaN, NaN]);
  });

  it("compares no closes across a price break that was made missing", async () => {
    const dates = Array.from({ length: 30 }, (_, t) => new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10));
    const close = Float64Array.from({ length: 30 }, (_, t) => (t <= 20 ? 100 + (t % 2) : 25 + ((t + 1) % 2) / 4));
    // In money as much is traded as before, and it opens where it closes: a split.
    const columns = { close, open: close.slice(), volume: close.map((price) => 1e5 / price) };
    const panel = await Panel.from({ dates, tickers: ["A"], columns }, { extremeReturns: "missing", onWarning: () => {} });
    const { data } = priceSignal(panel, "reversal1", dates);
    expect([data[19], data[21], data[22]]).toEqual([-(101 / 100 - 1), NaN, -(25.25 / 25 - 1)]);
  });
});

describe("comparePredictions", () => {
  const [dates, tickers] = [["d1", "d2", "d3", "d4"], ["A", "B", "C", "D", "E"]];
  const panel = (rows: readonly (number | null)[][], names = tickers, days = dates.slice(0, rows.length)) => ({ data: Float64Array.from(rows.flat(), (value) => value ?? NaN), shape: [rows.length, names.length] as const, dates: days, tickers: names });
  const ours = panel([[1, 2, 3, 4, 5], [2, 1, 3, 5, 4], [1, 3, 2, 4, 5], [5, 1, 2, 3, 4]]);
  const labels = panel([[0.1, 0.2, 0.3, 0.2, null], [0, 0.1, 0.3, 0.2, 0.1], [0.3, 0.1, 0, 0.2, 0.4], [0.1, 0.2, 0.5, 0.1, 0.3]]);
  const other = panel([[3, 1, null, 2, 4], [1, 2, 3, 4, 5], [2, 2, 1, 5, 3], [1, 2, 3, 5, 4]]);

  it("counts the rows that all have, and takes every number from these alone", () => {
    // The same predictions with stocks and dates in another order, and a stock and a date that ours does not have.
    const order = [3, 1, 4, 0, 2];
    const shuffled = panel([9, 3, 2, 1, 0].map((t) => (t === 9 ? [9, 9, 9, 9, 9, 9] : [...order.map((n) => (Number.isNaN(other.data[t * 5 + n]!) ? null : other.data[t * 5 + n]!)), 7])), [...order.map((n) => tickers[n]!), "X"], ["d9", "d4", "d3", "d2", "d1"]);
    const found = comparePredictions(ours, labels, [{ name: "other", predictions: shuffled, isOptional: false }], 2);
    const common = { ...ours, data: ours.data.map((value, i) => (Number.isNaN(other.data[i]!) ? NaN : value)) };
    const [a, b] = [evaluatePairs(common, labels, [[0, 0]]), evaluatePairs({ ...other, data: other.data.map((value, i) => (Number.isNaN(labels.data[i]!) ? NaN : value)) }, labels, [[0, 0]])];
    expect(found).toMatchObject({ dates: 4, rows: 18, rowsLeftOut: 1, model: { name: "this run", ic: a.ic, icir: a.icir, rankIc: a.rankIc }, leftOut: [] });
    const { mean, standardError, t, p, lag } = pairedDifference(a, b, { horizonDays: 2 });
    expect(found.baselines).toEqual([expect.objectContaining({ name: "other", ic: b.ic, rankIc: b.rankIc, missing: 1, difference: { mean, standardError, t, p, lag } })]);
    expect(mean).toBeCloseTo(a.ic - b.ic, 12);
  });

  it("leaves out an optional one that lacks most rows, so that the others keep them, and refuses predictions of other rows", () => {
    const few = panel([[1, 2, 3, null, null], [null, null, null, null, null], [null, null, null, null, 3], [null, null, null, null, null]]);
    const found = comparePredictions(ours, labels, [{ name: "few", predictions: few, isOptional: true }], 1);
    expect(found).toMatchObject({ rows: 19, rowsLeftOut: 0, baselines: [], leftOut: [{ name: "few", reason: "it has values for 21 % of the rows" }] });
    expect(comparePredictions(ours, labels, [{ name: "few", predictions: few, isOptional: false }], 1)).toMatchObject({ rows: 4, rowsLeftOut: 15, dates: 1 });
    expect(() => comparePredictions(ours, labels, [{ name: "mine.csv", predictions: panel([[1, 2]], ["X", "Y"]), isOptional: false }], 1)).toThrow("mine.csv has no prediction for any of the 19 rows of the test, from d1 to d4, e.g. A. Name predictions of the same dates, with tickers written alike.");
    const apart = (row: number) => panel(dates.map((_, t) => tickers.map(() => (t === row ? 1 : null))));
    expect(() => comparePredictions(ours, labels, [0, 1].map((row) => ({ name: `p${row}`, predictions: apart(row), isOptional: false })), 1)).toThrow("No row of the test is in all of p0, p1.");
  });

  it("takes one plane of several predictions", () => {
    expect(planeOf({ data: Float32Array.of(1, 10, 2, 20), shape: [1, 2, 2], dates: ["d"], tickers: ["A", "B"] }, 1)).toMatchObject({ data: Float64Array.of(10, 20), shape: [1, 2] });
  });
});
