import { AstgnnError } from "../errors.js";
import { conflictOf, type Conflict } from "./conflict.js";
import { type CheckedCovariance, riskOf } from "./covariance.js";
import { limitRows, type Limits } from "./limits.js";
import { type Cone, denseQuadratic, diagonalQuadratic, type Programme, type Row, type SolveOptions, solveProgramme } from "./programme.js";

/** What a convex programme is about; everything in the covariance's order. */
export interface ConvexProblem {
  readonly covariance: CheckedCovariance;
  readonly objective: "minimumVariance" | "meanVariance" | "trackingError";
  readonly limits: Limits;
  /** File of the limits, for messages. */
  readonly limitsFile: string | undefined;
  readonly expected: Float64Array | undefined;
  readonly riskAversion: number;
  readonly benchmark: Float64Array | undefined;
  readonly current: Float64Array | undefined;
  /** Of each unit of weight that is traded. [stocks] */
  readonly costs: Float64Array | undefined;
  /** Rows of the stocks that may be held, where a limit on names chose them; all others have the weight 0. */
  readonly kept?: readonly number[];
}

/** What a limit costs. */
export interface Dual {
  /** The name of the option, `group:<name>` or `factor:<name>`. */
  readonly limit: string;
  readonly bound: "min" | "max" | "equal";
  /** The stock whose weight is bound, of longOnly, minWeight and maxWeight. */
  readonly ticker?: string;
  /** Where the bound lies. */
  readonly at: number;
  /** What the objective gains per unit by which the bound gives way: of volatility, of tracking error or of utility. Of `equal`, per unit that it rises. */
  readonly price: number;
}

export interface ConvexSolution {
  readonly weights: Float64Array;
  /** Volatility, tracking error or utility. */
  readonly value: number;
  readonly duals: readonly Dual[];
}

/** By how much weights may miss a limit. */
const EXACT = 1e-8;
/** Risk that is none, in units of a usual stock's. */
const NONE = 1e-6;
/** Relative gap up to which a solution counts where the solver could not reach its tolerance. */
const USABLE = 1e-6;

/** The best portfolio within the limits, or which of them leave none. */
export async function solveConvex(problem: ConvexProblem, options: SolveOptions): Promise<ConvexSolution | Conflict> {
  const { covariance, limits, limitsFile, current, costs } = problem;
  const n = covariance.tickers.length;
  const inner = covariance.factors?.rank ?? 0;
  const own = limitRows(limits, covariance, n + inner, current, costs !== undefined, limitsFile);
  const limited = problem.kept === undefined ? own : { ...own, rows: [...own.rows, ...letGo(problem.kept, covariance)] };
  const { programme, scale } = problem.objective === "trackingError" ? trackingProgramme(problem, limited) : varianceProgramme(problem, limited);
  const solved = await solveProgramme(programme, options);
  // In units of a usual stock's risk, less than this is none: a benchmark that is met.
  const size = Math.max(Math.abs(solved.objective), NONE);
  const usable = solved.status === "solved" || (solved.gap / size < USABLE && solved.status !== "infeasible" && solved.status !== "unbounded");
  if (!usable) {
    if (solved.status === "unbounded") {
      throw new AstgnnError("ERR_OPTION", "The objective has no best value: weights may grow without end.", { option: "limits", next: "Limit gross, or maxWeight and minWeight, or take a larger riskAversion." });
    }
    const conflict = await conflictOf(limited, options);
    if (conflict !== undefined) return conflict;
    throw new AstgnnError("ERR_NOT_FINITE", `The solver found no portfolio and no reason why there is none (${solved.status} after ${solved.iterations} iterations).`, { next: "Limits or variances of very different sizes do that: leave the most extreme out." });
  }
  const weights = withinBounds(solved.x.slice(0, n), limited.rows);
  refuseBroken(weights, limited.rows, problem);
  const value = valueOf(problem, weights);
  return { weights, value, duals: dualsOf(problem, limited.rows, solved.prices, scale, value) };
}

function letGo(kept: readonly number[], { tickers }: CheckedCovariance): Row[] {
  const held = new Set(kept);
  return tickers.flatMap((ticker, i): Row[] => (held.has(i) ? [] : [{ limit: "maxNames", bound: "equal", ticker, columns: [i], values: [1], rhs: 0 }]));
}

/** Rows of y = B'w, variables n to n + rank: with them the risk of a factor form is diagonal. */
function factorRows({ factors, tickers }: CheckedCovariance, shrink: number): Row[] {
  const n = tickers.length;
  if (factors === undefined) return [];
  const { loadings, rank } = factors;
  return Array.from({ length: rank }, (_, r) => ({
    limit: undefined, bound: "equal" as const, rhs: 0,
    columns: Int32Array.from({ length: n + 1 }, (_, i) => (i < n ? i : n + r)),
    values: Float64Array.from({ length: n + 1 }, (_, i) => (i < n ? loadings[i * rank + r]! * shrink : -1)),
  }));
}

/** Variance, and return and costs where they count: a quadratic programme, scaled by a usual variance. */
function varianceProgramme({ covariance, objective, expected, riskAversion, costs }: ConvexProblem, { rows, variables, traded }: { rows: readonly Row[]; variables: number; traded: number | undefined }): { programme: Programme; scale: number } {
  const n = covariance.tickers.length;
  const variance = mean(covariance.variances);
  const aversion = objective === "meanVariance" ? riskAversion : 1;
  const largest = (values: Float64Array | undefined): number => (values === undefined ? 0 : values.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
  const scale = Math.max(aversion * variance, largest(expected), largest(costs)) || 1;
  const linear = new Float64Array(variables);
  if (objective === "meanVariance") for (let i = 0; i < n; i++) linear[i] = -expected![i]! / scale;
  if (costs !== undefined) for (let i = 0; i < n; i++) linear[traded! + i] = costs[i]! / scale;
  // y in units of a usual deviation.
  const deviation = Math.sqrt(variance) || 1;
  const weight = (aversion * variance) / scale;
  const diagonal = new Float64Array(variables);
  if (covariance.factors !== undefined) {
    for (let i = 0; i < n; i++) diagonal[i] = (aversion * covariance.factors.specific[i]!) / scale;
    for (let r = 0; r < covariance.factors.rank; r++) diagonal[n + r] = weight;
  }
  const quadratic = covariance.matrix === undefined ? diagonalQuadratic(diagonal) : denseQuadratic(covariance.matrix, n, variables, aversion / scale);
  return { programme: { variables, quadratic, linear, rows: [...factorRows(covariance, 1 / deviation), ...rows], cones: [] }, scale };
}

/** The norm of B'(w - b) and sqrt(v) (w - b) as a variable to be minimised: a second-order cone. */
function trackingProgramme({ covariance, benchmark }: ConvexProblem, { rows, variables }: { rows: readonly Row[]; variables: number }): { programme: Programme; scale: number } {
  const n = covariance.tickers.length;
  const scale = Math.sqrt(mean(covariance.variances)) || 1;
  const norm: Row[] = [];
  const component = (columns: ArrayLike<number>, values: ArrayLike<number>, at: number): void => void norm.push({ limit: undefined, bound: "max", columns, values, rhs: at });
  if (covariance.factors !== undefined) {
    const { loadings, rank, specific } = covariance.factors;
    for (let r = 0; r < rank; r++) {
      let at = 0;
      for (let i = 0; i < n; i++) at += (loadings[i * rank + r]! / scale) * benchmark![i]!;
      component([n + r], [1], at);
    }
    for (let i = 0; i < n; i++) {
      const deviation = Math.sqrt(specific[i]!) / scale;
      component([i], [deviation], deviation * benchmark![i]!);
    }
  } else {
    const { root, rank } = covariance;
    const all = Int32Array.from({ length: n }, (_, i) => i);
    for (let r = 0; r < rank; r++) {
      const values = Float64Array.from({ length: n }, (_, i) => root![i * rank + r]! / scale);
      component(all, values, values.reduce((sum, value, i) => sum + value * benchmark![i]!, 0));
    }
  }
  const linear = new Float64Array(variables + 1);
  linear[variables] = 1;
  const cone: Cone = { top: variables, norm };
  return { programme: { variables: variables + 1, quadratic: diagonalQuadratic(new Float64Array(variables + 1)), linear, rows: [...factorRows(covariance, 1 / scale), ...rows], cones: [cone] }, scale };
}

const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The solver ends a hair beside the bounds of single stocks: put onto them. */
function withinBounds(weights: Float64Array, rows: readonly Row[]): Float64Array {
  for (const { limit, bound, columns, values, rhs } of rows) {
    if (limit === undefined || columns.length !== 1 || columns[0]! >= weights.length) continue;
    const [i, at] = [columns[0]!, rhs / values[0]!];
    weights[i] = bound === "equal" ? at : bound === "max" ? Math.min(weights[i]!, at) : Math.max(weights[i]!, at);
  }
  return weights.map((weight) => (Math.abs(weight) < 1e-12 ? 0 : weight));
}

/** By how much the weights themselves miss each limit: gross and turnover are summed anew, not taken from the solver's variables. */
export function largestMiss(weights: Float64Array, rows: readonly Row[], current: Float64Array | undefined): { limit: string; by: number } {
  const n = weights.length;
  const absolute = (from: Float64Array | undefined): number => weights.reduce((sum, weight, i) => sum + Math.abs(weight - (from?.[i] ?? 0)), 0);
  const exposures = new Map<number, number>();
  for (const { limit, bound, columns, values } of rows) {
    if (limit !== undefined || bound !== "equal") continue;
    let sum = 0;
    for (let k = 0; k < columns.length - 1; k++) sum += weights[columns[k]!]! * values[k]!;
    exposures.set(columns[columns.length - 1]!, sum);
  }
  let worst = { limit: "", by: 0 };
  for (const { limit, bound, columns, values, rhs } of rows) {
    if (limit === undefined) continue;
    let sum = 0;
    if (limit === "gross") sum = absolute(undefined);
    else if (limit === "turnover") sum = absolute(current);
    else for (let k = 0; k < columns.length; k++) sum += (columns[k]! < n ? weights[columns[k]!]! : exposures.get(columns[k]!)!) * values[k]!;
    const by = bound === "equal" ? Math.abs(sum - rhs) : sum - rhs;
    if (by > worst.by) worst = { limit, by };
  }
  return worst;
}

function refuseBroken(weights: Float64Array, rows: readonly Row[], { current }: ConvexProblem): void {
  const { limit, by } = largestMiss(weights, rows, current);
  if (!(by <= EXACT)) throw new AstgnnError("ERR_NOT_FINITE", `The solver's weights miss ${limit} by ${by.toExponential(1)}, more than ${EXACT}.`, { option: "limits", next: "Limits of very different sizes do that: write them in shares of the capital." });
}

/** The objective of weights, in the user's units. */
export function valueOf({ covariance, objective, expected, riskAversion, benchmark, current, costs }: ConvexProblem, weights: Float64Array): number {
  if (objective === "trackingError") return riskOf(covariance, weights.map((weight, i) => weight - benchmark![i]!)).volatility;
  const { volatility } = riskOf(covariance, weights);
  if (objective === "minimumVariance") return volatility;
  let value = (-riskAversion / 2) * volatility * volatility;
  for (let i = 0; i < weights.length; i++) value += expected![i]! * weights[i]! - (costs === undefined ? 0 : costs[i]! * Math.abs(weights[i]! - (current?.[i] ?? 0)));
  return value;
}

function dualsOf({ objective }: ConvexProblem, rows: readonly Row[], all: Float64Array, scale: number, value: number): Dual[] {
  const prices = all.subarray(all.length - rows.length);
  // At a benchmark that is met no limit costs anything.
  if (objective === "trackingError" && value < NONE * scale) return [];
  // Half the variance is minimised: a unit of it is 1 / volatility units of volatility.
  const unit = objective === "minimumVariance" ? scale / Math.max(value, Number.MIN_VALUE) : scale;
  const top = prices.reduce((most, price, i) => (rows[i]!.limit === undefined ? most : Math.max(most, Math.abs(price))), 0);
  return rows
    .flatMap(({ limit, bound, ticker, rhs }, i): Dual[] => (limit === undefined || Math.abs(prices[i]!) <= 1e-6 * top ? [] : [{ limit, bound, ...(ticker === undefined ? {} : { ticker }), at: bound === "min" ? 0 - rhs : rhs, price: prices[i]! * unit }]))
    .sort((a, b) => Math.abs(b.price) - Math.abs(a.price));
}

