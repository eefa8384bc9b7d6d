/** How bad a finding is. `fail`: numbers made from this data or run cannot be believed. `warn`: they say less than they seem to. `note`: good to know. */
export type Severity = "fail" | "warn" | "note";

/** What a check found, in one stable word. */
export type FindingCode =
  | "future_read"
  | "full_sample_scaling"
  | "feature_is_label"
  | "feature_beyond_model"
  | "wrong_labels"
  | "label_span_understated"
  | "labels_overlap"
  | "splits_overlap"
  | "co_movement_reach"
  | "short_embargo"
  | "processor_statistics"
  | "repeated_rows"
  | "groups_of_one_date"
  | "edges_of_one_date"
  | "groups_fit_test"
  | "epoch_not_by_validation"
  | "no_validation"
  | "best_on_test"
  | "shuffled_labels"
  | "reversed_time"
  | "hindsight_universe"
  | "constant_universe"
  | "filled_inputs"
  | "unmatched_groups"
  | "unmatched_edges"
  | "stale_data"
  | "missing_dates"
  | "feature_moved"
  | "universe_shrank"
  | "scores_stopped"
  | "row_count_jump";

/** One thing that makes numbers less believable, or not at all; where it is, as far as that applies. */
export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly columns?: readonly string[];
  readonly dates?: readonly string[];
  readonly tickers?: readonly string[];
  /** The number that was measured. */
  readonly value?: number;
  /** The limit that it crossed. */
  readonly threshold?: number;
  /** One sentence for people. */
  readonly text: string;
  /** One imperative sentence: what to do. */
  readonly next: string;
}

const ORDER: readonly Severity[] = ["fail", "warn", "note"];

/** The worst first; findings of one severity stay in the order of their checks. */
export function bySeverity(findings: readonly Finding[]): Finding[] {
  return [...findings].sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
}

/** A share as people read it. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.001 ? 2 : 1)} %`;
}
