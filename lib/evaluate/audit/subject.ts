import type { DatasetOptions, ResolvedLoadings } from "../../data/dataset-options.js";
import { columnsOf, hasSet, listFeatures, mayLack, type Feature, type WrittenFeatures } from "../../data/feature-sets.js";
import type { Panel } from "../../data/panel.js";
import type { Dataset, Split } from "../../data/types.js";
import type { ASTGNNFactorModel } from "../../model/model.js";
import type { RunDescription } from "../../run/description.js";
import type { EpochEvent } from "../../run/records.js";

/** What an audit looks at: the data, the samples cut from them, and what a model made of these. */
export interface AuditSubject {
  readonly panel: Panel;
  readonly dataset: Dataset;
  /** Numeric columns of the panel that features or the label are made of. */
  readonly used: ReadonlySet<string>;
  readonly raw: RawFeatures;
  /** Of the run that is audited; undefined where only data are. */
  readonly run: AuditedRun | undefined;
}

/** What a training reported epoch by epoch, and which epoch it kept. */
export interface TrainingHistory {
  readonly folder: string;
  readonly bestEpoch: number | null;
  /** Lines of metrics.jsonl. */
  readonly epochs: readonly EpochEvent[];
}

/** What of a run an audit looks at. */
export interface AuditedRun {
  readonly description: RunDescription;
  /** One per member of an ensemble. */
  readonly models: readonly ASTGNNFactorModel[];
  readonly folder: string;
  /** One of each member of an ensemble; the run's own otherwise. */
  readonly histories: readonly TrainingHistory[];
  /** Mean daily IC of the predictions on the test, where there is one. */
  readonly testIc: number | undefined;
  /** The same on the validation dates. */
  readonly validIc: number | undefined;
}

/** Features before any processor, one by one. */
export interface RawFeatures {
  readonly names: readonly string[];
  /** Those that a short history may lack, which is no loss. */
  readonly mayLack: ArrayLike<number>;
  /** Whether one of them is a column of the source. */
  readonly hasColumns: boolean;
  /** Value of feature `f` in cell t * stocks + n, NaN where missing. */
  at(f: number, cell: number): number;
}

/** The options of a dataset as it stores them. */
interface StoredOptions {
  readonly features: WrittenFeatures;
  readonly loadings?: ResolvedLoadings;
  readonly label: { readonly column?: string };
}

/** Puts together what the checks share. */
export async function auditSubject(panel: Panel, options: DatasetOptions, run: AuditedRun | undefined): Promise<AuditSubject & Disposable> {
  // What is no feature may be what a feature was made of.
  await panel.read(panel.columns, options);
  const dataset = await panel.dataset(options);
  const { features, loadings, label } = dataset.options as unknown as StoredOptions;
  const sources = listFeatures(features, loadings, panel.has("size"));
  const labelColumn = label.column ?? "close";
  const used = new Set([...columnsOf(sources), ...(panel.has(labelColumn) ? [labelColumn] : [])]);
  const raw = await rawFeatures(panel, dataset, sources);
  return { panel, dataset, used, raw, run, [Symbol.dispose]: () => dataset.dispose() };
}

/** Columns as the panel has them; features of sets computed without processors, so that cells which one would fill stay NaN. */
async function rawFeatures(panel: Panel, { featureNames: names, options }: Dataset, sources: readonly Feature[]): Promise<RawFeatures> {
  const columns = sources.map(({ name, set }) => (set === undefined ? panel.values(name) : undefined));
  const F = names.length;
  let computed = new Float32Array(0);
  if (columns.includes(undefined)) {
    using plain = await panel.dataset({ ...featureOptions(options), processors: [], maxDropped: 1 });
    computed = plain.features as Float32Array<ArrayBuffer>;
  }
  return { names, mayLack: mayLack(sources), hasColumns: columns.some((column) => column !== undefined), at: (f, cell) => columns[f]?.[cell] ?? computed[cell * F + f] ?? NaN };
}

/** The options of a dataset that make its features, without those of its targets: loadings may be there for these alone. */
export function featureOptions(options: Dataset["options"]): Extract<DatasetOptions, { split: unknown }> {
  const { features, loadings, window, label, split } = options as Record<string, unknown>;
  return { features, ...(hasSet(features as WrittenFeatures, "loadings") ? { loadings } : {}), window, label, split } as Extract<DatasetOptions, { split: unknown }>;
}

/** The newest part with labels: the test, or what comes nearest to it. */
export function judgedSplit({ test, valid, train }: Dataset): Split {
  return [test, valid, train].find(({ dates }) => dates.length > 0)!;
}

/** Days that the longest label spans. */
export function labelSpan({ horizons, options }: Dataset): number {
  const { horizonDays } = options["label"] as { horizonDays: number | readonly number[] };
  return Math.max(...horizons, ...[horizonDays].flat());
}
