/** A variance below this share of the one without lags is the accident of missing pairs. */
const LEAST_SHARE = 0.1;

/**
 * Exponentially weighted Newey-West variances of many series at once, kept as sums that a new date extends: {@link DecayedMoments} without what is off the diagonal,
 * and with missing (NaN) values. A date decays every weight, whether the series has a value or not; a lag counts where both values are there.
 */
export class DecayedVariances {
  readonly lags: number;
  readonly #decay: number;
  readonly #isCentred: boolean;
  /** Per lag, [size]: sums of w, w x, w x_(t-d), w x x_(t-d). */
  #weights: Float64Array[];
  #leading: Float64Array[];
  #trailing: Float64Array[];
  #products: Float64Array[];
  readonly #recent: Float64Array[] = [];
  #size: number;

  /**
   * @param halfLife in dates, Infinity for equal weights
   * @param isCentred whether the weighted mean is taken off; else the values are deviations already
   */
  constructor(size: number, halfLife: number, lags: number, isCentred: boolean) {
    this.#size = size;
    this.lags = lags;
    this.#decay = 2 ** (-1 / halfLife);
    this.#isCentred = isCentred;
    const sums = (): Float64Array[] => Array.from({ length: lags + 1 }, () => new Float64Array(size));
    [this.#weights, this.#leading, this.#trailing, this.#products] = [sums(), sums(), sums(), sums()];
  }

  get size(): number {
    return this.#size;
  }

  /** Adds series without values so far, up to `size`. */
  grow(size: number): void {
    const longer = (sums: Float64Array[]): Float64Array[] => sums.map((values) => resized(values, size, 0));
    [this.#weights, this.#leading, this.#trailing, this.#products] = [longer(this.#weights), longer(this.#leading), longer(this.#trailing), longer(this.#products)];
    for (const [d, values] of this.#recent.entries()) this.#recent[d] = resized(values, size, NaN);
    this.#size = size;
  }

  update(values: Float64Array): void {
    const [n, decay] = [this.#size, this.#decay];
    const dropped = this.#recent.length > this.lags ? this.#recent.pop()! : new Float64Array(n);
    dropped.set(values);
    this.#recent.unshift(dropped);
    for (let d = 0; d <= this.lags; d++) {
      const before = this.#recent[d];
      const [weights, leading, trailing, products] = [this.#weights[d]!, this.#leading[d]!, this.#trailing[d]!, this.#products[d]!];
      for (let i = 0; i < n; i++) {
        const [x, y] = [values[i]!, before === undefined ? NaN : before[i]!];
        const there = x === x && y === y;
        weights[i] = decay * weights[i]! + (there ? 1 : 0);
        leading[i] = decay * leading[i]! + (there ? x : 0);
        trailing[i] = decay * trailing[i]! + (there ? y : 0);
        products[i] = decay * products[i]! + (there ? x * y : 0);
      }
    }
  }

  /** Newey-West variances, NaN for a series without values. [size] */
  variances(): Float64Array {
    const out = new Float64Array(this.#size);
    for (let i = 0; i < out.length; i++) {
      const total = this.#weights[0]![i]!;
      const mean = this.#isCentred ? this.#leading[0]![i]! / total : 0;
      let [sum, plain] = [0, 0];
      for (let d = 0; d <= this.lags; d++) {
        const gamma = (this.#decay ** (d / 2) * (this.#products[d]![i]! - mean * (this.#leading[d]![i]! + this.#trailing[d]![i]!) + this.#weights[d]![i]! * mean * mean)) / total;
        if (d === 0) sum = plain = gamma;
        else sum += 2 * (1 - d / (this.lags + 1)) * gamma;
      }
      out[i] = Math.max(sum, LEAST_SHARE * plain);
    }
    return out;
  }

  /** Every sum and the newest values, for {@link restore}: [4 (lags + 1) + lags + 1, size]. */
  state(): Float64Array {
    const rows = [...this.#weights, ...this.#leading, ...this.#trailing, ...this.#products];
    for (let d = 0; d <= this.lags; d++) rows.push(this.#recent[d] ?? new Float64Array(this.#size).fill(NaN));
    const out = new Float64Array(rows.length * this.#size);
    for (const [k, row] of rows.entries()) out.set(row, k * this.#size);
    return out;
  }

  restore(state: Float64Array): void {
    const size = state.length / (5 * (this.lags + 1));
    this.grow(size);
    let at = 0;
    const next = (): Float64Array => state.slice(at, (at += size));
    const read = (): Float64Array[] => Array.from({ length: this.lags + 1 }, next);
    [this.#weights, this.#leading, this.#trailing, this.#products] = [read(), read(), read(), read()];
    this.#recent.splice(0, Infinity, ...read());
  }
}

function resized(values: Float64Array, size: number, fill: number): Float64Array {
  const out = new Float64Array(size).fill(fill);
  out.set(values.subarray(0, size));
  return out;
}
