import type { PanelValues } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import type { BookInput } from "./book.js";
import type { Horizon } from "./decay.js";
import { Lookup } from "./lookup.js";
import type { DateRows, RankedDates } from "./ranked-dates.js";
import type { Weighting } from "./weights.js";

/** Closes as predictions meet them: bought `lagDays` price dates after the prediction's own. */
export class Market {
  readonly #closes: Lookup;
  readonly #stocks: number;
  readonly #entryClose: Float64Array;
  readonly #exitClose: Float64Array;
  /** Price date of each prediction's entry; beyond the last where the prices end before. */
  readonly entries: Int32Array;
  /** Price dates. */
  readonly dates: readonly string[];

  /**
   * @param closes [dates, stocks]: every date of the predictions and those after, found by name; stocks without a column have missing closes
   * @throws AstgnnError ERR_SHAPE, ERR_DATA where a date of the predictions is not among the prices or dates do not ascend
   */
  constructor(closes: PanelValues, dates: readonly string[], tickers: readonly string[], lagDays: number) {
    this.#closes = new Lookup(closes, "closes", dates, tickers);
    const missing = this.#closes.rows.indexOf(-1);
    if (missing >= 0) {
      throw new AstgnnError("ERR_DATA", `closes has no ${dates[missing]}, on which there are predictions.`, { date: dates[missing]!, next: "Pass closes of every date with predictions." });
    }
    for (const [list, name] of [[dates, "predictions"], [closes.dates, "closes"]] as const) {
      const at = list.findIndex((date, i) => i > 0 && date <= list[i - 1]!);
      if (at >= 0) throw new AstgnnError("ERR_DATA", `The dates of ${name} do not ascend: ${list[at - 1]} comes before ${list[at]}.`, { date: list[at]!, next: "Sort them." });
    }
    this.#stocks = tickers.length;
    this.#entryClose = new Float64Array(tickers.length);
    this.#exitClose = new Float64Array(tickers.length);
    this.entries = this.#closes.rows.map((row) => row + lagDays);
    this.dates = closes.dates;
  }

  /** Writes the returns of date t over a horizon after its entry; NaN where one of the two closes is missing or not above 0. */
  forwardReturns(t: number, { from, to }: Horizon, returns: Float64Array): void {
    this.#closes.read(this.entries[t]! + from, this.#entryClose);
    this.#closes.read(this.entries[t]! + to, this.#exitClose);
    for (let n = 0; n < returns.length; n++) returns[n] = this.#exitClose[n]! > 0 && this.#entryClose[n]! > 0 ? this.#exitClose[n]! / this.#entryClose[n]! - 1 : NaN;
  }

  /**
   * Portfolios of the predictions. A stock without a close at its entry is not bought; while it is held, a missing close leaves it at its
   * last one. Predictions whose entry has no next close are left out.
   */
  book(ranked: RankedDates, weighting: Weighting, horizonDays: number): BookInput {
    const entries = this.entries.filter((entry) => entry + 1 < this.dates.length);
    const close = new Float64Array(this.#stocks);
    const next = new Float64Array(this.#stocks);
    const last = new Float64Array(this.#stocks).fill(NaN);
    return {
      stocks: this.#stocks,
      entries,
      portfolios: portfoliosFor(entries, horizonDays),
      weights: (k, weights) => {
        weighting(ranked, k, weights);
        this.#closes.read(entries[k]!, close);
        for (let n = 0; n < weights.length; n++) if (!(close[n]! > 0)) weights[n] = 0;
      },
      returns: (d, returns) => {
        this.#closes.read(d, close);
        this.#closes.read(d + 1, next);
        for (let n = 0; n < returns.length; n++) {
          if (close[n]! > 0) last[n] = close[n]!;
          returns[n] = next[n]! > 0 && last[n]! > 0 ? next[n]! / last[n]! - 1 : 0;
        }
      },
    };
  }
}

/** A book on labels of one day, for dates that follow one another: what is known where there are no closes. A missing label is a return of 0. */
export function labelBook(ranked: RankedDates, labels: DateRows, weighting: Weighting): BookInput {
  const { dates, stocks } = ranked;
  return {
    stocks,
    entries: Int32Array.from({ length: dates }, (_, t) => t),
    portfolios: 1,
    weights: (k, weights) => weighting(ranked, k, weights),
    returns: (d, returns) => {
      for (let n = 0; n < stocks; n++) returns[n] = Number.isNaN(labels[d * stocks + n]!) ? 0 : labels[d * stocks + n]!;
    },
  };
}

/** As many portfolios as entries fall into the days for which one is held; one where entries are further apart than that. */
export function portfoliosFor(entries: Int32Array, horizonDays: number): number {
  return Math.max(1, Math.round(horizonDays / usualGap(entries)));
}

/** Median number of price dates from one entry to the next, 1 for fewer than two. */
export function usualGap(entries: Int32Array): number {
  const gaps = entries.subarray(1).map((entry, k) => entry - entries[k]!).sort();
  return gaps.length === 0 ? 1 : gaps[gaps.length >> 1]!;
}
