/**
 * Ranks of `values` from 1, equal values sharing the average of the ranks they take: what Spearman and every percentile here use.
 * `values` must be free of NaN. -0 equals 0.
 *
 * @example
 * averageTieRanks(Float64Array.of(10, 30, 10)); // 1.5, 3, 1.5
 */
export function averageTieRanks(values: Float64Array): Float64Array {
  const ranks = new Float64Array(values.length);
  new RankSorter(values.length).ranks(values, values.length, ranks);
  return ranks;
}

/**
 * Inverse of the standard normal distribution function for 0 < p < 1 (Wichura 1988, algorithm AS 241, PPND16: relative error about 1e-16);
 * -Infinity at 0, Infinity at 1, NaN outside.
 */
export function normalQuantile(p: number): number {
  if (!(p >= 0 && p <= 1)) return NaN;
  if (p === 0) return -Infinity;
  if (p === 1) return Infinity;
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) return q * ratio(CENTRE, 0.180625 - q * q);
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  const tail = r <= 5 ? ratio(MIDDLE, r - 1.6) : ratio(FAR, r - 5);
  return q < 0 ? -tail : tail;
}

type Rational = readonly [numerator: readonly number[], denominator: readonly number[]];

function ratio([numerator, denominator]: Rational, x: number): number {
  return numerator.reduceRight((sum, c) => sum * x + c, 0) / denominator.reduceRight((sum, c) => sum * x + c, 0);
}

const CENTRE: Rational = [
  [3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125, 45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727],
  [1, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077, 21213.794301586595867, 39307.89580009271061, 28729.085735721942674, 5226.495278852545925],
];
const MIDDLE: Rational = [
  [1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504, 1.27045825245236838258, 0.24178072517745061177, 0.0227238449892691845833, 7.7454501427834140764e-4],
  [1, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455, 0.14810397642748007459, 0.0151986665636164571966, 5.475938084995344946e-4, 1.05075007164441684324e-9],
];
const FAR: Rational = [
  [6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 0.29656057182850489123, 0.026532189526576123093, 0.0012426609473880784386, 2.71155556874348757815e-5, 2.01033439929228813265e-7],
  [1, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148508, 7.868691311456132591e-4, 1.8463183175100546818e-5, 1.4215117583164458887e-7, 2.04426310338993978564e-15],
];

const BUCKETS = 1 << 11;
/** Index of a number's upper 32 bits: 1 on little-endian machines. */
const UPPER_WORD = new Uint8Array(Uint32Array.of(1).buffer)[0]!;
/** Runs of near-equal values up to this length are put in order by insertion. */
const SHORT_RUN = 24;

/**
 * Average-tie ranks with buffers that are kept between calls: a panel needs one ranking per date and feature.
 * Radix sort over the upper 32 bits of the numbers (typed arrays sort values natively, but not indices), then an exact sort within each run of equal upper bits.
 */
export class RankSorter {
  readonly #number = new Float64Array(1);
  readonly #words = new Uint32Array(this.#number.buffer);
  readonly #counts = new Uint32Array(3 * BUCKETS);
  readonly #key: Uint32Array;
  #order: Uint32Array;
  #other: Uint32Array;

  /** `capacity`: the most values one call ranks. */
  constructor(capacity: number) {
    this.#key = new Uint32Array(capacity);
    this.#order = new Uint32Array(capacity);
    this.#other = new Uint32Array(capacity);
  }

  /** Writes the ranks of the first `count` of `values` to `ranks`. */
  ranks(values: Float64Array, count: number, ranks: Float64Array): void {
    const order = this.order(values, count);
    for (let first = 0; first < count; ) {
      const value = values[order[first]!]!;
      let end = first + 1;
      while (end < count && values[order[end]!] === value) end++;
      const rank = (first + 1 + end) / 2;
      for (let i = first; i < end; i++) ranks[order[i]!] = rank;
      first = end;
    }
  }

  /** Indices of the first `count` values in ascending order, equal values in the order of their indices; valid until the next call. */
  order(values: Float64Array, count: number): Uint32Array {
    const key = this.#key;
    const counts = this.#counts.fill(0);
    const number = this.#number;
    const words = this.#words;
    for (let i = 0; i < count; i++) {
      // + 0 turns -0 into 0. Flipping the sign of positive numbers and all bits of negative ones makes unsigned order numeric order.
      number[0] = values[i]! + 0;
      const high = words[UPPER_WORD]!;
      const k = (high & 0x80000000) !== 0 ? ~high >>> 0 : (high | 0x80000000) >>> 0;
      key[i] = k;
      counts[k & 0x7ff]!++;
      counts[BUCKETS + ((k >>> 11) & 0x7ff)]!++;
      counts[2 * BUCKETS + (k >>> 22)]!++;
    }
    let order = this.#order;
    let other = this.#other;
    for (let i = 0; i < count; i++) order[i] = i;
    for (let pass = 0; pass < 3; pass++) {
      const base = pass * BUCKETS;
      const shift = pass * 11;
      for (let bucket = base, start = 0; bucket < base + BUCKETS; bucket++) {
        const size = counts[bucket]!;
        counts[bucket] = start;
        start += size;
      }
      for (let i = 0; i < count; i++) {
        const index = order[i]!;
        other[counts[base + ((key[index]! >>> shift) & 0x7ff)]!++] = index;
      }
      [order, other] = [other, order];
    }
    [this.#order, this.#other] = [order, other];
    for (let first = 0; first < count; ) {
      const k = key[order[first]!];
      let end = first + 1;
      while (end < count && key[order[end]!] === k) end++;
      if (end - first > 1) sortRun(order, first, end, values);
      first = end;
    }
    return order;
  }
}

function sortRun(order: Uint32Array, first: number, end: number, values: Float64Array): void {
  let isSorted = true;
  for (let i = first + 1; i < end && isSorted; i++) isSorted = values[order[i - 1]!]! <= values[order[i]!]!;
  if (isSorted) return;
  if (end - first > SHORT_RUN) {
    order.subarray(first, end).sort((a, b) => values[a]! - values[b]!);
    return;
  }
  for (let i = first + 1; i < end; i++) {
    const index = order[i]!;
    let j = i;
    for (; j > first && values[order[j - 1]!]! > values[index]!; j--) order[j] = order[j - 1]!;
    order[j] = index;
  }
}
