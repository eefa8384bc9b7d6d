import { describe, expect, it } from "vitest";
import { deflatedSharpe, deflateIc, effectiveTrials } from "../../lib/metrics/deflation.js";
import { symmetricEigenvalues } from "../../lib/metrics/eigenvalues.js";
import { expectClose, fixture, noise } from "./evaluation-fixture.js";

const PUBLISHED = { sharpe: 2.5 / Math.sqrt(250), days: 1250, skewness: -3, kurtosis: 10, variance: 0.5 / 250 };

describe("deflatedSharpe", () => {
  it("gives the example of Bailey and Lopez de Prado", () => {
    const { luck, probability } = deflatedSharpe({ ...PUBLISHED, trials: 100 });
    expect(luck).toBeCloseTo(0.113172, 6);
    expect(probability).toBeCloseTo(0.900397, 6);
    expect(deflatedSharpe({ ...PUBLISHED, trials: 46 }).probability).toBeCloseTo(0.950502, 6);
  });

  it("expects nothing of luck from one trial, and never less than nothing", () => {
    expect(deflatedSharpe({ ...PUBLISHED, trials: 1 }).luck).toBe(0);
    expect(deflatedSharpe({ ...PUBLISHED, trials: 1.01 }).luck).toBe(0);
  });
});

describe("symmetricEigenvalues", () => {
  it.each(fixture.eigenvalues)("equals NumPy's", ({ matrix, values }) => {
    expectClose(symmetricEigenvalues(Float64Array.from(matrix.flat()), values.length), values, 11);
  });

  it.each([0, 1, 2, 33])("keeps trace and sum of squares of a matrix of size %i", (n) => {
    const next = noise(n + 1);
    const matrix = new Float64Array(n * n);
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) matrix[i * n + j] = matrix[j * n + i] = next();
    const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);
    const [trace, squares] = [sum(matrix.filter((_, i) => i % (n + 1) === 0)), sum(matrix.map((value) => value * value))];
    const values = symmetricEigenvalues(matrix, n);
    expect(values.length).toBe(n);
    expect(sum(values)).toBeCloseTo(trace, 11);
    expect(sum(values.map((value) => value * value))).toBeCloseTo(squares, 11);
  });
});

describe("effectiveTrials", () => {
  const independent = Array.from({ length: 4 }, (_, k) => Float64Array.from({ length: 16 }, (_, t) => ((t >> k) & 1 ? 1 : -1)));

  it("is 1 for copies of one series and the number of series that do not correlate", () => {
    expect(effectiveTrials([independent[0]!])).toBeCloseTo(1, 12);
    expect(effectiveTrials([independent[0]!, independent[0]!, independent[0]!.map((value) => 3 * value + 1)])).toBeCloseTo(1, 9);
    expect(effectiveTrials(independent)).toBeCloseTo(4, 12);
  });

  it("equals NumPy's, and is the same for more trials than dates by the smaller matrix", () => {
    const series = fixture.deflation.series.map((values) => Float64Array.from(values));
    expect(effectiveTrials(series)).toBeCloseTo(fixture.deflation.effectiveTrials, 9);
    const short = series.map((values) => values.slice(0, 5));
    const twice = [...short, ...short];
    // Every eigenvalue doubles, and so does their sum.
    expect(effectiveTrials(twice)).toBeCloseTo(effectiveTrials(short), 9);
  });

  it("counts a series without variation as correlated with none", () => {
    expect(effectiveTrials([independent[0]!, new Float64Array(16)])).toBeCloseTo(2, 12);
  });
});

describe("deflateIc", () => {
  const dates = fixture.deflation.series[0]!.map((_, t) => `d${t}`);
  const [own, ...others] = fixture.deflation.series.map((ic) => ({ dates, ic }));

  it("equals SciPy's over the trials' eigenvalues and statsmodels' inflation", () => {
    const found = deflateIc(own!, others, fixture.deflation.horizon);
    expect(found).toMatchObject({ trials: 7, sharedDates: 60 });
    expect(found.effectiveTrials).toBeCloseTo(fixture.deflation.effectiveTrials, 9);
    expect(found.luck).toBeCloseTo(fixture.deflation.luck, 9);
    expect(found.probability).toBeCloseTo(fixture.deflation.probability, 9);
  });

  it("deflates nothing for one trial, and compares trials on the dates that all have", () => {
    expect(deflateIc(own!, [])).toMatchObject({ trials: 1, effectiveTrials: 1, luck: 0 });
    const late = { dates: dates.slice(20), ic: others[0]!.ic.slice(20) };
    expect(deflateIc(own!, [late]).sharedDates).toBe(40);
  });

  it("is NaN where it cannot be known: no common dates, one date, a constant IC", () => {
    expect(deflateIc(own!, [{ dates: ["x", "y"], ic: [1, 2] }])).toMatchObject({ effectiveTrials: NaN, probability: NaN });
    expect(deflateIc({ dates: ["x"], ic: [1] }, []).probability).toBeNaN();
    expect(deflateIc({ dates: ["x", "y", "z"], ic: [1, 1, 1] }, []).probability).toBeNaN();
  });

  it("takes two thousand trials", () => {
    const next = noise(4);
    const many = Array.from({ length: 1999 }, () => ({ dates: dates.slice(0, 60), ic: Array.from({ length: 60 }, next) }));
    const { effectiveTrials: effective } = deflateIc(own!, many);
    // Sixty dates carry at most 59 independent series.
    expect(effective).toBeGreaterThan(50);
    expect(effective).toBeLessThanOrEqual(59);
  });
});
