import { describe, expect, it } from "vitest";
import { PairedStocks } from "../../lib/metrics/paired-stocks.js";
import { rankDates } from "../../lib/metrics/ranked-dates.js";
import { dates, expectClose, fixture, ranked, returns, stocks } from "./evaluation-fixture.js";

describe("rankDates", () => {
  it("sorts every date, equal values by stock, and leaves missing ones out", () => {
    const { order, counts } = rankDates(Float64Array.of(3, 1, NaN, 1, NaN, NaN, NaN, NaN), 2, 4);
    expect([Array.from(order.subarray(0, 3)), Array.from(counts)]).toEqual([[1, 3, 0], [3, 0]]);
  });

  it("refuses infinite predictions and a length that does not fit", () => {
    expect(() => rankDates(Float64Array.of(1, Infinity), 1, 2)).toThrow("An infinite prediction at date 0, stock 1");
    expect(() => rankDates(Float64Array.of(1), 1, 2)).toThrow("Expected 1 x 2 predictions but received 1");
  });
});

describe("PairedStocks", () => {
  it("gives pandas' Pearson and Spearman per date, 0 for constant predictions, and counts no date of one stock or equal returns", () => {
    const pairs = new PairedStocks(stocks);
    const [ic, rankIc] = [new Float64Array(dates).fill(NaN), new Float64Array(dates).fill(NaN)];
    for (let t = 0; t < dates; t++) if (pairs.load(ranked, t, returns)) ({ ic: ic[t], rankIc: rankIc[t] } = pairs.ic());
    expectClose(ic, fixture.ic.ic, 12);
    expectClose(rankIc, fixture.ic.rankIc, 12);
    const two = rankDates(Float64Array.of(1, 2), 1, 2);
    expect(new PairedStocks(2).load(two, 0, Float64Array.of(5, 5))).toBe(false);
    expect(() => new PairedStocks(2).load(two, 0, Float64Array.of(5, -Infinity))).toThrow("An infinite return at date 0, stock 1");
  });
});
