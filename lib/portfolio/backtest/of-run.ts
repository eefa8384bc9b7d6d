import { join } from "node:path";
import type { Panel } from "../../data/panel.js";
import type { PanelSource } from "../../data/source/panel-source.js";
import type { PanelValues } from "../../data/types.js";
import { AstgnnError } from "../../errors.js";
import { openRunData } from "../../evaluate/run-data.js";
import { foldResults, readFoldTests } from "../../evaluate/walk-forward/stitch.js";
import { resolveOptions } from "../../options.js";
import { readAnyDescription } from "../../run/description.js";
import { readStoredPredictions } from "../../run/stored-predictions.js";
import { backtest, type Backtest } from "./backtest.js";
import { checkBook } from "./decisions.js";
import { BacktestOptionsSchema, type BacktestOptions, type PredictionsSource } from "./options.js";

/** How to hold what a run predicts. */
export interface RunBacktestOptions extends BacktestOptions, Omit<PredictionsSource, "predictions"> {
  /** The prices: a source, read as the run's were, or a panel. Default: what the run was trained on, read again. */
  readonly source?: PanelSource | Panel | undefined;
  /** Whose predictions. Of the validation the epoch was chosen. Default "test". */
  readonly split?: "test" | "valid" | undefined;
}

/**
 * {@link backtest} of the predictions of a run, an ensemble or a walk-forward. Portfolios are held for the days that its label spans, unless `horizonDays`
 * says otherwise.
 *
 * @example
 * const { sharpe } = await backtestRun("runs/first", { book: "quantiles", costBps: 10 });
 * @throws AstgnnError as {@link backtest}; ERR_CHECKPOINT or ERR_DATA where the folder holds no finished run, or its data are others by now
 */
export async function backtestRun(folder: string, options: RunBacktestOptions = {}): Promise<Backtest> {
  const { source, split = "test", prediction, horizonDays, book, quantiles, topK, ...terms } = options;
  // A wrong option is told before anything is read.
  resolveOptions(BacktestOptionsSchema, terms, "backtest");
  checkBook(options);
  const { predictions, days } = await predictionsOfRun(folder, split, prediction ?? 0);
  if (predictions.dates.length === 0) throw new AstgnnError("ERR_DATA", `The run in ${folder} has no ${split} dates.`, { file: folder, next: split === "test" ? "Name the validation with split." : "Name the test." });
  const panel = typeof source === "object" && "fingerprint" in source ? source : await openPanelOf(folder, source, terms.signal);
  return backtest({ predictions, prediction, horizonDays: horizonDays ?? days, book, quantiles, topK }, panel, terms);
}

/** The prices at another place need not be the data of the training; its own have to be. */
async function openPanelOf(folder: string, source: PanelSource | undefined, signal: AbortSignal | undefined): Promise<Panel> {
  const { fingerprint, ...run } = await readAnyDescription(folder);
  if (source === undefined) return openRunData(folder, { ...run, fingerprint }, undefined, signal);
  const { openPanel } = await import("../../data/panel.js");
  return openPanel(source, { ...run.panel, columns: undefined, onWarning: () => {}, signal });
}

/** Stored predictions and the days that the label of one of them spans. */
async function predictionsOfRun(folder: string, split: "test" | "valid", prediction: number): Promise<{ predictions: PanelValues; days: number }> {
  const run = await readAnyDescription(folder);
  const { label = {} } = run.dataset as { label?: { horizonDays?: number | readonly number[] } };
  const horizons = [label.horizonDays ?? 1].flat();
  const days = Math.max(1, horizons[Math.min(prediction, horizons.length - 1)]!);
  if (run.kind === "walkForward") {
    if (split === "valid") throw new AstgnnError("ERR_OPTION", `${folder} holds a walk-forward, whose tests alone follow one another.`, { option: "split", next: "Leave split out." });
    const folds = await foldResults(folder, run);
    if (!folds.some(({ isFinished }) => isFinished)) throw new AstgnnError("ERR_DATA", `No fold of the walk-forward in ${folder} is finished.`, { file: folder, next: "Run astgnn train --walk-forward again: it completes what is missing." });
    return { predictions: (await readFoldTests(folder, folds)).predictions, days };
  }
  if (run.status !== "finished") throw new AstgnnError("ERR_DATA", `The run in ${folder} is not finished.`, { file: folder, next: "Continue it with astgnn train --resume." });
  return { predictions: (await readStoredPredictions(join(folder, "predictions.parquet")))[split].predictions, days };
}
