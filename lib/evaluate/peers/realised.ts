import type { DailyReturns, Dataset } from "../../data/types.js";

/** Dates up to a date over which stocks are correlated, and dates after it. */
export const DAYS_BEFORE = 60;
export const DAYS_AFTER = 20;

/** How daily returns of stocks went together: until a date, and in the days after it, which nobody knew then. NaN where unknown. */
export interface RealisedCorrelation {
  /** Over the 60 panel dates up to the date, of those on which both have a return; NaN with fewer than 30 of them. */
  readonly correlation60: number;
  /** Over the 20 panel dates after it: KNOWN ONLY AFTERWARDS. NaN where fewer than 20 follow, or both have a return on fewer than 10. */
  readonly correlationNext20: number;
}

/** The dates of a window, `[from, to)`; undefined where the data do not reach so far. */
function windows({ dates }: Dataset, t: number): { before: [number, number]; after: [number, number] | undefined } {
  return { before: [Math.max(0, t + 1 - DAYS_BEFORE), t + 1], after: t + DAYS_AFTER < dates.length ? [t + 1, t + 1 + DAYS_AFTER] : undefined };
}

/** Correlation of the daily returns of two stocks. */
export function pairCorrelation(dataset: Dataset, t: number, a: number, b: number): RealisedCorrelation {
  const { returns, tickers } = dataset;
  if (returns === undefined) return { correlation60: NaN, correlationNext20: NaN };
  const { before, after } = windows(dataset, t);
  const over = (window: [number, number] | undefined, days: number): number => (window === undefined ? NaN : correlate(returns, tickers.length, window, a, b, days / 2));
  return { correlation60: over(before, DAYS_BEFORE), correlationNext20: over(after, DAYS_AFTER) };
}

/** Mean of it over what is a number. */
export function meanCorrelation(all: readonly RealisedCorrelation[]): RealisedCorrelation {
  return { correlation60: meanOf(all.map(({ correlation60 }) => correlation60)), correlationNext20: meanOf(all.map(({ correlationNext20 }) => correlationNext20)) };
}

/**
 * Mean correlation over all pairs of some stocks, of returns that are standardised over the window, missing days as 0: from the sum over stocks,
 * so the cost is that of the stocks and not of their pairs.
 */
export function commonCorrelation(dataset: Dataset, t: number, stocks: readonly number[] | Int32Array): RealisedCorrelation {
  const { returns, tickers } = dataset;
  if (returns === undefined) return { correlation60: NaN, correlationNext20: NaN };
  const { before, after } = windows(dataset, t);
  const over = (window: [number, number] | undefined, days: number): number => (window === undefined ? NaN : common(returns, tickers.length, window, stocks, days / 2));
  return { correlation60: over(before, DAYS_BEFORE), correlationNext20: over(after, DAYS_AFTER) };
}

function correlate({ values }: DailyReturns, N: number, [from, to]: [number, number], a: number, b: number, least: number): number {
  let [count, sumA, sumB, squareA, squareB, product] = [0, 0, 0, 0, 0, 0];
  for (let t = from; t < to; t++) {
    const [x, y] = [values[t * N + a]!, values[t * N + b]!];
    if (Number.isNaN(x) || Number.isNaN(y)) continue;
    count++;
    sumA += x;
    sumB += y;
    squareA += x * x;
    squareB += y * y;
    product += x * y;
  }
  if (count < least) return NaN;
  const [varianceA, varianceB] = [squareA - (sumA * sumA) / count, squareB - (sumB * sumB) / count];
  // A stock whose price never changes goes with nobody.
  return varianceA > 1e-12 && varianceB > 1e-12 ? (product - (sumA * sumB) / count) / Math.sqrt(varianceA * varianceB) : NaN;
}

function common({ values }: DailyReturns, N: number, [from, to]: [number, number], stocks: readonly number[] | Int32Array, least: number): number {
  const total = new Float64Array(to - from);
  let [squares, count] = [0, 0];
  for (const n of stocks) {
    const row = Float64Array.from({ length: to - from }, (_, d) => values[(from + d) * N + n]!);
    const known = row.filter((value) => !Number.isNaN(value));
    if (known.length < least) continue;
    const centre = known.reduce((sum, value) => sum + value, 0) / known.length;
    const norm = Math.sqrt(known.reduce((sum, value) => sum + (value - centre) ** 2, 0));
    if (!(norm > 1e-6)) continue;
    count++;
    for (const [d, value] of row.entries()) {
      if (Number.isNaN(value)) continue;
      const scaled = (value - centre) / norm;
      total[d]! += scaled;
      squares += scaled * scaled;
    }
  }
  const square = total.reduce((sum, value) => sum + value * value, 0);
  return count < 2 ? NaN : (square - squares) / (count * (count - 1));
}

function meanOf(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}
