import type { Panel } from "../data/panel.js";
import type { NeutralTo } from "../data/neutral-to.js";
import type { KnownExposures } from "../evaluate/known-exposures.js";
import type { PanelReturns } from "./panel-returns.js";
import type { RiskDate } from "./risk-date.js";

/** Exposures of sets, columns and groups of a panel as rows of its stocks. Missing ones are the mean of their date, and counted. */
export class KnownRows {
  readonly names: readonly string[];
  readonly groupNames: readonly string[];
  readonly #to: NeutralTo;
  readonly #panel: Panel;
  #filled = 0;

  constructor(known: KnownExposures, panel: Panel) {
    this.#to = known.of(panel);
    this.#panel = panel;
    this.names = this.#to.exposures.names;
    this.groupNames = this.#to.groups === undefined ? [] : panel.groups!.names;
  }

  /** Exposures that were missing so far. */
  get filled(): number {
    return this.#filled;
  }

  /** Whether date t has the history that they look back on. */
  holds(t: number): boolean {
    return this.#to.exposures.holds?.(t) !== false;
  }

  /** [stocks, names] */
  values(t: number, stocks: readonly number[]): Float64Array {
    const [matrix, N, K] = [this.#to.exposures.of(t), this.#panel.tickers.length, this.names.length];
    const out = new Float64Array(stocks.length * K);
    for (let k = 0; k < K; k++) {
      let [sum, count] = [0, 0];
      for (const n of stocks) {
        const value = matrix[k * N + n]!;
        if (Number.isNaN(value)) continue;
        sum += value;
        count++;
      }
      const mean = count > 0 ? sum / count : 0;
      for (const [i, n] of stocks.entries()) {
        const value = matrix[k * N + n]!;
        if (Number.isNaN(value)) this.#filled++;
        out[i * K + k] = Number.isNaN(value) ? mean : value;
      }
    }
    return out;
  }

  groups(t: number, stocks: readonly number[]): Int32Array | undefined {
    const codes = this.#to.groups?.of(t);
    return codes === undefined ? undefined : Int32Array.from(stocks, (n) => codes[n]!);
  }

  /** A date's universe as what a risk model is told. */
  date(t: number, returns: PanelReturns): RiskDate {
    const { tickers: { length: N }, universe, present, tickers, dates } = this.#panel;
    const stocks = Array.from({ length: N }, (_, n) => n).filter((n) => universe[t * N + n] === 1 && present[t * N + n] === 1);
    const [sizes, groups] = [returns.sizes(t, stocks), this.groups(t, stocks)];
    return {
      date: dates[t]!, tickers: stocks.map((n) => tickers[n]!), exposures: this.values(t, stocks), returns: Float64Array.from(stocks, (n) => returns.values[t * N + n]!),
      ...(sizes === undefined ? {} : { sizes }), ...(groups === undefined ? {} : { groups }),
    };
  }

  /** Stocks by group and by exposure on date t, for portfolios of them. */
  portfolios(t: number): { groups: Map<string, string[]>; styles: Map<string, Map<string, number>> } {
    const { tickers } = this.#panel;
    const N = tickers.length;
    const groups = new Map<string, string[]>();
    const codes = this.#to.groups?.of(t);
    if (codes !== undefined) for (let n = 0; n < N; n++) if (codes[n]! >= 0) groups.set(this.groupNames[codes[n]!]!, [...(groups.get(this.groupNames[codes[n]!]!) ?? []), tickers[n]!]);
    const matrix = this.#to.exposures.of(t);
    return { groups, styles: new Map(this.names.map((name, k) => [name, new Map(tickers.map((ticker, n) => [ticker, matrix[k * N + n]!]))])) };
  }
}
