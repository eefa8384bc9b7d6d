import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { isIsoDate } from "../data/calendar.js";
import type { PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source/panel-source.js";
import type { Ledger } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { checkDataset } from "../model/compatibility.js";
import type { Device } from "../model/device.js";
import { predictionNeutraliser, type PredictionNeutraliser } from "../model/neutral-predictions.js";
import { datesFrom } from "../model/predict-dates.js";
import { selectDates, type DateSelection, type Neutralise } from "../model/predict.js";
import { resolveThreads } from "../binding/threads.js";
import { loadRun, scorerOf, type LoadedRun } from "./load.js";
import { PredictionFiles } from "./prediction-files.js";
import { blocksOf, type ScoreRequest } from "./scoring.js";

/**
 * What to score and where to put it. The other options are those of `openPanel`; by default they are the run's. They may say where files and the
 * columns of date and ticker now are, `maxDropped`, and warn or error for `extremeReturns`; what would make another cross-section is refused.
 */
export interface PredictRunOptions extends PanelOptions {
  /** File to write: .parquet or .csv with date, ticker, prediction[_p]. */
  out: string;
  /** First date to score, YYYY-MM-DD. Default: the first with enough history. */
  from?: string | undefined;
  /** Write what of the predictions known exposures leave: as for `ASTGNNFactorModel.predict`. Default: predictions as they are. */
  neutralise?: Neutralise | undefined;
  /** Where to compute. Default ASTGNN_DEVICE, else `"auto"`: the first GPU that can be used, else the CPU. */
  device?: Device | undefined;
  /** Compute threads. Whole, from 1; default ASTGNN_THREADS, else the physical cores. */
  threads?: number | undefined;
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
  const { out, from, neutralise, device, threads, ...panelOptions } = options;
  const { signal } = panelOptions;
  if (typeof out !== "string" || !/\.(parquet|csv)$/i.test(out)) throw invalidOption("out", "a path that ends in .parquet or .csv", out);
  if (from !== undefined && (typeof from !== "string" || !isIsoDate(from))) throw invalidOption("from", "a date as YYYY-MM-DD", from);
  if (!existsSync(dirname(resolve(out)))) throw new AstgnnError("ERR_OPTION", `There is no folder ${dirname(resolve(out))} for ${out}.`, { option: "out", next: "Make it first." });
  using run = await loadRun(folder, { device });
  const description = run.dataset;
  const panel = await run.openPanel(source, panelOptions);
  const dataset = await panel.dataset({ description, from, threads, signal, maxDropped: panelOptions.maxDropped });
  for (const model of run.models) checkDataset(model, dataset);
  const selection = datesFrom(selectDates(dataset), undefined);
  const dates = Array.from(selection.dates, (t) => dataset.dates[t]!);
  const request = { riskFactors: false, threads: resolveThreads(threads), signal };
  const neutral = await predictionNeutraliser(neutralise, dataset, description, request);
  try {
    const rows = await writeScores(run, selection, out, request, neutral);
    return { out, members: run.models.length, rows, dates: dates.length, firstDate: dates[0]!, lastDate: dates.at(-1)!, ledger: neutral?.ledger(dataset.ledger) ?? dataset.ledger };
  } finally {
    neutral?.release();
  }
}

/** Scores block by block and writes date, ticker and prediction[_p]. Returns the number of rows. */
async function writeScores(run: LoadedRun, selection: DateSelection, out: string, request: ScoreRequest, neutral: PredictionNeutraliser | undefined): Promise<number> {
  const [{ config, dtype }] = run.models;
  const scorer = scorerOf(run);
  const files = await PredictionFiles.create({
    dataset: selection.dataset, predictions: out, labelled: false, numPredictions: config.numPredictions, dtype: run.ensemble === undefined ? dtype : "float64",
  });
  try {
    for (const block of blocksOf(selection)) {
      const scores = await scorer(block, request);
      await files.append(block, neutral === undefined ? scores : { ...scores, predictions: await neutral.residuals(block, scores.predictions) });
    }
  } catch (error) {
    await files.close();
    throw error;
  }
  await files.finish();
  return files.rows;
}
