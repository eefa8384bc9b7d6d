import type { NativeTensor } from "../binding/types.js";
import { AstgnnError } from "../errors.js";
import { attachExposures, type PanelExposures } from "./exposures.js";
import { fingerprintOf } from "./digests.js";
import type { FeatureSet } from "./feature-cache.js";
import type { LabelShape } from "./labels.js";
import { attachBasis } from "./loadings.js";
import { keepResident, releaseNativePanels } from "./native-panel.js";
import { readerOf } from "./pack/reader.js";
import type { PanelOrigin } from "./origin.js";
import type { PanelGrid } from "./panel-grid.js";
import { storedOptions, type ResolvedDatasetOptions } from "./resolve-dataset.js";
import type { SplitPlan } from "./splits.js";
import type { DailyReturns, DataDigests, Dataset, DatasetDescription, Edges, GraphKind, LabelValues, Ledger, Split } from "./types.js";

/** What a dataset is put together from. */
export interface PanelDatasetParts {
  readonly panel: PanelGrid;
  readonly cut: ResolvedDatasetOptions;
  /** Of the columns that it uses. */
  readonly digests: DataDigests;
  readonly shape: LabelShape;
  readonly features: FeatureSet;
  /** What labels were made neutral to. */
  readonly exposures: PanelExposures | undefined;
  readonly labels: Float32Array;
  readonly returns: DailyReturns | undefined;
  readonly targets: NativeTensor;
  /** The same values where they can be read without a copy. */
  readonly targetValues?: Float32Array | undefined;
  readonly rowOffsets: Int32Array;
  readonly rowStocks: Int32Array;
  readonly groups: Int32Array | undefined;
  readonly plan: SplitPlan;
  readonly ledger: Ledger;
}

/** What a dataset holds in the core's memory. */
interface Held {
  readonly features: FeatureSet;
  readonly exposures: PanelExposures | undefined;
  readonly targets: NativeTensor;
  isFree: boolean;
}

function free(held: Held): void {
  if (held.isFree) return;
  held.isFree = true;
  held.targets.dispose();
  held.features.release();
  held.exposures?.release();
}

/** A dataset that is collected without having been disposed gives its features back too. */
const collected = new FinalizationRegistry<Held>(free);

/** The Dataset that `panel.dataset()` returns. */
export class PanelDataset implements Dataset {
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  readonly featureNames: readonly string[];
  readonly window: number;
  readonly requiredHistory: number;
  readonly horizons: readonly number[];
  readonly lagDays: number;
  readonly rowOffsets: Int32Array;
  readonly rowStocks: Int32Array;
  readonly labels: Float32Array;
  readonly returns: DailyReturns | undefined;
  readonly graph: GraphKind;
  readonly groups: Int32Array | undefined;
  readonly groupNames: readonly string[] | undefined;
  readonly edges: Edges | undefined;
  readonly train: Split;
  readonly valid: Split;
  readonly test: Split;
  readonly unlabelled: Split;
  readonly ledger: Ledger;
  readonly fingerprint: string;
  readonly digests: DataDigests;
  readonly origin: PanelOrigin;
  readonly options: Readonly<Record<string, unknown>>;
  readonly splitSummary: Readonly<Record<string, unknown>>;
  readonly #cut: ResolvedDatasetOptions;
  readonly #held: Held;
  #features: Float32Array | undefined;
  #targets: Float32Array | undefined;

  constructor(parts: PanelDatasetParts) {
    const { panel, cut, shape, plan } = parts;
    this.dates = panel.dates;
    this.tickers = panel.tickers;
    this.featureNames = Object.freeze([...cut.featureNames]);
    this.window = cut.window;
    this.requiredHistory = cut.requiredHistory;
    this.horizons = Object.freeze([...shape.horizons]);
    this.lagDays = shape.lagDays;
    this.rowOffsets = parts.rowOffsets;
    this.rowStocks = parts.rowStocks;
    this.labels = parts.labels;
    this.returns = parts.returns;
    this.graph = cut.graph;
    this.groups = parts.groups;
    this.groupNames = cut.graph === "none" ? undefined : panel.groups?.names;
    this.edges = panel.edges;
    this.train = new DatasetSplit("train", this, plan.train);
    this.valid = new DatasetSplit("valid", this, plan.valid);
    this.test = new DatasetSplit("test", this, plan.test);
    this.unlabelled = new DatasetSplit("unlabelled", this, plan.unlabelled);
    this.ledger = parts.ledger;
    this.fingerprint = fingerprintOf(parts.digests);
    this.digests = parts.digests;
    this.origin = panel.origin;
    this.#cut = cut;
    this.#targets = parts.targetValues;
    this.#held = { features: parts.features, exposures: parts.exposures, targets: parts.targets, isFree: false };
    if (parts.exposures !== undefined) attachExposures(this, parts.exposures);
    keepResident(this, { features: parts.features.native, targets: parts.targets });
    collected.register(this, this.#held, this.#held);
    this.options = Object.freeze(storedOptions(cut, panel));
    this.splitSummary = Object.freeze({
      train: this.#summaryOf(this.train),
      valid: this.#summaryOf(this.valid),
      test: this.#summaryOf(this.test),
      unlabelled: this.#summaryOf(this.unlabelled),
      trainEnd: plan.trainEnd ?? null,
      validEnd: plan.validEnd ?? null,
      ...(plan.testEnd === undefined ? {} : { testEnd: plan.testEnd }),
      purged: plan.purged,
      embargoed: plan.embargoed,
    });
  }

  get features(): Float32Array {
    return (this.#features ??= this.#living().features.native.toTypedArray());
  }

  get targets(): Float32Array {
    return (this.#targets ??= this.#living().targets.toTypedArray() as Float32Array);
  }

  get disposed(): boolean {
    return this.#held.isFree;
  }

  dispose(): void {
    releaseNativePanels(this);
    free(this.#held);
    collected.unregister(this.#held);
    this.#features = this.#targets = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #living(): Held {
    if (this.disposed) throw new AstgnnError("ERR_DISPOSED", "This dataset was disposed: its features and targets are gone.", { next: "Cut it again with panel.dataset." });
    return this.#held;
  }

  describe(): DatasetDescription {
    const { features, exposures, loadings, window, label, labelTransform, graph, maxDropped, maxMissingDates } = this.#cut;
    const { processors } = this.#held.features;
    const basis = this.#held.features.basis ?? this.#held.exposures?.basis ?? this.#cut.basis;
    const written = {
      featureNames: this.featureNames, features, ...(basis === undefined ? {} : { loadings: { ...loadings, chain: basis.chain } }), window, processors, graph, label, labelTransform,
      ...(exposures === undefined ? {} : { exposureNames: exposures.sources.map(({ name }) => name) }), maxDropped, maxMissingDates,
    };
    const description = JSON.parse(JSON.stringify(written)) as DatasetDescription;
    if (basis !== undefined) attachBasis(description, basis);
    return description;
  }

  #summaryOf({ dates, dateIndices }: Split): Record<string, unknown> {
    let rows = 0;
    for (const t of dateIndices) rows += this.rowOffsets[t + 1]! - this.rowOffsets[t]!;
    return { first: dates[0] ?? null, last: dates[dates.length - 1] ?? null, dates: dates.length, rows };
  }
}

class DatasetSplit implements Split {
  readonly name: Split["name"];
  readonly dataset: Dataset;
  readonly dateIndices: Int32Array;
  readonly dates: readonly string[];
  #labels: LabelValues | undefined;

  constructor(name: Split["name"], dataset: Dataset, dateIndices: readonly number[]) {
    this.name = name;
    this.dataset = dataset;
    this.dateIndices = Int32Array.from(dateIndices);
    this.dates = Object.freeze(dateIndices.map((t) => dataset.dates[t]!));
  }

  get labels(): LabelValues {
    return (this.#labels ??= this.#gatherLabels());
  }

  #gatherLabels(): LabelValues {
    const { labels, rowOffsets, rowStocks, tickers, horizons, lagDays, options } = this.dataset;
    const { column, horizonDays: span } = options["label"] as { column?: string; horizonDays: number };
    const horizonDays = column === undefined ? horizons : [span];
    const [N, L] = [tickers.length, horizons.length];
    const data = new Float32Array(this.dateIndices.length * N * L).fill(NaN);
    this.dateIndices.forEach((t, i) => {
      for (let r = rowOffsets[t]!; r < rowOffsets[t + 1]!; r++) {
        const n = rowStocks[r]!;
        for (let l = 0; l < L; l++) data[(i * N + n) * L + l] = labels[(t * N + n) * L + l]!;
      }
    });
    // They may have been read from a file that was cut meanwhile.
    readerOf(this.dataset)?.expect(0, 0);
    const B = this.dateIndices.length;
    return { data, shape: L === 1 ? [B, N] : [B, N, L], dates: this.dates, tickers, horizonDays, lagDays, column };
  }
}
