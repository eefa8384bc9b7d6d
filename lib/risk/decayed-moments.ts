/**
 * Exponentially weighted autocovariances of a series of vectors, kept as sums that a new vector extends: a day costs K^2 (lags + 1) operations however
 * long the history is. Weights are w_t = 2^(-(T - t) / half-life); Gamma_d = sum sqrt(w_t w_(t-d)) (f_t - mean) (f_(t-d) - mean)' / sum w_t. With these
 * weights the Newey-West sum is positive semidefinite; weighted by w_t alone it need not be.
 */
export class DecayedMoments {
  readonly size: number;
  readonly lags: number;
  readonly #decay: number;
  /** Per lag d = 0 ... lags: sum of w_t f_t f_(t-d)' over t > d. */
  readonly #products: Float64Array[];
  /** Per lag: sums of w_t, w_t f_t, w_t f_(t-d). */
  readonly #weights: Float64Array;
  readonly #leading: Float64Array[];
  readonly #trailing: Float64Array[];
  /** The newest vectors, newest first. */
  readonly #recent: Float64Array[] = [];
  #count = 0;

  /** `halfLife` in dates, Infinity for equal weights. */
  constructor(size: number, halfLife: number, lags: number) {
    this.size = size;
    this.lags = lags;
    this.#decay = 2 ** (-1 / halfLife);
    const sums = (length: number): Float64Array[] => Array.from({ length: lags + 1 }, () => new Float64Array(length));
    this.#products = sums(size * size);
    this.#leading = sums(size);
    this.#trailing = sums(size);
    this.#weights = new Float64Array(lags + 1);
  }

  /** Vectors so far. */
  get count(): number {
    return this.#count;
  }

  update(vector: Float64Array): void {
    const [K, decay] = [this.size, this.#decay];
    this.#recent.unshift(Float64Array.from(vector));
    if (this.#recent.length > this.lags + 1) this.#recent.pop();
    this.#count++;
    for (let d = 0; d <= this.lags; d++) {
      const [products, leading, trailing] = [this.#products[d]!, this.#leading[d]!, this.#trailing[d]!];
      const before = this.#recent[d];
      this.#weights[d]! *= decay;
      if (before === undefined) continue;
      this.#weights[d]!++;
      for (let i = 0; i < K; i++) {
        leading[i] = decay * leading[i]! + vector[i]!;
        trailing[i] = decay * trailing[i]! + before[i]!;
        const [value, row] = [vector[i]!, i * K];
        for (let j = 0; j < K; j++) products[row + j] = decay * products[row + j]! + value * before[j]!;
      }
    }
  }

  /** Newey-West covariance [K, K] with the first `lags` of the lags (default: all), Bartlett weights 1 - d / (lags + 1). */
  covariance(lags = this.lags): Float64Array {
    const K = this.size;
    const out = new Float64Array(K * K);
    const mean = this.#leading[0]!.map((sum) => sum / this.#weights[0]!);
    for (let d = 0; d <= lags; d++) {
      const [products, leading, trailing, weight] = [this.#products[d]!, this.#leading[d]!, this.#trailing[d]!, this.#weights[d]!];
      const factor = ((1 - d / (lags + 1)) * this.#decay ** (d / 2)) / this.#weights[0]!;
      for (let i = 0; i < K; i++) {
        for (let j = 0; j < K; j++) {
          const value = factor * (products[i * K + j]! - leading[i]! * mean[j]! - mean[i]! * trailing[j]! + weight * mean[i]! * mean[j]!);
          out[i * K + j]! += value;
          if (d > 0) out[j * K + i]! += value;
        }
      }
    }
    return out;
  }

  /** Every sum and the newest vectors, for {@link restore}. */
  state(): Float64Array {
    const recent = new Float64Array((this.lags + 1) * this.size);
    for (const [d, vector] of this.#recent.entries()) recent.set(vector, d * this.size);
    return concatenated([Float64Array.of(this.#count), this.#weights, ...this.#leading, ...this.#trailing, recent, ...this.#products]);
  }

  restore(state: Float64Array): void {
    let at = 0;
    const next = (length: number): Float64Array => state.slice(at, (at += length));
    this.#count = next(1)[0]!;
    this.#weights.set(next(this.lags + 1));
    for (const sums of [...this.#leading, ...this.#trailing]) sums.set(next(this.size));
    this.#recent.length = 0;
    const recent = next((this.lags + 1) * this.size);
    for (let d = 0; d < Math.min(this.#count, this.lags + 1); d++) this.#recent.push(recent.slice(d * this.size, (d + 1) * this.size));
    for (const sums of this.#products) sums.set(next(this.size * this.size));
  }
}

function concatenated(parts: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
