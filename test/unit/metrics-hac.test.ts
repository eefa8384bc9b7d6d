import { describe, expect, it } from "vitest";
import { hacLag, testMean } from "../../lib/metrics/hac.js";
import { fixture } from "./evaluation-fixture.js";

const TEN = [0.03, -0.01, 0.05, 0.02, 0.04, -0.02, 0.01, 0.06, 0, 0.03];

describe("testMean", () => {
  it.each([
    [1, 3.578736817929459],
    [2, 4.602096872549837],
  ])("gives the published t of ten values at lag %i", (lag, t) => {
    expect(testMean(TEN, { lag }).t).toBeCloseTo(t, 12);
  });

  it.each(fixture.hac)("equals statsmodels' HAC regression on a constant: $values.length values, horizon $horizon", ({ values, horizon, lag, t, p, tUncorrected }) => {
    const found = testMean(values, { horizonDays: horizon });
    expect(found.lag).toBe(lag);
    expect(found.t).toBeCloseTo(t, 9);
    expect(found.p).toBeCloseTo(p, 11);
    expect(found.t * Math.sqrt(values.length / (values.length - 1))).toBeCloseTo(tUncorrected, 9);
  });

  it("takes the longer of overlap and the rule of thumb, but at most half of the values", () => {
    expect([hacLag(237, 1), hacLag(237, 20), hacLag(10, 20), hacLag(2, 1), hacLag(1, 5), hacLag(0, 5)]).toEqual([4, 19, 5, 1, 0, 0]);
  });

  it("says how much surer independent values would be", () => {
    const found = testMean(TEN, { lag: 0 });
    expect(found.inflation).toBe(1);
    expect(found.t).toBeCloseTo(found.tNaive, 14);
    const positive = testMean([1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1], { lag: 2 });
    expect(positive.inflation).toBeGreaterThan(1.9);
    expect(positive.t).toBeCloseTo(positive.tNaive / Math.sqrt(positive.inflation), 12);
  });

  it("leaves missing values out", () => {
    expect(testMean([NaN, ...TEN, NaN])).toEqual(testMean(TEN));
  });

  it("has no t for one value, for none and for equal ones", () => {
    expect(testMean([0.1])).toMatchObject({ mean: 0.1, t: NaN, p: NaN, tNaive: NaN, count: 1 });
    expect(testMean([])).toMatchObject({ mean: NaN, t: NaN, count: 0 });
    // 0.1 summed three times is not 0.3.
    expect(testMean([0.1, 0.1, 0.1])).toMatchObject({ t: NaN, standardError: NaN });
  });
});
