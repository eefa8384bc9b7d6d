import type { z } from "zod";
import { AstgnnError, invalidOption, nearest } from "../errors.js";
import { resolveOptions } from "../options.js";
import type { Conflict } from "./conflict.js";
import { type ConvexProblem, type ConvexSolution, type Dual, solveConvex } from "./convex.js";
import { checkCovariance, type CheckedCovariance, type Covariance, riskOf } from "./covariance.js";
import { type ByTicker, type NumbersFile, readByTicker, readCovariance } from "./files.js";
import { fewNames, type FewNames } from "./few-names.js";
import { type Limits, limitsSchema, readLimits } from "./limits.js";
import { type Objective, type OptimiseOptions, optimiseSchema } from "./options.js";
import { riskBudgets } from "./risk-budgets.js";
import { readStoredRisk, type StoredRisk } from "./stored-risk.js";

/** A portfolio that was found. */
export interface Portfolio {
  readonly status: "optimal";
  readonly tickers: readonly string[];
  /** [stocks] */
  readonly weights: Float64Array;
  /** Of each stock w_i (S w)_i / w'Sw, its part of the variance; they sum to 1. [stocks] */
  readonly riskShares: Float64Array;
  /** sqrt(w'Sw), of the time that the covariance is of: a day's for a risk model. */
  readonly volatility: number;
  /** Of all objectives but riskParity: the volatility, the utility, or the tracking error. */
  readonly value?: number;
  /** The limits that the portfolio runs into and what they cost, dearest first; none of riskParity, nor of a count of names. */
  readonly duals?: readonly Dual[];
  /** With `limits.maxNames`: what the heuristic found beside the best value without that limit. */
  readonly fewNames?: FewNames;
  /** What a reader must know: weights that are not the only ones, for example. */
  readonly notes: readonly string[];
}

/**
 * Weights of a portfolio, verified to keep to the limits to 1e-8, or which limits leave none.
 *
 * @throws AstgnnError ERR_DATA where covariance, weights or limits make no sense, naming file and ticker; ERR_OPTION; ERR_SOLVER_MISSING for any objective
 * but riskParity where the core was built without Rust; ERR_TIME_LIMIT; ERR_ABORTED
 * @example
 * const covariance = { tickers: ["A", "B"], values: Float64Array.of(0.04, 0, 0, 0.01) };
 * const portfolio = await optimise({ covariance, objective: "minimumVariance", limits: { maxWeight: 0.7 } });
 * if (portfolio.status === "optimal") console.log(portfolio.weights, portfolio.duals); // .3 and .7, and what the limit costs
 */
export function optimise(options: OptimiseOptions & { objective: "riskParity" }): Promise<Portfolio>;
export function optimise(options: OptimiseOptions): Promise<Portfolio | Conflict>;
export async function optimise(options: OptimiseOptions): Promise<Portfolio | Conflict> {
  const resolved = resolveOptions(optimiseSchema, options, "optimise");
  refuseStray(options, resolved.objective);
  const covariance = await covarianceOf(resolved.covariance);
  const { tickers } = covariance;
  if (resolved.objective === "riskParity") {
    const { weights } = riskBudgets(covariance, await budgetsOf(resolved.budgets, covariance));
    const { volatility, shares } = riskOf(covariance, weights);
    return { status: "optimal", tickers, weights, riskShares: shares, volatility, notes: [] };
  }
  const problem = await problemOf(resolved, resolved.objective, covariance);
  const solving = { timeLimitMs: resolved.timeLimitMs, signal: resolved.signal };
  const found: Conflict | (ConvexSolution & { fewNames?: FewNames }) = problem.limits.maxNames === undefined ? await solveConvex(problem, solving) : await fewNames(problem, problem.limits.maxNames, solving);
  if ("conflict" in found) return found;
  const { weights, value, duals } = found;
  const { volatility, shares } = riskOf(covariance, weights);
  return { status: "optimal", tickers, weights, riskShares: shares, volatility, value, duals, ...(found.fewNames === undefined ? {} : { fewNames: found.fewNames }), notes: notesOf(problem) };
}

type Resolved = z.output<typeof optimiseSchema>;

/** Options that the objective would leave unread. */
const OF: Readonly<Record<string, readonly Objective[]>> = {
  budgets: ["riskParity"],
  expected: ["meanVariance"],
  riskAversion: ["meanVariance"],
  costBps: ["meanVariance"],
  benchmark: ["trackingError"],
  current: ["minimumVariance", "meanVariance", "trackingError"],
  limits: ["minimumVariance", "meanVariance", "trackingError"],
};

function refuseStray(options: OptimiseOptions, objective: Objective): void {
  for (const [option, objectives] of Object.entries(OF)) {
    if (options[option as keyof OptimiseOptions] === undefined || objectives.includes(objective)) continue;
    throw new AstgnnError("ERR_OPTION", `${objective} does not use ${option}.`, { option, next: `Leave it out, or take ${objectives.join(" or ")}.` });
  }
}

async function problemOf(resolved: Resolved, objective: ConvexProblem["objective"], covariance: CheckedCovariance): Promise<ConvexProblem> {
  const limitsFile = resolved.limits !== undefined && "file" in resolved.limits ? resolved.limits.file : undefined;
  const limits: Limits = limitsFile === undefined ? resolveOptions(limitsSchema, resolved.limits, "limits") : await readLimits(limitsFile);
  const valuesOf = async (option: "expected" | "benchmark" | "current", everyTicker: boolean): Promise<Float64Array | undefined> => {
    const written = resolved[option];
    if (written === undefined) return undefined;
    const { values, given, where } = await byTicker(written, option, covariance);
    const missing = everyTicker ? covariance.tickers.filter((_, i) => given[i] === 0) : [];
    if (missing.length > 0) throw new AstgnnError("ERR_DATA", `${option} has no value of ${few(missing)}.`, { ...where, next: "Give every ticker one, or leave it out of the covariance." });
    return values;
  };
  const needed = ({ meanVariance: "expected", trackingError: "benchmark" } as const)[objective as "meanVariance"];
  if (needed !== undefined && resolved[needed] === undefined) throw invalidOption(needed, `numbers by ticker or { file }, which ${objective} needs,`, undefined);
  const n = covariance.tickers.length;
  return {
    covariance, objective, limits, limitsFile,
    expected: await valuesOf("expected", true),
    riskAversion: resolved.riskAversion,
    benchmark: await valuesOf("benchmark", false),
    current: await valuesOf("current", false),
    costs: resolved.costBps > 0 ? new Float64Array(n).fill(resolved.costBps / 1e4) : undefined,
  };
}

function notesOf({ covariance, objective, riskAversion }: ConvexProblem): string[] {
  const { rank, tickers, dependent } = covariance;
  if (rank === tickers.length || (objective === "meanVariance" && riskAversion === 0)) return [];
  return [
    `The covariance is singular, of rank ${rank} for ${tickers.length} stocks: other weights within the limits may be as good, for the returns of ${few(dependent.map((i) => tickers[i]!))} are combinations of the others'. ` +
      "The objective is the only one of its size; the weights need not be.",
  ];
}

async function covarianceOf(written: Covariance | NumbersFile | StoredRisk): Promise<CheckedCovariance> {
  if ("risk" in written) {
    const { form, file } = await readStoredRisk(written);
    return checkCovariance(form, file);
  }
  return "file" in written ? checkCovariance(await readCovariance(written.file), written.file) : checkCovariance(written);
}

async function budgetsOf(written: ByTicker | NumbersFile | undefined, covariance: CheckedCovariance): Promise<Float64Array> {
  const n = covariance.tickers.length;
  if (written === undefined) return new Float64Array(n).fill(1 / n);
  const { values, given, where } = await byTicker(written, "budgets", covariance);
  const missing = covariance.tickers.filter((_, i) => given[i] === 0);
  if (missing.length > 0) throw new AstgnnError("ERR_DATA", `${few(missing)} ${missing.length === 1 ? "has" : "have"} no budget.`, { ...where, next: "Give every ticker one, or leave it out of the covariance." });
  let sum = 0;
  values.forEach((value, i) => {
    if (!(value > 0)) throw new AstgnnError("ERR_DATA", `The budget of ${covariance.tickers[i]} is ${value}; it must be above 0.`, { ...where, next: "Leave a ticker that may take no risk out of the covariance." });
    sum += value;
  });
  return values.map((value) => value / sum);
}

/** Numbers by ticker in the covariance's order, 0 where none is given. */
async function byTicker(written: ByTicker | NumbersFile, option: string, { tickers, rows }: CheckedCovariance): Promise<{ values: Float64Array; given: Uint8Array; where: { option: string; file?: string } }> {
  const file = typeof written["file"] === "string" ? written["file"] : undefined;
  const numbers = file === undefined ? (written as ByTicker) : await readByTicker(file, option);
  const where = file === undefined ? { option } : { option, file };
  const values = new Float64Array(tickers.length);
  const given = new Uint8Array(tickers.length);
  for (const [ticker, value] of Object.entries(numbers)) {
    const row = rows.get(ticker);
    if (row === undefined) {
      const near = nearest(ticker, tickers);
      throw new AstgnnError("ERR_DATA", `${option} names ${ticker}, which the covariance does not have.`, { ...where, next: near === undefined ? "Leave it out, or take a covariance that has it." : `Did you mean ${near}?` });
    }
    if (!Number.isFinite(value)) throw new AstgnnError("ERR_DATA", `The value of ${ticker} in ${option} is ${value}.`, where);
    values[row] = value;
    given[row] = 1;
  }
  return { values, given, where };
}

/** A few names of many, for a message. */
function few(names: readonly string[]): string {
  return names.length <= 3 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
}
