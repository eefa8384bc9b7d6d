import type { SplitMetrics } from "./records.js";

/** What `report.json` holds: the final weights on every split. Predictions themselves are in predictions.parquet. */
export interface Report {
  readonly kind: "run" | "ensemble";
  /** Epoch whose weights these are; null for an ensemble. */
  readonly bestEpoch: number | null;
  readonly epochs: number;
  /** Training seed, or one per member. */
  readonly seed: number | readonly number[];
  readonly train: SplitMetrics;
  readonly valid: SplitMetrics;
  readonly test: SplitMetrics;
  /** Daily values of the dates that count: what a later evaluation deflates other runs by. */
  readonly daily: { readonly valid: DailyIc; readonly test: DailyIc };
  /** The graph and the risk factors on every date. */
  readonly byDate: { readonly valid: DateStatistics; readonly test: DateStatistics };
}

/** What A and M are like on each date; NaN where it is not known, the factors' for an ensemble. */
export interface DateStatistics {
  readonly dates: readonly string[];
  readonly effectiveNeighbours: readonly number[];
  readonly peerCorrelation: readonly number[];
  /** Share of the variance of the targets that M explains, by least squares over the stocks; mean over horizons. */
  readonly rSquared: readonly number[];
  /** Mean variance inflation factor of the columns of M: 1 where none is a mix of others. */
  readonly vif: readonly number[];
  /** Mean squared change of M since the date before. */
  readonly factorTurnover: readonly number[];
}

/** IC and RankIC of each date that counts. */
export interface DailyIc {
  readonly dates: readonly string[];
  readonly ic: readonly number[];
  readonly rankIc: readonly number[];
}

/** JSON has no NaN: null. */
export function reportJson(report: Report): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}
