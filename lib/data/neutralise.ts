import { pairProducts } from "./pair-products.js";

/** A pivot below this share of the largest leaves its column out: it is a combination of the others. */
const DEPENDENT = 1e-10;
/** A residual below this share of the values' own variation is rounding and counts as 0. */
const EXPLAINED = 1e-20;

/**
 * Residuals of cross-sectional least squares on an intercept (one per group, where there are groups) and exposures. Buffers are kept
 * between dates.
 */
export class Neutraliser {
  readonly #columns: Float64Array[];
  readonly #gram: Float64Array;
  readonly #sums: Float64Array;
  readonly #sizes: Int32Array;

  /** `groups`: how many there are; 0 for none. */
  constructor(stocks: number, exposures: number, groups = 0) {
    this.#columns = Array.from({ length: exposures }, () => new Float64Array(stocks));
    this.#gram = new Float64Array(exposures * exposures);
    this.#sums = new Float64Array(groups + 1);
    this.#sizes = new Int32Array(groups + 1);
  }

  /**
   * Replaces the first `count` of `values` by their residuals, and by zeros where the exposures explain them whole. A missing (NaN) exposure
   * counts as the mean of its column over the stocks in hand. Returns how many were missing, and how many columns and intercepts the fit had.
   *
   * @param exposures [exposures, stocks], of which stock i of `values` is `stock[i]`
   * @param groups group of each stock, from 0 to the number of groups - 1; -1 for stocks that have one intercept together
   */
  residuals(values: Float64Array, count: number, exposures: { readonly matrix: Float32Array | Float64Array; readonly stocks: number; readonly stock: Int32Array }, groups?: Int32Array): { filled: number; rank: number; intercepts: number } {
    const { matrix, stocks, stock } = exposures;
    const total = this.#centre(values, count, groups);
    let intercepts = 0;
    for (const size of this.#sizes) if (size > 0) intercepts++;
    let filled = 0;
    const used: Float64Array[] = [];
    for (const [k, column] of this.#columns.entries()) {
      let sum = 0;
      let squares = 0;
      let missing = 0;
      for (let i = 0; i < count; i++) {
        const value = matrix[k * stocks + stock[i]!]!;
        column[i] = value;
        if (Number.isNaN(value)) missing++;
        else {
          sum += value;
          squares += value * value;
        }
      }
      if (missing > 0) {
        const mean = missing === count ? 0 : sum / (count - missing);
        for (let i = 0; i < count; i++) if (Number.isNaN(column[i]!)) column[i] = mean;
        filled += missing;
      }
      const left = this.#centre(column, count, groups);
      if (left > squares * 1e-24) used.push(column);
    }
    const rank = this.#project(values, count, used);
    let left = 0;
    for (let i = 0; i < count; i++) left += values[i]! ** 2;
    if (!(left > total * EXPLAINED)) values.fill(0, 0, count);
    return { filled, rank, intercepts };
  }

  /** Takes the mean, or each group's mean, off and returns the sum of squares that is left. */
  #centre(values: Float64Array, count: number, groups: Int32Array | undefined): number {
    const [sums, sizes] = [this.#sums.fill(0), this.#sizes.fill(0)];
    const others = sums.length - 1;
    let isConstant = true;
    for (let i = 0; i < count; i++) {
      const group = groups === undefined || groups[i]! < 0 ? others : groups[i]!;
      sums[group]! += values[i]!;
      sizes[group]!++;
      if (values[i] !== values[0]) isConstant = false;
    }
    // A mean of equal numbers need not equal them.
    if (isConstant) {
      values.fill(0, 0, count);
      return 0;
    }
    for (let g = 0; g <= others; g++) sums[g]! /= Math.max(1, sizes[g]!);
    let square = 0;
    for (let i = 0; i < count; i++) {
      const value = values[i]! - sums[groups === undefined || groups[i]! < 0 ? others : groups[i]!]!;
      values[i] = value;
      square += value * value;
    }
    return square;
  }

  /** Takes the projection on the columns off: Cholesky with pivoting of their correlations, and once more for what rounding left. */
  #project(values: Float64Array, count: number, columns: readonly Float64Array[]): number {
    const size = columns.length;
    const gram = this.#gram;
    pairProducts(columns, count, (a, b, product) => void (gram[a * size + b] = gram[b * size + a] = product));
    const length = Float64Array.from(columns, (_, a) => Math.sqrt(gram[a * (size + 1)]!));
    for (let a = 0; a < size; a++) for (let b = 0; b < size; b++) gram[a * size + b]! /= length[a]! * length[b]!;
    const { order, rank } = pivotedCholesky(gram, size);
    const x = new Float64Array(rank);
    for (let pass = 0; pass < 2; pass++) {
      for (let a = 0; a < rank; a++) {
        const column = order[a]!;
        let sum = dot(columns[column]!, values, count) / length[column]!;
        for (let b = 0; b < a; b++) sum -= gram[column * size + order[b]!]! * x[b]!;
        x[a] = sum / gram[column * (size + 1)]!;
      }
      for (let a = rank - 1; a >= 0; a--) {
        const column = order[a]!;
        for (let b = a + 1; b < rank; b++) x[a]! -= gram[order[b]! * size + column]! * x[b]!;
        x[a]! /= gram[column * (size + 1)]!;
        const slope = x[a]! / length[column]!;
        const exposure = columns[column]!;
        for (let i = 0; i < count; i++) values[i]! -= slope * exposure[i]!;
      }
    }
    return rank;
  }
}

function dot(a: Float64Array, b: Float64Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Cholesky factor in place, column by column, largest pivot first: entry (order[a], order[b]) for b <= a. Stops where what is left depends on what was taken. */
function pivotedCholesky(matrix: Float64Array, size: number): { order: Int32Array; rank: number } {
  const order = Int32Array.from({ length: size }, (_, i) => i);
  for (let a = 0; a < size; a++) {
    let best = a;
    for (let b = a + 1; b < size; b++) if (matrix[order[b]! * (size + 1)]! > matrix[order[best]! * (size + 1)]!) best = b;
    [order[a], order[best]] = [order[best]!, order[a]!];
    const p = order[a]!;
    if (!(matrix[p * (size + 1)]! > DEPENDENT)) return { order, rank: a };
    const pivot = (matrix[p * (size + 1)] = Math.sqrt(matrix[p * (size + 1)]!));
    for (let b = a + 1; b < size; b++) matrix[order[b]! * size + p]! /= pivot;
    for (let b = a + 1; b < size; b++) {
      const row = order[b]!;
      for (let c = a + 1; c <= b; c++) {
        const value = matrix[row * size + order[c]!]! - matrix[row * size + p]! * matrix[order[c]! * size + p]!;
        matrix[row * size + order[c]!] = matrix[order[c]! * size + row] = value;
      }
    }
  }
  return { order, rank: size };
}
