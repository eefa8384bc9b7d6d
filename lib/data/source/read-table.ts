import type { DuckDBDataChunk } from "@duckdb/node-api";
import { AstgnnError } from "../../errors.js";
import { dateSql, type DateSql } from "../calendar.js";
import { BAD_FLAG, refuseText, type FlagColumn, type NumberColumn } from "./columns.js";
import type { Database } from "./database.js";
import { refuseFaults, type Place } from "./faults.js";
import { NumberCodes, TextCodes, type KeyCodes } from "./key-codes.js";
import { groupName, layOut, type DenseTable, type LongTable, type NumberArray, type RowBlock } from "./long-table.js";
import { requireColumn } from "./names.js";
import { literal, quoted } from "./sql.js";
import { placeOf, type Located, type SourceTable } from "./table.js";
import { copyBytes, copyNumbers, countOnes } from "./vectors.js";

/** Which columns of the long table mean what. */
export interface TableRoles {
  readonly dateColumn: string;
  readonly tickerColumn: string;
  readonly columns: readonly NumberColumn[];
  readonly groupColumn?: string | undefined;
  readonly universe?: FlagColumn | undefined;
  readonly tradable?: FlagColumn | undefined;
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
 * Reads a long table onto the dense grid: one scan of the named columns, whose vectors are copied as they are. Everything that is looked up on the way
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
  const ticker = `NULLIF(trim(CAST(s.${quoted(roles.tickerColumn)} AS VARCHAR)), '')`;
  if (roles.groupColumn !== undefined) requireColumn(table, roles.groupColumn, "groupColumn");

  const dates = date.type === "VARCHAR" ? new TextCodes() : new NumberCodes(date.type);
  const tickers = new TextCodes();
  const groups = roles.groupColumn === undefined ? undefined : new TextCodes();
  const scan = new Scan(roles, dates, tickers, groups, date.late !== undefined);
  const stream = await database.stream(
    `SELECT ${[
      date.type === "DOUBLE" ? `CAST(${date.raw} AS DOUBLE)` : date.raw,
      ticker,
      ...(date.late === undefined ? [] : [`CAST(COALESCE(${date.late}, false) AS UTINYINT)`]),
      ...(roles.groupColumn === undefined ? [] : [`CAST(s.${quoted(roles.groupColumn)} AS VARCHAR)`]),
      ...[roles.universe, roles.tradable].flatMap((flag) => (flag === undefined ? [] : [flag.sql])),
      ...roles.columns.map(({ sql }) => sql),
    ].join(", ")} FROM ${table.relation} s`,
    table.name,
  );
  for (let chunk = await database.fetch(stream, table.name); chunk !== null; chunk = await database.fetch(stream, table.name)) scan.add(chunk);
  if (scan.rows === 0) throw new AstgnnError("ERR_DATA", `${table.name} has no rows.`, { file: table.name, next: "Check the file or the query." });

  for (const column of roles.columns) if (scan.refused.has(column)) await refuseText(table, column);
  if (scan.lacksDate) throw await missingKey(table, roles.dateColumn, date.raw);
  if (scan.lacksTicker) throw await missingKey(table, roles.tickerColumn, ticker);
  for (const flag of [roles.universe, roles.tradable]) if (flag !== undefined && scan.refused.has(flag)) throw await flag.refusal();
  const days = await resolveDays(database, dates, date, table.name);
  if (days.some(({ day }) => day === undefined)) throw await unparsableDate(table, roles.dateColumn, date);

  const long: LongTable = { name: table.name, blocks: scan.blocks, days: days.map(({ day }) => day!), tickers: tickers.texts, groups: groups?.texts.map(groupName), columns: roles.columns };
  const { dense, faults } = await layOut(long);
  await refuseFaults(table.name, faults, `${roles.dateColumn}, ${roles.tickerColumn}`, async (key) =>
    position(table, await table.locate(`(${date.parse(date.raw)}) = DATE ${literal(key.date)} AND ${ticker} = ${literal(key.ticker)}`, ["1"])),
  );
  return { dense, movedDates: days.filter(({ moved }) => moved).length, lateRows: scan.lateRows };
}

/** Rows of a block: large enough that blocks cost nothing, small enough to be laid out without a pause that anybody notices. */
const BLOCK = 1 << 14;

/** Collects the chunks of a scan in blocks. Columns: date, ticker, late, group, universe, tradable, numbers; those that are not there are left out. */
class Scan {
  readonly blocks: RowBlock[] = [];
  rows = 0;
  lateRows = 0;
  lacksDate = false;
  lacksTicker = false;
  /** Columns with a cell that is none of what they hold. */
  readonly refused = new Set<NumberColumn | FlagColumn>();
  #used = BLOCK;

  constructor(
    readonly roles: TableRoles,
    readonly dates: KeyCodes,
    readonly tickers: KeyCodes,
    readonly groups: KeyCodes | undefined,
    readonly knowsLate: boolean,
  ) {}

  add(chunk: DuckDBDataChunk): void {
    const { roles } = this;
    const count = chunk.rowCount;
    if (this.#used + count > BLOCK) this.#open();
    const block = this.blocks[this.blocks.length - 1]! as { -readonly [K in keyof RowBlock]: RowBlock[K] };
    const at = this.#used;
    let column = 0;
    if (!this.dates.encode(chunk, column++, count, block.dates, at)) this.lacksDate = true;
    if (!this.tickers.encode(chunk, column++, count, block.tickers, at)) this.lacksTicker = true;
    if (this.knowsLate) this.lateRows += countOnes(chunk, column++, count);
    this.groups?.encode(chunk, column++, count, block.groups!, at);
    for (const name of ["universe", "tradable"] as const) {
      const flag = roles[name];
      if (flag === undefined) continue;
      copyBytes(chunk, column++, count, block[name]!, at);
      if (block[name]!.subarray(at, at + count).includes(BAD_FLAG)) this.refused.add(flag);
    }
    for (let k = 0; k < roles.columns.length; k++, column++) {
      const values = block.values[k]!;
      copyNumbers(chunk, column, count, values, at);
      if (roles.columns[k]!.isText && values.subarray(at, at + count).includes(-Infinity)) this.refused.add(roles.columns[k]!);
    }
    this.#used += count;
    block.count = this.#used;
    this.rows += count;
  }

  #open(): void {
    const { roles } = this;
    const numbers = (precision: NumberColumn["precision"]): NumberArray => (precision === "float32" ? new Float32Array(BLOCK) : new Float64Array(BLOCK));
    this.blocks.push({
      count: 0,
      dates: new Int32Array(BLOCK),
      tickers: new Int32Array(BLOCK),
      groups: this.groups === undefined ? undefined : new Int32Array(BLOCK),
      universe: roles.universe === undefined ? undefined : new Uint8Array(BLOCK),
      tradable: roles.tradable === undefined ? undefined : new Uint8Array(BLOCK),
      values: roles.columns.map(({ precision }) => numbers(precision)),
    });
    this.#used = 0;
  }
}

interface Day {
  /** Undefined where the value is no date. */
  readonly day: number | undefined;
  readonly moved: boolean;
}

/** Dates of the first and last day that a date may be. */
const RANGE = "BETWEEN DATE '1800-01-01' AND DATE '2262-12-31'";

/** What the distinct values of a date column mean. */
async function resolveDays(database: Database, codes: TextCodes | NumberCodes, date: DateSql, name: string): Promise<Day[]> {
  const written = codes instanceof TextCodes ? codes.texts.map(literal) : codes.numbers.map((number) => (Number.isFinite(number) ? String(number) : "NULL"));
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
