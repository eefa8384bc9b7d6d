import type { ModelConfig } from "../model/config.js";
import { allowedCounts, MORE_PEER_ADVICE, namesHubs, PEER_ADVICE } from "../model/peers.js";
import type { DateSelection, PeerStatistics, SimilarityStatistics } from "../model/predict.js";
import type { TrainMetrics, WarningEvent } from "../run/records.js";
import type { TrainingPlan } from "./plan.js";

/** Below this peer correlation A is taken to know nothing: on NASDAQ prices industries reach .24, the co-movement term .3 and more after one epoch. */
const KNOWS_NOTHING = 0.1;
/** Who belongs together is known, but the weights hardly show it. */
const FLAT_ADVICE = 'A knows who belongs together but its weights hardly show it: similarityScale "learned" sharpens them from epoch to epoch, a larger number at once.';

/**
 * Warnings after the first epoch: A is close to the plain average or to the identity, knows nothing or names the same stocks to everybody, or
 * steps changed nothing.
 *
 * @param selection the dates that `graph` is about
 */
export function firstEpochWarnings(
  config: ModelConfig, selection: DateSelection, train: TrainMetrics, graph: SimilarityStatistics & PeerStatistics, { objective, peerDays }: Pick<TrainingPlan, "objective" | "peerDays">,
): Omit<WarningEvent, "seed">[] {
  const warnings: Omit<WarningEvent, "seed">[] = [];
  const allowed = meanAllowed(config, selection);
  const { effectiveNeighbours, selfWeight, peerCorrelation, largestHub, hubSkewness } = graph;
  const found = `A has ${effectiveNeighbours.toFixed(1)} effective neighbours of ${allowed.toFixed(1)} allowed, self weight ${selfWeight.toFixed(4)}${Number.isNaN(peerCorrelation) ? "" : `, peer correlation ${peerCorrelation.toFixed(3)}`}`;
  // With fewer than two allowed stocks per row there is nothing to choose between.
  if (allowed >= 2) {
    const symptoms: [reason: string, text: string][] = [];
    if (effectiveNeighbours > 0.9 * allowed) symptoms.push(["graph_is_average", `${found}: the graph is close to the plain average of the date.`]);
    if (peerCorrelation < KNOWS_NOTHING) {
      symptoms.push(["graph_without_peers", `A's neighbours of a stock hardly move with it: over the next ${peerDays} days the peer correlation is ${peerCorrelation.toFixed(3)}, where 0 means that A knows nothing.`]);
    }
    if (namesHubs(largestHub, hubSkewness, allowed)) {
      symptoms.push(["graph_has_hubs", `A names the same few to everybody: one stock is among the 20 most similar of ${largestHub.toFixed(0)} of ${allowed.toFixed(0)} stocks (skewness ${hubSkewness.toFixed(1)}).`]);
    }
    const advice = peerCorrelation >= KNOWS_NOTHING && symptoms.every(([reason]) => reason === "graph_is_average") ? FLAT_ADVICE
      : objective.some(({ name }) => name === "coMovement") ? MORE_PEER_ADVICE : PEER_ADVICE;
    if (symptoms.length > 0) warnings.push({ reason: symptoms[0]![0], text: [...symptoms.map(([, text]) => text), advice].join(" ") });
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
  let sum = 0;
  let count = 0;
  for (const t of dates) {
    const some = allowedCounts(config, dataset, t).filter((allowed) => allowed > 0);
    if (some.length === 0) continue;
    sum += some.reduce((total, allowed) => total + allowed, 0) / some.length;
    count++;
  }
  return sum / count;
}
