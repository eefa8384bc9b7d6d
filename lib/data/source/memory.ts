import { invalidOption } from "../../errors.js";
import { dayCount, isIsoDate, isoDate } from "../calendar.js";
import { Pace } from "../pace.js";
import { readFlags, readGroup, readNumbers, readTicker, type Cells, type Where } from "./cells.js";
import { PRICE_COLUMNS } from "./columns.js";
import { refuseFaults } from "./faults.js";
import { layOutBlocks, type LongTable, type NumberArray, type RowBlock } from "./long-table.js";
import { requireColumn, sourceNames } from "./names.js";
import { noNumbers, skippedNote, type ReadSource, type SourceRoles } from "./roles.js";
import { renameEntries } from "./table.js";

/** Dates in memory: text as YYYY-MM-DD, whole numbers as yyyymmdd, or `Date`s, whose day in UTC counts. */
export type PanelDates = readonly (string | Date)[] | ArrayLike<number>;

/**
 * A table in memory. Long: one date, ticker and value a row, all arrays of the same length. Dense: the dates, the tickers, and each column as
 * [dates * tickers], tickers innermost; a cell in which no column has a value is no row.
 */
export interface PanelData {
  readonly dates: PanelDates;
  readonly tickers: readonly string[];
  readonly columns: Readonly<Record<string, Cells>>;
}

/**
 * Reads a table in memory onto the grid.
 *
 * @param name the table as messages name it
 * @throws AstgnnError ERR_OPTION where a date, ticker, length or cell is none, ERR_DATA as for files
 */
export async function readMemory({ dates, tickers, columns }: PanelData, roles: SourceRoles, name: string): Promise<ReadSource> {
  const keys = [roles.groupColumn, roles.universeColumn, roles.tradableColumn].filter((column) => column !== undefined);
  const given = new Map(Object.entries(columns));
  const named = renameEntries(given, sourceNames([...given.keys()], roles.rename ?? {}, [...keys, ...(roles.columns ?? PRICE_COLUMNS)], name));
  const table = { name, columns: named };
  for (const option of ["groupColumn", "universeColumn", "tradableColumn"] as const) if (roles[option] !== undefined) requireColumn(table, roles[option], option);
  for (const column of roles.columns ?? []) requireColumn(table, column, "columns");
  const candidates = roles.columns ?? [...named.keys()].filter((column) => !keys.includes(column));
  const numeric = roles.columns ?? candidates.filter((column) => (PRICE_COLUMNS as readonly string[]).includes(column) || holdsNumbers(named.get(column)!));
  if (numeric.length === 0) throw noNumbers(name, keys);
  const { blocks, table: long } = await longTableOf({ dates, tickers, columns: Object.fromEntries(named) }, { ...roles, columns: numeric });
  const { dense, faults } = await layOutBlocks(blocks, { ...long, scratch: roles.scratch });
  await refuseFaults(name, faults, "date, ticker", async ({ row }) => ({ file: name, row: row! }));
  return { name, dense, notes: [skippedNote(candidates.filter((column) => !numeric.includes(column)))] };
}

/** Whether the first cell that is there is a number. */
function holdsNumbers(cells: Cells): boolean {
  for (let row = 0; row < cells.length; row++) {
    const cell = cells[row];
    if (cell !== null && cell !== undefined) return typeof cell === "number" || typeof cell === "bigint";
  }
  return false;
}

/** Which columns mean what. */
interface MemoryRoles extends Omit<SourceRoles, "columns"> {
  /** Numeric columns, in order. */
  readonly columns: readonly string[];
}

/** Rows of a block. */
const BLOCK = 1 << 14;

/** A table in memory with its keys as codes. Columns of floats are not copied. */
async function longTableOf(table: PanelData, roles: MemoryRoles): Promise<{ blocks: RowBlock[]; table: Omit<LongTable, "rows"> }> {
  const { dates, tickers, columns } = table;
  const pace = new Pace();
  const named = [...roles.columns, ...[roles.groupColumn, roles.universeColumn, roles.tradableColumn].filter((column) => column !== undefined)];
  const length = columns[named[0]!]!.length;
  const isLong = length === dates.length && length === tickers.length;
  if (!isLong && length !== dates.length * tickers.length) {
    throw invalidOption(`columns.${named[0]!}`, `${dates.length} values, one a row, or ${dates.length} x ${tickers.length}, one per date and ticker,`, columns[named[0]!], `It has ${length}.`);
  }
  for (const column of named) if (columns[column]!.length !== length) throw invalidOption(`columns.${column}`, `${length} values, as many as ${named[0]!} has,`, columns[column], `It has ${columns[column]!.length}.`);

  const days = new Codes<unknown, number>((_, row) => dayOf(dates[row], row));
  const names = new Codes<string, string>((ticker, row) => readTicker(ticker, `tickers[${row}]`));
  const groups = new Codes<string | null, string | null>((group) => group);
  const dateOf = (row: number): number => (isLong ? row : Math.floor(row / tickers.length));
  const tickerOf = (row: number): number => (isLong ? row : row % tickers.length);
  const at: Where = (row) => ({ date: isoDate(dayOf(dates[dateOf(row)], dateOf(row))), ticker: String(tickers[tickerOf(row)]) });
  const blocks: RowBlock[] = [];
  for (let from = 0; from < length; from += BLOCK) {
    const end = Math.min(length, from + BLOCK);
    const flags = (column: string | undefined): Uint8Array | undefined => (column === undefined ? undefined : readFlags(columns[column]!, from, end, `columns.${column}`, at));
    const block = {
      count: end - from,
      dates: new Int32Array(end - from),
      tickers: new Int32Array(end - from),
      groups: roles.groupColumn === undefined ? undefined : new Int32Array(end - from),
      universe: flags(roles.universeColumn),
      tradable: flags(roles.tradableColumn),
      values: [] as NumberArray[],
    };
    for (const column of roles.columns) {
      block.values.push(readNumbers(columns[column]!, from, end, `columns.${column}`, at));
      await pace.step();
    }
    for (let row = from; row < end; row++) {
      block.dates[row - from] = days.code(keyOf(dates[dateOf(row)]), dateOf(row));
      block.tickers[row - from] = names.code(tickers[tickerOf(row)]!, tickerOf(row));
      if (block.groups !== undefined) block.groups[row - from] = groups.code(readGroup(columns[roles.groupColumn!]!, row, `columns.${roles.groupColumn!}`, at), row);
    }
    blocks.push(isLong ? block : withoutEmptyRows(block));
    await pace.step();
  }
  return {
    blocks: blocks.filter(({ count }) => count > 0),
    table: {
      days: days.values,
      tickers: names.values,
      groups: roles.groupColumn === undefined ? undefined : groups.values,
      universe: roles.universeColumn !== undefined,
      tradable: roles.tradableColumn !== undefined,
      columns: roles.columns.map((column) => ({ name: column, precision: columns[column] instanceof Float32Array ? "float32" : "float64" })),
    },
  };
}

/** The rows in which a column has a value. */
function withoutEmptyRows(block: Omit<RowBlock, "values"> & { readonly values: NumberArray[] }): RowBlock {
  const kept = new Int32Array(block.count);
  let count = 0;
  for (let i = 0; i < block.count; i++) if (block.values.some((values) => values[i] === values[i])) kept[count++] = i;
  if (count === block.count) return block;
  const rows = kept.subarray(0, count);
  const pick = <V extends Int32Array | Uint8Array | NumberArray>(values: V): V => (values.constructor as unknown as { from(rows: Int32Array, pick: (i: number) => number): V }).from(rows, (i) => values[i]!);
  return {
    count,
    dates: pick(block.dates),
    tickers: pick(block.tickers),
    groups: block.groups === undefined ? undefined : pick(block.groups),
    universe: block.universe === undefined ? undefined : pick(block.universe),
    tradable: block.tradable === undefined ? undefined : pick(block.tradable),
    values: block.values.map(pick),
  };
}

/** Distinct values, numbered in the order in which they are met and read once each. */
class Codes<K, V> {
  readonly values: V[] = [];
  readonly #codes = new Map<K, number>();
  readonly #read: (written: K, row: number) => V;

  constructor(read: (written: K, row: number) => V) {
    this.#read = read;
  }

  code(written: K, row: number): number {
    const known = this.#codes.get(written);
    if (known !== undefined) return known;
    const code = this.values.length;
    this.values.push(this.#read(written, row));
    this.#codes.set(written, code);
    return code;
  }
}

/** What tells dates apart without a text of each: a half is in no whole number yyyymmdd. */
const keyOf = (date: unknown): unknown => (date instanceof Date ? date.getTime() + 0.5 : date);

/** Days from 1970-01-01. */
function dayOf(written: unknown, row: number): number {
  const text = written instanceof Date ? (Number.isNaN(written.getTime()) ? "" : written.toISOString().slice(0, 10)) : typeof written === "string" ? written.slice(0, 10) : typeof written === "number" && Number.isInteger(written) ? String(written) : "";
  const iso = /^\d{8}$/.test(text) ? `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}` : text;
  const rest = typeof written === "string" ? written.slice(text.length) : "";
  if (!isIsoDate(iso) || iso < "1800" || iso >= "2263" || (rest !== "" && !/^T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/.test(rest))) throw invalidOption(`dates[${row}]`, "a date as YYYY-MM-DD, yyyymmdd or a Date", written);
  return dayCount(iso);
}

/** @throws AstgnnError ERR_OPTION where it is no table */
export function requireTable(table: PanelData): void {
  if (table === null || typeof table !== "object") throw invalidOption("data", "{ dates, tickers, columns }", table);
  for (const name of ["dates", "tickers"] as const) if (typeof table[name] !== "object" || !((table[name] as ArrayLike<unknown> | null)?.length! > 0)) throw invalidOption(name, `a list of ${name}`, table[name]);
  if (table.columns === null || typeof table.columns !== "object" || Object.keys(table.columns).length === 0) throw invalidOption("columns", "an object of columns", table.columns);
  for (const [column, cells] of Object.entries(table.columns)) if (cells === null || typeof cells !== "object" || typeof cells.length !== "number") throw invalidOption(`columns.${column}`, "a list of values", cells);
}
