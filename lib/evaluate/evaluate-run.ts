import { readFile } from "node:fs/promises";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { openPanel, type Panel } from "../data/panel.js";
import type { ReadingOptions } from "../data/origin.js";
import type { PanelSource } from "../data/source/panel-source.js";
import type { Ledger, PanelValues } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { widthOf } from "../metrics/aligned.js";
import { evaluatePairs } from "../metrics/pairs.js";
import { statisticsShape } from "../metrics/statistics-options.js";
import { study, type Evaluation, type StudyOptions } from "../metrics/study.js";
import { checkStored, resolveOptions } from "../options.js";
import { factorUnits, type FactorUnits } from "../metrics/units.js";
import { DescriptionSchema, type WalkForwardDescription } from "../run/description.js";
import { awaitReplacement } from "../run/replacement.js";
import { readStoredPredictions, type StoredSplit } from "../run/stored-predictions.js";
import { warn, type Warning } from "../warn.js";
import { exposuresOfRun, neutralisedBy } from "./exposures-of-run.js";
import { marketOf } from "./market-of.js";
import { differenceFrom, isPanel } from "./run-data.js";
import { findTrials, storedPairs, type StoredIdentity } from "./trials.js";
import { foldResults, foldStatistics, readFoldTests, unfinished, type FoldResult } from "./walk-forward/stitch.js";

/** Metrics of one split of a run. */
export interface SplitEvaluation extends Evaluation {
  /** Mean exp(entropy) of the rows of A; null where the run does not say. */
  readonly effectiveNeighbours: number | null;
  /** Mean diagonal of A. */
  readonly selfWeight: number | null;
  /** Whether A knows who belongs together ({@link PeerStatistics}); null where the run does not say. */
  readonly peerCorrelation: number | null;
  readonly largestHub: number | null;
  readonly hubSkewness: number | null;
  /** Each prediction by itself; null where the run has one. */
  readonly factorUnits: FactorUnits | null;
}

/** Metrics of a run folder; NaN with 0 dates for a split that the run does not have. */
export interface RunEvaluation {
  readonly valid: SplitEvaluation;
  readonly test: SplitEvaluation;
  /** What was dropped, filled or left out of the data that the run was made from. */
  readonly ledger: Ledger;
  /** Folders of the other configurations that count as trials. */
  readonly trials: readonly string[];
  /** Why there are no prices, by which what needs them is null; null where there are. */
  readonly withoutPrices: string | null;
  /** Of a walk-forward, whose `test` is that of its finished folds together: every fold. */
  readonly folds?: readonly FoldResult[];
  /** Folders of a walk-forward that are not finished, and whose dates are therefore not in `test`. */
  readonly missing?: readonly string[];
}

/** How to evaluate a run. */
export interface EvaluateRunOptions extends Pick<StudyOptions, "quantiles" | "topK" | "costBps" | "borrowBps" | "periodsPerYear" | "bootstrapDraws" | "seed"> {
  /** Where the prices come from: the data of the run, at another place or already open. Default: what the run was trained on, read again. */
  source?: PanelSource | Panel | undefined;
  /**
   * Known properties of stocks: `"loadings"`, `"style"` and number columns of the data, and `"groups"` for an intercept per group of `neutral`. Default: what the
   * labels of the run were made neutral to, else the groups of the data alone.
   */
  exposures?: readonly string[] | undefined;
  /** Told why there are no prices. Default: Node prints it. */
  onWarning?: ((warning: Warning) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** The part of report.json that predictions alone do not tell. */
type StoredReport = Partial<Record<string, Readonly<Record<string, unknown>>>>;

const TOLD = ["mse", "effectiveNeighbours", "selfWeight", "peerCorrelation", "largestHub", "hubSkewness"] as const;

/** The part of run.json that evaluation needs. */
interface StoredRun extends StoredIdentity {
  kind?: string;
  ledger: Ledger;
  source?: PanelSource | null;
  panel?: ReadingOptions | null;
  members?: readonly string[];
}

/**
 * Recomputes the metrics of a run, or of an ensemble of runs, from its predictions.parquet; mse and the graph's statistics come from its report.json. Closes,
 * groups and sizes come from the data that it was trained on; where these are out of reach or others by now, what needs them is null and a warning says why.
 * The other finished runs below the parent folder, on the same data and dates, are the trials by which the IC is deflated. Of a walk-forward it is the tests of
 * the folds that are finished, as one.
 *
 * @example
 * const { test } = await evaluateRun("runs/first");
 * @throws AstgnnError ERR_DATA where the folder holds no finished run, or the data have no such column; ERR_OPTION, ERR_ABORTED
 */
export async function evaluateRun(folder: string, options: EvaluateRunOptions = {}): Promise<RunEvaluation> {
  const { source, exposures, onWarning, signal, ...given } = options;
  const statistics = resolveOptions(z.strictObject(statisticsShape), given, "evaluateRun");
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new AstgnnError("ERR_DATA", `There is no folder ${folder}.`, { file: folder, next: "Name the --out folder of a training." });
  }
  await awaitReplacement(folder);
  if (!existsSync(join(folder, "run.json"))) {
    throw new AstgnnError("ERR_DATA", `${folder} holds no run: it has no run.json.`, { file: folder, next: "Name the --out folder of a training." });
  }
  const file = join(folder, "run.json");
  const run = checkStored(DescriptionSchema, await readJson(file), file, "Pass the folder that train wrote.") as unknown as StoredRun;
  const isWalkForward = run.kind === "walkForward";
  if (run.status !== "finished" && !isWalkForward) {
    // A run that was grown and stopped still has the predictions of its shorter self.
    throw new AstgnnError("ERR_DATA", `The run in ${folder} is not finished.`, { file: folder, next: "Continue it with astgnn train --resume." });
  }
  const { stored, report, ...folds } = isWalkForward ? await ofFolds(folder, run as StoredRun & WalkForwardDescription) : {
    stored: await readStoredPredictions(join(folder, "predictions.parquet")),
    report: await readJson<StoredReport>(join(folder, "report.json")),
  };
  const hasDates = stored.valid.predictions.dates.length + stored.test.predictions.dates.length > 0;
  const { panel, why = null } = hasDates ? await dataOf(folder, run, source, { onWarning, signal }) : {};
  const trials = await findTrials(folder, run, panel, signal);
  const named = exposures ?? neutralisedBy(run);
  const known = panel === undefined || named === undefined ? undefined : await exposuresOfRun(folder, run, panel, named, { onWarning, signal });
  const split = (name: "valid" | "test"): SplitEvaluation => {
    const { predictions, labels } = stored[name];
    const told = report?.[name] ?? {};
    const pairs = storedPairs(run.training, widthOf(predictions), widthOf(labels));
    const market = panel === undefined || predictions.dates.length === 0 ? {} : marketOf(panel, predictions);
    const lacksExposures = named !== undefined && known === undefined;
    const ofTraining = (name: string): number | null => (exposures === undefined ? numberOrNull(told[name]) : null);
    const about = { ...labels, ...labelOf(run) };
    return {
      ...study(predictions, about, pairs, evaluatePairs(predictions, labels, pairs), { ...statistics, ...market, trials: trials[name] }, known?.of),
      factorUnits: factorUnits(predictions, about, pairs, { ...statistics, ...market }, known?.of),
      // Those of the training, where they cannot be computed again.
      ...(lacksExposures ? { neutral: null, neutralIc: ofTraining("neutralIc"), neutralIcir: ofTraining("neutralIcir"), neutralRankIc: ofTraining("neutralRankIc") } : {}),
      ...(Object.fromEntries(TOLD.map((name) => [name, numberOrNull(told[name])])) as Record<(typeof TOLD)[number], number | null>),
    };
  };
  try {
    return { valid: split("valid"), test: split("test"), ledger: run.ledger, trials: trials.folders, withoutPrices: why, ...folds };
  } finally {
    known?.release();
  }
}

/** The finished folds of a walk-forward as one run that has a test alone. */
async function ofFolds(folder: string, description: WalkForwardDescription): Promise<{ stored: Record<"valid" | "test", StoredSplit>; report: StoredReport; folds: FoldResult[]; missing: string[] }> {
  const [folds, missing] = [await foldResults(folder, description), await unfinished(folder, description)];
  if (!folds.some(({ isFinished }) => isFinished)) {
    throw new AstgnnError("ERR_DATA", `None of the ${folds.length} folds of the walk-forward in ${folder} is finished.`, { file: folder, next: "Run astgnn train --walk-forward again: it completes what is missing." });
  }
  const test = await readFoldTests(folder, folds);
  const nothing: PanelValues = { data: new Float64Array(0), shape: [0, test.predictions.tickers.length, widthOf(test.predictions)], dates: [], tickers: test.predictions.tickers };
  const valid = { predictions: nothing, labels: { ...nothing, shape: [0, nothing.tickers.length, widthOf(test.labels)] as const } };
  return { stored: { valid, test }, report: { test: await foldStatistics(folder, folds, TOLD) }, folds, missing };
}

/** Which days the labels of the run look at. */
export function labelOf({ dataset }: Pick<StoredIdentity, "dataset">): { horizonDays: readonly number[]; lagDays: number; column: string | undefined } {
  const { label = {} } = (dataset ?? {}) as { label?: { horizonDays?: number | readonly number[]; lagDays?: number; column?: string } };
  return { horizonDays: [label.horizonDays ?? 1].flat(), lagDays: label.lagDays ?? 0, column: label.column };
}

/** The data of the run, or why not, as a warning too, where they cannot be read or are others than those that it was trained on. */
async function dataOf(folder: string, run: StoredRun, source: PanelSource | Panel | undefined, { onWarning, signal }: Pick<EvaluateRunOptions, "onWarning" | "signal">): Promise<{ panel?: Panel; why?: string }> {
  const without = (why: string): { why: string } => {
    warn({ reason: "no_prices", text: `${why} Decay, turnover and what the books earn are left out.` }, onWarning);
    return { why };
  };
  const from = source ?? run.source ?? undefined;
  if (from === undefined) return without(`The run in ${folder} does not say what it was trained on.`);
  try {
    const panel = isPanel(from) ? from : await openPanel(from, { ...run.panel, onWarning: () => {}, ...(signal === undefined ? {} : { signal }) });
    const difference = await differenceFrom(folder, run, panel, signal);
    return difference === undefined ? { panel } : without(difference);
  } catch (error) {
    if (!(error instanceof AstgnnError) || error.code === "ERR_ABORTED") throw error;
    return without(`The data of the run in ${folder} cannot be read: ${error.message}`);
  }
}

/** @throws AstgnnError ERR_DATA where there is no such file of a run, or it is no JSON */
export async function readJson<V>(file: string): Promise<V> {
  if (!existsSync(file)) throw new AstgnnError("ERR_DATA", `There is no ${file}.`, { file, next: "Finish the run with astgnn train --resume." });
  try {
    return JSON.parse(await readFile(file, "utf8")) as V;
  } catch (cause) {
    throw new AstgnnError("ERR_DATA", `${file} is not valid JSON.`, { file, cause, next: "Move it away; astgnn train --resume writes it again." });
  }
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
