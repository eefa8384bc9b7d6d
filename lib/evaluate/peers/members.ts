import { mean } from "../../metrics/statistics.js";

/** An exposure in which members of a cluster differ together from all stocks. */
export interface CommonExposure {
  readonly name: string;
  /** Mean over the members of the z-score of the exposure among all stocks of the date. */
  readonly z: number;
}

/** A mean z-score that counts: at least half a deviation, and at least three standard errors of a mean of so many stocks. */
const LEAST = { z: 0.5, standardErrors: 3 };
const MOST_EXPOSURES = 5;

/** Values of all rows of a date per exposure, NaN where missing. */
export type ExposuresOfRows = ReadonlyMap<string, ArrayLike<number>>;

/** The exposures that members share, the largest first. */
export function commonExposures(exposures: ExposuresOfRows, members: readonly number[]): CommonExposure[] {
  const found: CommonExposure[] = [];
  for (const [name, values] of exposures) {
    const all = knownOf(values, Array.from({ length: values.length }, (_, row) => row));
    const own = knownOf(values, members);
    const centre = mean(all);
    const deviation = Math.sqrt(mean(all.map((value) => (value - centre) ** 2)));
    const z = (mean(own) - centre) / deviation;
    if (deviation > 1e-9 && Math.abs(z) >= LEAST.z && Math.abs(z) * Math.sqrt(own.length) >= LEAST.standardErrors) found.push({ name, z });
  }
  return found.sort((a, b) => Math.abs(b.z) - Math.abs(a.z)).slice(0, MOST_EXPOSURES);
}

/** Columns of [rows, F]. */
export function columnsOf(features: Float32Array, names: readonly string[]): ExposuresOfRows {
  const F = names.length;
  return new Map(names.map((name, f) => [name, Float32Array.from({ length: features.length / F }, (_, row) => features[row * F + f]!)]));
}

function knownOf(values: ArrayLike<number>, rows: readonly number[]): number[] {
  return rows.map((row) => values[row]!).filter((value) => !Number.isNaN(value));
}

/** The members by the cosine of their row of M [rows, K] with the mean direction of all members, the largest first; equal ones in their order. */
export function closestFirst(m: Float32Array | Float64Array, K: number, members: readonly number[]): number[] {
  const directions = members.map((row) => direction(Float64Array.from(m.subarray(row * K, (row + 1) * K))));
  const centre = new Float64Array(K);
  for (const own of directions) for (let k = 0; k < K; k++) centre[k]! += own[k]!;
  const close = directions.map((own) => own.reduce((sum, value, k) => sum + value * centre[k]!, 0));
  return Array.from(members.keys()).sort((a, b) => close[b]! - close[a]!).map((i) => members[i]!);
}

function direction(vector: Float64Array): Float64Array {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return norm > 0 ? vector.map((value) => value / norm) : vector;
}
