import { loadTables } from "../../binding/load.js";
import type { ChunkLayout, NativeTable, ReadRows } from "../../binding/table-types.js";
import { AstgnnError } from "../../errors.js";
import { dateSql, type DateSql } from "../calendar.js";
import { refuseText, type FlagColumn, type NumberColumn } from "./columns.js";
import { QUERY, type Database } from "./database.js";
import { refuseFaults, type Place } from "./faults.js";
import { groupName, layOut, layOutReading, widthsOf, type DenseTable } from "./long-table.js";
import { requireColumn } from "./names.js";
import { literal, quoted } from "./sql.js";
import { placeOf, type Located, type SourceTable } from "./table.js";

/** Which columns of the long table mean what. */
export interface TableRoles {
  readonly dateColumn: string;
  readonly tickerColumn: string;
  readonly columns: readonly NumberColumn[];
  readonly groupColumn?: string | undefined;
  readonly universe?: FlagColumn | undefined;
  readonly tradable?: FlagColumn | undefined;
  /** Folder of files that the grid lies in; undefined: in memory. */
  readonly scratch?: string | undefined;
}

/** A table on the grid, and what is noteworthy about its dates. */
export interface ReadTable {
  readonly dense: DenseTable;
  /** Dates written with a time zone that fall on another day in UTC. */
  readonly movedDates: number;
  /** Rows whose instant is of the next day in a zone east of UTC. */
  readonly lateRows: number;
}

/**
 * Reads a long table onto the dense grid, off the event loop: one scan of the named columns, or where a scan reads no more than these, one of the keys and
 * then one whose rows go to the grid as they come. Everything that is looked up on the way
 * (the day of a date, bad cells) is looked up once per distinct value, or by a second query where something is wrong.
 *
 * @throws AstgnnError ERR_DATA on an empty table, a null or unparsable date or ticker, a duplicated (date, ticker), an infinite value, or text where a
 * number or a flag belongs
 */
export async function readTable(table: SourceTable, roles: TableRoles): Promise<ReadTable> {
  const { database } = table;
  const dateType = requireColumn(table, roles.dateColumn, "dateColumn");
  requireColumn(table, roles.tickerColumn, "tickerColumn");
  const date = dateSql(`s.${quoted(roles.dateColumn)}`, dateType);
  if (date === undefined) throw unparsableType(table, roles.dateColumn, dateType);
  const ticker = `CAST(s.${quoted(roles.tickerColumn)} AS VARCHAR)`;
  if (roles.groupColumn !== undefined) requireColumn(table, roles.groupColumn, "groupColumn");

  const tables = loadTables();
  const layout: ChunkLayout = {
    date: date.type,
    late: date.late !== undefined,
    groups: roles.groupColumn !== undefined,
    universe: roles.universe !== undefined,
    tradable: roles.tradable !== undefined,
    widths: widthsOf(roles.columns),
    isText: Uint8Array.from(roles.columns, ({ isText }) => Number(isText)),
  };
  /** In the order of a chunk's columns. */
  const select = ({ late, groups, universe, tradable }: ChunkLayout, numbers: readonly NumberColumn[]): string => {
    const columns = [
      date.type === "DOUBLE" ? `CAST(${date.raw} AS DOUBLE)` : date.raw,
      ticker,
      ...(late ? [`CAST(COALESCE(${date.late!}, false) AS UTINYINT)`] : []),
      ...(groups ? [`CAST(s.${quoted(roles.groupColumn!)} AS VARCHAR)`] : []),
      ...(universe ? [roles.universe!.sql] : []),
      ...(tradable ? [roles.tradable!.sql] : []),
      ...numbers.map(({ sql }) => sql),
    ];
    return `SELECT ${columns.join(", ")} FROM ${table.relation} s`;
  };
  const scan = (sql: string, rows: NativeTable): Promise<void> => database.scan(sql, rows, table.name, table.isColumnar ? 1 : undefined);

  const keysLayout = { ...layout, late: false, universe: false, tradable: false, widths: new Uint8Array(), isText: new Uint8Array() };
  // A scan anew takes longer than rows in memory, and needs no memory for them.
  const isReadTwice = table.isColumnar || (roles.scratch !== undefined && table.name !== QUERY);
  const first = isReadTwice ? tables.createReader(keysLayout, true) : tables.createReader(layout);
  await scan(isReadTwice ? select(keysLayout, []) : select(layout, roles.columns), first);
  const keys = tables.describe(first);
  if (keys.rows === 0) throw new AstgnnError("ERR_DATA", `${table.name} has no rows.`, { file: table.name, next: "Check the file or the query." });
  const refuseCells = async ({ badNumbers, badUniverse, badTradable }: ReadRows): Promise<void> => {
    for (const k of badNumbers) await refuseText(table, roles.columns[k]!);
    if (badUniverse) throw await roles.universe!.refusal();
    if (badTradable) throw await roles.tradable!.refusal();
  };
  await refuseCells(keys);
  if (keys.lacksDate) throw await missingKey(table, roles.dateColumn, date.raw);
  const names = await resolveTickers(database, keys.tickers, table.name);
  if (keys.lacksTicker || names.includes(undefined)) throw await missingKey(table, roles.tickerColumn, tickerName(ticker));
  const days = await resolveDays(database, keys.dates, date, table.name);
  if (days.some(({ day }) => day === undefined)) throw await unparsableDate(table, roles.dateColumn, date);

  const long = { rows: keys.rows, days: days.map(({ day }) => day!), tickers: names as string[], groups: keys.groups?.map(groupName), universe: layout.universe, tradable: layout.tradable, columns: roles.columns, scratch: roles.scratch };
  const { dense, faults, read } = isReadTwice ? await layOutReading(first, layout, long, (rows) => scan(select(layout, roles.columns), rows)) : { ...(await layOut(first, long)), read: keys };
  if (read.rows !== keys.rows) throw new AstgnnError("ERR_DATA", `${table.name} changed while it was read.`, { file: table.name, next: "Read it when it is written." });
  await refuseCells(read);
  await refuseFaults(table.name, faults, `${roles.dateColumn}, ${roles.tickerColumn}`, async (key) =>
    position(table, await table.locate(`(${date.parse(date.raw)}) = DATE ${literal(key.date)} AND ${tickerName(ticker)} = ${literal(key.ticker)}`, ["1"])),
  );
  return { dense, movedDates: days.filter(({ moved }) => moved).length, lateRows: read.late };
}

interface Day {
  /** Undefined where the value is no date. */
  readonly day: number | undefined;
  readonly moved: boolean;
}

/** Dates of the first and last day that a date may be. */
const RANGE = "BETWEEN DATE '1800-01-01' AND DATE '2262-12-31'";

/** What the distinct values of a date column mean. */
async function resolveDays(database: Database, distinct: ReadRows["dates"], date: DateSql, name: string): Promise<Day[]> {
  const written = distinct instanceof Float64Array ? Array.from(distinct, (number) => (Number.isFinite(number) ? String(number) : "NULL")) : distinct.map(literal);
  const type = date.type === "VARCHAR" ? "VARCHAR" : date.type === "DATE" ? "INTEGER" : "DOUBLE";
  const raw = date.type === "DATE" ? "(DATE '1970-01-01' + raw)" : "raw";
  const days: Day[] = [];
  for (let from = 0; from < written.length; from += 10_000) {
    const part = written.slice(from, from + 10_000);
    const rows = await database.rows(
      `SELECT CASE WHEN parsed ${RANGE} THEN parsed - DATE '1970-01-01' END, ${date.moved?.("raw") ?? "false"} FROM
         (SELECT i, raw, ${date.parse(raw)} AS parsed FROM (SELECT unnest(range(${part.length})) AS i, unnest([${part.join(", ")}]::${type}[]) AS raw)) ORDER BY i`,
      name,
    );
    for (const [day, moved] of rows) days.push({ day: day === null ? undefined : Number(day), moved: moved === true });
  }
  return days;
}

/** The ticker of a text in SQL: without spaces around it, NULL where nothing is left. */
const tickerName = (sql: string): string => `NULLIF(trim(${sql}), '')`;

/** The tickers of the distinct texts, undefined where one has only spaces. */
async function resolveTickers(database: Database, written: readonly string[], name: string): Promise<(string | undefined)[]> {
  const names: (string | undefined)[] = [...written];
  const spaced = [...written.keys()].filter((i) => !/^[!-~]+$/.test(written[i]!));
  for (let from = 0; from < spaced.length; from += 10_000) {
    const part = spaced.slice(from, from + 10_000);
    const rows = await database.rows(`SELECT ${tickerName("raw")} FROM (SELECT unnest(range(${part.length})) AS i, unnest([${part.map((i) => literal(written[i]!)).join(", ")}]::VARCHAR[]) AS raw) ORDER BY i`, name);
    rows.forEach(([text], k) => (names[part[k]!] = text === null ? undefined : String(text)));
  }
  return names;
}

async function missingKey(table: SourceTable, column: string, sql: string): Promise<AstgnnError> {
  const bad = await table.locate(`${sql} IS NULL`, ["1"]);
  return new AstgnnError("ERR_DATA", `Column ${column} of ${bad?.file ?? table.name} is empty${placeOf(bad)}.`, {
    ...position(table, bad),
    column,
    next: "Every row needs its date and its ticker: fill it or remove the row.",
  });
}

async function unparsableDate(table: SourceTable, column: string, date: DateSql): Promise<AstgnnError> {
  const bad = await table.locate(`((${date.parse(date.raw)}) ${RANGE}) IS NOT TRUE`, [`s.${quoted(column)}`]);
  return new AstgnnError("ERR_DATA", `Column ${column} of ${bad?.file ?? table.name} holds ${JSON.stringify(bad?.values[0] ?? "a text")}${placeOf(bad)}, which is no date.`, {
    ...position(table, bad),
    column,
    next: "Write dates as YYYY-MM-DD or yyyymmdd.",
  });
}

function position(table: SourceTable, located: Located | undefined): Place {
  return located === undefined ? { file: table.name } : { file: located.file, row: located.row };
}

function unparsableType(table: SourceTable, column: string, type: string): AstgnnError {
  return new AstgnnError("ERR_DATA", `Column ${column} of ${table.name} has type ${type}, which is no date.`, {
    file: table.name,
    column,
    option: "dateColumn",
    next: "Name a DATE, TIMESTAMP, text (YYYY-MM-DD) or whole-number (yyyymmdd) column in dateColumn.",
  });
}
