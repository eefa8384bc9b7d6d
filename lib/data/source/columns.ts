import { AstgnnError } from "../../errors.js";
import type { Database } from "./database.js";
import { requireColumn, type SourceTable } from "./source.js";
import { quoted } from "./sql.js";

/** Prices and volume, known by name: read wherever they are there, never below or at zero. */
export const PRICE_COLUMNS = ["open", "high", "low", "close", "volume"] as const;

/** A numeric column and the SQL that yields it from `s` without NULL (NaN instead). */
export interface NumberColumn {
  readonly name: string;
  readonly sql: string;
  readonly precision: "float32" | "float64";
}

const NUMERIC = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN)$/;

/**
 * The numeric columns to read: those asked for, or all that are not `reserved`. A text column counts as numeric where it was asked for,
 * is a price, or holds numbers in at least half of its cells; then every other text in it is an error.
 *
 * @throws AstgnnError ERR_DATA naming file, column, row and value
 */
export async function numberColumns(database: Database, table: SourceTable, requested: readonly string[] | undefined, reserved: ReadonlySet<string>): Promise<{ columns: NumberColumn[]; skipped: string[] }> {
  const candidates = requested ?? [...table.columns.keys()].filter((name) => !reserved.has(name));
  const textual = candidates.filter((name) => requireColumn(table, name, "columns") === "VARCHAR");
  const shares = await numberShares(database, table, textual);
  const columns: NumberColumn[] = [];
  const skipped: string[] = [];
  for (const name of candidates) {
    const type = table.columns.get(name)!;
    const share = shares.get(name);
    if (share !== undefined) {
      const wanted = requested !== undefined || (PRICE_COLUMNS as readonly string[]).includes(name) || (share.numbers > 0 && share.numbers * 2 >= share.filled);
      if (!wanted) skipped.push(name);
      else if (share.numbers < share.filled) throw await textInNumberColumn(table, name, requested !== undefined);
      else columns.push({ name, sql: `COALESCE(${textAsNumber(`s.${quoted(name)}`)}, 'nan'::DOUBLE)`, precision: "float64" });
    } else if (type === "FLOAT") columns.push({ name, sql: `COALESCE(s.${quoted(name)}, 'nan'::FLOAT)`, precision: "float32" });
    else if (NUMERIC.test(type) && (type !== "BOOLEAN" || requested !== undefined)) {
      columns.push({ name, sql: `COALESCE(CAST(s.${quoted(name)} AS DOUBLE), 'nan'::DOUBLE)`, precision: "float64" });
    } else if (requested === undefined) skipped.push(name);
    else {
      throw new AstgnnError("ERR_DATA", `Column ${name} of ${table.name} has type ${type}, which is no number.`, {
        file: table.name,
        column: name,
        option: "columns",
        next: "Leave it out of columns, or cast it in a { sql } query.",
      });
    }
  }
  return { columns, skipped };
}

const textAsNumber = (column: string): string => `TRY_CAST(NULLIF(trim(${column}), '') AS DOUBLE)`;

async function numberShares(database: Database, table: SourceTable, names: readonly string[]): Promise<Map<string, { filled: number; numbers: number }>> {
  if (names.length === 0) return new Map();
  const counts = names.map((name) => `count(NULLIF(trim(${quoted(name)}), '')), count(${textAsNumber(quoted(name))})`).join(", ");
  const row = (await database.rows(`SELECT ${counts} FROM ${table.relation}`, table.name))[0]!;
  return new Map(names.map((name, i) => [name, { filled: Number(row[2 * i]), numbers: Number(row[2 * i + 1]) }]));
}

async function textInNumberColumn(table: SourceTable, name: string, requested: boolean): Promise<AstgnnError> {
  const column = quoted(name);
  const bad = await table.locate(`NULLIF(trim(s.${column}), '') IS NOT NULL AND ${textAsNumber(`s.${column}`)} IS NULL`, [`s.${column}`]);
  return new AstgnnError("ERR_DATA", `Column ${name} of ${bad!.file} holds the text ${JSON.stringify(bad!.values[0])} in row ${bad!.row} where a number belongs.`, {
    file: bad!.file,
    column: name,
    row: bad!.row,
    next: requested ? "Correct it, or leave the cell empty where the number is missing." : "Correct it, leave the cell empty where the number is missing, or name the columns to read in columns.",
  });
}

/**
 * SQL of a yes/no column of `s` as 0 or 1, NULL as 0.
 *
 * @throws AstgnnError ERR_DATA where the column holds neither
 */
export async function flagSql(table: SourceTable, name: string, option: string): Promise<string> {
  const type = requireColumn(table, name, option);
  const column = `s.${quoted(name)}`;
  if (type === "BOOLEAN") return `CAST(COALESCE(${column}, false) AS INTEGER)`;
  if (type === "FLOAT" || type === "DOUBLE") return `CAST(COALESCE(${column} <> 0 AND NOT isnan(${column}), false) AS INTEGER)`;
  if (NUMERIC.test(type)) return `CAST(COALESCE(${column} <> 0, false) AS INTEGER)`;
  const flag = (at: string): string => `COALESCE(TRY_CAST(trim(${at}) AS BOOLEAN), TRY_CAST(trim(${at}) AS DOUBLE) <> 0)`;
  const bad = type === "VARCHAR" ? await table.locate(`NULLIF(trim(${column}), '') IS NOT NULL AND ${flag(column)} IS NULL`, [column]) : undefined;
  if (type === "VARCHAR" && bad === undefined) return `CAST(COALESCE(${flag(column)}, false) AS INTEGER)`;
  const where = bad === undefined ? `has type ${type}` : `holds ${JSON.stringify(bad.values[0])} in row ${bad.row}`;
  throw new AstgnnError("ERR_DATA", `Column ${name} of ${bad?.file ?? table.name} (${option}) ${where} where true or false belongs.`, {
    file: bad?.file ?? table.name,
    column: name,
    option,
    ...(bad === undefined ? {} : { row: bad.row }),
    next: "Write true or false, or 1 or 0.",
  });
}
