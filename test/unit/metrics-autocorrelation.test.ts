import { describe, expect, it } from "vitest";
import { rankAutocorrelation } from "../../lib/metrics/autocorrelation.js";
import { rankDates } from "../../lib/metrics/ranked-dates.js";
import { dates, expectClose, fixture, flat, meanOf, ranked, stocks } from "./evaluation-fixture.js";

describe("rankAutocorrelation", () => {
  it.each([1, 5, 20])("equals pandas at lag %i, ranked anew among the stocks on both dates", (lag) => {
    const [found] = rankAutocorrelation(ranked, [lag]);
    expectClose(found!.daily, fixture.autocorrelation[lag]!);
    expect(found!.mean).toBeCloseTo(meanOf(fixture.autocorrelation[lag]!), 9);
  });

  it("equals alphalens where every stock is on every date", () => {
    const complete = rankDates(flat(fixture.complete.predictions), dates, stocks);
    for (const { lag, daily } of rankAutocorrelation(complete, [1, 5])) expectClose(daily, fixture.complete.autocorrelation[lag]!);
  });

  it("is NaN where nothing can be compared: one date, one common stock, constants", () => {
    const lagOne = (values: number[], count: number): number => rankAutocorrelation(rankDates(Float64Array.from(values), count, values.length / count), [1])[0]!.mean;
    expect(lagOne([1, 2, 3], 1)).toBeNaN();
    expect(lagOne([1, NaN, 3, NaN, 2, 3], 2)).toBeNaN();
    expect(lagOne([1, 1, 1, 1, 2, 3], 2)).toBeNaN();
    expect(lagOne([1, 2, 3, 1, 2, 3], 2)).toBe(1);
  });
});
