import type { Panel } from "../data/panel.js";
import { DAYS_AFTER, DAYS_BEFORE } from "../evaluate/peers/realised.js";
import { pearson } from "../metrics/statistics.js";
import type { PanelReturns } from "./panel-returns.js";

/** Standardised returns are clipped to so many deviations. */
const CLIP = 4;
/** Fewest returns that a deviation is taken over. */
const LEAST = 20;

/** Correlations of daily returns around a date. */
export class Realised {
  readonly #panel: Panel;
  readonly #returns: PanelReturns;
  /** Standardised returns of the 60 dates up to a date, of the rows asked for last. */
  #standardised: { t: number; rows: readonly number[]; values: Float64Array } | undefined;

  constructor(panel: Panel, returns: PanelReturns) {
    this.#panel = panel;
    this.#returns = returns;
  }

  get hasGroups(): boolean {
    return this.#panel.groups !== undefined;
  }

  /** Name of a stock's group on date t. */
  group(t: number, stock: number): string | undefined {
    const { groups, tickers } = this.#panel;
    return groups?.names[groups.codes[t * tickers.length + stock]!];
  }

  /** Rows of the same group as a row. */
  members(t: number, rows: readonly number[], row: number): number[] {
    const { groups, tickers: { length: N } } = this.#panel;
    const own = groups!.codes[t * N + rows[row]!]!;
    return own < 0 ? [] : Array.from(rows.keys()).filter((other) => other !== row && groups!.codes[t * N + rows[other]!] === own);
  }

  /** Share of a row's list that is of its group, mean over the rows that have a group and a list. */
  sameGroup(t: number, rows: readonly number[], listOf: (row: number) => readonly number[]): number {
    const { groups, tickers: { length: N } } = this.#panel;
    const codes = rows.map((n) => groups!.codes[t * N + n]!);
    const shares = codes.flatMap((own, row) => {
      const list = own < 0 ? [] : listOf(row);
      return list.length === 0 ? [] : [list.filter((other) => codes[other] === own).length / list.length];
    });
    return shares.reduce((sum, share) => sum + share, 0) / shares.length;
  }

  /** Correlation of two stocks over the 60 dates up to t and over the 20 after it. */
  pair(t: number, a: number, b: number): { correlation60: number; correlationNext20: number } {
    return {
      correlation60: this.#correlate(a, b, Math.max(1, t + 1 - DAYS_BEFORE), t + 1, DAYS_BEFORE / 2),
      correlationNext20: t + DAYS_AFTER < this.#panel.dates.length ? this.#correlate(a, b, t + 1, t + 1 + DAYS_AFTER, DAYS_AFTER / 2) : NaN,
    };
  }

  /** Rows nearest to a row by correlation of the 60 dates up to t, missing days as a stock's mean. */
  nearest(t: number, rows: readonly number[], row: number, top: number): { row: number; weight: number }[] {
    const values = this.#standardise(t, rows);
    const own = values.subarray(row * DAYS_BEFORE, (row + 1) * DAYS_BEFORE);
    return closest(Float64Array.from(rows, (_, other) => {
      if (other === row) return NaN;
      let sum = 0;
      for (let d = 0; d < DAYS_BEFORE; d++) sum += own[d]! * values[other * DAYS_BEFORE + d]!;
      return sum;
    }), top);
  }

  /**
   * Correlation over stocks of a stock's return with the mean of those on its list, less the mean of all others, on each of the 20 dates after t; mean over them. NaN where
   * fewer follow.
   */
  peerCorrelation(t: number, rows: readonly number[], listOf: (row: number) => readonly number[]): number {
    if (t + DAYS_AFTER >= this.#panel.dates.length) return NaN;
    const lists = rows.map((_, row) => listOf(row));
    const scale = rows.map((n) => this.#deviation(n, t));
    let [sum, days] = [0, 0];
    for (let day = t + 1; day <= t + DAYS_AFTER; day++) {
      const x = Float64Array.from(rows, (n, row) => Math.min(CLIP, Math.max(-CLIP, this.#returns.values[day * this.#returns.tickers.length + n]! / scale[row]!)));
      const known = Array.from(x.keys()).filter((row) => !Number.isNaN(x[row]!) && lists[row]!.length > 0);
      let [total, count] = [0, 0];
      for (const value of x) {
        if (Number.isNaN(value)) continue;
        total += value;
        count++;
      }
      const centred = x.map((value) => (Number.isNaN(value) ? 0 : value - total / count));
      const own = Float64Array.from(known, (row) => centred[row]!);
      // The mean of all others is -x / (N - 1): without it a list of everybody would seem to know.
      const peers = Float64Array.from(known, (row) => lists[row]!.reduce((mean, other) => mean + centred[other]! / lists[row]!.length, 0) + centred[row]! / Math.max(1, count - 1));
      const value = known.length > 1 ? pearson(own, peers) : NaN;
      if (Number.isNaN(value)) continue;
      sum += value;
      days++;
    }
    return sum / days;
  }

  #correlate(a: number, b: number, from: number, to: number, least: number): number {
    const N = this.#returns.tickers.length;
    const days = Array.from({ length: to - from }, (_, d) => from + d).filter((day) => !Number.isNaN(this.#returns.values[day * N + a]! + this.#returns.values[day * N + b]!));
    return days.length < least ? NaN : pearson(Float64Array.from(days, (day) => this.#returns.values[day * N + a]!), Float64Array.from(days, (day) => this.#returns.values[day * N + b]!));
  }

  #deviation(stock: number, t: number): number {
    const N = this.#returns.tickers.length;
    const values = Array.from({ length: DAYS_BEFORE }, (_, d) => this.#returns.values[(t - d) * N + stock]!).filter((value) => !Number.isNaN(value));
    if (values.length < LEAST) return NaN;
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)) || NaN;
  }

  /** [rows, 60], each row centred and of length 1; NaN for a stock with fewer than 30 returns. */
  #standardise(t: number, rows: readonly number[]): Float64Array {
    if (this.#standardised?.t === t && this.#standardised.rows === rows) return this.#standardised.values;
    const [N, values] = [this.#returns.tickers.length, new Float64Array(rows.length * DAYS_BEFORE)];
    for (const [row, n] of rows.entries()) {
      let [sum, count, square] = [0, 0, 0];
      for (let d = 0; d < DAYS_BEFORE; d++) {
        const value = this.#returns.values[(t - d) * N + n]!;
        if (!Number.isNaN(value)) [sum, count] = [sum + value, count + 1];
      }
      for (let d = 0; d < DAYS_BEFORE; d++) {
        const value = this.#returns.values[(t - d) * N + n]!;
        const left = Number.isNaN(value) ? 0 : value - sum / count;
        values[row * DAYS_BEFORE + d] = left;
        square += left * left;
      }
      const length = count < DAYS_BEFORE / 2 || !(square > 0) ? NaN : Math.sqrt(square);
      for (let d = 0; d < DAYS_BEFORE; d++) values[row * DAYS_BEFORE + d]! /= length;
    }
    this.#standardised = { t, rows, values };
    return values;
  }
}

/** Rows of the largest values, those that are NaN left out. */
export function closest(values: Float64Array, top: number): { row: number; weight: number }[] {
  return Array.from(values, (weight, row) => ({ row, weight })).filter(({ weight }) => !Number.isNaN(weight)).sort((a, b) => b.weight - a.weight || a.row - b.row).slice(0, top);
}
