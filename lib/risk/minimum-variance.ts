import { cholesky, solveCholesky } from "../metrics/dense.js";
import type { FactorForm } from "./factor-form.js";

/** Sweeps of the descent at most, and the largest change of a weight, as a share of the largest, at which it ends. */
const SWEEPS = 2000;
const TOLERANCE = 1e-9;

/**
 * Weights of the portfolio of least variance with weights from 0 that sum to 1, of a covariance that may be singular: cyclic coordinate descent on x'Vx / 2 - sum x
 * over x >= 0, whose minimum is that portfolio up to its scale. A step costs K operations; V is never written out.
 *
 * @param rows stocks of the form that may be held
 */
export function longOnlyMinimumVariance({ exposures, factorCovariance, specificVariance, factors }: FactorForm, rows: Int32Array): Float64Array {
  const K = factors.length;
  const root = rootOf(factorCovariance, K);
  const N = rows.length;
  // B = X L, so that V = B B' + diag(v).
  const b = new Float64Array(N * K);
  const diagonal = new Float64Array(N);
  let scale = 0;
  for (let i = 0; i < N; i++) {
    const at = rows[i]! * K;
    for (let k = 0; k < K; k++) {
      const x = exposures[at + k]!;
      if (x !== 0) for (let c = 0; c <= k; c++) b[i * K + c]! += x * root[k * K + c]!;
    }
    diagonal[i] = specificVariance[rows[i]!]!;
    for (let k = 0; k < K; k++) diagonal[i]! += b[i * K + k]! ** 2;
    scale = Math.max(scale, diagonal[i]!);
  }
  const x = new Float64Array(N);
  const y = new Float64Array(K);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let [moved, largest] = [0, 0];
    for (let i = 0; i < N; i++) {
      // After some sweeps most stocks stay at 0; they are looked at every tenth time.
      if (sweep > 20 && sweep % 10 !== 0 && x[i] === 0) continue;
      let gradient = specificVariance[rows[i]!]! * x[i]! - 1;
      for (let k = 0; k < K; k++) gradient += b[i * K + k]! * y[k]!;
      // A stock without variance would be held without bound.
      const next = Math.max(0, x[i]! - gradient / Math.max(diagonal[i]!, 1e-12 * scale));
      const change = next - x[i]!;
      largest = Math.max(largest, next);
      if (change === 0) continue;
      moved = Math.max(moved, Math.abs(change));
      x[i] = next;
      for (let k = 0; k < K; k++) y[k]! += change * b[i * K + k]!;
    }
    if (moved <= TOLERANCE * largest && (sweep <= 20 || sweep % 10 === 0)) break;
  }
  return normalised(x);
}

/** Weights of the portfolio of least variance that sum to 1, of either sign, by Woodbury's formula; undefined where a specific variance is 0. */
export function minimumVariance({ exposures, factorCovariance, specificVariance, factors }: FactorForm, rows: Int32Array): Float64Array | undefined {
  const K = factors.length;
  if (rows.some((row) => !(specificVariance[row]! > 0))) return undefined;
  const root = rootOf(factorCovariance, K);
  const inner = new Float64Array(K * K);
  const right = new Float64Array(K);
  const own = new Float64Array(K);
  const load = (row: number): void => {
    own.fill(0);
    for (let k = 0; k < K; k++) {
      const x = exposures[row * K + k]!;
      if (x !== 0) for (let c = 0; c <= k; c++) own[c]! += x * root[k * K + c]!;
    }
  };
  for (const row of rows) {
    load(row);
    const inverse = 1 / specificVariance[row]!;
    for (let a = 0; a < K; a++) {
      right[a]! += inverse * own[a]!;
      const value = inverse * own[a]!;
      for (let c = 0; c <= a; c++) inner[a * K + c]! += value * own[c]!;
    }
  }
  for (let k = 0; k < K; k++) inner[k * (K + 1)]!++;
  cholesky(inner, K);
  solveCholesky(inner, K, right);
  return normalised(Float64Array.from(rows, (row) => {
    load(row);
    let fit = 0;
    for (let k = 0; k < K; k++) fit += own[k]! * right[k]!;
    return (1 - fit) / specificVariance[row]!;
  }));
}

/** L with L L' = F of a positive semidefinite F; columns of directions without variance are 0. */
export function rootOf(matrix: Float64Array, n: number): Float64Array {
  const root = new Float64Array(n * n);
  let scale = 0;
  for (let i = 0; i < n; i++) scale = Math.max(scale, matrix[i * (n + 1)]!);
  for (let j = 0; j < n; j++) {
    let pivot = matrix[j * (n + 1)]!;
    for (let k = 0; k < j; k++) pivot -= root[j * n + k]! ** 2;
    if (!(pivot > 1e-13 * scale)) continue;
    const own = (root[j * (n + 1)] = Math.sqrt(pivot));
    for (let i = j + 1; i < n; i++) {
      let sum = matrix[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= root[i * n + k]! * root[j * n + k]!;
      root[i * n + j] = sum / own;
    }
  }
  return root;
}

function normalised(x: Float64Array): Float64Array {
  const total = x.reduce((sum, value) => sum + value, 0);
  return x.map((value) => value / total);
}
