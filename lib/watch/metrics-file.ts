import { open, type FileHandle } from "node:fs/promises";

/** One epoch as the page shows it; null where a number is not known, or was not finite. */
export interface EpochPoint {
  readonly epoch: number;
  readonly trainLoss: number | null;
  readonly validLoss: number | null;
  /** Of the loss's term on training dates, with dropout and the weights of each step; null for losses without an IC. */
  readonly trainIc: number | null;
  readonly validIc: number | null;
  readonly rankIc: number | null;
  readonly peerCorrelation: number | null;
  readonly effectiveNeighbours: number | null;
  readonly seconds: number | null;
  readonly isBest: boolean;
}

const CHUNK = 1 << 16;
/** A line is about 1.5 kB: what is longer is none of ours. */
const LONGEST_LINE = 1 << 20;
/** Epochs that are kept; of a longer run the newest. */
const MOST_EPOCHS = 5000;

/**
 * A metrics.jsonl that another process writes: each look reads what was appended since the last one. A last line without its end waits for it; a file that was
 * replaced or became shorter, as a resume does, is read anew.
 */
export class MetricsFile {
  readonly #path: string;
  readonly #epochs = new Map<number, EpochPoint>();
  #inode = 0;
  #offset = 0;
  #rest = Buffer.alloc(0);
  /** When the last line was written, in milliseconds since 1970; undefined where there is no file. */
  modified: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Epochs by number, with what was appended since the last look; empty where there is no file. */
  async read(): Promise<EpochPoint[]> {
    const file = await open(this.#path, "r").catch(() => undefined);
    if (file === undefined) {
      this.#forget();
      this.modified = undefined;
      return [];
    }
    try {
      await this.#readFrom(file);
    } finally {
      await file.close();
    }
    return [...this.#epochs.values()].sort((a, b) => a.epoch - b.epoch);
  }

  async #readFrom(file: FileHandle): Promise<void> {
    const { ino, size, mtimeMs } = await file.stat();
    if (ino !== this.#inode || size < this.#offset) this.#forget();
    this.#inode = ino;
    this.modified = mtimeMs;
    const chunk = Buffer.alloc(CHUNK);
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, CHUNK, this.#offset);
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      this.#take(Buffer.concat([this.#rest, chunk.subarray(0, bytesRead)]));
    }
  }

  #take(bytes: Buffer): void {
    const end = bytes.lastIndexOf(0x0a);
    for (const line of bytes.toString("utf8", 0, Math.max(0, end)).split("\n")) this.#addLine(line);
    const rest = bytes.subarray(end + 1);
    this.#rest = rest.length > LONGEST_LINE ? Buffer.alloc(0) : Buffer.from(rest);
  }

  #addLine(line: string): void {
    const point = pointOf(line);
    if (point === undefined) return;
    this.#epochs.set(point.epoch, point);
    if (this.#epochs.size > MOST_EPOCHS) this.#epochs.delete(Math.min(...this.#epochs.keys()));
  }

  #forget(): void {
    this.#epochs.clear();
    [this.#inode, this.#offset, this.#rest] = [0, 0, Buffer.alloc(0)];
  }
}

/** What a line says; undefined where it is no epoch. */
function pointOf(line: string): EpochPoint | undefined {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch {
    return undefined;
  }
  const epoch = at(event, "epoch");
  if (epoch === null || !Number.isInteger(epoch) || epoch < 1) return undefined;
  const ic = at(event, "train", "terms", "ic");
  return {
    epoch,
    trainLoss: at(event, "train", "loss"),
    validLoss: at(event, "valid", "loss"),
    trainIc: ic === null ? null : -ic,
    validIc: at(event, "valid", "ic"),
    rankIc: at(event, "valid", "rankIc"),
    peerCorrelation: at(event, "valid", "peerCorrelation"),
    effectiveNeighbours: at(event, "valid", "effectiveNeighbours"),
    seconds: at(event, "seconds"),
    isBest: (event as { isBest?: unknown }).isBest === true,
  };
}

function at(value: unknown, ...keys: string[]): number | null {
  let found = value;
  for (const key of keys) found = typeof found === "object" && found !== null ? (found as Record<string, unknown>)[key] : undefined;
  return typeof found === "number" && Number.isFinite(found) ? found : null;
}
