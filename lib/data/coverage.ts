import type { LedgerBuilder } from "./ledger.js";
import { listed } from "./loss.js";
import type { DenseTable } from "./source/read-table.js";

/** A stock counts on a date where it has a close; without a close column, where the table has a row. */
export function defaultUniverse(table: DenseTable): Uint8Array {
  const close = table.values.get("close");
  return close === undefined ? table.present : filledCells([close]);
}

/** Rows of the source that carry something: a usable close, or without a close column any value. */
export function countKept(table: DenseTable, ledger: LedgerBuilder): number {
  const close = table.values.get("close");
  const kept = filledCells(close === undefined ? [...table.values.values()] : [close]).reduce((sum, flag) => sum + flag, 0);
  ledger.add("clean", close === undefined ? "empty_rows" : "rows_without_close", table.rows - kept, "rows", close === undefined ? "rows have no value at all" : "rows have no usable close and count as missing");
  return kept;
}

/** 1 where at least one of the columns has a value. */
function filledCells(columns: readonly (Float32Array | Float64Array)[]): Uint8Array {
  const filled = new Uint8Array(columns[0]!.length);
  for (const column of columns) for (let i = 0; i < column.length; i++) if (column[i] === column[i]) filled[i] = 1;
  return filled;
}

/** How far around a date a stock has to be for its absence to be a gap. */
const NEIGHBOURS = 5;

/**
 * Counts dates on which more stocks are absent than there, of those with a row within the five dates before and the five after (before alone on the
 * newest date): a half-delivered file, or a holiday of most markets. Windows that hold such a date lack the absent stocks.
 *
 * @param first first date to look at, from 1
 */
export function findPartialDates({ dates, tickers, values, present }: DenseTable, ledger: LedgerBuilder, report: (text: string) => void, first = 1): void {
  const close = values.get("close");
  const filled = close === undefined ? present : filledCells([close]);
  const [D, N] = [dates.length, tickers.length];
  const isNear = (t: number, n: number, step: 1 | -1): boolean => {
    for (let i = 1; i <= NEIGHBOURS; i++) if (filled[(t + step * i) * N + n] === 1) return true;
    return false;
  };
  const partial: string[] = [];
  for (let t = first; t < D; t++) {
    const absent: string[] = [];
    let there = 0;
    for (let n = 0; n < N; n++) {
      if (filled[t * N + n] === 1) there++;
      else if (isNear(t, n, -1) && (t === D - 1 || isNear(t, n, 1))) absent.push(tickers[n]!);
    }
    if (absent.length > there) partial.push(`${dates[t]!} (${there} of ${there + absent.length} stocks, without ${listed(absent, 3)})`);
  }
  if (partial.length === 0) return;
  const one = partial.length === 1;
  ledger.add("clean", "partial_dates", partial.length, "dates", `dates lack more than half of the stocks that are there just before and after: ${listed(partial)}`);
  report(`${one ? "1 date lacks" : `${partial.length} dates lack`} more than half of the stocks that are there just before and after: ${listed(partial, 3)}. Complete ${one ? "it" : "them"} or leave ${one ? "it" : "them"} out: no window may hold a date on which its stock is missing.`);
}
