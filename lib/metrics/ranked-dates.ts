import { RankSorter } from "../data/ranks.js";
import { AstgnnError } from "../errors.js";

/** Numbers [dates, stocks] in one row per date. */
export type DateRows = Float32Array | Float64Array;

/** Predictions of many dates with every date sorted once: what the statistics of evaluation share. */
export interface RankedDates {
  /** [dates, stocks]; NaN where a stock is not in. */
  readonly values: DateRows;
  readonly dates: number;
  readonly stocks: number;
  /** [dates, stocks]: of date t the first `counts[t]` entries are the stocks with a value, ascending by it, equal values by stock index. */
  readonly order: Uint32Array;
  /** [dates] */
  readonly counts: Int32Array;
}

/**
 * Sorts every date of predictions [dates, stocks]. 4 bytes per value are kept. Where ties are to go by ticker, as in quantiles, the stocks
 * must be in the order of their tickers.
 *
 * @throws AstgnnError ERR_SHAPE where the length does not fit, ERR_DATA for an infinite value
 */
export function rankDates(values: DateRows, dates: number, stocks: number): RankedDates {
  if (values.length !== dates * stocks) throw new AstgnnError("ERR_SHAPE", `Expected ${dates} x ${stocks} predictions but received ${values.length}.`);
  const order = new Uint32Array(values.length);
  const counts = new Int32Array(dates);
  const ranker = new DateRanker(stocks);
  for (let t = 0; t < dates; t++) counts[t] = ranker.write(values, t, order.subarray(t * stocks, (t + 1) * stocks));
  return { values, dates, stocks, order, counts };
}

/** Sorts dates one at a time, with the same buffers for each. */
export class DateRanker {
  readonly #sorter: RankSorter;
  readonly #present: Float64Array;
  readonly #stockOf: Uint32Array;
  readonly #order: Uint32Array;
  readonly #counts = new Int32Array(1);

  constructor(stocks: number) {
    this.#sorter = new RankSorter(stocks);
    this.#present = new Float64Array(stocks);
    this.#stockOf = new Uint32Array(stocks);
    this.#order = new Uint32Array(stocks);
  }

  /** {@link rankDates} of one date; the next call writes over it. */
  rank(values: DateRows): RankedDates {
    this.#counts[0] = this.write(values, 0, this.#order);
    return { values, dates: 1, stocks: values.length, order: this.#order, counts: this.#counts };
  }

  /** Writes the order of date `t` and returns its count. */
  write(values: DateRows, t: number, order: Uint32Array): number {
    const [present, stockOf, stocks] = [this.#present, this.#stockOf, this.#present.length];
    let count = 0;
    for (let n = 0; n < stocks; n++) {
      const value = values[t * stocks + n]!;
      if (Number.isNaN(value)) continue;
      if (value === Infinity || value === -Infinity) throw infinite("prediction", t, n);
      present[count] = value;
      stockOf[count++] = n;
    }
    const ascending = this.#sorter.order(present, count);
    for (let i = 0; i < count; i++) order[i] = stockOf[ascending[i]!]!;
    return count;
  }
}

export function infinite(what: string, date: number, stock: number): AstgnnError {
  return new AstgnnError("ERR_DATA", `An infinite ${what} at date ${date}, stock ${stock} (both from 0).`, { next: "Remove it or set it to NaN." });
}
