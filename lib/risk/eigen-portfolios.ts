import { mean } from "../metrics/statistics.js";
import { symmetricEigen } from "../metrics/dense.js";
import type { FactorForm } from "./factor-form.js";
import { normals } from "./factor-covariance.js";
import { Forecasts } from "./forecasts.js";
import { rootOf } from "./minimum-variance.js";
import { orthonormalise } from "./sample-covariance.js";

/** Eigenvectors of a covariance that are held as portfolios. */
export const EIGEN_PORTFOLIOS = 20;
/** Vectors that are iterated beside those that are wanted, and steps: the angles between the two spaces are below a degree then. */
const BESIDE = 10;
const STEPS = 12;

/** How a model forecasts portfolios that it chose itself. */
export interface EigenBias {
  /** Of the portfolio of the k-th largest variance, by rank: 1 where its forecasts are right, above where they understate. */
  readonly bias: readonly number[];
  /** Mean |bias - 1|, and the share of the portfolios whose bias lies from .9 to 1.1. */
  readonly distance: number;
  readonly within: number;
}

/**
 * The eigenvectors of the largest eigenvalues of X F X' + diag(v) of some stocks, by subspace iteration on the factor form: the N x N matrix is never written.
 *
 * @param rows stocks of the form
 * @returns vectors of norm 1 over `rows`, largest eigenvalue first
 */
export function leadingPortfolios({ exposures, factorCovariance, specificVariance, factors }: FactorForm, rows: Int32Array, count = EIGEN_PORTFOLIOS): Float64Array[] {
  const [K, N] = [factors.length, rows.length];
  const root = rootOf(factorCovariance, K);
  const b = new Float64Array(N * K);
  for (const [i, row] of rows.entries()) {
    for (let k = 0; k < K; k++) {
      const x = exposures[row * K + k]!;
      if (x !== 0) for (let c = 0; c <= k; c++) b[i * K + c]! += x * root[k * K + c]!;
    }
  }
  const size = Math.min(N, count + BESIDE);
  const normal = normals(1);
  let basis = Float64Array.from({ length: size * N }, () => normal());
  const inner = new Float64Array(K);
  const image = (): Float64Array<ArrayBuffer> => {
    const out = new Float64Array(size * N);
    for (let v = 0; v < size; v++) {
      const at = v * N;
      inner.fill(0);
      for (let i = 0; i < N; i++) for (let k = 0; k < K; k++) inner[k]! += basis[at + i]! * b[i * K + k]!;
      for (let i = 0; i < N; i++) {
        let sum = specificVariance[rows[i]!]! * basis[at + i]!;
        for (let k = 0; k < K; k++) sum += b[i * K + k]! * inner[k]!;
        out[at + i] = sum;
      }
    }
    return out;
  };
  for (let step = 0; step < STEPS; step++) {
    orthonormalise(basis, size, N);
    basis = image();
  }
  orthonormalise(basis, size, N);
  const applied = image();
  const small = new Float64Array(size * size);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) for (let n = 0; n < N; n++) small[i * size + j]! += basis[i * N + n]! * applied[j * N + n]!;
  const { vectors } = symmetricEigen(small, size);
  return Array.from({ length: Math.min(count, size) }, (_, k) => {
    const out = new Float64Array(N);
    for (let v = 0; v < size; v++) for (let n = 0; n < N; n++) out[n]! += vectors[k * size + v]! * basis[v * N + n]!;
    return out;
  });
}

/** Forecasts of portfolios by rank. */
export class RankedForecasts {
  readonly #ranks: Forecasts[] = [];

  add(rank: number, value: number, variance: number): void {
    (this.#ranks[rank] ??= new Forecasts()).add(value, variance);
  }

  bias(): EigenBias {
    const bias = this.#ranks.map((forecasts) => forecasts.summary().bias);
    return { bias, distance: mean(bias.map((value) => Math.abs(value - 1))), within: bias.filter((value) => value >= 0.9 && value <= 1.1).length / bias.length };
  }
}
