import { AstgnnError } from "../errors.js";
import { cholesky, solveCholesky, timesTransposed, timesVector } from "../metrics/dense.js";
import { type CheckedCovariance, type FactorLoadings, timesWeights } from "./covariance.js";

/** Newton steps, after which something is wrong: 6 to 12 are usual. */
const MOST_STEPS = 200;
/** Largest relative error of a stock's share of the risk at which the steps end. */
const ENOUGH = 1e-12;
/** Error below which S x is computed anew after each step. */
const NEAR = 1e-6;
/** And the one that a result may have where rounding ends them. */
const ALLOWED = 1e-8;
/** Relative change of the diagonal up to which a step takes the factorisation of one before: it leaves about as much of the error. */
const HARDLY = 1e-3;

/**
 * Weights above 0, with sum 1, of which each contributes its budget to the variance: w_i (S w)_i = b_i w'Sw. They are x / sum x for the x that
 * minimises x'Sx / 2 - sum b ln x (Spinu 2013, An algorithm for computing risk parity weights), found by Newton's method with a line search. In factor
 * form a step takes stocks x factors² operations, by Woodbury's identity.
 *
 * @param budgets [stocks], above 0, with sum 1
 * @returns the weights, and the largest |share_i / b_i - 1|
 * @throws AstgnnError ERR_DATA where a stock has variance 0
 */
export function riskBudgets(covariance: CheckedCovariance, budgets: Float64Array): { weights: Float64Array; error: number; steps: number } {
  const { tickers, variances } = covariance;
  const n = tickers.length;
  const riskless = variances.findIndex((variance) => !(variance > 0));
  if (riskless >= 0) throw new AstgnnError("ERR_DATA", `${tickers[riskless]} has a variance of 0: no weight of it contributes to the risk.`, { option: "covariance", next: "Leave it out; hold it as cash beside the portfolio." });
  const solve = covariance.factors === undefined ? ofMatrix(covariance.matrix!, n) : ofFactors(covariance.factors, n);
  const x = startOf(covariance, budgets);
  let marginal = timesWeights(covariance, x);
  let best = { x: x.slice(), error: relativeError(x, marginal, budgets) };
  let steps = 0;
  let stuck = 0;
  for (; steps < MOST_STEPS && best.error > ENOUGH && stuck < 3; steps++) {
    const direction = new Float64Array(n);
    const diagonal = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      direction[i] = budgets[i]! / x[i]! - marginal[i]!;
      diagonal[i] = budgets[i]! / (x[i]! * x[i]!);
    }
    const gradient = direction.slice();
    solve(diagonal, direction);
    let decrement = 0;
    let largest = 0;
    for (let i = 0; i < n; i++) {
      decrement += gradient[i]! * direction[i]!;
      largest = Math.max(largest, -direction[i]! / x[i]!);
    }
    const along = timesWeights(covariance, direction);
    const step = stepLength(x, direction, marginal, along, budgets, Math.min(1, 0.99 / largest), decrement);
    for (let i = 0; i < n; i++) x[i]! += step * direction[i]!;
    for (let i = 0; i < n; i++) marginal[i]! += step * along[i]!;
    // Near the end rounding of the sum would show.
    if (relativeError(x, marginal, budgets) < NEAR) marginal = timesWeights(covariance, x);
    const error = relativeError(x, marginal, budgets);
    // At the end of the rounding the error no longer falls.
    stuck = error < best.error ? 0 : stuck + (step === 1 && decrement < 1e-12 ? 1 : 0);
    if (error < best.error) best = { x: x.slice(), error };
  }
  if (!(best.error <= ALLOWED)) {
    throw new AstgnnError("ERR_NOT_FINITE", `Risk budgets were met only to a relative error of ${best.error.toExponential(1)} after ${steps} steps.`, { option: "budgets", next: "Budgets or variances of very different sizes do that: leave the smallest out." });
  }
  let sum = 0;
  for (const value of best.x) sum += value;
  return { weights: best.x.map((value) => value / sum), error: best.error, steps };
}

/** sqrt(b)/deviation, the answer of a diagonal covariance, scaled so that x'Sx is 1 as it will be. */
function startOf(covariance: CheckedCovariance, budgets: Float64Array): Float64Array {
  const x = budgets.map((budget, i) => Math.sqrt(budget / covariance.variances[i]!));
  const marginal = timesWeights(covariance, x);
  let variance = 0;
  for (let i = 0; i < x.length; i++) variance += x[i]! * marginal[i]!;
  return variance > 0 ? x.map((value) => value / Math.sqrt(variance)) : x;
}

function relativeError(x: Float64Array, marginal: Float64Array, budgets: Float64Array): number {
  let variance = 0;
  for (let i = 0; i < x.length; i++) variance += x[i]! * marginal[i]!;
  let error = 0;
  for (let i = 0; i < x.length; i++) error = Math.max(error, Math.abs((x[i]! * marginal[i]!) / (variance * budgets[i]!) - 1));
  return Number.isNaN(error) ? Infinity : error;
}

/** Halves the step until the objective falls by a hundredth of what its slope promises; a step as small as rounding is taken whole. */
function stepLength(x: Float64Array, direction: Float64Array, marginal: Float64Array, along: Float64Array, budgets: Float64Array, longest: number, decrement: number): number {
  if (decrement < 1e-10) return longest;
  let [slope, curvature] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    slope += direction[i]! * marginal[i]!;
    curvature += direction[i]! * along[i]!;
  }
  for (let step = longest; step > 1e-12; step /= 2) {
    let change = step * slope + (step * step * curvature) / 2;
    for (let i = 0; i < x.length; i++) change -= budgets[i]! * Math.log1p((step * direction[i]!) / x[i]!);
    if (change <= -0.01 * step * decrement) return step;
  }
  return longest;
}

/** Solves (S + diag(d)) u = g in place, given d and g. */
type ShiftedSolve = (diagonal: Float64Array, g: Float64Array) => void;

function ofMatrix(matrix: Float64Array, n: number): ShiftedSolve {
  const factor = new Float64Array(n * n);
  return (diagonal, g) => {
    factor.set(matrix);
    for (let i = 0; i < n; i++) factor[i * n + i]! += diagonal[i]!;
    cholesky(factor, n);
    solveCholesky(factor, n, g);
  };
}

/** (B B' + D)^-1 g = D^-1 (g - B (I + B' D^-1 B)^-1 B' D^-1 g), with D = diag(v + d). Where D has hardly moved, that of the steps before serves on. */
function ofFactors({ loadings, rank, specific }: FactorLoadings, n: number): ShiftedSolve {
  const inner = new Float64Array(rank * rank);
  const inverse = new Float64Array(n);
  return (diagonal, g) => {
    let moved = 0;
    for (let i = 0; i < n; i++) moved = Math.max(moved, Math.abs(inverse[i]! * (specific[i]! + diagonal[i]!) - 1));
    if (moved > HARDLY) {
      for (let i = 0; i < n; i++) inverse[i] = 1 / (specific[i]! + diagonal[i]!);
      weightedGram(loadings, inverse, n, rank, inner);
      for (let r = 0; r < rank; r++) inner[r * rank + r]! += 1;
      cholesky(inner, rank);
    }
    for (let i = 0; i < n; i++) g[i]! *= inverse[i]!;
    const held = timesTransposed(loadings, n, rank, g);
    solveCholesky(inner, rank, held);
    const explained = timesVector(loadings, n, rank, held);
    for (let i = 0; i < n; i++) g[i]! -= inverse[i]! * explained[i]!;
  };
}

/** Lower triangle of B' diag(d) B, four stocks and two rows at a time: most of what a step takes. */
function weightedGram(b: Float64Array, d: Float64Array, n: number, rank: number, out: Float64Array): void {
  out.fill(0);
  const whole = n - (n % 4);
  for (let i = 0; i < whole; i += 4) {
    const [b0, b1, b2, b3] = [i * rank, (i + 1) * rank, (i + 2) * rank, (i + 3) * rank];
    const [d0, d1, d2, d3] = [d[i]!, d[i + 1]!, d[i + 2]!, d[i + 3]!];
    let r = 0;
    for (; r + 1 < rank; r += 2) {
      const [s0, s1, s2, s3] = [b[b0 + r]! * d0, b[b1 + r]! * d1, b[b2 + r]! * d2, b[b3 + r]! * d3];
      const [t0, t1, t2, t3] = [b[b0 + r + 1]! * d0, b[b1 + r + 1]! * d1, b[b2 + r + 1]! * d2, b[b3 + r + 1]! * d3];
      const [row, next] = [r * rank, (r + 1) * rank];
      for (let c = 0; c <= r + 1; c++) {
        const x0 = b[b0 + c]!;
        const x1 = b[b1 + c]!;
        const x2 = b[b2 + c]!;
        const x3 = b[b3 + c]!;
        out[row + c]! += s0 * x0 + s1 * x1 + s2 * x2 + s3 * x3;
        out[next + c]! += t0 * x0 + t1 * x1 + t2 * x2 + t3 * x3;
      }
    }
    for (; r < rank; r++) {
      const s0 = b[b0 + r]! * d0;
      const s1 = b[b1 + r]! * d1;
      const s2 = b[b2 + r]! * d2;
      const s3 = b[b3 + r]! * d3;
      const row = r * rank;
      for (let c = 0; c <= r; c++) out[row + c]! += s0 * b[b0 + c]! + s1 * b[b1 + c]! + s2 * b[b2 + c]! + s3 * b[b3 + c]!;
    }
  }
  for (let i = whole; i < n; i++) {
    for (let r = 0; r < rank; r++) {
      const s = b[i * rank + r]! * d[i]!;
      for (let c = 0; c <= r; c++) out[r * rank + c]! += s * b[i * rank + c]!;
    }
  }
}
