import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AstgnnError, invalidOption, nearest } from "../../errors.js";
import { dayCount, firstNotBefore, isIsoDate, lastNotAfter } from "../calendar.js";
import { listed } from "../loss.js";
import { PRICE_COLUMNS } from "./columns.js";
import { refuseFaults } from "./faults.js";
import { layOutBlocks, type LongTable, type RowBlock } from "./long-table.js";
import { requireColumn, sourceNames } from "./names.js";
import type { QlibSource } from "./panel-source.js";
import { noNumbers, type ReadSource, type SourceNote, type SourceRoles } from "./roles.js";
import { renameEntries } from "./table.js";

/** Files that are read at the same time. */
const AT_ONCE = 16;
const ENDING = ".day.bin";

/**
 * Reads a Qlib folder: `calendars/day.txt`, `instruments/<name>.txt` (symbol, first and last date, tab-separated) and `features/<symbol>/<field>.day.bin`,
 * float32 little-endian, the first value being the calendar index of the second. A date on which no field has a value (a suspension) is no row.
 *
 * @throws AstgnnError ERR_DATA naming the file, ERR_OPTION where a role needs a text column
 */
export async function readQlib({ qlib: folder, instruments = "all" }: QlibSource, roles: SourceRoles): Promise<ReadSource> {
  if (typeof folder !== "string" || folder === "") throw invalidOption("source.qlib", "the path of a folder", folder);
  if (typeof instruments !== "string" || !/^[\w.-]+$/.test(instruments)) throw invalidOption("source.instruments", "the name of a file of instruments", instruments);
  for (const option of ["groupColumn", "universeColumn", "tradableColumn"] as const) {
    if (roles[option] !== undefined) throw new AstgnnError("ERR_OPTION", `A Qlib folder holds numbers only, so ${option} has no column to name.`, { option, next: "Name instruments for a universe, and a file in groups for groups." });
  }
  const calendarFile = join(folder, "calendars", "day.txt");
  const dates = (await readText(calendarFile, "source.qlib")).split(/\r?\n/).map((line) => line.trim().slice(0, 10)).filter((line) => line !== "");
  dates.forEach((date, i) => {
    if (!isIsoDate(date) || (i > 0 && date <= dates[i - 1]!)) throw new AstgnnError("ERR_DATA", `Line ${i + 1} of ${calendarFile} is ${JSON.stringify(date)}, which is no date after the one before.`, { file: calendarFile, row: i + 1, next: "List the trading dates as YYYY-MM-DD, ascending." });
  });
  const members = await readInstruments(folder, instruments, dates);
  const folders = new Map((await readdir(join(folder, "features")).catch((cause: unknown) => missing(join(folder, "features"), cause))).map((name) => [name.toLowerCase(), name]));
  const symbols = [...members.keys()];
  const known = symbols.filter((symbol) => folders.has(symbol.toLowerCase()));
  if (known.length === 0) throw new AstgnnError("ERR_DATA", `${join(folder, "features")} has no folder of an instrument in ${instruments}.txt.`, { file: join(folder, "features"), next: "Check the folder." });

  const pathOf = (symbol: string, field: string): string => join(folder, "features", folders.get(symbol.toLowerCase())!, `${field}${ENDING}`);
  const found = (await readdir(join(folder, "features", folders.get(known[0]!.toLowerCase())!))).filter((name) => name.endsWith(ENDING)).map((name) => name.slice(0, -ENDING.length)).sort();
  const fields = renameEntries(new Map(found.map((field) => [field, field])), sourceNames(found, roles.rename ?? {}, roles.columns ?? PRICE_COLUMNS, folder));
  for (const column of roles.columns ?? []) requireColumn({ name: folder, columns: fields }, column, "columns");
  const columns = roles.columns ?? [...fields.keys()];
  if (columns.length === 0) throw noNumbers(folder, ["date", "ticker"]);

  const blocks: RowBlock[] = new Array<RowBlock>(known.length);
  const rest = known.entries();
  const isUniverse = instruments !== "all";
  const work = async (): Promise<void> => {
    for (const [i, symbol] of rest) {
      const series: (Series | undefined)[] = [];
      for (const column of columns) series.push(await readSeries(pathOf(symbol, fields.get(column)!), dates.length));
      blocks[i] = blockOf(series, i, isUniverse ? members.get(symbol)! : undefined);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const kept = withRows(blocks, folder);
  const codes = compact(kept, dates.map(dayCount), known);
  const { dense, faults } = await layOutBlocks(kept, { ...codes, scratch: roles.scratch, universe: isUniverse, columns: columns.map((name) => ({ name, precision: "float32" })) });
  await refuseFaults(folder, faults, "date, instrument", async ({ ticker }) => ({ file: join(folder, "features", ticker.toLowerCase()) }));
  const lost = symbols.filter((symbol) => !folders.has(symbol.toLowerCase()));
  const note: SourceNote = { reason: "instruments_without_features", count: lost.length, unit: "stocks", text: `instruments of ${instruments}.txt have no folder of features: ${listed(lost)}` };
  return { name: folder, dense, notes: [{ ...note, warning: `${note.text}.` }] };
}

/** Values on the dates from `first` on. */
interface Series {
  readonly first: number;
  readonly values: Float32Array;
}

/** Undefined where an instrument does not have the field. */
async function readSeries(file: string, dates: number): Promise<Series | undefined> {
  const bytes = await readFile(file).catch((cause: unknown) => ((cause as NodeJS.ErrnoException).code === "ENOENT" ? undefined : missing(file, cause)));
  if (bytes === undefined) return undefined;
  const count = bytes.length / 4 - 1;
  const first = bytes.length >= 4 ? bytes.readFloatLE(0) : NaN;
  if (!Number.isInteger(count) || !Number.isInteger(first) || first < 0 || first + count > dates) {
    throw new AstgnnError("ERR_DATA", `${file} holds ${bytes.length} bytes from calendar index ${first} on, which do not fit a calendar of ${dates} dates.`, { file, next: "Its values are float32, the first being the calendar index of the second: write it again." });
  }
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = bytes.readFloatLE(4 + 4 * i);
  return { first, values };
}

/** The dates on which a field has a value, as rows. */
function blockOf(series: readonly (Series | undefined)[], ticker: number, spans: readonly Span[] | undefined): RowBlock {
  const there = series.filter((one) => one !== undefined);
  const first = Math.min(...there.map((one) => one.first));
  const end = Math.max(...there.map((one) => one.first + one.values.length));
  const at = (one: Series | undefined, t: number): number => one?.values[t - one.first] ?? NaN;
  const rows: number[] = [];
  for (let t = first; t < end; t++) if (there.some((one) => !Number.isNaN(at(one, t)))) rows.push(t);
  return {
    count: rows.length,
    dates: Int32Array.from(rows),
    tickers: new Int32Array(rows.length).fill(ticker),
    universe: spans === undefined ? undefined : Uint8Array.from(rows, (t) => (spans.some(({ from, to }) => from <= t && t <= to) ? 1 : 0)),
    values: series.map((one) => Float32Array.from(rows, (t) => at(one, t))),
  };
}

function withRows(blocks: readonly RowBlock[], folder: string): RowBlock[] {
  const kept = blocks.filter(({ count }) => count > 0);
  if (kept.length === 0) throw new AstgnnError("ERR_DATA", `${folder} has no rows.`, { file: folder, next: "Check the folder." });
  return kept;
}

/** What the codes mean without the dates and instruments that have no row, of which a calendar may have many: blocks get codes of the others. */
function compact(blocks: readonly RowBlock[], days: readonly number[], known: readonly string[]): Pick<LongTable, "days" | "tickers"> {
  const place = new Int32Array(days.length).fill(-1);
  for (const { dates } of blocks) for (const t of dates) place[t] = 0;
  const used = days.filter((_, t) => place[t] === 0);
  let next = 0;
  for (let t = 0; t < place.length; t++) if (place[t] === 0) place[t] = next++;
  blocks.forEach((block) => block.dates.forEach((t, i) => (block.dates[i] = place[t]!)));
  const tickers = blocks.map(({ tickers: [code] }) => known[code!]!);
  blocks.forEach((block, i) => block.tickers.fill(i));
  return { days: used, tickers };
}

/** Dates on which an instrument is listed, as calendar indices, both inclusive. */
interface Span {
  readonly from: number;
  readonly to: number;
}

async function readInstruments(folder: string, name: string, dates: readonly string[]): Promise<Map<string, Span[]>> {
  const file = join(folder, "instruments", `${name}.txt`);
  const members = new Map<string, Span[]>();
  const lines = (await readText(file, "source.instruments", join(folder, "instruments"))).split(/\r?\n/);
  lines.forEach((line, i) => {
    if (line.trim() === "") return;
    const [symbol = "", from = "", to = ""] = line.split("\t").map((cell) => cell.trim());
    if (symbol === "" || !isIsoDate(from.slice(0, 10)) || !isIsoDate(to.slice(0, 10))) throw new AstgnnError("ERR_DATA", `Line ${i + 1} of ${file} is ${JSON.stringify(line)}, which is no symbol with its first and last date.`, { file, row: i + 1, next: "Separate symbol, first and last date by tabs." });
    const span = { from: firstNotBefore(dates, from.slice(0, 10)), to: lastNotAfter(dates, to.slice(0, 10)) };
    members.set(symbol, [...(members.get(symbol) ?? []), span]);
  });
  if (members.size === 0) throw new AstgnnError("ERR_DATA", `${file} lists no instrument.`, { file, next: "Name another file in instruments." });
  return members;
}

async function readText(file: string, option: string, folder?: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const others = folder === undefined ? [] : (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".txt")).map((name) => name.slice(0, -4));
    const near = nearest(file.slice((folder?.length ?? 0) + 1, -4), others);
    const next = near !== undefined ? `Did you mean ${near}?` : others.length > 0 ? `There are ${listed(others)}.` : "Name a folder that holds calendars, instruments and features.";
    throw new AstgnnError("ERR_DATA", `Cannot read ${file}.`, { file, option, cause, next });
  }
}

function missing(file: string, cause: unknown): never {
  throw new AstgnnError("ERR_DATA", `Cannot read ${file}.`, { file, cause, next: "Check the folder." });
}
