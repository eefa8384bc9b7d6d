import { AstgnnError } from "../errors.js";
import type { Warning } from "../warn.js";
import { dateSql, firstNotBefore, isoDate, lastNotAfter } from "./calendar.js";
import type { Database } from "./source/database.js";
import type { LedgerBuilder } from "./ledger.js";
import type { DenseTable } from "./source/long-table.js";
import { nameColumns, requireColumn } from "./source/names.js";
import { openSource } from "./source/source.js";
import { quoted } from "./source/sql.js";

/** One line of a groups or edges file: a key, a value and the dates on which it holds, as indices into the panel's dates (both inclusive). */
export interface Relation {
  readonly key: string;
  /** Null where the cell is empty. */
  readonly value: string | null;
  readonly from: number;
  readonly to: number;
  /** The days as written, -Infinity and Infinity where open: intervals may overlap outside the panel too. */
  readonly fromDay: number;
  readonly toDay: number;
  readonly row: number;
}

/** What groups and edges are about. */
export type RelatedTable = Pick<DenseTable, "dates" | "tickers" | "present">;

/** Where what they lose is counted, warned of and refused. */
export interface RelationChecks {
  readonly ledger: LedgerBuilder;
  readonly maxDropped: number;
  readonly onWarning?: ((warning: Warning) => void) | undefined;
}

/** What a relations file holds, in row order, and the name of the file for messages. */
export interface Relations {
  readonly name: string;
  readonly rows: readonly Relation[];
}

/**
 * Reads a file of (key, value) with optional `from` and `to` dates.
 *
 * @throws AstgnnError ERR_DATA on a missing or unknown column, an empty key, an unparsable date or from after to
 */
export async function readRelations(
  database: Database,
  source: string,
  columns: { readonly key: string; readonly value: string; readonly option: string; readonly keyOption: string; readonly onlyThese: boolean },
  dates: readonly string[],
): Promise<Relations> {
  const opened = nameColumns(await openSource(database, source), {}, [columns.key, columns.value, "from", "to"]);
  requireColumn(opened, columns.key, columns.keyOption);
  requireColumn(opened, columns.value, columns.option);
  const known = new Set([columns.key, columns.value, "from", "to"]);
  const unknown = [...opened.columns.keys()].filter((name) => !known.has(name));
  if (columns.onlyThese && unknown.length > 0) {
    throw new AstgnnError("ERR_DATA", `${opened.name} has the unknown column ${unknown.join(", ")}; it may have ${[...known].join(", ")}.`, {
      file: opened.name,
      column: unknown[0]!,
      next: "Rename or remove it.",
    });
  }
  const bounds = (["from", "to"] as const).map((name) => {
    const type = opened.columns.get(name);
    if (type === undefined) return { name, raw: "NULL", parsed: "NULL::DATE" };
    const sql = dateSql(`s.${quoted(name)}`, type);
    if (sql === undefined) throw new AstgnnError("ERR_DATA", `Column ${name} of ${opened.name} has type ${type}, which is no date.`, { file: opened.name, column: name, next: "Write dates as YYYY-MM-DD." });
    return { name, raw: sql.raw, parsed: sql.parse(sql.raw) };
  });
  const text = (name: string): string => `NULLIF(trim(CAST(s.${quoted(name)} AS VARCHAR)), '')`;
  const rows = await database.rows(
    `SELECT ${text(columns.key)}, ${text(columns.value)}, ${bounds.map((b) => `CAST(${b.raw} AS VARCHAR), (${b.parsed}) - DATE '1970-01-01'`).join(", ")} FROM ${opened.relation} s`,
    opened.name,
  );
  return { name: opened.name, rows: rows.map((cells, i) => relation(cells, i + 1, opened.name, columns.key, dates)) };
}

function relation(cells: unknown[], row: number, file: string, keyColumn: string, dates: readonly string[]): Relation {
  const [key, value, fromText, from, toText, to] = cells;
  if (key === null) {
    throw new AstgnnError("ERR_DATA", `Column ${keyColumn} of ${file} is empty in row ${row}.`, { file, column: keyColumn, row, next: "Fill it or remove the row." });
  }
  for (const [column, written, day] of [["from", fromText, from], ["to", toText, to]] as const) {
    if (written !== null && day === null) {
      throw new AstgnnError("ERR_DATA", `Column ${column} of ${file} holds ${JSON.stringify(String(written))} in row ${row}, which is no date.`, { file, column, row, next: "Write dates as YYYY-MM-DD." });
    }
  }
  if (from !== null && to !== null && Number(from) > Number(to)) {
    throw new AstgnnError("ERR_DATA", `Row ${row} of ${file} ends on ${isoDate(Number(to))}, before it begins on ${isoDate(Number(from))}.`, { file, row, column: "to", next: "Swap the two dates." });
  }
  return {
    key: String(key),
    value: value === null ? null : String(value),
    from: from === null ? 0 : firstNotBefore(dates, isoDate(Number(from))),
    to: to === null ? dates.length - 1 : lastNotAfter(dates, isoDate(Number(to))),
    fromDay: from === null ? -Infinity : Number(from),
    toDay: to === null ? Infinity : Number(to),
    row,
  };
}
