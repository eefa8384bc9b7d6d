import { existsSync, statSync } from "node:fs";
import { AstgnnError, invalidOption, nearest } from "../../errors.js";
import { csvSql } from "./csv.js";
import { QUERY, type Database } from "./database.js";
import { literal } from "./sql.js";

/** A file, files or glob of .parquet, .csv or .csv.gz, or any DuckDB query. */
export type PanelSource = string | readonly string[] | { readonly sql: string };

/** Where a row of a source lies. */
export interface Located {
  readonly file: string;
  /** Row of that file from 1, the header not counted. */
  readonly row: number;
  readonly values: readonly unknown[];
}

/** A table as SQL, its columns with their types, and the way back from a condition to file and row. */
export interface SourceTable {
  /** For messages: the path as written, or the query. */
  readonly name: string;
  /** SQL to select from. */
  readonly relation: string;
  readonly columns: ReadonlyMap<string, string>;
  /** The first row that meets `condition`, with the values of `expressions`. */
  locate(condition: string, expressions: readonly string[]): Promise<Located | undefined>;
}


/**
 * Makes a source readable by DuckDB. CSV and SQL are read once into `table` (all CSV columns as text, so that a bad number can be named with its row);
 * Parquet is read in place.
 */
export async function openSource(database: Database, source: PanelSource, table: string): Promise<SourceTable> {
  if (typeof source === "object" && !Array.isArray(source)) return openQuery(database, (source as { sql: string }).sql, table);
  const paths = typeof source === "string" ? [source] : [...(source as readonly string[])];
  if (paths.length === 0) throw invalidOption("source", "at least one path", paths);
  const kinds = new Set(paths.map(kindOf));
  if (kinds.size > 1) throw new AstgnnError("ERR_OPTION", "One source mixes Parquet and CSV files.", { option: "source", next: "Read one format, or name a { sql } query that joins both." });
  const name = paths.join(", ");
  const isHive = paths.filter(isFile).length < paths.length;
  const list = `[${paths.map(literal).join(", ")}]`;
  return kinds.has("parquet") ? openParquet(database, name, isHive ? list : `${list}, hive_partitioning = false`) : openCsv(database, name, list, isHive, table);
}

function kindOf(path: string): "parquet" | "csv" {
  if (typeof path !== "string") throw invalidOption("source", "a path, a list of paths or { sql }", path);
  if (/\.(parquet|parq|pq)$/i.test(path)) return "parquet";
  if (/\.(csv|tsv)(\.gz)?$/i.test(path) && !path.includes("://")) return "csv";
  throw invalidOption("source", "a path that ends in .parquet, .csv or .csv.gz", path, 'For anything else name a query, e.g. { sql: "select * from ..." }.');
}

/** Whether the path is that of a file, whatever characters it has; else it is a glob or an address. */
function isFile(path: string): boolean {
  if (existsSync(path)) {
    if (statSync(path).isFile()) return true;
    throw new AstgnnError("ERR_DATA", `${path} is a folder.`, { file: path, next: `Name its files with a glob, e.g. ${path}/*.parquet.` });
  }
  if (/[*?[\]{}]/.test(path) || path.includes("://")) return false;
  throw new AstgnnError("ERR_DATA", `File ${path} does not exist.`, { file: path, next: "Check the path." });
}

async function openParquet(database: Database, name: string, list: string): Promise<SourceTable> {
  const relation = `read_parquet(${list}, union_by_name = true)`;
  const columns = await describe(database, relation, name);
  return {
    name,
    relation,
    columns,
    locate: async (condition, expressions) => {
      const rows = await database.rows(
        `SELECT filename, file_row_number + 1, ${select(expressions)} FROM read_parquet(${list}, union_by_name = true, filename = true, file_row_number = true) s
         WHERE ${condition} ORDER BY 1, 2 LIMIT 1`,
        name,
      );
      return located(rows[0]);
    },
  };
}

async function openCsv(database: Database, name: string, list: string, isHive: boolean, table: string): Promise<SourceTable> {
  const files = (await database.rows(`SELECT DISTINCT file FROM glob(${list}) ORDER BY file`, name)).map((row) => String(row[0]));
  if (files.length === 0) throw new AstgnnError("ERR_DATA", `No file matches ${name}.`, { file: name, next: "Check the path." });
  const parts = await Promise.all(files.map((file) => csvSql(file, isHive)));
  await database.run(`CREATE TEMP TABLE ${table} AS ${parts.join(" UNION ALL BY NAME ")}`, name);
  const columns = await describe(database, table, name);
  columns.delete("__file");
  return {
    name,
    relation: table,
    columns,
    locate: async (condition, expressions) => {
      const rows = await database.rows(
        `SELECT s.__file, s.rowid - (SELECT min(o.rowid) FROM ${table} o WHERE o.__file = s.__file) + 1, ${select(expressions)}
         FROM ${table} s WHERE ${condition} ORDER BY s.rowid LIMIT 1`,
        name,
      );
      return located(rows[0]);
    },
  };
}

async function openQuery(database: Database, sql: string, table: string): Promise<SourceTable> {
  if (typeof sql !== "string" || sql.trim() === "") throw invalidOption("source.sql", "a DuckDB query", sql);
  const name = QUERY;
  await database.run(`CREATE TEMP TABLE ${table} AS SELECT * FROM (${sql.trim().replace(/;+\s*$/, "")}\n)`, name);
  const columns = await describe(database, table, name);
  return {
    name,
    relation: table,
    columns,
    locate: async (condition, expressions) => {
      const rows = await database.rows(`SELECT ${literal(name)}, s.rowid + 1, ${select(expressions)} FROM ${table} s WHERE ${condition} ORDER BY s.rowid LIMIT 1`, name);
      return located(rows[0]);
    },
  };
}

const select = (expressions: readonly string[]): string => expressions.map((expression) => `CAST(${expression} AS VARCHAR)`).join(", ");

function located(row: unknown[] | undefined): Located | undefined {
  return row === undefined ? undefined : { file: String(row[0]), row: Number(row[1]), values: row.slice(2) };
}

async function describe(database: Database, relation: string, name: string): Promise<Map<string, string>> {
  const rows = await database.rows(`DESCRIBE SELECT * FROM ${relation}`, name);
  return new Map(rows.map((row) => [String(row[0]), String(row[1])]));
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
