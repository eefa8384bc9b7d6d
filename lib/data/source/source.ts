import { invalidOption } from "../../errors.js";
import type { Database } from "./database.js";
import { openFiles } from "./files.js";
import type { ArrowSource, PanelSource, QlibSource, QuerySource } from "./panel-source.js";
import { openQuery } from "./query.js";
import type { SourceTable } from "./table.js";

/** Makes a source readable by DuckDB; nothing but headers is read yet. CSV columns are text, so that a bad number can be named with its row. */
export async function openSource(database: Database, source: Exclude<PanelSource, ArrowSource | QlibSource>): Promise<SourceTable> {
  if (typeof source === "object" && source !== null && !Array.isArray(source)) return openQuery(database, source as QuerySource);
  if (typeof source !== "string" && !Array.isArray(source)) throw invalidOption("source", "a path, a list of paths or { sql }", source);
  const paths = typeof source === "string" ? [source] : [...(source as readonly string[])];
  if (paths.length === 0) throw invalidOption("source", "at least one path", paths);
  return openFiles(database, paths);
}
