import { invalidOption } from "../../errors.js";
import { QUERY, type Database } from "./database.js";
import { literal } from "./sql.js";
import { describe, SourceTable } from "./table.js";

/** A DuckDB query as a table. It runs where rows are read, and once more where an error has to name one. */
export async function openQuery(database: Database, sql: string): Promise<SourceTable> {
  if (typeof sql !== "string" || sql.trim() === "") throw invalidOption("source.sql", "a DuckDB query", sql);
  const relation = `(${sql.trim().replace(/;+\s*$/, "")}\n)`;
  return new SourceTable(database, { name: QUERY, relation, columns: await describe(database, relation, QUERY), places: async () => ({ relation, file: literal(QUERY) }) });
}
