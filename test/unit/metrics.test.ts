import { describe, expect, it } from "vitest";
import type { PanelValues } from "../../lib/data/types.js";
import { averagePredictions } from "../../lib/metrics/average-predictions.js";
import { evaluate } from "../../lib/metrics/evaluate.js";
import { pairedDifference } from "../../lib/metrics/paired-difference.js";

/** values[t][n] or values[t][n][k]; null is missing. */
function panel(values: (number | null | (number | null)[])[][], from = 1): PanelValues {
  const width = Array.isArray(values[0]![0]) ? (values[0]![0] as number[]).length : undefined;
  const flat = values.flat(2).map((value) => (value === null ? NaN : (value as number)));
  return {
    data: Float64Array.from(flat),
    shape: width === undefined ? [values.length, values[0]!.length] : [values.length, values[0]!.length, width],
    dates: values.map((_, t) => `2020-01-${String(t + from).padStart(2, "0")}`),
    tickers: values[0]!.map((_, n) => `S${n}`),
  };
}

/** A sequence without structure; the same on every machine. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
}

/** Spelled out with plain loops: the definitions of the metrics, slowly. */
function slow(x: number[], y: number[]): { ic: number; rankIc: number; hit: number } {
  const average = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
  const pearson = (a: number[], b: number[]): number => {
    const [ma, mb] = [average(a), average(b)];
    const cov = average(a.map((_, i) => (a[i]! - ma) * (b[i]! - mb)));
    return cov / Math.sqrt(average(a.map((v) => (v - ma) ** 2)) * average(b.map((v) => (v - mb) ** 2)));
  };
  const ranks = (v: number[]): number[] => v.map((a) => v.filter((b) => b < a).length + (v.filter((b) => b === a).length + 1) / 2);
  const median = (v: number[]): number => {
    const s = [...v].sort((a, b) => a - b);
    return s.length % 2 ? s[(s.length - 1) / 2]! : (s[s.length / 2 - 1]! + s[s.length / 2]!) / 2;
  };
  const sides = x.map((_, i) => Math.sign(x[i]! - median(x)) * Math.sign(y[i]! - median(y))).filter((s) => s !== 0);
  return { ic: pearson(x, y), rankIc: pearson(ranks(x), ranks(y)), hit: sides.filter((s) => s > 0).length / sides.length };
}

describe("evaluate", () => {
  it("equals the definitions spelled out, with ties and missing values", () => {
    const next = noise(7);
    const draw = (digits: number): (number | null)[][] =>
      Array.from({ length: 21 }, () => Array.from({ length: 33 }, () => (next() < -0.35 ? null : Number((next() * 4).toFixed(digits)))));
    const [x, y, target] = [draw(1), draw(1), draw(4)];
    const days = x.map((row, t) => {
      const keep = row.flatMap((v, n) => (v !== null && y[t]![n] !== null ? [n] : []));
      const withTarget = keep.filter((n) => target[t]![n] !== null);
      const mse = withTarget.reduce((sum, n) => sum + (row[n]! - target[t]![n]!) ** 2, 0) / withTarget.length;
      return { ...slow(keep.map((n) => row[n]!), keep.map((n) => y[t]![n]!)), mse, rows: keep.length };
    });
    const mean = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
    const sd = (v: number[]): number => Math.sqrt(v.reduce((a, b) => a + (b - mean(v)) ** 2, 0) / (v.length - 1));
    const ic = days.map((day) => day.ic);
    const rankIc = days.map((day) => day.rankIc);
    const found = evaluate(panel(x), panel(y), { targets: panel(target) });
    // Sums of 33 numbers in another order: 1e-12 is a thousand rounding errors.
    expect(found.ic).toBeCloseTo(mean(ic), 12);
    expect(found.icir).toBeCloseTo(mean(ic) / sd(ic), 12);
    expect(found.rankIc).toBeCloseTo(mean(rankIc), 12);
    expect(found.rankIcir).toBeCloseTo(mean(rankIc) / sd(rankIc), 12);
    expect(found.hitRate).toBeCloseTo(mean(days.map((day) => day.hit)), 12);
    expect(found.mse).toBeCloseTo(mean(days.map((day) => day.mse)), 12);
    expect(found.icStandardError).toBeCloseTo(sd(ic) / Math.sqrt(21), 12);
    expect(found.rows).toBe(days.reduce((sum, day) => sum + day.rows, 0));
    expect(found.daily.dates).toEqual(panel(x).dates);
  });

  it("gives numbers computed outside: Pearson and Spearman of a worked example", () => {
    const found = evaluate(panel([[1, 2, 3, 4, 5]]), panel([[2, 1, 4, 3, 10]]));
    expect(found.ic).toBeCloseTo(18 / Math.sqrt(10 * 50), 14);
    expect(found.rankIc).toBeCloseTo(0.8, 14);
    expect(found.hitRate).toBe(1);
    expect(found.icir).toBeNaN();
  });

  it("counts a date with constant predictions as 0 and leaves it out of the hit rate", () => {
    // 0.1 summed three times is not 0.3: constancy must not depend on rounding.
    const found = evaluate(panel([[0.1, 0.1, 0.1], [1, 2, 3]]), panel([[1, 2, 3], [1, 2, 3]]));
    expect(found.daily.ic).toEqual([0, expect.closeTo(1, 12)]);
    expect(found.rankIc).toBeCloseTo(0.5, 12);
    expect(found.hitRate).toBe(1);
    expect(found.dates).toBe(2);
  });

  it("leaves out dates with fewer than two stocks or equal labels", () => {
    const found = evaluate(panel([[1, null], [1, 2], [1, 2], [null, null]]), panel([[1, 2], [5, 5], [1, 2], [1, 2]]));
    expect(found.daily.dates).toEqual(["2020-01-03"]);
    expect(found.rows).toBe(2);
  });

  it("is NaN, not 0, where no date counts", () => {
    const found = evaluate(panel([[1, null]]), panel([[1, 2]]));
    expect([found.ic, found.rankIc, found.hitRate, found.dates]).toEqual([NaN, NaN, NaN, 0]);
  });

  it("has an mse only with targets", () => {
    expect(evaluate(panel([[1, 2]]), panel([[1, 2]])).mse).toBeNull();
    expect(evaluate(panel([[1, 2]]), panel([[1, 2]]), { targets: panel([[1, 4]]) }).mse).toBe(2);
  });

  it("pairs one prediction with the first horizon and P = L by index", () => {
    const labels = panel([[[1, -1], [2, -2], [3, -3]]]);
    expect(evaluate(panel([[1, 2, 3]]), labels).ic).toBeCloseTo(1, 12);
    expect(evaluate(panel([[1, 2, 3]]), labels, { horizon: 1 }).ic).toBeCloseTo(-1, 12);
    const both = panel([[[1, 1], [2, 2], [3, 3]]]);
    expect(evaluate(both, labels).ic).toBeCloseTo(0, 12);
    expect(evaluate(both, labels, { prediction: 1 }).ic).toBeCloseTo(-1, 12);
  });

  it("refuses what it cannot pair, naming the way out", () => {
    const three = panel([[[1, 2, 3], [2, 3, 4]]]);
    expect(() => evaluate(three, panel([[1, 2]]))).toThrow("Cannot pair 3 predictions with 1 label horizon by themselves. Name both indices");
    expect(() => evaluate(three, panel([[1, 2]]), { prediction: 3, horizon: 0 })).toThrow("Expected a whole number from 0 to 2 for prediction but received 3");
  });

  it("refuses panels that are not aligned, naming the first difference", () => {
    expect(() => evaluate(panel([[1, 2]]), panel([[1, 2, 3]]))).toThrow("predictions has 2 tickers but labels has 3");
    expect(() => evaluate(panel([[1, 2]]), panel([[1, 2]], 2))).toThrow("Date 1 is 2020-01-01 in predictions but 2020-01-02 in labels");
    expect(() => evaluate(panel([[1, 2]]), { ...panel([[1, 2]]), tickers: ["S1", "S0"] })).toThrow("Ticker 1 is S0 in predictions but S1 in labels");
    expect(() => evaluate({ ...panel([[1, 2]]), shape: [1, 3] }, panel([[1, 2]]))).toThrow("predictions has shape [1, 3] but 2 values");
    expect(() => evaluate(undefined as never, panel([[1, 2]]))).toThrow("Expected { data, shape, dates, tickers } for predictions");
  });

  it("refuses an infinite prediction or label, naming ticker and date", () => {
    expect(() => evaluate(panel([[1, Infinity]]), panel([[1, 2]]))).toThrow("An infinite prediction for S1 on 2020-01-01");
    expect(() => evaluate(panel([[1, 2]]), panel([[-Infinity, 2]]))).toThrow("An infinite label for S0 on 2020-01-01");
  });

  it("does not change with the order of stocks, nor with a stock that is never in", () => {
    const next = noise(3);
    const rows = (): number[][] => Array.from({ length: 5 }, () => Array.from({ length: 31 }, () => next()));
    const [x, y] = [rows(), rows()];
    const order = Array.from({ length: 31 }, (_, n) => (n * 7) % 31);
    const found = evaluate(panel(x), panel(y));
    const permuted = evaluate(panel(x.map((row) => order.map((n) => row[n]!))), panel(y.map((row) => order.map((n) => row[n]!))));
    expect(permuted.ic).toBeCloseTo(found.ic, 13);
    expect(permuted.rankIc).toBeCloseTo(found.rankIc, 13);
    const ghost = evaluate(panel(x.map((row) => [...row, null])), panel(y.map((row) => [...row, 1])));
    expect(ghost.ic).toBe(found.ic);
    expect(ghost.rows).toBe(found.rows);
  });
});

describe("pairedDifference", () => {
  const daily = (ic: readonly number[]) => ({ daily: { dates: ic.map((_, i) => `d${i}`), ic, rankIc: ic.map((value) => -value) } });
  // The sample of test/unit/metrics-hac.test.ts, as a difference.
  const [x, base] = [[0.03, -0.01, 0.05, 0.02, 0.04, -0.02, 0.01, 0.06, 0, 0.03], [0.2, 0.1, 0.3, 0.1, 0.2, 0.3, 0.1, 0.2, 0.1, 0.3]];
  const better = daily(x.map((value, i) => value + base[i]!));

  it("is the mean daily difference with its Newey-West standard error, the lag growing with the label's days", () => {
    const found = pairedDifference(better, daily(base));
    expect(found.mean).toBeCloseTo(0.021, 14);
    expect(found).toMatchObject({ dates: 10, lag: 2 });
    expect(found.t).toBeCloseTo(4.602096872549837, 9);
    expect(found.standardError).toBeCloseTo(found.mean / found.t, 14);
    expect(found.p).toBeLessThan(0.01);
    const deviation = Math.sqrt(x.reduce((sum, value) => sum + (value - 0.021) ** 2, 0) / 9);
    expect(found.tNaive).toBeCloseTo(0.021 / (deviation / Math.sqrt(10)), 9);
    expect(pairedDifference(better, daily(base), { metric: "rankIc" }).t).toBeCloseTo(-found.t, 9);
    expect(pairedDifference({ ...better, horizonDays: 5 }, daily(base)).lag).toBe(4);
    expect(pairedDifference({ ...better, horizonDays: 5 }, daily(base), { horizonDays: 1 }).lag).toBe(2);
  });

  it("has no t where the differences are all equal, or there is one", () => {
    for (const one of [daily([0.1, 0.1]), daily([0.1])]) {
      const { mean, t, standardError } = pairedDifference(one, daily(one.daily.ic.map(() => 0)));
      expect([mean, t, standardError]).toEqual([expect.closeTo(0.1, 15), NaN, NaN]);
    }
  });

  it("refuses other metrics and horizons", () => {
    expect(() => pairedDifference(better, better, { metric: "mse" as "ic" })).toThrow('Expected "ic" or "rankIc" for metric');
    expect(() => pairedDifference(better, better, { horizonDays: 0 })).toThrow("Expected a whole number from 1 for horizonDays");
  });

  it("refuses evaluations of different dates", () => {
    const one = { daily: { dates: ["a", "b"], ic: [1, 2], rankIc: [1, 2] } };
    expect(() => pairedDifference(one, { daily: { ...one.daily, dates: ["a", "c"] } })).toThrow("count different dates");
  });
});

describe("averagePredictions", () => {
  it("is the mean of z-scores per date over its rows, a constant member adding 0", () => {
    const found = averagePredictions([panel([[1, 3, null], [5, 5, 5]]), panel([[10, 30, null], [1, 2, 3]])]);
    const z = Math.sqrt(1.5);
    expect(Array.from(found.data)).toEqual([-1, 1, NaN, expect.closeTo(-z / 2, 14), 0, expect.closeTo(z / 2, 14)]);
  });

  it("treats each prediction of a stock by itself", () => {
    const found = averagePredictions([panel([[[1, 20], [3, 10]]])]);
    expect(Array.from(found.data)).toEqual([-1, 1, 1, -1]);
    expect(found.shape).toEqual([1, 2, 2]);
  });

  it("refuses members that disagree about who is in", () => {
    expect(() => averagePredictions([panel([[1, 2]]), panel([[1, null]])])).toThrow("Members 1 and 2 disagree whether S1 has a prediction on 2020-01-01");
    expect(() => averagePredictions([])).toThrow("An ensemble needs at least one member");
  });
});
