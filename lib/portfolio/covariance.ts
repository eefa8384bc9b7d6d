import { AstgnnError, invalidOption } from "../errors.js";
import { requireTexts } from "../options.js";
import { cholesky, timesTransposed, timesVector } from "../metrics/dense.js";
import type { FactorForm } from "../risk/factor-form.js";
import { pivotedCholesky } from "./pivoted-cholesky.js";

/** Covariance of returns written out. */
export interface CovarianceMatrix {
  /** In the order of rows and columns. */
  readonly tickers: readonly string[];
  /** [stocks, stocks], row-major; symmetric and positive semidefinite. */
  readonly values: Float64Array;
}

/** What positions are chosen by: a matrix, or the factor form of a risk model, which is never written out. */
export type Covariance = FactorForm | CovarianceMatrix;

/** Of a negative eigenvalue of a correlation matrix: what rounding explains is this small. */
const ROUNDING = 1e-8;

/** A covariance that was checked, with what is computed from it. */
export interface CheckedCovariance {
  readonly tickers: readonly string[];
  /** Row of each ticker. */
  readonly rows: ReadonlyMap<string, number>;
  /** B and v of B B' + diag(v), B [stocks, rank] row-major; undefined for a matrix. */
  readonly factors: FactorLoadings | undefined;
  /** Written out, [stocks, stocks]; undefined for a factor form. */
  readonly matrix: Float64Array | undefined;
  /** L of the matrix L L', [stocks, rank]; undefined for a factor form. */
  readonly root: Float64Array | undefined;
  /** [stocks] */
  readonly variances: Float64Array;
  /** Of a matrix: its rank and the rows that the others determine. A factor form has full rank. */
  readonly rank: number;
  readonly dependent: readonly number[];
}

export interface FactorLoadings {
  readonly loadings: Float64Array;
  readonly rank: number;
  readonly specific: Float64Array;
  /** As the risk model has them, [stocks, factors]. */
  readonly exposures: Float64Array;
  readonly names: readonly string[];
}

/** `file`: where the covariance was read from, for messages. */
export function checkCovariance(covariance: Covariance, file?: string): CheckedCovariance {
  const where = file === undefined ? { option: "covariance" } : { option: "covariance", file };
  const { tickers } = covariance;
  requireTexts(tickers, "covariance.tickers", "a list of tickers");
  const numbers = "exposures" in covariance ? { exposures: covariance.exposures, factorCovariance: covariance.factorCovariance, specificVariance: covariance.specificVariance } : { values: covariance.values };
  if ("exposures" in covariance) requireTexts(covariance.factors, "covariance.factors", "names of factors");
  for (const [name, values] of Object.entries(numbers)) if (!(values instanceof Float64Array)) throw invalidOption(`covariance.${name}`, "a Float64Array", values);
  const rows = new Map<string, number>();
  if (tickers.length === 0) throw new AstgnnError("ERR_DATA", "The covariance has no tickers.", where);
  tickers.forEach((ticker, row) => {
    if (rows.has(ticker)) throw new AstgnnError("ERR_DATA", `The covariance has the ticker ${ticker} twice, in rows ${rows.get(ticker)! + 1} and ${row + 1}.`, { ...where, row: row + 1, next: "Keep one row and column of it." });
    rows.set(ticker, row);
  });
  return "exposures" in covariance ? checkedFactors(covariance, rows, where) : checkedMatrix(covariance, rows, where);
}

type Where = { option: string; file?: string };

function checkedFactors({ tickers, factors: names, exposures, factorCovariance, specificVariance }: FactorForm, rows: ReadonlyMap<string, number>, where: Where): CheckedCovariance {
  const [n, k] = [tickers.length, names.length];
  for (const [what, values, size] of [["exposures", exposures, n * k], ["factorCovariance", factorCovariance, k * k], ["specificVariance", specificVariance, n]] as const) {
    if (values.length !== size) throw new AstgnnError("ERR_SHAPE", `Expected ${size} numbers in ${what} of ${n} stocks and ${k} factors but there are ${values.length}.`, where);
  }
  for (let i = 0; i < n; i++) {
    for (let f = 0; f < k; f++) if (!Number.isFinite(exposures[i * k + f]!)) throw new AstgnnError("ERR_DATA", `The exposure of ${tickers[i]} to ${names[f]} is ${exposures[i * k + f]}.`, { ...where, next: "Leave the ticker out, or fill its exposures." });
    if (!(specificVariance[i]! > 0) || specificVariance[i] === Infinity) throw new AstgnnError("ERR_DATA", `The specific variance of ${tickers[i]} is ${specificVariance[i]}; it must be above 0.`, { ...where, next: "Leave the ticker out, or fit the risk model anew." });
  }
  const { loadings: scaled, rank } = rootOf(factorCovariance, k, names, "factor covariance", where);
  // B = X L, where F = L L'.
  const loadings = new Float64Array(n * rank);
  const variances = new Float64Array(n);
  const row = new Float64Array(rank);
  // Of a factor that was not pivoted, half of the entries are 0.
  const ends = Int32Array.from({ length: k }, (_, f) => scaled.subarray(f * rank, (f + 1) * rank).findLastIndex((value) => value !== 0) + 1);
  for (let i = 0; i < n; i++) {
    row.fill(0);
    for (let f = 0; f < k; f++) {
      const exposure = exposures[i * k + f]!;
      const at = f * rank;
      if (exposure !== 0) for (let r = 0, end = ends[f]!; r < end; r++) row[r]! += exposure * scaled[at + r]!;
    }
    loadings.set(row, i * rank);
    let variance = specificVariance[i]!;
    for (let r = 0; r < rank; r++) variance += row[r]! * row[r]!;
    variances[i] = variance;
  }
  return { tickers, rows, factors: { loadings, rank, specific: specificVariance, exposures, names }, matrix: undefined, root: undefined, variances, rank: n, dependent: [] };
}

function checkedMatrix({ tickers, values }: CovarianceMatrix, rows: ReadonlyMap<string, number>, where: Where): CheckedCovariance {
  const n = tickers.length;
  if (values.length !== n * n) throw new AstgnnError("ERR_SHAPE", `Expected ${n * n} numbers in the covariance of ${n} tickers but there are ${values.length}.`, where);
  const { loadings: root, rank, order } = rootOf(values, n, tickers, "covariance", where);
  const variances = Float64Array.from({ length: n }, (_, i) => values[i * n + i]!);
  return { tickers, rows, factors: undefined, matrix: values, root, variances, rank, dependent: [...order.subarray(rank)].sort((a, b) => a - b) };
}

/** L of S = L L', L [n, rank], for a symmetric positive semidefinite S; refuses any other. */
function rootOf(values: Float64Array, n: number, names: readonly string[], what: string, where: Where): { loadings: Float64Array; rank: number; order: Int32Array } {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const value = values[i * n + j]!;
      if (!Number.isFinite(value)) throw new AstgnnError("ERR_DATA", `The ${what} of ${names[i]} and ${names[j]} is ${value}.`, { ...where, row: i + 1, column: names[j]!, next: "Leave the ticker out, or estimate it from dates that all have." });
    }
    if (values[i * n + i]! < 0) throw new AstgnnError("ERR_DATA", `The variance of ${names[i]} is ${values[i * n + i]}, below 0.`, { ...where, row: i + 1, column: names[i]! });
  }
  const deviations = Float64Array.from({ length: n }, (_, i) => Math.sqrt(values[i * n + i]!));
  const correlation = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      const [lower, upper] = [values[i * n + j]!, values[j * n + i]!];
      const scale = deviations[i]! * deviations[j]!;
      if (Math.abs(lower - upper) > ROUNDING * Math.max(scale, Math.abs(lower), Math.abs(upper))) {
        throw new AstgnnError("ERR_DATA", `The ${what} is not symmetric: ${lower} of ${names[i]} and ${names[j]}, ${upper} of ${names[j]} and ${names[i]}.`, { ...where, row: i + 1, column: names[j]!, next: "Write both alike, or their mean." });
      }
      if (Math.abs(lower) > scale * (1 + ROUNDING)) {
        throw new AstgnnError("ERR_DATA", `The ${what} of ${names[i]} and ${names[j]}, ${lower}, is larger than the product of their deviations, ${scale}: no returns have it.`, { ...where, row: i + 1, column: names[j]!, next: NOT_PSD });
      }
      correlation[i * n + j] = correlation[j * n + i] = scale === 0 ? 0 : lower / scale;
    }
    correlation[i * n + i] = deviations[i]! > 0 ? 1 : 0;
  }
  const direct = shifted(correlation, n, 0);
  if (cholesky(direct, n) < 0 && deviations.every((_, i) => direct[i * n + i]! > 1e-6)) {
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) direct[i * n + j] = j > i ? 0 : direct[i * n + j]! * deviations[i]!;
    return { loadings: direct, rank: n, order: Int32Array.from({ length: n }, (_, i) => i) };
  }
  const { factor, rank, order, remainder } = pivotedCholesky(correlation, n, 1e-12);
  if (remainder > ROUNDING && cholesky(shifted(correlation, n, ROUNDING), n) >= 0) {
    throw new AstgnnError("ERR_DATA", `The ${what} is not positive semidefinite: some portfolio would have a variance below 0.`, { ...where, next: NOT_PSD });
  }
  for (let i = 0; i < n; i++) for (let r = 0; r < rank; r++) factor[i * rank + r]! *= deviations[i]!;
  return { loadings: factor, rank, order };
}

const NOT_PSD = "Estimate it from one set of dates, not pair by pair, write all digits, or take a risk model's (astgnn risk).";

function shifted(matrix: Float64Array, n: number, by: number): Float64Array {
  const copy = matrix.slice();
  for (let i = 0; i < n; i++) copy[i * n + i]! += by;
  return copy;
}

/** S w, [stocks]. */
export function timesWeights({ factors, matrix }: CheckedCovariance, weights: Float64Array): Float64Array {
  const n = weights.length;
  if (factors === undefined) return timesVector(matrix!, n, n, weights);
  const { loadings, rank, specific } = factors;
  const out = timesVector(loadings, n, rank, timesTransposed(loadings, n, rank, weights));
  for (let i = 0; i < n; i++) out[i]! += specific[i]! * weights[i]!;
  return out;
}

/** Volatility sqrt(w'Sw), and of each stock its share w_i (S w)_i / w'Sw, which sum to 1. */
export function riskOf(covariance: CheckedCovariance, weights: Float64Array): { volatility: number; shares: Float64Array } {
  const marginal = timesWeights(covariance, weights);
  let variance = 0;
  for (let i = 0; i < weights.length; i++) variance += weights[i]! * marginal[i]!;
  variance = Math.max(variance, 0);
  return { volatility: Math.sqrt(variance), shares: marginal.map((value, i) => (variance === 0 ? 0 : (weights[i]! * value) / variance)) };
}
