import type { NativeFeatures } from "../binding/types.js";
import { AstgnnError } from "../errors.js";
import { exposureLookBack, requireExposures, type ExposureList } from "./exposure-list.js";
import { featureSet, type FeatureRun, type FeatureSet } from "./feature-cache.js";
import { planRefreshes, type LoadingsBasis } from "./loadings.js";
import type { PanelGrid } from "./panel-grid.js";
import type { Dataset } from "./types.js";

/** Exposures of the dates of a panel: what labels, predictions and their metrics are made neutral to. */
export interface PanelExposures {
  /** Of each exposure. */
  readonly names: readonly string[];
  /** In the core's memory; undefined where there are groups alone. */
  readonly native: NativeFeatures | undefined;
  readonly basis: LoadingsBasis | undefined;
  readonly groups: { readonly count: number; of(t: number): Int32Array } | undefined;
  /** Of date t [names, stocks], NaN where missing. */
  of(t: number): Float32Array;
  /** Whether date t has the history that its exposures look back on. */
  holds(t: number): boolean;
  /** To be called once, when they are no longer used. */
  release(): void;
}

/**
 * Makes exposures with the code that makes features: causal to the last bit, loadings in the basis of the run.
 *
 * @param first first date of the panel whose exposures are made: date 0 of the result
 * @throws AstgnnError as {@link requireExposures} and `featureSet`
 */
export async function makeExposures(
  panel: PanelGrid, list: ExposureList, basis: LoadingsBasis | undefined, option: string, run: FeatureRun, first = 0,
): Promise<PanelExposures> {
  requireExposures(panel, list, option);
  const { written, sources, loadings } = list;
  const names = sources.map(({ name }) => name);
  const refreshes = loadings === undefined ? undefined : planRefreshes(panel.dates, loadings, basis);
  let set: FeatureSet | undefined;
  if (names.length > 0) {
    set = await featureSet(panel, { features: written, featureNames: names, sources, processors: [], loadings, basis, from: undefined, maxMissingDates: 0 }, refreshes, undefined, run, first);
  }
  return { ...madeExposures(panel, list, set?.basis, set?.native, refreshes, first), release: () => set?.release() };
}

/**
 * Exposures that are made.
 *
 * @param refreshes of their loadings; undefined: those of the basis
 */
export function madeExposures(
  panel: PanelGrid, list: ExposureList, basis: LoadingsBasis | undefined, native: NativeFeatures | undefined,
  refreshes = list.loadings === undefined ? undefined : planRefreshes(panel.dates, list.loadings, basis), first = 0,
): PanelExposures {
  const reach = exposureLookBack({ ...list, loadings: undefined });
  return {
    names: list.sources.map(({ name }) => name),
    native,
    basis,
    groups: list.byGroup ? groupsByDate(panel, first) : undefined,
    of: (t) => native?.ofDate(t) ?? new Float32Array(0),
    holds: (t) => first + t >= reach && (refreshes === undefined || refreshes.refreshOf[first + t]! >= 0),
    release: () => native?.dispose(),
  };
}

/** Groups of a panel that has some, date by date from `first` on. */
export function groupsByDate({ groups, tickers: { length: stocks } }: PanelGrid, first = 0): NonNullable<PanelExposures["groups"]> {
  const { codes, names } = groups!;
  return { count: names.length, of: (t) => codes.subarray((first + t) * stocks, (first + t + 1) * stocks) };
}

/** Makes exposures by name for the dates of a dataset. */
type Make = (names: readonly string[], option: string, run: FeatureRun) => Promise<PanelExposures>;

const makers = new WeakMap<Dataset, Make>();

/** Says how exposures of a dataset's dates are made when they are wanted. */
export function offerExposures(dataset: Dataset, make: Make): void {
  makers.set(dataset, make);
}

/**
 * Exposures by name for the dates of a dataset: those of its labels where they have these names. To be released.
 *
 * @throws AstgnnError ERR_OPTION where the dataset is not cut from a panel; as {@link makeExposures}
 */
export async function exposuresOf(dataset: Dataset, names: readonly string[], option: string, run: FeatureRun): Promise<PanelExposures> {
  const make = makers.get(dataset);
  if (make === undefined) throw new AstgnnError("ERR_OPTION", `${option} needs a dataset that panel.dataset cut: this one has no panel to make exposures of.`, { option, next: "Score a dataset of a panel." });
  return make(names, option, run);
}

const exposuresOfLabels = new WeakMap<Dataset, PanelExposures>();

/** Says what the labels of a dataset were made neutral to. */
export function attachExposures(dataset: Dataset, exposures: PanelExposures): void {
  exposuresOfLabels.set(dataset, exposures);
}

/** What the labels of a dataset were made neutral to; undefined where they were not. */
export function labelExposures(dataset: Dataset): PanelExposures | undefined {
  return exposuresOfLabels.get(dataset);
}
