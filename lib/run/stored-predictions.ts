import { existsSync } from "node:fs";
import { Database } from "../data/source/database.js";
import { literal, quoted, severalFiles } from "../data/source/sql.js";
import type { PanelValues } from "../data/types.js";
import { AstgnnError } from "../errors.js";

/** A split of predictions.parquet, laid out as [dates, stocks] or [dates, stocks, P | L]. */
export interface StoredSplit {
  readonly predictions: PanelValues;
  readonly labels: PanelValues;
}

/** Splits with labels worth evaluating. */
export const EVALUATED_SPLITS = ["valid", "test"] as const;

/**
 * Reads the validation and test rows of a predictions.parquet.
 *
 * @throws AstgnnError ERR_DATA where columns or rows are missing or a (date, ticker) stands twice
 */
export async function readStoredPredictions(file: string): Promise<Record<(typeof EVALUATED_SPLITS)[number], StoredSplit>> {
  return readParts([file], EVALUATED_SPLITS);
}

/**
 * Reads the test rows of the predictions.parquet of several runs as those of one.
 *
 * @throws AstgnnError as {@link readStoredPredictions}
 */
export async function readTests(files: readonly string[]): Promise<StoredSplit> {
  return (await readParts(files, ["test"])).test;
}

async function readParts<const S extends (typeof EVALUATED_SPLITS)[number]>(files: readonly string[], splits: readonly S[]): Promise<Record<S, StoredSplit>> {
  const missing = files.find((path) => !existsSync(path));
  if (missing !== undefined) throw new AstgnnError("ERR_DATA", `There is no ${missing}.`, { file: missing, next: "Finish the run with astgnn train --resume." });
  await using database = Database.open();
  const relation = `read_parquet(${severalFiles(files)})`;
  const file = files.length === 1 ? files[0]! : `${files[0]!} and ${files.length - 1} others`;
  const names = (await database.rows(`DESCRIBE SELECT * FROM ${relation}`, file)).map(([name]) => String(name));
  const columns = { predictions: numberedColumns(names, "prediction"), labels: numberedColumns(names, "label") };
  for (const [what, found] of [["date", names.includes("date")], ["ticker", names.includes("ticker")], ["split", names.includes("split")], ["prediction", columns.predictions.length > 0], ["label", columns.labels.length > 0]] as const) {
    if (!found) throw new AstgnnError("ERR_DATA", `${file} has no column ${what}; it has ${names.join(", ")}.`, { file, column: what, next: "Pass the predictions.parquet of a run." });
  }
  const read = (split: string): Promise<StoredSplit> => readSplit(database, file, relation, split, columns);
  const parts: Partial<Record<S, StoredSplit>> = {};
  for (const split of splits) parts[split] = await read(split);
  return parts as Record<S, StoredSplit>;
}

async function readSplit(
  database: Database, file: string, relation: string, split: string, columns: { predictions: readonly string[]; labels: readonly string[] },
): Promise<StoredSplit> {
  const where = `FROM ${relation} WHERE split = ${literal(split)}`;
  const list = async (expression: string): Promise<string[]> =>
    (await database.rows(`SELECT DISTINCT ${expression} ${where} ORDER BY 1`, file)).map(([value]) => String(value));
  const dates = await list("strftime(date, '%Y-%m-%d')");
  const tickers = await list("ticker");
  const dateIndex = new Map(dates.map((date, t) => [date, t]));
  const tickerIndex = new Map(tickers.map((ticker, n) => [ticker, n]));
  const values = (names: readonly string[]): Float64Array => new Float64Array(dates.length * tickers.length * names.length).fill(NaN);
  const filled = { predictions: values(columns.predictions), labels: values(columns.labels) };
  const seen = new Uint8Array(dates.length * tickers.length);
  const selected = [...columns.predictions, ...columns.labels].map((name) => `${quoted(name)}::DOUBLE`).join(", ");
  const result = await database.result(`SELECT strftime(date, '%Y-%m-%d'), ticker, ${selected} ${where}`, file);
  for (let chunk = await database.fetch(result, file); chunk !== null; chunk = await database.fetch(result, file)) {
    const cells = chunk.getColumns();
    for (let row = 0; row < chunk.rowCount; row++) {
      const [date, ticker] = [String(cells[0]![row]), String(cells[1]![row])];
      const cell = dateIndex.get(date)! * tickers.length + tickerIndex.get(ticker)!;
      if (seen[cell] === 1) throw new AstgnnError("ERR_DATA", `${ticker} on ${date} stands twice in ${file}.`, { file, date, next: "Remove one of the rows." });
      seen[cell] = 1;
      let column = 2;
      for (const [target, names] of [[filled.predictions, columns.predictions], [filled.labels, columns.labels]] as const) {
        for (let k = 0; k < names.length; k++, column++) target[cell * names.length + k] = (cells[column]![row] as number | null) ?? NaN;
      }
    }
  }
  const panel = (data: Float64Array, width: number): PanelValues => ({
    data,
    shape: width === 1 ? [dates.length, tickers.length] : [dates.length, tickers.length, width],
    dates,
    tickers,
  });
  return { predictions: panel(filled.predictions, columns.predictions.length), labels: panel(filled.labels, columns.labels.length) };
}

/** `name` alone, or `name_<number>` in the order of their numbers. */
function numberedColumns(names: readonly string[], name: string): string[] {
  if (names.includes(name)) return [name];
  const number = (column: string): number => Number(column.slice(name.length + 1));
  return names.filter((column) => new RegExp(`^${name}_\\d+$`).test(column)).sort((a, b) => number(a) - number(b));
}
