import { readerOf } from "../data/pack/reader.js";
import type { Dataset } from "../data/types.js";
import type { DateOrder } from "./date-order.js";

/** Lets the system fetch the chunk of dates that comes next and give back the one before, as an epoch goes through features that lie in a file. */
export class ChunkedReading {
  readonly #reader: ReturnType<typeof readerOf>;
  readonly #window: number;
  readonly #dates: number;
  /** Chunks in the order of the epoch, and the step with which each begins. */
  readonly #chunks: { chunk: number; step: number }[] = [];
  #at = -1;

  constructor(dataset: Dataset, { dates, offsets }: DateOrder) {
    this.#reader = readerOf(dataset);
    this.#window = dataset.window;
    this.#dates = dataset.dates.length;
    if (this.#reader === undefined) return;
    for (let step = 0; step + 1 < offsets.length; step++) {
      for (const t of dates.subarray(offsets[step]!, offsets[step + 1]!)) {
        const chunk = Math.floor(t / this.#reader.chunkDates);
        if (this.#chunks.at(-1)?.chunk !== chunk) this.#chunks.push({ chunk, step });
      }
    }
  }

  /** To be called before step `step` of the epoch, from 0, and as steps are done. */
  reach(step: number): void {
    while (this.#at + 1 < this.#chunks.length && this.#chunks[this.#at + 1]!.step <= step) {
      this.#at++;
      if (this.#at > 0) this.#tell("release", this.#chunks[this.#at - 1]!.chunk);
      for (const next of this.#chunks.slice(this.#at, this.#at + 2)) this.#tell("expect", next.chunk);
    }
  }

  /** After the epoch. */
  end(): void {
    this.#reader?.release(0, this.#dates);
  }

  /** The chunk with what the windows of its first dates reach back for. */
  #tell(what: "expect" | "release", chunk: number): void {
    const { chunkDates } = this.#reader!;
    this.#reader![what](Math.max(0, chunk * chunkDates - this.#window + 1), Math.min(this.#dates, (chunk + 1) * chunkDates));
  }
}
