import { join } from "node:path";
import { readerOf } from "../data/pack/reader.js";
import type { Dataset } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import type { Device } from "../model/device.js";
import { ASTGNNFactorModel } from "../model/model.js";
import { nativeModule } from "../model/module.js";
import type { RunDescription } from "../run/description.js";
import { Ensemble } from "../run/ensemble.js";
import { hasEnded } from "../run/files.js";
import { inRunFolder, orKeep, refuseOtherRun, withFingerprintOf, type RunFolder } from "../run/folder.js";
import type { EpochEvent, WarningEvent } from "../run/records.js";
import { ensembleScorer } from "../run/scoring.js";
import type { RunIdentity } from "../run/state.js";
import { writeResults } from "./finish.js";
import { eachAtOnce, sharesOf } from "./at-once.js";
import { trainMember } from "./member.js";
import { continuing, resolveTrainOptions, type ResolvedTrainOptions, type TrainOptions } from "./options.js";
import { describeRun, planTraining, type TrainingPlan } from "./plan.js";
import { explained, joinedRanks, type RankGroup } from "./ranks/group.js";

/** What a training returns. */
export interface TrainingRun {
  /** The run folder, or undefined where nothing was written. */
  readonly out: string | undefined;
  /** The trained model; for `seeds` the untouched model that gave its config. */
  readonly model: ASTGNNFactorModel;
  /** One per epoch, those before a resume included; empty for `seeds`. `seconds` is NaN where metrics.jsonl no longer has it. */
  readonly epochs: readonly EpochEvent[];
  /** Epoch, from 1, whose weights the model holds, the last where there are no validation dates; null for `seeds`. */
  readonly bestEpoch: number | null;
  /** Steps done in all. */
  readonly steps: number;
  /** True where `patience` ended the run. */
  readonly stoppedEarly: boolean;
  readonly warnings: readonly WarningEvent[];
  /** Compute threads used. */
  readonly threads: number;
  /** Estimate made before the run, in bytes. */
  readonly memoryBytes: number;
  /** Training seed; for `seeds` that of the first member. */
  readonly seed: number;
  /** One complete run per seed; only with `seeds`. */
  readonly members?: readonly TrainingRun[];
  /** All members as one scorer; only with `seeds`. */
  readonly ensemble?: Ensemble;
}

/**
 * Trains a model on the dataset's training dates, from its current weights, on the process's compute thread: the event loop stays free.
 * After every epoch the averaged weights (EMA) are validated; the model ends with those of the best epoch, without validation dates of the last. Meanwhile it holds what the last
 * `onEpoch` reported, and its initial weights until the first epoch ends: `predict`, `save`, `stateDict`, `forward` and `neighbours` may be
 * called at any time and use these weights, and an abort or an error leaves them. The same seed and machine give the same bits (`reduction`). With `out` a run folder is kept, from which `resume` continues to the same bits after any interruption.
 *
 * @example
 * const run = await train(model, dataset, { loss: "ic", epochs: 4, seed: 0, out: "runs/first", onEpoch: (e) => console.log(e.valid.ic) });
 * @throws AstgnnError ERR_OPTION, ERR_DATA before anything runs; ERR_RUN_EXISTS, ERR_CHECKPOINT and ERR_BUSY (another training writes there) for the folder; ERR_ABORTED; ERR_NOT_FINITE
 *   naming step, date and term; ERR_RANK_LOST naming the rank where several processes train; and whatever a callback throws
 */
export async function train(model: ASTGNNFactorModel, dataset: Dataset, options: TrainOptions = {}): Promise<TrainingRun> {
  if (!(model instanceof ASTGNNFactorModel)) throw invalidOption("model", "an ASTGNNFactorModel", model);
  if (dataset === null || typeof dataset !== "object" || !("rowOffsets" in dataset)) throw invalidOption("dataset", "a dataset", dataset, "Make one with await panel.dataset(...).");
  const resolved = resolveTrainOptions(options);
  const group = await joinedRanks(resolved.ranks, { startSeconds: resolved.rankStartSeconds, stepSeconds: resolved.rankStepSeconds });
  try {
    if (resolved.seeds !== undefined) return await trainEnsemble(model, dataset, resolved, resolved.seeds, group);
    return { out: resolved.out, model, seed: resolved.seed, ...(await trainMember(model, dataset, resolved, group)) };
  } catch (error) {
    await group?.leave(error);
    throw explained(error);
  }
}

async function trainEnsemble(model: ASTGNNFactorModel, dataset: Dataset, options: ResolvedTrainOptions, seeds: readonly number[], group: RankGroup | undefined): Promise<TrainingRun> {
  if (group !== undefined) {
    throw new AstgnnError("ERR_OPTION", "Several seeds are not trained by ranks.", { option: "seeds", next: "Train them one by one, or as jobs of a plan without ranks." });
  }
  const plan = planTraining(model, dataset, options);
  return inRunFolder(options.out, options, "ensemble", (folder, continues) => trainMembers(model, dataset, options, seeds, plan, folder, continues));
}

async function trainMembers(
  model: ASTGNNFactorModel, dataset: Dataset, options: ResolvedTrainOptions, seeds: readonly number[], plan: TrainingPlan, folder: RunFolder | undefined, continues = false,
): Promise<TrainingRun> {
  const names = seeds.map((seed) => `seed-${seed}`);
  const before = continues ? await folder?.description() : undefined;
  if (before !== undefined) {
    options = continuing(options, before.training);
    plan = planTraining(model, dataset, options);
    await refuseOtherEnsemble(before, names, plan.identity, dataset, folder!.path);
  }
  const threads = before === undefined || options.threadsAreGiven ? options.threads : before.threads;
  let description: RunDescription = {
    ...describeRun(model, dataset, plan, { kind: "ensemble", seeds: { model: null, train: seeds }, threads, members: names }),
    ...(before === undefined ? {} : { timing: { ...before.timing, finishedAt: null } }),
  };
  const isUnchanged = before !== undefined && hasEnded(folder!.path, before) && before.training["epochs"] === options.epochs;
  if (!isUnchanged) await folder?.writeDescription(description);

  const shares = sharesOf(seeds.length, { atOnce: options.atOnce, threads }, { memoryBytes: plan.memoryBytes, device: model.device, isInFile: readerOf(dataset) !== undefined });
  const models: ASTGNNFactorModel[] = [];
  let members: TrainingRun[];
  try {
    members = await eachAtOnce([...seeds.entries()], shares.atOnce, options.signal, async ([i, seed], signal) => {
      const member = new ASTGNNFactorModel({ ...model.config, dtype: model.dtype, device: model.device as Device, seed });
      models.push(member);
      const own: ResolvedTrainOptions = { ...options, seed, threads: shares.threads, overwrite: false, signal, out: folder === undefined ? undefined : join(folder.path, names[i]!) };
      const out = options.out === undefined ? undefined : join(options.out, names[i]!);
      return { out, model: member, seed, ...(await trainMember(member, dataset, own)) };
    });
    if (folder !== undefined && !isUnchanged) {
      await writeResults(
        {
          folder, dataset, scorer: ensembleScorer(members.map((run) => nativeModule(run.model))), numPredictions: model.config.numPredictions, dtype: "float64",
          pairs: plan.pairs, objective: [], labels: [], peerDays: plan.peerDays, threads, signal: options.signal,
          onPhase: (event) => options.onPhase?.({ ...event, seed: null }),
        },
        { kind: "ensemble", bestEpoch: null, epochs: options.epochs, seed: seeds },
      );
      const trainingSeconds = members.flatMap(({ epochs }) => epochs).reduce((sum, { seconds }) => sum + (Number.isNaN(seconds) ? 0 : seconds), 0);
      description = { ...description, status: "finished", warnings: members.flatMap(({ warnings }) => warnings), timing: { ...description.timing, finishedAt: new Date().toISOString(), trainingSeconds } };
      await folder.writeDescription(description);
    }
  } catch (error) {
    for (const made of models) made.dispose();
    throw error;
  }
  return {
    out: options.out,
    model,
    epochs: [],
    bestEpoch: null,
    steps: members.reduce((sum, { steps }) => sum + steps, 0),
    stoppedEarly: members.some(({ stoppedEarly }) => stoppedEarly),
    warnings: members.flatMap(({ warnings }) => warnings),
    threads,
    memoryBytes: plan.memoryBytes,
    seed: seeds[0]!,
    members,
    ensemble: new Ensemble(members.map((run) => run.model)),
  };
}

/** Compares the list of members; each member compares its own identity. */
async function refuseOtherEnsemble(before: RunDescription, names: readonly string[], now: RunIdentity, dataset: Dataset, path: string): Promise<void> {
  if (JSON.stringify(before.members) !== JSON.stringify(names)) {
    throw new AstgnnError("ERR_CHECKPOINT", `The run in ${path} has the members ${before.members?.join(", ")}, now they are ${names.join(", ")}.`, { option: "seeds", file: path, next: `Resume with the seeds of the run, or name another folder.${orKeep(path)}` });
  }
  const { config, dtype, split, fingerprint, training } = before;
  const stored = { config, dtype, dataset: before.dataset, split, fingerprint, recipe: training };
  refuseOtherRun(await withFingerprintOf(dataset, stored), now, path);
}
