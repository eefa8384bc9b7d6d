import { AstgnnError, invalidOption, nearest } from "../errors.js";
import { isIsoDate } from "./calendar.js";
import { listed } from "./loss.js";
import type { PanelGrid } from "./panel-grid.js";
import { readFlags, readGroup, readNumbers, readTicker, type Cells, type Where } from "./source/cells.js";

/** Rows of new dates, column by column. Row i is stock `tickers[i]` on `dates[i]`. */
export interface NewRows {
  /** ISO date of every row, or the one date of all. */
  readonly dates: string | readonly string[];
  readonly tickers: readonly string[];
  /**
   * By the names of the panel's columns, and of the columns that it was read with for universe, tradable and groups: numbers with NaN where missing, yes/no as
   * true/false or 1/0, names of groups with null for none.
   */
  readonly columns: Readonly<Record<string, Cells>>;
}

/** Rows that were checked against a panel. */
export interface CheckedRows {
  /** New dates, ascending. */
  readonly dates: readonly string[];
  /** Index into `dates` of each row. */
  readonly dateOf: Int32Array;
  /** Ticker of each row. */
  readonly tickers: readonly string[];
  /** Numbers of each column of the panel, by row. */
  readonly values: ReadonlyMap<string, ArrayLike<number>>;
  readonly universe: Uint8Array | undefined;
  readonly tradable: Uint8Array | undefined;
  /** Name of each row's group, null for none; undefined where the panel has no group column. */
  readonly groups: readonly (string | null)[] | undefined;
}

/**
 * Checks rows for a panel: every column there and no other, dates after the panel's last, no row twice, no infinite value.
 *
 * @throws AstgnnError ERR_OPTION for what is no table of rows, ERR_DATA naming column, date and ticker
 */
export function checkRows(panel: PanelGrid, rows: NewRows): CheckedRows {
  if (rows === null || typeof rows !== "object") throw invalidOption("rows", "{ dates, tickers, columns }", rows);
  const tickers = readTickers(rows.tickers);
  const written = typeof rows.dates === "string" ? new Array<string>(tickers.length).fill(rows.dates) : rows.dates;
  if (!Array.isArray(written) || written.length !== tickers.length) throw invalidOption("rows.dates", `an ISO date, or ${tickers.length} of them, one per ticker`, rows.dates);
  const dates = newDates(panel, written as readonly string[]);
  const place = new Map(dates.map((date, t) => [date, t]));
  const dateOf = Int32Array.from(written as readonly string[], (date) => place.get(date)!);
  refuseRepeats(dates, dateOf, tickers);

  const { groupColumn, universeColumn, tradableColumn } = panel.origin.options;
  const numbers = panel.columns.filter((name) => panel.isRead(name));
  const named = [...numbers, ...[universeColumn, tradableColumn, groupColumn].filter((name) => name !== undefined)];
  const columns = requireColumns(rows.columns, named, tickers.length);
  const at: Where = (row) => ({ date: dates[dateOf[row]!]!, ticker: tickers[row]! });
  const flag = (name: string | undefined): Uint8Array | undefined => (name === undefined ? undefined : readFlags(columns.get(name)!, 0, tickers.length, `rows.columns.${name}`, at));
  return {
    dates,
    dateOf,
    tickers,
    values: new Map(numbers.map((name) => [name, refuseInfinite(readNumbers(columns.get(name)!, 0, tickers.length, `rows.columns.${name}`, at), name, at)])),
    universe: flag(universeColumn),
    tradable: flag(tradableColumn),
    groups: groupColumn === undefined ? undefined : tickers.map((_, row) => readGroup(columns.get(groupColumn)!, row, `rows.columns.${groupColumn}`, at)),
  };
}


function readTickers(written: readonly string[]): readonly string[] {
  if (!Array.isArray(written) || written.length === 0) throw invalidOption("rows.tickers", "a list of tickers", written);
  return written.map((ticker: unknown, row) => readTicker(ticker, `rows.tickers[${row}]`));
}

/** The dates of the rows, ascending. What is known of a date is final: a row of an old one would change scores that were given. */
function newDates(panel: PanelGrid, written: readonly string[]): string[] {
  const dates = [...new Set(written)];
  for (const date of dates) if (typeof date !== "string" || !isIsoDate(date)) throw invalidOption("rows.dates", "dates as YYYY-MM-DD", date);
  dates.sort();
  const last = panel.dates.at(-1)!;
  const old = dates.filter((date) => date <= last);
  if (old.length === 0) return dates;
  throw new AstgnnError("ERR_DATA", `The rows to append are of ${listed(old, 5)}, and the panel ends on ${last}.`, {
    date: old[0]!,
    next: "Append later dates only; open the panel again from data that hold what was restated.",
  });
}

function refuseRepeats(dates: readonly string[], dateOf: Int32Array, tickers: readonly string[]): void {
  const seen = dates.map(() => new Set<string>());
  for (const [row, ticker] of tickers.entries()) {
    const date = dateOf[row]!;
    if (!seen[date]!.has(ticker)) seen[date]!.add(ticker);
    else throw new AstgnnError("ERR_DATA", `The rows to append have (${dates[date]!}, ${ticker}) twice.`, { date: dates[date]!, row: row + 1, next: "Keep one row per date and ticker." });
  }
}

function requireColumns(given: NewRows["columns"], named: readonly string[], rows: number): Map<string, Cells> {
  if (given === null || typeof given !== "object") throw invalidOption("rows.columns", "an object of columns", given);
  const missing = named.filter((name) => given[name] === undefined);
  if (missing.length > 0) {
    throw new AstgnnError("ERR_DATA", `The rows to append lack ${missing.length === 1 ? "the column" : "the columns"} ${missing.join(", ")} of the panel.`, {
      column: missing[0]!,
      next: "Give every column, with NaN where a value is not known, or open the panel with the columns that are needed only.",
    });
  }
  const unknown = Object.keys(given).filter((name) => !named.includes(name));
  if (unknown.length > 0) {
    const near = nearest(unknown[0]!, named);
    throw new AstgnnError("ERR_DATA", `The rows to append have the column ${unknown.join(", ")}, which the panel lacks; it has ${named.join(", ")}.`, { column: unknown[0]!, next: near === undefined ? "Leave it out." : `Did you mean ${near}?` });
  }
  for (const name of named) if (given[name]?.length !== rows) throw invalidOption(`rows.columns.${name}`, `${rows} values, one per ticker,`, given[name]);
  return new Map(named.map((name) => [name, given[name]!]));
}

function refuseInfinite(numbers: ArrayLike<number>, column: string, at: Where): ArrayLike<number> {
  for (let row = 0; row < numbers.length; row++) {
    if (numbers[row] !== Infinity && numbers[row] !== -Infinity) continue;
    const { date, ticker } = at(row);
    throw new AstgnnError("ERR_DATA", `Column ${column} of the rows to append is infinite in row ${row + 1} (${date}, ${ticker}).`, { column, row: row + 1, date, next: "Correct it, or give NaN where the value is missing." });
  }
  return numbers;
}
