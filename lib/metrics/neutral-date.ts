import { RankSorter } from "../data/ranks.js";
import { Neutraliser } from "./neutralise.js";
import { rankCorrelation } from "./paired-stocks.js";
import type { DateRows } from "./ranked-dates.js";
import { pearson } from "./statistics.js";

/** Known properties of stocks, such as size or momentum, date by date. */
export interface Exposures {
  readonly names: readonly string[];
  /** Values of date t, [names, stocks]: row k holds exposure k of every stock, NaN where it is missing. */
  of(t: number): DateRows;
  /** Whether date t has the history that they look back on. Absent: every date has. */
  holds?(t: number): boolean;
}

/** Groups of stocks date by date, for intercepts of their own. */
export interface Groups {
  readonly count: number;
  /** Group of each stock on date t, from 0 to `count` - 1; others are taken together. */
  of(t: number): Int32Array;
}

/** What predictions are made neutral to. */
export interface NeutralTo {
  readonly exposures: Exposures;
  /** Each has an intercept. */
  readonly groups?: Groups | undefined;
}

/** What of one date's predictions known properties leave. */
export interface NeutralResiduals {
  /** Missing exposures that were taken as the mean of their date. */
  readonly filled: number;
  /** Whether there are more stocks than independent exposures and intercepts, else the residuals are 0 whatever the predictions; and whether the date has exposures. */
  readonly isFit: boolean;
}

/** Makes the predictions of a date neutral, and correlates them with its returns. Buffers are kept between dates. */
export class NeutralDate {
  readonly #exposures: Exposures;
  readonly #groups: Groups | undefined;
  readonly #stocks: number;
  readonly #neutraliser: Neutraliser;
  readonly #sorter: RankSorter;
  readonly #members: Int32Array;
  readonly #pairs: readonly [Float64Array, Float64Array, Float64Array, Float64Array];

  constructor(stocks: number, exposures: Exposures, groups?: Groups) {
    this.#exposures = exposures;
    this.#groups = groups;
    this.#stocks = stocks;
    this.#neutraliser = new Neutraliser(stocks, exposures.names.length, groups?.count ?? 0);
    this.#sorter = new RankSorter(stocks);
    this.#members = new Int32Array(stocks);
    this.#pairs = [new Float64Array(stocks), new Float64Array(stocks), new Float64Array(stocks), new Float64Array(stocks)];
  }

  /** Replaces the first `count` of `values`, predictions of date t, by their residuals; value i is that of stock `stock[i]`. */
  take(t: number, values: Float64Array, stock: Int32Array, count: number): NeutralResiduals {
    if (this.#exposures.holds?.(t) === false) return { filled: 0, isFit: false };
    const codes = this.#groups?.of(t);
    if (codes !== undefined) for (let i = 0; i < count; i++) this.#members[i] = codes[stock[i]!]!;
    const { filled, rank, intercepts } = this.#neutraliser.residuals(values, count, { matrix: this.#exposures.of(t), stocks: this.#stocks, stock }, codes === undefined ? undefined : this.#members);
    return { filled, isFit: count > rank + intercepts };
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
