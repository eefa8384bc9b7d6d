// Rows by their windows: what the core's are held to.
import type { GraphKind } from "../../lib/data/types.js";
import type { Groups } from "../../lib/data/groups.js";

/** Stocks of each date: those of date t are `stocks[offsets[t] .. offsets[t + 1]]`, ascending. */
export interface Rows {
  readonly offsets: Int32Array;
  readonly stocks: Int32Array;
}

/** Rows by their windows alone, before anybody looked at features. */
export interface Windows extends Rows {
  /** Universe cells on dates from `first` on. */
  readonly candidates: number;
  /** Of these: without a close (or a table row) on enough dates of the window, or on the last. */
  readonly incompleteWindow: number;
  /** 1 where the window of a row reads: [dates * stocks]. */
  readonly read: Uint8Array;
}

/**
 * The stocks in the universe on date t that have a close (`priced`) on t and on all but `maxMissing` of the T dates of their window.
 * Only dates from `first` on, which is T - 1 at least, have rows.
 */
export function findWindows(grid: { readonly dates: number; readonly stocks: number; readonly universe: Uint8Array; readonly priced: Uint8Array }, window: number, maxMissing: number, first: number): Windows {
  const { dates, stocks, universe, priced } = grid;
  const held = new Int32Array(stocks);
  const offsets = new Int32Array(dates + 1);
  const found = new Int32Array(count(universe, first * stocks));
  let rows = 0;
  let candidates = 0;
  for (let t = 0; t < dates; t++) {
    for (let n = 0; n < stocks; n++) {
      const cell = t * stocks + n;
      held[n] = held[n]! + priced[cell]! - (t < window ? 0 : priced[cell - window * stocks]!);
      if (t < first || universe[cell] !== 1) continue;
      candidates++;
      if (priced[cell] === 1 && held[n]! >= window - maxMissing) found[rows++] = n;
    }
    offsets[t + 1] = rows;
  }
  const kept = { offsets, stocks: found.slice(0, rows) };
  return { ...kept, candidates, incompleteWindow: candidates - rows, read: cellsRead(kept, dates, stocks, window) };
}

/** The rows whose window has only cells that are `complete`: [dates * stocks]. */
export function rowsWithin({ offsets, stocks: rowStocks }: Rows, complete: Uint8Array, stocks: number, window: number): Rows {
  const run = new Int32Array(stocks);
  const kept = { offsets: new Int32Array(offsets.length), stocks: new Int32Array(rowStocks.length) };
  let rows = 0;
  for (let t = 0; t + 1 < offsets.length; t++) {
    for (let n = 0; n < stocks; n++) run[n] = complete[t * stocks + n] === 1 ? run[n]! + 1 : 0;
    for (let r = offsets[t]!; r < offsets[t + 1]!; r++) if (run[rowStocks[r]!]! >= window) kept.stocks[rows++] = rowStocks[r]!;
    kept.offsets[t + 1] = rows;
  }
  return { offsets: kept.offsets, stocks: kept.stocks.slice(0, rows) };
}

function cellsRead({ offsets, stocks: rowStocks }: Rows, dates: number, stocks: number, window: number): Uint8Array {
  const read = new Uint8Array(dates * stocks);
  const left = new Int32Array(stocks);
  for (let t = dates - 1; t >= 0; t--) {
    for (let r = offsets[t]!; r < offsets[t + 1]!; r++) left[rowStocks[r]!] = window;
    for (let n = 0; n < stocks; n++) if (left[n]!-- > 0) read[t * stocks + n] = 1;
  }
  return read;
}

function count(flags: Uint8Array, from: number): number {
  let sum = 0;
  for (let i = from; i < flags.length; i++) sum += flags[i]!;
  return sum;
}

/** Group of each row; a stock without one is a group of one, and so is every stock where `graph` is "none". */
export function groupsOfRows({ offsets, stocks: rowStocks }: Rows, stocks: number, graph: GraphKind, groups: Groups | undefined): Int32Array | undefined {
  if (graph === "none") return rowStocks.slice();
  if (groups === undefined) return undefined;
  const result = new Int32Array(rowStocks.length);
  for (let t = 0; t + 1 < offsets.length; t++) {
    for (let r = offsets[t]!; r < offsets[t + 1]!; r++) {
      const n = rowStocks[r]!;
      const code = groups.codes[t * stocks + n]!;
      result[r] = code >= 0 ? code : groups.names.length + n;
    }
  }
  return result;
}
