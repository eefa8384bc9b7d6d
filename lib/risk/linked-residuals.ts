import { pairProducts } from "../data/pair-products.js";
import { leadingEigen } from "./sample-covariance.js";

/** Stocks at most that are taken into the factors: those with the largest correlations. */
const MOST_LINKED = 1000;
/** Rounds in which shares and loadings are fitted to each other. */
const ROUNDS = 3;

/**
 * Factors of the correlations above `least` in size between series: principal axis factoring, whose loadings fit what lies beside the diagonal, of the
 * correlations that are left when all others count as 0. A pair of correlation r gets the loadings sqrt(r) and sqrt(r).
 *
 * @param series of norm 1, 0 where a value is missing
 * @returns loadings [series, links], the largest factors first; `links` is at most `most`
 */
export function linkedResiduals(series: readonly Float64Array[], least: number, most: number): { readonly loadings: Float64Array; readonly links: number } {
  const none = { loadings: new Float64Array(0), links: 0 };
  const pairs = correlatedPairs(series, least);
  if (pairs.length === 0 || most === 0) return none;
  const strength = new Float64Array(series.length);
  for (const { i, j, r } of pairs) {
    strength[i]! += r * r;
    strength[j]! += r * r;
  }
  const linked = Array.from(strength.keys()).filter((i) => strength[i]! > 0).sort((a, b) => strength[b]! - strength[a]! || a - b).slice(0, MOST_LINKED);
  const at = new Map(linked.map((i, row) => [i, row]));
  const n = linked.length;
  const matrix = new Float64Array(n * n);
  const shares = new Float64Array(n);
  for (const { i, j, r } of pairs) {
    const [a, b] = [at.get(i), at.get(j)];
    if (a === undefined || b === undefined) continue;
    matrix[a * n + b] = matrix[b * n + a] = r;
    shares[a] = Math.max(shares[a]!, Math.abs(r));
    shares[b] = Math.max(shares[b]!, Math.abs(r));
  }
  let found = none;
  for (let round = 0; round < ROUNDS; round++) {
    // Raised by 1 so that the largest values are the largest in size too.
    for (let i = 0; i < n; i++) matrix[i * (n + 1)] = shares[i]! + 1;
    const { values, vectors } = leadingEigen(matrix, n, Math.min(most, n));
    const links = values.filter((value) => value > 1).length;
    const loadings = new Float64Array(n * links);
    for (let k = 0; k < links; k++) for (let i = 0; i < n; i++) loadings[i * links + k] = Math.sqrt(values[k]! - 1) * vectors[k * n + i]!;
    for (let i = 0; i < n; i++) shares[i] = Math.min(1, loadings.subarray(i * links, (i + 1) * links).reduce((sum, value) => sum + value * value, 0));
    found = { loadings, links };
  }
  const { links } = found;
  const all = new Float64Array(series.length * links);
  for (const [row, i] of linked.entries()) all.set(found.loadings.subarray(row * links, (row + 1) * links), i * links);
  return { loadings: all, links };
}

function correlatedPairs(series: readonly Float64Array[], least: number): { readonly i: number; readonly j: number; readonly r: number }[] {
  const pairs: { i: number; j: number; r: number }[] = [];
  pairProducts(series, series[0]?.length ?? 0, (i, j, r) => void (i !== j && Math.abs(r) > least && pairs.push({ i, j, r })));
  return pairs;
}
