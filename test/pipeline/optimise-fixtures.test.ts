import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadCore } from "../../lib/binding/load.js";
import { packageRoot } from "../../lib/binding/package-root.js";
import { riskOf, checkCovariance } from "../../lib/portfolio/covariance.js";
import { optimise, type Portfolio } from "../../lib/portfolio/optimise.js";
import type { OptimiseOptions } from "../../lib/portfolio/options.js";

// Portfolios of other libraries on the same numbers: scripts/make-portfolio-fixtures.py.
interface Fixture {
  tickers: string[];
  covariance: number[];
  cases: { by: string; options: Omit<OptimiseOptions, "covariance"> & { expected?: Record<string, number>; benchmark?: Record<string, number>; current?: Record<string, number> }; weights: number[] }[];
}
const fixture = JSON.parse(readFileSync(join(packageRoot, "test", "unit", "fixtures", "portfolio.json"), "utf8")) as Fixture;
const { tickers } = fixture;
const covariance = { tickers, values: Float64Array.from(fixture.covariance) };
const checked = checkCovariance(covariance);

/** The objective, written anew: less is better. */
function loss({ objective, expected, riskAversion = 1, benchmark, current, costBps = 0 }: Fixture["cases"][number]["options"], weights: ArrayLike<number>): number {
  const own = Float64Array.from(weights);
  if (objective === "trackingError") return riskOf(checked, own.map((weight, i) => weight - benchmark![tickers[i]!]!)).volatility ** 2;
  const variance = riskOf(checked, own).volatility ** 2;
  if (objective !== "meanVariance") return variance;
  return (riskAversion / 2) * variance - own.reduce((sum, weight, i) => sum + weight * expected![tickers[i]!]! - (costBps / 1e4) * Math.abs(weight - (current?.[tickers[i]!] ?? 0)), 0);
}

describe.skipIf(!loadCore().hasSolver)("portfolios of other libraries", () => {
  it.each(fixture.cases.map((each, i) => [`${i + 1}. ${each.by}, ${each.options.objective}`, each] as const))("%s: the same objective to 1e-6", async (_, { options, weights }) => {
    const ours = (await optimise({ covariance, ...options })) as Portfolio;
    const [own, theirs] = [loss(options, ours.weights), loss(options, weights)];
    expect(Math.abs(own - theirs) / Math.abs(theirs)).toBeLessThan(1e-6);
    if (options.objective === "riskParity") ours.weights.forEach((weight, i) => expect(Math.abs(weight - weights[i]!)).toBeLessThan(1e-5));
    else expect(own).toBeLessThan(theirs + 1e-8 * Math.abs(theirs));
  });
});
