import { AstgnnError } from "../../errors.js";
import { isArrow, readArrow } from "./arrow.js";
import { flagColumn, numberColumns, PRICE_COLUMNS, readAtOnce, type NumberColumn } from "./columns.js";
import { Database } from "./database.js";
import { nameColumns, requireColumn } from "./names.js";
import { readQlib } from "./qlib.js";
import { readTable } from "./read-table.js";
import { keyColumns, lateNote, movedNote, noNumbers, skippedNote, type LaterColumns, type ReadSource, type SourceRoles } from "./roles.js";
import type { ArrowSource, PanelSource, QlibSource } from "./panel-source.js";
import { openSource } from "./source.js";
import type { SourceTable } from "./table.js";

/** What DuckDB reads. */
type TableSource = Exclude<PanelSource, ArrowSource | QlibSource>;

/** Reads any source onto the grid: of a file or a query what `columns` names, or else prices, and other numeric columns later. */
export async function readSource(database: Database, source: PanelSource, roles: SourceRoles): Promise<ReadSource> {
  if (typeof source === "object" && source !== null && "qlib" in source) return readQlib(source, roles);
  if (isArrow(source)) return readArrow(source, roles);
  const { dateColumn, tickerColumn, groupColumn, universeColumn, tradableColumn, scratch } = roles;
  const keys = keyColumns(roles);
  const table = await openTable(database, source, roles);
  requireColumn(table, dateColumn, "dateColumn");
  requireColumn(table, tickerColumn, "tickerColumn");
  if (groupColumn !== undefined) requireColumn(table, groupColumn, "groupColumn");
  const { columns, skipped } = await numberColumns(table, roles.columns, new Set(keys));
  if (columns.length === 0) throw noNumbers(table.name, keys);
  const order = columns.map(({ name }) => name);
  // A connection of the caller's is used no longer than the panel takes to open.
  const atOnce = roles.columns !== undefined || isConnection(source) ? order : readAtOnce(order);
  const { dense, movedDates, lateRows } = await readTable(table, {
    dateColumn,
    tickerColumn,
    groupColumn,
    scratch,
    columns: columns.filter(({ name }) => atOnce.includes(name)),
    universe: universeColumn === undefined ? undefined : flagColumn(table, universeColumn, "universeColumn"),
    tradable: tradableColumn === undefined ? undefined : flagColumn(table, tradableColumn, "tradableColumn"),
  });
  const notes = [skippedNote(skipped), movedNote(movedDates, dateColumn), lateNote(lateRows, dateColumn)];
  return { name: table.name, dense, notes, later: atOnce.length === order.length ? undefined : laterColumns(table, source, roles, columns, atOnce) };
}

async function openTable(database: Database, source: TableSource, roles: SourceRoles): Promise<SourceTable> {
  return nameColumns(await openSource(database, source), roles.rename ?? {}, [...keyColumns(roles), ...(roles.columns ?? PRICE_COLUMNS)]);
}

const isConnection = (source: TableSource): boolean => typeof source === "object" && "sql" in source && source.connection !== undefined;

function laterColumns(table: SourceTable, source: TableSource, roles: SourceRoles, columns: readonly NumberColumn[], atOnce: readonly string[]): LaterColumns {
  const order = columns.map(({ name }) => name);
  return {
    order,
    names: order.filter((name) => !atOnce.includes(name)),
    read: async (names, signal) => {
      await using database = Database.open(signal);
      const now = await openTable(database, source, roles);
      const other = names.find((name) => now.columns.get(name) !== table.columns.get(name));
      if (other !== undefined) throw changedSource(table.name, `column ${other}`);
      const { dateColumn, tickerColumn, scratch } = roles;
      // Awaited: the database closes where this function ends.
      return (await readTable(now, { dateColumn, tickerColumn, scratch, columns: columns.filter(({ name }) => names.includes(name)) })).dense;
    },
  };
}

/** The error about a source that is no longer what a panel was opened from. */
export function changedSource(name: string, part: string): AstgnnError {
  return new AstgnnError("ERR_DATA", `${name} has changed since the panel was opened: its ${part} ${part.endsWith("s") ? "are" : "is"} no longer the same.`, { file: name, next: "Open the panel again, or name in columns what is needed, so that it is read at once." });
}
