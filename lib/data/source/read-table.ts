import type { DuckDBVector } from "@duckdb/node-api";
import { AstgnnError } from "../../errors.js";
import { dateSql, isoDate } from "../calendar.js";
import { type NumberColumn } from "./columns.js";
import type { Database } from "./database.js";
import { requireColumn, type SourceTable } from "./source.js";
import { literal, quoted } from "./sql.js";

/** Which columns of the long table mean what. SQL expressions over the source. */
export interface TableRoles {
  readonly dateColumn: string;
  readonly tickerColumn: string;
  readonly columns: readonly NumberColumn[];
  readonly groupColumn?: string | undefined;
  readonly universeSql?: string | undefined;
  readonly tradableSql?: string | undefined;
}

/** A long table on the dense grid of dates x stocks: cell t * stocks + n. */
export interface DenseTable {
  readonly dates: string[];
  readonly tickers: string[];
  readonly rows: number;
  /** Dates written with a time zone that fall on another day in UTC. */
  readonly movedDates: number;
  /** 1 where the table has a row. */
  readonly present: Uint8Array;
  readonly values: Map<string, Float32Array | Float64Array>;
  readonly universe: Uint8Array | undefined;
  readonly tradable: Uint8Array | undefined;
  /** Index into `groupNames`, -1 for none. */
  readonly groups: Int32Array | undefined;
  readonly groupNames: string[];
}

/** A value that stands for a stock without a group: it is then a group of one. */
export const NO_GROUP_SQL = (text: string): string => `CASE WHEN lower(trim(${text})) IN ('', 'n/a') THEN NULL ELSE trim(${text}) END`;

/**
 * Reads a long table onto the dense grid. Dates, tickers and groups become indices inside DuckDB (joins with tables of distinct values),
 * so that this side only scatters numbers, chunk by chunk.
 *
 * @throws AstgnnError ERR_DATA on an empty table, a null or unparsable date or ticker, a duplicated (date, ticker) or an infinite value
 */
export async function readTable(database: Database, table: SourceTable, roles: TableRoles): Promise<DenseTable> {
  const dateType = requireColumn(table, roles.dateColumn, "dateColumn");
  requireColumn(table, roles.tickerColumn, "tickerColumn");
  const raw = dateSql(`s.${quoted(roles.dateColumn)}`, dateType);
  if (raw === undefined) throw unparsableType(table, roles.dateColumn, dateType);
  const ticker = `NULLIF(trim(CAST(s.${quoted(roles.tickerColumn)} AS VARCHAR)), '')`;
  const total = Number((await database.rows(`SELECT count(*) FROM ${table.relation}`, table.name))[0]![0]);
  if (total === 0) throw new AstgnnError("ERR_DATA", `${table.name} has no rows.`, { file: table.name, next: "Check the file or the query." });

  await database.run(
    `CREATE TEMP TABLE panel_date AS SELECT raw, day, CAST(dense_rank() OVER (ORDER BY day NULLS LAST) - 1 AS INTEGER) AS i FROM
       (SELECT raw, CASE WHEN parsed >= DATE '1800-01-01' AND parsed < DATE '2263-01-01' THEN parsed END AS day FROM
         (SELECT raw, ${raw.parse("raw")} AS parsed FROM (SELECT DISTINCT ${raw.raw} AS raw FROM ${table.relation} s)))`,
    table.name,
  );
  await database.run(
    `CREATE TEMP TABLE panel_ticker AS SELECT raw, CAST(row_number() OVER (ORDER BY raw NULLS LAST) - 1 AS INTEGER) AS i FROM
       (SELECT DISTINCT ${ticker} AS raw FROM ${table.relation} s)`,
    table.name,
  );
  await refuseBadKeys(database, table, roles, raw.raw, ticker);
  const days = await database.rows(`SELECT DISTINCT i, day - DATE '1970-01-01' FROM panel_date ORDER BY i`, table.name);
  const dates = days.map((row) => isoDate(Number(row[1])));
  const moved = raw.moved === undefined ? undefined : await database.rows(`SELECT count(*) FROM panel_date WHERE ${raw.moved("raw")}`, table.name);
  const tickers = (await database.rows("SELECT raw FROM panel_ticker ORDER BY i", table.name)).map((row) => String(row[0]));
  const groupNames = roles.groupColumn === undefined ? [] : await readGroupNames(database, table, roles.groupColumn);

  const grid = allocate(dates.length, tickers.length, roles);
  const flags = [roles.universeSql, roles.tradableSql].map((sql) => sql ?? "1").join(", ");
  const group = roles.groupColumn === undefined ? "-1" : "COALESCE(g.i, -1)";
  const groupJoin = roles.groupColumn === undefined ? "" : `LEFT JOIN panel_group g ON g.raw = ${groupSql(roles.groupColumn)}`;
  const numbers = roles.columns.map((column) => `, ${column.sql}`).join("");
  const stream = await database.stream(
    `SELECT d.i, t.i, ${group}, ${flags}${numbers} FROM ${table.relation} s
     JOIN panel_date d ON d.raw = ${raw.raw} JOIN panel_ticker t ON t.raw = ${ticker} ${groupJoin}`,
    table.name,
  );
  const cells = new Int32Array(1 << 16);
  const infinite = new Set<string>();
  let rows = 0;
  let duplicates = 0;
  for (let chunk = await database.fetch(stream, table.name); chunk !== null; chunk = await database.fetch(stream, table.name)) {
    const count = chunk.rowCount;
    duplicates += fillCells(integers(chunk.getColumnVector(0)), integers(chunk.getColumnVector(1)), count, tickers.length, cells, grid.present);
    if (grid.groups !== undefined) scatter(integers(chunk.getColumnVector(2)), count, cells, grid.groups);
    if (grid.universe !== undefined) scatter(integers(chunk.getColumnVector(3)), count, cells, grid.universe);
    if (grid.tradable !== undefined) scatter(integers(chunk.getColumnVector(4)), count, cells, grid.tradable);
    roles.columns.forEach((column, k) => {
      const finite = scatter(integers(chunk.getColumnVector(5 + k)), count, cells, grid.values.get(column.name)!);
      if (!finite) infinite.add(column.name);
    });
    rows += count;
  }
  if (rows !== total) throw new AstgnnError("ERR_INTERNAL", `Read ${rows} of ${total} rows of ${table.name}.`, { file: table.name, next: "Please report this." });
  if (duplicates > 0) throw await duplicatedKey(database, table, roles, raw.raw, ticker, duplicates);
  for (const column of infinite) throw await infiniteValue(table, roles.columns.find((c) => c.name === column)!, raw.raw, ticker);
  return { dates, tickers, rows, movedDates: Number(moved?.[0]![0] ?? 0), ...grid, groupNames };
}

const groupSql = (column: string): string => NO_GROUP_SQL(`CAST(s.${quoted(column)} AS VARCHAR)`);

async function readGroupNames(database: Database, table: SourceTable, column: string): Promise<string[]> {
  requireColumn(table, column, "groupColumn");
  await database.run(
    `CREATE TEMP TABLE panel_group AS SELECT raw, CAST(row_number() OVER (ORDER BY raw) - 1 AS INTEGER) AS i FROM
       (SELECT DISTINCT ${groupSql(column)} AS raw FROM ${table.relation} s) WHERE raw IS NOT NULL`,
    table.name,
  );
  return (await database.rows("SELECT raw FROM panel_group ORDER BY i", table.name)).map((row) => String(row[0]));
}

function allocate(dates: number, stocks: number, roles: TableRoles): Pick<DenseTable, "present" | "values" | "universe" | "tradable" | "groups"> {
  const cells = dates * stocks;
  try {
    return {
      present: new Uint8Array(cells),
      values: new Map(roles.columns.map((c) => [c.name, (c.precision === "float32" ? new Float32Array(cells) : new Float64Array(cells)).fill(NaN)])),
      universe: roles.universeSql === undefined ? undefined : new Uint8Array(cells),
      tradable: roles.tradableSql === undefined ? undefined : new Uint8Array(cells),
      groups: roles.groupColumn === undefined ? undefined : new Int32Array(cells).fill(-1),
    };
  } catch (cause) {
    throw new AstgnnError("ERR_OUT_OF_MEMORY", `A panel of ${dates} dates x ${stocks} stocks x ${roles.columns.length} columns does not fit into memory.`, { cause, next: "Read fewer columns or a shorter date range." });
  }
}

/** What is used of a DuckDB vector: every expression above is free of NULL, so an item is its number. */
interface Numbers {
  getItem(index: number): number;
}

function integers(vector: DuckDBVector): Numbers {
  return vector as unknown as Numbers;
}

function fillCells(dates: Numbers, tickers: Numbers, count: number, stocks: number, cells: Int32Array, present: Uint8Array): number {
  let duplicates = 0;
  for (let i = 0; i < count; i++) {
    const cell = dates.getItem(i) * stocks + tickers.getItem(i);
    cells[i] = cell;
    if (present[cell] === 1) duplicates++;
    present[cell] = 1;
  }
  return duplicates;
}

/** Returns whether no value was infinite. */
function scatter(numbers: Numbers, count: number, cells: Int32Array, target: Float32Array | Float64Array | Uint8Array | Int32Array): boolean {
  let finite = true;
  for (let i = 0; i < count; i++) {
    const value = numbers.getItem(i);
    if (value === Infinity || value === -Infinity) finite = false;
    target[cells[i]!] = value;
  }
  return finite;
}

async function refuseBadKeys(database: Database, table: SourceTable, roles: TableRoles, raw: string, ticker: string): Promise<void> {
  const noDate = await database.rows("SELECT 1 FROM panel_date WHERE raw IS NULL", table.name);
  if (noDate.length > 0) throw await missingKey(table, roles.dateColumn, raw);
  const noTicker = await database.rows("SELECT 1 FROM panel_ticker WHERE raw IS NULL", table.name);
  if (noTicker.length > 0) throw await missingKey(table, roles.tickerColumn, ticker);
  const unparsable = await database.rows("SELECT 1 FROM panel_date WHERE day IS NULL", table.name);
  if (unparsable.length === 0) return;
  const bad = await table.locate(`${raw} IN (SELECT raw FROM panel_date WHERE day IS NULL)`, [`s.${quoted(roles.dateColumn)}`]);
  throw new AstgnnError("ERR_DATA", `Column ${roles.dateColumn} of ${bad!.file} holds ${JSON.stringify(bad!.values[0])} in row ${bad!.row}, which is no date.`, {
    file: bad!.file,
    column: roles.dateColumn,
    row: bad!.row,
    next: "Write dates as YYYY-MM-DD or yyyymmdd.",
  });
}

async function missingKey(table: SourceTable, column: string, sql: string): Promise<AstgnnError> {
  const bad = await table.locate(`${sql} IS NULL`, ["1"]);
  return new AstgnnError("ERR_DATA", `Column ${column} of ${bad!.file} is empty in row ${bad!.row}.`, {
    file: bad!.file,
    column,
    row: bad!.row,
    next: "Every row needs its date and its ticker: fill it or remove the row.",
  });
}

async function duplicatedKey(database: Database, table: SourceTable, roles: TableRoles, raw: string, ticker: string, count: number): Promise<AstgnnError> {
  const first = (
    await database.rows(
      `SELECT d.i, CAST(d.day AS VARCHAR), t.raw FROM ${table.relation} s JOIN panel_date d ON d.raw = ${raw} JOIN panel_ticker t ON t.raw = ${ticker}
       GROUP BY ALL HAVING count(*) > 1 ORDER BY d.i, t.raw LIMIT 1`,
      table.name,
    )
  )[0]!;
  const date = String(first[1]);
  const where = await table.locate(`${raw} IN (SELECT raw FROM panel_date WHERE i = ${Number(first[0])}) AND ${ticker} = ${literal(String(first[2]))}`, ["1"]);
  return new AstgnnError("ERR_DATA", `${table.name} has ${count} duplicated (${roles.dateColumn}, ${roles.tickerColumn}) ${count === 1 ? "row" : "rows"}; the first pair is (${date}, ${String(first[2])}), first seen in row ${where!.row} of ${where!.file}.`, {
    file: where!.file,
    row: where!.row,
    date,
    next: "Keep one row per date and ticker.",
  });
}

async function infiniteValue(table: SourceTable, column: NumberColumn, raw: string, ticker: string): Promise<AstgnnError> {
  const bad = await table.locate(`isinf(${column.sql})`, [column.sql, `(SELECT d.day FROM panel_date d WHERE d.raw = ${raw})`, ticker]);
  const date = String(bad!.values[1]);
  return new AstgnnError("ERR_DATA", `Column ${column.name} of ${bad!.file} is infinite in row ${bad!.row} (${date}, ${bad!.values[2]}).`, {
    file: bad!.file,
    column: column.name,
    row: bad!.row,
    date,
    next: "Correct it, or leave it empty where the value is missing.",
  });
}

function unparsableType(table: SourceTable, column: string, type: string): AstgnnError {
  return new AstgnnError("ERR_DATA", `Column ${column} of ${table.name} has type ${type}, which is no date.`, {
    file: table.name,
    column,
    option: "dateColumn",
    next: "Name a DATE, TIMESTAMP, text (YYYY-MM-DD) or whole-number (yyyymmdd) column in dateColumn.",
  });
}
