/** A feature in which members of a cluster differ together from all stocks. */
export interface CommonExposure {
  readonly feature: string;
  /** Mean over the members of the z-score of the feature (as the model sees it on the date) among all stocks of the date. */
  readonly z: number;
}

/** A mean z-score that counts: at least half a deviation, and at least three standard errors of a mean of so many stocks. */
const LEAST = { z: 0.5, standardErrors: 3 };
const MOST_EXPOSURES = 5;

/** @param features [rows, F] of all stocks of the date */
export function commonExposures(features: Float32Array, names: readonly string[], members: readonly number[]): CommonExposure[] {
  const F = names.length;
  const rows = features.length / F;
  const found: CommonExposure[] = [];
  for (const [f, feature] of names.entries()) {
    let [sum, squares] = [0, 0];
    for (let row = 0; row < rows; row++) sum += features[row * F + f]!;
    const centre = sum / rows;
    for (let row = 0; row < rows; row++) squares += (features[row * F + f]! - centre) ** 2;
    const deviation = Math.sqrt(squares / rows);
    if (!(deviation > 1e-9)) continue;
    const z = members.reduce((total, row) => total + (features[row * F + f]! - centre) / deviation, 0) / members.length;
    if (Math.abs(z) >= LEAST.z && Math.abs(z) * Math.sqrt(members.length) >= LEAST.standardErrors) found.push({ feature, z });
  }
  return found.sort((a, b) => Math.abs(b.z) - Math.abs(a.z)).slice(0, MOST_EXPOSURES);
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
