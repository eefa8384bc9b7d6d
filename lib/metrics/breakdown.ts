import { RankSorter } from "../data/ranks.js";
import { testMean } from "./hac.js";
import { PairedStocks, rankCorrelation, ranksOfAscending } from "./paired-stocks.js";
import { quantileOf } from "./quantiles.js";
import type { DateRows, RankedDates } from "./ranked-dates.js";
import { pearson } from "./statistics.js";

/** IC of a part of the stocks or of the dates. */
export interface PartIc {
  /** Mean over the part's dates that count; NaN where none does. */
  readonly ic: number;
  readonly rankIc: number;
  /** HAC t of `ic`. */
  readonly icT: number;
  /** Dates on which at least two of its stocks have a prediction and returns that differ. */
  readonly dates: number;
  /** (date, stock) pairs on those dates. */
  readonly rows: number;
}

/**
 * IC and RankIC within each group of stocks: ranks and means are the group's own, so that nothing is earned by choosing among groups.
 *
 * @param groupsOf group of each stock on date t, from 0 to `count` - 1; others are in no group
 */
export function icByGroup(ranked: RankedDates, returns: DateRows, groupsOf: (t: number) => Int32Array, count: number, horizonDays = 1): PartIc[] {
  const { dates, stocks } = ranked;
  const pairs = new PairedStocks(stocks);
  const sorter = new RankSorter(stocks);
  const parts = Array.from({ length: count }, () => ({ ic: [] as number[], rankIc: [] as number[], rows: 0 }));
  const offsets = new Int32Array(count + 1);
  const next = new Int32Array(count);
  const at = new Int32Array(stocks);
  const [x, y, xRank, ascending, ranks, yRank] = Array.from({ length: 6 }, () => new Float64Array(stocks));
  const source = new Int32Array(stocks);
  for (let t = 0; t < dates; t++) {
    pairs.load(ranked, t, returns);
    const groups = groupsOf(t);
    const groupOf = (i: number): number => groups[pairs.stock[i]!]!;
    const isIn = (group: number): boolean => group >= 0 && group < count;
    offsets.fill(0);
    for (let i = 0; i < pairs.count; i++) if (isIn(groupOf(i))) offsets[groupOf(i) + 1]!++;
    for (let g = 0; g < count; g++) offsets[g + 1]! += offsets[g]!;
    // One block per group: ascending by prediction, because the pairs are.
    next.set(offsets.subarray(0, count));
    for (let i = 0; i < pairs.count; i++) {
      const group = groupOf(i);
      if (!isIn(group)) continue;
      at[i] = next[group]!++;
      x![at[i]!] = pairs.prediction[i]!;
      y![at[i]!] = pairs.return[i]!;
    }
    // The same blocks once more, ascending by return.
    const byReturn = sorter.order(pairs.return, pairs.count);
    next.set(offsets.subarray(0, count));
    for (let i = 0; i < pairs.count; i++) {
      const pair = byReturn[i]!;
      const group = groupOf(pair);
      if (!isIn(group)) continue;
      const place = next[group]!++;
      ascending![place] = pairs.return[pair]!;
      source[place] = at[pair]!;
    }
    for (const [g, part] of parts.entries()) {
      const [begin, end] = [offsets[g]!, offsets[g + 1]!];
      const size = end - begin;
      if (size < 2 || ascending![begin] === ascending![end - 1]) continue;
      ranksOfAscending(x!.subarray(begin, end), size, xRank!);
      ranksOfAscending(ascending!.subarray(begin, end), size, ranks!);
      for (let i = 0; i < size; i++) yRank![source[begin + i]! - begin] = ranks![i]!;
      part.ic.push(pearson(x!.subarray(begin, end), y!.subarray(begin, end), size));
      part.rankIc.push(rankCorrelation(xRank!, yRank!, size));
      part.rows += size;
    }
  }
  return parts.map(({ ic, rankIc, rows }) => summarised(ic, rankIc, rows, horizonDays));
}

/**
 * Puts the stocks of one date into as many buckets as asked for by a measure of size, smallest first: a group per stock for
 * {@link icByGroup}, -1 where there is no size. Buckets are those of quantiles, ties in the order of the stocks.
 */
export class SizeBuckets {
  readonly #sorter: RankSorter;
  readonly #sizes: Float64Array;
  readonly #stock: Int32Array;
  readonly #groups: Int32Array;

  constructor(stocks: number) {
    this.#sorter = new RankSorter(stocks);
    this.#sizes = new Float64Array(stocks);
    this.#stock = new Int32Array(stocks);
    this.#groups = new Int32Array(stocks);
  }

  /** Buckets from 0; the array is used again by the next call. */
  of(sizes: DateRows, buckets: number): Int32Array {
    let count = 0;
    this.#groups.fill(-1);
    for (let n = 0; n < sizes.length; n++) {
      if (Number.isNaN(sizes[n]!)) continue;
      this.#sizes[count] = sizes[n]!;
      this.#stock[count++] = n;
    }
    if (count < 2) return this.#groups;
    const order = this.#sorter.order(this.#sizes, count);
    for (let i = 0; i < count; i++) this.#groups[this.#stock[order[i]!]!] = quantileOf(i, count, buckets) - 1;
    return this.#groups;
  }
}

/** IC and RankIC of each calendar year of the dates, in order. */
export function icByYear(daily: { readonly dates: readonly string[]; readonly ic: readonly number[]; readonly rankIc: readonly number[] }, horizonDays = 1): (Omit<PartIc, "rows"> & { readonly year: number })[] {
  const years = [...new Set(daily.dates.map((date) => date.slice(0, 4)))].sort();
  return years.map((year) => {
    const of = (values: readonly number[]): number[] => values.filter((_, i) => daily.dates[i]!.startsWith(year));
    const { rows: _, ...part } = summarised(of(daily.ic), of(daily.rankIc), 0, horizonDays);
    return { year: Number(year), ...part };
  });
}

function summarised(ic: readonly number[], rankIc: readonly number[], rows: number, horizonDays: number): PartIc {
  const { mean, t, count } = testMean(ic, { horizonDays });
  return { ic: mean, rankIc: testMean(rankIc, { horizonDays }).mean, icT: t, dates: count, rows };
}
