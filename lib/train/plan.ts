import { cpus, totalmem } from "node:os";
import { loadCore, loadedLibTorch } from "../binding/load.js";
import { packageVersion } from "../binding/package-root.js";
import type { NativeSessionOptions, NativeTerm } from "../binding/types.js";
import { labelExposures } from "../data/exposures.js";
import { CHUNK_DATES } from "../data/pack/format.js";
import { readerOf } from "../data/pack/reader.js";
import type { Dataset } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { FORMAT_VERSION } from "../model/checkpoint.js";
import { checkShape } from "../model/compatibility.js";
import type { ASTGNNFactorModel } from "../model/model.js";
import { PEER_DAYS } from "../model/peers.js";
import type { RunDescription } from "../run/description.js";
import type { RunIdentity } from "../run/state.js";
import { stepsPerEpoch } from "./date-order.js";
import { estimateTrainingBytes } from "./memory.js";
import { evaluationPairs, resolveLoss, termLabels } from "./objective.js";
import { recipeOf, type ResolvedTrainOptions } from "./options.js";

/** A training, checked against its model and data, before anything runs. */
export interface TrainingPlan {
  readonly objective: NativeTerm[];
  readonly labels: readonly string[];
  readonly pairs: readonly [number, number][];
  /** Days over which peers are judged. */
  readonly peerDays: number;
  readonly stepsPerEpoch: number;
  /** Steps are blocks of consecutive dates: the turnover term. */
  readonly consecutive: boolean;
  /** Dates of the chunks that are shuffled; undefined where all dates are shuffled among each other. */
  readonly chunkDates: number | undefined;
  readonly session: NativeSessionOptions;
  readonly identity: RunIdentity;
  readonly memoryBytes: number;
}

/**
 * Checks a training and works out what follows from its options.
 *
 * @throws AstgnnError ERR_DATA where the dataset does not fit the model or has no training date, ERR_OPTION for the loss and what needs validation dates
 */
export function planTraining(model: ASTGNNFactorModel, dataset: Dataset, options: ResolvedTrainOptions): TrainingPlan {
  const { config, dtype } = model;
  checkShape(config, dataset);
  const [dates, horizons] = [dataset.train.dateIndices.length, dataset.horizons.length];
  if (dates === 0) throw new AstgnnError("ERR_DATA", "The dataset has no training dates.", { option: "split", next: "Give panel.dataset a split whose training part has dates." });
  if (dataset.valid.dateIndices.length === 0 && (options.patience > 0 || options.schedule === "plateau")) {
    const option = options.patience > 0 ? "patience" : "schedule";
    throw new AstgnnError("ERR_OPTION", `The dataset has no validation dates for ${option}.`, { option, next: "Name split.validEnd, or leave the option out." });
  }
  if (options.monitor.startsWith("neutral") && labelExposures(dataset) === undefined) {
    throw new AstgnnError("ERR_OPTION", `The dataset names no exposures for monitor ${options.monitor}.`, { option: "monitor", next: "Name them in labelTransform.neutralise of the dataset, or choose another monitor." });
  }
  const { betas, adamEps, weightDecay, clipNorm, ema, seed, datesPerStep, cudaGraph, reduction } = options;
  const shuffle = options.shuffle ?? (readerOf(dataset) === undefined ? "dates" : "chunks");
  const objective = resolveLoss(options.loss, config.numPredictions, horizons, datesPerStep);
  for (const { name, horizonDays } of objective) if (name === "coMovement") requireFuture(dataset, horizonDays);
  return {
    objective,
    labels: termLabels(objective),
    pairs: evaluationPairs(objective, config.numPredictions, horizons),
    peerDays: objective.find(({ name }) => name === "coMovement")?.horizonDays ?? PEER_DAYS,
    stepsPerEpoch: stepsPerEpoch(dates, datesPerStep),
    consecutive: objective.some(({ name }) => name === "turnover"),
    chunkDates: shuffle === "chunks" ? CHUNK_DATES : undefined,
    session: { objective, betas: [...betas] as [number, number], adamEps, weightDecay, clipNorm, ema, seed, cudaGraph, reduction },
    identity: { config, dtype, recipe: { ...recipeOf(options), ...(shuffle === "chunks" ? { shuffle } : {}) }, dataset: dataset.options, split: dataset.splitSummary, fingerprint: dataset.fingerprint },
    memoryBytes: estimateTrainingBytes({ config, dtype, parameters: model.parameterCount, dataset, objective, datesPerStep, device: model.device }),
  };
}

/** @throws AstgnnError where no training date has returns of so many days after it that its split may look at */
function requireFuture({ returns, train }: Dataset, days: number): void {
  if (returns === undefined) {
    throw new AstgnnError("ERR_DATA", "The loss coMovement needs daily returns, and the panel has no column close.", { option: "loss", column: "close", next: "Give the panel a close, or leave the term out." });
  }
  if (train.dateIndices.some((t) => t + days <= returns.ends[t]!)) return;
  throw new AstgnnError("ERR_DATA", `No training date has ${days} dates after it up to the end of train, as the loss coMovement needs.`, { option: "loss", next: "Lower horizonDays, or move split.trainEnd." });
}

/** The first `run.json` of a run. */
export function describeRun(
  model: ASTGNNFactorModel, dataset: Dataset, plan: Pick<TrainingPlan, "identity" | "memoryBytes">,
  about: Pick<RunDescription, "kind" | "seeds" | "threads"> & { members?: readonly string[] },
): RunDescription {
  const { config, dtype, recipe, split, fingerprint } = plan.identity;
  const { kind, seeds, threads, members } = about;
  return {
    formatVersion: FORMAT_VERSION,
    kind,
    status: "running",
    config,
    dtype,
    parameters: model.parameterCount,
    training: recipe,
    seeds,
    source: dataset.origin?.source ?? null,
    panel: dataset.origin?.options ?? null,
    dataset: dataset.options,
    fingerprint,
    ...(dataset.digests === undefined ? {} : { digests: dataset.digests }),
    split,
    ledger: dataset.ledger,
    threads,
    device: model.device,
    kernels: { ...loadCore().info().cpu, precision: loadCore().precisionOn(model.device) },
    versions: { astgnn: packageVersion, libtorch: loadedLibTorch()?.version ?? "unknown", node: process.versions.node },
    hardware: { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, memoryBytes: totalmem(), platform: `${process.platform}-${process.arch}` },
    memoryEstimateBytes: plan.memoryBytes,
    warnings: [],
    bestEpoch: null,
    ...(members === undefined ? {} : { members }),
    timing: { startedAt: new Date().toISOString(), finishedAt: null, trainingSeconds: 0 },
  };
}
