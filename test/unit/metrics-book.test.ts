import { describe, expect, it } from "vitest";
import { holdBook, type BookInput } from "../../lib/metrics/book.js";
import { bookSummary } from "../../lib/metrics/costs.js";
import { quantileReturns } from "../../lib/metrics/quantiles.js";
import { rankDates } from "../../lib/metrics/ranked-dates.js";
import { equalWeights, factorWeights, quantileWeights, topWeights, type Weighting } from "../../lib/metrics/weights.js";
import { closes, dates, expectClose, fixture, ranked, returns, stocks } from "./evaluation-fixture.js";

/** Stocks that cannot be bought at the entry's close are not held; a missing close keeps the last price. */
function bookOf(weighting: Weighting, portfolios: number, lag: number): BookInput {
  const filled = closes.map((_, i) => {
    let at = i;
    while (at >= stocks && Number.isNaN(closes[at]!)) at -= stocks;
    return closes[at]!;
  });
  return {
    stocks,
    portfolios,
    entries: Int32Array.from({ length: dates }, (_, t) => t + lag),
    weights: (k, out) => {
      weighting(ranked, k, out);
      for (let n = 0; n < stocks; n++) if (Number.isNaN(closes[(k + lag) * stocks + n]!)) out[n] = 0;
    },
    returns: (d, out) => {
      for (let n = 0; n < stocks; n++) {
        const growth = filled[(d + 1) * stocks + n]! / filled[d * stocks + n]! - 1;
        out[n] = Number.isNaN(growth) ? 0 : growth;
      }
    },
  };
}

/** Every stock's return of each date, one date after the other. */
const simple = (rows: readonly (readonly number[])[], weights: readonly (readonly number[])[], portfolios = 1): BookInput => ({
  stocks: rows[0]!.length,
  portfolios,
  entries: Int32Array.from(weights.keys()),
  weights: (k, out) => out.set(weights[k]!),
  returns: (d, out) => out.set(rows[d]!),
});

describe("factorWeights", () => {
  it("has gross 1 and net 0 and earns what alphalens' factor-weighted portfolio earns", () => {
    const weights = new Float64Array(stocks);
    const earned = new Float64Array(dates).fill(NaN);
    for (let t = 0; t < dates; t++) {
      factorWeights(ranked, t, weights);
      if (fixture.factorReturns[t] === null) continue;
      earned[t] = weights.reduce((sum, weight, n) => sum + weight * (Number.isNaN(returns[t * stocks + n]!) ? 0 : returns[t * stocks + n]!), 0);
    }
    expectClose(earned, fixture.factorReturns);
    factorWeights(ranked, 0, weights);
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(0, 14);
    expect(weights.reduce((sum, weight) => sum + Math.abs(weight), 0)).toBeCloseTo(1, 14);
  });

  it("holds nothing where all predictions are equal", () => {
    const weights = Float64Array.of(9, 9);
    // 0.1 is not exact: the difference from a mean is decided before rounding.
    factorWeights(rankDates(Float64Array.of(0.1, 0.1), 1, 2), 0, weights);
    expect(Array.from(weights)).toEqual([0, 0]);
  });
});

describe("topWeights", () => {
  it("holds the highest predictions in equal parts, all stocks where there are fewer", () => {
    const weights = new Float64Array(4);
    const four = rankDates(Float64Array.of(1, 4, NaN, 2), 1, 4);
    topWeights(2)(four, 0, weights);
    expect(Array.from(weights)).toEqual([0, 0.5, 0, 0.5]);
    topWeights(9)(four, 0, weights);
    const all = new Float64Array(4);
    equalWeights(four, 0, all);
    expect(Array.from(weights)).toEqual([1 / 3, 1 / 3, 0, 1 / 3]);
    expect(weights).toEqual(all);
    expect(() => topWeights(0)).toThrow("Expected a whole number from 1 for topK");
  });
});

describe("quantileWeights", () => {
  it("holds the top against the bottom quantile: gross 1, net 0, half of the spread of quantileReturns", () => {
    const weights = new Float64Array(stocks);
    const { daily } = quantileReturns(ranked, returns, 4);
    for (let t = 0; t < dates; t++) {
      quantileWeights(4)(ranked, t, weights);
      const held = Array.from(weights.keys()).filter((n) => weights[n] !== 0);
      if (held.length === 0 || held.some((n) => Number.isNaN(returns[t * stocks + n]!))) continue;
      expect(weights.reduce((sum, weight) => sum + Math.abs(weight), 0)).toBeCloseTo(1, 14);
      expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(0, 14);
      expect(2 * held.reduce((sum, n) => sum + weights[n]! * returns[t * stocks + n]!, 0)).toBeCloseTo(daily.spread[t]!, 14);
    }
  });

  it("holds nothing of fewer stocks than it takes, and refuses one quantile", () => {
    const weights = Float64Array.of(9, 9);
    quantileWeights(2)(rankDates(Float64Array.of(1, NaN), 1, 2), 0, weights);
    expect(Array.from(weights)).toEqual([0, 0]);
    quantileWeights(5)(rankDates(Float64Array.of(1, 2), 1, 2), 0, weights);
    expect(Array.from(weights)).toEqual([-0.5, 0.5]);
    expect(() => quantileWeights(1)).toThrow("Expected a whole number from 2 for quantiles");
  });
});

describe("holdBook", () => {
  it.each(fixture.books)("equals the same book kept in shares and money: $portfolios portfolios, lag $lag", ({ portfolios, lag, days }) => {
    const found = holdBook(bookOf(factorWeights, portfolios, lag));
    for (const [i, name] of (["return", "traded", "gross", "short", "turnover"] as const).entries()) expectClose(found[name], days.map((day) => day[i]!), 12);
  });

  it("trades nothing where drifted weights are the new ones", () => {
    // 1 and 1 drift to 2/3 and 1/3.
    const found = holdBook(simple([[1, 0], [0, 0]], [[0.5, 0.5], [2 / 3, 1 / 3]]));
    expect(found.traded[0]).toBe(1);
    expect(found.traded[1]).toBeCloseTo(0, 15);
    expect(found.turnover[0]).toBeNaN();
  });

  it("replaces one portfolio a day: the same weights every day trade nothing but drift", () => {
    const still = Array.from({ length: 6 }, () => [0, 0]);
    const found = holdBook(simple(still, Array.from({ length: 6 }, () => [0.5, -0.5]), 3));
    expect(Array.from(found.date)).toEqual([2, 3, 4, 5]);
    expect(Array.from(found.gross)).toEqual([1, 1, 1, 1]);
    expect(Array.from(found.traded)).toEqual([1 / 3, 0, 0, 0]);
  });

  it("goes through the days between rebalances", () => {
    const found = holdBook({ ...simple([[0.1, 0], [0.1, 0], [0.1, 0]], [[1, 0], [0, 1]]), entries: Int32Array.of(0, 2) });
    expect(Array.from(found.date)).toEqual([0, 1, 2]);
    expectClose(found.return, [0.1, 0.1, 0], 14);
    expect(found.turnover[1]).toBeNaN();
    expect(found.turnover[2]).toBe(1);
  });

  it("ends where the book has lost all that it is worth", () => {
    const found = holdBook(simple([[3, 0], [0, 0], [0, 0]], [[-0.5, 0.5], [0.5, -0.5], [0.5, -0.5]]));
    expect([found.return[0], found.return[1], found.traded[2]]).toEqual([-1.5, NaN, NaN]);
    expect(bookSummary(found).netSharpe).toBeNaN();
  });

  it("has no days before every portfolio is there, and refuses none", () => {
    expect(holdBook(simple([[0, 0]], [[0.5, -0.5]], 2)).date.length).toBe(0);
    expect(() => holdBook(simple([[0, 0]], [[0.5, -0.5]], 0))).toThrow("at least one portfolio");
  });
});

describe("bookSummary", () => {
  const book = holdBook(simple([[0.01, -0.01], [0.03, 0], [0, 0.02], [-0.01, 0.01]], [[0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, -0.5]]));

  it("annualises by 252 and its root, and takes off what was traded and lent", () => {
    const found = bookSummary(book, { costBps: 10, borrowBps: 100 });
    const gross = Array.from(book.return);
    const net = gross.map((value, i) => value - book.traded[i]! * 0.001 - (book.short[i]! * 0.01) / 252);
    const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    const sd = (values: number[]): number => Math.sqrt(values.reduce((a, b) => a + (b - mean(values)) ** 2, 0) / (values.length - 1));
    expect(found.grossReturn).toBeCloseTo(mean(gross) * 252, 12);
    expect(found.volatility).toBeCloseTo(sd(gross) * Math.sqrt(252), 12);
    expect(found.netReturn).toBeCloseTo(mean(net) * 252, 12);
    expect(found.netSharpe).toBeCloseTo((mean(net) / sd(net)) * Math.sqrt(252), 12);
    expect(found.netReturn).toBeCloseTo(found.grossReturn - found.tradingCost - found.borrowCost, 12);
  });

  it("earns nothing at the break-even cost", () => {
    const { breakEvenBps } = bookSummary(book, { borrowBps: 100 });
    expect(bookSummary(book, { costBps: breakEvenBps, borrowBps: 100 }).netReturn).toBeCloseTo(0, 12);
    expect(bookSummary(holdBook(simple([[-0.01, 0.01], [-0.01, 0.01]], [[0.5, -0.5], [0.5, -0.5]]))).breakEvenBps).toBeLessThan(0);
  });

  it("never earns more for costing more", () => {
    const net = [0, 1, 5, 50].map((costBps) => bookSummary(book, { costBps }).netReturn);
    expect(net).toEqual([...net].sort((a, b) => b - a));
  });

  it("is NaN for no days, and has no Sharpe ratio for one", () => {
    expect(bookSummary(holdBook(simple([[0, 0]], [])))).toMatchObject({ netSharpe: NaN, turnover: NaN, breakEvenBps: NaN, days: 0 });
    expect(bookSummary(holdBook(simple([[0.1, 0]], [[0.5, -0.5]])))).toMatchObject({ netSharpe: NaN, turnover: NaN, days: 1 });
  });
});
