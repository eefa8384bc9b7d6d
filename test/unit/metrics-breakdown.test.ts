import { describe, expect, it } from "vitest";
import { icByGroup, icByYear, SizeBuckets } from "../../lib/metrics/breakdown.js";
import { testMean } from "../../lib/metrics/hac.js";
import { fixture, meanOf, ranked, returns, stocks } from "./evaluation-fixture.js";

describe("icByGroup", () => {
  it("equals pandas within each group", () => {
    const groups = Int32Array.from(fixture.panel.groups);
    const found = icByGroup(ranked, returns, () => groups, 3);
    for (const [g, part] of found.entries()) {
      const { ic, rankIc } = fixture.groups[g]!;
      expect(part.ic).toBeCloseTo(meanOf(ic), 9);
      expect(part.rankIc).toBeCloseTo(meanOf(rankIc), 9);
      expect(part.dates).toBe(ic.filter((value) => value !== null).length);
      expect(part.icT).toBeCloseTo(testMean(ic.map((value) => value ?? NaN)).t, 9);
    }
  });

  it("is the whole for one group, and NaN for a group without stocks", () => {
    const [all, none] = icByGroup(ranked, returns, () => new Int32Array(stocks), 2);
    expect(all!.ic).toBeCloseTo(meanOf(fixture.ic.ic), 12);
    expect(all!.rankIc).toBeCloseTo(meanOf(fixture.ic.rankIc), 12);
    expect(none).toEqual({ ic: NaN, rankIc: NaN, icT: NaN, dates: 0, rows: 0 });
  });
});

describe("SizeBuckets", () => {
  it("cuts a date's stocks into thirds by size, smallest first; no size, no bucket", () => {
    const buckets = new SizeBuckets(8);
    expect(Array.from(buckets.of(Float64Array.of(7, 1, NaN, 5, 3, 2, 6, 4), 3))).toEqual([2, 0, -1, 1, 0, 0, 2, 1]);
    expect(Array.from(buckets.of(new Float64Array(8).fill(NaN), 3))).toEqual([-1, -1, -1, -1, -1, -1, -1, -1]);
  });
});

describe("icByYear", () => {
  it("is the mean of each year's dates", () => {
    const daily = { dates: ["2019-12-30", "2019-12-31", "2020-01-02"], ic: [0.1, 0.3, 0.5], rankIc: [0, 0.2, -0.1] };
    expect(icByYear(daily)).toEqual([
      { year: 2019, ic: 0.2, rankIc: 0.1, icT: testMean([0.1, 0.3]).t, dates: 2 },
      { year: 2020, ic: 0.5, rankIc: -0.1, icT: NaN, dates: 1 },
    ]);
  });
});
