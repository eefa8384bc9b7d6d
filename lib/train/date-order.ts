import { below, randomBits } from "../metrics/random.js";

/** The date batches of one epoch: step i covers `dates[offsets[i] .. offsets[i + 1]]`. */
export interface DateOrder {
  /** Indices of panel dates. */
  readonly dates: Int32Array;
  /** [steps + 1] */
  readonly offsets: Int32Array;
}

/**
 * The order in which an epoch sees the training dates. It depends on nothing but (seed, epoch), so a resumed run repeats it.
 * Dates are shuffled, then cut into steps; with `consecutive` (the turnover term) they are cut first and the blocks are shuffled.
 * The last step may have fewer dates.
 *
 * @param dates indices of the training dates, ascending
 * @param epoch from 1
 */
export function dateOrder(dates: Int32Array, options: { seed: number; epoch: number; datesPerStep: number; consecutive: boolean }): DateOrder {
  const { seed, epoch, datesPerStep, consecutive } = options;
  const random = randomBits(seed, epoch);
  const blockSize = consecutive ? datesPerStep : 1;
  const blocks = Array.from({ length: Math.ceil(dates.length / blockSize) }, (_, i) => dates.subarray(i * blockSize, (i + 1) * blockSize));
  for (let i = blocks.length - 1; i > 0; i--) {
    const j = below(random, i + 1);
    [blocks[i], blocks[j]] = [blocks[j]!, blocks[i]!];
  }
  const ordered = new Int32Array(dates.length);
  const ends = [0];
  let at = 0;
  for (const [i, block] of blocks.entries()) {
    ordered.set(block, at);
    at += block.length;
    if (consecutive || (i + 1) % datesPerStep === 0 || i + 1 === blocks.length) ends.push(at);
  }
  return { dates: ordered, offsets: Int32Array.from(ends) };
}

/** Steps of an epoch. */
export function stepsPerEpoch(dates: number, datesPerStep: number): number {
  return Math.ceil(dates / datesPerStep);
}
