import type { Ledger } from "../data/types.js";
import type { Evaluation } from "../metrics/study.js";
import type { FactorUnits } from "../metrics/units.js";
import type { RunDescription } from "../run/description.js";
import type { DateStatistics } from "../run/report.js";
import type { EpochRecord, SplitMetrics } from "../run/records.js";
import type { AuditNumbers } from "./sections/audit.js";
import type { BacktestNumbers } from "./sections/backtest.js";
import type { ComparisonNumbers } from "./sections/baselines.js";
import type { DayNumbers } from "./sections/explanations.js";
import type { FoldNumbers } from "./sections/folds.js";
import type { StockPeersNumbers } from "./sections/peers.js";
import type { RiskNumbers } from "./sections/risk.js";
import type { SubjectNumbers } from "./subject.js";

/** A value as JSON keeps it: every number may be null, where it was NaN. */
export type Stored<V> = V extends number
  ? number | null
  : V extends readonly (infer E)[]
    ? readonly Stored<E>[]
    : V extends object
      ? { readonly [K in keyof V]: Stored<V[K]> }
      : V;

/** One split: what a training says of it, what an evaluation says, or both. */
export type SplitNumbers = Stored<Evaluation> & Partial<Stored<Omit<SplitMetrics, keyof Evaluation>>> & { readonly factorUnits?: Stored<FactorUnits> | null | undefined };

/** How a run was made, as run.json says, without the clock: the same run writes the same report. */
export type RunNumbers = Stored<Omit<RunDescription, "formatVersion" | "status" | "ledger" | "timing" | "memoryEstimateBytes" | "bestEpoch" | "kind">>;

/** What report.json holds. The page is made of it alone. */
export interface ReportNumbers {
  readonly schemaVersion: number;
  readonly subject: SubjectNumbers;
  readonly run?: RunNumbers | undefined;
  /** Epoch whose weights these are; null for an ensemble. */
  readonly bestEpoch?: number | null | undefined;
  readonly train?: Stored<SplitMetrics> | undefined;
  readonly valid?: SplitNumbers | undefined;
  readonly test?: SplitNumbers | undefined;
  /** Epochs of the training, of an ensemble those of all members. */
  readonly history?: readonly Stored<EpochRecord>[] | undefined;
  /** The graph and the risk factors on every date. */
  readonly byDate?: { readonly valid: Stored<DateStatistics>; readonly test: Stored<DateStatistics> } | undefined;
  /** Folders of the other configurations that count as trials. */
  readonly trials?: readonly string[] | undefined;
  readonly ledger?: Stored<Ledger> | undefined;
  /** Why there are no prices; null where there are. */
  readonly withoutPrices?: string | null | undefined;
  /** The command that began the training. */
  readonly command?: string | undefined;
  readonly audit?: AuditNumbers | undefined;
  readonly explanations?: DayNumbers | undefined;
  /** Of the stocks that were asked for, each on the date that was last. */
  readonly peers?: readonly StockPeersNumbers[] | undefined;
  /** The test beside baselines. */
  readonly comparison?: ComparisonNumbers | undefined;
  /** Books held through the prices, by name. */
  readonly backtests?: readonly BacktestNumbers[] | undefined;
  /** The risk model of the run beside others. */
  readonly risk?: RiskNumbers | undefined;
  /** Of a walk-forward. */
  readonly folds?: readonly FoldNumbers[] | undefined;
  /** Folders of folds that are not finished. */
  readonly missing?: readonly string[] | undefined;
}

/** The split that a report is about: the test, or the validation where there is no test. */
export function mainSplit({ test, valid }: ReportNumbers): { readonly name: "test" | "validation"; readonly numbers: SplitNumbers } | undefined {
  if (test !== undefined && (test.dates ?? 0) > 0) return { name: "test", numbers: test };
  if (valid !== undefined && (valid.dates ?? 0) > 0) return { name: "validation", numbers: valid };
  return test === undefined ? undefined : { name: "test", numbers: test };
}
