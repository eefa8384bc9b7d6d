import type { ResolvedProcessor } from "./dataset-options.js";
import type { LabelShape } from "./labels.js";
import type { PanelOrigin } from "./origin.js";
import type { Panel } from "./panel.js";
import type { Recipe } from "./recipe.js";
import type { SplitPlan } from "./splits.js";
import type { Dataset, DatasetDescription, Edges, GraphKind, LabelValues, Ledger, Split } from "./types.js";

/** What a dataset is put together from. */
export interface PanelDatasetParts {
  readonly panel: Panel;
  readonly recipe: Recipe;
  readonly shape: LabelShape;
  readonly features: Float32Array;
  readonly labels: Float32Array;
  readonly targets: Float32Array;
  readonly rowOffsets: Int32Array;
  readonly rowStocks: Int32Array;
  readonly groups: Int32Array | undefined;
  readonly plan: SplitPlan;
  readonly processors: readonly ResolvedProcessor[];
  readonly ledger: Ledger;
}

/** The Dataset that `panel.dataset()` returns. */
export class PanelDataset implements Dataset {
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  readonly featureNames: readonly string[];
  readonly window: number;
  readonly requiredHistory: number;
  readonly horizons: readonly number[];
  readonly lagDays: number;
  readonly features: Float32Array;
  readonly rowOffsets: Int32Array;
  readonly rowStocks: Int32Array;
  readonly labels: Float32Array;
  readonly targets: Float32Array;
  readonly graph: GraphKind;
  readonly groups: Int32Array | undefined;
  readonly edges: Edges | undefined;
  readonly train: Split;
  readonly valid: Split;
  readonly test: Split;
  readonly unlabelled: Split;
  readonly ledger: Ledger;
  readonly fingerprint: string;
  readonly origin: PanelOrigin;
  readonly options: Readonly<Record<string, unknown>>;
  readonly splitSummary: Readonly<Record<string, unknown>>;
  readonly #recipe: Recipe;
  readonly #processors: readonly ResolvedProcessor[];

  constructor(parts: PanelDatasetParts) {
    const { panel, recipe, shape, plan } = parts;
    this.dates = panel.dates;
    this.tickers = panel.tickers;
    this.featureNames = Object.freeze([...recipe.featureNames]);
    this.window = recipe.window;
    this.requiredHistory = recipe.requiredHistory;
    this.horizons = Object.freeze([...shape.horizons]);
    this.lagDays = shape.lagDays;
    this.features = parts.features;
    this.rowOffsets = parts.rowOffsets;
    this.rowStocks = parts.rowStocks;
    this.labels = parts.labels;
    this.targets = parts.targets;
    this.graph = recipe.graph;
    this.groups = parts.groups;
    this.edges = panel.edges;
    this.train = new DatasetSplit("train", this, plan.train);
    this.valid = new DatasetSplit("valid", this, plan.valid);
    this.test = new DatasetSplit("test", this, plan.test);
    this.unlabelled = new DatasetSplit("unlabelled", this, plan.unlabelled);
    this.ledger = parts.ledger;
    this.fingerprint = panel.fingerprint;
    this.origin = panel.origin;
    this.#recipe = recipe;
    this.#processors = parts.processors;
    const { features, window, label, split, embargo, processors, labelTransform, graph, maxDropped, maxMissingDates } = recipe;
    const { extremeReturns } = panel;
    this.options = Object.freeze(JSON.parse(JSON.stringify({ features, window, label, split, embargo, processors, labelTransform, graph, maxDropped, maxMissingDates, extremeReturns })) as Record<string, unknown>);
    this.splitSummary = Object.freeze({
      train: this.#summaryOf(this.train),
      valid: this.#summaryOf(this.valid),
      test: this.#summaryOf(this.test),
      unlabelled: this.#summaryOf(this.unlabelled),
      trainEnd: plan.trainEnd ?? null,
      validEnd: plan.validEnd ?? null,
      purged: plan.purged,
      embargoed: plan.embargoed,
    });
  }

  describe(): DatasetDescription {
    const { features, window, label, labelTransform, graph, maxDropped, maxMissingDates } = this.#recipe;
    return JSON.parse(JSON.stringify({ featureNames: this.featureNames, features, window, processors: this.#processors, graph, label, labelTransform, maxDropped, maxMissingDates })) as DatasetDescription;
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
    const B = this.dateIndices.length;
    return { data, shape: L === 1 ? [B, N] : [B, N, L], dates: this.dates, tickers, horizonDays, lagDays, column };
  }
}
