import { AstgnnError, invalidOption, nearest, show } from "../errors.js";
import { resolveOptions } from "../options.js";
import { withPreset } from "../presets.js";
import {
  DatasetOptionsSchema,
  DescribedOptionsSchema,
  DescriptionSchema,
  LoadingsSchema,
  type DatasetOptions,
  type ResolvedLabel,
  type ResolvedLoadings,
  type ResolvedLabelTransform,
  type ResolvedCall,
  type ResolvedProcessor,
  type ResolvedSplit,
} from "./dataset-options.js";
import { exposureLookBack, listExposures, requireExposures, type ExposureList } from "./exposure-list.js";
import { columnsOf, defaultProcessors, hasSet, listFeatures, lookBackOf, type Feature, type WrittenFeatures } from "./feature-sets.js";
import { requireBasis, type LoadingsBasis } from "./loadings.js";
import type { PanelGrid } from "./panel-grid.js";
import { PRICE_COLUMNS } from "./source/columns.js";
import type { GraphKind } from "./types.js";

/** The option that names what labels are made neutral to. */
export const NEUTRALISE = "labelTransform.neutralise";

/** Everything a dataset is cut by, defaults filled in. */
export interface ResolvedDatasetOptions {
  readonly features: WrittenFeatures;
  readonly featureNames: readonly string[];
  /** What each of them is made from. */
  readonly sources: readonly Feature[];
  /** What labels are made neutral to. */
  readonly exposures: ExposureList | undefined;
  /** Undefined without the set `loadings`, among features or exposures. */
  readonly loadings: ResolvedLoadings | undefined;
  /** The loadings that they go on from. */
  readonly basis: LoadingsBasis | undefined;
  readonly window: number;
  /** Panel dates that a sample needs up to its own: the window and, before it, the longest look-back of the features. */
  readonly requiredHistory: number;
  readonly label: ResolvedLabel;
  readonly split: ResolvedSplit | undefined;
  /** First sample date, where only the newest dates are to be scored. */
  readonly from: string | undefined;
  readonly embargo: number;
  readonly processors: readonly ResolvedProcessor[];
  readonly labelTransform: ResolvedLabelTransform;
  readonly graph: GraphKind;
  readonly maxDropped: number;
  readonly maxMissingDates: number;
  /** Whether it repeats the description in a checkpoint: then labels may be missing. */
  readonly described: boolean;
}

/**
 * What to cut, and how to run.
 *
 * @param columns of the panel
 * @throws AstgnnError ERR_OPTION, or ERR_CHECKPOINT on a description this version cannot repeat
 */
export function resolveDataset(options: DatasetOptions, columns: readonly string[]): { readonly cut: ResolvedDatasetOptions; readonly run: ResolvedCall } {
  if (options !== null && typeof options === "object" && "description" in options) {
    const { description, threads, signal, onProgress, ...rest } = resolveOptions(DescribedOptionsSchema, options, "dataset");
    if (rest.split !== undefined && rest.from !== undefined) throw new AstgnnError("ERR_OPTION", "A dataset is cut with split or with from, not with both.", { option: "from", next: "Leave from out, and score the dates of interest with predictDates." });
    const { loadings: described, ...stored } = resolveOptions(DescriptionSchema, description, "dataset description");
    const { features, featureNames, window } = stored;
    const { chain: _, ...loadings } = described ?? { chain: undefined };
    const own = described === undefined ? undefined : (loadings as ResolvedLoadings);
    const sources = listFeatures(features, own ?? LoadingsSchema.parse({}), featureNames.includes("size"));
    const names = sources.map(({ name }) => name);
    if (names.join("\n") !== featureNames.join("\n")) {
      const missing = featureNames.filter((name) => !names.includes(name));
      throw new AstgnnError("ERR_CHECKPOINT", `The description has features that this version does not make: ${missing.join(", ") || "the same, in another order"}.`, { next: "Use the version that wrote the checkpoint." });
    }
    const maxDropped = rest.maxDropped ?? stored.maxDropped;
    const basis = own === undefined ? undefined : requireBasis(description);
    const { neutralise } = stored.labelTransform;
    const exposures = neutralise === undefined ? undefined : listExposures(neutralise, own, stored.exposureNames?.includes("size") === true, NEUTRALISE);
    const requiredHistory = historyOf(window, features, undefined, rest.split === undefined || exposures === undefined ? undefined : { ...exposures, loadings: undefined });
    return { cut: { ...stored, ...rest, maxDropped, split: rest.split, from: rest.from, sources, exposures, loadings: own, basis, requiredHistory, described: true }, run: { threads, signal, onProgress } };
  }
  requireLabelSpan(options);
  const { threads, signal, onProgress, ...resolved } = resolveOptions(DatasetOptionsSchema, withPreset("dataset", options), "dataset");
  const { features, window, maxMissingDates } = resolved;
  const { neutralise = [] } = resolved.labelTransform;
  const areNamed = hasSet(features, "loadings") || neutralise.includes("loadings");
  // What a preset says of loadings is no wish for them, where what was written does without.
  const isOfPreset = resolved.loadings !== undefined && options.loadings === undefined;
  const loadings = resolveLoadings(areNamed, isOfPreset && !areNamed ? undefined : resolved.loadings);
  const sources = listFeatures(features, loadings, columns.includes("size"));
  if (maxMissingDates >= window) throw invalidOption("maxMissingDates", `a whole number from 0 to ${window - 1}, below the window,`, maxMissingDates);
  const exposures = neutralise.length === 0 ? undefined : listExposures(neutralise, loadings, columns.includes("size"), NEUTRALISE);
  const own = hasSet(features, "loadings") ? loadings : undefined;
  const derived = { featureNames: sources.map(({ name }) => name), sources, exposures, loadings, basis: undefined, requiredHistory: historyOf(window, features, own, exposures) };
  return { cut: { ...resolved, ...derived, from: undefined, processors: resolved.processors ?? defaultProcessors(sources), described: false }, run: { threads, signal, onProgress } };
}

/** The options as run.json and checkpoints keep them: JSON-safe. */
export function storedOptions(cut: ResolvedDatasetOptions, { extremeReturns }: Pick<PanelGrid, "extremeReturns">): Readonly<Record<string, unknown>> {
  const { features, loadings, window, label, split, embargo, processors, labelTransform, graph, maxDropped, maxMissingDates } = cut;
  return JSON.parse(JSON.stringify({ features, loadings, window, label, split, embargo, processors, labelTransform, graph, maxDropped, maxMissingDates, extremeReturns })) as Record<string, unknown>;
}

/** The window and what features look back on before it, or what exposures of the sample's own date do. */
function historyOf(window: number, features: WrittenFeatures, loadings: ResolvedLoadings | undefined, exposures: ExposureList | undefined): number {
  return Math.max(window + lookBackOf(features, loadings), exposures === undefined ? 0 : 1 + exposureLookBack(exposures));
}

function resolveLoadings(isNamed: boolean, written: ResolvedLoadings | undefined): ResolvedLoadings | undefined {
  if (!isNamed) {
    if (written !== undefined) throw new AstgnnError("ERR_OPTION", "The option loadings says how the set loadings is estimated, and neither features nor labelTransform.neutralise names it.", { option: "loadings", next: 'Add "loadings" to features, or leave the option out.' });
    return undefined;
  }
  const loadings = written ?? LoadingsSchema.parse({});
  if (loadings.count > loadings.window) throw invalidOption("loadings.count", `a whole number from 1 to ${loadings.window}, the window of the loadings,`, loadings.count);
  return loadings;
}

/** A column does not tell which dates its label was made of, and without that no split can purge it. */
function requireLabelSpan(options: DatasetOptions): void {
  const label: unknown = options !== null && typeof options === "object" && "label" in options ? options.label : undefined;
  if (typeof label !== "object" || label === null || !("column" in label) || ("horizonDays" in label && label.horizonDays !== undefined)) return;
  throw new AstgnnError("ERR_OPTION", `The label column ${show(label.column)} needs label.horizonDays: without it no split can tell which labels reach across its end.`, {
    option: "label.horizonDays",
    next: "State label.horizonDays, the panel dates from the label's entry to its end (0 if it looks at no later date), and label.lagDays, those from the sample to the entry (default 0).",
  });
}

/** @throws AstgnnError ERR_DATA naming the columns that are missing, ERR_LEAKAGE where the label is a feature */
export function requireFeatureColumns(panel: PanelGrid, { features, sources, exposures, split, label }: ResolvedDatasetOptions): void {
  const needed = columnsOf(sources);
  const missing = needed.filter((name) => !panel.has(name));
  if (missing.length > 0) {
    const near = nearest(missing[0]!, panel.columns);
    throw new AstgnnError("ERR_DATA", `${panel.source} lacks ${missing.length === 1 ? "the column" : "the columns"} ${missing.join(", ")} for features ${typeof features === "string" ? `"${features}"` : features.length > 5 ? "as listed" : features.join(", ")}; the panel has ${panel.columns.join(", ")}.`, {
      file: panel.source,
      column: missing[0]!,
      option: "features",
      next: near === undefined ? "Name columns of the panel, or say in rename of openPanel what they are called in the source." : `Did you mean ${near}? Name it in features, or give the column its name by rename of openPanel: { ${missing[0]!}: "${near}" }.`,
    });
  }
  if ("column" in label && needed.includes(label.column)) {
    throw new AstgnnError("ERR_LEAKAGE", `Column ${label.column} is both the label and a feature.`, { column: label.column, option: "label.column", next: "Take it out of features." });
  }
  if (exposures === undefined || split === undefined) return;
  if ("column" in label && exposures.written.includes(label.column)) {
    throw new AstgnnError("ERR_LEAKAGE", `Column ${label.column} is both the label and an exposure of ${NEUTRALISE}.`, { column: label.column, option: NEUTRALISE, next: "Take it out of the exposures." });
  }
  requireExposures(panel, exposures, NEUTRALISE);
}

/**
 * The columns of the panel that a dataset is made of: those of features, label and exposures, the close, and all prices where breaks in them make values missing.
 */
export function usedColumns(panel: PanelGrid, { sources, exposures, split, label }: ResolvedDatasetOptions): string[] {
  const used = [
    ...columnsOf(sources),
    ...("column" in label ? [label.column] : []),
    ...(exposures === undefined || split === undefined ? [] : columnsOf(exposures.sources)),
    ...(panel.extremeReturns === "missing" ? PRICE_COLUMNS : ["close"]),
  ];
  return [...new Set(used)].filter((name) => panel.has(name));
}

/** @throws AstgnnError ERR_OPTION where the panel lacks what the graph needs */
export function requireGraph(panel: PanelGrid, graph: GraphKind): void {
  const lacks = (what: string, how: string): AstgnnError => new AstgnnError("ERR_OPTION", `Graph "${graph}" needs ${what}, and the panel has none.`, { option: "graph", next: how });
  if (graph === "groups" && panel.groups === undefined) throw lacks("groups", "Give openPanel a groupColumn or groups: { file }.");
  if (graph === "edges" && panel.edges === undefined) throw lacks("edges", "Give openPanel edges: { file }.");
}
