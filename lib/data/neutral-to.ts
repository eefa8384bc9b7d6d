import { Neutraliser } from "./neutralise.js";

/** Known properties of stocks, such as size or momentum, date by date. */
export interface Exposures {
  readonly names: readonly string[];
  /** Values of date t, [names, stocks]: row k holds exposure k of every stock, NaN where it is missing. */
  of(t: number): Float32Array | Float64Array;
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

/** Makes the values of a date neutral. Buffers are kept between dates. */
export class DateNeutraliser {
  readonly #to: NeutralTo;
  readonly #stocks: number;
  readonly #neutraliser: Neutraliser;
  readonly #members: Int32Array;

  constructor(stocks: number, to: NeutralTo) {
    this.#to = to;
    this.#stocks = stocks;
    this.#neutraliser = new Neutraliser(stocks, to.exposures.names.length, to.groups?.count ?? 0);
    this.#members = new Int32Array(stocks);
  }

  /** Replaces the first `count` of `values` of date t by their residuals; value i is that of stock `stock[i]`. */
  take(t: number, values: Float64Array, stock: Int32Array, count: number): NeutralResiduals {
    const { exposures, groups } = this.#to;
    if (exposures.holds?.(t) === false) return { filled: 0, isFit: false };
    const codes = groups?.of(t);
    if (codes !== undefined) for (let i = 0; i < count; i++) this.#members[i] = codes[stock[i]!]!;
    const { filled, rank, intercepts } = this.#neutraliser.residuals(values, count, { matrix: exposures.of(t), stocks: this.#stocks, stock }, codes === undefined ? undefined : this.#members);
    return { filled, isFit: count > rank + intercepts };
  }
}
