import type { Panel } from "../data/panel.js";
import { AstgnnError } from "../errors.js";
import { requirePanel } from "../data/given.js";
import { requireText } from "../options.js";

/** Dates over which dollar volume is a stock's size, and the fewest of them. */
const SIZE_DATES = 252;
const LEAST_SIZE_DATES = 60;

/** Daily returns and sizes of a panel, by the indices of its dates and tickers. */
export class PanelReturns {
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  /** Simple returns since the date before, NaN where one of the two closes is missing. [dates * stocks] */
  readonly values: Float64Array;
  readonly #panel: Panel;
  readonly #sizeColumn: string | undefined;
  readonly #stocks: ReadonlyMap<string, number>;

  /** @param sizeColumn column of capitalisations; without it the mean of close times volume over 252 dates stands for size, where there is a volume */
  static async of(panel: Panel, sizeColumn: string | undefined, signal?: AbortSignal): Promise<PanelReturns> {
    requirePanel(panel);
    if (sizeColumn !== undefined) requireText(sizeColumn, "size", "a column name");
    if (!panel.has("close")) throw new AstgnnError("ERR_DATA", `${panel.source} has no column close to take returns of.`, { file: panel.source, column: "close", next: "A risk model needs prices." });
    if (sizeColumn !== undefined) await panel.read([sizeColumn], { signal });
    return new PanelReturns(panel, sizeColumn);
  }

  private constructor(panel: Panel, sizeColumn: string | undefined) {
    this.#panel = panel;
    this.#sizeColumn = sizeColumn;
    [this.dates, this.tickers] = [panel.dates, panel.tickers];
    this.#stocks = new Map(panel.tickers.map((ticker, n) => [ticker, n]));
    const [close, N] = [panel.values("close"), panel.tickers.length];
    this.values = new Float64Array(close.length).fill(NaN);
    for (let i = N; i < close.length; i++) {
      if (panel.segments === undefined || panel.segments[i] === panel.segments[i - N]) this.values[i] = close[i]! / close[i - N]! - 1;
    }
  }

  /** Index of a ticker, -1 for one that is not in. */
  stock(ticker: string): number {
    return this.#stocks.get(ticker) ?? -1;
  }

  /** Sizes of stocks on date t; undefined where the panel has nothing that tells. A stock without one gets the smallest of the date. */
  sizes(t: number, stocks: readonly number[]): Float64Array | undefined {
    const N = this.tickers.length;
    if (this.#sizeColumn !== undefined) return filled(Float64Array.from(stocks, (n) => this.#panel.values(this.#sizeColumn!)[t * N + n]!));
    if (!this.#panel.has("volume")) return undefined;
    const [close, volume] = [this.#panel.values("close"), this.#panel.values("volume")];
    return filled(Float64Array.from(stocks, (n) => {
      let [sum, count] = [0, 0];
      for (let day = Math.max(0, t + 1 - SIZE_DATES); day <= t; day++) {
        const traded = close[day * N + n]! * volume[day * N + n]!;
        if (!(traded > 0)) continue;
        sum += traded;
        count++;
      }
      return count >= LEAST_SIZE_DATES ? sum / count : NaN;
    }));
  }
}

function filled(sizes: Float64Array): Float64Array | undefined {
  const least = sizes.reduce((low, value) => (value > 0 && value < low ? value : low), Infinity);
  return least === Infinity ? undefined : sizes.map((value) => (value > 0 ? value : least));
}
