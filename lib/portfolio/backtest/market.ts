import type { Panel } from "../../data/panel.js";
import { AstgnnError } from "../../errors.js";
import type { ResolvedBacktest } from "./options.js";

/** What {@link TradedMarket} is told. */
export type MarketTerms = Pick<ResolvedBacktest, "fill" | "impact" | "impactDays">;

/**
 * The prices of a panel date by date: what orders are filled at, what positions are worth, and which stocks can be traded. Prices on the two sides of a
 * price break that was made missing are not compared: after it they go on from the close before.
 */
export class TradedMarket {
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  /** Of the date that {@link advance} came to. */
  date = -1;
  /** Price at which an order is filled on the date, NaN where the stock has none: [stocks]. */
  readonly price: Float64Array;
  /** Last close up to the date, NaN before the first: [stocks]. */
  readonly close: Float64Array;
  /** Last close before the date, NaN before the first: what a stock without a price is worth when orders are filled at the open. */
  readonly before: Float64Array;
  /** 1 where the stock has a fill price on the date and is tradable: [stocks]. */
  readonly canTrade: Uint8Array;
  /** Panel date of each stock's last close, -1 where it has none: [stocks]. */
  readonly lastDate: Int32Array;
  readonly #panel: Panel;
  readonly #fillsAtOpen: boolean;
  readonly #closes: Float32Array | Float64Array;
  readonly #opens: Float32Array | Float64Array | undefined;
  readonly #factor: Float64Array | undefined;
  readonly #segment: Int32Array | undefined;
  readonly #impact: ImpactHistory | undefined;

  /** @throws AstgnnError ERR_DATA where the panel lacks a column that is needed */
  constructor(panel: Panel, { fill, impact, impactDays }: MarketTerms) {
    const needs = ["close", ...(fill === "open" ? ["open"] : []), ...(impact > 0 ? ["volume"] : [])];
    const missing = needs.find((column) => !panel.has(column));
    if (missing !== undefined) {
      const next = missing === "volume" ? "Add it, or leave impact out." : missing === "open" ? 'Add it, or fill at the "close".' : "Name the column of the closing price close.";
      throw new AstgnnError("ERR_DATA", `${panel.source} has no column ${missing}; it has ${panel.columns.join(", ")}.`, { column: missing, next });
    }
    const stocks = panel.tickers.length;
    this.#panel = panel;
    this.dates = panel.dates;
    this.tickers = panel.tickers;
    this.#fillsAtOpen = fill === "open";
    this.#closes = panel.values("close");
    this.#opens = this.#fillsAtOpen ? panel.values("open") : undefined;
    this.price = new Float64Array(stocks).fill(NaN);
    this.close = new Float64Array(stocks).fill(NaN);
    this.before = new Float64Array(stocks).fill(NaN);
    this.canTrade = new Uint8Array(stocks);
    this.lastDate = lastDates(this.#closes, stocks);
    if (panel.segments !== undefined) {
      this.#factor = new Float64Array(stocks).fill(1);
      this.#segment = panel.segments.slice(0, stocks);
    }
    if (impact > 0) this.#impact = new ImpactHistory(panel.values("volume"), stocks, impactDays);
  }

  /** Whether the stock was delisted before the date: it has no close from then to the end of the data. */
  isDelisted(n: number): boolean {
    return this.lastDate[n]! < this.date;
  }

  /** Goes on to the next date. */
  advance(): void {
    const stocks = this.tickers.length;
    const row = ++this.date * stocks;
    const { tradable, segments } = this.#panel;
    this.#impact?.finish(row - stocks, this.#closes, this.before, this.close);
    this.before.set(this.close);
    for (let n = 0; n < stocks; n++) {
      const close = this.#closes[row + n]!;
      const isPriced = close > 0;
      let factor = 1;
      if (this.#factor !== undefined) {
        if (isPriced && segments![row + n] !== this.#segment![n]) {
          if (this.close[n]! > 0) this.#factor[n] = this.close[n]! / close;
          this.#segment![n] = segments![row + n]!;
        }
        factor = this.#factor[n]!;
      }
      if (isPriced) this.close[n] = close * factor;
      const price = this.#fillsAtOpen ? this.#opens![row + n]! * factor : close * factor;
      const isFillable = price > 0 && tradable?.[row + n] !== 0;
      this.price[n] = price > 0 ? price : NaN;
      // Bought at its first open, a stock without a close is worth that.
      if (price > 0 && Number.isNaN(this.close[n]!)) this.close[n] = price;
      this.canTrade[n] = isFillable ? 1 : 0;
    }
  }

  /** What positions are worth when orders are filled: the fill price, else the last close before. */
  mark(n: number): number {
    return this.price[n]! > 0 ? this.price[n]! : this.#fillsAtOpen ? this.before[n]! : this.close[n]!;
  }

  /** sigma / sqrt(ADV) of each stock from the dates before this one, NaN where they say nothing; undefined without impact. */
  impactRates(): Float64Array | undefined {
    return this.#impact?.rates();
  }
}

function lastDates(closes: Float32Array | Float64Array, stocks: number): Int32Array {
  const last = new Int32Array(stocks).fill(-1);
  let found = 0;
  for (let t = closes.length / stocks - 1; t >= 0 && found < stocks; t--) {
    for (let n = 0; n < stocks; n++) {
      if (last[n]! >= 0 || !(closes[t * stocks + n]! > 0)) continue;
      last[n] = t;
      found++;
    }
  }
  return last;
}

/** Returns and traded values of the last dates, for the square-root law. */
class ImpactHistory {
  readonly #volumes: Float32Array | Float64Array;
  readonly #days: number;
  readonly #returns: Float64Array[];
  readonly #traded: Float64Array[];
  /** [stocks] sums over the dates in the buffers. */
  readonly #sums: { readonly change: Float64Array; readonly squares: Float64Array; readonly changes: Int32Array; readonly value: Float64Array; readonly values: Int32Array };
  readonly #rates: Float64Array;
  #next = 0;

  constructor(volumes: Float32Array | Float64Array, stocks: number, days: number) {
    const rows = (): Float64Array[] => Array.from({ length: days }, () => new Float64Array(stocks).fill(NaN));
    this.#volumes = volumes;
    this.#days = days;
    this.#returns = rows();
    this.#traded = rows();
    this.#sums = { change: new Float64Array(stocks), squares: new Float64Array(stocks), changes: new Int32Array(stocks), value: new Float64Array(stocks), values: new Int32Array(stocks) };
    this.#rates = new Float64Array(stocks);
  }

  /** Takes in a date that is over: its row, closes as they are written, and chained closes before and on it. */
  finish(row: number, closes: Float32Array | Float64Array, before: Float64Array, close: Float64Array): void {
    if (row < 0) return;
    const [returns, traded] = [this.#returns[this.#next]!, this.#traded[this.#next]!];
    for (let n = 0; n < returns.length; n++) {
      const written = closes[row + n]!;
      this.#count(n, returns[n]!, traded[n]!, -1);
      returns[n] = written > 0 ? close[n]! / before[n]! - 1 : NaN;
      traded[n] = written * this.#volumes[row + n]!;
      this.#count(n, returns[n]!, traded[n]!, 1);
    }
    this.#next = (this.#next + 1) % this.#days;
    if (this.#next === 0) this.#sumAnew();
  }

  /** Sums are carried from date to date, and made anew each time that the buffers are full, so that no rounding adds up. */
  #sumAnew(): void {
    for (const sums of Object.values(this.#sums)) sums.fill(0);
    for (const [k, returns] of this.#returns.entries()) for (let n = 0; n < returns.length; n++) this.#count(n, returns[n]!, this.#traded[k]![n]!, 1);
  }

  #count(n: number, change: number, traded: number, sign: 1 | -1): void {
    const sums = this.#sums;
    if (!Number.isNaN(change)) {
      sums.change[n]! += sign * change;
      sums.squares[n]! += sign * change * change;
      sums.changes[n]! += sign;
    }
    if (!Number.isNaN(traded)) {
      sums.value[n]! += sign * traded;
      sums.values[n]! += sign;
    }
  }

  rates(): Float64Array {
    const [{ change, squares, changes, value, values }, rates] = [this.#sums, this.#rates];
    for (let n = 0; n < rates.length; n++) {
      const count = changes[n]!;
      const variance = Math.max(0, (squares[n]! - (change[n]! * change[n]!) / count) / (count - 1));
      rates[n] = count > 1 && values[n]! > 0 && value[n]! > 0 ? Math.sqrt(variance / (value[n]! / values[n]!)) : NaN;
    }
    return rates;
  }
}
