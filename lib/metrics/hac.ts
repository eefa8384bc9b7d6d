import { studentTwoSided } from "./distributions.js";

/** A mean of daily values and how sure it is, given that neighbouring days are not independent. */
export interface MeanTest {
  /** NaN for no values. */
  readonly mean: number;
  /** Newey-West standard error of the mean; NaN for fewer than two values and for values that are all equal. */
  readonly standardError: number;
  /** `mean` over `standardError`. */
  readonly t: number;
  /** Two-sided, from Student's t with `count` - 1 degrees of freedom. */
  readonly p: number;
  /** `mean` over the standard error of independent values: about sqrt(h) too large where labels of h days overlap. */
  readonly tNaive: number;
  /** Longest autocovariance that counts, in days. */
  readonly lag: number;
  /** Values that are not NaN. */
  readonly count: number;
  /** Squared standard error over that of independent values: `count` / `inflation` independent days would be as sure. */
  readonly inflation: number;
}

/**
 * The lag of {@link testMean}: min(max(h - 1, floor(4 (T / 100)^(2/9))), floor(T / 2)) for T values and a label of h days. h - 1 days of
 * overlap make an autocorrelation of their own; the second rule is that of Newey and West (1994).
 */
export function hacLag(count: number, horizonDays: number): number {
  return Math.min(Math.max(horizonDays - 1, Math.floor(4 * (count / 100) ** (2 / 9))), Math.floor(count / 2));
}

/**
 * Tests whether the mean of daily values differs from 0: Newey and West (1987) with Bartlett weights 1 - k / (L + 1) and the small-sample
 * factor T / (T - 1). NaN values are left out, and what is left is taken as consecutive.
 *
 * @param horizonDays days that a value's label spans, from 1; default 1
 * @param lag L, where it is not to be {@link hacLag}
 * @example
 * testMean(metrics.daily.ic, { horizonDays: 5 }).t;
 */
export function testMean(values: ArrayLike<number>, { horizonDays = 1, lag }: { horizonDays?: number; lag?: number } = {}): MeanTest {
  const defined = Float64Array.from(values).filter((value) => !Number.isNaN(value));
  const count = defined.length;
  let mean = 0;
  for (const value of defined) mean += value;
  mean /= count;
  const used = Math.min(lag ?? hacLag(count, horizonDays), Math.max(0, count - 1));
  // A mean of equal numbers need not equal them, so constancy is decided before rounding can hide it.
  const isConstant = defined.every((value) => value === defined[0]);
  if (count < 2 || isConstant) return { mean, standardError: NaN, t: NaN, p: NaN, tNaive: NaN, lag: used, count, inflation: NaN };
  const variance = autocovariance(defined, mean, 0);
  let longRun = variance;
  for (let k = 1; k <= used; k++) longRun += 2 * (1 - k / (used + 1)) * autocovariance(defined, mean, k);
  const standardError = Math.sqrt(longRun / (count - 1));
  const t = mean / standardError;
  return { mean, standardError, t, p: studentTwoSided(t, count - 1), tNaive: mean / Math.sqrt(variance / (count - 1)), lag: used, count, inflation: longRun / variance };
}

/** Mean product of deviations `k` days apart, over all T days. */
function autocovariance(values: Float64Array, mean: number, k: number): number {
  let sum = 0;
  for (let i = k; i < values.length; i++) sum += (values[i]! - mean) * (values[i - k]! - mean);
  return sum / values.length;
}
