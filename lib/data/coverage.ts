import type { LedgerBuilder } from "./ledger.js";
import { listed } from "./loss.js";
import { Pace } from "./pace.js";
import type { DenseTable } from "./source/long-table.js";

type Values = Float32Array | Float64Array;

/** 1 where there is a close, 0 before cell `first`; undefined without a close column. */
export async function pricedCells(table: Pick<DenseTable, "values">, first = 0): Promise<Uint8Array | undefined> {
  const close = table.values.get("close");
  return close === undefined ? undefined : filledCells([close], first);
}

/** Rows of the source that carry something: a usable close (`priced`), or without a close column any value. */
export async function countKept(table: DenseTable, priced: Uint8Array | undefined, ledger: LedgerBuilder): Promise<number> {
  const filled = priced ?? (await filledCells([...table.values.values()], 0));
  const pace = new Pace();
  let kept = 0;
  for (let from = 0; from < filled.length; from += SLICE) {
    kept += countOnes(filled.subarray(from, from + SLICE));
    await pace.step();
  }
  ledger.add("clean", priced === undefined ? "empty_rows" : "rows_without_close", table.rows - kept, "rows", priced === undefined ? "rows have no value at all" : "rows have no usable close and count as missing");
  return kept;
}

/** 1 where at least one of the columns has a value. */
async function filledCells(columns: readonly Values[], first: number): Promise<Uint8Array> {
  const pace = new Pace();
  const filled = new Uint8Array(columns[0]!.length);
  for (const column of columns) {
    for (let from = first; from < column.length; from += SLICE) {
      markFilled(column.subarray(from, from + SLICE), filled.subarray(from, from + SLICE));
      await pace.step();
    }
  }
  return filled;
}

function countOnes(flags: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < flags.length; i++) sum += flags[i]!;
  return sum;
}

/** Cells that are looked at between two looks at the clock. */
const SLICE = 1 << 15;

function markFilled(column: Values, filled: Uint8Array): void {
  for (let i = 0; i < column.length; i++) if (column[i] === column[i]) filled[i] = 1;
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
  const pace = new Pace();
  const [D, N] = [dates.length, tickers.length];
  const before = new Uint8Array(N);
  const after = new Uint8Array(N);
  const row = (t: number): Uint8Array | undefined => (t >= 0 && t < D ? filled.subarray(t * N, t * N + N) : undefined);
  for (let t = first - 1 - NEIGHBOURS; t < first - 1; t++) shift(before, row(t), undefined);
  for (let t = first - 1; t < first + NEIGHBOURS; t++) shift(after, row(t), undefined);
  const partial: string[] = [];
  for (let t = first; t < D; t++) {
    shift(before, row(t - 1), row(t - 1 - NEIGHBOURS));
    shift(after, row(t + NEIGHBOURS), row(t - 1));
    const today = row(t)!;
    // `after` counts today too, which is 0 wherever it is asked.
    const { there, absent } = countAbsent(today, before, t === D - 1 ? before : after);
    if (absent > there) {
      const names = tickers.filter((_, n) => today[n] === 0 && before[n]! > 0 && (t === D - 1 || after[n]! > 0));
      partial.push(`${dates[t]!} (${there} of ${there + absent} stocks, without ${listed(names, 3)})`);
    }
    await pace.step();
  }
  if (partial.length === 0) return;
  const one = partial.length === 1;
  ledger.add("clean", "partial_dates", partial.length, "dates", `dates lack more than half of the stocks that are there just before and after: ${listed(partial)}`);
  report(`${one ? "1 date lacks" : `${partial.length} dates lack`} more than half of the stocks that are there just before and after: ${listed(partial, 3)}. Complete ${one ? "it" : "them"} or leave ${one ? "it" : "them"} out: no window may hold a date on which its stock is missing.`);
}

/** Moves a running count of filled cells a stock by one date. */
function shift(counts: Uint8Array, added: Uint8Array | undefined, left: Uint8Array | undefined): void {
  if (added !== undefined) for (let n = 0; n < counts.length; n++) counts[n]! += added[n]!;
  if (left !== undefined) for (let n = 0; n < counts.length; n++) counts[n]! -= left[n]!;
}

function countAbsent(today: Uint8Array, before: Uint8Array, after: Uint8Array): { there: number; absent: number } {
  let there = 0;
  let absent = 0;
  for (let n = 0; n < today.length; n++) {
    if (today[n] === 1) there++;
    else if (before[n]! > 0 && after[n]! > 0) absent++;
  }
  return { there, absent };
}
