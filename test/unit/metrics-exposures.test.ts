import { describe, expect, it } from "vitest";
import { neutralIc, styleExposures } from "../../lib/metrics/exposures.js";
import type { Exposures } from "../../lib/data/neutral-to.js";
import { Neutraliser } from "../../lib/data/neutralise.js";
import { rankDates } from "../../lib/metrics/ranked-dates.js";
import { dates, expectClose, fixture, flat, noise, ranked, returns, stocks } from "./evaluation-fixture.js";

const exposures: Exposures = { names: ["a", "b", "c"], of: (t) => flat(fixture.panel.exposures[t]!) };

describe("styleExposures", () => {
  it("equals pandas' Spearman of predictions and each exposure", () => {
    for (const [k, { correlation }] of styleExposures(ranked, exposures).entries()) expect(correlation).toBeCloseTo(fixture.exposures[k]!, 9);
  });

  it("is NaN for an exposure that is constant on every date", () => {
    expect(styleExposures(ranked, { names: ["one"], of: () => new Float64Array(stocks).fill(1) })).toEqual([{ name: "one", correlation: NaN, t: NaN, dates: 0 }]);
  });
});

describe("neutralIc", () => {
  it.each(["alone", "groups"] as const)("equals NumPy's least squares, missing exposures at their date's mean: %s", (kind) => {
    const codes = Int32Array.from(fixture.panel.groups);
    const found = neutralIc(ranked, returns, exposures, kind === "groups" ? { count: 3, of: () => codes } : undefined);
    const daily = (values: Float64Array): Float64Array => {
      const all = new Float64Array(dates).fill(NaN);
      for (const [i, t] of found.daily.dates.entries()) all[t] = values[i]!;
      return all;
    };
    expectClose(daily(found.daily.ic), fixture.neutral[kind].ic);
    expectClose(daily(found.daily.rankIc), fixture.neutral[kind].rankIc);
    expect(found.filled).toBe(fixture.neutral[kind].filled);
  });

  it("finds nothing in predictions that are a combination of the exposures, whatever the rounding", () => {
    const combined = new Float64Array(dates * stocks);
    for (let t = 0; t < dates; t++) {
      const matrix = exposures.of(t);
      for (let n = 0; n < stocks; n++) combined[t * stocks + n] = 3 + 0.1 * matrix[n]! - 0.7 * matrix[stocks + n]!;
    }
    const found = neutralIc(rankDates(combined, dates, stocks), returns, { names: ["a", "b"], of: exposures.of });
    // Stocks without an exposure have no prediction here, so that nothing is filled.
    expect([found.ic, found.rankIc, found.filled]).toEqual([0, 0, 0]);
  });

  it("is the plain IC without exposures", () => {
    expect(neutralIc(ranked, returns, { names: [], of: () => new Float64Array(0) }).ic).toBeCloseTo(fixture.ic.ic.reduce<number>((sum, value) => sum + (value ?? 0), 0) / fixture.ic.ic.filter((value) => value !== null).length, 9);
  });
});

describe("Neutraliser", () => {
  it("leaves out columns that repeat others, and no residual correlates with any", () => {
    const [next, count] = [noise(9), 151];
    const columns = Array.from({ length: 4 }, () => Float64Array.from({ length: count }, () => 1e3 + next()));
    columns.push(columns[0]!.map((value, i) => 2 * value - columns[1]![i]!));
    const values = Float64Array.from({ length: count }, (_, i) => next() + columns[2]![i]!);
    const matrix = Float64Array.from(columns.flatMap((column) => [...column]));
    const { rank } = new Neutraliser(count, 5).residuals(values, count, { matrix, stocks: count, stock: Int32Array.from(values.keys()) });
    expect(rank).toBe(4);
    for (const column of columns) {
      const mean = column.reduce((sum, value) => sum + value, 0) / count;
      const product = values.reduce((sum, value, i) => sum + value * (column[i]! - mean), 0);
      // Columns near 1000 that differ by less than 1 keep 13 digits.
      expect(Math.abs(product)).toBeLessThan(1e-9);
    }
  });
});
