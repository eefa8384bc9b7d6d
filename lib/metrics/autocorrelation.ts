import type { RankedDates } from "./ranked-dates.js";

/** How much of an order of the stocks is left after some dates. */
export interface RankAutocorrelation {
  /** Dates between the two orders. */
  readonly lag: number;
  /** Mean over the dates that count; NaN where none does. */
  readonly mean: number;
  /** Dates that count: at least two stocks on both, and predictions that differ on both. */
  readonly dates: number;
  /** [dates], NaN on dates that do not count. */
  readonly daily: Float64Array;
}

/**
 * Spearman correlation of each date's predictions with those `lag` dates earlier, over the stocks that are on both and ranked anew among
 * them, ties averaged.
 *
 * @param lags in dates, from 1; default 1, 5, 10 and 20
 */
export function rankAutocorrelation(ranked: RankedDates, lags: readonly number[] = [1, 5, 10, 20]): RankAutocorrelation[] {
  const { dates, stocks } = ranked;
  const today = new Float64Array(stocks);
  const earlier = new Float64Array(stocks);
  return lags.map((lag) => {
    const daily = new Float64Array(dates).fill(NaN);
    let [sum, defined] = [0, 0];
    for (let t = lag; t < dates; t++) {
      const count = sharedRanks(ranked, t, t - lag, today);
      sharedRanks(ranked, t - lag, t, earlier);
      const value = rankCorrelation(ranked, t, t - lag, count, today, earlier);
      if (Number.isNaN(value)) continue;
      daily[t] = value;
      sum += value;
      defined++;
    }
    return { lag, mean: sum / defined, dates: defined, daily };
  });
}

/** Writes the ranks on date `t` among the stocks that are also on date `other`, at their stock indices, and returns their number. */
function sharedRanks({ values, stocks, order, counts }: RankedDates, t: number, other: number, ranks: Float64Array): number {
  const [row, otherRow, count] = [t * stocks, other * stocks, counts[t]!];
  let rank = 0;
  for (let i = 0; i < count; ) {
    const value = values[row + order[row + i]!];
    let end = i;
    let tied = 0;
    for (; end < count && values[row + order[row + end]!] === value; end++) if (!Number.isNaN(values[otherRow + order[row + end]!])) tied++;
    for (; i < end; i++) ranks[order[row + i]!] = rank + (tied + 1) / 2;
    rank += tied;
  }
  return rank;
}

function rankCorrelation({ values, stocks, order, counts }: RankedDates, t: number, other: number, count: number, a: Float64Array, b: Float64Array): number {
  const [row, otherRow] = [t * stocks, other * stocks];
  const mean = (count + 1) / 2;
  let [product, squareA, squareB] = [0, 0, 0];
  for (let i = 0; i < counts[t]!; i++) {
    const n = order[row + i]!;
    if (Number.isNaN(values[otherRow + n])) continue;
    const [x, y] = [a[n]! - mean, b[n]! - mean];
    product += x * y;
    squareA += x * x;
    squareB += y * y;
  }
  // Ranks and their mean are halves, so a constant side has exactly 0 here.
  return squareA > 0 && squareB > 0 ? product / Math.sqrt(squareA * squareB) : NaN;
}
