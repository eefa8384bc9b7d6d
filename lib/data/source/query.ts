import { DuckDBConnection, version } from "@duckdb/node-api";
import { invalidOption } from "../../errors.js";
import { QUERY, type Database } from "./database.js";
import { literal } from "./sql.js";
import { describe, SourceTable } from "./table.js";

/** A DuckDB query as a table. It runs where rows are read, and once more where an error has to name one. */
export async function openQuery(own: Database, { sql, connection }: { readonly sql: string; readonly connection?: DuckDBConnection | undefined }): Promise<SourceTable> {
  if (typeof sql !== "string" || sql.trim() === "") throw invalidOption("source.sql", "a DuckDB query", sql);
  if (connection !== undefined && !(connection instanceof DuckDBConnection)) {
    throw invalidOption("source.connection", `a DuckDBConnection of @duckdb/node-api ${version()}, the copy that astgnn uses,`, connection, "Make it with that version, so that npm installs one copy for both.");
  }
  const database = connection === undefined ? own : own.over(connection);
  const relation = `(${sql.trim().replace(/;+\s*$/, "")}\n)`;
  // A query that closes the bracket itself could go on with another statement, and write: those of a run's file are read only.
  if ((await database.statements(`SELECT * FROM ${relation}`, QUERY)) !== 1) throw invalidOption("source.sql", "one query", sql);
  return new SourceTable(database, { name: QUERY, relation, columns: await describe(database, relation, QUERY), places: async () => ({ relation, file: literal(QUERY) }) });
}
