import type { NeutralMean } from "../metrics/exposures.js";
import type { Metrics } from "../metrics/pairs.js";
import type { PeerStatistics, SimilarityStatistics } from "../model/predict.js";

/** Means over the steps of an epoch; NaN where a term was defined on no date. */
export interface TrainMetrics {
  /** Weighted total, mean over the steps that had one. */
  readonly loss: number;
  /** Unweighted, by the term's name; a second term of a kind is `ic2`. */
  readonly terms: Readonly<Record<string, number>>;
  /** Dates (for turnover: neighbouring pairs) on which a term was not defined, summed over the epoch. */
  readonly undefinedDates: Readonly<Record<string, number>>;
  readonly steps: number;
  /** Steps in which no term was defined: they changed nothing. */
  readonly emptySteps: number;
  readonly rows: number;
  /** Mean gradient norm before clipping, over the steps that changed something. */
  readonly gradientNorm: number;
}

/** Metrics of the averaged weights (EMA) on a split: definitions in {@link evaluate}. NaN where the split has no date that counts; `mse` is null for an ensemble, the neutral ones where `labelTransform.neutralise` names nothing. */
export interface SplitMetrics
  extends Pick<Metrics, "ic" | "icir" | "rankIc" | "rankIcir" | "hitRate" | "mse" | "dates" | "rows">, SimilarityStatistics, PeerStatistics, NeutralMean {
  /** Weighted total of the objective: each term is its mean over dates. */
  readonly loss: number;
  readonly terms: Readonly<Record<string, number>>;
}

/** After every epoch: a line of `metrics.jsonl`. */
export interface EpochEvent {
  /** From 1. */
  readonly epoch: number;
  readonly train: TrainMetrics;
  readonly valid: SplitMetrics;
  /** Rate of the epoch's last step. */
  readonly learningRate: number;
  /** True where the monitored metric is the best so far. */
  readonly isBest: boolean;
  /** Training and validation, wall clock. */
  readonly seconds: number;
  readonly seed: number;
  /** Name of the fold, in a walk-forward. */
  readonly fold?: string | undefined;
}

/** Something that looks wrong but does not stop the run; also stored in `run.json`. */
export interface WarningEvent {
  /** Stable key, e.g. `graph_is_average`. */
  readonly reason: string;
  readonly text: string;
  readonly seed: number;
  /** Name of the fold, in a walk-forward. */
  readonly fold?: string | undefined;
}

/** An epoch as the checkpoint keeps it: without the clock, so that the same run writes the same bytes. */
export type EpochRecord = Omit<EpochEvent, "seconds">;
