import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { DecayedMoments } from "../../lib/risk/decayed-moments.js";
import { DecayedVariances } from "../../lib/risk/decayed-variances.js";
import { congruence, symmetricEigen } from "../../lib/metrics/dense.js";
import { FactorCovariance, normals } from "../../lib/risk/factor-covariance.js";
import type { FactorForm } from "../../lib/risk/factor-form.js";
import { crossSection, winsorise } from "../../lib/risk/factor-returns.js";
import { leadingPortfolios } from "../../lib/risk/eigen-portfolios.js";
import { longOnlyMinimumVariance, minimumVariance } from "../../lib/risk/minimum-variance.js";
import { sampleCovariances } from "../../lib/risk/sample-covariance.js";
import { shrunkToBuckets } from "../../lib/risk/specific-risk.js";

interface Fixture {
  covariances: { dates: number; stocks: number; returns: number[]; sample: number[]; lw: number[]; oas: number[]; pcaVariances: number[] }[];
  regression: { styles: number[]; groups: number[]; caps: number[]; returns: number[]; factorReturns: number[]; residuals: number[]; r2: number };
  shrinkage: { sigma: number[]; shrunk: number[] };
}
const fixture = JSON.parse(readFileSync(new URL("./fixtures/risk.json", import.meta.url), "utf8")) as Fixture;

/** X F X' + diag(v), written out. */
function dense({ exposures, factorCovariance, specificVariance, tickers, factors }: FactorForm): Float64Array {
  const out = congruence(exposures, factorCovariance, tickers.length, factors.length);
  for (const [i, value] of specificVariance.entries()) out[i * (tickers.length + 1)]! += value;
  return out;
}

function gaps(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));
}

describe("sample covariances", () => {
  test.each(fixture.covariances)("of $dates dates and $stocks stocks are those of scikit-learn", ({ stocks, returns, sample, lw, oas, pcaVariances }) => {
    const tickers = Array.from({ length: stocks }, (_, i) => `S${i}`);
    const found = sampleCovariances({ tickers, returns }, ["sample", "lw", "oas", "pca"], 3);
    // Sums in another order; entries are about 1e-3.
    expect(gaps(dense(found.sample), sample)).toBeLessThan(1e-15);
    expect(gaps(dense(found.lw), lw)).toBeLessThan(1e-15);
    expect(gaps(dense(found.oas), oas)).toBeLessThan(1e-15);
    expect(gaps([0, 1, 2].map((k) => found.pca.factorCovariance[k * 4]!), pcaVariances)).toBeLessThan(1e-14);
    // What the components leave is a stock's own: the diagonal is the sample's.
    expect(gaps(Array.from({ length: stocks }, (_, i) => dense(found.pca)[i * (stocks + 1)]!), Array.from({ length: stocks }, (_, i) => sample[i * (stocks + 1)]!))).toBeLessThan(1e-4);
  });

  test("pca of many dates by subspace iteration is that of a whole decomposition", () => {
    const normal = normals(3);
    const [T, N] = [90, 40];
    const common = Array.from({ length: T * 3 }, () => normal());
    const loads = Array.from({ length: N * 3 }, () => normal());
    const returns = Float64Array.from({ length: T * N }, (_, c) => 0.1 * normal() + [0, 1, 2].reduce((sum, k) => sum + common[Math.floor(c / N) * 3 + k]! * loads[(c % N) * 3 + k]!, 0));
    const tickers = Array.from({ length: N }, (_, i) => `S${i}`);
    const { pca, sample } = sampleCovariances({ tickers, returns }, ["pca", "sample"], 3);
    expect(gaps([0, 1, 2].map((k) => pca.factorCovariance[k * 4]!), symmetricEigen(dense(sample), N).values.subarray(0, 3))).toBeLessThan(1e-12);
  });
});

describe("factor returns", () => {
  const { styles, groups, caps, returns, factorReturns, residuals, r2 } = fixture.regression;
  const stocks = returns.length;
  const K = 9;
  const exposures = Float64Array.from({ length: stocks * K }, (_, c) => {
    const [i, k] = [Math.floor(c / K), c % K];
    return k === 0 ? 1 : k < 4 ? styles[i * 3 + k - 1]! : groups[i] === k - 4 ? 1 : 0;
  });
  const capitalisation = new Float64Array(5);
  for (const [i, group] of groups.entries()) capitalisation[group]! += caps[i]!;
  const input = { exposures, returns: Float64Array.from(returns), weights: Float64Array.from(caps, Math.sqrt), factors: K, constraint: { first: 4, weights: capitalisation }, ridge: 0, ridgeFrom: 1 };

  test("by weighted least squares with groups that sum to 0 are those of riskprism", () => {
    const found = crossSection(input);
    expect(gaps(found.factorReturns, factorReturns)).toBeLessThan(1e-13);
    expect(gaps(found.residuals, residuals)).toBeLessThan(1e-13);
    expect(found.r2).toBeCloseTo(r2, 12);
    expect(groups.length > 0 && capitalisation.reduce((sum, cap, g) => sum + cap * found.factorReturns[4 + g]!, 0)).toBeCloseTo(0, 12);
  });

  test("do not depend on the order of stocks nor on one without a return", () => {
    const order = Array.from({ length: stocks }, (_, i) => (i * 7) % stocks);
    const turned = { ...input, exposures: Float64Array.from(order.flatMap((i) => Array.from(exposures.subarray(i * K, (i + 1) * K)))), returns: Float64Array.from(order, (i) => returns[i]!), weights: Float64Array.from(order, (i) => Math.sqrt(caps[i]!)) };
    const found = crossSection(turned);
    expect(gaps(found.factorReturns, factorReturns)).toBeLessThan(1e-13);
    expect(gaps(found.residuals, order.map((i) => residuals[i]!))).toBeLessThan(1e-13);
  });

  test("of a factor that repeats another are 0, and nothing else changes", () => {
    const doubled = Float64Array.from({ length: stocks * 5 }, (_, c) => (c % 5 === 4 ? 2 * exposures[Math.floor(c / 5) * K + 3]! : exposures[Math.floor(c / 5) * K + (c % 5)]!));
    const once = Float64Array.from({ length: stocks * 4 }, (_, c) => exposures[Math.floor(c / 4) * K + (c % 4)]!);
    const { constraint: _, ...rest } = input;
    const [a, b] = [crossSection({ ...rest, exposures: doubled, factors: 5 }), crossSection({ ...rest, exposures: once, factors: 4 })];
    expect(a.factorReturns[4]).toBe(0);
    expect(gaps(a.factorReturns.subarray(0, 4), b.factorReturns)).toBeLessThan(1e-15);
  });

  test("are of returns that were drawn to robust deviations from their median", () => {
    const values = Float64Array.of(0, 0.01, -0.01, 0.02, -0.02, NaN, 3);
    expect(winsorise(values, 2)).toBe(1);
    // Median .005; absolute deviations .005 .005 .015 .015 .025 2.995, their median .015.
    expect(values[6]).toBeCloseTo(0.005 + 2 * 1.4826 * 0.015, 12);
    expect(values[5]).toBeNaN();
  });
});

/** A series of vectors with some memory. */
function series(dates: number, K: number, seed: number): Float64Array[] {
  const normal = normals(seed);
  const out: Float64Array[] = [];
  for (let t = 0; t < dates; t++) out.push(Float64Array.from({ length: K }, (_, k) => 0.01 * (normal() - 0.4 * (k === 0 ? 1 : 0.2)) + 0.3 * (out[t - 1]?.[k] ?? 0)));
  return out;
}

describe("decayed moments", () => {
  test("kept as sums are the weighted autocovariances of the whole history", () => {
    const [T, K, lags, halfLife] = [70, 3, 5, 20];
    const values = series(T, K, 1);
    const moments = new DecayedMoments(K, halfLife, lags);
    for (const value of values) moments.update(value);
    const w = values.map((_, t) => 2 ** (-(T - 1 - t) / halfLife));
    const total = w.reduce((sum, one) => sum + one, 0);
    const mean = Array.from({ length: K }, (_, k) => values.reduce((sum, value, t) => sum + w[t]! * value[k]!, 0) / total);
    const expected = Array.from({ length: K * K }, (_, c) => {
      const [i, j] = [Math.floor(c / K), c % K];
      const gamma = (d: number, a: number, b: number): number => values.reduce((sum, value, t) => (t < d ? sum : sum + Math.sqrt(w[t]! * w[t - d]!) * (value[a]! - mean[a]!) * (values[t - d]![b]! - mean[b]!)), 0) / total;
      let sum = gamma(0, i, j);
      for (let d = 1; d <= lags; d++) sum += (1 - d / (lags + 1)) * (gamma(d, i, j) + gamma(d, j, i));
      return sum;
    });
    // Sums of products about 1e-4, in another order.
    expect(gaps(moments.covariance(), expected)).toBeLessThan(1e-17);
    const variances = new DecayedVariances(K, halfLife, lags, true);
    for (const value of values) variances.update(value);
    expect(gaps(variances.variances(), [0, 1, 2].map((k) => expected[k * (K + 1)]!))).toBeLessThan(1e-17);
  });

  test("are positive semidefinite whatever the series and the lags", () => {
    for (let seed = 0; seed < 40; seed++) {
      const K = 2 + (seed % 5);
      const moments = new DecayedMoments(K, 4 + seed, 1 + (seed % 7));
      for (const value of series(3 + (seed % 20), K, seed)) moments.update(value);
      const { values } = symmetricEigen(moments.covariance(), K);
      expect(values.at(-1)!).toBeGreaterThan(-1e-15 * values[0]!);
    }
  });

  test("go on from their state as if they had not stopped, to the last bit", () => {
    const values = series(40, 4, 5);
    const [whole, first, second] = [new DecayedMoments(4, 10, 3), new DecayedMoments(4, 10, 3), new DecayedMoments(4, 10, 3)];
    for (const value of values) whole.update(value);
    for (const value of values.slice(0, 17)) first.update(value);
    second.restore(first.state());
    for (const value of values.slice(17)) second.update(value);
    expect(second.covariance()).toEqual(whole.covariance());
  });

  test("of series with gaps count what is there, and short ones are kept above 0", () => {
    const variances = new DecayedVariances(2, Infinity, 1, false);
    for (const [a, b] of [[1, NaN], [-1, 2], [1, NaN], [NaN, -2]]) variances.update(Float64Array.of(a!, b!));
    // Series a: 3 / 3 and 2 · ½ · (-2) / 3; series b: 8 / 2, and no pair of neighbours.
    expect(variances.variances()[0]).toBeCloseTo(1 / 3, 12);
    expect(variances.variances()[1]).toBeCloseTo(4, 12);
  });
});

describe("the factor covariance", () => {
  const options = { volatilityHalfLife: 20, volatilityLags: 2, correlationHalfLife: 60, correlationLags: 1, eigenfactors: { simulations: 40, scale: 1.4, refresh: 21, seed: 0 } } as const;

  test("with the eigenfactor adjustment raises the least eigenfactors most and is repeated by its seed", () => {
    const K = 8;
    const [plain, adjusted, again] = [new FactorCovariance(K, { ...options, eigenfactors: false }), new FactorCovariance(K, options), new FactorCovariance(K, options)];
    for (const value of series(120, K, 9)) for (const one of [plain, adjusted, again]) one.update(value);
    const [before, after] = [symmetricEigen(plain.covariance(), K).values, symmetricEigen(adjusted.covariance(), K).values];
    const ratio = Array.from(before, (value, k) => after[k]! / value);
    expect(ratio.at(-1)!).toBeGreaterThan(1.1);
    expect(ratio.at(-1)!).toBeGreaterThan(ratio[0]!);
    expect(again.covariance()).toEqual(adjusted.covariance());
  });
});

test("specific volatilities shrunk to their size bucket are those of riskprism", () => {
  const { sigma, shrunk } = fixture.shrinkage;
  const found = shrunkToBuckets(Float64Array.from(sigma), Float64Array.from(sigma.keys()), 0.1, 2);
  expect(gaps(found, shrunk)).toBeLessThan(1e-15);
  expect(gaps(found, [0.210114447, 0.300135716, 0.473493072, 0.253251674, 0.395993395, 0.125149944, 0.165291228, 0.300166675, 0.349339901, 0.558475204])).toBeLessThan(1e-9);
});

describe("portfolios of least variance", () => {
  const normal = normals(11);
  const [N, K] = [31, 3];
  const form: FactorForm = {
    tickers: Array.from({ length: N }, (_, i) => `S${i}`), factors: ["a", "b", "c"],
    exposures: Float64Array.from({ length: N * K }, () => normal() + 1), factorCovariance: Float64Array.of(4, 1, 0, 1, 2, 0, 0, 0, 1).map((x) => x * 1e-4),
    specificVariance: Float64Array.from({ length: N }, () => 1e-4 * (1 + normal() ** 2)),
  };
  const rows = Int32Array.from(form.tickers.keys());
  const gradient = (weights: Float64Array): Float64Array => {
    const v = dense(form);
    return Float64Array.from({ length: N }, (_, i) => weights.reduce((sum, weight, j) => sum + weight * v[i * N + j]!, 0));
  };

  test("have the same marginal risk in every stock", () => {
    const weights = minimumVariance(form, rows)!;
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
    const risk = gradient(weights);
    expect(gaps(risk, new Float64Array(N).fill(risk[0]!))).toBeLessThan(1e-15);
  });

  test("with weights from 0 have no less in a stock that is left out", () => {
    const weights = longOnlyMinimumVariance(form, rows);
    const risk = gradient(weights);
    const held = weights.reduce((sum, weight, i) => sum + weight * risk[i]!, 0);
    expect(weights.some((weight) => weight === 0)).toBe(true);
    for (const [i, weight] of weights.entries()) {
      expect(weight).toBeGreaterThanOrEqual(0);
      // To the tolerance of the descent.
      expect(risk[i]! / held).toBeGreaterThan(1 - 1e-6);
      if (weight > 1e-6) expect(risk[i]! / held).toBeLessThan(1 + 1e-6);
    }
  });

  test("stand beside the leading eigenvectors of the covariance, which the factor form gives without writing it out", () => {
    const some = rows.filter((row) => row % 4 !== 1);
    const own = dense(form);
    const n = some.length;
    const { vectors } = symmetricEigen(Float64Array.from({ length: n * n }, (_, c) => own[some[Math.floor(c / n)]! * N + some[c % n]!]!), n);
    const found = leadingPortfolios(form, some, 4);
    for (const [k, vector] of found.entries()) {
      const overlap = vector.reduce((sum, value, i) => sum + value * vectors[k * n + i]!, 0);
      // Up to the sign; the space is iterated until its angles are below a degree.
      expect(Math.abs(overlap)).toBeGreaterThan(0.999);
    }
  });

  test("exist with weights from 0 where the covariance is singular", () => {
    const singular = { ...form, specificVariance: new Float64Array(N) };
    expect(minimumVariance(singular, rows)).toBeUndefined();
    const weights = longOnlyMinimumVariance(singular, rows);
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
  });
});
