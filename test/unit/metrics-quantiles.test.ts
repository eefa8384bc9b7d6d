import { describe, expect, it } from "vitest";
import { quantileOf, quantileReturns, quantileTurnover } from "../../lib/metrics/quantiles.js";
import { rankDates } from "../../lib/metrics/ranked-dates.js";
import { expectClose, fixture, flat, ranked, returns } from "./evaluation-fixture.js";

describe("quantileReturns", () => {
  const found = quantileReturns(ranked, returns);

  it("equals alphalens per date and on average, with ties by ticker and missing returns", () => {
    expectClose(found.daily.returns, flat(fixture.quantiles.daily));
    expectClose(found.returns, fixture.quantiles.returns);
  });

  it("has twice alphalens' spread, and says that its gross exposure is 2", () => {
    expect(found.spread).toBeCloseTo(fixture.quantiles.spread, 9);
    expect(found.gross).toBe(2);
  });

  it("equals pandas' monotonicity over the dates that have every quantile", () => {
    expect(found.monotonicity).toBeCloseTo(fixture.quantiles.monotonicity, 9);
    expect(found.stepsUp).toBeCloseTo(fixture.quantiles.stepsUp, 9);
    expect(found.dates).toBe(fixture.quantiles.wholeDates);
  });

  it("is NaN for one stock and where no stock has a return; two stocks are the bottom and the top", () => {
    expect(quantileReturns(rankDates(Float64Array.of(1), 1, 1), Float64Array.of(0.1))).toMatchObject({ spread: NaN, monotonicity: NaN, dates: 0 });
    const two = rankDates(Float64Array.of(1, 2), 1, 2);
    expect(quantileReturns(two, Float64Array.of(NaN, NaN)).returns).toEqual([NaN, NaN, NaN, NaN, NaN]);
    expect(quantileReturns(two, Float64Array.of(0.25, 0.75))).toMatchObject({ returns: [-0.25, NaN, NaN, NaN, 0.25], spread: 0.5 });
  });

  it("refuses fewer than two quantiles and infinite returns", () => {
    expect(() => quantileReturns(ranked, returns, 1)).toThrow("Expected a whole number from 2 to 100000 for quantiles");
    expect(() => quantileReturns(rankDates(Float64Array.of(1, 2), 1, 2), Float64Array.of(0, Infinity))).toThrow("An infinite return at date 0, stock 1");
  });
});

describe("quantileOf", () => {
  it("puts the highest stock into the top quantile and the lowest into the bottom one", () => {
    expect([quantileOf(0, 31, 5), quantileOf(30, 31, 5), quantileOf(6, 31, 5), quantileOf(7, 31, 5)]).toEqual([1, 5, 1, 2]);
  });
});

describe("quantileTurnover", () => {
  it("equals alphalens' share of names that are new in each quantile", () => {
    expectClose(quantileTurnover(ranked), fixture.quantiles.turnover);
  });

  it("is 0 for an order that stays and NaN for one date", () => {
    expect(quantileTurnover(rankDates(Float64Array.of(1, 2, 3, 4, 1, 2, 3, 4), 2, 4), 2)).toEqual([0, 0]);
    expect(quantileTurnover(rankDates(Float64Array.of(1, 2, 3, 4), 1, 4), 2)).toEqual([NaN, NaN]);
  });
});
