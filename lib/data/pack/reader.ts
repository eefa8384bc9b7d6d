import type { Dataset } from "../types.js";

/** How a dataset whose features lie in a file is read: chunk by chunk. Dates `from` to `to - 1`. */
export interface ChunkReader {
  readonly chunkDates: number;
  /**
   * They are read soon: the system fetches them meanwhile.
   *
   * @throws AstgnnError ERR_DATA where a file was cut while it was mapped, as release does
   */
  expect(from: number, to: number): void;
  /** They are not read for long: their pages are given back. */
  release(from: number, to: number): void;
}

const readers = new WeakMap<Dataset, ChunkReader>();

/** Says how the features of a dataset are read. */
export function keepReader(dataset: Dataset, reader: ChunkReader): void {
  readers.set(dataset, reader);
}

/** Undefined where features are in memory. */
export function readerOf(dataset: Dataset): ChunkReader | undefined {
  return readers.get(dataset);
}
