import { describe, expect, it } from "vitest";
import { normalQuantile } from "../../lib/data/ranks.js";
import { randomBits } from "../../lib/metrics/random.js";
import { checkCovariance, type CovarianceMatrix, riskOf } from "../../lib/portfolio/covariance.js";
import { optimise } from "../../lib/portfolio/optimise.js";
import { riskBudgets } from "../../lib/portfolio/risk-budgets.js";
import type { FactorForm } from "../../lib/risk/factor-form.js";
import { cyclicalDescent } from "../oracle/cyclical-descent.js";

function normals(seed: number, count: number): Float64Array {
  const bits = randomBits(seed, 0);
  return Float64Array.from({ length: count }, () => normalQuantile((bits() + 0.5) / 2 ** 32));
}

const names = (n: number): string[] => Array.from({ length: n }, (_, i) => `S${i}`);

function matrixOf(deviations: readonly number[], correlation: (i: number, j: number) => number): CovarianceMatrix {
  const n = deviations.length;
  return { tickers: names(n), values: Float64Array.from({ length: n * n }, (_, at) => deviations[Math.floor(at / n)]! * deviations[at % n]! * correlation(Math.floor(at / n), at % n)) };
}

/** A market factor, styles, and specific risk from .5 to 4 % a day. */
function randomFactorForm(n: number, k: number, seed: number): FactorForm {
  const x = normals(seed, n * k);
  for (let i = 0; i < n; i++) x[i * k] = 1 + 0.3 * x[i * k]!;
  const g = normals(seed + 1, k * k);
  const factorCovariance = Float64Array.from({ length: k * k }, (_, at) => {
    const [a, b] = [Math.floor(at / k), at % k];
    let sum = 0;
    for (let c = 0; c < k; c++) sum += g[a * k + c]! * g[b * k + c]!;
    return (sum / k) * (a === 0 ? 0.01 : 0.003) * (b === 0 ? 0.01 : 0.003);
  });
  const bits = randomBits(seed + 2, 0);
  return { tickers: names(n), factors: Array.from({ length: k }, (_, f) => `f${f}`), exposures: x, factorCovariance, specificVariance: Float64Array.from({ length: n }, () => (0.005 * 8 ** (bits() / 2 ** 32)) ** 2) };
}

function writtenOut({ tickers, factors, exposures, factorCovariance, specificVariance }: FactorForm): CovarianceMatrix {
  const [n, k] = [tickers.length, factors.length];
  const values = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = i === j ? specificVariance[i]! : 0;
      for (let a = 0; a < k; a++) for (let b = 0; b < k; b++) sum += exposures[i * k + a]! * factorCovariance[a * k + b]! * exposures[j * k + b]!;
      values[i * n + j] = sum;
    }
  }
  return { tickers, values };
}

const equal = (n: number): Float64Array => new Float64Array(n).fill(1 / n);
const largestDifference = (a: Float64Array, b: ArrayLike<number>): number => Math.max(...a.map((value, i) => Math.abs(value / b[i]! - 1)));

describe("risk budgets", () => {
  it("give the published weights of eight assets with equal risk", async () => {
    const correlations = [
      [100, 80, 60, -20, -10, -20, -20, -20],
      [80, 100, 40, -20, -20, -10, -20, -20],
      [60, 40, 100, 50, 30, 20, 20, 30],
      [-20, -20, 50, 100, 60, 60, 50, 60],
      [-10, -20, 30, 60, 100, 90, 70, 70],
      [-20, -10, 20, 60, 90, 100, 60, 70],
      [-20, -20, 20, 50, 70, 60, 100, 70],
      [-20, -20, 30, 60, 70, 70, 70, 100],
    ];
    const covariance = matrixOf([0.05, 0.05, 0.07, 0.1, 0.15, 0.15, 0.15, 0.18], (i, j) => correlations[i]![j]! / 100);
    const { weights, riskShares } = await optimise({ covariance, objective: "riskParity" });
    const known = [26.8306, 28.6769, 11.4095, 9.7985, 5.6135, 5.9029, 6.656, 5.1121];
    // Published with four decimals of a percent.
    known.forEach((weight, i) => expect(Math.abs(100 * weights[i]! - weight)).toBeLessThan(5.1e-5));
    for (const share of riskShares) expect(Math.abs(share * 8 - 1)).toBeLessThan(1e-13);
  });

  it("of a diagonal covariance are sqrt(budget) / deviation", () => {
    const deviations = [0.01, 0.2, 3, 0.05, 0.7];
    const budgets = Float64Array.of(0.1, 0.3, 0.2, 0.15, 0.25);
    const { weights } = riskBudgets(checkCovariance(matrixOf(deviations, (i, j) => (i === j ? 1 : 0))), budgets);
    const raw = budgets.map((budget, i) => Math.sqrt(budget) / deviations[i]!);
    const sum = raw.reduce((a, b) => a + b);
    // A Newton step ends at the rounding of the shares, each about 1e-16.
    expect(largestDifference(weights, raw.map((value) => value / sum))).toBeLessThan(1e-12);
  });

  it.each([-0.2, 0, 0.3, 0.9])("of equal correlations %d are 1 / deviation", (rho) => {
    const deviations = [0.01, 0.02, 0.05, 0.3];
    const { weights } = riskBudgets(checkCovariance(matrixOf(deviations, (i, j) => (i === j ? 1 : rho))), equal(4));
    const sum = deviations.reduce((total, value) => total + 1 / value, 0);
    expect(largestDifference(weights, deviations.map((value) => 1 / value / sum))).toBeLessThan(1e-12);
  });

  it.each([[1, 1], [2, 1], [31, 3], [151, 10]])("of %d stocks and %d factors agree with cyclical descent, in factor form and written out", (n, k) => {
    const form = randomFactorForm(n, k, 5);
    const bits = randomBits(9, 0);
    const raw = Float64Array.from({ length: n }, () => 0.2 + bits() / 2 ** 32);
    const sum = raw.reduce((a, b) => a + b);
    const budgets = raw.map((value) => value / sum);
    const matrix = writtenOut(form);
    const inFactors = riskBudgets(checkCovariance(form), budgets);
    const inFull = riskBudgets(checkCovariance(matrix), budgets);
    const byDescent = cyclicalDescent(matrix.values, n, budgets);
    expect(inFactors.error).toBeLessThan(1e-12);
    // Sums of n k products in another order, and the descent ends at moves of 1e-15.
    expect(largestDifference(inFactors.weights, inFull.weights)).toBeLessThan(1e-11);
    expect(largestDifference(inFactors.weights, byDescent)).toBeLessThan(1e-11);
  });

  it("are met for 5,000 stocks and 50 factors in a few steps", () => {
    const covariance = checkCovariance(randomFactorForm(5000, 50, 3));
    const { weights, error, steps } = riskBudgets(covariance, equal(5000));
    expect(error).toBeLessThan(1e-11);
    expect(steps).toBeLessThan(20);
    const { shares } = riskOf(covariance, weights);
    expect(largestDifference(shares, equal(5000))).toBeLessThan(1e-11);
  });

  it("are met where the covariance is singular: one stock twice", () => {
    const covariance = checkCovariance(matrixOf([0.1, 0.1, 0.2], (i, j) => (i === j || i + j === 1 ? 1 : 0)));
    expect(covariance.rank).toBe(2);
    const { weights, error } = riskBudgets(covariance, equal(3));
    expect(error).toBeLessThan(1e-12);
    expect(weights[0]).toBeCloseTo(weights[1]!, 12);
  });

  it("do not depend on the order of the stocks, nor on the unit of returns", () => {
    const form = randomFactorForm(31, 3, 8);
    const matrix = writtenOut(form);
    const order = Array.from({ length: 31 }, (_, i) => (i * 7) % 31);
    const permuted = { tickers: order.map((i) => matrix.tickers[i]!), values: Float64Array.from({ length: 31 * 31 }, (_, at) => 1e4 * matrix.values[order[Math.floor(at / 31)]! * 31 + order[at % 31]!]!) };
    const [a, b] = [riskBudgets(checkCovariance(matrix), equal(31)).weights, riskBudgets(checkCovariance(permuted), equal(31)).weights];
    expect(largestDifference(b, order.map((i) => a[i]!))).toBeLessThan(1e-12);
  });
});
