/**
 * What the torch-free half of the native build does for tables, 1:1 with native/binding/table.cpp. Promises are of work on another thread; one at a time for
 * a table or a check. Arrays are read and written where they lie.
 */
export interface NativeTables {
  /** A table without rows, for chunks of columns in this order: date, ticker, late, group, universe, tradable, numbers. `keysOnly`: rows are forgotten. */
  createReader(layout: ChunkLayout, keysOnly?: boolean): NativeTable;
  /** A table whose rows go to a grid as they are read. It takes over the keys of `keys`, which read them. */
  createGridReader(keys: NativeTable, layout: ChunkLayout, grid: NativeGrid): NativeTable;
  /** After the last row: as `place`, and of each column the first cell with an infinite value, Infinity where there is none. */
  finishGrid(table: NativeTable): Promise<{ duplicates: number; first: number; infinite: number[] }>;
  /** Adds the rows of a chunk: of each column its memory, then its validity, undefined where all rows have a value. */
  appendChunk(table: NativeTable, count: number, memory: readonly (Uint8Array | undefined)[]): void;
  /** Prepares to read a query on a database of its own; `settings`: name, value, name, value. */
  startScan(table: NativeTable, library: string, sql: string, settings: readonly string[]): void;
  /** Reads so many rows or somewhat more; whether there may be more. Rejects with DuckDB's message. */
  readScan(table: NativeTable, count: number): Promise<boolean>;
  interruptScan(table: NativeTable): void;
  closeScan(table: NativeTable): Promise<void>;
  /** What was read. */
  describe(table: NativeTable): ReadRows;
  /** A table in arrays: those of a column stay in `blocks` until it is laid out. `widths`: bytes of a number by column, 4 or 8. */
  rowsOf(widths: Uint8Array, blocks: readonly object[]): NativeTable;
  /** Finds the cell of each row and marks it in `present` [dates * stocks]: how many rows repeat one, and the first cell that is repeated. */
  place(table: NativeTable, dateIndex: Int32Array, tickerIndex: Int32Array, stocks: number, present: Uint8Array): Promise<{ duplicates: number; first: number }>;
  /** Column `k` onto its grid, after `place`; lets go of its rows. The first cell with an infinite value, Infinity where there is none. */
  layOut(table: NativeTable, k: number, grid: Float32Array | Float64Array, present: Uint8Array): Promise<number>;
  /** `codes`: of each group. */
  layOutGroups(table: NativeTable, codes: Int32Array, grid: Int32Array): Promise<void>;
  layOutFlags(table: NativeTable, name: "universe" | "tradable", grid: Uint8Array): Promise<void>;
  /** The first row of a cell, from 1. */
  rowOf(table: NativeTable, cell: number): number;
  /** Frees what is left of a table that is laid out. */
  release(table: NativeTable): void;
  createCheck(input: CheckInput): NativeCheck;
  /** Cleans dates `from` up to `to` and digests them. `input` is kept until then. */
  checkDates(check: NativeCheck, input: CheckInput, from: number, to: number): Promise<void>;
  checkCounts(check: NativeCheck): CheckCounts;
  /** SHA-256 over `head`, all parts of one date after the other, and `tail`. */
  digestWhole(input: GridParts, dates: number, head: Uint8Array, tail: Uint8Array): Promise<Uint8Array>;
  /** Per date from `first` on: stocks that are there, and those that are not though they are within `neighbours` dates before and after. */
  countAbsent(filled: Uint8Array, stocks: number, first: number, neighbours: number, there: Int32Array, absent: Int32Array): Promise<void>;
  /** Pairs of cells: a close that is not within `low` to `high` times the last one before it, and the cell of that. */
  findMoves(close: Float32Array | Float64Array, dates: number, stocks: number, from: number, first: number, low: number, high: number): Promise<Int32Array>;
  /** Returns since the date before, NaN where one of the two closes is missing or lies in another of `segments`. */
  returnsOf(close: Float32Array | Float64Array, segments: Int32Array | undefined, dates: number, stocks: number, out: Float32Array): Promise<void>;
  /** Memory that lies in a file without a name in this folder. Throws where the folder takes none of that size. */
  scratch(folder: string, bytes: number): ArrayBuffer;
  /** Gives back the pages of all such memory. */
  releaseScratch(): void;
}

export interface NativeTable {
  readonly _table: never;
}

export interface NativeCheck {
  readonly _check: never;
}

/** Which columns the chunks of a table have. */
export interface ChunkLayout {
  readonly date: "DATE" | "DOUBLE" | "VARCHAR";
  readonly late: boolean;
  readonly groups: boolean;
  readonly universe: boolean;
  readonly tradable: boolean;
  /** Bytes of a number by column, 4 or 8. */
  readonly widths: Uint8Array;
  /** 1 where the source of a number is text: then -Infinity stands for a text that is no number. */
  readonly isText: Uint8Array;
}

/** A grid [dates * stocks] whose cells are filled as rows are read. */
export interface NativeGrid {
  /** Place of each code among the sorted dates, tickers and groups. */
  readonly dateIndex: Int32Array;
  readonly tickerIndex: Int32Array;
  readonly groupCodes: Int32Array | undefined;
  readonly stocks: number;
  readonly present: Uint8Array;
  readonly values: readonly (Float32Array | Float64Array)[];
  readonly universe: Uint8Array | undefined;
  readonly tradable: Uint8Array | undefined;
  readonly groups: Int32Array | undefined;
}

export interface ReadRows {
  readonly rows: number;
  readonly late: number;
  readonly lacksDate: boolean;
  readonly lacksTicker: boolean;
  /** Whether a cell of it is neither yes nor no. */
  readonly badUniverse: boolean;
  readonly badTradable: boolean;
  /** Columns of numbers with a text that is none. */
  readonly badNumbers: readonly number[];
  /** Distinct values, by code. */
  readonly dates: Float64Array | readonly string[];
  readonly tickers: readonly string[];
  readonly groups?: readonly string[];
}

/** What digests cover of a grid [dates * stocks]: who has a row, columns and codes at the rows. */
export interface GridParts {
  readonly stocks: number;
  readonly present: Uint8Array;
  readonly columns: readonly (Float32Array | Float64Array)[];
  readonly codes: readonly (Uint8Array | Int32Array)[];
}

/** A grid to check. */
export interface CheckInput extends GridParts {
  /** Columns whose values of zero or less become missing. */
  readonly prices: readonly number[];
  /** Columns that both become missing where high is below low; -1: none. */
  readonly high: number;
  readonly low: number;
  /** Columns of which one has to have a value for the cell to be filled. */
  readonly filling: readonly number[];
  /** Set to 1 in cells that are. */
  readonly filled: Uint8Array;
  /** Set to the digests of all parts: [parts, dates, 32]. */
  readonly digests: Uint8Array;
}

/** Values of a column that cleaning made missing. */
export interface Replaced {
  readonly cells: Int32Array;
  readonly values: Float64Array;
}

export interface CheckCounts {
  readonly prices: readonly { readonly zero: number; readonly negative: number; readonly positive: number }[];
  /** Of each price column. */
  readonly replaced: readonly Replaced[];
  readonly crossed: number;
  readonly kept: number;
}
