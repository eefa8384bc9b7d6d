import { DateNeutraliser, type NeutralTo } from "../data/neutral-to.js";
import { RankSorter } from "../data/ranks.js";
import { rankCorrelation } from "./paired-stocks.js";
import { pearson } from "./statistics.js";

/** Makes the predictions of a date neutral, and correlates them with its returns. */
export class NeutralDate extends DateNeutraliser {
  readonly #sorter: RankSorter;
  readonly #pairs: readonly [Float64Array, Float64Array, Float64Array, Float64Array];

  constructor(stocks: number, to: NeutralTo) {
    super(stocks, to);
    this.#sorter = new RankSorter(stocks);
    this.#pairs = [new Float64Array(stocks), new Float64Array(stocks), new Float64Array(stocks), new Float64Array(stocks)];
  }

  /** IC and RankIC of residuals and the returns `returnOf(i)`, NaN where there is none; undefined where the date does not count. */
  correlations(residuals: Float64Array, count: number, returnOf: (i: number) => number): { readonly ic: number; readonly rankIc: number } | undefined {
    const [x, y, xRank, yRank] = this.#pairs;
    let rows = 0;
    let isConstant = true;
    for (let i = 0; i < count; i++) {
      const label = returnOf(i);
      if (Number.isNaN(label)) continue;
      x[rows] = residuals[i]!;
      y[rows++] = label;
      if (label !== y[0]) isConstant = false;
    }
    if (rows < 2 || isConstant) return undefined;
    this.#sorter.ranks(x, rows, xRank);
    this.#sorter.ranks(y, rows, yRank);
    return { ic: pearson(x, y, rows), rankIc: rankCorrelation(xRank, yRank, rows) };
  }
}
