import type { EpochEvent, WarningEvent } from "../run/records.js";

/** Before the first step. */
export interface StartEvent {
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  /** Steps that were done before, in a run that is resumed. */
  readonly stepsDone: number;
  readonly parameters: number;
  /** Where it computes: "cpu", "cuda:0" ... */
  readonly device: string;
  /** Compute threads of this run. */
  readonly threads: number;
  /** Estimate of the memory that training takes at its peak on its device, in bytes; on the CPU beside the JavaScript heap. */
  readonly memoryBytes: number;
  /** The seed of this member. */
  readonly seed: number;
  /** Name of the fold, in a walk-forward. */
  readonly fold?: string | undefined;
}

/** After every step. */
export interface StepEvent {
  /** From 1, over the whole run. */
  readonly step: number;
  /** From 1. */
  readonly epoch: number;
  readonly stepInEpoch: number;
  readonly stepsPerEpoch: number;
  /** NaN where no term was defined. */
  readonly loss: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
  readonly rows: number;
  readonly milliseconds: number;
  readonly seed: number;
  /** Name of the fold, in a walk-forward. */
  readonly fold?: string | undefined;
}

/** What a training does between and after its steps. */
export interface PhaseEvent {
  /** `"validation"`: before the dates of an epoch's validation. `"scoring"`: every split with the kept weights, as it goes on. `"writing"`: predictions, factors and reports. The last two only with a run folder. */
  readonly phase: "validation" | "scoring" | "writing";
  /** Dates done so far, and in all. */
  readonly done: number;
  readonly total: number;
  /** The seed of this member; null where all members of an ensemble are scored together. */
  readonly seed: number | null;
  /** Name of the fold, in a walk-forward. */
  readonly fold?: string | undefined;
}

/** Callbacks of a training. One that throws stops the run, and `train` rejects with its error. */
export interface TrainEvents {
  onStart?: ((event: StartEvent) => void) | undefined;
  onStep?: ((event: StepEvent) => void) | undefined;
  onEpoch?: ((event: EpochEvent) => void) | undefined;
  onPhase?: ((event: PhaseEvent) => void) | undefined;
  /** Absent: each warning is printed once to stderr, as a Node warning of type `AstgnnWarning` with code `ASTGNN_<REASON>`. */
  onWarning?: ((event: WarningEvent) => void) | undefined;
}
