import { loadTables } from "../../binding/load.js";
import type { ChunkLayout, NativeTable, ReadRows } from "../../binding/table-types.js";
import { AstgnnError } from "../../errors.js";
import { isoDate } from "../calendar.js";
import { gridMemory, refuseTooManyCells, tooLarge } from "../grid-memory.js";
import { Pace } from "../pace.js";

export type NumberArray = Float32Array | Float64Array;

/** Rows of a long table in arrays, a few thousand at a time: codes of their dates and tickers, and what they hold. All arrays have `count` entries or more. */
export interface RowBlock {
  readonly count: number;
  /** Index into `days` of the table. Overwritten with the cell when the table is laid out. */
  readonly dates: Int32Array;
  /** Index into `tickers` of the table. */
  readonly tickers: Int32Array;
  /** Index into `groups` of the table. */
  readonly groups?: Int32Array | undefined;
  readonly universe?: Uint8Array | undefined;
  readonly tradable?: Uint8Array | undefined;
  /** One array a column, in the order of the table's `columns`. Taken out one by one while they are laid out. */
  readonly values: (NumberArray | undefined)[];
}

/** What the codes of a long table mean. Several codes may stand for the same date, ticker or group. */
export interface LongTable {
  readonly rows: number;
  /** Days from 1970-01-01 by code. */
  readonly days: readonly number[];
  readonly tickers: readonly string[];
  /** By code; undefined where there is no group column. A name that stands for no group is null. */
  readonly groups?: readonly (string | null)[] | undefined;
  readonly columns: readonly { readonly name: string; readonly precision: "float32" | "float64" }[];
  /** Whether rows have these flags. */
  readonly universe?: boolean;
  readonly tradable?: boolean;
  /** Folder of files that the grid lies in; undefined: in memory. */
  readonly scratch?: string | undefined;
}

/** A long table on the dense grid of dates x stocks: cell t * stocks + n. */
export interface DenseTable {
  readonly dates: string[];
  readonly tickers: string[];
  readonly rows: number;
  /** 1 where the table has a row. */
  readonly present: Uint8Array;
  readonly values: Map<string, NumberArray>;
  readonly universe: Uint8Array | undefined;
  readonly tradable: Uint8Array | undefined;
  /** Index into `groupNames`, -1 for none. */
  readonly groups: Int32Array | undefined;
  readonly groupNames: string[];
}

/** A row with something wrong in it. */
export interface FaultyRow {
  readonly date: string;
  readonly ticker: string;
  /** The first row of that date and ticker, from 1 over all blocks; undefined where rows were not kept. */
  readonly row?: number;
}

/** What is wrong with rows, for the source to say where. */
export interface RowFaults {
  /** How many rows repeat the date and ticker of another. */
  readonly duplicates: number;
  /** The first such pair in the order of dates and tickers. */
  readonly firstDuplicate?: FaultyRow;
  /** Columns with an infinite value, and the first of them in the order of dates and tickers. */
  readonly infinite: readonly (FaultyRow & { readonly column: string })[];
}

/** A name as texts of files and memory stand for a group: null for none. */
export function groupName(text: string): string | null {
  const name = text.replace(/^ +| +$/g, "");
  return name === "" || name.toLowerCase() === "n/a" ? null : name;
}

/** Bytes of a number, by column. */
export function widthsOf(columns: LongTable["columns"]): Uint8Array {
  return Uint8Array.from(columns, ({ precision }) => (precision === "float32" ? 4 : 8));
}

/** The same for rows in arrays. */
export async function layOutBlocks(blocks: readonly RowBlock[], table: Omit<LongTable, "rows">): Promise<{ dense: DenseTable; faults: RowFaults }> {
  const letGo = (k: number): void => blocks.forEach(({ values }) => (values[k] = undefined));
  return layOut(loadTables().rowsOf(widthsOf(table.columns), blocks), { ...table, rows: blocks.reduce((sum, { count }) => sum + count, 0) }, letGo);
}

/** The sorted dates, tickers and groups of a table, and the place of each code among them. */
interface Axes {
  readonly dates: string[];
  readonly tickers: string[];
  readonly groupNames: string[];
  readonly dateIndex: Int32Array;
  readonly tickerIndex: Int32Array;
  /** -1 for no group; undefined where the table has none. */
  readonly groupCodes: Int32Array | undefined;
  readonly cells: number;
  readonly outOfMemory: (cause?: unknown) => AstgnnError;
  readonly at: (cell: number) => FaultyRow;
}

function axesOf(table: LongTable): Axes {
  const days = sortedIndex(table.days, (a, b) => a - b);
  const { distinct: tickers, index: tickerIndex } = sortedIndex(table.tickers, byBytes);
  const groups = table.groups === undefined ? undefined : sortedIndex(table.groups, (a, b) => (a === null || b === null ? Number(a === null) - Number(b === null) : byBytes(a, b)));
  const groupNames = groups?.distinct.filter((name) => name !== null) ?? [];
  const dates = days.distinct.map(isoDate);
  const cells = dates.length * tickers.length;
  const outOfMemory = (cause?: unknown): AstgnnError => tooLarge(dates.length, tickers.length, table.columns.length, cause);
  refuseTooManyCells(dates.length, tickers.length, table.columns.length);
  return {
    dates, tickers, groupNames, cells, outOfMemory, tickerIndex,
    dateIndex: days.index,
    groupCodes: groups?.index.map((i) => (i < groupNames.length ? i : -1)),
    at: (cell) => ({ date: dates[Math.floor(cell / tickers.length)]!, ticker: tickers[cell % tickers.length]! }),
  };
}

function numberGrid(width: number, cells: number, scratch: string | undefined): NumberArray {
  const memory = gridMemory(width * cells, scratch);
  return width === 4 ? new Float32Array(memory) : new Float64Array(memory);
}

/**
 * Puts a long table onto the grid of its sorted dates and tickers, one column after the other and off the event loop; rows of a column are let go of once it
 * is laid out: at no time are there two copies of all values.
 *
 * @param onColumn called when the rows of column `k` are no longer needed
 * @throws AstgnnError ERR_OUT_OF_MEMORY
 */
export async function layOut(native: NativeTable, table: LongTable, onColumn: (k: number) => void = () => undefined): Promise<{ dense: DenseTable; faults: RowFaults }> {
  const tables = loadTables();
  const { dates, tickers, groupNames, dateIndex, tickerIndex, groupCodes, cells, outOfMemory, at } = axesOf(table);
  const found = (cell: number): FaultyRow => ({ ...at(cell), row: tables.rowOf(native, cell) });
  try {
    const present = new Uint8Array(gridMemory(cells, table.scratch));
    const { duplicates, first } = await tables.place(native, dateIndex, tickerIndex, tickers.length, present);
    const grids = new Map<number, NumberArray>();
    const firstInfinite = new Map<number, number>();
    // The last column's rows and its grid are there at the same time beside all other grids: the widest come first.
    const widths = widthsOf(table.columns);
    for (const k of [...widths.keys()].sort((a, b) => widths[b]! - widths[a]! || a - b)) {
      const grid = numberGrid(widths[k]!, cells, table.scratch);
      firstInfinite.set(k, await tables.layOut(native, k, grid, present));
      grids.set(k, grid);
      onColumn(k);
    }
    const flags = async (name: "universe" | "tradable"): Promise<Uint8Array | undefined> => {
      if (table[name] !== true) return undefined;
      const grid = new Uint8Array(gridMemory(cells, table.scratch));
      await tables.layOutFlags(native, name, grid);
      return grid;
    };
    const [universe, tradable] = [await flags("universe"), await flags("tradable")];
    const groups = groupCodes === undefined ? undefined : new Int32Array(gridMemory(4 * cells, table.scratch));
    if (groups !== undefined) await tables.layOutGroups(native, groupCodes!, groups);
    const values = new Map(table.columns.map(({ name }, k) => [name, grids.get(k)!]));
    const infinite = table.columns.flatMap(({ name }, k) => (firstInfinite.get(k)! < Infinity ? [{ column: name, ...found(firstInfinite.get(k)!) }] : []));
    const faults = { duplicates, ...(duplicates > 0 ? { firstDuplicate: found(first) } : {}), infinite };
    tables.release(native);
    return { dense: { dates, tickers, rows: table.rows, present, values, universe, tradable, groups, groupNames }, faults };
  } catch (cause) {
    throw cause instanceof RangeError ? outOfMemory(cause) : cause;
  }
}

/**
 * The same for a table whose keys were read before its rows, which then need no memory beside the grid's.
 *
 * @param read reads the rows into the table it is given
 * @throws AstgnnError ERR_OUT_OF_MEMORY
 */
export async function layOutReading(keys: NativeTable, layout: ChunkLayout, table: LongTable, read: (rows: NativeTable) => Promise<void>): Promise<{ dense: DenseTable; faults: RowFaults; read: ReadRows }> {
  const tables = loadTables();
  const pace = new Pace();
  const { dates, tickers, groupNames, dateIndex, tickerIndex, groupCodes, cells, outOfMemory, at } = axesOf(table);
  await pace.step();
  try {
    const values: NumberArray[] = [];
    // Memory that is asked for may set off a collection of what was let go of.
    for (const width of layout.widths) {
      values.push(numberGrid(width, cells, table.scratch));
      await pace.step();
    }
    const grid = {
      dateIndex, tickerIndex, groupCodes, values,
      stocks: tickers.length,
      present: new Uint8Array(gridMemory(cells, table.scratch)),
      universe: layout.universe ? new Uint8Array(gridMemory(cells, table.scratch)) : undefined,
      tradable: layout.tradable ? new Uint8Array(gridMemory(cells, table.scratch)) : undefined,
      groups: groupCodes === undefined ? undefined : new Int32Array(gridMemory(4 * cells, table.scratch)),
    };
    const rows = tables.createGridReader(keys, layout, grid);
    await read(rows);
    const { duplicates, first, infinite } = await tables.finishGrid(rows);
    const { present, universe, tradable, groups } = grid;
    return {
      dense: { dates, tickers, rows: table.rows, present, values: new Map(table.columns.map(({ name }, k) => [name, values[k]!])), universe, tradable, groups, groupNames },
      faults: { duplicates, ...(duplicates > 0 ? { firstDuplicate: at(first) } : {}), infinite: table.columns.flatMap(({ name }, k) => (infinite[k]! < Infinity ? [{ column: name, ...at(infinite[k]!) }] : [])) },
      read: tables.describe(rows),
    };
  } catch (cause) {
    throw cause instanceof RangeError ? outOfMemory(cause) : cause;
  }
}

/** Distinct values in order, and the place of each code among them. */
function sortedIndex<V>(values: readonly V[], compare: (a: V, b: V) => number): { distinct: V[]; index: Int32Array } {
  const distinct = [...new Set(values)].sort(compare);
  const place = new Map(distinct.map((value, i) => [value, i]));
  return { distinct, index: Int32Array.from(values, (value) => place.get(value)!) };
}

/** The order of UTF-8 bytes, as DuckDB sorts text: that of code points, which is not JavaScript's. */
function byBytes(a: string, b: string): number {
  if (isAscii(a) && isAscii(b)) return a < b ? -1 : Number(a > b);
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

// eslint-disable-next-line no-control-regex
const isAscii = (text: string): boolean => /^[\x00-\x7f]*$/.test(text);
