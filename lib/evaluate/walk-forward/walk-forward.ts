import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { packageVersion } from "../../binding/package-root.js";
import { sampleCalendar } from "../../data/dataset.js";
import type { DatasetOptions } from "../../data/dataset-options.js";
import { fingerprintOf } from "../../data/digests.js";
import type { Panel } from "../../data/panel.js";
import { requireFeatureColumns, resolveDataset, storedOptions, usedColumns } from "../../data/resolve-dataset.js";
import { AstgnnError, invalidOption } from "../../errors.js";
import { writeFileAtomically } from "../../model/atomic-write.js";
import { FORMAT_VERSION } from "../../model/checkpoint.js";
import { resolveModelOptions } from "../../model/config.js";
import { resolveDevice } from "../../model/device.js";
import { ASTGNNFactorModel } from "../../model/model.js";
import type { WalkForwardDescription } from "../../run/description.js";
import { lockRunFolder, RUN_FILES } from "../../run/files.js";
import { BEFORE_REDUCTION, refuseDifference } from "../../run/folder.js";
import { eachAtOnce, sharesOf } from "../../train/at-once.js";
import type { TrainEvents } from "../../train/events.js";
import { continuing, recipeOf, type TrainOptions } from "../../train/options.js";
import { train } from "../../train/train.js";
import { evaluateRun, type RunEvaluation } from "../evaluate-run.js";
import { differenceFrom } from "../run-data.js";
import { writeReport } from "../write-report.js";
import { areFinished, isFinished } from "./finished.js";
import { planFolds, type Fold } from "./folds.js";
import { tasksOf, type Task } from "./jobs.js";
import { resolveWalkForward, type ResolvedWalkForward, type WalkForwardOptions } from "./options.js";
import { stitch, unfinished } from "./stitch.js";

/** What a step of a fold takes beside its dataset; about that of 3,000 stocks. */
const STEP_BYTES = 256 * 2 ** 20;

/** What a walk-forward, or one job of it, came to. */
export interface WalkForward {
  readonly out: string;
  readonly folds: readonly Fold[];
  /** Folders below `out` that other jobs have still to train; empty when all folds are finished. */
  readonly missing: readonly string[];
  /** Of the tests of all folds together; undefined while folds are missing. */
  readonly evaluation: RunEvaluation | undefined;
}

/**
 * Trains a model per fold, each on dates before its test, and evaluates their tests together: every date of these is predicted by a model that has seen nothing
 * of it. Each fold is a run folder below `out`; features are computed once. What is finished is not trained again, and a fold that was interrupted goes on where
 * it was, so the same call completes what is missing. With `fold` several processes, on one machine or many with a common folder, train a part each.
 *
 * @example
 * const { evaluation } = await walkForward(panel, { train: "3y", valid: "1y", step: "6m", dataset: { features: "ohlcv" }, training: { epochs: 4 }, out: "runs/walk" });
 * console.log(evaluation?.test.ic, evaluation?.test.icT);
 * @throws AstgnnError ERR_OPTION; ERR_DATA where a part of a fold has no date; ERR_CHECKPOINT where the folder holds a walk-forward with other options, naming the
 *   first that differs; ERR_RUN_EXISTS where it holds something else; ERR_BUSY where another process trains the same fold; and as `train`
 */
export async function walkForward(panel: Panel, options: WalkForwardOptions): Promise<WalkForward> {
  if (panel === null || typeof panel !== "object" || !("universe" in panel)) throw invalidOption("panel", "a panel", panel, "Open one with await openPanel(...).");
  const resolved = await asBegun(resolveWalkForward(options));
  const { folds, description } = await plan(panel, resolved);
  const seeds = [description.seeds].flat();
  const tasks = tasksOf(resolved.job, folds.length, seeds);
  await begin(resolved.out, description, panel, resolved.signal);
  const { atOnce, threads } = sharesOf(resolved.recipe.seeds === undefined ? tasks.length : 1, resolved.recipe, foldDemand(panel, description, resolved.model));
  const own = atOnce === 1 ? resolved : { ...resolved, training: { ...resolved.training, threads } };
  const preparing = new InTurn();
  await eachAtOnce(tasks, atOnce, resolved.signal, (task, signal) => trainFold(panel, { ...own, signal }, folds, seeds, task, preparing));
  const missing = await unfinished(resolved.out, description);
  if (missing.length > 0) return { out: resolved.out, folds, missing, evaluation: undefined };
  await stitch(resolved.out);
  const evaluation = await evaluateRun(resolved.out, { source: panel, onWarning: () => {}, signal: resolved.signal });
  await lockRunFolder(resolved.out, () => writeReport(resolved.out, evaluation), { waits: true });
  return { out: resolved.out, folds, missing, evaluation };
}

/** The folds of a walk-forward, without training any. @throws AstgnnError ERR_OPTION; ERR_DATA where a part of a fold has no date */
export async function foldsOf(panel: Panel, options: WalkForwardOptions): Promise<Fold[]> {
  return (await plan(panel, resolveWalkForward(options))).folds;
}

/** The folds, and all that they have in common as run.json keeps it. */
async function plan(panel: Panel, options: ResolvedWalkForward): Promise<{ folds: Fold[]; description: WalkForwardDescription }> {
  const { train: trainLength, valid, step, mode, start, recipe } = options;
  // Splits are cut below: until then any will do.
  const { cut } = resolveDataset({ ...options.dataset, split: { fractions: [1, 0, 0] } } as DatasetOptions, panel.columns);
  requireFeatureColumns(panel, cut);
  const columns = usedColumns(panel, cut);
  await panel.read(columns, options);
  const digests = panel.digests(columns);
  const folds = planFolds({ dates: panel.dates, history: cut, ...sampleCalendar(panel, cut), embargo: cut.embargo }, { train: trainLength, valid, step, mode, start });
  const { config, dtype } = resolveModelOptions({ ...options.model, sequentialInputSize: cut.featureNames.length });
  const { split: _, ...dataset } = storedOptions(cut, panel);
  const { seed, ...training } = recipeOf(recipe);
  const tests = folds.map(({ test }) => test);
  const description: WalkForwardDescription = {
    formatVersion: FORMAT_VERSION,
    kind: "walkForward",
    status: "running",
    config,
    dtype,
    training,
    seeds: recipe.seeds ?? (seed as number),
    source: panel.origin.source,
    panel: panel.origin.options,
    dataset,
    fingerprint: fingerprintOf(digests),
    digests,
    walkForward: { train: trainLength, valid: valid ?? null, step, mode, start: start ?? null },
    folds: folds as WalkForwardDescription["folds"],
    split: { valid: { first: null, last: null, dates: 0 }, test: { first: tests[0]!.first, last: tests.at(-1)!.last, dates: tests.reduce((sum, { dates }) => sum + dates, 0) } },
    ledger: panel.ledger,
    versions: { astgnn: packageVersion },
  };
  return { folds, description: JSON.parse(JSON.stringify(description)) as WalkForwardDescription };
}

/** The options of one that was begun before there was `reduction`: it was fast, and stays so unless told otherwise. */
async function asBegun(options: ResolvedWalkForward): Promise<ResolvedWalkForward> {
  const before = await readFile(join(options.out, "run.json"), "utf8").then((text) => JSON.parse(text) as WalkForwardDescription, () => undefined);
  if (before?.kind !== "walkForward") return options;
  const recipe = continuing(options.recipe, before.training);
  return recipe === options.recipe ? options : { ...options, recipe, training: { ...options.training, ...BEFORE_REDUCTION } };
}

/** Writes run.json, or compares the one that is there: the jobs of a walk-forward come in any order, and again. */
async function begin(out: string, description: WalkForwardDescription, panel: Panel, signal: AbortSignal | undefined): Promise<void> {
  await lockRunFolder(out, async () => {
    const file = join(out, "run.json");
    const there = RUN_FILES.find((name) => existsSync(join(out, name)));
    if (there === undefined) return writeFileAtomically(file, `${JSON.stringify(description, null, 2)}\n`);
    const before = await readFile(file, "utf8").then((text) => JSON.parse(text) as WalkForwardDescription, () => undefined);
    if (before?.kind !== "walkForward") throw new AstgnnError("ERR_RUN_EXISTS", `${out} already holds a run (${there}).`, { option: "out", file: out, next: "Name another folder." });
    // One of an older version has another fingerprint of the same data.
    const isLegacy = before.digests === undefined && (await differenceFrom(out, before, panel, signal)) === undefined;
    refuseDifference(identity(isLegacy ? { ...before, fingerprint: description.fingerprint } : before), identity(description), out);
  }, { waits: true });
}

function identity({ config, dtype, training, seeds, dataset, walkForward: rule, fingerprint, folds }: WalkForwardDescription): object {
  return { config, dtype, training: { ...BEFORE_REDUCTION, ...training }, seeds, dataset, walkForward: rule, fingerprint, folds };
}

/** What a fold takes at most: the dataset of all dates and what a step needs. A fold's own estimate comes with its dataset, when the others have begun. */
function foldDemand({ dates, tickers }: Panel, { config, dtype }: WalkForwardDescription, model: { readonly device?: string }): Parameters<typeof sharesOf>[2] {
  return { memoryBytes: 4 * dates.length * tickers.length * (config.sequentialInputSize + 2) + (dtype === "float64" ? 2 : 1) * STEP_BYTES, device: resolveDevice(model.device), isInFile: false };
}

/** Calls one after the other: a panel makes one dataset at a time, with all threads. */
class InTurn {
  #last: Promise<unknown> = Promise.resolve();

  do<V>(body: () => Promise<V>): Promise<V> {
    const result = this.#last.then(body);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** The callbacks of a training, told of which fold an event is. */
function withFold(fold: string, { onStart, onStep, onEpoch, onPhase, onWarning }: TrainEvents): TrainEvents {
  const told = <E extends object>(callback: ((event: E) => void) | undefined): ((event: E) => void) | undefined => callback && ((event) => callback({ ...event, fold }));
  return { onStart: told(onStart), onStep: told(onStep), onEpoch: told(onEpoch), onPhase: told(onPhase), onWarning: told(onWarning) };
}

/** Trains what a job has of a fold and is not finished; the job that finishes the last member also makes the ensemble. */
async function trainFold(panel: Panel, options: ResolvedWalkForward, folds: readonly Fold[], seeds: readonly number[], { fold: index, seeds: own }: Task, preparing: InTurn): Promise<void> {
  const { training, recipe, signal } = options;
  const fold = folds[index]!;
  const folder = join(options.out, fold.name);
  if (await isFinished(folder)) return;
  const memberOf = (seed: number): string => join(folder, `seed-${seed}`);
  const open: number[] = [];
  for (const seed of own) if (recipe.seeds === undefined || !(await isFinished(memberOf(seed)))) open.push(seed);
  if (open.length === 0 && !(await areFinished(seeds.map(memberOf)))) return;

  using dataset = await preparing.do(() => panel.dataset({ ...options.dataset, split: fold.split, threads: recipe.threads, signal, onProgress: options.onProgress } as DatasetOptions));
  options.onFold?.({ fold, index, folds, seeds: recipe.seeds === undefined ? undefined : own, ledger: dataset.ledger });
  const run = async (of: Pick<TrainOptions, "seed" | "seeds" | "out">): Promise<void> => {
    using model = new ASTGNNFactorModel({ ...options.model, sequentialInputSize: dataset.featureNames.length, seed: of.seed ?? 0 });
    const { members = [] } = await train(model, dataset, { ...training, ...withFold(fold.name, training), seed: undefined, seeds: undefined, ...of, resume: true, signal });
    for (const member of members) member.model.dispose();
  };
  if (recipe.seeds === undefined) return await run({ seed: recipe.seed, out: folder });
  if (own.length === seeds.length) return await run({ seeds, out: folder });
  for (const seed of open) await run({ seed, out: memberOf(seed) });
  if (!(await areFinished(seeds.map(memberOf)))) return;
  // Where two jobs end at once, one of them makes the ensemble.
  await run({ seeds, out: folder }).catch((error: unknown) => {
    if (!(error instanceof AstgnnError) || error.code !== "ERR_BUSY") throw error;
  });
}
