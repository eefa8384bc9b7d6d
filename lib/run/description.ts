import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Dtype, Isa, Precision } from "../binding/types.js";
import type { ReadingOptions } from "../data/origin.js";
import { LabelSchema, LabelTransformSchema } from "../data/dataset-options.js";
import type { PanelSource } from "../data/source/panel-source.js";
import type { DataDigests, Dataset, Ledger } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";
import { checkStored } from "../options.js";
import type { WarningEvent } from "./records.js";
import type { Recipe } from "./state.js";

/** What `run.json` says about how a run was made; everything but the clock follows from the inputs. */
export interface RunDescription {
  formatVersion: string;
  /** `"run"`: one model. `"ensemble"`: one folder per seed below. */
  kind: "run" | "ensemble";
  /** `"finished"` once every file is written. */
  status: "running" | "finished";
  /** Architecture, in camelCase. */
  config: ModelConfig;
  dtype: Dtype;
  parameters: number;
  /** Training options that decide the weights. */
  training: Recipe;
  /** `model`: seed of the initial weights, null where they were loaded. `train`: date order and dropout; a list for an ensemble. */
  seeds: { model: number | null; train: number | readonly number[] };
  /** What the panel was read from (files by absolute path, or a query) and the options of `openPanel`; null where the dataset is not a panel's. */
  source: PanelSource | null;
  panel: ReadingOptions | null;
  dataset: Dataset["options"];
  /** SHA-256 over `digests`; in runs without these over all columns of the panel. */
  fingerprint: string;
  /** SHA-256 of each part of the data that the run used; absent where the dataset is not a panel's, and in runs of older versions. */
  digests?: DataDigests;
  split: Dataset["splitSummary"];
  /** What was dropped between source and dataset. */
  ledger: Ledger;
  threads: number;
  device: string;
  /** Instruction set, and what products are computed in. */
  kernels: { isa: Isa; precision: Precision };
  versions: { astgnn: string; libtorch: string; node: string };
  hardware: { cpu: string; cores: number; memoryBytes: number; platform: string };
  memoryEstimateBytes: number;
  warnings: readonly WarningEvent[];
  /** Epoch whose weights model.safetensors holds; null while running and for an ensemble. */
  bestEpoch: number | null;
  /** Folders of an ensemble's members. */
  members?: readonly string[];
  timing: { startedAt: string; finishedAt: string | null; trainingSeconds: number };
}

/** What `run.json` of a walk-forward says; each of its folds is a run of its own in a folder of this one. */
export interface WalkForwardDescription {
  formatVersion: string;
  kind: "walkForward";
  /** `"finished"` once every fold is and predictions.parquet holds their tests. */
  status: "running" | "finished";
  config: ModelConfig;
  dtype: Dtype;
  training: Recipe;
  /** Of initial weights, date order and dropout; a list makes each fold an ensemble. */
  seeds: number | readonly number[];
  source: PanelSource | null;
  panel: ReadingOptions | null;
  /** Without a split: each fold has its own. */
  dataset: Dataset["options"];
  fingerprint: string;
  digests?: DataDigests;
  /** How folds are cut. */
  walkForward: { train: string; valid: string | null; step: string; mode: "rolling" | "expanding"; start: string | null };
  folds: readonly StoredFold[];
  /** The tests together, as those of runs are compared. */
  split: { valid: { first: null; last: null; dates: 0 }; test: { first: string | null; last: string | null; dates: number } };
  /** What was dropped between source and panel. */
  ledger: Ledger;
  versions: { astgnn: string };
}

/** A fold as run.json keeps it. */
export interface StoredFold {
  /** Its folder. */
  readonly name: string;
  readonly split: Readonly<Record<string, string>>;
  readonly train: StoredRange;
  readonly valid: StoredRange;
  readonly test: StoredRange;
}

interface StoredRange {
  readonly first: string | null;
  readonly last: string | null;
  readonly dates: number;
}

/** What run.json of a run or an ensemble says. @throws AstgnnError ERR_CHECKPOINT where the folder holds none */
export async function readDescription(folder: string): Promise<RunDescription> {
  const description = await readAnyDescription(folder);
  if (description.kind === "walkForward") {
    throw new AstgnnError("ERR_CHECKPOINT", `${folder} holds a walk-forward, whose models are those of its folds.`, { file: folder, next: `Name a fold, for new data the newest: ${join(folder, description.folds.at(-1)?.name ?? "")}.` });
  }
  return description;
}

/** The same, also of a walk-forward. @throws AstgnnError ERR_CHECKPOINT where the folder holds neither */
export async function readAnyDescription(folder: string): Promise<RunDescription | WalkForwardDescription> {
  const path = join(folder, "run.json");
  let description: unknown;
  try {
    description = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new AstgnnError("ERR_CHECKPOINT", `${folder} holds no run: ${path} cannot be read.`, { file: path, cause, next: "Pass the folder that train wrote." });
  }
  return checkStored(DescriptionSchema, description, path, "Pass the folder that train wrote.") as unknown as RunDescription | WalkForwardDescription;
}

/** Of a folder in the run's own: no path leads out of it. */
const folderName = z.string().regex(/^[\w-]+$/);
const texts = z.union([z.string(), z.array(z.string())]);

const rangeOf = z.looseObject({ first: z.string().nullish(), last: z.string().nullish(), dates: z.number().nullish() }).nullish();

/** What is read of a description without a look at what it is for. */
export const DescriptionSchema = z.looseObject({
  kind: z.enum(["run", "ensemble", "walkForward"]).optional(),
  digests: z.record(z.string(), z.string()).optional(),
  members: z.array(folderName).optional(),
  fingerprint: z.string().optional(),
  config: z.looseObject({}).optional(),
  training: z.looseObject({}).optional(),
  dataset: z.looseObject({ label: LabelSchema.optional(), labelTransform: LabelTransformSchema.optional() }).optional(),
  split: z.looseObject({ valid: rangeOf, test: rangeOf }).optional(),
  ledger: z.looseObject({ entries: z.array(z.looseObject({ stage: z.string(), reason: z.string(), text: z.string(), count: z.number() })) }).optional(),
  folds: z.array(z.looseObject({ name: folderName })).optional(),
  source: z.union([texts, z.looseObject({ sql: z.string() }), z.looseObject({ qlib: z.string() })]).nullish(),
  panel: z.looseObject({
    columns: z.array(z.string()).optional(),
    groups: z.looseObject({ file: z.string() }).optional(),
    edges: z.looseObject({ file: z.string() }).optional(),
  }).nullish(),
}).refine(({ kind, folds }) => kind !== "walkForward" || folds !== undefined, { path: ["folds"], message: "a walk-forward has folds" });
