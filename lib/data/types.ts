import type { FeatureSetName } from "./features.js";
import type { PanelOrigin } from "./origin.js";

/**
 * SHA-256 (hex) of the parts of data by their names: "dates and tickers", "column close" and other columns, "universe", "tradable", "groups" and "edges" where there are such.
 * JSON-safe, sorted by name.
 */
export type DataDigests = Readonly<Record<string, string>>;

/** Values aligned to a panel: `data[(t * stocks + n) * width + k]`, NaN where a stock is not in. `shape` is [dates, stocks] or [dates, stocks, width]. */
export interface PanelValues {
  readonly data: Float32Array | Float64Array;
  readonly shape: readonly [dates: number, stocks: number] | readonly [dates: number, stocks: number, width: number];
  /** ISO dates, one per first index. */
  readonly dates: readonly string[];
  /** Tickers, one per second index. */
  readonly tickers: readonly string[];
}

/** Labels that say which days they look at. */
export interface LabelValues extends PanelValues {
  /** Panel dates from entry to end, one per horizon. */
  readonly horizonDays: readonly number[];
  /** Panel dates from the label's own to its entry. */
  readonly lagDays: number;
  /** The column that the labels are, undefined for forward returns of the close. */
  readonly column: string | undefined;
}

/** One kind of loss between the source and the samples: what was dropped or set missing, why, and how many. */
export interface LedgerEntry {
  /** Where it happened, in reading order. */
  readonly stage: "source" | "clean" | "features" | "rows" | "labels" | "split" | "graph" | "fills";
  /** Stable key, e.g. `zero_volume`, `incomplete_window`, `purged_train_valid`. */
  readonly reason: string;
  /** One sentence for people. */
  readonly text: string;
  readonly count: number;
  /** What is counted. */
  readonly unit: "rows" | "values" | "stocks" | "dates" | "edges" | "orders";
}

/** Counts of what was read and of what was dropped or set missing; nothing is dropped without a line here. */
export interface Ledger {
  readonly entries: readonly LedgerEntry[];
  /** Rows in the source. */
  readonly rowsRead: number;
  /** Rows of the source that are in the panel. */
  readonly rowsKept: number;
}

/** What stocks return from one panel date to the next: what the co-movement loss and the peer correlation are measured by. */
export interface DailyReturns {
  /** close[t] / close[t - 1] - 1 at `[t * stocks + n]`, NaN where one of the two closes is missing. */
  readonly values: Float32Array;
  /** Index of the last date at whose return a sample of date t may look as at a label: the end of its split; -1 where t is no sample. [dates] */
  readonly ends: Int32Array;
}

/** Which stocks may attend to one another in the GAT. `none`: every stock is alone (the ablation). */
export type GraphKind = "complete" | "groups" | "edges" | "none";

/** User edges over stocks: `source[e]` sees `target[e]` on dates `from[e]..to[e]` (indices, both inclusive). */
export interface Edges {
  readonly source: Int32Array;
  readonly target: Int32Array;
  readonly from: Int32Array;
  readonly to: Int32Array;
}

/** The sample dates of one part of a dataset. */
export interface Split {
  readonly name: "train" | "valid" | "test" | "unlabelled";
  readonly dataset: Dataset;
  /** Indices into `dataset.dates`, ascending. */
  readonly dateIndices: Int32Array;
  /** Their ISO dates. */
  readonly dates: readonly string[];
  /** Raw returns [dates, stocks] for one horizon, else [dates, stocks, L]; NaN without label or where the stock is no row. */
  readonly labels: LabelValues;
}

/** A processor with its options filled in and, where it is fitted, its statistics per feature. */
export type StoredProcessor =
  | { readonly name: "rank" | "zscore"; readonly columns?: readonly string[] | undefined }
  | { readonly name: "winsorize"; readonly k: number; readonly columns?: readonly string[] | undefined }
  | { readonly name: "standardize"; readonly columns?: readonly string[] | undefined; readonly statistics?: Readonly<Record<string, { readonly mean: number; readonly sd: number }>> | undefined }
  | { readonly name: "fill"; readonly value: number | "median"; readonly columns?: readonly string[] | undefined; readonly statistics?: Readonly<Record<string, number>> | undefined };

/** A label with its options filled in. */
export type StoredLabel =
  | { readonly horizonDays: number | readonly number[]; readonly lagDays: number }
  | { readonly column: string; readonly horizonDays: number; readonly lagDays: number };

/** A label transform with its options filled in. */
export interface StoredLabelTransform {
  readonly transform: "rank" | "zscore" | "none";
  readonly winsorize?: number | undefined;
  /** What labels were made neutral to. */
  readonly neutralise?: readonly string[] | undefined;
}

/** How the set `loadings` is estimated. `chain` names the first basis: only loadings that go on from it are the same columns. */
export interface StoredLoadings {
  readonly window: number;
  readonly halfLife: number;
  readonly count: number;
  readonly refresh: number;
  readonly chain: string;
}

/** What a model needs to score new data as it was trained: stored in `model.safetensors` as `dataset`. */
export interface DatasetDescription {
  readonly featureNames: readonly string[];
  /** Sets of features and pass-through columns. */
  readonly features: FeatureSetName | readonly string[];
  /** Absent without the set `loadings`, as features or exposures. */
  readonly loadings?: StoredLoadings | undefined;
  readonly window: number;
  /** Processors in order, with fitted statistics where they have any. */
  readonly processors: readonly StoredProcessor[];
  readonly graph: GraphKind;
  readonly label: StoredLabel;
  readonly labelTransform: StoredLabelTransform;
  /** Exposures that the sets and columns of `labelTransform.neutralise` stand for; absent where labels are not made neutral. */
  readonly exposureNames?: readonly string[] | undefined;
  /** Share of rows that may lack a feature in their window. */
  readonly maxDropped: number;
  /** Dates that the window of a row may lack. */
  readonly maxMissingDates: number;
}

/** Samples ready for the native core: features, rows, labels, graph and split of a panel. */
export interface Dataset {
  /** ISO panel dates. */
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  readonly featureNames: readonly string[];
  /** Window length T in panel dates. */
  readonly window: number;
  /**
   * Dates of the dataset that a sample needs up to its own: the window and, before it, the longest look-back of the features. 136 for `ohlcv` with a window
   * of 16; the window alone where the dataset was cut `from` a date, for then the look-backs lie before its dates.
   */
  readonly requiredHistory: number;
  /** Label horizons in panel dates (L of them); one entry 0 for a label column. */
  readonly horizons: readonly number[];
  readonly lagDays: number;
  /** Processed features `[(t * stocks + n) * F + f]`; finite on every date of every sample's window; NaN before a stock's first date and after its last where stocks share memory. A copy of the core's, made when first read. */
  readonly features: Float32Array;
  /** Rows of date t are `rowStocks[rowOffsets[t] .. rowOffsets[t + 1]]`, ascending stock indices: [dates + 1]. */
  readonly rowOffsets: Int32Array;
  readonly rowStocks: Int32Array;
  /** Raw returns `[(t * stocks + n) * L + l]`, NaN where there is none (rows or not). */
  readonly labels: Float32Array;
  /**
   * What the loss sees: labels after `labelTransform`, same layout; NaN where a stock is no row, and everywhere in a dataset without a split whose labels
   * would be made neutral to exposures. A copy like `features`.
   */
  readonly targets: Float32Array;
  /** Undefined where there is no close. */
  readonly returns: DailyReturns | undefined;
  readonly graph: GraphKind;
  /** Group of each row (same index as `rowStocks`), where a group source is given or `graph` is `none`. */
  readonly groups: Int32Array | undefined;
  /** Names of the groups 0, 1 ...; a row whose group has none is alone in it. Undefined without a group source. */
  readonly groupNames?: readonly string[] | undefined;
  readonly edges: Edges | undefined;
  readonly train: Split;
  readonly valid: Split;
  readonly test: Split;
  /** The newest dates, which have rows but no label yet: in no split, but `predict` scores them. */
  readonly unlabelled: Split;
  readonly ledger: Ledger;
  /** SHA-256 (hex) over sorted (date, ticker) rows of the panel, the columns that the dataset uses, groups and edges. */
  readonly fingerprint: string;
  /** SHA-256 (hex) of each of these, by which data that differ say in what; undefined where it is not a panel's. */
  readonly digests?: DataDigests | undefined;
  /** What the panel was read from and how, as stored in run.json; undefined where it is not a panel's. */
  readonly origin: PanelOrigin | undefined;
  /** The resolved options, JSON-safe, as stored in run.json. */
  readonly options: Readonly<Record<string, unknown>>;
  /** First and last sample date, number of dates and rows per split, dates purged and embargoed per boundary: JSON-safe, for run.json. */
  readonly splitSummary: Readonly<Record<string, unknown>>;
  /** Whether it was disposed: then it can neither be trained on nor scored. */
  readonly disposed: boolean;
  describe(): DatasetDescription;
  /** Frees its share of the features, its targets and its copies on devices; jobs under way keep theirs until they end. Idempotent; also `using`. */
  dispose(): void;
  [Symbol.dispose](): void;
}
