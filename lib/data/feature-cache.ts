import { finished } from "../binding/job.js";
import { loadCore } from "../binding/load.js";
import type { NativeFeatures, NativeFeaturesInput, NativeFeaturesResult } from "../binding/types.js";
import { AstgnnError } from "../errors.js";
import type { ResolvedProcessor } from "./dataset-options.js";
import { columnsOf, type Feature } from "./feature-sets.js";
import { STYLE_FEATURES, type FeatureSetName } from "./features.js";
import { makeLoadings, refreshesFrom, type LoadingsBasis, type RefreshPlan } from "./loadings.js";
import { fittedProcessors, isFittedHere, nativeProcessors, type FitDates } from "./native-processors.js";
import type { PanelGrid } from "./panel-grid.js";
import type { ResolvedDatasetOptions } from "./resolve-dataset.js";

/** Processed features of a panel in the core's memory, shared by the datasets that were cut with the same features and processors. */
export interface FeatureSet {
  readonly native: NativeFeatures;
  /** Processors with their statistics, JSON-safe. */
  readonly processors: readonly ResolvedProcessor[];
  /** The loadings among them. */
  readonly basis: LoadingsBasis | undefined;
  /** To be called once by each dataset that uses them, when it no longer does. */
  release(): void;
}

/** Which features, and what they go through. */
type FeatureCut = Pick<ResolvedDatasetOptions, "features" | "featureNames" | "sources" | "processors" | "loadings" | "basis" | "from" | "maxMissingDates">;

/** How to compute. */
export interface FeatureRun {
  readonly threads: number;
  readonly signal: AbortSignal | undefined;
  /** Told how many dates of the panel are done. */
  onDates(done: number): void;
  /** Where features are kept that are to lie in a file: no other dataset shares them. */
  readonly file?: FeatureFile | undefined;
}

/** A part of a file, from a multiple of 4096 on. */
export interface FeatureFile {
  readonly file: string;
  readonly offset: number;
}

/** What features are made by, and of which dates of the panel. */
interface Made {
  readonly by: string;
  readonly first: number;
  readonly dates: number;
}

class SharedFeatures implements FeatureSet {
  users = 0;
  isKept = true;

  constructor(readonly made: Made, readonly native: NativeFeatures, readonly processors: readonly ResolvedProcessor[], readonly basis: LoadingsBasis | undefined, readonly leave: () => void) {}

  release(): void {
    this.users--;
    this.freeUnused();
  }

  freeUnused(): void {
    if (this.users > 0 || this.isKept) return;
    this.native.dispose();
    this.leave();
  }
}

/** Features of one panel by what makes them. The newest stay for the next dataset, others until their last dataset is gone. */
class FeatureCache {
  readonly #sets = new Map<string, SharedFeatures>();
  /** Computations under way, with the callers that wait for each. */
  readonly #running = new Map<string, Promise<SharedFeatures>>();

  /** Features made alike of dates from `first` on, the most of them. */
  known({ by, first }: Made): { readonly native: NativeFeatures; readonly from: number } | undefined {
    const end = ({ made }: SharedFeatures): number => made.first + made.dates;
    const sets = [...this.#sets.values()].filter((set) => set.made.by === by && set.made.first <= first && end(set) > first && !set.native.disposed);
    const [set] = sets.sort((a, b) => end(b) - end(a));
    return set === undefined ? undefined : { native: set.native, from: first - set.made.first };
  }

  async get(made: Made, compute: () => Promise<Omit<FeatureSet, "release">>): Promise<FeatureSet> {
    const key = JSON.stringify(made);
    for (let other = this.#running.get(key); other !== undefined; other = this.#running.get(key)) {
      // Its failure, an abort above all, is its own: then this call computes.
      await other.catch(() => undefined);
    }
    let set = this.#sets.get(key);
    if (set === undefined) {
      this.#keepOnly(undefined);
      const running = compute().then(({ native, processors, basis }) => new SharedFeatures(made, native, processors, basis, () => this.#sets.delete(key)));
      this.#running.set(key, running);
      try {
        set = await running;
      } finally {
        this.#running.delete(key);
      }
      this.#sets.set(key, set);
    }
    set.users++;
    this.#keepOnly(set);
    return set;
  }

  /** Frees what no dataset uses, but for one. */
  #keepOnly(kept: SharedFeatures | undefined): void {
    for (const set of [...this.#sets.values()]) {
      set.isKept = set === kept;
      set.freeUnused();
    }
  }
}

const caches = new WeakMap<PanelGrid, FeatureCache>();

/** Features of the panel that a panel grew from, until it has features of its own. */
const inherited = new WeakMap<PanelGrid, FeatureCache>();

/** Says that a panel has the stocks and dates of another and later dates: features of the dates that both have are the same. */
export function inheritFeatures(panel: PanelGrid, from: PanelGrid): void {
  const cache = caches.get(from) ?? inherited.get(from);
  if (cache !== undefined) inherited.set(panel, cache);
}

/** Numbers of stored bases, so that a cache tells them apart. */
const numbers = new WeakMap<LoadingsBasis, number>();
let bases = 0;

function numberOf(basis: LoadingsBasis): number {
  if (!numbers.has(basis)) numbers.set(basis, ++bases);
  return numbers.get(basis)!;
}

/**
 * @param refreshes of the loadings, where there are any
 * @param first first date of the panel whose features are made
 * @throws AstgnnError ERR_DATA where a processor has nothing to be fitted on or a value is beyond single precision; ERR_OPTION, ERR_OUT_OF_MEMORY, ERR_ABORTED
 */
export async function featureSet(panel: PanelGrid, cut: FeatureCut, refreshes: RefreshPlan | undefined, fit: FitDates | undefined, run: FeatureRun, first = 0): Promise<FeatureSet> {
  const { features, featureNames, processors, loadings, maxMissingDates } = cut;
  await panel.read(columnsOf(cut.sources), run);
  const cache = caches.get(panel) ?? new FeatureCache();
  caches.set(panel, cache);
  const native = nativeProcessors(processors, featureNames, fit);
  const basedOn = cut.basis === undefined ? undefined : numberOf(cut.basis);
  const by = JSON.stringify({ features, featureNames, loadings, basedOn, processors, maxMissingDates, fit: isFittedHere(processors, featureNames) ? fit : undefined });
  const made: Made = { by, first, dates: panel.dates.length - first };
  const compute = async (): Promise<Omit<FeatureSet, "release">> => {
    const known = run.file !== undefined ? undefined : (cache.known(made) ?? inherited.get(panel)?.known(made));
    const plan = refreshes === undefined ? undefined : refreshesFrom(refreshes, first);
    const basis = plan === undefined ? undefined : await makeLoadings(panel, loadings!, plan, cut.basis, run);
    const input: NativeFeaturesInput = {
      dates: panel.dates.length,
      stocks: panel.tickers.length,
      universe: panel.universe,
      present: panel.present,
      processors: native,
      maxMissingDates,
      ...(panel.has("close") ? { close: panel.values("close") } : {}),
      ...sourcesOf(panel, cut.sources),
      ...(basis === undefined ? {} : { loadings: { values: basis.values, refreshes: basis.dates.length, count: basis.count }, refreshOf: plan!.refreshOf }),
      ...(panel.segments === undefined ? {} : { segments: panel.segments }),
      first,
      ...(known === undefined ? {} : { known: known.native, knownFrom: known.from }),
      ...(fit === undefined ? {} : { fitFrom: fit.from, fitTo: fit.to }),
      ...run.file,
      ...(panel.scratch === undefined || run.file === undefined ? {} : { scratch: panel.scratch }),
    };
    const result = checked(panel, cut, await computed(input, run));
    return { native: result.features, processors: Object.freeze(fittedProcessors(processors, featureNames, result.statistics)), basis: cut.from === undefined ? basis : cut.basis };
  };
  if (run.file !== undefined) {
    const own = await compute();
    return { ...own, release: () => own.native.dispose() };
  }
  const set = await cache.get(made, compute);
  inherited.delete(panel);
  return set;
}

/** The features as the core takes them, with the columns that they are made of. */
function sourcesOf(panel: PanelGrid, features: readonly Feature[]): Pick<NativeFeaturesInput, "sources" | "open" | "high" | "low" | "close" | "volume" | "size" | "months"> {
  const sources = features.map(({ name, set, index }) => {
    if (set === undefined) return panel.values(name);
    if (set === "ohlcv") return name;
    return set === "style" ? { style: STYLE_FEATURES[index]! } : { loading: index };
  });
  const needs = (wanted: FeatureSetName): boolean => features.some(({ set }) => set === wanted);
  const prices = (): Pick<NativeFeaturesInput, "open" | "high" | "low" | "close" | "volume"> => ({ open: panel.values("open"), high: panel.values("high"), low: panel.values("low"), close: panel.values("close"), volume: panel.values("volume") });
  if (!needs("style")) return { sources, ...(needs("ohlcv") ? prices() : {}) };
  const months = Int32Array.from(panel.dates, (date) => 12 * Number(date.slice(0, 4)) + Number(date.slice(5, 7)) - 1);
  const size = features.some(({ set, name }) => set === "style" && name === "size") ? { size: panel.values("size") } : {};
  return { sources, ...prices(), ...size, months };
}

async function computed(input: NativeFeaturesInput, { threads, signal, onDates }: FeatureRun): Promise<NativeFeaturesResult> {
  try {
    return await finished(() => loadCore().panelFeatures(input, threads, onDates), signal, "The dataset");
  } catch (error) {
    if ((error as AstgnnError).code !== "ERR_OUT_OF_MEMORY") throw error;
    const { dates, stocks, sources } = input;
    throw new AstgnnError("ERR_OUT_OF_MEMORY", `${dates} dates x ${stocks} stocks x ${sources.length} features do not fit into memory.`, { cause: error, next: "Use fewer features, stocks or dates." });
  }
}

function checked(panel: PanelGrid, { featureNames, processors }: FeatureCut, made: NativeFeaturesResult): Extract<NativeFeaturesResult, { features: unknown }> {
  if ("features" in made) return made;
  if ("unfit" in made) {
    const feature = featureNames[made.unfit.feature]!;
    throw new AstgnnError("ERR_DATA", `Feature ${feature} has no value on any training date, so processor ${processors[made.unfit.processor]!.name} cannot be fitted.`, { column: feature, next: "Leave the feature out or train on later dates." });
  }
  const { feature, cell, value } = made.beyond;
  const date = panel.dates[Math.floor(cell / panel.tickers.length)]!;
  const ticker = panel.tickers[cell % panel.tickers.length]!;
  throw new AstgnnError("ERR_DATA", `Feature ${featureNames[feature]!} is ${value} for ${ticker} on ${date}, beyond single precision.`, { file: panel.source, column: featureNames[feature]!, date, next: "Rescale the column or correct the value." });
}
