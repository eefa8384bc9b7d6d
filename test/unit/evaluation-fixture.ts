import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { rankDates, type RankedDates } from "../../lib/metrics/ranked-dates.js";

type Numbers = readonly (number | null)[];

/** What scripts/make-evaluation-fixtures.py wrote; missing values are null. */
interface Fixture {
  panel: { dates: string[]; predictions: Numbers[]; closes: Numbers[]; groups: number[]; exposures: Numbers[][]; returns: Numbers[] };
  ic: { ic: Numbers; rankIc: Numbers };
  quantiles: { returns: Numbers; spread: number; daily: Numbers[]; monotonicity: number; stepsUp: number; wholeDates: number; turnover: Numbers };
  autocorrelation: Record<string, Numbers>;
  complete: { predictions: Numbers[]; autocorrelation: Record<string, Numbers> };
  factorReturns: Numbers;
  decay: { from: number; to: number; ic: number; rankIc: number }[];
  books: { portfolios: number; lag: number; days: Numbers[] }[];
  exposures: Numbers;
  neutral: Record<"alone" | "groups", { ic: Numbers; rankIc: Numbers; filled: number }>;
  groups: Record<string, { ic: Numbers; rankIc: Numbers }>;
  hac: { values: number[]; horizon: number; lag: number; t: number; p: number; tUncorrected: number }[];
  bootstrap: { values: number[]; horizon: number; draws: number; seed: number; interval: number[] }[];
  deflation: { series: number[][]; horizon: number; eigenvalues: number[]; effectiveTrials: number; luck: number; probability: number };
  eigenvalues: { matrix: number[][]; values: number[] }[];
  normal: { z: number; p: number }[];
  student: { t: number; degrees: number; p: number }[];
}

export const fixture = JSON.parse(readFileSync(new URL("fixtures/evaluation.json", import.meta.url), "utf8")) as Fixture;

/** Rows of numbers one after the other, null as NaN. */
export function flat(rows: readonly Numbers[]): Float64Array {
  return Float64Array.from(rows.flat(), (value) => value ?? NaN);
}

export const stocks = fixture.panel.predictions[0]!.length;
export const dates = fixture.panel.dates.length;
export const returns = flat(fixture.panel.returns);
export const closes = flat(fixture.panel.closes);
export const ranked: RankedDates = rankDates(flat(fixture.panel.predictions), dates, stocks);

/** Equal to the last nine decimals, and NaN where the oracle has nothing. */
export function expectClose(found: ArrayLike<number>, expected: Numbers | Float64Array, decimals = 9): void {
  expect(found.length).toBe(expected.length);
  for (let i = 0; i < found.length; i++) {
    const value = expected[i] ?? NaN;
    if (Number.isNaN(value)) expect(found[i], `entry ${i}`).toBeNaN();
    else expect(found[i], `entry ${i}`).toBeCloseTo(value, decimals);
  }
}

/** Mean of what is there. */
export function meanOf(values: Numbers): number {
  const defined = values.filter((value) => value !== null);
  return defined.reduce((sum, value) => sum + value, 0) / defined.length;
}

/** Numbers without structure, the same on every machine. */
export function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
}
