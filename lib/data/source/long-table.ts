import { AstgnnError } from "../../errors.js";
import { isoDate } from "../calendar.js";
import { Pace } from "../pace.js";

export type NumberArray = Float32Array | Float64Array;

/** Rows of a long table, a few thousand at a time: codes of their dates and tickers, and what they hold. All arrays have `count` entries or more. */
export interface RowBlock {
  readonly count: number;
  /** Index into `days` of the table. Overwritten by {@link layOut} with the cell. */
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

/** A long table in memory, keys as codes. Several codes may stand for the same date, ticker or group. */
export interface LongTable {
  readonly name: string;
  readonly blocks: readonly RowBlock[];
  /** Days from 1970-01-01 by code. */
  readonly days: readonly number[];
  readonly tickers: readonly string[];
  /** By code; undefined where there is no group column. A name that stands for no group is null. */
  readonly groups?: readonly (string | null)[] | undefined;
  readonly columns: readonly { readonly name: string; readonly precision: "float32" | "float64" }[];
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
  /** The first row of that date and ticker, from 1 over all blocks. */
  readonly row: number;
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

/**
 * Puts a long table onto the grid of its sorted dates and tickers, one column after the other, and lets go of each column's blocks: at no time are there two
 * copies of all values.
 *
 * @throws AstgnnError ERR_OUT_OF_MEMORY
 */
export async function layOut(table: LongTable): Promise<{ dense: DenseTable; faults: RowFaults }> {
  const pace = new Pace();
  const { blocks } = table;
  const days = sortedIndex(table.days, (a, b) => a - b);
  const tickers = sortedIndex(table.tickers, byBytes);
  const groups = table.groups === undefined ? undefined : sortedIndex(table.groups, (a, b) => (a === null || b === null ? Number(a === null) - Number(b === null) : byBytes(a, b)));
  const dates = days.distinct.map(isoDate);
  const stocks = tickers.distinct.length;
  const at = (cell: number): FaultyRow => ({ date: dates[Math.floor(cell / stocks)]!, ticker: tickers.distinct[cell % stocks]!, row: rowOf(blocks, cell) });
  const cells = dates.length * stocks;
  const refuse = (cause?: unknown): AstgnnError =>
    new AstgnnError("ERR_OUT_OF_MEMORY", `A panel of ${dates.length} dates x ${stocks} stocks x ${table.columns.length} columns does not fit into memory.`, { cause, next: "Read fewer columns or a shorter date range." });
  if (cells >= 2 ** 31) throw refuse();
  try {
    const present = new Uint8Array(cells);
    const duplicated = { count: 0, first: Infinity };
    for (const block of blocks) {
      fillCells(block, days.index, tickers.index, stocks, present, duplicated);
      await pace.step();
    }
    const values = new Map<string, NumberArray>();
    const infinite: (FaultyRow & { readonly column: string })[] = [];
    for (const [k, { name, precision }] of table.columns.entries()) {
      const grid = precision === "float32" ? new Float32Array(cells) : new Float64Array(cells);
      let firstInfinite = Infinity;
      for (const block of blocks) {
        firstInfinite = Math.min(firstInfinite, scatter(block.values[k]!, block.count, block.dates, grid));
        block.values[k] = undefined;
        await pace.step();
      }
      for (let from = 0; from < cells; from += SLICE) {
        fillAbsent(grid, present, from, Math.min(cells, from + SLICE));
        await pace.step();
      }
      if (firstInfinite < Infinity) infinite.push({ column: name, ...at(firstInfinite) });
      values.set(name, grid);
    }
    const flags = async (name: "universe" | "tradable"): Promise<Uint8Array | undefined> => {
      if (blocks[0]?.[name] === undefined) return undefined;
      const grid = new Uint8Array(cells);
      for (const block of blocks) {
        for (let i = 0; i < block.count; i++) grid[block.dates[i]!] = block[name]![i]!;
        await pace.step();
      }
      return grid;
    };
    const groupNames = groups?.distinct.filter((name) => name !== null) ?? [];
    const dense = { dates, tickers: tickers.distinct, rows: blocks.reduce((sum, { count }) => sum + count, 0), present, values, universe: await flags("universe"), tradable: await flags("tradable"), groups: await groupGrid(), groupNames };
    return { dense, faults: { duplicates: duplicated.count, ...(duplicated.count > 0 ? { firstDuplicate: at(duplicated.first) } : {}), infinite } };

    async function groupGrid(): Promise<Int32Array | undefined> {
      if (groups === undefined) return undefined;
      const grid = new Int32Array(cells).fill(-1);
      const codes = groups.index.map((i) => (i < groupNames.length ? i : -1));
      for (const block of blocks) {
        for (let i = 0; i < block.count; i++) if (block.groups![i]! >= 0) grid[block.dates[i]!] = codes[block.groups![i]!]!;
        await pace.step();
      }
      return grid;
    }
  } catch (cause) {
    throw cause instanceof RangeError ? refuse(cause) : cause;
  }
}

/** Cells that are looked at between two looks at the clock. */
const SLICE = 1 << 15;

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

function fillCells({ dates, tickers, count }: RowBlock, dateIndex: Int32Array, tickerIndex: Int32Array, stocks: number, present: Uint8Array, duplicated: { count: number; first: number }): void {
  for (let i = 0; i < count; i++) {
    const cell = dateIndex[dates[i]!]! * stocks + tickerIndex[tickers[i]!]!;
    dates[i] = cell;
    if (present[cell] === 1) {
      duplicated.count++;
      if (cell < duplicated.first) duplicated.first = cell;
    }
    present[cell] = 1;
  }
}

/** The first row of a cell, from 1, when the blocks know their cells. */
function rowOf(blocks: readonly RowBlock[], cell: number): number {
  let before = 0;
  for (const { dates, count } of blocks) {
    const i = dates.subarray(0, count).indexOf(cell);
    if (i >= 0) return before + i + 1;
    before += count;
  }
  return before;
}

/** Returns the first cell whose value is infinite, Infinity where there is none. */
function scatter(values: NumberArray, count: number, cells: Int32Array, grid: NumberArray): number {
  let first = Infinity;
  for (let i = 0; i < count; i++) {
    const value = values[i]!;
    grid[cells[i]!] = value;
    if ((value === Infinity || value === -Infinity) && cells[i]! < first) first = cells[i]!;
  }
  return first;
}

/** NaN where there is no row: less work than to fill all cells before. */
function fillAbsent(grid: NumberArray, present: Uint8Array, from: number, end: number): void {
  for (let i = from; i < end; i++) if (present[i] === 0) grid[i] = NaN;
}
