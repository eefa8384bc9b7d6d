import { symmetricEigen } from "../metrics/dense.js";
import type { DateFactors } from "./run-factors.js";

/**
 * Principal axes of M over the dates that a model learned from: directions in which exposures differ most between stocks of a date. Exposures to them are what
 * M is, but for a rotation and the directions left out; a model that was trained again and whose M is rotated has the same axes.
 */
export class Axes {
  readonly #vectors: Float64Array;
  readonly #inputs: number;
  readonly count: number;

  /** Of M of some dates; at most `count` of them, and none in which M does not vary. */
  static async fit(dates: AsyncIterable<DateFactors>, K: number, count: number): Promise<Axes> {
    const sums = new Float64Array(K * K);
    const mean = new Float64Array(K);
    for await (const { tickers: { length: N }, values } of dates) {
      mean.fill(0);
      for (let i = 0; i < N; i++) for (let k = 0; k < K; k++) mean[k]! += values[i * K + k]! / N;
      for (let i = 0; i < N; i++) {
        for (let a = 0; a < K; a++) {
          const x = values[i * K + a]! - mean[a]!;
          for (let b = 0; b <= a; b++) sums[a * K + b]! += x * (values[i * K + b]! - mean[b]!);
        }
      }
    }
    for (let a = 0; a < K; a++) for (let b = 0; b < a; b++) sums[b * K + a] = sums[a * K + b]!;
    const { values, vectors } = symmetricEigen(sums, K);
    const there = values.filter((value) => value > values[0]! * 1e-8).length;
    return new Axes(vectors, K, Math.min(count, there));
  }

  private constructor(vectors: Float64Array, inputs: number, count: number) {
    [this.#vectors, this.#inputs, this.count] = [vectors, inputs, count];
  }

  /** [stocks, count] of M [stocks, K]. */
  project(values: Float32Array): Float64Array {
    const [K, count] = [this.#inputs, this.count];
    const N = values.length / K;
    const out = new Float64Array(N * count);
    for (let i = 0; i < N; i++) {
      for (let c = 0; c < count; c++) {
        let sum = 0;
        for (let k = 0; k < K; k++) sum += values[i * K + k]! * this.#vectors[c * K + k]!;
        out[i * count + c] = sum;
      }
    }
    return out;
  }
}
