import { below, randomBits } from "./random.js";

/** How to draw. */
export interface BootstrapOptions {
  /** Days that a value's label spans, from 1; default 1. */
  horizonDays?: number | undefined;
  /** Series drawn, from 1; default 2000. */
  draws?: number | undefined;
  /** Whole, 0 to 2^32 - 1; default 0. */
  seed?: number | undefined;
  /** Share of the drawn means inside the interval, between 0 and 1; default 0.95. */
  level?: number | undefined;
}

/**
 * Interval of the mean of daily values by the stationary bootstrap (Politis and Romano 1994): each drawn series strings together blocks of
 * consecutive days, the end followed by the beginning, whose lengths are geometric with mean max(h, T^(1/3)); the interval lies between the
 * outer quantiles of the drawn means, interpolated linearly. NaN values are left out; NaN bounds for fewer than two values.
 *
 * @example
 * bootstrapMean(metrics.daily.ic, { horizonDays: 5, seed: 1 }); // [low, high]
 */
export function bootstrapMean(values: ArrayLike<number>, { horizonDays = 1, draws = 2000, seed = 0, level = 0.95 }: BootstrapOptions = {}): readonly [low: number, high: number] {
  const defined = Float64Array.from(values).filter((value) => !Number.isNaN(value));
  const count = defined.length;
  if (count < 2) return [NaN, NaN];
  const random = randomBits(seed, 0);
  const newBlockBelow = 2 ** 32 / Math.max(horizonDays, Math.cbrt(count));
  const means = new Float64Array(draws);
  for (let draw = 0; draw < draws; draw++) {
    let at = below(random, count);
    let sum = defined[at]!;
    for (let i = 1; i < count; i++) {
      if (random() < newBlockBelow) at = below(random, count);
      else if (++at === count) at = 0;
      sum += defined[at]!;
    }
    means[draw] = sum / count;
  }
  means.sort();
  return [quantile(means, (1 - level) / 2), quantile(means, (1 + level) / 2)];
}

/** Of ascending values, between two of them in proportion. */
export function quantile(sorted: Float32Array | Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (at - below) * (sorted[above]! - sorted[below]!);
}
