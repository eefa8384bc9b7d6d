import { describe, expect, it } from "vitest";
import type { PanelValues } from "../../lib/data/types.js";
import { evaluate, type EvaluateOptions } from "../../lib/metrics/evaluate.js";
import { closes, dates, fixture, flat, noise, returns, stocks } from "./evaluation-fixture.js";

const tickers = Array.from({ length: stocks }, (_, n) => `S${String(n).padStart(2, "0")}`);
const calendar = [...fixture.panel.dates, ...Array.from({ length: closes.length / stocks - dates }, (_, i) => `2020-03-${String(i + 1).padStart(2, "0")}`)];
const panel = (data: Float64Array, from = calendar): PanelValues => ({ data, shape: [data.length / stocks, stocks], dates: from.slice(0, data.length / stocks), tickers });
const predictions = panel(flat(fixture.panel.predictions));
const labels = { ...panel(returns), horizonDays: [1], lagDays: 1, column: undefined };
const prices = panel(closes);
const exposure = (k: number): PanelValues => panel(flat(fixture.panel.exposures.map((date) => date[k]!)));
const codes = Int32Array.from({ length: dates * stocks }, (_, i) => fixture.panel.groups[i % stocks]!);
const ALL: EvaluateOptions = { closes: prices, groups: { codes, names: ["a", "b", "c"] }, sizes: exposure(0), exposures: { a: exposure(0), b: exposure(1), c: exposure(2) } };

/** The same panel with its stocks in another order. */
const order = Array.from({ length: stocks }, (_, n) => (n * 7) % stocks);
const shuffled = (values: PanelValues): PanelValues => ({ ...values, tickers: order.map((n) => values.tickers[n]!), data: Float64Array.from(values.data, (_, i) => values.data[Math.floor(i / stocks) * stocks + order[i % stocks]!]!) });

describe("evaluate", () => {
  const found = evaluate(predictions, labels, ALL);

  it("puts the statistics of the fixtures together", () => {
    expect(found.quantiles.spread).toBeCloseTo(fixture.quantiles.spread, 9);
    expect(found.decay!.find(({ to }) => to === 2)!.ic).toBeCloseTo(fixture.decay[1]!.ic, 9);
    expect(found.cumulativeDecay!.find(({ to }) => to === 10)!.rankIc).toBeCloseTo(fixture.decay[5]!.rankIc, 9);
    expect(found.exposures!.map(({ correlation }) => correlation)[2]).toBeCloseTo(fixture.exposures[2]!, 9);
    const neutral = fixture.neutral.groups.ic.filter((value) => value !== null);
    expect(found.neutral!.ic).toBeCloseTo(neutral.reduce((sum, value) => sum + value, 0) / neutral.length, 9);
    const [first, ...days] = fixture.books[0]!.days;
    expect(first).toBeDefined();
    const turnover = days.map((day) => day[4]!).filter((value) => value !== null);
    expect(found.turnover).toBeCloseTo(turnover.reduce((sum, value) => sum + value, 0) / turnover.length, 9);
    expect(found.groups!.map(({ name }) => name)).toEqual(["a", "b", "c"]);
    expect(found.sizes!.map(({ name }) => name)).toEqual(["small", "middle", "large"]);
    expect(found.years.map(({ year }) => year)).toEqual([2019, 2020]);
    expect(found.deflatedIc).toMatchObject({ trials: 1, luck: 0 });
    expect(found.icInterval[0]).toBeLessThan(found.ic);
    expect(found.icInterval[1]).toBeGreaterThan(found.ic);
  });

  it("is null where what it needs was not given, and holds daily labels as a book", () => {
    const bare = evaluate(predictions, labels);
    expect(bare).toMatchObject({ decay: null, cumulativeDecay: null, groups: null, sizes: null, exposures: null, neutral: null });
    expect(bare.netSharpe).toEqual(expect.any(Number));
    const weekly = evaluate(predictions, labels, { horizonDays: 5 });
    expect(weekly).toMatchObject({ horizonDays: 5, turnover: null, netSharpe: null, breakEvenBps: null, books: null });
    expect(weekly.series.book).toBeNull();
    expect(evaluate(predictions, { ...labels, column: "alpha" }).books).toBeNull();
  });

  it("takes horizon and lag from the labels of a split, for the lag of the t and the portfolios", () => {
    const five = evaluate(predictions, { ...labels, horizonDays: [5], lagDays: 0 }, { closes: prices });
    expect(five).toMatchObject({ horizonDays: 5, lagDays: 0, icLag: 4 });
    expect(five.books!.portfolios).toBe(5);
    expect(found.books!.portfolios).toBe(1);
  });

  it("does not change with the order of the stocks, ties included", () => {
    const other = evaluate(shuffled(predictions), { ...shuffled(labels), horizonDays: [1], lagDays: 1 }, {
      ...ALL,
      closes: shuffled(prices),
      groups: { codes: codes.map((_, i) => codes[Math.floor(i / stocks) * stocks + order[i % stocks]!]!), names: ["a", "b", "c"] },
    });
    const numbers = (value: unknown): number[] => (typeof value === "number" ? [value] : value !== null && typeof value === "object" ? Object.values(value).flatMap(numbers) : []);
    const [a, b] = [numbers(found), numbers(other)];
    expect(b.length).toBe(a.length);
    // Sums in another order.
    for (const [i, value] of a.entries()) if (Number.isNaN(value)) expect(b[i]).toBeNaN(); else expect(b[i]).toBeCloseTo(value, 10);
  });

  it("does not change with closes before the first and long after the last prediction, or of other stocks", () => {
    const more: PanelValues = {
      dates: ["2001-01-01", ...calendar, "2030-01-01"],
      tickers: ["AAA", ...tickers],
      shape: [calendar.length + 2, stocks + 1],
      data: Float64Array.from({ length: (calendar.length + 2) * (stocks + 1) }, (_, i) => {
        const [d, n] = [Math.floor(i / (stocks + 1)) - 1, (i % (stocks + 1)) - 1];
        return d < 0 || d >= calendar.length || n < 0 ? 7 : closes[d * stocks + n]!;
      }),
    };
    expect(evaluate(predictions, labels, { ...ALL, closes: more }).books).toEqual(found.books);
  });

  it("finds nothing in noise and deflates what was chosen from it", () => {
    const next = noise(8);
    const draw = (): number[] => Array.from({ length: 60 }, next);
    const trials = Array.from({ length: 50 }, () => ({ dates: fixture.panel.dates, ic: draw().slice(0, dates) }));
    const { deflatedIc } = evaluate(predictions, labels, { trials });
    expect(deflatedIc.trials).toBe(51);
    expect(deflatedIc.probability).toBeLessThan(evaluate(predictions, labels).deflatedIc.probability);
  });

  it("has NaN and no error for one date, two stocks and constants", () => {
    const small = (data: number[], days: number): PanelValues => ({ data: Float64Array.from(data), shape: [days, data.length / days], dates: calendar.slice(0, days), tickers: tickers.slice(0, data.length / days) });
    const one = evaluate(small([1, 2, 3], 1), small([0.01, 0.02, 0.03], 1));
    expect(one).toMatchObject({ ic: expect.closeTo(1, 12), icT: NaN, icP: NaN, icInterval: [NaN, NaN], turnover: NaN, netSharpe: NaN });
    const two = evaluate(small([1, 2, 2, 1], 2), small([0.01, 0.02, 0.01, 0.02], 2));
    expect(two).toMatchObject({ ic: expect.closeTo(0, 12), quantiles: { dates: 0, monotonicity: NaN } });
    const constant = evaluate(small([1, 1, 1, 1], 2), small([0.01, 0.02, 0.01, 0.02], 2), { exposures: { x: small([1, 2, 3, 4], 2) } });
    expect(constant).toMatchObject({ ic: 0, icT: NaN, netSharpe: NaN, deflatedIc: { probability: NaN }, exposures: [{ name: "x", correlation: 0 }] });
    const missing = evaluate(small([NaN, NaN, NaN, NaN], 2), small([0.01, 0.02, 0.01, 0.02], 2));
    expect(missing).toMatchObject({ ic: NaN, dates: 0, icT: NaN, netSharpe: NaN });
  });

  it("refuses what cannot be meant, naming it", () => {
    expect(() => evaluate(predictions, labels, { quantile: 3 } as never)).toThrow("Unknown option quantile of evaluate. Did you mean quantiles?");
    expect(() => evaluate(predictions, labels, { costBps: -1 })).toThrow("Expected a number from 0 for costBps but received -1");
    expect(() => evaluate(predictions, labels, { closes: { ...prices, dates: ["x", ...calendar.slice(1)] } })).toThrow("closes has no 2019-12-02, on which there are predictions");
    expect(() => evaluate(predictions, labels, { closes: { ...prices, tickers: tickers.map((name) => `${name}.US`) } })).toThrow("closes has no ticker of the predictions");
    expect(() => evaluate(predictions, labels, { closes: { ...prices, dates: [...calendar.slice(0, -1), "2001-01-01"] } })).toThrow("The dates of closes do not ascend: 2020-03-11 comes before 2001-01-01");
    expect(() => evaluate(predictions, labels, { groups: { codes: new Int32Array(3), names: [] } })).toThrow("groups has 3 codes for 40 dates of 23 stocks");
    expect(() => evaluate({ ...predictions, data: predictions.data.map((value) => (Number.isNaN(value) ? Infinity : value)) }, { ...labels, data: labels.data.map(() => NaN) })).toThrow("An infinite prediction for S");
    const infinite = exposure(0).data.map((value, i) => (i === stocks + 2 ? -Infinity : value));
    expect(() => evaluate(predictions, labels, { exposures: { size: { ...exposure(0), data: infinite } } })).toThrow(`An infinite value of exposures.size for S02 on ${calendar[1]}`);
  });
});
