import type { StoredProcessor } from "../../data/types.js";
import type { Finding } from "./finding.js";
import { featureOptions, type AuditSubject } from "./subject.js";

/** In standard deviations: features are single precision. */
const TOLERANCE = 1e-3;

/** Statistics of `standardize` and of `fill` with a median that are not those of the training dates: fitted on others, the test among them perhaps. */
export async function processorStatistics(subject: AuditSubject): Promise<Finding[]> {
  const { panel, dataset, run } = subject;
  if (dataset.train.dates.length === 0) return [];
  const stored = run?.models[0]?.dataset ?? dataset.describe();
  const findings: Finding[] = [];
  for (const [p, processor] of stored.processors.entries()) {
    if (!("statistics" in processor) || processor.statistics === undefined) continue;
    // What the processor saw: the features after those before it.
    using before = await panel.dataset({ ...featureOptions(dataset.options), processors: stored.processors.slice(0, p), maxDropped: 1 });
    const worst = { name: "", far: 0, columns: [] as string[] };
    for (const name of Object.keys(processor.statistics)) {
      const values = trainingValues(subject, before.features, stored.featureNames.indexOf(name));
      const far = distance(processor, name, values);
      if (!(far > TOLERANCE)) continue;
      worst.columns.push(name);
      if (far > worst.far) Object.assign(worst, { name, far });
    }
    if (worst.columns.length === 0) continue;
    findings.push({
      code: "processor_statistics",
      severity: "fail",
      text: `Statistics of ${processor.name} are not those of the training dates, by up to ${worst.far.toPrecision(2)} standard deviations of the feature (${worst.name}).`,
      columns: worst.columns, dates: [dataset.train.dates[0]!, dataset.train.dates.at(-1)!],
      value: worst.far,
      threshold: TOLERANCE,
      next: "Fit processors on the training dates: name them without statistics, or take the description of a dataset with this split.",
    });
  }
  return findings;
}

/** The feature on the training dates for the universe, missing values left out, ascending. */
function trainingValues({ panel, dataset }: AuditSubject, features: Float32Array, f: number): Float32Array {
  const [N, F] = [panel.tickers.length, dataset.featureNames.length];
  const { dateIndices } = dataset.train;
  const [from, to] = [dateIndices[0]!, dateIndices.at(-1)!];
  const found = new Float32Array((to - from + 1) * N);
  let count = 0;
  for (let cell = from * N; cell < (to + 1) * N; cell++) {
    const value = features[cell * F + f]!;
    if (panel.universe[cell] === 1 && !Number.isNaN(value)) found[count++] = value;
  }
  return found.subarray(0, count).sort();
}

function distance(processor: StoredProcessor, name: string, values: Float32Array): number {
  let [sum, squares] = [0, 0];
  for (const value of values) sum += value;
  const mean = sum / values.length;
  for (const value of values) squares += (value - mean) ** 2;
  const sd = Math.sqrt(squares / (values.length - 1));
  const scale = sd > 0 ? sd : Math.max(1, Math.abs(mean));
  if (processor.name === "standardize") {
    const { mean: storedMean, sd: storedSd } = processor.statistics![name]!;
    return Math.max(Math.abs(storedMean - mean), Math.abs(storedSd - sd)) / scale;
  }
  if (processor.name !== "fill") return 0;
  const half = values.length >> 1;
  const median = values.length % 2 === 1 ? values[half]! : (values[half - 1]! + values[half]!) / 2;
  return Math.abs(processor.statistics![name]! - median) / scale;
}
