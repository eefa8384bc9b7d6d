import { loadTables } from "../binding/load.js";
import type { LedgerBuilder } from "./ledger.js";
import { listed } from "./loss.js";
import type { DenseTable } from "./source/long-table.js";

/** 1 where there is a close, 0 before cell `first`; undefined without a close column. */
export function pricedCells({ values }: Pick<DenseTable, "values">, first: number): Uint8Array | undefined {
  const close = values.get("close");
  if (close === undefined) return undefined;
  const priced = new Uint8Array(close.length);
  for (let cell = first; cell < close.length; cell++) if (close[cell] === close[cell]) priced[cell] = 1;
  return priced;
}

/** Says in the ledger how many rows of the source carry nothing: no usable close, or without a close column no value. */
export function countEmpty({ rows, values }: Pick<DenseTable, "rows" | "values">, kept: number, ledger: LedgerBuilder): void {
  const hasClose = values.has("close");
  ledger.add("clean", hasClose ? "rows_without_close" : "empty_rows", rows - kept, "rows", hasClose ? "rows have no usable close and count as missing" : "rows have no value at all");
}

/** How far around a date a stock has to be for its absence to be a gap. */
export const NEIGHBOURS = 5;

/**
 * Counts dates on which more stocks are absent than there, of those with a row within the five dates before and the five after (before alone on the
 * newest date): a half-delivered file, or a holiday of most markets. Windows that hold such a date lack the absent stocks.
 *
 * @param filled 1 where a stock is there: [dates * stocks]
 * @param first first date to look at, from 1
 */
export async function findPartialDates({ dates, tickers }: Pick<DenseTable, "dates" | "tickers">, filled: Uint8Array, ledger: LedgerBuilder, report: (text: string) => void, first = 1): Promise<void> {
  const [D, N] = [dates.length, tickers.length];
  const there = new Int32Array(D);
  const absent = new Int32Array(D);
  await loadTables().countAbsent(filled, N, first, NEIGHBOURS, there, absent);
  const isThere = (n: number, from: number, to: number): boolean => {
    for (let t = Math.max(0, from); t <= Math.min(D - 1, to); t++) if (filled[t * N + n] === 1) return true;
    return false;
  };
  const partial: string[] = [];
  for (let t = first; t < D; t++) {
    if (absent[t]! <= there[t]!) continue;
    const names = tickers.filter((_, n) => filled[t * N + n] === 0 && isThere(n, t - NEIGHBOURS, t - 1) && (t === D - 1 || isThere(n, t + 1, t + NEIGHBOURS)));
    partial.push(`${dates[t]!} (${there[t]!} of ${there[t]! + absent[t]!} stocks, without ${listed(names, 3)})`);
  }
  if (partial.length === 0) return;
  const one = partial.length === 1;
  ledger.add("clean", "partial_dates", partial.length, "dates", `dates lack more than half of the stocks that are there just before and after: ${listed(partial)}`);
  report(`${one ? "1 date lacks" : `${partial.length} dates lack`} more than half of the stocks that are there just before and after: ${listed(partial, 3)}. Complete ${one ? "it" : "them"} or leave ${one ? "it" : "them"} out: no window may hold a date on which its stock is missing.`);
}
