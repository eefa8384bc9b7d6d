import { median } from "../data/ranks.js";
import { solveCholesky } from "../metrics/dense.js";

/** A date's regression of returns on exposures. */
export interface CrossSection {
  /** Return of each factor: exposures' columns in order. [K] */
  readonly factorReturns: Float64Array;
  /** What of the returns the factors leave, NaN where there is no return. [stocks] */
  readonly residuals: Float64Array;
  /** Weighted R² about the weighted mean; NaN where returns do not differ. */
  readonly r2: number;
  /** Returns that were winsorised. */
  readonly winsorised: number;
}

/** What the regression of a date is given. */
export interface CrossSectionInput {
  /** [stocks, K], row-major; the market's column of ones among them. */
  readonly exposures: Float64Array;
  /** Simple returns of the next date, NaN where missing. [stocks] */
  readonly returns: Float64Array;
  /** Above 0: the root of a stock's capitalisation, or all equal. [stocks] */
  readonly weights: Float64Array;
  readonly factors: number;
  /** Factors whose returns, weighted by these, sum to 0: for dummies of groups beside a market factor. */
  readonly constraint?: { readonly first: number; readonly weights: Float64Array } | undefined;
  /** Added to the diagonal of X'WX as a share of its mean; 0 for none. */
  readonly ridge: number;
  /** First column that the ridge shrinks: the ones before it are the market. */
  readonly ridgeFrom: number;
}

/** A pivot below this share of its column's own square is rounding: the factor is a combination of the others. */
const DEPENDENT = 1e-10;

/**
 * Factor returns of a date by weighted least squares. A factor without a non-zero exposure on the date, or that is a combination of the ones before it, has return 0.
 */
export function crossSection({ exposures, returns, weights, factors: K, constraint, ridge, ridgeFrom }: CrossSectionInput): Omit<CrossSection, "winsorised"> {
  const N = returns.length;
  const gram = new Float64Array(K * K);
  const moment = new Float64Array(K);
  for (let i = 0; i < N; i++) {
    const y = returns[i]!;
    if (Number.isNaN(y)) continue;
    const [w, at] = [weights[i]!, i * K];
    for (let a = 0; a < K; a++) {
      const x = w * exposures[at + a]!;
      if (x === 0) continue;
      moment[a]! += x * y;
      const row = a * K;
      for (let b = 0; b <= a; b++) gram[row + b]! += x * exposures[at + b]!;
    }
  }
  let trace = 0;
  for (let a = ridgeFrom; a < K; a++) trace += gram[a * (K + 1)]!;
  if (ridge > 0) for (let a = ridgeFrom; a < K; a++) gram[a * (K + 1)]! += (ridge * trace) / (K - ridgeFrom);
  if (constraint !== undefined) constrain(gram, K, constraint);
  const own = Float64Array.from({ length: K }, (_, a) => gram[a * (K + 1)]!);
  const factorReturns = solveDependent(gram, own, K, moment);
  const residuals = new Float64Array(N);
  let [sum, total, square, left] = [0, 0, 0, 0];
  for (let i = 0; i < N; i++) {
    let fit = 0;
    for (let a = 0; a < K; a++) fit += exposures[i * K + a]! * factorReturns[a]!;
    const [y, w] = [returns[i]!, weights[i]!];
    residuals[i] = y - fit;
    if (Number.isNaN(y)) continue;
    sum += w;
    total += w * y;
    square += w * y * y;
    left += w * (y - fit) ** 2;
  }
  const about = square - (total * total) / sum;
  return { factorReturns, residuals, r2: about > 0 ? 1 - left / about : NaN };
}

/**
 * Adds c c' to the Gram matrix for a constraint c'f = 0. The Gram matrix is singular along (market 1, groups -1), so that the minimum reaches c'f = 0 at
 * no cost, whatever the multiple.
 */
function constrain(gram: Float64Array, K: number, { first, weights }: { first: number; weights: Float64Array }): void {
  let [scale, norm] = [0, 0];
  for (const [g, weight] of weights.entries()) {
    scale += gram[(first + g) * (K + 1)]!;
    norm += weight * weight;
  }
  if (!(norm > 0)) return;
  const multiple = scale / weights.length / norm;
  for (const [g, left] of weights.entries()) for (let h = 0; h <= g; h++) gram[(first + g) * K + first + h]! += multiple * left * weights[h]!;
}

/** Cholesky with dependent columns left out: their unknowns are 0. */
function solveDependent(gram: Float64Array, own: Float64Array, K: number, moment: Float64Array): Float64Array {
  const kept: number[] = [];
  const factor = new Float64Array(K * K);
  for (let a = 0; a < K; a++) {
    const n = kept.length;
    const row = new Float64Array(n + 1);
    for (let b = 0; b < n; b++) {
      let sum = gram[a * K + kept[b]!]!;
      for (let c = 0; c < b; c++) sum -= row[c]! * factor[b * K + c]!;
      row[b] = sum / factor[b * K + b]!;
    }
    let pivot = own[a]!;
    for (let b = 0; b < n; b++) pivot -= row[b]! ** 2;
    if (!(pivot > own[a]! * DEPENDENT)) continue;
    row[n] = Math.sqrt(pivot);
    factor.set(row, n * K);
    kept.push(a);
  }
  const out = new Float64Array(K);
  const x = Float64Array.from(kept, (a) => moment[a]!);
  solveCholesky(factor, kept.length, x, K);
  for (const [i, a] of kept.entries()) out[a] = x[i]!;
  return out;
}

/** Draws values to at most `deviations` robust deviations (1.4826 times the median absolute one) from their median; returns how many it moved. */
export function winsorise(values: Float64Array, deviations: number): number {
  const known = values.filter((value) => !Number.isNaN(value));
  if (known.length === 0) return 0;
  const centre = median(known);
  const reach = deviations * 1.4826 * median(known.map((value) => Math.abs(value - centre)));
  if (!(reach > 0)) return 0;
  let moved = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!(Math.abs(value - centre) > reach)) continue;
    values[i] = centre + Math.sign(value - centre) * reach;
    moved++;
  }
  return moved;
}
