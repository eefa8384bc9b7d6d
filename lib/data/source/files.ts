import { existsSync, statSync } from "node:fs";
import { AstgnnError, invalidOption } from "../../errors.js";
import { csvRelation, notUtf8 } from "./csv.js";
import type { Database } from "./database.js";
import { literal } from "./sql.js";
import { describe, SourceTable } from "./table.js";

/** Files or globs of one format as a table. */
export async function openFiles(database: Database, paths: readonly string[]): Promise<SourceTable> {
  const kinds = new Set(paths.map(kindOf));
  if (kinds.size > 1) throw new AstgnnError("ERR_OPTION", "One source mixes Parquet and CSV files.", { option: "source", next: "Read one format, or name a { sql } query that joins both." });
  const name = paths.join(", ");
  const isHive = paths.filter(isFile).length < paths.length;
  const list = `[${paths.map(literal).join(", ")}]`;
  return kinds.has("parquet") ? openParquet(database, name, isHive ? list : `${list}, hive_partitioning = false`) : openCsv(database, name, list, isHive);
}

function kindOf(path: string): "parquet" | "csv" {
  if (typeof path !== "string") throw invalidOption("source", "a path, a list of paths or { sql }", path);
  if (/\.(parquet|parq|pq)$/i.test(path)) return "parquet";
  if (path.endsWith(".pack")) throw new AstgnnError("ERR_DATA", `${path} is a packed dataset, which has features and no table of prices.`, { file: path, next: "Train on it with astgnn train --data or openPack, or name the table that it was packed from." });
  if (/\.(csv|tsv)(\.gz)?$/i.test(path) && !path.includes("://")) return "csv";
  throw invalidOption("source", "a path that ends in .parquet, .csv or .csv.gz, or one .feather or .arrow file", path, 'For anything else name a query, e.g. { sql: "select * from ..." }.');
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
  const places = async () => ({ relation: `read_parquet(${list}, union_by_name = true, filename = '${FILE}', file_row_number = true)`, file: FILE, row: "file_row_number + 1" });
  return new SourceTable(database, { name, relation, columns: await describe(database, relation, name), isColumnar: true, places });
}

/** The column that names the file of a row. */
const FILE = "__source";

async function openCsv(database: Database, name: string, list: string, isHive: boolean): Promise<SourceTable> {
  const files = (await database.rows(`SELECT DISTINCT file FROM glob(${list}) ORDER BY file`, name)).map((row) => String(row[0]));
  if (files.length === 0) throw new AstgnnError("ERR_DATA", `No file matches ${name}.`, { file: name, next: "Check the path." });
  const relation = await csvRelation(files, isHive, undefined);
  database.explain(() => notUtf8(files));
  const places = async () => ({ relation: await csvRelation(files, isHive, FILE), file: FILE });
  return new SourceTable(database, { name, relation, columns: await describe(database, relation, name), places });
}
