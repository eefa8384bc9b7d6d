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
    let count = 0;
    let isConstant = true;
    for (let i = 0; i < counts[t]!; i++) {
      const n = order[row + i]!;
      const value = returns[offset + n]!;
      if (Number.isNaN(value)) continue;
      if (value === Infinity || value === -Infinity) throw infinite("return", t, n);
      this.stock[count] = n;
      this.prediction[count] = values[row + n]!;
      this.return[count] = value;
      isConstant &&= value === this.return[0];
      count++;
    }
    this.count = count;
    return count >= 2 && !isConstant;
  }

  /** Both correlations; 0 where all predictions are equal. */
  ic(): DateIc {
    ranksOfAscending(this.prediction, this.count, this.predictionRank);
    this.#sorter.ranks(this.return, this.count, this.returnRank);
    return { ic: pearson(this.prediction, this.return, this.count), rankIc: pearson(this.predictionRank, this.returnRank, this.count) };
  }
}

/** Average-tie ranks from 1 of numbers that ascend already. */
export function ranksOfAscending(values: Float64Array, count: number, ranks: Float64Array): void {
  for (let first = 0; first < count; ) {
    let end = first + 1;
    while (end < count && values[end] === values[first]) end++;
    ranks.fill((first + 1 + end) / 2, first, end);
    first = end;
  }
}
