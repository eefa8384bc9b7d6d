import { RankSorter } from "../data/ranks.js";
import { infinite, type DateRows, type RankedDates } from "./ranked-dates.js";
import { pearson } from "./statistics.js";

/** Pearson and Spearman correlation of one date. */
export interface DateIc {
  readonly ic: number;
  readonly rankIc: number;
}

/**
 * The stocks of one date that have both a prediction and a return, ascending by prediction, with average-tie ranks among them. The buffers
 * are used again for every date.
 */
export class PairedStocks {
  /** Stocks of the date in hand; the arrays below are filled up to it. */
  count = 0;
  readonly stock: Uint32Array;
  readonly prediction: Float64Array;
  readonly return: Float64Array;
  readonly predictionRank: Float64Array;
  readonly returnRank: Float64Array;
  readonly #sorter: RankSorter;

  /** `stocks`: the most stocks of a date. */
  constructor(stocks: number) {
    this.stock = new Uint32Array(stocks);
    this.prediction = new Float64Array(stocks);
    this.return = new Float64Array(stocks);
    this.predictionRank = new Float64Array(stocks);
    this.returnRank = new Float64Array(stocks);
    this.#sorter = new RankSorter(stocks);
  }

  /**
   * Takes date `t` of the predictions and the returns that begin at `returns[offset]`, one per stock; false where fewer than two stocks have
   * both or all their returns are equal: such a date does not count.
   *
   * @throws AstgnnError ERR_DATA for an infinite return of a stock that has a prediction
   */
  load({ values, order, counts, stocks }: RankedDates, t: number, returns: DateRows, offset = t * stocks): boolean {
    const row = t * stocks;
    const end = row + counts[t]!;
    const { stock, prediction, return: label } = this;
    let count = 0;
    let [least, most] = [Infinity, -Infinity];
    for (let i = row; i < end; i++) {
      const n = order[i]!;
      const value = returns[offset + n]!;
      if (Number.isNaN(value)) continue;
      if (value < least) least = value;
      if (value > most) most = value;
      stock[count] = n;
      prediction[count] = values[row + n]!;
      label[count++] = value;
    }
    this.count = count;
    if (least === -Infinity || most === Infinity) throw infinite("return", t, stock[label.findIndex((value) => !Number.isFinite(value))]!);
    return count >= 2 && least < most;
  }

  /** Both correlations; 0 where all predictions are equal. */
  ic(): DateIc {
    const rankIc = this.rankIc();
    return { ic: pearson(this.prediction, this.return, this.count), rankIc };
  }

  /** Spearman correlation alone. */
  rankIc(): number {
    ranksOfAscending(this.prediction, this.count, this.predictionRank);
    this.#sorter.ranks(this.return, this.count, this.returnRank);
    return rankCorrelation(this.predictionRank, this.returnRank, this.count);
  }
}

/** Average-tie ranks from 1 of numbers that ascend already. */
export function ranksOfAscending(values: Float64Array, count: number, ranks: Float64Array): void {
  for (let first = 0; first < count; ) {
    const value = values[first]!;
    let end = first + 1;
    while (end < count && values[end] === value) end++;
    const rank = (first + 1 + end) / 2;
    for (; first < end; first++) ranks[first] = rank;
  }
}

/** Pearson correlation of two rankings from 1 to `count`, whose mean is known; 0 where either has all ranks equal. */
export function rankCorrelation(a: Float64Array, b: Float64Array, count: number): number {
  const mean = (count + 1) / 2;
  let [product, squareA, squareB] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const x = a[i]! - mean;
    const y = b[i]! - mean;
    product += x * y;
    squareA += x * x;
    squareB += y * y;
  }
  // Ranks and their mean are halves: what is constant has exactly 0 here.
  return squareA > 0 && squareB > 0 ? product / Math.sqrt(squareA * squareB) : 0;
}
