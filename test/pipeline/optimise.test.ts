import { describe, expect, it } from "vitest";
import { loadCore } from "../../lib/binding/load.js";
import { normalQuantile } from "../../lib/data/ranks.js";
import { randomBits } from "../../lib/metrics/random.js";
import type { Conflict } from "../../lib/portfolio/conflict.js";
import type { CovarianceMatrix } from "../../lib/portfolio/covariance.js";
import type { Limits } from "../../lib/portfolio/limits.js";
import { optimise, type Portfolio } from "../../lib/portfolio/optimise.js";
import type { OptimiseOptions } from "../../lib/portfolio/options.js";
import type { FactorForm } from "../../lib/risk/factor-form.js";

const hasSolver = loadCore().hasSolver;
if (!hasSolver) console.log("Skipped: the core was built without the solver of convex programmes, for want of cargo.");

const uniform = (seed: number): (() => number) => {
  const bits = randomBits(seed, 0);
  return () => (bits() + 0.5) / 2 ** 32;
};

function factorForm(n: number, k: number, seed: number): FactorForm {
  const next = uniform(seed);
  const normal = (): number => normalQuantile(next());
  const exposures = Float64Array.from({ length: n * k }, (_, at) => (at % k === 0 ? 1 + 0.3 * normal() : normal()));
  const factorCovariance = Float64Array.from({ length: k * k }, (_, at) => (Math.floor(at / k) !== at % k ? 0 : at === 0 ? 1e-4 : 1e-5 * (0.3 + next())));
  return { tickers: Array.from({ length: n }, (_, i) => `S${i}`), factors: Array.from({ length: k }, (_, f) => `f${f}`), exposures, factorCovariance, specificVariance: Float64Array.from({ length: n }, () => (0.005 * 8 ** next()) ** 2) };
}

function writtenOut({ tickers, factors, exposures, factorCovariance, specificVariance }: FactorForm): CovarianceMatrix {
  const [n, k] = [tickers.length, factors.length];
  const values = Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let sum = i === j ? specificVariance[i]! : 0;
    for (let f = 0; f < k; f++) sum += exposures[i * k + f]! * factorCovariance[f * (k + 1)]! * exposures[j * k + f]!;
    return sum;
  });
  return { tickers, values };
}

const variance = ({ values }: CovarianceMatrix, w: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < w.length; i++) for (let j = 0; j < w.length; j++) sum += w[i]! * values[i * w.length + j]! * w[j]!;
  return sum;
};

async function best(options: OptimiseOptions): Promise<Portfolio> {
  const found = await optimise(options);
  expect(found).toMatchObject({ status: "optimal" });
  return found as Portfolio;
}

/** By how much weights miss limits: written anew, apart from lib/. */
function miss(w: ArrayLike<number>, limits: Limits, tickers: readonly string[], form?: FactorForm, current?: ArrayLike<number>): number {
  const all = Array.from(w);
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  const outside = (value: number, range: number | { min?: number | undefined; max?: number | undefined }): number =>
    typeof range === "number" ? Math.abs(value - range) : Math.max((range.min ?? -Infinity) - value, value - (range.max ?? Infinity));
  const misses = [outside(sum(all), limits.net ?? 1)];
  if (limits.longOnly !== false) misses.push(...all.map((value) => -value));
  if (typeof limits.maxWeight === "number") misses.push(...all.map((value) => value - (limits.maxWeight as number)));
  if (typeof limits.minWeight === "number") misses.push(...all.map((value) => (limits.minWeight as number) - value));
  if (limits.gross !== undefined) misses.push(sum(all.map(Math.abs)) - limits.gross);
  if (limits.turnover !== undefined) misses.push(sum(all.map((value, i) => Math.abs(value - current![i]!))) - limits.turnover);
  for (const group of limits.groups ?? []) misses.push(outside(sum(group.tickers.map((ticker) => all[tickers.indexOf(ticker)]!)), group));
  for (const factor of limits.factors ?? []) {
    const f = form!.factors.indexOf(factor.name);
    misses.push(outside(sum(all.map((value, i) => value * form!.exposures[i * form!.factors.length + f]!)), factor));
  }
  return Math.max(...misses);
}

describe.skipIf(!hasSolver)("optimise", () => {
  const form = factorForm(31, 3, 1);
  const matrix = writtenOut(form);

  it("of the least variance without limits is S^-1 1 / 1'S^-1 1", async () => {
    const diagonal = { tickers: ["A", "B", "C"], values: Float64Array.of(4, 0, 0, 0, 2, 0, 0, 0, 1) };
    const { weights, volatility, value } = await best({ covariance: diagonal, objective: "minimumVariance", limits: { longOnly: false } });
    [1 / 7, 2 / 7, 4 / 7].forEach((weight, i) => expect(Math.abs(weights[i]! - weight)).toBeLessThan(1e-8));
    expect(volatility).toBeCloseTo(Math.sqrt(4 / 7), 9);
    expect(value).toBe(volatility);
  });

  it.each(["minimumVariance", "meanVariance", "trackingError"] as const)("for %s is the same in factor form and written out", async (objective) => {
    const next = uniform(5);
    const expected = objective === "meanVariance" ? Object.fromEntries(form.tickers.map((ticker) => [ticker, 0.001 * (next() - 0.4)])) : undefined;
    const benchmark = objective === "trackingError" ? Object.fromEntries(form.tickers.map((ticker, i) => [ticker, i < 4 ? 0.25 : 0])) : undefined;
    const limits = { maxWeight: 0.1, groups: [{ name: "first", tickers: form.tickers.slice(0, 8), max: 0.3 }] };
    const [a, b] = await Promise.all([form, matrix].map((covariance) => best({ covariance, objective, expected, benchmark, limits, ...(objective === "meanVariance" ? { riskAversion: 3 } : {}) })));
    expect(Math.abs(a!.value! / b!.value! - 1)).toBeLessThan(1e-7);
    // Of a flat optimum the weights are known to the root of the gap.
    a!.weights.forEach((weight, i) => expect(Math.abs(weight - b!.weights[i]!)).toBeLessThan(1e-5));
  });

  it("keeps to random limits, and no random portfolio within them is better", async () => {
    for (let seed = 0; seed < 12; seed++) {
      const next = uniform(100 + seed);
      const isLong = seed % 3 !== 0;
      const tickers = form.tickers;
      const raw = tickers.map(() => (isLong ? -Math.log(next()) : normalQuantile(next()) / 3 + 0.5));
      const total = raw.reduce((a, b) => a + b);
      const known = raw.map((value) => value / total);
      const current = known.map((value) => value + 0.01 * (next() - 0.5));
      const top = Math.max(...known.map(Math.abs));
      const sumOf = (names: readonly string[]): number => names.reduce((sum, ticker) => sum + known[tickers.indexOf(ticker)]!, 0);
      const some = tickers.filter(() => next() < 0.3);
      const held = known.reduce((sum, value, i) => sum + value * form.exposures[i * 3 + 1]!, 0);
      const limits: Limits = {
        ...(isLong ? {} : { longOnly: false, minWeight: -top - 0.01, gross: known.reduce((sum, value) => sum + Math.abs(value), 0) + 0.2 }),
        maxWeight: top + 0.02 * next(),
        ...(next() < 0.5 ? { turnover: 0.3 + next() } : {}),
        ...(some.length === 0 ? {} : { groups: [{ name: "some", tickers: some, min: sumOf(some) - 0.1 * next(), max: sumOf(some) + 0.1 * next() }] }),
        ...(next() < 0.5 ? { factors: [{ name: "f1", min: held - 0.1, max: held + 0.1 }] } : {}),
      };
      const expected = tickers.map(() => 0.002 * (next() - 0.5));
      const utility = (w: ArrayLike<number>): number => expected.reduce((sum, value, i) => sum + value * w[i]!, 0) - 2 * variance(matrix, w);
      const byName = (values: readonly number[]) => Object.fromEntries(tickers.map((ticker, i) => [ticker, values[i]!]));
      const portfolio = await best({ covariance: form, objective: "meanVariance", expected: byName(expected), riskAversion: 4, current: byName(current), limits });
      expect(miss(known, limits, tickers, form, current), `seed ${seed}: the known portfolio`).toBeLessThan(1e-12);
      expect(miss(portfolio.weights, limits, tickers, form, current), `seed ${seed}`).toBeLessThan(1e-8);
      expect(portfolio.value).toBeCloseTo(utility(portfolio.weights), 12);
      let compared = 0;
      for (let draw = 0; draw < 200; draw++) {
        const from = draw % 2 === 0 ? known : Array.from(portfolio.weights);
        const step = 0.05 * next();
        const direction = tickers.map(() => normalQuantile(next()));
        const mean = direction.reduce((a, b) => a + b) / direction.length;
        const point = from.map((value, i) => value + step * (direction[i]! - mean) * 0.1);
        if (miss(point, limits, tickers, form, current) > 1e-12) continue;
        compared++;
        expect(utility(point), `seed ${seed}`).toBeLessThanOrEqual(portfolio.value! + 1e-10);
      }
      expect(utility(known)).toBeLessThanOrEqual(portfolio.value! + 1e-10);
      expect(compared).toBeGreaterThan(0);
    }
  });

  it("follows a benchmark that is within the limits, and prices a limit that keeps it from that", async () => {
    const benchmark = Object.fromEntries(form.tickers.map((ticker, i) => [ticker, (i + 1) / 496]));
    const free = await best({ covariance: form, objective: "trackingError", benchmark });
    free.weights.forEach((weight, i) => expect(Math.abs(weight - (i + 1) / 496)).toBeLessThan(1e-7));
    expect(free).toMatchObject({ duals: [], notes: [] });
    const groups = [{ name: "last", tickers: form.tickers.slice(-5), max: 0.1 }];
    const bound = await best({ covariance: form, objective: "trackingError", benchmark, limits: { groups } });
    const looser = await best({ covariance: form, objective: "trackingError", benchmark, limits: { groups: [{ ...groups[0]!, max: 0.1 + 1e-4 }] } });
    const { price } = bound.duals!.find(({ limit }) => limit === "group:last")!;
    expect(Math.abs((bound.value! - looser.value!) / 1e-4 / price - 1)).toBeLessThan(1e-2); // a difference in place of a slope
  });

  it.each([["maxWeight", { maxWeight: 0.06 }, { maxWeight: 0.06 + 1e-5 }], ["net", { net: 1 }, { net: 1 + 1e-5 }], ["gross", { longOnly: false, gross: 1.2 }, { longOnly: false, gross: 1.2 + 1e-5 }]] as const)("prices %s by what the volatility gains", async (name, limits, looser) => {
    const a = await best({ covariance: form, objective: "minimumVariance", limits });
    const b = await best({ covariance: form, objective: "minimumVariance", limits: looser });
    const price = a.duals!.filter(({ limit }) => limit === name).reduce((sum, dual) => sum + dual.price, 0);
    expect(Math.abs((a.value! - b.value!) / 1e-5 - price)).toBeLessThan(1e-3 * Math.abs(price));
  });

  it("stays where turnover is 0, and trades less the more trading costs", async () => {
    const current = Object.fromEntries(form.tickers.map((ticker) => [ticker, 1 / 31]));
    const expected = Object.fromEntries(form.tickers.map((ticker, i) => [ticker, 1e-4 * (i % 5)]));
    const options = { covariance: form, objective: "meanVariance", expected, current } as const;
    const still = await best({ ...options, limits: { turnover: 0 } });
    for (const weight of still.weights) expect(Math.abs(weight - 1 / 31)).toBeLessThan(1e-8);
    const traded = async (costBps: number): Promise<number> => (await best({ ...options, costBps })).weights.reduce((sum, weight) => sum + Math.abs(weight - 1 / 31), 0);
    const [none, some, much] = [await traded(0), await traded(1), await traded(100)];
    expect(some).toBeLessThan(none);
    expect(much).toBeLessThan(1e-6);
  });

  it("does not depend on the order of the stocks", async () => {
    const order = Array.from({ length: 31 }, (_, i) => (i * 7) % 31);
    const permuted = { tickers: order.map((i) => matrix.tickers[i]!), values: Float64Array.from({ length: 961 }, (_, at) => matrix.values[order[Math.floor(at / 31)]! * 31 + order[at % 31]!]!) };
    const [a, b] = [await best({ covariance: matrix, objective: "minimumVariance" }), await best({ covariance: permuted, objective: "minimumVariance" })];
    order.forEach((i, at) => expect(Math.abs(a.weights[i]! - b.weights[at]!)).toBeLessThan(1e-6));
  });

  it.each<[string, Limits, Record<string, number>]>([
    ["too small a largest weight", { maxWeight: 0.02, groups: [{ name: "first", tickers: ["S0"], max: 0.5 }] }, { net: 0.38, maxWeight: 0.38 / 31 }],
    ["groups that take more than all", { groups: [{ name: "a", tickers: ["S0", "S1"], min: 0.6 }, { name: "b", tickers: ["S2", "S3"], min: 0.7 }, { name: "c", tickers: ["S4"], min: 0.1 }] }, {}],
    ["gross below net", { gross: 0.9 }, { gross: 0.1, net: 0.1 }],
  ])("names a minimal conflict: %s", async (_, limits, give) => {
    const found = (await optimise({ covariance: form, objective: "minimumVariance", limits })) as Conflict;
    expect(found.status).toBe("infeasible");
    for (const [name, by] of Object.entries(give)) expect(found.give[name]).toBeCloseTo(by, 6);
    // Minimal: dropping any one of the named limits leaves a portfolio.
    for (const name of found.conflict) {
      const rest: Limits = { ...limits, groups: limits.groups?.filter((group) => `group:${group.name}` !== name) };
      if (name === "maxWeight") delete rest.maxWeight;
      if (name === "gross") delete rest.gross;
      if (name === "net") rest.net = {};
      if (name === "longOnly") rest.longOnly = false;
      const others = found.conflict.filter((other) => other !== name);
      const kept = { ...rest, groups: rest.groups?.filter((group) => others.includes(`group:${group.name}`)) };
      expect((await optimise({ covariance: form, objective: "minimumVariance", limits: kept })).status, `without ${name}`).toBe("optimal");
    }
  });

  it("finds few names near the best of all choices", async () => {
    const small = writtenOut(factorForm(8, 2, 3));
    const found = await best({ covariance: small, objective: "minimumVariance", limits: { maxNames: 3 } });
    expect(found.weights.filter((weight) => Math.abs(weight) > 1e-9).length).toBeLessThanOrEqual(3);
    let least = Infinity;
    for (let a = 0; a < 8; a++) for (let b = a + 1; b < 8; b++) for (let c = b + 1; c < 8; c++) {
      const maxWeight = Object.fromEntries(small.tickers.map((ticker, i) => [ticker, [a, b, c].includes(i) ? 1 : 0]));
      least = Math.min(least, (await best({ covariance: small, objective: "minimumVariance", limits: { maxWeight } })).value!);
    }
    expect(found.value!).toBeGreaterThanOrEqual(least - 1e-9);
    expect(found.fewNames!.relaxation).toBeLessThanOrEqual(least + 1e-9);
    expect(found.fewNames!.gap).toBeCloseTo(found.value! / found.fewNames!.relaxation - 1, 12);
    expect(found.value! / least - 1).toBeLessThan(0.2);
  });

  it("names the limits that few names contradict, and how many names it takes", async () => {
    const small = writtenOut(factorForm(12, 2, 3));
    // Six names of at most a sixth are a whole portfolio, three are a half.
    const limits = { maxWeight: 1 / 6 + 1e-4, maxNames: 3 };
    const found = await optimise({ covariance: small, objective: "minimumVariance", limits });
    if (found.status !== "infeasible") throw new Error("three names cannot be a whole portfolio");
    expect([...found.conflict].sort()).toEqual(["maxNames", "maxWeight", "net"]);
    expect(found).toMatchObject({ isOfChosenNames: true, give: { maxNames: 3 } });
    expect(found.give["maxWeight"]).toBeCloseTo(1 / 3 - limits.maxWeight, 5);
    expect(found.give["net"]).toBeCloseTo(1 - 3 * limits.maxWeight, 5);
    expect((await optimise({ covariance: small, objective: "minimumVariance", limits: { ...limits, maxNames: 3 + found.give["maxNames"]! } })).status).toBe("optimal");
  });

  it("says which weights of a singular covariance are not the only ones", async () => {
    const twice = { tickers: ["A", "B", "C"], values: Float64Array.of(1, 1, 0, 1, 1, 0, 0, 0, 1) };
    const { notes, volatility } = await best({ covariance: twice, objective: "minimumVariance" });
    expect(volatility).toBeCloseTo(Math.sqrt(0.5), 8);
    expect(notes[0]).toMatch(/singular, of rank 2 for 3 stocks.*returns of B are combinations/);
  });

  it("ends with its signal, and with its time", async () => {
    const large = factorForm(2000, 20, 9);
    const options = { covariance: large, objective: "minimumVariance" } as const;
    await expect(optimise({ ...options, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ERR_ABORTED" });
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("enough")), 1);
    await expect(optimise({ ...options, signal: controller.signal })).rejects.toMatchObject({ code: "ERR_ABORTED", cause: new Error("enough") });
    await expect(optimise({ ...options, timeLimitMs: 1e-6 })).rejects.toMatchObject({ code: "ERR_TIME_LIMIT", option: "timeLimitMs" });
  });

  it.each<[string, Partial<OptimiseOptions>, object]>([
    ["an unknown ticker in a group", { limits: { groups: [{ name: "a", tickers: ["S99"], max: 1 }] } }, { code: "ERR_DATA", option: "limits.groups.a", message: expect.stringContaining("names S99") }],
    ["an unknown ticker of maxWeight", { limits: { maxWeight: { S44: 1 } } }, { code: "ERR_DATA", message: expect.stringContaining("names S44") }],
    ["an unknown factor", { limits: { factors: [{ name: "f9", max: 1 }] } }, { code: "ERR_OPTION", message: expect.stringMatching(/no factor f9. Did you mean f\d/) }],
    ["a group whose least is above its most", { limits: { groups: [{ name: "a", tickers: ["S1"], min: 0.5, max: 0.2 }] } }, { code: "ERR_OPTION", message: expect.stringContaining("least of group:a, 0.5, is above its most, 0.2") }],
    ["a group twice", { limits: { groups: [{ name: "a", tickers: ["S1"] }, { name: "a", tickers: ["S2"] }] } }, { code: "ERR_OPTION", message: expect.stringContaining("group:a is there twice") }],
    ["turnover from nothing", { limits: { turnover: 1 } }, { code: "ERR_OPTION", message: expect.stringContaining("turnover") }],
    ["an unknown limit", { limits: { maxWeigth: 1 } as Limits }, { code: "ERR_OPTION", message: expect.stringContaining("maxWeight") }],
    ["no expected returns", { objective: "meanVariance" }, { code: "ERR_OPTION", option: "expected" }],
    ["a missing expected return", { objective: "meanVariance", expected: { S0: 1 } }, { code: "ERR_DATA", message: expect.stringContaining("S1, S2, S3 and 27 more") }],
    ["no benchmark", { objective: "trackingError" }, { code: "ERR_OPTION", option: "benchmark" }],
    ["an option of another objective", { budgets: { S0: 1 } }, { code: "ERR_OPTION", option: "budgets", message: expect.stringContaining("minimumVariance does not use budgets") }],
    ["weights without end", { objective: "meanVariance", riskAversion: 0, expected: Object.fromEntries(form.tickers.map((ticker, i) => [ticker, i])), limits: { longOnly: false } }, { code: "ERR_OPTION", message: expect.stringContaining("without end") }],
  ])("refuses %s", async (_, options, expected) => {
    await expect(optimise({ covariance: form, objective: "minimumVariance", ...options })).rejects.toMatchObject(expected);
  });
});
