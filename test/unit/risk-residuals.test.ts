import { describe, expect, test } from "vitest";
import { congruence } from "../../lib/metrics/dense.js";
import { RiskModel } from "../../lib/risk/estimator.js";
import { normals } from "../../lib/risk/factor-covariance.js";
import type { FactorForm } from "../../lib/risk/factor-form.js";
import { linkedResiduals } from "../../lib/risk/linked-residuals.js";
import type { RiskDate } from "../../lib/risk/risk-date.js";

const STOCKS = 40;
const WINDOW = 120;

/**
 * A market of one factor. INVERSE moves by -2 times the factor, which its exposure of 0 does not say; UP and DOWN are two funds that cancel, of something that nothing else has.
 */
function market(dates: number): RiskDate[] {
  const normal = normals(4);
  return Array.from({ length: dates }, (_, t) => {
    const [factor, gold] = [0.01 * normal(), 0.03 * normal()];
    const stocks = Array.from({ length: STOCKS }, (_, i) => (i % 3) * factor + 0.01 * normal());
    return {
      date: new Date(Date.UTC(2015, 0, 1 + t)).toISOString().slice(0, 10),
      tickers: [...stocks.map((_, i) => `S${i}`), "INVERSE", "UP", "DOWN"],
      returns: [...stocks, -2 * factor + 0.001 * normal(), gold + 0.001 * normal(), -gold + 0.001 * normal()],
      exposures: [...stocks.map((_, i) => i % 3), 1, 1, 1],
    };
  });
}

function formOf(days: readonly RiskDate[], residuals: object | false): FactorForm {
  const model = new RiskModel(["style"], [], { standardise: false, structural: false, residuals });
  for (const day of days) model.update(day);
  return model.form();
}

function volatility({ tickers, factors, exposures, factorCovariance, specificVariance }: FactorForm, weights: Readonly<Record<string, number>>): number {
  const [N, K] = [tickers.length, factors.length];
  const covariance = congruence(exposures, factorCovariance, N, K);
  const w = tickers.map((ticker) => weights[ticker] ?? 0);
  let variance = 0;
  for (let i = 0; i < N; i++) for (let j = 0; j < N; j++) variance += w[i]! * w[j]! * (covariance[i * N + j]! + (i === j ? specificVariance[i]! : 0));
  return Math.sqrt(variance);
}

describe("what residuals have in common", () => {
  const days = market(200);
  const [plain, found] = [formOf(days, false), formOf(days, { window: WINDOW })];

  test("makes a hedge of what exposures do not say", () => {
    // Of INVERSE and the stock S2 the factor cancels: .01 of S2's own is left, sqrt(.01² + .001²).
    const hedged = { INVERSE: 1, S2: 1 };
    expect(volatility(plain, hedged)).toBeGreaterThan(0.02);
    expect(volatility(found, hedged) / 0.01).toBeGreaterThan(0.8);
    expect(volatility(found, hedged) / 0.01).toBeLessThan(1.3);
  });

  test("makes two papers that cancel cancel", () => {
    const pair = { UP: 0.5, DOWN: 0.5 };
    expect(volatility(plain, pair)).toBeGreaterThan(0.015);
    // At least a hundredth of a variance stays a stock's own.
    expect(volatility(found, pair)).toBeLessThan(0.006);
    expect(volatility(found, { UP: 1 }) / 0.03).toBeGreaterThan(0.8);
    expect(volatility(found, { UP: 1 }) / 0.03).toBeLessThan(1.2);
  });

  test("is named among the factors, and is not there before the window is full", () => {
    expect(found.factors.slice(0, 3)).toEqual(["market", "style", "residual_1"]);
    expect(formOf(days.slice(0, WINDOW), { window: WINDOW, refresh: 7 }).factors).toEqual(["market", "style"]);
  });

  test("knows nothing of later dates", () => {
    const options = { residuals: { window: WINDOW, refresh: 20 } };
    const [short, whole] = [new RiskModel(["style"], [], options), new RiskModel(["style"], [], options)];
    for (const day of days.slice(0, 170)) short.update(day);
    for (const day of days.slice(0, 170)) whole.update(day);
    const then = whole.form();
    for (const day of days.slice(170)) whole.update({ ...day, returns: Array.from(day.returns, (value) => 2 * value) });
    expect(then.factors).toContain("residual_1");
    expect(short.form()).toEqual(then);
  });

  test("is that of the date of the last refresh, whenever it is asked for", () => {
    const model = new RiskModel(["style"], [], { residuals: { window: WINDOW, refresh: 20 } });
    for (const day of days) {
      model.update(day);
      if (model.dates >= 60) model.form();
    }
    const late = new RiskModel(["style"], [], { residuals: { window: WINDOW, refresh: 20 } });
    for (const day of days) late.update(day);
    expect(model.form()).toEqual(late.form());
  });
});

test("factors of linked series fit the correlations of a pair and of a triple, and leave chance alone", () => {
  const T = 400;
  const normal = normals(8);
  const common = Float64Array.from({ length: T }, () => normal());
  const other = Float64Array.from({ length: T }, () => normal());
  const series = [1, 1, -1, 0, 0, 2, 2].map((kind) => {
    const values = Float64Array.from({ length: T }, (_, t) => (Math.abs(kind) === 1 ? 3 * kind * common[t]! : kind === 2 ? 2 * other[t]! : 0) + normal());
    const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
    return values.map((value) => value / norm);
  });
  const { loadings, links } = linkedResiduals(series, 0.4, 5);
  const correlation = (i: number, j: number): number => series[i]!.reduce((sum, value, t) => sum + value * series[j]![t]!, 0);
  const fitted = (i: number, j: number): number => Array.from({ length: links }, (_, k) => loadings[i * links + k]! * loadings[j * links + k]!).reduce((sum, value) => sum + value, 0);
  expect(links).toBeGreaterThanOrEqual(2);
  for (const [i, j] of [[0, 1], [0, 2], [1, 2], [5, 6]] as const) expect(Math.abs(fitted(i, j) - correlation(i, j))).toBeLessThan(0.02);
  for (const i of [3, 4]) expect(fitted(i, i)).toBe(0);
});
