import type { DatasetOptions } from "../../data/dataset-options.js";
import type { Panel } from "../../data/panel.js";
import { PRICE_COLUMNS } from "../../data/source/columns.js";
import type { Dataset, Split } from "../../data/types.js";

/** What an audit looks at: the data, the samples cut from them, and what a model made of these. */
export interface AuditSubject {
  readonly panel: Panel;
  readonly dataset: Dataset;
  /** Numeric columns of the panel that features or the label are made of. */
  readonly used: ReadonlySet<string>;
  /** Features as they are before processors: `values[t * stride + n * step + offset]`. */
  readonly raw: RawFeatures;
  /** Mean daily IC of the run's model on the test; undefined where there is no run. */
  readonly modelIc: number | undefined;
}

/** Features before any processor, one by one. */
export interface RawFeatures {
  readonly names: readonly string[];
  /** Value of feature `f` in cell t * stocks + n, NaN where missing. */
  at(f: number, cell: number): number;
}

/** Puts together what the checks share. `dataset` and the raw features are the caller's to dispose. */
export async function auditSubject(panel: Panel, options: DatasetOptions, modelIc: number | undefined): Promise<AuditSubject & Disposable> {
  const dataset = await panel.dataset(options);
  const { features, label } = dataset.options as { features: "ohlcv" | readonly string[]; label: { column?: string } };
  const labelColumn = label.column ?? "close";
  const used = new Set([...(features === "ohlcv" ? PRICE_COLUMNS : features), ...(panel.has(labelColumn) ? [labelColumn] : [])]);
  const raw = features === "ohlcv" ? await computedFeatures(panel, dataset) : passedThrough(panel, features);
  return { panel, dataset, used, raw, modelIc, [Symbol.dispose]: () => dataset.dispose() };
}

function passedThrough(panel: Panel, names: readonly string[]): RawFeatures {
  const columns = names.map((name) => panel.values(name));
  return { names, at: (f, cell) => columns[f]![cell]! };
}

/** Price features without processors: cells that a processor would fill stay NaN. */
async function computedFeatures(panel: Panel, { featureNames: names, window, options }: Dataset): Promise<RawFeatures> {
  const { label, split } = options as Pick<Exclude<DatasetOptions, { description: unknown }>, "label" | "split">;
  using plain = await panel.dataset({ features: "ohlcv", window, label, split, processors: [], maxDropped: 1 });
  const { features } = plain;
  return { names, at: (f, cell) => features[cell * names.length + f]! };
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
