import { existsSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { firstNotBefore, isIsoDate } from "../data/calendar.js";
import { Database } from "../data/database.js";
import { refuseEarlyDate } from "../data/history.js";
import { readAlike } from "../data/origin.js";
import { openPanel, type Panel, type PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source.js";
import { literal, oneFile } from "../data/sql.js";
import type { Dataset, DatasetDescription, Ledger, PanelValues } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { widthOf } from "../metrics/aligned.js";
import { moveIntoPlace, partialPath } from "../model/atomic-write.js";
import type { Device } from "../model/device.js";
import { readDescription } from "./description.js";
import { Ensemble } from "./ensemble.js";
import { loadRun } from "./load.js";

/**
 * What to score and where to put it. The other options are those of `openPanel`; by default they are the run's. They may say where files and the
 * columns of date and ticker now are, `maxDropped`, and warn or error for `extremeReturns`; what would make another cross-section is refused.
 */
export interface PredictRunOptions extends PanelOptions {
  /** File to write: .parquet or .csv with date, ticker, prediction[_p]. */
  out: string;
  /** First date to score, YYYY-MM-DD. Default: the first with enough history. */
  from?: string;
  /** Where to compute. Default ASTGNN_DEVICE, else `"auto"`: the first GPU that can be used, else the CPU. */
  device?: Device;
  /** Compute threads. Whole, from 1; default ASTGNN_THREADS, else the physical cores. */
  threads?: number;
}

/** What was scored. */
export interface RunPrediction {
  readonly out: string;
  /** Models whose scores were averaged; 1 for a single run. */
  readonly members: number;
  readonly rows: number;
  readonly dates: number;
  readonly firstDate: string;
  readonly lastDate: string;
  /** What was dropped, filled or left out of the data that were scored. */
  readonly ledger: Ledger;
}

/**
 * Scores every date of new data that has rows, with the weights and the statistics stored in a run; for an ensemble the mean of its
 * members' z-scores per date. A date is scored from the `dataset.requiredHistory`-th of the data on (136 for `ohlcv` and a window of 16):
 * give that much history before the dates of interest. The data are read as those of the run were: run.json keeps the options of `openPanel`.
 *
 * @param source undefined: what the run was trained on, read again
 *
 * @example
 * await predictRun("runs/first", "today.parquet", { out: "predictions.parquet" });
 * @throws AstgnnError ERR_OPTION where an option contradicts the run; ERR_DATA where the data lack a feature of the run, are too short for `from` or for any date, or no date has rows; ERR_CHECKPOINT, ERR_ABORTED
 */
export async function predictRun(folder: string, source: PanelSource | undefined, options: PredictRunOptions): Promise<RunPrediction> {
  const { out, from, device, threads, ...panelOptions } = options;
  const { signal } = panelOptions;
  if (typeof out !== "string" || !/\.(parquet|csv)$/i.test(out)) throw invalidOption("out", "a path that ends in .parquet or .csv", out);
  if (from !== undefined && (typeof from !== "string" || !isIsoDate(from))) throw invalidOption("from", "a date as YYYY-MM-DD", from);
  if (!existsSync(dirname(resolve(out)))) throw new AstgnnError("ERR_OPTION", `There is no folder ${dirname(resolve(out))} for ${out}.`, { option: "out", next: "Make it first." });
  using scorer = await loadRun(folder, device === undefined ? {} : { device });
  const members = scorer instanceof Ensemble ? scorer.members : [scorer];
  const description = members[0]!.dataset;
  if (description === undefined) {
    throw new AstgnnError("ERR_CHECKPOINT", `The model in ${folder} does not say how its data were prepared.`, { file: folder, next: "Train it with astgnn train." });
  }
  const panel = await openAlike(folder, source, panelOptions, description);
  const dataset = panel.dataset({ description, ...(panelOptions.maxDropped === undefined ? {} : { maxDropped: panelOptions.maxDropped }) });
  const { predictions } = await scorer.predict(from === undefined ? dataset : { dataset, dates: datesFrom(dataset, from) }, {
    ...(threads === undefined ? {} : { threads }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (predictions.dates.length === 0) {
    throw new AstgnnError("ERR_DATA", `No stock of ${panel.source} has a complete window of ${dataset.window} dates${from === undefined ? "" : ` on ${from} or later`}.`, { file: panel.source, next: "Give more history." });
  }
  const rows = await writeScores(predictions, out);
  return { out, members: members.length, rows, dates: predictions.dates.length, firstDate: predictions.dates[0]!, lastDate: predictions.dates.at(-1)!, ledger: dataset.ledger };
}

/** Opens data as run.json says that those of the run were opened; a run of an older version says nothing of it. */
async function openAlike(folder: string, source: PanelSource | undefined, options: PanelOptions, { label }: DatasetDescription): Promise<Panel> {
  const { source: trainedOn, panel } = await readDescription(folder);
  const data = source ?? trainedOn ?? undefined;
  if (data === undefined) throw new AstgnnError("ERR_OPTION", `The run in ${folder} does not say what it was trained on.`, { option: "source", next: "Name the data to score." });
  const labelColumn = (label as { column?: string }).column;
  return openPanel(data, panel == null ? options : readAlike(panel, options, labelColumn, folder));
}

/** Dates with rows from `from` on. */
function datesFrom(dataset: Dataset, from: string): Int32Array {
  const { dates, rowOffsets, requiredHistory } = dataset;
  const first = firstNotBefore(dates, from);
  const there = from < dates[0]! ? 0 : first + 1;
  refuseEarlyDate({ option: "from", date: from, there, earliest: dates[requiredHistory - 1] }, dates, dataset);
  return Int32Array.from(dates.keys()).filter((t) => t >= first && rowOffsets[t + 1]! > rowOffsets[t]!);
}

/** Writes the rows that have a prediction, sorted by date and ticker; the file appears whole or not at all. */
async function writeScores(scores: PanelValues, out: string): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "astgnn-predict-"));
  try {
    const staged = join(folder, "scores.csv");
    const rows = await writeCsv(scores, staged);
    const types = columnNames(scores).map((name, i) => `'${name}': '${["DATE", "VARCHAR"][i] ?? (scores.data instanceof Float32Array ? "FLOAT" : "DOUBLE")}'`);
    const format = /\.csv$/i.test(out) ? "csv, HEADER" : "parquet";
    const partial = partialPath(out);
    await using database = await Database.open();
    await database.run(`COPY (SELECT * FROM read_csv(${oneFile(staged)}, header = true, columns = {${types.join(", ")}})) TO ${literal(partial)} (FORMAT ${format})`, out);
    await moveIntoPlace(partial, out);
    return rows;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function writeCsv(scores: PanelValues, path: string): Promise<number> {
  const [width, stocks] = [widthOf(scores), scores.tickers.length];
  const order = [...scores.tickers.keys()].sort((a, b) => (scores.tickers[a]! < scores.tickers[b]! ? -1 : 1));
  const tickers = scores.tickers.map((ticker) => `"${ticker.replaceAll('"', '""')}"`);
  await using file = await open(path, "w");
  await file.write(`${columnNames(scores).join(",")}\n`);
  let rows = 0;
  for (const [t, date] of scores.dates.entries()) {
    let lines = "";
    for (const n of order) {
      const values = scores.data.subarray((t * stocks + n) * width, (t * stocks + n + 1) * width);
      if (Number.isNaN(values[0]!)) continue;
      lines += `${date},${tickers[n]},${values.join(",")}\n`;
      rows++;
    }
    await file.write(lines);
  }
  return rows;
}

function columnNames(scores: PanelValues): string[] {
  const width = widthOf(scores);
  return ["date", "ticker", ...(width === 1 ? ["prediction"] : Array.from({ length: width }, (_, p) => `prediction_${p}`))];
}
