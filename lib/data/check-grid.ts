import { loadTables } from "../binding/load.js";
import type { CheckCounts, Replaced } from "../binding/table-types.js";
import { countPrices, pricesOf, type Cleaned } from "./clean.js";
import { DIGEST_BYTES, KEYS, partOf, type DateDigests } from "./digests.js";
import { gridMemory } from "./grid-memory.js";
import type { Groups } from "./groups.js";
import type { LedgerBuilder } from "./ledger.js";

/** A grid to check: its columns, flags and groups by name. */
export interface CheckedColumns {
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  readonly present: Uint8Array;
  readonly values: ReadonlyMap<string, Float32Array | Float64Array>;
  readonly flags: ReadonlyMap<string, Uint8Array>;
  readonly groups: Groups | undefined;
  /** Folder of files for grids; undefined: memory. */
  readonly scratch?: string | undefined;
}

/** What a pass over a grid finds. */
export interface CheckedGrid {
  readonly digests: DateDigests;
  readonly cleaned: readonly Cleaned[];
  /** What cleaning replaced, by column. */
  readonly replaced: ReadonlyMap<string, Replaced>;
  /** 1 where there is a usable close, or without a close column any value: [dates * stocks]. */
  readonly filled: Uint8Array;
  /** How many cells are. */
  readonly kept: number;
}

/** Bytes of the grid that a thread takes in one go, about a hundredth of a second. */
const AT_ONCE = 1 << 23;

/**
 * One pass over the dates, off the event loop: makes impossible prices missing, in place (see {@link pricesOf}), and takes the digests of what is left.
 *
 * A digest is SHA-256 over the (date, ticker) rows in order, numbers as float32 where all of a date are exact in it, else as float64: it depends
 * neither on the file's format nor on the order of its rows or columns. Missing is one NaN whatever the file wrote.
 */
export async function checkGrid({ dates, tickers, present, values, flags, groups, scratch }: CheckedColumns, ledger?: LedgerBuilder): Promise<CheckedGrid> {
  const tables = loadTables();
  const names = [...values.keys()];
  const prices = pricesOf(names);
  const filled = new Uint8Array(gridMemory(present.length, scratch));
  const codes = new Map<string, Uint8Array | Int32Array>([...flags, ...(groups === undefined ? [] : [["groups", groups.codes] as const])]);
  const parts = [KEYS, ...names.map(partOf), ...codes.keys()];
  const length = dates.length * DIGEST_BYTES;
  const digests = new Uint8Array(parts.length * length);
  const input = {
    stocks: tickers.length,
    present,
    columns: [...values.values()],
    codes: [...codes.values()],
    prices: prices.map((name) => names.indexOf(name)),
    high: prices.includes("high") ? names.indexOf("high") : -1,
    low: prices.includes("low") ? names.indexOf("low") : -1,
    filling: names.includes("close") ? [names.indexOf("close")] : names.map((_, k) => k),
    filled,
    digests,
  };
  const check = tables.createCheck(input);
  const step = Math.max(1, Math.floor(AT_ONCE / (8 * parts.length * tickers.length)));
  for (let t = 0; t < dates.length; t += step) await tables.checkDates(check, input, t, Math.min(dates.length, t + step));
  const counts: CheckCounts = tables.checkCounts(check);
  return {
    digests: new Map(parts.map((part, k) => [part, digests.slice(k * length, (k + 1) * length)])),
    cleaned: ledger === undefined ? [] : countPrices(prices, counts, ledger),
    replaced: new Map(prices.map((name, i) => [name, counts.replaced[i]!])),
    filled,
    kept: counts.kept,
  };
}
