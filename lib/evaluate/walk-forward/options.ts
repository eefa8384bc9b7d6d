import { z } from "zod";
import type { DatasetOptions, DatasetProgress } from "../../data/dataset-options.js";
import type { Ledger } from "../../data/types.js";
import { AstgnnError } from "../../errors.js";
import { resolveModelOptions, type InitialisationOptions, type ModelOptions } from "../../model/config.js";
import { resolveOptions } from "../../options.js";
import { resolveTrainOptions, type ResolvedTrainOptions, type TrainOptions } from "../../train/options.js";
import type { Fold } from "./folds.js";
import { parseJob, type Job } from "./jobs.js";
import { offsetSchema } from "./offsets.js";

/** How the dates are cut into folds: calendar offsets (`"3y"`, `"6m"`, `"2w"`, `"10d"`) on the dates on which labels end. */
export interface FoldOptions {
  /** Length of a fold's training labels; with `mode: "expanding"` of the first fold's. */
  readonly train: string;
  /** Length of the validation labels after them. Default: none, the last epoch counts. */
  readonly valid?: string | undefined;
  /** From one fold to the next, and length of a test: each later date is in the test of one fold. */
  readonly step: string;
  /** `"rolling"`: the training moves along. `"expanding"`: it always begins with the first label. Default `"rolling"`. */
  readonly mode?: "rolling" | "expanding" | undefined;
}

/** A walk-forward: folds, what is trained in each, and where. */
export interface WalkForwardOptions extends FoldOptions {
  /** Date of the first label end, YYYY-MM-DD. Default: as early as the data allow. */
  readonly start?: string | undefined;
  /** How the panel becomes samples: options of `panel.dataset` without `split`; `embargo` holds at every boundary. Default: those of `panel.dataset`. */
  readonly dataset?: Omit<Extract<DatasetOptions, { split: unknown; features?: unknown }>, "split" | "signal" | "threads" | "onProgress"> | undefined;
  /** The model of every fold; its seed is that of the training. Default: that of `new ASTGNNFactorModel()`. */
  readonly model?: (Omit<ModelOptions, "sequentialInputSize"> & Omit<InitialisationOptions, "seed">) | undefined;
  /** How each fold is trained: options of `train`; `seeds` makes each fold an ensemble. Default: those of `train`. */
  readonly training?: Omit<TrainOptions, "out" | "resume" | "overwrite" | "fineTune" | "signal"> | undefined;
  /** Folder that gets run.json, a run folder per fold, and at the end the tests of all folds. */
  readonly out: string;
  /** `"K/N"`: only the K-th of N jobs, `"K"`: only fold K. Default: everything. */
  readonly fold?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told before a fold is trained; not of folds that are finished. */
  readonly onFold?: ((event: FoldEvent) => void) | undefined;
  /** Told how far the dataset of a fold is. */
  readonly onProgress?: ((progress: DatasetProgress) => void) | undefined;
}

/** A fold whose samples are ready. */
export interface FoldEvent {
  readonly fold: Fold;
  /** Of the fold among all of them, from 0. */
  readonly index: number;
  readonly folds: readonly Fold[];
  /** Seeds of its members that are to be trained; undefined where it is a single run. */
  readonly seeds: readonly number[] | undefined;
  /** What was dropped, filled or left out of its data. */
  readonly ledger: Ledger;
}

/** The fold options as the command line checks them too. */
export const foldShape = {
  train: offsetSchema,
  valid: offsetSchema.optional().describe(offsetSchema.description!),
  step: offsetSchema,
  mode: z.enum(["rolling", "expanding"]).default("rolling").describe('"rolling" or "expanding"'),
  start: z.string().regex(/^\d{4}-\d{2}-\d{2}$/).optional().describe("a date as YYYY-MM-DD"),
};

const callback = z.custom<(...args: never[]) => void>((value) => typeof value === "function").optional().describe("a function");
const object = z.custom<object>((value) => typeof value === "object" && value !== null && !Array.isArray(value)).default({}).describe("an object of options");

const WalkForwardSchema = z.strictObject({
  ...foldShape,
  dataset: object,
  model: object,
  training: object,
  out: z.string().min(1).describe("the path of a folder"),
  fold: z.string().optional().describe('"K/N" or "K"'),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal).optional().describe("an AbortSignal"),
  onFold: callback,
  onProgress: callback,
});

/** What belongs to the walk-forward and not to one of its parts. */
const OWN = { dataset: ["split", "signal", "threads", "onProgress", "description"], model: ["seed", "sequentialInputSize"], training: ["out", "resume", "overwrite", "fineTune", "signal"] } as const;

/** The complete options. */
export interface ResolvedWalkForward extends Omit<WalkForwardOptions, "dataset" | "model" | "training" | "fold" | "mode"> {
  readonly mode: "rolling" | "expanding";
  readonly dataset: object;
  readonly model: object;
  readonly training: TrainOptions;
  readonly recipe: ResolvedTrainOptions;
  readonly job: Job | undefined;
}

/** @throws AstgnnError ERR_OPTION naming the option */
export function resolveWalkForward(options: WalkForwardOptions): ResolvedWalkForward {
  const { fold, ...resolved } = resolveOptions(WalkForwardSchema, options, "walkForward");
  for (const part of ["dataset", "model", "training"] as const) {
    const foreign = OWN[part].find((name) => (resolved[part] as Record<string, unknown>)[name] !== undefined);
    if (foreign !== undefined) throw new AstgnnError("ERR_OPTION", `${part}.${foreign} is not an option of a walk-forward.`, { option: `${part}.${foreign}`, next: FOREIGN[foreign] });
  }
  const training = resolved.training as TrainOptions;
  resolveModelOptions(resolved.model);
  return { ...resolved, training, recipe: resolveTrainOptions(training), job: fold === undefined ? undefined : parseJob(fold) } as ResolvedWalkForward;
}

const FOREIGN = {
  split: "Leave it out: train, valid and step cut the splits.",
  description: "Name features, window and label instead.",
  signal: "Give signal to walkForward itself.",
  threads: "Give it as training.threads.",
  onProgress: "Give onProgress to walkForward itself.",
  seed: "Give it as training.seed, which is also that of the initial weights.",
  sequentialInputSize: "Leave it out: the dataset says how many features there are.",
  out: "Give out to walkForward itself.",
  resume: "Leave it out: a walk-forward always goes on with what its folder holds.",
  overwrite: "Remove the folder to train anew.",
  fineTune: "Leave it out: every fold begins with new weights.",
} as const;
