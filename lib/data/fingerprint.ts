import { createHash } from "node:crypto";
import { loadTables } from "../binding/load.js";
import type { CheckCounts } from "../binding/table-types.js";
import { countPrices, pricesOf, type Cleaned } from "./clean.js";
import type { Groups } from "./groups.js";
import type { LedgerBuilder } from "./ledger.js";
import { Pace } from "./pace.js";
import type { Edges } from "./types.js";

/** What a fingerprint covers: the panel's values, flags, groups and edges, by name. */
export interface Fingerprinted {
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  readonly present: Uint8Array;
  readonly values: ReadonlyMap<string, Float32Array | Float64Array>;
  readonly flags: ReadonlyMap<string, Uint8Array>;
  readonly groups: Groups | undefined;
  readonly edges: Edges | undefined;
}

/** What a pass over a grid finds. */
export interface CheckedGrid {
  /** SHA-256 in hex. */
  readonly fingerprint: string;
  readonly cleaned: readonly Cleaned[];
  /** 1 where there is a usable close, or without a close column any value: [dates * stocks]. */
  readonly filled: Uint8Array;
  /** How many cells are. */
  readonly kept: number;
}

/** Bytes of the fingerprint that are made on another thread and then hashed on this one: less than a millisecond. */
const PIECE = 1 << 20;

/**
 * One pass over the dates, which takes each date's part of the fingerprint and then makes impossible prices missing, in place (see {@link pricesOf}).
 *
 * The fingerprint is SHA-256 over the (date, ticker) rows in order, each column as float64: it depends neither on the file's format nor on the order of its
 * rows or columns. Missing is one NaN whatever the file wrote.
 */
export async function checkGrid(panel: Fingerprinted, ledger: LedgerBuilder): Promise<CheckedGrid> {
  const { dates, tickers, present, groups, edges } = panel;
  const names = [...panel.values.keys()].sort();
  const flags = [...panel.flags.keys()].sort();
  const hash = createHash("sha256");
  hash.update(JSON.stringify({ format: 1, dates, tickers, columns: names, flags, groups: groups?.names ?? null, edges: edges !== undefined }));
  const tables = loadTables();
  const prices = pricesOf(names);
  const filled = new Uint8Array(present.length);
  const input = {
    stocks: tickers.length,
    present,
    columns: names.map((name) => panel.values.get(name)!),
    codes: [...flags.map((name) => panel.flags.get(name)!), ...(groups === undefined ? [] : [groups.codes])],
    prices: prices.map((name) => names.indexOf(name)),
    high: prices.includes("high") ? names.indexOf("high") : -1,
    low: prices.includes("low") ? names.indexOf("low") : -1,
    filling: names.includes("close") ? [names.indexOf("close")] : names.map((_, k) => k),
    filled,
  };
  const check = tables.createCheck(input);
  const step = Math.max(1, Math.floor(PIECE / tables.dateBytes(check)));
  const size = tables.dateBytes(check) * Math.min(step, dates.length);
  // While one piece is hashed the next is made.
  const pieces = [new Uint8Array(size), new Uint8Array(size)] as const;
  const make = (t: number): Promise<number> | undefined => (t < dates.length ? tables.checkDates(check, input, t, Math.min(dates.length, t + step), pieces[(t / step) & 1]!) : undefined);
  const pace = new Pace();
  let next = make(0);
  for (let t = 0; next !== undefined; t += step) {
    const bytes = await next;
    next = make(t + step);
    for (let at = 0; at < bytes; at += PIECE) {
      hash.update(pieces[(t / step) & 1]!.subarray(at, Math.min(bytes, at + PIECE)));
      await pace.step();
    }
  }
  if (edges !== undefined) for (const column of [edges.source, edges.target, edges.from, edges.to]) hash.update(column);
  const counts: CheckCounts = tables.checkCounts(check);
  return { fingerprint: hash.digest("hex"), cleaned: countPrices(prices, counts, ledger), filled, kept: counts.kept };
}
