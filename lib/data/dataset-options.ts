import { z } from "zod";
import type { PresetName } from "../presets.js";
import { FEATURE_SETS, type FeatureSetName } from "./features.js";
import type { DatasetDescription, GraphKind } from "./types.js";

const name = z.string().min(1).describe("a column name");
const names = z.array(name).min(1).optional().describe("a list of feature names");
const days = (from: number, byDefault: number) => z.number().int().min(from).max(10_000).default(byDefault).describe(`a whole number of panel dates from ${from}`);
const missingDates = z.number().int().min(0).default(0);
const isoText = z.string().regex(/^\d{4}-\d{2}-\d{2}$/).describe("a date as YYYY-MM-DD");
const SHARE = "a share from 0 to 1";
const share = z.number().min(0).max(1);
const factor = z.number().positive().finite();

const PROCESSORS = ["rank", "zscore", "winsorize", "standardize", "fill"] as const;

const processorObject = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("rank"), columns: names }),
  z.strictObject({ name: z.literal("zscore"), columns: names }),
  z.strictObject({ name: z.literal("winsorize"), k: factor.default(5).describe("a number above 0"), columns: names }),
  z.strictObject({
    name: z.literal("standardize"),
    columns: names,
    statistics: z.record(z.string(), z.strictObject({ mean: z.number(), sd: z.number() })).optional(),
  }),
  z.strictObject({
    name: z.literal("fill"),
    value: z.union([z.number(), z.literal("median")]).default(0).describe('a number or "median"'),
    columns: names,
    statistics: z.record(z.string(), z.number()).optional(),
  }),
]);

export const ProcessorSchema = z
  .union([z.enum(PROCESSORS).transform((written) => processorObject.parse({ name: written })), processorObject])
  .describe('"rank", "zscore", "winsorize", "standardize" or "fill", or { name, columns? } with one of these names');

const horizon = z.number().int().min(1).max(10_000);
const horizons = z.union([horizon, z.array(horizon).min(1)]).default(1).describe("a whole number of panel dates from 1, or a list of them");

export const LabelSchema = z
  .union([z.strictObject({ horizonDays: horizons, lagDays: days(0, 1) }), z.strictObject({ column: name, horizonDays: days(0, 0).unwrap(), lagDays: days(0, 0) })])
  .describe("{ horizonDays, lagDays } with whole numbers of panel dates (horizons from 1, lag from 0) or { column, horizonDays, lagDays? }");

const transforms = z.enum(["rank", "zscore", "none"]);
const exposures = z.array(name).min(1).optional().describe('a list of "loadings", "style", "groups" and column names');
const transformObject = z.strictObject({ transform: transforms.default("rank"), winsorize: factor.optional(), neutralise: exposures });

export const LabelTransformSchema = z
  .union([transforms.transform((written) => transformObject.parse({ transform: written })), transformObject])
  .describe('"rank", "zscore", "none" or { transform, winsorize?, neutralise? } with winsorize above 0');

export const SplitSchema = z
  .union([
    z.strictObject({ trainEnd: isoText, validEnd: isoText.optional(), testEnd: isoText.optional(), start: isoText.optional() }),
    z.strictObject({ fractions: z.tuple([z.number().positive(), z.number().min(0), z.number().min(0)]), start: isoText.optional() }),
  ])
  .describe("{ trainEnd, validEnd?, testEnd?, start? } with dates as YYYY-MM-DD or { fractions: [train, valid, test], start? } with shares from 0, train above 0");

export const LoadingsSchema = z
  .strictObject({
    window: z.number().int().min(20).max(10_000).default(250).describe("a whole number of panel dates from 20"),
    halfLife: factor.default(90).describe("a number of panel dates above 0"),
    count: z.number().int().min(1).max(1000).default(20).describe("a whole number from 1 to the window"),
    refresh: days(1, 5),
  })
  .describe("{ window?, halfLife?, count?, refresh? }");

const GRAPHS = ["complete", "groups", "edges", "none"] as const;

/** How the core computes it: not part of what the dataset is. */
const call = {
  threads: z.number().int().min(1).max(4096).optional().describe("a whole number from 1 to 4096"),
  signal: z.instanceof(AbortSignal).optional().describe("an AbortSignal"),
  onProgress: z.custom<(progress: DatasetProgress) => void>((value) => typeof value === "function").optional().describe("a function"),
};

export const DatasetOptionsSchema = z.strictObject({
  ...call,
  features: z.union([z.enum(FEATURE_SETS), z.array(name).min(1)]).default("ohlcv").describe('"ohlcv", "loadings" or "style", or a list of these and of column names'),
  loadings: LoadingsSchema.optional().describe(LoadingsSchema.description!),
  window: z.number().int().min(1).max(10_000).default(16).describe("a whole number of panel dates from 1"),
  label: LabelSchema.default({ horizonDays: 1, lagDays: 1 }).describe(LabelSchema.description!),
  split: SplitSchema,
  embargo: days(0, 0),
  processors: z.array(ProcessorSchema).optional().describe("a list of processors"),
  labelTransform: LabelTransformSchema.default({ transform: "rank" }).describe(LabelTransformSchema.description!),
  graph: z.enum(GRAPHS).default("complete").describe('"complete", "groups", "edges" or "none"'),
  maxDropped: share.default(0.05).describe(SHARE),
  maxMissingDates: missingDates.describe("a whole number of panel dates from 0"),
});

/** The part of the options that {@link DatasetDescription} stores, as read back from a checkpoint. */
export const DescriptionSchema = z.object({
  featureNames: z.array(name).min(1),
  features: z.union([z.enum(FEATURE_SETS), z.array(name).min(1)]),
  loadings: LoadingsSchema.extend({ chain: z.string() }).optional(),
  window: z.number().int().min(1),
  processors: z.array(ProcessorSchema),
  graph: z.enum(GRAPHS),
  label: LabelSchema,
  labelTransform: LabelTransformSchema,
  exposureNames: z.array(name).optional(),
  maxDropped: share.default(0.05),
  maxMissingDates: missingDates,
});

export const DescribedOptionsSchema = z.strictObject({
  ...call,
  description: z.custom<DatasetDescription>((value) => typeof value === "object" && value !== null).describe("a dataset description, as dataset.describe() returns it"),
  split: SplitSchema.optional(),
  from: isoText.optional(),
  embargo: days(0, 0),
  maxDropped: share.optional().describe(SHARE),
});

export type ResolvedCall = Pick<z.output<typeof DatasetOptionsSchema>, keyof typeof call>;
export type ResolvedLoadings = z.output<typeof LoadingsSchema>;
export type ResolvedProcessor = z.output<typeof ProcessorSchema>;
export type ResolvedLabel = z.output<typeof LabelSchema>;
export type ResolvedLabelTransform = z.output<typeof LabelTransformSchema>;
export type ResolvedSplit = z.output<typeof SplitSchema>;

/**
 * A processor of features, applied in order; `columns` limits it to some features. Those that work per date are fitted on the members of the date,
 * the universe stocks that have a value; a stock outside the universe is placed among them, because the windows of its later rows read it.
 */
export type Processor =
  /** Per date: ((members less + half of the members equal) / n - 0.5) * sqrt(12); for a member that is ((average-tie rank - 0.5) / n - 0.5) * sqrt(12). */
  | "rank"
  | { readonly name: "rank"; readonly columns?: readonly string[] | undefined }
  /** Per date: (x - mean) / population sd of the members; 0 where sd is 0. */
  | "zscore"
  | { readonly name: "zscore"; readonly columns?: readonly string[] | undefined }
  /** Per date: clips to median ± k * 1.4826 * MAD of the members (k > 0, default 5); untouched where the MAD is 0. */
  | "winsorize"
  | { readonly name: "winsorize"; readonly k?: number | undefined; readonly columns?: readonly string[] | undefined }
  /** (x - mean) / sd with mean and sample sd of the universe on the training dates; 0 where sd is 0. */
  | "standardize"
  | { readonly name: "standardize"; readonly columns?: readonly string[] | undefined }
  /** Missing becomes a constant (default 0) or the median of the universe on the training dates. */
  | "fill"
  | { readonly name: "fill"; readonly value?: number | "median" | undefined; readonly columns?: readonly string[] | undefined };

/**
 * Forward returns close[t + lag + horizon] / close[t + lag] - 1 in panel dates (horizons from 1, default 1; lag from 0, default 1), or a column that holds the label.
 * For a column, `horizonDays` and `lagDays` (default 0) must say which dates it looks at, so that splits can purge it: with horizonDays 5 and lagDays 1
 * it is made of dates from t + 1 to t + 6; horizonDays 0 says that it looks at no later date.
 */
export type Label = { readonly horizonDays?: number | readonly number[] | undefined; readonly lagDays?: number | undefined } | { readonly column: string; readonly horizonDays: number; readonly lagDays?: number | undefined };

/**
 * What the loss sees: inverse normal of the per-date rank (default), per-date z-score, or the raw return; `winsorize` clips to median ± k * 1.4826 * MAD before.
 * Before both, `neutralise` puts residuals in the place of labels: per date by least squares on an intercept and the exposures of that date that it names,
 * `"loadings"`, `"style"`, columns, and with `"groups"` an intercept per group. Labels that metrics are taken on stay raw.
 */
export type LabelTransform =
  | "rank"
  | "zscore"
  | "none"
  | { readonly transform?: "rank" | "zscore" | "none" | undefined; readonly winsorize?: number | undefined; readonly neutralise?: readonly string[] | undefined };

/**
 * By date: train ends, counted by label end, on the last panel date not after `trainEnd`, valid on that not after `validEnd`; `start` is the first label end.
 * Without `validEnd` there are no validation dates, and what is entered after `trainEnd` is the test. A test may be empty: with the last panel date as
 * `trainEnd` everything labelled is trained on, and the last epoch counts. With `testEnd` the test's labels end by it, and later dates are in no split.
 * By fraction: shares of the labelled dates that sum to 1; [1, 0, 0] trains on all of them. A share above 0 that comes to no date is an error.
 */
export type SplitOptions =
  | { readonly trainEnd: string; readonly validEnd?: string | undefined; readonly testEnd?: string | undefined; readonly start?: string | undefined }
  | { readonly fractions: readonly [number, number, number]; readonly start?: string | undefined };

/** How far a dataset is. */
export interface DatasetProgress {
  /** Dates of the panel whose features are made. */
  readonly dates: number;
  /** Dates of the panel. */
  readonly of: number;
}

/** How a dataset is computed. */
export interface DatasetCall {
  /** Compute threads. Whole, from 1; default ASTGNN_THREADS, else the physical cores. The same values whatever it is. */
  readonly threads?: number | undefined;
  /** Stops within a block of dates; the promise rejects with name AbortError, code ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
  /** Told after each block of dates; what it throws, the promise rejects with. */
  readonly onProgress?: ((progress: DatasetProgress) => void) | undefined;
}

/** How the set `loadings` is estimated: by a principal component analysis of daily returns. */
export interface LoadingsOptions {
  /** Daily returns that it looks back on, in panel dates from 20. A stock needs 80 % of them. Default 250. */
  readonly window?: number | undefined;
  /** Dates after which a return counts half. Above 0. Default 90. */
  readonly halfLife?: number | undefined;
  /** Loadings of a stock, from 1 to the window. Default 20. */
  readonly count?: number | undefined;
  /** Panel dates from one estimate to the next, from 1. Default 5. */
  readonly refresh?: number | undefined;
}

/** How a panel becomes samples. */
export type DatasetOptions =
  | (DatasetCall & {
      /** Options by a name: those of `presets`, which the others override. */
      readonly preset?: PresetName | undefined;
      /**
       * Sets of features and columns of the panel as they are, in this order; the name of a set wins over a column of that name. `"ohlcv"`: 20 price features.
       * `"loadings"`: statistical exposures, whom a stock moved with over the last year. `"style"`: 21 known properties such as size, beta and momentum, as
       * z-scores clipped to ±3. Default "ohlcv".
       */
      readonly features?: FeatureSetName | readonly string[] | undefined;
      /** How the set `"loadings"` is estimated, as features and as exposures of `labelTransform.neutralise`. */
      readonly loadings?: LoadingsOptions | undefined;
      /** T, in panel dates, from 1. Default 16. */
      readonly window?: number | undefined;
      /** Default { horizonDays: 1, lagDays: 1 }. */
      readonly label?: Label | undefined;
      readonly split: SplitOptions;
      /** Sample dates dropped at the beginning of valid and of test, from 0. Default 0. */
      readonly embargo?: number | undefined;
      /** Default for features of "ohlcv": rank, then fill with 0; of "loadings" and "style": fill with 0; for columns: none. */
      readonly processors?: readonly Processor[] | undefined;
      /** Default "rank". */
      readonly labelTransform?: LabelTransform | undefined;
      /** Attention mask of the GAT over the stocks of a date. Default "complete". */
      readonly graph?: GraphKind | undefined;
      /** Largest share of rows (universe, complete window) that may lack a feature in their window, filled by a processor or dropped, before this is refused: 0 to 1. Default .05. */
      readonly maxDropped?: number | undefined;
      /**
       * How many dates of a row's window may lack a close (without a close column: a table row), 0 to T - 1; never its last date. Processors fill the features there,
       * 0 for "ohlcv"; without a processor that fills, such a row is dropped. Default 0: one missing date takes a stock out for T dates.
       */
      readonly maxMissingDates?: number | undefined;
    })
  | (DatasetCall & {
      /** As `dataset.describe()` returned it: same features, processors with their fitted statistics, graph and label. */
      readonly description: DatasetDescription;
      /** Default: none; then every sample date is in `unlabelled`, and `train`, `valid` and `test` have no dates to predict or to evaluate. */
      readonly split?: SplitOptions | undefined;
      /**
       * First sample date, YYYY-MM-DD, for scoring the newest dates alone; not with `split`. Features are made of these dates and the rest of their windows only, and
       * those are the dates of the dataset. Default: the first with enough history.
       */
      readonly from?: string | undefined;
      readonly embargo?: number | undefined;
      /** Default: that of the description. */
      readonly maxDropped?: number | undefined;
    });
