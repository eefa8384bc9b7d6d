import { readFile } from "node:fs/promises";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Ledger } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { widthOf } from "../metrics/aligned.js";
import { evaluatePairs, type Metrics } from "../metrics/pairs.js";
import { awaitReplacement } from "../run/replacement.js";
import { readStoredPredictions } from "../run/stored-predictions.js";
import { evaluationPairs, type Loss, resolveLoss } from "../train/objective.js";

/** Metrics of one split of a run. */
export interface SplitEvaluation extends Metrics {
  /** Mean exp(entropy) of the rows of A; null where the run does not say. */
  readonly effectiveNeighbours: number | null;
  /** Mean diagonal of A. */
  readonly selfWeight: number | null;
}

/** Metrics of a run folder; NaN with 0 dates for a split that the run does not have. */
export interface RunEvaluation {
  readonly valid: SplitEvaluation;
  readonly test: SplitEvaluation;
  /** What was dropped, filled or left out of the data that the run was made from. */
  readonly ledger: Ledger;
}

/** The part of report.json that predictions alone do not tell. */
type StoredReport = Partial<Record<string, Readonly<Record<string, unknown>>>>;

/** The part of run.json that says which prediction is meant for which horizon, and what became of the data. */
interface StoredRun {
  status?: string;
  ledger: Ledger;
  training?: { loss?: Loss; datesPerStep?: number };
}

/**
 * Recomputes the metrics of a run, or of an ensemble of runs, from its predictions.parquet; mse and the graph's statistics come from its report.json.
 *
 * @example
 * const { test } = await evaluateRun("runs/first");
 * @throws AstgnnError ERR_DATA where the folder holds no finished run
 */
export async function evaluateRun(folder: string): Promise<RunEvaluation> {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new AstgnnError("ERR_DATA", `There is no folder ${folder}.`, { file: folder, next: "Name the --out folder of a training." });
  }
  await awaitReplacement(folder);
  if (!existsSync(join(folder, "run.json"))) {
    throw new AstgnnError("ERR_DATA", `${folder} holds no run: it has no run.json.`, { file: folder, next: "Name the --out folder of a training." });
  }
  const { status, ledger, training } = await readJson<StoredRun>(join(folder, "run.json"));
  if (status !== "finished") {
    // A run that was grown and stopped still has the predictions of its shorter self.
    throw new AstgnnError("ERR_DATA", `The run in ${folder} is not finished.`, { file: folder, next: "Continue it with astgnn train --resume." });
  }
  const stored = await readStoredPredictions(join(folder, "predictions.parquet"));
  const report = await readJson<StoredReport>(join(folder, "report.json"));
  const split = (name: "valid" | "test"): SplitEvaluation => {
    const { predictions, labels } = stored[name];
    const told = report[name] ?? {};
    const [width, horizons] = [widthOf(predictions), widthOf(labels)];
    const pairs = evaluationPairs(resolveLoss(training?.loss ?? "ic", width, horizons, training?.datesPerStep ?? 1), width, horizons);
    return {
      ...evaluatePairs(predictions, labels, pairs),
      mse: numberOrNull(told["mse"]),
      effectiveNeighbours: numberOrNull(told["effectiveNeighbours"]),
      selfWeight: numberOrNull(told["selfWeight"]),
    };
  };
  return { valid: split("valid"), test: split("test"), ledger };
}

async function readJson<V>(file: string): Promise<V> {
  if (!existsSync(file)) throw new AstgnnError("ERR_DATA", `There is no ${file}.`, { file, next: "Finish the run with astgnn train --resume." });
  try {
    return JSON.parse(await readFile(file, "utf8")) as V;
  } catch (cause) {
    throw new AstgnnError("ERR_DATA", `${file} is not valid JSON.`, { file, cause, next: "Write it again with astgnn train --resume." });
  }
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
