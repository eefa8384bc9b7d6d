import { constants } from "node:buffer";
import { loadTables } from "../binding/load.js";
import { AstgnnError } from "../errors.js";

/** What indices of 32 bits count. */
const MOST_CELLS = 2 ** 31 - 1;

/** What a panel is that the machine has no room for, or no index. */
export function tooLarge(dates: number, stocks: number, columns: number, cause?: unknown): AstgnnError {
  return new AstgnnError("ERR_OUT_OF_MEMORY", `A panel of ${dates} dates x ${stocks} stocks x ${columns} columns does not fit into memory.`, { cause, next: "Read fewer columns or a shorter date range." });
}

/** @throws AstgnnError ERR_OUT_OF_MEMORY where the grid has more cells than there are indices */
export function refuseTooManyCells(dates: number, stocks: number, columns: number): void {
  if (dates * stocks > MOST_CELLS) throw tooLarge(dates, stocks, columns);
}

/** The most memory that a process takes more than before while pages of scratch files are given back. */
const BUDGET = 256 * 2 ** 20;
const EVERY_MS = 50;

/**
 * Memory with whatever it held, for the core to write all over: zeroing what has not been used yet would hold up the event loop.
 *
 * @param scratch folder of a file that it lies in: undefined, in memory
 * @throws AstgnnError ERR_DATA where the folder takes no file of that size
 */
export function gridMemory(bytes: number, scratch: string | undefined): ArrayBuffer {
  if (scratch === undefined) return bytes <= constants.MAX_LENGTH ? Buffer.allocUnsafeSlow(bytes).buffer : new ArrayBuffer(bytes);
  try {
    return loadTables().scratch(scratch, bytes);
  } catch (cause) {
    throw new AstgnnError("ERR_DATA", cause instanceof Error ? cause.message : String(cause), { file: scratch, option: "scratch", cause, next: "Make room there, or name a folder on a disk with more space." });
  }
}

/** Keeps the pages of scratch files that lie in memory few for as long as it is held: what is given back is read again where it is needed. */
export function keepFew(scratch: string | undefined, release: () => void = () => loadTables().releaseScratch()): Disposable {
  if (scratch === undefined) return { [Symbol.dispose]: () => undefined };
  const most = process.memoryUsage.rss() + BUDGET;
  const timer = setInterval(() => { if (process.memoryUsage.rss() > most) release(); }, EVERY_MS).unref();
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      release();
    },
  };
}
