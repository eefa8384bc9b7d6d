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

/** The middle value, of an even number the mean of the two in the middle; NaN for none. */
export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
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

const BITS = 11;
const BUCKETS = 1 << BITS;
const MASK = BUCKETS - 1;
/** Index of a number's upper 32 bits: 1 on little-endian machines. */
const UPPER_WORD = new Uint8Array(Uint32Array.of(1).buffer)[0]!;
/** Runs of near-equal values up to this length are put in order by insertion. */
const SHORT_RUN = 24;

/**
 * Average-tie ranks with buffers that are kept between calls: a panel needs one ranking per date and feature.
 * Radix sort in two passes over those 22 of the upper 32 bits of the numbers in which they differ most (typed arrays sort values natively, but
 * not indices), then an exact sort within each run that these bits do not tell apart.
 */
export class RankSorter {
  readonly #low = new Uint32Array(BUCKETS);
  readonly #high = new Uint32Array(BUCKETS);
  readonly #key: Uint32Array;
  readonly #order: Uint32Array;
  readonly #other: Uint32Array;
  #values: Float64Array | undefined;
  #words: Uint32Array = new Uint32Array();

  /** `capacity`: the most values one call ranks. */
  constructor(capacity: number) {
    this.#key = new Uint32Array(capacity);
    this.#order = new Uint32Array(capacity);
    this.#other = new Uint32Array(capacity);
  }

  /** Writes the ranks of the first `count` of `values` to `ranks`. */
  ranks(values: Float64Array, count: number, ranks: Float64Array): void {
    ranksByOrder(values, this.order(values, count), count, ranks);
  }

  /** Indices of the first `count` values in ascending order, equal values in the order of their indices; valid until the next call. */
  order(values: Float64Array, count: number): Uint32Array {
    const key = this.#key;
    const low = this.#low.fill(0);
    const high = this.#high.fill(0);
    const { least, shift } = this.#keys(values, count);
    for (let i = 0; i < count; i++) {
      const k = (key[i]! - least) >>> shift;
      key[i] = k;
      low[k & MASK]!++;
      high[k >>> BITS]!++;
    }
    let lowStart = 0;
    let highStart = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const lowSize = low[bucket]!;
      const highSize = high[bucket]!;
      low[bucket] = lowStart;
      high[bucket] = highStart;
      lowStart += lowSize;
      highStart += highSize;
    }
    const byLow = this.#other;
    const order = this.#order;
    for (let i = 0; i < count; i++) byLow[low[key[i]! & MASK]!++] = i;
    for (let i = 0; i < count; i++) {
      const index = byLow[i]!;
      order[high[key[index]! >>> BITS]!++] = index;
    }
    for (let first = 0; first < count; ) {
      const k = key[order[first]!];
      let end = first + 1;
      while (end < count && key[order[end]!] === k) end++;
      if (end - first > 1) sortRun(order, first, end, values);
      first = end;
    }
    return order;
  }

  /** Writes the upper 32 bits of each value so that unsigned order is numeric order; returns the least, and how many bits to leave out so that 22 tell them apart. */
  #keys(values: Float64Array, count: number): { least: number; shift: number } {
    if (this.#values !== values) {
      this.#values = values;
      this.#words = new Uint32Array(values.buffer, values.byteOffset, 2 * values.length);
    }
    const words = this.#words;
    const key = this.#key;
    let least = 0xffffffff;
    let most = 0;
    for (let i = 0; i < count; i++) {
      const word = words[2 * i + UPPER_WORD]!;
      // The sign of positive numbers is flipped, and all bits of negative ones; -0 goes with 0.
      const k = (word === 0x80000000 && words[2 * i + 1 - UPPER_WORD] === 0 ? word : word ^ ((word >> 31) | 0x80000000)) >>> 0;
      key[i] = k;
      if (k < least) least = k;
      if (k > most) most = k;
    }
    return { least, shift: Math.max(0, 32 - Math.clz32(most - least) - 2 * BITS) };
  }
}

/** Average-tie ranks from 1 of the first `count` values, whose indices in ascending order are known. */
export function ranksByOrder(values: Float32Array | Float64Array, order: Uint32Array, count: number, ranks: Float64Array): void {
  for (let first = 0; first < count; ) {
    const value = values[order[first]!]!;
    let end = first + 1;
    while (end < count && values[order[end]!] === value) end++;
    const rank = (first + 1 + end) / 2;
    for (; first < end; first++) ranks[order[first]!] = rank;
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
