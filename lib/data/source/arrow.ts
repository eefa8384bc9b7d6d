import { readFile } from "node:fs/promises";
import { CompressionType, setCompressionCodec, tableFromIPC, Type, type Column, type Table } from "@uwdata/flechette";
import { decompress as unpackZstd } from "fzstd";
import lz4 from "lz4js";
import { AstgnnError, invalidOption } from "../../errors.js";
import { MS_PER_DAY } from "../calendar.js";
import { Pace } from "../pace.js";
import { checkArrow } from "./arrow-check.js";
import type { Cells } from "./cells.js";
import { PRICE_COLUMNS } from "./columns.js";
import { readMemory } from "./memory.js";
import { requireColumn, sourceNames } from "./names.js";
import type { ArrowSource } from "./panel-source.js";
import { keyColumns, lateNote, type ReadSource, type SourceRoles } from "./roles.js";
import { renameEntries } from "./table.js";

/** Whether a source is Arrow: bytes or a table in memory, or the path of a Feather file. */
export function isArrow(source: unknown): source is string | ArrowSource {
  return typeof source === "string" ? /\.(arrow|feather|ipc)$/i.test(source) : typeof source === "object" && source !== null && "arrow" in source;
}

const noWriting = (): never => {
  throw new Error("Arrow is only read here.");
};

/**
 * Reads an Arrow table: a file or stream in IPC format (Feather), also packed with LZ4 or ZSTD, or a table of flechette.
 *
 * @throws AstgnnError ERR_DATA naming the file
 */
export async function readArrow(source: string | ArrowSource, roles: SourceRoles): Promise<ReadSource> {
  const name = typeof source === "string" ? source : "the Arrow table";
  const table = await openTable(typeof source === "string" ? await readBytes(source) : source.arrow, name);
  const given = new Map(table.names.map((column, i) => [String(column), table.getChildAt(i) as Column<unknown>]));
  const keys = keyColumns(roles);
  const columns = renameEntries(given, sourceNames([...given.keys()], roles.rename ?? {}, [...keys, ...(roles.columns ?? PRICE_COLUMNS)], name));
  const dates = requireColumn({ name, columns }, roles.dateColumn, "dateColumn");
  const tickers = requireColumn({ name, columns }, roles.tickerColumn, "tickerColumn");
  if (table.numRows === 0) throw new AstgnnError("ERR_DATA", `${name} has no rows.`, { file: name, next: "Check the table." });
  const pace = new Pace();
  const named = <V>(column: string, reading: Promise<V>): Promise<V> =>
    reading.catch((cause: unknown) => {
      throw cause instanceof AstgnnError ? cause : new AstgnnError("ERR_DATA", `Cannot read column ${column} of ${name}: ${(cause as Error).message}.`, { file: name, column, cause, next: "Correct it, or name the other columns in columns." });
    });
  const cells: Record<string, Cells> = {};
  const wanted = roles.columns === undefined ? undefined : new Set([...roles.columns, ...keys]);
  for (const [column, values] of columns) {
    if (values === dates || values === tickers || (wanted !== undefined && !wanted.has(column))) continue;
    cells[column] = await named(column, readCells(values, pace));
  }
  const read = await named(roles.dateColumn, daysOf(dates, pace));
  const texts = await named(roles.tickerColumn, textsOf(tickers, pace));
  try {
    const { rename: _, ...rest } = roles;
    const { dense, notes } = await readMemory({ dates: read.days, tickers: texts, columns: cells }, rest, name);
    return { name, dense, notes: [...notes, lateNote(read.late, roles.dateColumn)] };
  } catch (cause) {
    if (!(cause instanceof AstgnnError) || cause.code !== "ERR_OPTION" || !/^(dates|tickers|columns)\b/.test(cause.option ?? "")) throw cause;
    throw new AstgnnError("ERR_DATA", `Cannot read ${name}: ${cause.message}`, { file: name, cause, next: "Correct the table." });
  }
}

async function readBytes(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new AstgnnError("ERR_DATA", isMissing ? `File ${file} does not exist.` : `Cannot read ${file}.`, { file, cause, next: "Check the path." });
  }
}

async function openTable(source: unknown, name: string): Promise<Table> {
  if (source instanceof Uint8Array) {
    setCompressionCodec(CompressionType.ZSTD, { decode: (bytes, size) => unpackZstd(bytes, new Uint8Array(size)), encode: noWriting });
    setCompressionCodec(CompressionType.LZ4_FRAME, { decode: (bytes, size) => lz4.decompress(bytes, size), encode: noWriting });
    try {
      checkArrow(source);
      return checkLengths(tableFromIPC(source, { useBigInt: false }));
    } catch (cause) {
      throw new AstgnnError("ERR_DATA", `Cannot read ${name}: ${(cause as Error).message.replace(/[.\s]*$/, "")}.`, { file: name, cause, next: "It must be in Arrow's IPC format (Feather version 2): write it again." });
    }
  }
  const table = source as Table;
  if (typeof table === "object" && table !== null && Array.isArray(table.names) && typeof table.getChildAt === "function" && typeof table.numRows === "number") return table;
  throw invalidOption("source.arrow", "bytes in Arrow's IPC format or a table of @uwdata/flechette", source, "Write a table of another library as IPC first.");
}

/** Types whose rows take no bytes of their own: their count is that of the other columns. */
const WITHOUT_BYTES: readonly number[] = [Type.Null, Type.Struct, Type.FixedSizeList, Type.Union, Type.RunEndEncoded];

/** Every row has bytes in a column: a damaged count of rows would be counted to. */
function checkLengths(table: Table): Table {
  for (const [i, name] of table.names.entries()) {
    const { type, data, length: rows } = table.getChildAt(i) as Column<unknown>;
    if (rows !== table.numRows) throw new Error(`column ${String(name)} has ${rows} rows, the table ${table.numRows}`);
    for (const { length, offsets, values } of data as unknown as readonly { length: number; offsets?: ArrayLike<unknown>; values?: ArrayLike<unknown> }[]) {
      const held = WITHOUT_BYTES.includes(type.typeId) ? table.numRows : offsets !== undefined && offsets.length > 0 ? offsets.length - 1 : (values?.length ?? 0) * (type.typeId === Type.Bool ? 8 : 1);
      if (!Number.isSafeInteger(length) || length < 0 || length > held) throw new Error(`column ${String(name)} claims ${length} rows and holds ${held}`);
    }
  }
  return table;
}

/** Numbers as an array of their precision, NaN where missing; everything else value by value. */
async function readCells(column: Column<unknown>, pace: Pace): Promise<Cells> {
  const isSingle = column.type.typeId === Type.Float && column.data.every(({ values }) => values instanceof Float32Array);
  const isNumber = ([Type.Int, Type.Float, Type.Decimal] as number[]).includes(column.type.typeId);
  if (!isNumber) return valuesOf(column, pace);
  const numbers = isSingle ? new Float32Array(column.length) : new Float64Array(column.length);
  let first = 0;
  for (const batch of column.data) {
    // Beyond 2^53 they are rounded, as DuckDB does it.
    const integers = column.type.typeId === Type.Int && (batch.values instanceof BigInt64Array || batch.values instanceof BigUint64Array) ? batch.values : undefined;
    const isPlain = batch.nullCount === 0 && (batch.values instanceof Float32Array || batch.values instanceof Float64Array);
    if (isPlain) numbers.set((batch.values as Float64Array).subarray(0, batch.length), first);
    else {
      for (let i = 0; i < batch.length; i++) {
        const value = integers === undefined ? batch.at(i) : batch.nullCount === 0 || batch.isValid(i) ? integers[i]! : null;
        numbers[first + i] = value === null ? NaN : Number(value);
        if (i % SLICE === 0) await pace.step();
      }
    }
    first += batch.length;
    await pace.step();
  }
  return numbers;
}

/** Values that are read between two looks at the clock. */
const SLICE = 1 << 12;

async function valuesOf(column: Column<unknown>, pace: Pace): Promise<(string | number | boolean | null)[]> {
  const values: (string | number | boolean | null)[] = [];
  for (const batch of column.data) {
    for (let i = 0; i < batch.length; i++) {
      values.push(batch.at(i) as string | number | boolean | null);
      if (i % SLICE === 0) await pace.step();
    }
  }
  return values;
}

/** Tickers as text, also those that are numbers. */
async function textsOf(column: Column<unknown>, pace: Pace): Promise<string[]> {
  const values = await valuesOf(column, pace);
  return values.map((value) => (typeof value === "number" ? String(value) : (value as string)));
}

/** Dates as whole numbers yyyymmdd or as they are written, and how many instants are late in the day in UTC. */
async function daysOf(column: Column<unknown>, pace: Pace): Promise<{ days: (string | Date)[]; late: number }> {
  const values = await valuesOf(column, pace);
  const { typeId } = column.type;
  if (typeId !== Type.Date && typeId !== Type.Timestamp) return { days: values as unknown as string[], late: 0 };
  const hasZone = typeId === Type.Timestamp && Boolean((column.type as { timezone?: string | null }).timezone);
  const known = new Map<number, Date>();
  let late = 0;
  const days = values.map((value) => {
    if (value === null) return value as unknown as Date;
    const time = Number(value);
    const day = Math.floor(time / MS_PER_DAY);
    if (hasZone && time - day * MS_PER_DAY >= 10 * 3_600_000) late++;
    let date = known.get(day);
    if (date === undefined) known.set(day, (date = new Date(day * MS_PER_DAY)));
    return date;
  });
  return { days, late };
}
