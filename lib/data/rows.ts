import type { GraphKind } from "./types.js";
import type { Groups } from "./groups.js";

/** Samples per date, and why the other stocks of the universe are none. */
export interface Rows {
  /** Rows of date t are `stocks[offsets[t] .. offsets[t + 1]]`. */
  readonly offsets: Int32Array;
  readonly stocks: Int32Array;
  /** Universe cells on dates from `first` on. */
  readonly candidates: number;
  /** Of these: without a close (or a table row) on every date of the window. */
  readonly incompleteWindow: number;
  /** Of these: with a complete window in which a feature is missing. */
  readonly missingFeature: number;
}

/**
 * The samples: on date t, the stocks in the universe that have all T closes of their window (`priced`) and no missing feature in it (`complete`).
 * Only dates from `first` on have rows.
 */
export function findRows(grid: { readonly dates: number; readonly stocks: number; readonly universe: Uint8Array; readonly priced: Uint8Array; readonly complete: Uint8Array }, window: number, first: number): Rows {
  const { dates, stocks, universe, priced, complete } = grid;
  const pricedRun = new Int32Array(stocks);
  const completeRun = new Int32Array(stocks);
  const offsets = new Int32Array(dates + 1);
  const found = new Int32Array(count(universe, first * stocks));
  let rows = 0;
  let candidates = 0;
  let incompleteWindow = 0;
  let missingFeature = 0;
  for (let t = 0; t < dates; t++) {
    for (let n = 0; n < stocks; n++) {
      const cell = t * stocks + n;
      pricedRun[n] = priced[cell] === 1 ? pricedRun[n]! + 1 : 0;
      completeRun[n] = complete[cell] === 1 ? completeRun[n]! + 1 : 0;
      if (t < first || universe[cell] !== 1) continue;
      candidates++;
      if (pricedRun[n]! < window) incompleteWindow++;
      else if (completeRun[n]! < window) missingFeature++;
      else found[rows++] = n;
    }
    offsets[t + 1] = rows;
  }
  return { offsets, stocks: found.slice(0, rows), candidates, incompleteWindow, missingFeature };
}

function count(flags: Uint8Array, from: number): number {
  let sum = 0;
  for (let i = from; i < flags.length; i++) sum += flags[i]!;
  return sum;
}

/** Group of each row; a stock without one is a group of one, and so is every stock where `graph` is "none". */
export function groupsOfRows({ offsets, stocks: rowStocks }: Pick<Rows, "offsets" | "stocks">, stocks: number, graph: GraphKind, groups: Groups | undefined): Int32Array | undefined {
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
