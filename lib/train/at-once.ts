import { deviceBytes } from "./memory.js";

/** How many trainings run at once, and the compute threads of each. */
export interface Shares {
  readonly atOnce: number;
  readonly threads: number;
}

/** What one of them takes. */
interface Demand {
  /** Estimate at its peak. */
  readonly memoryBytes: number;
  /** Where it computes: "cpu", "cuda:0" ... */
  readonly device: string;
  /** Whether it reads from a file, of which it keeps only a part in memory. */
  readonly isInFile: boolean;
}

/**
 * Parts of the threads for `count` trainings that do not depend on each other. Unless told otherwise as many run at once as there are threads and as take half of the memory together;
 * on a GPU, and from a file that each reads in an order of its own, one after the other.
 */
export function sharesOf(count: number, { atOnce, threads }: { readonly atOnce?: number | undefined; readonly threads: number }, { memoryBytes, device, isInFile }: Demand): Shares {
  const inMemory = device !== "cpu" || isInFile ? 1 : Math.max(1, Math.floor((0.5 * deviceBytes(device)) / memoryBytes));
  const many = Math.min(count, atOnce ?? Math.min(threads, inMemory));
  return { atOnce: many, threads: Math.max(1, Math.floor(threads / many)) };
}

/**
 * Calls `body` for each item in order, so many at a time. Where one fails no other begins, those in hand are stopped by the signal that they were given, and
 * once all have ended the first failure is thrown.
 */
export async function eachAtOnce<I, R>(items: readonly I[], atOnce: number, signal: AbortSignal | undefined, body: (item: I, signal: AbortSignal) => Promise<R>): Promise<R[]> {
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const results: R[] = [];
  let next = 0;
  let failure: { error: unknown } | undefined;
  const work = async (): Promise<void> => {
    while (failure === undefined && next < items.length) {
      const at = next++;
      try {
        results[at] = await body(items[at]!, either);
      } catch (error) {
        failure ??= { error };
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, work));
  if (failure !== undefined) throw failure.error;
  return results;
}
