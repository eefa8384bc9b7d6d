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
