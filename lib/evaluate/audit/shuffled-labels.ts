import { releaseNativePanels } from "../../data/native-panel.js";
import type { Dataset, LabelValues, Split } from "../../data/types.js";
import { below, randomBits } from "../../metrics/random.js";
import type { Finding } from "./finding.js";
import { LEAST_T, retrainedT, SEEDS } from "./retraining.js";
import type { AuditSubject } from "./subject.js";

/**
 * Trains the run's model for one epoch on labels that are shuffled among the stocks of each date, in every split, with three seeds: nothing can be learned, so a
 * test IC that is not 0 says that training or scoring sees the labels.
 */
export async function shuffledLabels({ dataset, run }: AuditSubject, signal: AbortSignal | undefined): Promise<Finding[]> {
  if (run === undefined) return [];
  let worst = 0;
  for (const seed of SEEDS) {
    const shuffled = withShuffledLabels(dataset, seed);
    try {
      const t = await retrainedT(run, shuffled, seed, signal);
      if (Math.abs(t) > Math.abs(worst)) worst = t;
    } finally {
      shuffled.dispose();
    }
  }
  if (!(Math.abs(worst) > LEAST_T)) return [];
  return [
    {
      code: "shuffled_labels",
      severity: "fail",
      text: `Trained on labels shuffled within each date, the model has a test IC with a t of ${worst.toFixed(1)}: training or scoring sees the labels.`,
      value: Math.abs(worst),
      threshold: LEAST_T,
      next: "Believe no number of this pipeline, and report it with the version and the options.",
    },
  ];
}

/** The dataset with labels and targets dealt anew among the labelled rows of each date, alike for all horizons. */
function withShuffledLabels(dataset: Dataset, seed: number): Dataset {
  const random = randomBits(seed, 2);
  const [N, L] = [dataset.tickers.length, dataset.horizons.length];
  const [labels, targets] = [dataset.labels.slice(), dataset.targets.slice()];
  const { rowOffsets, rowStocks } = dataset;
  for (let t = 0; t < dataset.dates.length; t++) {
    const cells = Array.from(rowStocks.subarray(rowOffsets[t], rowOffsets[t + 1]), (n) => (t * N + n) * L).filter((at) => !labels.subarray(at, at + L).includes(NaN));
    for (let i = cells.length - 1; i > 0; i--) {
      const [a, b] = [cells[i]!, cells[below(random, i + 1)]!];
      for (let l = 0; l < L; l++) for (const values of [labels, targets]) [values[a + l], values[b + l]] = [values[b + l]!, values[a + l]!];
    }
  }
  const split = (name: Split["name"]): Split => {
    const { dates, dateIndices, labels: own } = dataset[name];
    const data = own.data.slice();
    dateIndices.forEach((t, i) => {
      for (let r = rowOffsets[t]!; r < rowOffsets[t + 1]!; r++) for (let l = 0; l < L; l++) data[(i * N + rowStocks[r]!) * L + l] = labels[(t * N + rowStocks[r]!) * L + l]!;
    });
    const shuffledLabels: LabelValues = { ...own, data };
    return { name, dates, dateIndices, labels: shuffledLabels, get dataset() { return shuffled; } };
  };
  const parts = { train: split("train"), valid: split("valid"), test: split("test"), unlabelled: split("unlabelled") };
  const own = new Map<PropertyKey, unknown>(Object.entries({ ...parts, labels, targets, features: dataset.features }));
  own.set("dispose", () => releaseNativePanels(shuffled)).set("disposed", false);
  const bound = (value: unknown): unknown => (typeof value === "function" ? (value as () => unknown).bind(dataset) : value);
  const shuffled: Dataset = new Proxy(dataset, { get: (_, name) => (own.has(name) ? own.get(name) : bound(Reflect.get(dataset, name, dataset))) });
  return shuffled;
}
