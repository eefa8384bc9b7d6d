import { normals } from "./factor-covariance.js";
import { pairProducts } from "../data/pair-products.js";
import { symmetricEigen } from "../metrics/dense.js";
import type { FactorForm } from "./factor-form.js";
import { invalidOption } from "../errors.js";
import { requireNumbers, requireObject, requireTexts } from "../options.js";

/** Covariances from the returns alone, by name: the sample's, shrunk as Ledoit and Wolf (2004) or as OAS (Chen et al. 2010) to a multiple of the identity, or the first principal components and what they leave of each stock. */
export type SampleCovarianceName = "sample" | "lw" | "oas" | "pca";

/** Returns that a covariance is estimated from. */
export interface ReturnWindow {
  readonly date?: string;
  readonly tickers: readonly string[];
  /** [dates, stocks], row-major; NaN counts as the stock's mean. */
  readonly returns: ArrayLike<number>;
}

/** Centred returns of a window and their products over stocks: what every covariance of it is made of. */
class Centred {
  readonly T: number;
  readonly N: number;
  /** [T, N] */
  readonly values: Float64Array;
  /** [T, T]: R R'. */
  readonly gram: Float64Array;
  /** Sample variances, over T. [N] */
  readonly variances: Float64Array;

  constructor({ tickers, returns }: ReturnWindow) {
    const N = (this.N = tickers.length);
    const T = (this.T = returns.length / N);
    const values = (this.values = new Float64Array(T * N));
    this.variances = new Float64Array(N);
    for (let i = 0; i < N; i++) {
      let [sum, count, square] = [0, 0, 0];
      for (let t = 0; t < T; t++) {
        const value = returns[t * N + i]!;
        if (Number.isNaN(value)) continue;
        sum += value;
        count++;
      }
      const mean = sum / count;
      for (let t = 0; t < T; t++) {
        const value = returns[t * N + i]!;
        const left = Number.isNaN(value) ? 0 : value - mean;
        values[t * N + i] = left;
        square += left * left;
      }
      this.variances[i] = square / T;
    }
    this.gram = gramOf(values, T, N);
  }
}

/** R R'. */
function gramOf(values: Float64Array, T: number, N: number): Float64Array {
  const gram = new Float64Array(T * T);
  const rows = Array.from({ length: T }, (_, t) => values.subarray(t * N, (t + 1) * N));
  pairProducts(rows, N, (s, t, product) => void (gram[s * T + t] = gram[t * T + s] = product));
  return gram;
}

/**
 * Covariances of a window of returns, all from one matrix of products. `sample`, `lw` and `oas` have a factor per date, so that N stocks never make an
 * N x N matrix; `sample` alone has no specific variance and is singular with fewer dates than stocks.
 *
 * @param components K of `pca`
 */
export function sampleCovariances<const M extends SampleCovarianceName>(window: ReturnWindow, names: readonly M[], components = 20): Record<M, FactorForm> {
  requireObject(window, "window", "{ tickers, returns }");
  requireTexts(window.tickers, "window.tickers", "a list of tickers");
  requireNumbers(window.returns, "window.returns");
  const T = window.returns.length / window.tickers.length;
  if (!Number.isInteger(T) || T === 0) throw invalidOption("window.returns", `whole dates of ${window.tickers.length} returns`, window.returns);
  for (const value of Array.from(window.returns)) if (Math.abs(value) === Infinity) throw invalidOption("window.returns", "returns that are finite, or NaN", value);
  const known = ["sample", "lw", "oas", "pca"];
  if (!Array.isArray(names) || !names.every((name) => known.includes(name))) throw invalidOption("names", `a list of ${known.join(", ")}`, names);
  if (!Number.isInteger(components) || components < 1) throw invalidOption("components", "a whole number from 1", components);
  const centred = new Centred(window);
  return Object.fromEntries(names.map((name) => [name, name === "pca" ? principal(window, centred, components) : shrunk(window, centred, shrinkageOf(name, centred))])) as Record<M, FactorForm>;
}

/** How far to the identity, 0 to 1; formulas as in scikit-learn. */
export function shrinkageOf(name: "sample" | "lw" | "oas", { T, N, gram, variances }: Pick<Centred, "T" | "N" | "gram" | "variances">): number {
  if (name === "sample") return 0;
  let [square, fourth, trace] = [0, 0, 0];
  for (const value of gram) square += value * value;
  square /= T * T;
  for (let t = 0; t < T; t++) fourth += gram[t * (T + 1)]! ** 2;
  for (const value of variances) trace += value;
  const mu = trace / N;
  if (name === "oas") {
    const alpha = square / (N * N);
    const denominator = (T + 1) * (alpha - (mu * mu) / N);
    return denominator === 0 ? 1 : Math.min(1, (alpha + mu * mu) / denominator);
  }
  const delta = (square - 2 * mu * trace + N * mu * mu) / N;
  const beta = Math.min((fourth / T - square) / (N * T), delta);
  return beta === 0 ? 0 : beta / delta;
}

/** (1 - shrinkage) S + shrinkage mean(variances) I, with a factor per date. */
function shrunk({ date, tickers }: ReturnWindow, { T, N, values, variances }: Centred, shrinkage: number): FactorForm {
  const exposures = new Float64Array(N * T);
  for (let t = 0; t < T; t++) for (let i = 0; i < N; i++) exposures[i * T + t] = values[t * N + i]!;
  const factorCovariance = new Float64Array(T * T);
  for (let t = 0; t < T; t++) factorCovariance[t * (T + 1)] = (1 - shrinkage) / T;
  const mu = variances.reduce((sum, value) => sum + value, 0) / N;
  return { ...(date === undefined ? {} : { date }), tickers, factors: Array.from({ length: T }, (_, t) => `date_${t + 1}`), exposures, factorCovariance, specificVariance: new Float64Array(N).fill(shrinkage * mu) };
}

/** The first K eigenvectors of the sample covariance and, of each stock, what they leave. */
function principal({ date, tickers }: ReturnWindow, { T, N, values, gram, variances }: Centred, components: number): FactorForm {
  const K = Math.min(components, T - 1, N);
  const { values: squares, vectors } = leadingEigen(gram, T, K);
  const exposures = new Float64Array(N * K);
  const factorCovariance = new Float64Array(K * K);
  const specificVariance = Float64Array.from(variances);
  for (let k = 0; k < K; k++) {
    factorCovariance[k * (K + 1)] = squares[k]! / T;
    const scale = 1 / Math.sqrt(squares[k]!);
    for (let t = 0; t < T; t++) {
      const weight = scale * vectors[k * T + t]!;
      for (let i = 0; i < N; i++) exposures[i * K + k]! += weight * values[t * N + i]!;
    }
    for (let i = 0; i < N; i++) specificVariance[i]! -= (squares[k]! / T) * exposures[i * K + k]! ** 2;
  }
  // A stock that components explain whole still moves by itself.
  for (let i = 0; i < N; i++) specificVariance[i] = Math.max(specificVariance[i]!, 0.01 * variances[i]!, 1e-12);
  return { ...(date === undefined ? {} : { date }), tickers, factors: Array.from({ length: K }, (_, k) => `component_${k + 1}`), exposures, factorCovariance, specificVariance };
}

/** The K largest eigenvalues of a positive semidefinite matrix and their vectors as rows: subspace iteration from random vectors, with Rayleigh and Ritz at the end. */
export function leadingEigen(matrix: Float64Array, n: number, K: number): { values: Float64Array; vectors: Float64Array } {
  const size = Math.min(n, K + 16);
  if (size > n / 2) {
    const { values, vectors } = symmetricEigen(matrix, n);
    return { values: values.subarray(0, K), vectors: vectors.subarray(0, K * n) };
  }
  const normal = normals(0);
  let basis = Float64Array.from({ length: size * n }, () => normal());
  for (let step = 0; step < 16; step++) {
    orthonormalise(basis, size, n);
    basis = times(basis, matrix, size, n);
  }
  orthonormalise(basis, size, n);
  const image = times(basis, matrix, size, n);
  const small = new Float64Array(size * size);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) for (let k = 0; k < n; k++) small[i * size + j]! += basis[i * n + k]! * image[j * n + k]!;
  const { values, vectors } = symmetricEigen(small, size);
  const out = new Float64Array(K * n);
  for (let k = 0; k < K; k++) for (let i = 0; i < size; i++) for (let j = 0; j < n; j++) out[k * n + j]! += vectors[k * size + i]! * basis[i * n + j]!;
  return { values: values.subarray(0, K), vectors: out };
}

/** Rows [m, n] times a symmetric matrix [n, n]. */
function times(rows: Float64Array, matrix: Float64Array, m: number, n: number): Float64Array<ArrayBuffer> {
  const out = new Float64Array(m * n);
  for (let k = 0; k < n; k++) {
    for (let i = 0; i < m; i++) {
      const value = rows[i * n + k]!;
      const [to, from] = [i * n, k * n];
      for (let j = 0; j < n; j++) out[to + j]! += value * matrix[from + j]!;
    }
  }
  return out;
}

/** Rows [m, n] made orthonormal in place: Gram and Schmidt, twice. */
export function orthonormalise(rows: Float64Array, m: number, n: number): void {
  for (let i = 0; i < m; i++) {
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        let overlap = 0;
        for (let k = 0; k < n; k++) overlap += rows[i * n + k]! * rows[j * n + k]!;
        for (let k = 0; k < n; k++) rows[i * n + k]! -= overlap * rows[j * n + k]!;
      }
    }
    let square = 0;
    for (let k = 0; k < n; k++) square += rows[i * n + k]! ** 2;
    const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let k = 0; k < n; k++) rows[i * n + k]! *= scale;
  }
}
