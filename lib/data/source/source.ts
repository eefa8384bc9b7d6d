import { AstgnnError, invalidOption, nearest } from "../../errors.js";
import type { Database } from "./database.js";
import { openFiles } from "./files.js";
import { openQuery } from "./query.js";

/** A file, files or glob of .parquet, .csv or .csv.gz, or any DuckDB query. */
export type PanelSource = string | readonly string[] | { readonly sql: string };

/** Where a row of a source lies. */
export interface Located {
  readonly file: string;
  /** Row of that file from 1, the header not counted. */
  readonly row: number;
  readonly values: readonly unknown[];
}

/** A table as SQL, its columns with their types, and how to find the row that meets a condition. */
export interface SourceTable {
  /** For messages: the path as written, or the query. */
  readonly name: string;
  /** SQL to select from: it reads the source anew, in the order of its rows. */
  readonly relation: string;
  readonly columns: ReadonlyMap<string, string>;
  /** The first row `s` that meets `condition`, with the values of `expressions`; undefined where a query gives other rows when it is asked again. */
  locate(condition: string, expressions: readonly string[]): Promise<Located | undefined>;
}

/** Makes a source readable by DuckDB; nothing but headers is read yet. CSV columns are text, so that a bad number can be named with its row. */
export async function openSource(database: Database, source: PanelSource): Promise<SourceTable> {
  if (typeof source === "object" && !Array.isArray(source)) return openQuery(database, (source as { sql: string }).sql);
  const paths = typeof source === "string" ? [source] : [...(source as readonly string[])];
  if (paths.length === 0) throw invalidOption("source", "at least one path", paths);
  return openFiles(database, paths);
}

/** " in row 7", or nothing where the row is not known. */
export function placeOf(located: Located | undefined): string {
  return located === undefined ? "" : ` in row ${located.row}`;
}

/** The type of a column that must be there. */
export function requireColumn(table: SourceTable, column: string, option: string): string {
  const type = table.columns.get(column);
  if (type !== undefined) return type;
  const known = [...table.columns.keys()];
  const near = nearest(column, known);
  throw new AstgnnError("ERR_DATA", `${table.name} has no column ${column} (${option}); its columns are ${known.join(", ")}.`, {
    file: table.name,
    column,
    option,
    next: near === undefined ? `Name the column in ${option}.` : `Did you mean ${near}? Name it in ${option}.`,
  });
}
