import { invalidOption } from "../../errors.js";
import { QUERY, type Database } from "./database.js";
import { literal, quoted } from "./sql.js";
import type { Located, SourceTable } from "./source.js";

/** A DuckDB query as a table. It runs where rows are read, and once more where an error has to name one. */
export async function openQuery(database: Database, sql: string): Promise<SourceTable> {
  if (typeof sql !== "string" || sql.trim() === "") throw invalidOption("source.sql", "a DuckDB query", sql);
  const relation = `(${sql.trim().replace(/;+\s*$/, "")}\n)`;
  return {
    name: QUERY,
    relation,
    columns: await describe(database, relation, QUERY),
    locate: (condition, expressions) => locateByCounting(database, relation, literal(QUERY), condition, expressions, QUERY),
  };
}

/** Names and types of the columns of a relation. */
export async function describe(database: Database, relation: string, name: string): Promise<Map<string, string>> {
  const rows = await database.rows(`DESCRIBE SELECT * FROM ${relation}`, name);
  return new Map(rows.map((row) => [String(row[0]), String(row[1])]));
}

/** The name under which the row number is in a relation that is numbered. */
const ROW = "__row";

/** The first row that meets a condition, by counting the rows of a relation in their order. `file` is SQL for its file. */
export async function locateByCounting(database: Database, relation: string, file: string, condition: string, expressions: readonly string[], name: string): Promise<Located | undefined> {
  const numbered = `(SELECT *, row_number() OVER () AS ${quoted(ROW)} FROM ${relation})`;
  const rows = await database.rows(`SELECT ${file}, s.${quoted(ROW)}, ${selectTexts(expressions)} FROM ${numbered} s WHERE ${condition} ORDER BY 2 LIMIT 1`, name);
  const found = located(rows[0]);
  if (found === undefined || file === literal(QUERY)) return found;
  const first = await database.rows(`SELECT min(s.${quoted(ROW)}) FROM ${numbered} s WHERE ${file} = ${literal(found.file)}`, name);
  return { ...found, row: found.row - Number(first[0]![0]) + 1 };
}

/** SQL for expressions as text. */
export const selectTexts = (expressions: readonly string[]): string => expressions.map((expression) => `CAST(${expression} AS VARCHAR)`).join(", ");

/** A row of file, number and values. */
export function located(row: unknown[] | undefined): Located | undefined {
  return row === undefined ? undefined : { file: String(row[0]), row: Number(row[1]), values: row.slice(2) };
}
