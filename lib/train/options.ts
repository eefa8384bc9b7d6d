import { z } from "zod";
import type { Reduction } from "../binding/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { seedSchema } from "../model/config.js";
import { resolveThreads } from "../binding/threads.js";
import { resolveOptions } from "../options.js";
import { withPreset, type PresetName } from "../presets.js";
import { BEFORE_REDUCTION } from "../run/folder.js";
import type { Recipe } from "../run/state.js";
import type { TrainEvents } from "./events.js";
import { lossSchema, type Loss } from "./objective.js";
import type { ScheduleName } from "./schedule.js";

const MONITORS = ["ic", "icir", "rankIc", "rankIcir", "hitRate", "neutralIc", "neutralIcir", "neutralRankIc", "peerCorrelation", "mse", "loss"] as const;

/**
 * Validation metric that chooses the best epoch. `mse` and `loss` are better when lower, the others when higher. The neutral ones need a dataset with
 * `labelTransform.neutralise`.
 */
export type MonitorName = (typeof MONITORS)[number];

/**
 * How to train. Every option may be left out; the defaults are the recipe behind the published numbers.
 *
 * @example
 * await train(model, dataset, { loss: { terms: [{ name: "ic" }, { name: "risk", weight: 0.3 }] }, epochs: 4, out: "runs/first" });
 */
export interface TrainOptions extends TrainEvents {
  /** Options by a name: those of `presets`, which the others override. Name it for the dataset and the model too. */
  preset?: PresetName | undefined;
  /** What is minimised. Default `"ic"`. */
  loss?: Loss | undefined;
  /** Passes over the training dates. Whole, from 1; default 4. */
  epochs?: number | undefined;
  /** Rate after warm-up. Above 0; default 1e-3. */
  learningRate?: number | undefined;
  /** Lowest rate of `"cosine"` and `"plateau"`. From 0 to `learningRate`; default 0. */
  minLearningRate?: number | undefined;
  /** Default `"constant"`. */
  schedule?: ScheduleName | undefined;
  /** Steps over which the rate rises linearly from 0. Whole, from 0; default 50. */
  warmupSteps?: number | undefined;
  /** `"plateau"`: factor of each cut. Above 0, below 1; default 0.5. */
  plateauFactor?: number | undefined;
  /** `"plateau"`: epochs without a better monitor before a cut. Whole, from 0; default 1. */
  plateauPatience?: number | undefined;
  /** AdamW's decay of gradient mean and square. Each from 0 to below 1; default [0.9, 0.999]. */
  betas?: readonly [number, number] | undefined;
  /** AdamW's eps. Above 0; default 1e-8. */
  adamEps?: number | undefined;
  /** AdamW's decoupled weight decay. From 0; default 0. */
  weightDecay?: number | undefined;
  /** Largest gradient norm; larger ones are scaled down to it. From 0; 0 turns clipping off; default 1. */
  clipNorm?: number | undefined;
  /** Dates per step. Whole, from 1; default 1. */
  datesPerStep?: number | undefined;
  /** Decay of the exponential moving average of the weights, which validation, checkpoint and prediction use. From 0 (off) to below 1; default 0.998. */
  ema?: number | undefined;
  /** Epochs without a better monitor before training stops. Whole, from 0; 0 (default) never stops early. */
  patience?: number | undefined;
  /** Default `"ic"`. */
  monitor?: MonitorName | undefined;
  /**
   * How the dates of an epoch are shuffled: `"dates"` all among each other, `"chunks"` chunks of 64 panel dates and dates within these, which a dataset larger
   * than memory can be read by. Default `"chunks"` for a packed dataset, else `"dates"`.
   */
  shuffle?: "dates" | "chunks" | undefined;
  /** Drives date order and dropout. Whole, 0 to 2^32 - 1; default 0. The initial weights come from the model's own seed. */
  seed?: number | undefined;
  /**
   * Trains a model that was trained before on a dataset that was prepared otherwise (features, window, processors, their statistics, graph or
   * label), which is refused unless this is true: what its weights have learnt then means something else. Default false.
   */
  fineTune?: boolean | undefined;
  /** Trains one member per seed from `model`'s config (the model itself stays untouched); together with `seed` an error. */
  seeds?: readonly number[] | undefined;
  /**
   * How the gradients of the dates of a step become one. `"exact"`: each date has a backward of its own and the sum has one fixed order, so that the same weights
   * come out, to the last bit, for any number of `threads` and of processes. `"fast"`: one backward for all dates; 4 to 8 % less time where a step
   * has four dates on the CPU, several times less on a GPU. Both are the same where a step has one date, the term `turnover` or norm "batch". Default `"exact"`; a run that was begun before there was this option goes on with `"fast"`.
   */
  reduction?: Reduction | undefined;
  /**
   * Launches each step on a GPU as one CUDA graph, captured once per number of dates and rows; rows are filled up with neutral ones to one
   * of a few counts, which changes results by rounding. For the losses `mse` and `ic`, norm "layer", no `topK`, and the complete graph: a
   * warning says where steps are not captured. Without effect on the CPU. Default false: no GPU has run it yet.
   */
  cudaGraph?: boolean | undefined;
  /**
   * Processes that train together, each a share of every step's dates (`datesPerStep` should be a multiple): data parallel. They are started by torchrun, Slurm or Kubernetes, whose RANK,
   * WORLD_SIZE, MASTER_ADDR and MASTER_PORT this process reads, or by `astgnn train --ranks`. With reduction "exact" the weights are those of one process, to the last bit. On the CPU, norm "layer".
   * Whole, from 1; 1: this process alone, whatever these variables say; default: what they say.
   */
  ranks?: number | undefined;
  /** How long the ranks wait for one another to start and between steps, in seconds. Above 0; default 600. */
  rankStartSeconds?: number | undefined;
  /** How long they wait in a step. Above 0; default 120. */
  rankStepSeconds?: number | undefined;
  /** Compute threads. Whole, from 1; default ASTGNN_THREADS, else the physical cores; a resumed run keeps its own count unless told otherwise. */
  threads?: number | undefined;
  /**
   * Members of an ensemble, or folds of a walk-forward that has one seed, that train at once, each with its part of `threads` and memory of its own. Whole, from 1; default: as many as there are
   * threads and as take half of this machine's memory; one after the other on a GPU and from a packed dataset. On Intel's processors the weights are those of one after the other, to the
   * last bit, with `reduction: "exact"`; elsewhere they depend on the threads of a member, which its run.json keeps.
   */
  atOnce?: number | undefined;
  /** Run folder. Absent: nothing is written. */
  out?: string | undefined;
  /** Continue the run in `out`, or the interrupted one that was to replace it; harmless on an empty folder and on a finished run, of which it writes again what is missing. Default false. */
  resume?: boolean | undefined;
  /** Replace the run in `out`: the new one is built in `.replacement` there and takes its place when it is finished; until then the old one is whole. Default false. */
  overwrite?: boolean | undefined;
  /** Steps between checkpoints within an epoch (there is one after every epoch). Whole, from 0 (none); default 250. */
  checkpointSteps?: number | undefined;
  /** Stops within one step; the promise rejects with ERR_ABORTED and the last checkpoint stays. */
  signal?: AbortSignal | undefined;
}

const count = (least: number, fallback: number) => z.int().min(least).default(fallback).describe(`a whole number from ${least}`);
const share = z.number().min(0).lt(1).describe("a number from 0 to below 1");
const callback = z.custom<(event: never) => void>((value) => typeof value === "function").optional().describe("a function");

/** The options of a training. */
export const trainSchema = z.strictObject({
  loss: lossSchema,
  epochs: count(1, 4).meta({ help: "passes over the training dates", value: "count" }),
  learningRate: z.number().gt(0).default(1e-3).describe("a number above 0").meta({ help: "rate after warm-up", value: "rate" }),
  minLearningRate: z.number().min(0).default(0).describe("a number from 0").meta({ help: "lowest rate of cosine and plateau", value: "rate" }),
  schedule: z.enum(["constant", "cosine", "plateau"]).default("constant").describe('"constant", "cosine" or "plateau"').meta({ help: "how the rate moves after warm-up", value: "name" }),
  warmupSteps: count(0, 50).meta({ help: "steps over which the rate rises from 0", value: "count" }),
  plateauFactor: z.number().gt(0).lt(1).default(0.5).describe("a number above 0, below 1").meta({ help: "factor of each cut of schedule plateau", value: "factor" }),
  plateauPatience: count(0, 1).meta({ help: "epochs without improvement before a cut of schedule plateau", value: "epochs" }),
  betas: z.tuple([share, share]).default([0.9, 0.999]).describe("two numbers from 0 to below 1").meta({ help: "AdamW's decay of gradient mean and square", value: "two" }),
  adamEps: z.number().gt(0).default(1e-8).describe("a number above 0").meta({ help: "AdamW's eps", value: "value" }),
  weightDecay: z.number().min(0).default(0).describe("a number from 0").meta({ help: "AdamW's decoupled weight decay", value: "rate" }),
  clipNorm: z.number().min(0).default(1).describe("a number from 0").meta({ help: "largest gradient norm, 0 for no limit", value: "norm" }),
  datesPerStep: count(1, 1).meta({ help: "dates per step", value: "count" }),
  ema: share.default(0.998).meta({ help: "decay of the moving average of the weights, 0 turns it off", value: "decay" }),
  patience: count(0, 0).meta({ help: "epochs without improvement before training stops, 0 for never", value: "epochs" }),
  monitor: z.enum(MONITORS).default("ic").describe('"ic", "icir", "rankIc", "rankIcir", "hitRate", "neutralIc", "neutralIcir", "neutralRankIc", "peerCorrelation", "mse" or "loss"').meta({ help: "validation metric that chooses the best epoch", value: "metric" }),
  shuffle: z.enum(["dates", "chunks"]).optional().describe('"dates" or "chunks"').meta({ help: "what of an epoch is shuffled: all dates, or chunks of 64 and dates within these", value: "what", byDefault: "chunks for a packed dataset, else dates" }),
  seed: seedSchema.meta({ help: "seed of initial weights, date order and dropout", value: "number" }),
  seeds: z.array(z.int().min(0).max(0xffffffff).describe("a whole number from 0 to 4294967295")).min(1).optional().describe("a list of whole numbers from 0 to 4294967295").meta({ help: "train an ensemble, one member per seed", value: "numbers" }),
  reduction: z.enum(["exact", "fast"]).default("exact").describe('"exact" or "fast"').meta({ help: "sum of the gradients of a step's dates: one by one in a fixed order, or in one pass", value: "name" }),
  fineTune: z.boolean().default(false).describe("true or false"),
  cudaGraph: z.boolean().default(false).describe("true or false").meta({ help: "launch each step on a GPU as one CUDA graph; no GPU has run it yet" }),
  ranks: z.int().min(1).max(65_536).optional().describe("a whole number from 1").meta({ help: "processes that train together; without a launcher's variables they are started on this machine", value: "count", byDefault: "what the launcher says, else 1" }),
  rankStartSeconds: z.number().gt(0).default(600).describe("a number above 0").meta({ help: "how long ranks wait for one another to start", value: "seconds" }),
  rankStepSeconds: z.number().gt(0).default(120).describe("a number above 0").meta({ help: "how long ranks wait for one another in a step", value: "seconds" }),
  threads: z.int().min(1).max(4096).optional().describe("a whole number from 1 to 4096").meta({ help: "compute threads", value: "count", byDefault: "ASTGNN_THREADS, else the physical cores" }),
  atOnce: z.int().min(1).max(4096).optional().describe("a whole number from 1 to 4096").meta({ help: "members of an ensemble, or folds, that train at once, each with its part of the threads", value: "count", byDefault: "as many as threads, within half of the memory" }),
  out: z.string().min(1).optional().describe("the path of a folder").meta({ help: "run folder; without it nothing is kept", value: "folder" }),
  resume: z.boolean().default(false).describe("true or false").meta({ help: "continue the run in the folder, or an interrupted --overwrite; harmless where it is empty or finished" }),
  overwrite: z.boolean().default(false).describe("true or false").meta({ help: "replace the run in the folder; it stays whole until the new one is finished" }),
  checkpointSteps: count(0, 250).meta({ help: "steps between checkpoints within an epoch, 0 for none", value: "count" }),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal).optional().describe("an AbortSignal"),
  onStart: callback,
  onStep: callback,
  onEpoch: callback,
  onPhase: callback,
  onWarning: callback,
});

/** The complete training options. */
export type ResolvedTrainOptions = Readonly<Omit<z.output<typeof trainSchema>, keyof TrainEvents | "loss" | "threads">> &
  TrainEvents & { readonly loss: Loss; readonly threads: number; readonly threadsAreGiven: boolean; readonly reductionIs: "given" | "default" | "older" };

const RECIPE = [
  "loss", "epochs", "learningRate", "minLearningRate", "schedule", "warmupSteps", "plateauFactor", "plateauPatience", "betas", "adamEps",
  "weightDecay", "clipNorm", "datesPerStep", "ema", "patience", "monitor", "seed", "cudaGraph", "reduction",
] as const;

/**
 * Completes and checks what `train` was given.
 *
 * @throws AstgnnError ERR_OPTION naming the option
 */
export function resolveTrainOptions(options: TrainOptions = {}): ResolvedTrainOptions {
  const resolved = resolveOptions(trainSchema, withPreset("training", options), "train");
  if (resolved.minLearningRate > resolved.learningRate) {
    throw invalidOption("minLearningRate", `at most learningRate (${resolved.learningRate})`, resolved.minLearningRate);
  }
  if (resolved.seeds !== undefined) {
    if (options.seed !== undefined) throw new AstgnnError("ERR_OPTION", "Both seed and seeds are given.", { option: "seeds", next: "Give one of them." });
    if (new Set(resolved.seeds).size !== resolved.seeds.length) throw invalidOption("seeds", "different seeds", resolved.seeds);
  }
  if (resolved.cudaGraph && resolved.reduction === "exact" && resolved.datesPerStep > 1) {
    throw new AstgnnError("ERR_OPTION", "A CUDA graph holds one backward, and reduction \"exact\" makes one for each date of a step.", { option: "cudaGraph", next: 'Set reduction to "fast", or datesPerStep to 1.' });
  }
  if (resolved.resume && resolved.overwrite) {
    throw new AstgnnError("ERR_OPTION", "Both resume and overwrite are given.", { option: "overwrite", next: "Give one of them." });
  }
  if (resolved.out === undefined && (resolved.resume || resolved.overwrite)) {
    throw new AstgnnError("ERR_OPTION", `${resolved.resume ? "resume" : "overwrite"} needs a run folder.`, { option: "out", next: "Set out to the folder of the run." });
  }
  return { ...resolved, loss: resolved.loss as Loss, threads: resolveThreads(resolved.threads), threadsAreGiven: options.threads !== undefined, reductionIs: options.reduction === undefined ? "default" : "given" } as ResolvedTrainOptions;
}

/** The options of a run that goes on: one that was begun before there was `reduction` was fast, and stays so unless told otherwise. */
export function continuing(options: ResolvedTrainOptions, begun: Recipe): ResolvedTrainOptions {
  return begun["reduction"] === undefined && options.reductionIs === "default" ? { ...options, ...BEFORE_REDUCTION, reductionIs: "older" } : options;
}

/** The part of the options that decides the weights, JSON-safe. */
export function recipeOf(options: ResolvedTrainOptions): Recipe {
  const names = RECIPE.filter((name) => name !== "reduction" || options.reductionIs !== "older");
  return Object.fromEntries(names.map((name) => [name, options[name]]));
}
