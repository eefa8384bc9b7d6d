import { invalidOption } from "../errors.js";
import { ranksOfAscending } from "./paired-stocks.js";
import { infinite, type DateRows, type RankedDates } from "./ranked-dates.js";
import { pearson } from "./statistics.js";

/** What the stocks of each quantile of the predictions earn. */
export interface QuantileReturns {
  /** Per quantile, from the lowest predictions up: mean return less the date's universe mean, mean over dates. */
  readonly returns: readonly number[];
  /** Top minus bottom quantile, mean over the dates that have both: a long-short book whose gross exposure is `gross`. */
  readonly spread: number;
  /** Exposure of that book, long plus short: 2. Halve the spread to compare it with books of gross 1. */
  readonly gross: 2;
  /** Spearman correlation of quantile number and the date's quantile returns, mean over dates. */
  readonly monotonicity: number;
  /** Share of dates on which every quantile earns more than the one below. */
  readonly stepsUp: number;
  /** Dates that have all quantiles; `monotonicity` and `stepsUp` are of them. */
  readonly dates: number;
  /** [dates] top minus bottom, NaN where either is empty; [dates, quantiles] returns. */
  readonly daily: { readonly spread: Float64Array; readonly returns: Float64Array };
}

/**
 * Quantile from 1 of a stock whose prediction has rank `rank0` from 0 among `count`: max(1, ceil(q rank0 / (count - 1))), the bins of
 * pandas.qcut over ranks without ties.
 */
export function quantileOf(rank0: number, count: number, quantiles: number): number {
  return Math.max(1, Math.ceil((quantiles * rank0) / (count - 1)));
}

/**
 * Mean returns by quantile of the predictions. Quantiles are of all stocks that have a prediction on the date (two and more), ties in the
 * order of the stocks; returns and the universe mean are of those that also have a return.
 *
 * @param returns [dates, stocks], NaN where there is none
 * @param quantiles from 2; default 5
 */
export function quantileReturns(ranked: RankedDates, returns: DateRows, quantiles = 5): QuantileReturns {
  checkQuantiles(quantiles);
  const { dates, stocks, order, counts } = ranked;
  const byDate = new Float64Array(dates * quantiles).fill(NaN);
  const spread = new Float64Array(dates).fill(NaN);
  const sums = new Float64Array(quantiles);
  const members = new Int32Array(quantiles);
  const numbers = Float64Array.from({ length: quantiles }, (_, k) => k + 1);
  let [monotone, up, whole] = [0, 0, 0];
  for (let t = 0; t < dates; t++) {
    const [row, count] = [t * stocks, counts[t]!];
    if (count < 2) continue;
    sums.fill(0);
    members.fill(0);
    let [total, labelled] = [0, 0];
    for (let i = 0; i < count; i++) {
      const value = returns[row + order[row + i]!]!;
      if (Number.isNaN(value)) continue;
      if (value === Infinity || value === -Infinity) throw infinite("return", t, order[row + i]!);
      const k = quantileOf(i, count, quantiles) - 1;
      sums[k]! += value;
      members[k]!++;
      total += value;
      labelled++;
    }
    const today = byDate.subarray(t * quantiles, (t + 1) * quantiles);
    for (let k = 0; k < quantiles; k++) if (members[k]! > 0) today[k] = sums[k]! / members[k]! - total / labelled;
    spread[t] = today[quantiles - 1]! - today[0]!;
    if (today.some((value) => Number.isNaN(value))) continue;
    whole++;
    monotone += pearson(numbers, averageRanks(today));
    if (today.every((value, k) => k === 0 || value > today[k - 1]!)) up++;
  }
  return {
    returns: Array.from({ length: quantiles }, (_, k) => meanOfDefined(dates, (t) => byDate[t * quantiles + k]!)),
    spread: meanOfDefined(dates, (t) => spread[t]!),
    gross: 2,
    monotonicity: monotone / whole,
    stepsUp: up / whole,
    dates: whole,
    daily: { spread, returns: byDate },
  };
}

/**
 * Share of each quantile's names that were not in it on the date before, per quantile from the lowest predictions up: mean over the dates
 * on which the quantile has names, as on the date before.
 */
export function quantileTurnover(ranked: RankedDates, quantiles = 5): readonly number[] {
  checkQuantiles(quantiles);
  const { dates, stocks, order, counts } = ranked;
  const sums = new Float64Array(quantiles);
  const days = new Int32Array(quantiles);
  let before = { bin: new Int32Array(stocks), size: new Int32Array(quantiles) };
  let today = { bin: new Int32Array(stocks), size: new Int32Array(quantiles) };
  for (let t = 0; t < dates; t++) {
    today.bin.fill(0);
    today.size.fill(0);
    const fresh = new Int32Array(quantiles);
    const count = counts[t]!;
    for (let i = 0; i < count && count >= 2; i++) {
      const n = order[t * stocks + i]!;
      const bin = quantileOf(i, count, quantiles);
      today.bin[n] = bin;
      today.size[bin - 1]!++;
      if (before.bin[n] !== bin) fresh[bin - 1]!++;
    }
    for (let k = 0; k < quantiles; k++) {
      if (today.size[k] === 0 || before.size[k] === 0) continue;
      sums[k]! += fresh[k]! / today.size[k]!;
      days[k]!++;
    }
    [before, today] = [today, before];
  }
  return Array.from(sums, (sum, k) => sum / days[k]!);
}

/** More than there are stocks on any date. */
const MOST_QUANTILES = 100_000;

function checkQuantiles(quantiles: number): void {
  if (!Number.isInteger(quantiles) || quantiles < 2 || quantiles > MOST_QUANTILES) throw invalidOption("quantiles", `a whole number from 2 to ${MOST_QUANTILES}`, quantiles);
}

function averageRanks(values: Float64Array): Float64Array {
  const ascending = Array.from(values.keys()).sort((a, b) => values[a]! - values[b]!);
  const sorted = new Float64Array(values.length);
  ranksOfAscending(Float64Array.from(ascending, (k) => values[k]!), values.length, sorted);
  const ranks = new Float64Array(values.length);
  for (const [i, k] of ascending.entries()) ranks[k] = sorted[i]!;
  return ranks;
}

function meanOfDefined(count: number, at: (t: number) => number): number {
  let [sum, defined] = [0, 0];
  for (let t = 0; t < count; t++) {
    const value = at(t);
    if (Number.isNaN(value)) continue;
    sum += value;
    defined++;
  }
  return sum / defined;
}
