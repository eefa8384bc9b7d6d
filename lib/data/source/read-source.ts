import { isArrow, readArrow } from "./arrow.js";
import { flagColumn, numberColumns, PRICE_COLUMNS } from "./columns.js";
import type { Database } from "./database.js";
import { nameColumns, requireColumn } from "./names.js";
import { readQlib } from "./qlib.js";
import { readTable } from "./read-table.js";
import { keyColumns, lateNote, movedNote, noNumbers, skippedNote, type ReadSource, type SourceRoles } from "./roles.js";
import type { PanelSource } from "./panel-source.js";
import { openSource } from "./source.js";

/** Reads any source onto the grid. */
export async function readSource(database: Database, source: PanelSource, roles: SourceRoles): Promise<ReadSource> {
  if (typeof source === "object" && source !== null && "qlib" in source) return readQlib(source, roles);
  if (isArrow(source)) return readArrow(source, roles);
  const { dateColumn, tickerColumn, groupColumn, universeColumn, tradableColumn } = roles;
  const keys = keyColumns(roles);
  const table = nameColumns(await openSource(database, source), roles.rename ?? {}, [...keys, ...(roles.columns ?? PRICE_COLUMNS)]);
  requireColumn(table, dateColumn, "dateColumn");
  requireColumn(table, tickerColumn, "tickerColumn");
  if (groupColumn !== undefined) requireColumn(table, groupColumn, "groupColumn");
  const { columns, skipped } = await numberColumns(table, roles.columns, new Set(keys));
  if (columns.length === 0) throw noNumbers(table.name, keys);
  const { dense, movedDates, lateRows } = await readTable(table, {
    dateColumn,
    tickerColumn,
    groupColumn,
    columns,
    universe: universeColumn === undefined ? undefined : flagColumn(table, universeColumn, "universeColumn"),
    tradable: tradableColumn === undefined ? undefined : flagColumn(table, tradableColumn, "tradableColumn"),
  });
  return { name: table.name, dense, notes: [skippedNote(skipped), movedNote(movedDates, dateColumn), lateNote(lateRows, dateColumn)] };
}
