import { cholesky, solveCholesky } from "../../metrics/dense.js";

/** Sums over rows that every ridge regression on them is solved from: features standardised, targets centred, all in double precision. */
export interface RidgeSums {
  readonly rows: number;
  readonly mean: Float64Array;
  /** Population standard deviation; 1 for a constant feature, whose coefficient then is 0. */
  readonly sd: Float64Array;
  readonly targetMean: number;
  /** X'X / rows, [F, F]. */
  readonly gram: Float64Array;
  /** X'y / rows, [F]. */
  readonly moment: Float64Array;
}

/** Rows of features and their targets: `row(i, out)` writes the F features of row i and returns its target. */
export interface RidgeRows {
  readonly rows: number;
  readonly features: number;
  row(i: number, out: Float64Array): number;
}

/** Two passes: means and deviations first, so that no large sums cancel. */
export function ridgeSums({ rows, features: F, row }: RidgeRows): RidgeSums {
  const x = new Float64Array(F);
  const [mean, sd, moment, gram] = [new Float64Array(F), new Float64Array(F), new Float64Array(F), new Float64Array(F * F)];
  const [first, isConstant] = [new Float64Array(F), new Uint8Array(F).fill(1)];
  let targetMean = 0;
  for (let i = 0; i < rows; i++) {
    targetMean += row(i, x);
    if (i === 0) first.set(x);
    for (let f = 0; f < F; f++) {
      mean[f]! += x[f]!;
      if (x[f] !== first[f]) isConstant[f] = 0;
    }
  }
  targetMean /= rows;
  // A mean of equal numbers need not equal them: what is left of a constant would be rounding, standardised.
  for (let f = 0; f < F; f++) mean[f] = isConstant[f] === 1 ? first[f]! : mean[f]! / rows;
  for (let i = 0; i < rows; i++) {
    const y = row(i, x) - targetMean;
    for (let f = 0; f < F; f++) x[f]! -= mean[f]!;
    for (let f = 0; f < F; f++) {
      moment[f]! += (x[f]! * y) / rows;
      const scaled = x[f]! / rows;
      for (let g = 0; g <= f; g++) gram[f * F + g]! += scaled * x[g]!;
    }
  }
  for (let f = 0; f < F; f++) sd[f] = Math.sqrt(gram[f * F + f]!) || 1;
  for (let f = 0; f < F; f++) {
    moment[f]! /= sd[f]!;
    for (let g = 0; g <= f; g++) gram[g * F + f] = gram[f * F + g] = gram[f * F + g]! / (sd[f]! * sd[g]!);
  }
  return { rows, mean, sd, targetMean, gram, moment };
}

/**
 * Coefficients of the features as they are: the minimum over b of |y - X b|^2 / rows + lambda |b|^2 for standardised X, divided by the standard deviations. The
 * intercept is left out: it orders no stocks.
 *
 * @param lambda above 0
 */
export function ridgeCoefficients({ sd, gram, moment }: RidgeSums, lambda: number): Float64Array {
  const F = moment.length;
  const factor = gram.slice();
  for (let f = 0; f < F; f++) factor[f * F + f]! += lambda;
  cholesky(factor, F);
  const b = moment.slice();
  solveCholesky(factor, F, b);
  return b.map((value, f) => value / sd[f]!);
}
