import { below, randomBits, type RandomBits } from "../metrics/random.js";

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
 * The last step may have fewer dates. With `chunkDates` the chunks of so many panel dates are shuffled, and what begins in a chunk within it: of features in a
 * file two chunks at most are read at a time.
 *
 * @param dates indices of the training dates, ascending
 * @param epoch from 1
 */
export function dateOrder(dates: Int32Array, options: { seed: number; epoch: number; datesPerStep: number; consecutive: boolean; chunkDates?: number | undefined }): DateOrder {
  const { seed, epoch, datesPerStep, consecutive, chunkDates = Infinity } = options;
  const random = randomBits(seed, epoch);
  const blockSize = consecutive ? datesPerStep : 1;
  const chunks = new Map<number, Int32Array[]>();
  for (let at = 0; at < dates.length; at += blockSize) {
    const block = dates.subarray(at, at + blockSize);
    const chunk = Math.floor(block[0]! / chunkDates);
    const others = chunks.get(chunk);
    if (others === undefined) chunks.set(chunk, [block]);
    else others.push(block);
  }
  const blocks = shuffled([...chunks.values()], random).flatMap((chunk) => shuffled(chunk, random));
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

/** In place. */
function shuffled<T>(items: T[], random: RandomBits): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = below(random, i + 1);
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}

/** Steps of an epoch. */
export function stepsPerEpoch(dates: number, datesPerStep: number): number {
  return Math.ceil(dates / datesPerStep);
}
