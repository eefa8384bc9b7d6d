import { z } from "zod";
import { packageVersion } from "../binding/package-root.js";
import type { Dtype, NativeSession } from "../binding/types.js";
import type { Dataset } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { writeFileAtomically } from "../model/atomic-write.js";
import { FORMAT_VERSION, readVersioned, refuseNotFinite } from "../model/checkpoint.js";
import type { ModelConfig } from "../model/config.js";
import { writeSafetensors } from "../model/safetensors.js";
import { takeWeights, underPrefix, withNativeState, withPrefix, type Weights } from "../model/weights.js";
import { checkStored } from "../options.js";
import type { EpochRecord, WarningEvent } from "./records.js";

/** The sums behind an epoch's training metrics: plain numbers, so that a checkpoint in mid-epoch keeps them exactly. */
export interface RunningSums {
  steps: number;
  emptySteps: number;
  /** Steps that had a total. */
  lossSteps: number;
  loss: number;
  /** Steps that changed the weights. */
  updates: number;
  gradientNorm: number;
  rows: number;
  /** One per term. */
  terms: number[];
  termSteps: number[];
  undefinedDates: number[];
}

/** When the rate falls and when training stops, by the best validation metric so far. All of it is in the checkpoint. */
export interface PlateauState {
  /** Best value of the monitored metric; null before the first. */
  best: number | null;
  /** Epoch, from 1, that reached it first; 0 before the first. */
  bestEpoch: number;
  /** Epochs since then. */
  epochsWithoutBetter: number;
  /** Epochs without a better metric since the rate was cut last. */
  epochsSinceReduction: number;
  /** How often the rate was cut. */
  reductions: number;
}

/** Position of a run in its epochs. */
export interface Position {
  /** Epoch in hand, from 1; one more than the last when all are done. */
  epoch: number;
  /** Steps of it that are done. */
  stepInEpoch: number;
  sums: RunningSums;
  plateau: PlateauState;
  stoppedEarly: boolean;
  history: EpochRecord[];
  warnings: WarningEvent[];
}

/** The training options that decide the weights: stored with the run, compared on resume. */
export type Recipe = Readonly<Record<string, unknown>>;

/** What a resumed run must have in common with the run it continues: JSON-safe, compared field by field. */
export interface RunIdentity {
  readonly config: ModelConfig;
  readonly dtype: Dtype;
  readonly recipe: Recipe;
  readonly dataset: Dataset["options"];
  readonly split: Dataset["splitSummary"];
  readonly fingerprint: string;
}

/** What `last.safetensors` holds: all that a run needs to go on as if it had never stopped. */
export interface TrainingState {
  identity: RunIdentity;
  position: Position;
  threads: number;
  /** Steps done and updates applied by the session. */
  steps: number;
  updates: number;
  /** `raw.*`, `ema.*`, `exp_avg.*`, `exp_avg_sq.*` as the session names them. */
  session: Weights;
  /** Absent before the first epoch's end. */
  best: Weights | undefined;
}

/** Copies the session's state out. */
export async function captureSession(session: NativeSession): Promise<Pick<TrainingState, "session" | "steps" | "updates">> {
  const { tensors, steps, updates } = await session.state();
  return { session: takeWeights(tensors), steps, updates };
}

/** Puts a captured state back. */
export function restoreSession(session: NativeSession, state: Pick<TrainingState, "session" | "steps" | "updates">): void {
  withNativeState(state.session, (tensors) => session.loadState({ tensors, steps: state.steps, updates: state.updates }));
}

/** Writes `last.safetensors`: beside, synced, renamed. */
export async function writeTrainingState(path: string, state: TrainingState): Promise<void> {
  const { session, best, identity, ...rest } = state;
  const tensors = { ...session, ...(best === undefined ? {} : withPrefix("best.", best)) };
  const metadata = { format_version: FORMAT_VERSION, astgnn_version: packageVersion, identity: JSON.stringify(identity), state: JSON.stringify(rest) };
  await writeFileAtomically(path, writeSafetensors(tensors, metadata));
}

/**
 * Reads `last.safetensors`.
 *
 * @throws AstgnnError ERR_CHECKPOINT where it is damaged, of an unknown version or no training state
 */
export async function readTrainingState(path: string): Promise<TrainingState> {
  const { tensors, metadata } = await readVersioned(path);
  const next = "Pass the folder of a run, or train with overwrite.";
  let parsed: Record<"identity" | "state", unknown>;
  try {
    parsed = { identity: JSON.parse(metadata["identity"] ?? ""), state: JSON.parse(metadata["state"] ?? "") };
  } catch (cause) {
    throw new AstgnnError("ERR_CHECKPOINT", `${path} is no training state.`, { file: path, cause, next });
  }
  const identity = checkStored(IdentitySchema, parsed.identity, path, next) as unknown as RunIdentity;
  const rest = checkStored(StateSchema, parsed.state, path, next) as unknown as Pick<TrainingState, "position" | "threads" | "steps" | "updates">;
  refuseNotFinite(tensors, path);
  rest.position.history = rest.position.history.map((record) => reviveNaN(record));
  const best = underPrefix("best.", tensors);
  const session = Object.fromEntries(Object.entries(tensors).filter(([name]) => !name.startsWith("best.")));
  return { identity, ...rest, session, best: Object.keys(best).length === 0 ? undefined : best };
}

/** Its parts are compared field by field with those of the run that goes on. */
const IdentitySchema = z.looseObject({ config: z.looseObject({}), dtype: z.string(), recipe: z.looseObject({}), dataset: z.looseObject({}), split: z.looseObject({}), fingerprint: z.string() });

const count = z.int().min(0);
const StateSchema = z.looseObject({
  position: z.looseObject({
    epoch: z.int().min(1),
    stepInEpoch: count,
    sums: z.looseObject({
      steps: count, emptySteps: count, lossSteps: count, loss: z.number(), updates: count, gradientNorm: z.number(), rows: count,
      terms: z.array(z.number()), termSteps: z.array(count), undefinedDates: z.array(count),
    }),
    plateau: z.looseObject({ best: z.number().nullable(), bestEpoch: count, epochsWithoutBetter: count, epochsSinceReduction: count, reductions: count }),
    stoppedEarly: z.boolean(),
    history: z.array(z.looseObject({ epoch: count })),
    warnings: z.array(z.looseObject({ text: z.string() })),
  }),
  threads: z.int().min(1),
  steps: count,
  updates: count,
});

/** JSON has no NaN and writes null; numbers of an epoch's metrics that are null were NaN. */
export function reviveNaN<V>(value: V): V {
  if (value === null) return NaN as V;
  if (Array.isArray(value)) return value.map((one) => reviveNaN(one)) as V;
  if (typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value as object).map(([key, one]) => [key, reviveNaN(one)])) as V;
}
