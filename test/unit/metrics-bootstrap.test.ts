import { describe, expect, it } from "vitest";
import { bootstrapMean } from "../../lib/metrics/bootstrap.js";
import { expectClose, fixture, noise } from "./evaluation-fixture.js";

describe("bootstrapMean", () => {
  it.each(fixture.bootstrap)("equals the same draws in NumPy: horizon $horizon, seed $seed", ({ values, horizon, draws, seed, interval }) => {
    expectClose(bootstrapMean(values, { horizonDays: horizon, draws, seed }), interval, 13);
  });

  it("is as wide as Politis and Romano's formula says", () => {
    const next = noise(5);
    const raw = Array.from({ length: 124 }, next);
    const values = raw.slice(4).map((_, i) => raw.slice(i, i + 5).reduce((sum, value) => sum + value, 0));
    const T = values.length;
    const mean = values.reduce((sum, value) => sum + value, 0) / T;
    // Variance of the bootstrap mean: circular autocovariances, each weighted by the chance that a block is not broken.
    const kept = 1 - 1 / 20;
    let variance = 0;
    for (let k = 0; k < T; k++) {
      let covariance = 0;
      for (let i = 0; i < T; i++) covariance += ((values[i]! - mean) * (values[(i + k) % T]! - mean)) / T;
      const weight = k === 0 ? 1 : (1 - k / T) * kept ** k;
      variance += ((k === 0 ? 1 : 2) * weight * covariance) / T;
    }
    const [low, high] = bootstrapMean(values, { horizonDays: 20, draws: 4000, seed: 3 });
    // The quantiles of 4,000 draws are good to about 3 % of the width, and the distribution of the mean is nearly normal.
    expect((high - low) / (2 * 1.96 * Math.sqrt(variance))).toBeGreaterThan(0.9);
    expect((high - low) / (2 * 1.96 * Math.sqrt(variance))).toBeLessThan(1.1);
  });

  it("draws the same for the same seed and leaves missing values out", () => {
    const values = [0.1, 0.4, -0.2, 0.3, 0.05];
    expect(bootstrapMean([NaN, ...values])).toEqual(bootstrapMean(values));
    expect(bootstrapMean(values, { seed: 1 })).not.toEqual(bootstrapMean(values, { seed: 2 }));
  });

  it("is a point for equal values, and NaN for fewer than two", () => {
    expect(bootstrapMean([0.5, 0.5, 0.5])).toEqual([0.5, 0.5]);
    expect(bootstrapMean([0.5])).toEqual([NaN, NaN]);
    expect(bootstrapMean([])).toEqual([NaN, NaN]);
  });
});
