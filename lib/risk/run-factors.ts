import { existsSync } from "node:fs";
import { join } from "node:path";
import { Database } from "../data/source/database.js";
import { literal, oneFile } from "../data/source/sql.js";
import { chunkMemory } from "../data/source/vectors.js";
import { AstgnnError } from "../errors.js";
import type { Panel } from "../data/panel.js";
import { readAnyDescription } from "../run/description.js";
import { loadRun } from "../run/load.js";

/** M of a date, as a run stored it: what the model made of data up to the date. */
export interface DateFactors {
  readonly date: string;
  readonly tickers: readonly string[];
  /** [stocks, K] */
  readonly values: Float32Array;
}

/** The models of a run and the dates that each is judged on: one for a run, one per fold for a walk-forward. */
export interface RunSegment {
  readonly folder: string;
  /** factors.parquet, with M of every date from the model's training on. */
  readonly file: string;
  /** Last date that the model learned from. */
  readonly trainEnd: string;
  /** First and last date that it is judged on. */
  readonly first: string;
  readonly last: string;
  /** K */
  readonly factors: number;
  /** Whether no other segment follows: then dates after those stored are its own too. */
  readonly isNewest: boolean;
}

/** Dates read at once: the rest of the file stays on disk. */
const DATES_AT_ONCE = 64;

/**
 * @param split which dates are judged: `valid` to choose settings by, of a walk-forward the first fold's
 * @throws AstgnnError ERR_CHECKPOINT where the folder holds no run with test dates; ERR_OPTION for an ensemble, whose members have an M each; ERR_DATA
 */
export async function runSegments(folder: string, split: "valid" | "test" = "test"): Promise<RunSegment[]> {
  const description = await readAnyDescription(folder);
  const refuse = (what: string, next: string): AstgnnError => new AstgnnError("ERR_OPTION", what, { option: "run", file: folder, next });
  const isEnsemble = description.kind === "ensemble" || (description.kind === "walkForward" && Array.isArray(description.seeds));
  if (isEnsemble) throw refuse(`The run in ${folder} has several seeds, and each has an M of its own.`, "Name the folder of one, or train with one seed.");
  const factors = description.config.numRiskFactors;
  const segment = (path: string, ranges: Ranges, isNewest: boolean): RunSegment => {
    const [train, judged] = [ranges.train, ranges[split]];
    const file = join(path, "factors.parquet");
    if (train?.last == null || judged?.first == null || judged.last == null) throw new AstgnnError("ERR_DATA", `The run in ${path} has no ${split} dates.`, { file: path, next: "Train it with a split that ends before the data do." });
    return { folder: path, file, trainEnd: train.last, first: judged.first, last: judged.last, factors, isNewest };
  };
  if (description.kind !== "walkForward") return [segment(folder, description.split as Ranges, true)];
  // Validations of folds overlap: the first comes before every test.
  const folds = split === "valid" ? description.folds.slice(0, 1) : description.folds.filter(({ test }) => test.dates > 0);
  return folds.map((fold, f) => segment(join(folder, fold.name), fold, f === folds.length - 1));
}

interface Ranges {
  readonly train?: Range;
  readonly valid?: Range;
  readonly test?: Range;
}

interface Range {
  readonly first: string | null;
  readonly last: string | null;
}

/** Which dates of M are read. */
interface ReadOptions {
  /** Dates after this one. */
  readonly after?: string | undefined;
  readonly to?: string | undefined;
  /** Every so many dates. */
  readonly every?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * M date by date: from factors.parquet, and by the run's model on the data for dates after those of the file, or where there is no file.
 *
 * @throws AstgnnError ERR_DATA
 */
export async function* readFactors(segment: RunSegment, panel: Panel, options: ReadOptions = {}): AsyncGenerator<DateFactors> {
  let last = options.after ?? "";
  if (existsSync(segment.file)) {
    for await (const day of readStored(segment, options)) {
      last = day.date;
      yield day;
    }
  }
  const wanted = panel.dates.filter((date) => date > last && (options.to === undefined || date <= options.to));
  if (wanted.length >= (options.every ?? 1) && (segment.isNewest || !existsSync(segment.file))) yield* computeFactors(segment, panel, last, options);
}

/** M by the model, of dates after `after`. */
async function* computeFactors({ folder }: RunSegment, panel: Panel, after: string, { to, every = 1, signal }: ReadOptions): AsyncGenerator<DateFactors> {
  using run = await loadRun(folder, { device: "cpu" });
  using dataset = await panel.dataset({ description: run.dataset, signal });
  const { dates, rowOffsets } = dataset;
  const chosen = Array.from(dates.keys()).filter((t) => rowOffsets[t + 1]! > rowOffsets[t]! && dates[t]! > after && (to === undefined || dates[t]! <= to));
  const selected = Int32Array.from(chosen.filter((_, i) => i % every === 0));
  if (selected.length === 0) return;
  for await (const { date, tickers, riskFactors } of run.models[0].predictDates({ dataset, dates: selected }, { riskFactors: true, signal })) {
    yield { date, tickers, values: Float32Array.from(riskFactors!) };
  }
}

async function* readStored({ file, factors: K }: RunSegment, { after, to, every = 1, signal }: ReadOptions): AsyncGenerator<DateFactors> {
  await using database = Database.open(signal);
  const relation = `read_parquet(${oneFile(file)})`;
  const all = await database.rows(`SELECT DISTINCT strftime(date, '%Y-%m-%d') FROM ${relation} WHERE true${to === undefined ? "" : ` AND date <= ${literal(to)}::DATE`}${after === undefined ? "" : ` AND date > ${literal(after)}::DATE`} ORDER BY 1`, file);
  const dates = all.map(([date]) => String(date)).filter((_, t) => t % every === 0);
  const columns = Array.from({ length: K }, (_, k) => `coalesce(f${k}::FLOAT, 'nan'::FLOAT)`).join(", ");
  for (let at = 0; at < dates.length; at += DATES_AT_ONCE) {
    const part = dates.slice(at, at + DATES_AT_ONCE);
    const chosen = every === 1 ? "" : `AND date IN (${part.map((date) => `${literal(date)}::DATE`).join(", ")})`;
    const result = await database.result(
      `SELECT strftime(date, '%Y-%m-%d') AS day, ticker, ${columns} FROM ${relation} WHERE date BETWEEN ${literal(part[0]!)}::DATE AND ${literal(part.at(-1)!)}::DATE ${chosen} ORDER BY 1, 2`, file,
    );
    const held = new Map<string, { tickers: string[]; rows: Float32Array[] }>(part.map((date) => [date, { tickers: [], rows: [] }]));
    for (let chunk = await database.fetch(result, file); chunk !== null; chunk = await database.fetch(result, file)) {
      const memory = chunkMemory(chunk, result);
      const [days, tickers] = [chunk.getColumnValues(0), chunk.getColumnValues(1)];
      const values = Array.from({ length: K }, (_, k) => new Float32Array(memory[2 * (k + 2)]!.slice().buffer));
      for (let row = 0; row < chunk.rowCount; row++) {
        const own = held.get(String(days[row]))!;
        own.tickers.push(String(tickers[row]));
        own.rows.push(Float32Array.from(values, (column) => column[row]!));
      }
    }
    for (const [date, { tickers, rows }] of held) {
      const flat = new Float32Array(rows.length * K);
      for (const [i, row] of rows.entries()) flat.set(row, i * K);
      yield { date, tickers, values: flat };
    }
  }
}
