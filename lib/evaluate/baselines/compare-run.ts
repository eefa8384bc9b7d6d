import { basename, join } from "node:path";
import { z } from "zod";
import type { DatasetOptions } from "../../data/dataset-options.js";
import { openPanel, type Panel } from "../../data/panel.js";
import type { PanelSource } from "../../data/source/panel-source.js";
import type { PanelValues } from "../../data/types.js";
import { AstgnnError } from "../../errors.js";
import { widthOf } from "../../metrics/aligned.js";
import { resolveOptions } from "../../options.js";
import { readAnyDescription, type RunDescription, type WalkForwardDescription } from "../../run/description.js";
import { readStoredPredictions, type StoredSplit } from "../../run/stored-predictions.js";
import type { TrainEvents } from "../../train/events.js";
import { openRunData } from "../run-data.js";
import { storedPairs } from "../trials.js";
import { foldResults, readFoldTests } from "../walk-forward/stitch.js";
import { comparePredictions, planeOf, type BaselineComparison, type NamedPredictions } from "./compare.js";
import { BASELINES, type BaselineName } from "./names.js";
import { hasGraph, withoutGraph } from "./no-graph.js";
import { isPriceSignal, priceSignal } from "./price-signals.js";
import { ridgeBaseline } from "./ridge-baseline.js";

/** What a run is compared with. */
export interface CompareRunOptions {
  /**
   * `"reversal1"`, `"reversal20"`: minus the return of one day, of 20; `"momentum"`: the return from 252 to 21 days before; `"ridge"`: a ridge regression on the
   * last day's features; `"no-graph"`: the same model and training without a graph, trained once into `baselines/no-graph` of the run. Default all.
   */
  readonly baselines?: readonly BaselineName[] | undefined;
  /** Predictions of other tools: tables of date, ticker and prediction. Default none. */
  readonly compare?: readonly PanelSource[] | undefined;
  /** Where the prices come from: the data of the run, at another place or already open. Default: what the run was trained on, read again. */
  readonly source?: PanelSource | Panel | undefined;
  /** Events of the training without a graph. */
  readonly events?: TrainEvents | undefined;
  readonly signal?: AbortSignal | undefined;
}

const OptionsSchema = z.object({
  baselines: z.array(z.enum(BASELINES)).default([...BASELINES]).describe(`a list of ${BASELINES.join(", ")}`),
  compare: z.array(z.custom<PanelSource>((value) => value !== null && ["string", "object"].includes(typeof value))).default([]).describe("a list of tables"),
});

/**
 * Compares the test of a run, or the tests of a walk-forward's folds, with baselines: IC, RankIC and ICIR on the rows that all of them have, and the difference to
 * ours date by date with its Newey-West t. Of several predictions and horizons it is the first pair.
 *
 * @example
 * const { model, baselines } = await compareRun("runs/first", { baselines: ["reversal1", "ridge"], compare: ["lightgbm.parquet"] });
 * for (const { name, ic, difference } of baselines) console.log(name, ic, model.ic, difference.t);
 * @throws AstgnnError ERR_DATA where the folder holds no finished run with a test, its data cannot be read or are others by now, or no row is common; ERR_OPTION, ERR_ABORTED
 */
export async function compareRun(folder: string, options: CompareRunOptions = {}): Promise<BaselineComparison> {
  const { source, events = {}, signal, ...given } = options;
  const { baselines, compare } = resolveOptions(OptionsSchema, given, "compareRun");
  const run = await readAnyDescription(folder);
  if (run.kind !== "walkForward" && run.status !== "finished") throw new AstgnnError("ERR_DATA", `The run in ${folder} is not finished.`, { file: folder, next: "Continue it with astgnn train --resume." });
  const { predictions, labels } = await testOf(folder, run);
  if (predictions.dates.length === 0) throw new AstgnnError("ERR_DATA", `The run in ${folder} has no test to compare on.`, { file: folder, next: "Train with a split that has a test." });
  const panel = await openRunData(folder, run, source, signal);
  const [[prediction, horizon] = [0, 0]] = storedPairs(run.training as Parameters<typeof storedPairs>[0], widthOf(predictions), widthOf(labels));
  const others: NamedPredictions[] = [];
  const leftOut: { name: string; reason: string }[] = [];
  for (const name of baselines) {
    if (isPriceSignal(name)) {
      if (panel.has("close")) others.push({ name, predictions: priceSignal(panel, name, predictions.dates), isOptional: true });
      else leftOut.push({ name, reason: "the data have no close" });
    } else if (name === "ridge") {
      others.push(...(await ridgeOf(folder, run, panel, horizon, signal)));
    } else if (hasGraph(run)) {
      const out = await withoutGraph(folder, run, panel, { threads: (run as Partial<RunDescription>).threads, signal, events });
      others.push({ name, predictions: planeOf((await testOf(out, await readAnyDescription(out))).predictions, prediction), isOptional: false });
    } else {
      leftOut.push({ name, reason: "the run has no graph" });
    }
  }
  for (const table of compare) others.push({ name: nameOf(table), predictions: await importedPredictions(table, signal), isOptional: false });
  const found = comparePredictions(planeOf(predictions, prediction), planeOf(labels, horizon), others, horizonDaysOf(run, horizon));
  return { ...found, leftOut: [...leftOut, ...found.leftOut] };
}

type Described = RunDescription | WalkForwardDescription;

async function testOf(folder: string, run: Described): Promise<StoredSplit> {
  if (run.kind === "walkForward") return readFoldTests(folder, await foldResults(folder, run));
  return (await readStoredPredictions(join(folder, "predictions.parquet"))).test;
}

function horizonDaysOf({ dataset }: Described, horizon: number): number {
  const { label } = dataset as { label?: { horizonDays?: number | readonly number[] } };
  return Math.max(1, [label?.horizonDays ?? 1].flat()[horizon] ?? 1);
}

/** One ridge regression per fold, or one for the run. */
async function ridgeOf(folder: string, run: Described, panel: Panel, horizon: number, signal: AbortSignal | undefined): Promise<NamedPredictions[]> {
  const { extremeReturns: _, ...options } = run.dataset;
  const folds = run.kind === "walkForward" ? (await foldResults(folder, run)).filter(({ isFinished }) => isFinished).map(({ split }) => ({ ...options, split })) : [options];
  const parts: PanelValues[] = [];
  for (const cut of folds) {
    using dataset = await panel.dataset({ ...cut, signal } as unknown as DatasetOptions);
    parts.push(ridgeBaseline(dataset, horizon).predictions);
  }
  const data = new Float64Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  const dates = parts.flatMap((part) => part.dates);
  return [{ name: "ridge", predictions: { data, shape: [dates.length, panel.tickers.length], dates, tickers: panel.tickers }, isOptional: true }];
}

async function importedPredictions(table: PanelSource, signal: AbortSignal | undefined): Promise<PanelValues> {
  const scores = await openPanel(table, { columns: ["prediction"], maxDropped: 1, onWarning: () => {}, ...(signal === undefined ? {} : { signal }) });
  return { data: scores.values("prediction"), shape: [scores.dates.length, scores.tickers.length], dates: scores.dates, tickers: scores.tickers };
}

function nameOf(table: PanelSource): string {
  return typeof table === "string" ? basename(table) : "predictions of a query";
}
