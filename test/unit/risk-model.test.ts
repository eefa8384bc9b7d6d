import { describe, expect, test } from "vitest";
import { RiskModel } from "../../lib/risk/estimator.js";
import { normals } from "../../lib/risk/factor-covariance.js";
import type { FactorForm } from "../../lib/risk/factor-form.js";
import type { RiskDate } from "../../lib/risk/risk-date.js";
import { congruence } from "../../lib/metrics/dense.js";

const FACTORS = ["value", "size"];
const TRUE = { market: 0.01, value: 0.006, size: 0.003, specific: 0.02 };

/** Dates of a market whose covariance is known: fixed exposures, a third of the stocks only from the 30th date on. */
function market({ dates = 400, stocks = 60, seed = 1 } = {}): RiskDate[] {
  const normal = normals(seed);
  const loads = Float64Array.from({ length: stocks * 2 }, () => normal());
  return Array.from({ length: dates }, (_, t) => {
    const [m, v, s] = [TRUE.market * normal(), TRUE.value * normal(), TRUE.size * normal()];
    const all = Float64Array.from({ length: stocks }, (_, i) => m + v * loads[2 * i]! + s * loads[2 * i + 1]! + TRUE.specific * normal());
    const rows = Array.from({ length: stocks }, (_, i) => i).filter((i) => t >= 30 || i % 3 !== 0);
    return {
      date: new Date(Date.UTC(2015, 0, 1 + t)).toISOString().slice(0, 10),
      tickers: rows.map((i) => `S${i}`), returns: rows.map((i) => all[i]!), exposures: rows.flatMap((i) => [loads[2 * i]!, loads[2 * i + 1]!]), sizes: rows.map((i) => 1 + i),
    };
  });
}

function modelOf(days: readonly RiskDate[], options = {}): RiskModel {
  const model = new RiskModel(FACTORS, [], options);
  for (const day of days) model.update(day);
  return model;
}

function covariance({ exposures, factorCovariance, specificVariance, tickers, factors }: FactorForm): Float64Array {
  const out = congruence(exposures, factorCovariance, tickers.length, factors.length);
  for (const [i, value] of specificVariance.entries()) out[i * (tickers.length + 1)]! += value;
  return out;
}

function largestGap(a: Float64Array, b: Float64Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

describe("a risk model", () => {
  const days = market();

  test("finds the volatilities that the market was made with", () => {
    const form = modelOf(days, { standardise: false }).form();
    expect(form.factors).toEqual(["market", ...FACTORS]);
    // 400 dates at half-life 84 are about 240 independent ones: a relative error of 5 % in a volatility, of which three are allowed; lags add their own.
    const volatility = [0, 1, 2].map((k) => Math.sqrt(form.factorCovariance[k * 4]!));
    expect(volatility[0]! / TRUE.market).toBeGreaterThan(0.75);
    expect(volatility[0]! / TRUE.market).toBeLessThan(1.25);
    expect(volatility[1]! / TRUE.value).toBeGreaterThan(0.75);
    expect(volatility[1]! / TRUE.value).toBeLessThan(1.25);
    const specific = form.specificVariance.reduce((sum, value) => sum + Math.sqrt(value), 0) / form.specificVariance.length;
    expect(specific / TRUE.specific).toBeGreaterThan(0.9);
    expect(specific / TRUE.specific).toBeLessThan(1.1);
  });

  test("of standardised returns finds the volatilities of stocks", () => {
    const form = modelOf(days).form();
    const found = covariance(form);
    const true_ = form.tickers.map((_, i) => Math.sqrt(TRUE.market ** 2 + (TRUE.value * days.at(-1)!.exposures[2 * i]!) ** 2 + (TRUE.size * days.at(-1)!.exposures[2 * i + 1]!) ** 2 + TRUE.specific ** 2));
    const ratios = true_.map((volatility, i) => Math.sqrt(found[i * (form.tickers.length + 1)]!) / volatility);
    // The same errors as above, and those of half-life 42 in the volatilities that returns are divided by: about 7 % each.
    expect(ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length).toBeGreaterThan(0.85);
    expect(ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length).toBeLessThan(1.15);
    for (const ratio of ratios) expect(Math.abs(Math.log(ratio))).toBeLessThan(0.4);
  });

  test("knows a stock that hardly moves from its own history", () => {
    const calm = days.map((day, t) => ({ ...day, returns: day.tickers.map((ticker, i) => (ticker === "S1" ? 1e-4 * (t % 2 === 0 ? 1 : -1) : day.returns[i]!)) }));
    const form = modelOf(calm).form();
    const row = form.tickers.indexOf("S1");
    // As a stock like others it would have a volatility of .02.
    expect(Math.sqrt(covariance(form)[row * (form.tickers.length + 1)]!)).toBeLessThan(3e-4);
  });

  test("knows nothing of later dates", () => {
    const short = modelOf(days.slice(0, 200)).form();
    const whole = new RiskModel(FACTORS);
    let then: FactorForm | undefined;
    for (const day of days) {
      whole.update(day);
      if (day.date === short.date) then = whole.form();
    }
    expect(covariance(then!)).toEqual(covariance(short));
  });

  test("explains the returns of a date by the exposures of the date before", () => {
    // Exposures of a date that give the day's own return away explain nothing of the next.
    const leaking = days.map((day) => ({ ...day, exposures: day.tickers.flatMap((_, i) => [day.returns[i]!, 0]) }));
    const { history } = modelOf(leaking);
    expect(history.reduce((sum, { r2 }) => sum + r2, 0) / history.length).toBeLessThan(0.1);
  });

  test.each([{}, { eigenfactors: { simulations: 10 } }, { regimeHalfLife: false as const, structural: false, shrinkage: 0, winsorise: false as const }])("loaded from its file and told the next date is the one that never stopped, with %j", (options) => {
    const whole = modelOf(days, options);
    const stored = modelOf(days.slice(0, 301), options);
    const loaded = RiskModel.read(stored.write());
    expect(loaded.form()).toEqual(stored.form());
    for (const day of days.slice(301)) loaded.update(day);
    expect(loaded.form()).toEqual(whole.form());
  });

  test("does not depend on the order of stocks", () => {
    const turned = days.map((day) => {
      const order = day.tickers.map((_, i) => i).reverse();
      return { ...day, tickers: order.map((i) => day.tickers[i]!), returns: order.map((i) => day.returns[i]!), exposures: order.flatMap((i) => [day.exposures[2 * i]!, day.exposures[2 * i + 1]!]), sizes: order.map((i) => (day.sizes as number[])[i]!) };
    });
    const [a, b] = [modelOf(days).form(), modelOf(turned).form()];
    // Sums in another order.
    expect(largestGap(a.factorCovariance, b.factorCovariance)).toBeLessThan(1e-15);
    expect(largestGap(a.specificVariance, Float64Array.from(b.specificVariance).reverse())).toBeLessThan(1e-13);
  });

  test("covers a stock that came in yesterday by what stocks of its exposures have", () => {
    const newcomer = days.map((day, t) => (t < days.length - 1 ? day : { ...day, tickers: [...day.tickers, "NEW"], returns: [...Array.from(day.returns), NaN], exposures: [...Array.from(day.exposures), 0, 0], sizes: [...Array.from(day.sizes!), 50] }));
    const form = modelOf(newcomer).form();
    const own = Math.sqrt(form.specificVariance[form.tickers.indexOf("NEW")]!);
    expect(own / TRUE.specific).toBeGreaterThan(0.8);
    expect(own / TRUE.specific).toBeLessThan(1.2);
  });

  test("leaves a stock whose exposures are all missing out", () => {
    const [day] = days.slice(-1);
    const without = [...days.slice(0, -1), { ...day!, exposures: Array.from(day!.exposures, (value, c) => (c < 2 ? NaN : value)) }];
    expect(modelOf(without).form().tickers).toEqual(day!.tickers.slice(1));
  });
});

describe("a risk model refuses", () => {
  const days = market({ dates: 60 });
  const model = (): RiskModel => modelOf(days.slice(0, 50));
  const next = days[50]!;
  const refused = (day: RiskDate): unknown => {
    try {
      model().update(day);
    } catch (error) {
      return error;
    }
    return undefined;
  };

  test.each<[string, Partial<RiskDate>, object]>([
    ["a ticker that stands twice", { tickers: next.tickers.map((ticker, i) => (i === 1 ? next.tickers[0]! : ticker)) }, { code: "ERR_DATA", message: expect.stringContaining(`${next.tickers[0]} stands twice on ${next.date}`) }],
    ["a price of zero", { returns: next.tickers.map((_, i) => (i === 2 ? Infinity : 0)) }, { code: "ERR_DATA", message: expect.stringContaining(`${next.tickers[2]} has the return Infinity on ${next.date}: a price of zero`) }],
    ["a price that fell to zero", { returns: next.tickers.map((_, i) => (i === 3 ? -1 : 0)) }, { code: "ERR_DATA", message: expect.stringContaining("a price of zero") }],
    ["an exposure that is missing in part", { exposures: Array.from(next.exposures, (value, c) => (c === 5 ? NaN : value)) }, { code: "ERR_DATA", column: "size", message: expect.stringContaining(`${next.tickers[2]} has the exposure NaN to size on ${next.date}`) }],
    ["a size of zero", { sizes: next.tickers.map(() => 0) }, { code: "ERR_DATA", message: expect.stringContaining("has the size 0") }],
    ["a date that it knows", { date: days[10]!.date }, { code: "ERR_DATA", date: days[10]!.date }],
    ["values that do not fit its tickers", { returns: [0] }, { code: "ERR_SHAPE" }],
    ["a group that is none", { groups: next.tickers.map(() => 3) }, { code: "ERR_DATA", message: expect.stringContaining("the group 3") }],
  ])("%s", (_, wrong, expected) => {
    expect(refused({ ...next, ...wrong })).toMatchObject(expected);
  });

  test("to give a covariance of more factors than dates", () => {
    const young = modelOf(days.slice(0, 4));
    expect(() => young.form()).toThrow(expect.objectContaining({ code: "ERR_DATA", message: expect.stringContaining("3 factors (market, value, size) has the returns of 3 dates: its factor covariance is singular") }));
  });

  test("an unknown option, and a file that is none of its", () => {
    expect(() => new RiskModel(FACTORS, [], { halfLife: 3 } as never)).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
    expect(() => RiskModel.read(new Uint8Array(3))).toThrow(expect.objectContaining({ code: "ERR_CHECKPOINT" }));
  });
});
