import type { DuckDBConnection } from "@duckdb/node-api";

/** A DuckDB query, on a database of its own or on a connection that the caller has open. */
export interface QuerySource {
  readonly sql: string;
  /** It is used until the panel is open, and stays open. */
  readonly connection?: DuckDBConnection | undefined;
}

/** A folder in Qlib's binary format, daily. Its prices and volumes are adjusted; raw = close / factor. */
export interface QlibSource {
  /** The folder that holds calendars, instruments and features. */
  readonly qlib: string;
  /** Name of a file of instruments without its ending; default "all". Of any other, a stock is in the universe on the dates that the file lists it for. */
  readonly instruments?: string | undefined;
}

/** The part of a table of `@uwdata/flechette` that tells one: its own types do not compile for everybody. */
export interface ArrowTable {
  readonly names: readonly PropertyKey[];
  readonly numRows: number;
  getChildAt(index: number): unknown;
}

/** An Arrow table in memory. */
export interface ArrowSource {
  /** Bytes in Arrow's IPC format, file or stream, also packed with LZ4 or ZSTD; or a table of `@uwdata/flechette`. */
  readonly arrow: Uint8Array | ArrowTable;
}

/** A file, files or glob of .parquet, .csv or .csv.gz, an Arrow file (.feather, .arrow, .ipc), any DuckDB query, a folder in Qlib's format, or an Arrow table. */
export type PanelSource = string | readonly string[] | QuerySource | QlibSource | ArrowSource;
