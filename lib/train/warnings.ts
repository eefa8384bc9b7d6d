import type { ModelConfig } from "../model/config.js";
import type { DateSelection, SimilarityStatistics } from "../model/predict.js";
import type { TrainMetrics, WarningEvent } from "../run/records.js";

/**
 * Warnings after the first epoch: A is close to the plain average or to the identity, or steps changed nothing.
 *
 * @param selection the dates that `similarity` is about
 */
export function firstEpochWarnings(config: ModelConfig, selection: DateSelection, train: TrainMetrics, similarity: SimilarityStatistics): Omit<WarningEvent, "seed">[] {
  const warnings: Omit<WarningEvent, "seed">[] = [];
  const allowed = meanAllowed(config, selection);
  const { effectiveNeighbours, selfWeight } = similarity;
  const found = `A has ${effectiveNeighbours.toFixed(1)} effective neighbours of ${allowed.toFixed(1)} allowed, self weight ${selfWeight.toFixed(4)}`;
  // With fewer than two allowed stocks per row there is nothing to choose between.
  if (allowed >= 2 && effectiveNeighbours > 0.9 * allowed) {
    warnings.push({
      reason: "graph_is_average",
      text: `${found}: the graph is close to the plain average of the date. Try similarityScale, topK, similarityGraph "groups" or a risk term in the loss.`,
    });
  }
  if (allowed >= 2 && effectiveNeighbours < 1.5) {
    warnings.push({ reason: "graph_is_identity", text: `${found}: almost every stock looks at one stock only. Try a smaller similarityScale or excludeSelf.` });
  }
  if (train.emptySteps > 0) {
    warnings.push({
      reason: "empty_steps",
      text: `In ${train.emptySteps} of ${train.steps} steps no term of the loss was defined, so they changed nothing. Look at undefinedDates of each term; risk and vif need K + 2 stocks on a date.`,
    });
  }
  return warnings;
}

/** Mean number of stocks that a row of A may link to, over rows with a neighbour, then over dates; topK is ignored. */
export function meanAllowed(config: ModelConfig, { dataset, dates }: DateSelection): number {
  const own = config.excludeSelf ? 1 : 0;
  let sum = 0;
  let count = 0;
  for (const t of dates) {
    const [begin, end] = [dataset.rowOffsets[t]!, dataset.rowOffsets[t + 1]!];
    const allowed = config.similarityGraph === "groups" ? groupSizes(dataset.groups!.subarray(begin, end)) : new Array<number>(end - begin).fill(end - begin);
    const some = allowed.map((size) => size - own).filter((size) => size > 0);
    if (some.length === 0) continue;
    sum += some.reduce((total, size) => total + size, 0) / some.length;
    count++;
  }
  return sum / count;
}

function groupSizes(groups: Int32Array): number[] {
  const sizes = new Map<number, number>();
  for (const group of groups) sizes.set(group, (sizes.get(group) ?? 0) + 1);
  return Array.from(groups, (group) => sizes.get(group)!);
}
