import { finished } from "../binding/job.js";
import { loadCore } from "../binding/load.js";
import type { NativeFeatures, NativeFeaturesInput, NativeFeaturesResult } from "../binding/types.js";
import { AstgnnError } from "../errors.js";
import type { ResolvedProcessor } from "./dataset-options.js";
import { fittedProcessors, isFittedHere, nativeProcessors, type FitDates } from "./native-processors.js";
import type { PanelGrid } from "./panel-grid.js";
import type { ResolvedDatasetOptions } from "./resolve-dataset.js";

/** Processed features of a panel in the core's memory, shared by the datasets that were cut with the same features and processors. */
export interface FeatureSet {
  readonly native: NativeFeatures;
  /** Processors with their statistics, JSON-safe. */
  readonly processors: readonly ResolvedProcessor[];
  /** To be called once by each dataset that uses them, when it no longer does. */
  release(): void;
}

/** How to compute. */
export interface FeatureRun {
  readonly threads: number;
  readonly signal: AbortSignal | undefined;
  /** Told how many dates of the panel are done. */
  onDates(done: number): void;
}

class SharedFeatures implements FeatureSet {
  users = 0;
  isKept = true;

  constructor(readonly native: NativeFeatures, readonly processors: readonly ResolvedProcessor[], readonly leave: () => void) {}

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
  /** Computations under way: those who wait for the same one. */
  readonly #running = new Map<string, Promise<SharedFeatures>>();

  async get(key: string, compute: () => Promise<{ native: NativeFeatures; processors: readonly ResolvedProcessor[] }>): Promise<FeatureSet> {
    for (let other = this.#running.get(key); other !== undefined; other = this.#running.get(key)) {
      // Its failure, an abort above all, is its own: then this call computes.
      await other.catch(() => undefined);
    }
    let set = this.#sets.get(key);
    if (set === undefined) {
      this.#keepOnly(undefined);
      const running = compute().then(({ native, processors }) => new SharedFeatures(native, processors, () => this.#sets.delete(key)));
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

/** @throws AstgnnError ERR_DATA where a processor has nothing to be fitted on or a value is beyond single precision; ERR_OPTION, ERR_OUT_OF_MEMORY, ERR_ABORTED */
export async function featureSet(panel: PanelGrid, cut: ResolvedDatasetOptions, fit: FitDates | undefined, run: FeatureRun): Promise<FeatureSet> {
  const { features, featureNames, processors } = cut;
  const cache = caches.get(panel) ?? new FeatureCache();
  caches.set(panel, cache);
  const native = nativeProcessors(processors, featureNames, fit);
  const key = JSON.stringify({ features, processors, fit: isFittedHere(processors, featureNames) ? fit : undefined });
  return cache.get(key, async () => {
    const isPriced = features === "ohlcv";
    const input: NativeFeaturesInput = {
      dates: panel.dates.length,
      stocks: panel.tickers.length,
      sources: isPriced ? featureNames : featureNames.map((name) => panel.values(name)),
      universe: panel.universe,
      processors: native,
      ...(isPriced ? { open: panel.values("open"), high: panel.values("high"), low: panel.values("low"), close: panel.values("close"), volume: panel.values("volume") } : {}),
      ...(panel.segments === undefined ? {} : { segments: panel.segments }),
      ...(fit === undefined ? {} : { fitFrom: fit.from, fitTo: fit.to }),
    };
    const made = checked(panel, cut, await computed(input, run));
    return { native: made.features, processors: Object.freeze(fittedProcessors(processors, featureNames, made.statistics)) };
  });
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

function checked(panel: PanelGrid, { featureNames, processors }: ResolvedDatasetOptions, made: NativeFeaturesResult): Extract<NativeFeaturesResult, { features: unknown }> {
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
