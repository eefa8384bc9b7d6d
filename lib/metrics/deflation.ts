import { normalQuantile } from "../data/ranks.js";
import { normalCdf } from "./distributions.js";
import { symmetricEigenvalues } from "./eigenvalues.js";
import { testMean } from "./hac.js";

/** Euler and Mascheroni's constant. */
const GAMMA = 0.5772156649015329;

/** What the Sharpe ratio to be deflated was chosen from. */
export interface DeflatedSharpeInput {
  /** Mean over standard deviation, per day. */
  readonly sharpe: number;
  /** Independent days. */
  readonly days: number;
  readonly skewness: number;
  /** Not in excess: 3 for a normal distribution. */
  readonly kurtosis: number;
  /** Effective number of independent trials, from 1. */
  readonly trials: number;
  /** Variance of the trials' daily Sharpe ratios. */
  readonly variance: number;
}

/** A Sharpe ratio against the best that luck would have found. */
export interface DeflatedSharpe {
  /** SR0: expected highest daily Sharpe ratio of so many trials without any skill. */
  readonly luck: number;
  /** That the true ratio is above `luck`. */
  readonly probability: number;
}

/**
 * Deflated Sharpe ratio (Bailey and Lopez de Prado 2014): SR0 = sqrt V [(1 - g) Q(1 - 1/N) + g Q(1 - 1/(N e))], Q the normal quantile and g
 * Euler's constant, but at least 0, and 0 for one trial; probability = P((SR - SR0) sqrt(T - 1) / sqrt(1 - skew SR + (kurtosis - 1) SR^2 / 4)).
 */
export function deflatedSharpe({ sharpe, days, skewness, kurtosis, trials, variance }: DeflatedSharpeInput): DeflatedSharpe {
  const expected = (1 - GAMMA) * normalQuantile(1 - 1 / trials) + GAMMA * normalQuantile(1 - 1 / (trials * Math.E));
  const luck = trials > 1 ? Math.max(0, Math.sqrt(variance) * expected) : 0;
  const spread = Math.sqrt(1 - skewness * sharpe + ((kurtosis - 1) * sharpe * sharpe) / 4);
  return { luck, probability: normalCdf(((sharpe - luck) * Math.sqrt(days - 1)) / spread) };
}

/**
 * Effective number of independent series among several: exp(entropy) of the eigenvalues of their correlation matrix over their sum. 1 where
 * all are the same, their number where none is correlated. A series without variation is correlated with none.
 *
 * @param series one array per trial, all of the same dates, without NaN
 */
export function effectiveTrials(series: readonly Float64Array[]): number {
  const days = series[0]?.length ?? 0;
  const varied: Float64Array[] = [];
  for (const values of series) {
    if (values.every((value) => value === values[0])) continue;
    const mean = values.reduce((sum, value) => sum + value, 0) / days;
    const norm = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0));
    varied.push(values.map((value) => (value - mean) / norm));
  }
  // Z'Z and ZZ' have the same eigenvalues but 0: the smaller of the two will do.
  const rows = varied.length <= days ? varied : Array.from({ length: days }, (_, t) => Float64Array.from(varied, (values) => values[t]!));
  const product = new Float64Array(rows.length ** 2);
  for (const [i, a] of rows.entries()) {
    for (let j = 0; j <= i; j++) {
      const b = rows[j]!;
      let sum = 0;
      for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
      product[i * rows.length + j] = product[j * rows.length + i] = sum;
    }
  }
  const eigenvalues = [...symmetricEigenvalues(product, rows.length), ...Array.from({ length: series.length - varied.length }, () => 1)];
  let entropy = 0;
  for (const value of eigenvalues) if (value > 0) entropy -= (value / series.length) * Math.log(value / series.length);
  return Math.exp(entropy);
}

/** How much of an ICIR is left when it is held against the number of things that were tried. */
export interface DeflatedIc {
  /** Configurations tried, this one included. */
  readonly trials: number;
  readonly effectiveTrials: number;
  /** Daily ICIR that the best of so many trials without skill would have. */
  readonly luck: number;
  /** That the true ICIR is above that; NaN for fewer than two dates or a constant IC. */
  readonly probability: number;
  /** Dates that all trials share: what the trials are compared on. */
  readonly sharedDates: number;
}

/** The daily ICs of one configuration. */
export interface Trial {
  readonly dates: readonly string[];
  readonly ic: readonly number[];
}

/**
 * Deflates the ICIR of `own` by the trials among which it was chosen: {@link deflatedSharpe} with SR = daily ICIR, T = dates over the variance
 * inflation of {@link testMean}, V the sample variance of the trials' ICIRs and N their {@link effectiveTrials}, both on the dates that all share.
 *
 * @param others the other configurations, each once: seeds of one are one trial
 * @param horizonDays days that a label spans
 */
export function deflateIc(own: Trial, others: readonly Trial[], horizonDays = 1): DeflatedIc {
  const all = [own, ...others];
  const seen = new Map<string, number>();
  for (const { dates } of all) for (const date of dates) seen.set(date, (seen.get(date) ?? 0) + 1);
  const series = all.map(({ dates, ic }) => Float64Array.from(ic.filter((_, i) => seen.get(dates[i]!) === all.length)));
  const sharedDates = series[0]!.length;
  const { sharpe, skewness, kurtosis } = moments(own.ic);
  const { count, inflation } = testMean(own.ic, { horizonDays });
  const ratios = series.map((values) => moments(values).sharpe).filter((ratio) => !Number.isNaN(ratio));
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  const variance = ratios.length < 2 ? 0 : ratios.reduce((sum, ratio) => sum + (ratio - mean) ** 2, 0) / (ratios.length - 1);
  const trials = all.length === 1 ? 1 : sharedDates < 2 ? NaN : effectiveTrials(series);
  const { luck, probability } = deflatedSharpe({ sharpe, days: count / inflation, skewness, kurtosis, trials, variance });
  return { trials: all.length, effectiveTrials: trials, luck: Number.isNaN(trials) ? NaN : luck, probability: Number.isNaN(trials) ? NaN : probability, sharedDates };
}

/** Mean over sample standard deviation, population skewness and kurtosis; NaN for fewer than two values or equal ones. */
function moments(values: ArrayLike<number>): { sharpe: number; skewness: number; kurtosis: number } {
  const count = values.length;
  const list = Array.from(values);
  if (count < 2 || list.every((value) => value === list[0])) return { sharpe: NaN, skewness: NaN, kurtosis: NaN };
  const mean = list.reduce((sum, value) => sum + value, 0) / count;
  const central = (power: number): number => list.reduce((sum, value) => sum + (value - mean) ** power, 0) / count;
  const variance = central(2);
  return { sharpe: mean / Math.sqrt((variance * count) / (count - 1)), skewness: central(3) / variance ** 1.5, kurtosis: central(4) / variance ** 2 };
}
