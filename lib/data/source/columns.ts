import { AstgnnError } from "../../errors.js";
import { requireColumn } from "./names.js";
import { quoted } from "./sql.js";
import { placeOf, type SourceTable } from "./table.js";

/** Prices and volume, known by name: read wherever they are there, never below or at zero. */
export const PRICE_COLUMNS = ["open", "high", "low", "close", "volume"] as const;

/** The columns that are read when a panel is opened, of those that it has: prices, by which rows are cleaned, counted and checked; all where there is no close. */
export function readAtOnce(columns: readonly string[]): string[] {
  return columns.filter((name) => !columns.includes("close") || (PRICE_COLUMNS as readonly string[]).includes(name));
}

/** A numeric column and the SQL that yields it from `s` as FLOAT or DOUBLE. */
export interface NumberColumn {
  readonly name: string;
  readonly sql: string;
  readonly precision: "float32" | "float64";
  /** Whether the source holds text: then -Infinity stands for a text that is no number. */
  readonly isText: boolean;
  /** Whether it was named, and not taken because it holds numbers. */
  readonly isNamed: boolean;
}

/** A yes/no column: SQL that yields it from `s` as UTINYINT 0, 1 or {@link BAD_FLAG}, NULL as 0. */
export interface FlagColumn {
  readonly sql: string;
  /** The error about the first bad flag. */
  readonly refusal: () => Promise<AstgnnError>;
}

/** Stands for a text that is neither yes nor no. */
export const BAD_FLAG = 2;

/** Rows that tell what a text column holds. */
const SAMPLE_ROWS = 10_000;

const NUMERIC = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN)$/;

/**
 * The numeric columns to read: those asked for, or all that are not `reserved`. A text column counts as numeric where it was asked for,
 * is a price, or holds numbers in at least half of its cells in the first 10,000 rows (of all rows where those are empty); then every other text in it is
 * an error.
 *
 * @throws AstgnnError ERR_DATA naming file and column
 */
export async function numberColumns(table: SourceTable, requested: readonly string[] | undefined, reserved: ReadonlySet<string>): Promise<{ columns: NumberColumn[]; skipped: string[] }> {
  const candidates = requested ?? [...table.columns.keys()].filter((name) => !reserved.has(name));
  const isNamed = requested !== undefined;
  const isPrice = (name: string): boolean => (PRICE_COLUMNS as readonly string[]).includes(name);
  const unknown = candidates.filter((name) => requireColumn(table, name, "columns") === "VARCHAR" && !isNamed && !isPrice(name));
  const holdNumbers = await findNumeric(table, unknown);
  const columns: NumberColumn[] = [];
  const skipped: string[] = [];
  for (const name of candidates) {
    const type = table.columns.get(name)!;
    const column = `s.${quoted(name)}`;
    if (type === "VARCHAR" && (isNamed || isPrice(name) || holdNumbers.has(name))) {
      const sql = `CASE WHEN trim(${column}) <> '' THEN COALESCE(TRY_CAST(trim(${column}) AS DOUBLE), '-infinity'::DOUBLE) END`;
      columns.push({ name, sql, precision: "float64", isText: true, isNamed });
    } else if (type === "FLOAT") columns.push({ name, sql: column, precision: "float32", isText: false, isNamed });
    else if (NUMERIC.test(type) && (type !== "BOOLEAN" || isNamed)) {
      columns.push({ name, sql: type === "DOUBLE" ? column : `CAST(${column} AS DOUBLE)`, precision: "float64", isText: false, isNamed });
    } else if (!isNamed) skipped.push(name);
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

/** Those text columns that hold numbers in at least half of their cells. */
async function findNumeric(table: SourceTable, names: readonly string[]): Promise<Set<string>> {
  const found = new Set<string>();
  const count = async (of: readonly string[], relation: string): Promise<string[]> => {
    if (of.length === 0) return [];
    const counts = of.map((name) => `count(NULLIF(trim(${quoted(name)}), '')), count(TRY_CAST(trim(${quoted(name)}) AS DOUBLE))`).join(", ");
    const row = (await table.database.rows(`SELECT ${counts} FROM ${relation}`, table.name))[0]!.map(Number);
    of.forEach((name, i) => {
      if (row[2 * i + 1]! > 0 && row[2 * i + 1]! * 2 >= row[2 * i]!) found.add(name);
    });
    return of.filter((_, i) => row[2 * i] === 0);
  };
  const empty = await count(names, `(SELECT ${names.map(quoted).join(", ")} FROM ${table.relation} LIMIT ${SAMPLE_ROWS})`);
  await count(empty, table.relation);
  return found;
}

/** @throws AstgnnError ERR_DATA naming the first text of a column that is no number; returns where there is none after all, only an infinite number */
export async function refuseText(table: SourceTable, { name, isNamed }: NumberColumn): Promise<void> {
  const column = `s.${quoted(name)}`;
  const bad = await table.locate(`trim(${column}) <> '' AND TRY_CAST(trim(${column}) AS DOUBLE) IS NULL`, [column]);
  if (bad === undefined) return;
  throw new AstgnnError("ERR_DATA", `Column ${name} of ${bad.file} holds the text ${JSON.stringify(bad.values[0])} in row ${bad.row} where a number belongs.`, {
    file: bad.file,
    column: name,
    row: bad.row,
    next: isNamed ? "Correct it, or leave the cell empty where the number is missing." : "Correct it, leave the cell empty where the number is missing, or name the columns to read in columns.",
  });
}

/**
 * A yes/no column: BOOLEAN, any number, or text that says true or false or a number.
 *
 * @throws AstgnnError ERR_DATA where it is of another type
 */
export function flagColumn(table: SourceTable, name: string, option: string): FlagColumn {
  const type = requireColumn(table, name, option);
  const column = `s.${quoted(name)}`;
  const refuse = (file: string, holds: string, row?: number): AstgnnError =>
    new AstgnnError("ERR_DATA", `Column ${name} of ${file} (${option}) ${holds} where true or false belongs.`, {
      file,
      column: name,
      option,
      ...(row === undefined ? {} : { row }),
      next: "Write true or false, or 1 or 0.",
    });
  const flag = type === "VARCHAR" ? `COALESCE(TRY_CAST(trim(${column}) AS BOOLEAN), TRY_CAST(trim(${column}) AS DOUBLE) <> 0)` : type === "FLOAT" || type === "DOUBLE" ? `(${column} <> 0 AND NOT isnan(${column}))` : type === "BOOLEAN" ? column : `(${column} <> 0)`;
  if (type !== "VARCHAR" && !NUMERIC.test(type)) throw refuse(table.name, `has type ${type}`);
  const isFilled = type === "VARCHAR" ? `trim(${column}) <> ''` : `${column} IS NOT NULL`;
  return {
    sql: `CAST(CASE WHEN ${isFilled} THEN COALESCE(CAST(${flag} AS UTINYINT), ${BAD_FLAG}) ELSE 0 END AS UTINYINT)`,
    refusal: async () => {
      const bad = await table.locate(`${isFilled} AND (${flag}) IS NULL`, [column]);
      return refuse(bad?.file ?? table.name, `holds ${JSON.stringify(bad?.values[0] ?? "a text")}${placeOf(bad)}`, bad?.row);
    },
  };
}
