import type { DuckDBConnection } from "@duckdb/node-api";
import { invalidOption } from "../../errors.js";
import type { Database } from "./database.js";
import { openFiles } from "./files.js";
import type { QlibSource } from "./qlib.js";
import { openQuery } from "./query.js";
import type { SourceTable } from "./table.js";

/** A DuckDB query, on a database of its own or on a connection that the caller has open. */
export interface QuerySource {
  readonly sql: string;
  /** It is used until the panel is open, and stays open. */
  readonly connection?: DuckDBConnection | undefined;
}

/** A file, files or glob of .parquet, .csv or .csv.gz, any DuckDB query, or a folder in Qlib's format. */
export type PanelSource = string | readonly string[] | QuerySource | QlibSource;

/** Makes a source readable by DuckDB; nothing but headers is read yet. CSV columns are text, so that a bad number can be named with its row. */
export async function openSource(database: Database, source: Exclude<PanelSource, QlibSource>): Promise<SourceTable> {
  if (typeof source === "object" && !Array.isArray(source)) return openQuery(database, source as QuerySource);
  const paths = typeof source === "string" ? [source] : [...(source as readonly string[])];
  if (paths.length === 0) throw invalidOption("source", "at least one path", paths);
  return openFiles(database, paths);
}
