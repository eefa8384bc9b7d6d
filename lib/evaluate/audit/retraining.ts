import type { Dataset } from "../../data/types.js";
import { widthOf } from "../../metrics/aligned.js";
import { testMean } from "../../metrics/hac.js";
import { evaluatePairs } from "../../metrics/pairs.js";
import { ASTGNNFactorModel } from "../../model/model.js";
import type { TrainOptions } from "../../train/options.js";
import { train } from "../../train/train.js";
import { storedPairs } from "../trials.js";
import { judgedSplit, labelSpan, type AuditedRun } from "./subject.js";

/** Trainings per question: one may have luck. */
export const SEEDS = [0, 1, 2];
/** Newey-West t of a test IC from which on it is no chance. */
export const LEAST_T = 4;

/** Trains the run's model anew for one epoch on other data, and returns the Newey-West t of its test IC there. */
export async function retrainedT({ description }: AuditedRun, dataset: Dataset, seed: number, signal: AbortSignal | undefined): Promise<number> {
  const { config, training } = description;
  using model = new ASTGNNFactorModel({ ...config, seed, device: "cpu" });
  await train(model, dataset, { ...(training as unknown as TrainOptions), epochs: 1, schedule: "constant", patience: 0, monitor: "ic", seed, onWarning: () => {}, signal });
  const split = judgedSplit(dataset);
  const { predictions } = await model.predict(split, { signal });
  const pairs = storedPairs(training as Parameters<typeof storedPairs>[0], widthOf(predictions), widthOf(split.labels));
  return testMean(evaluatePairs(predictions, split.labels, pairs).daily.ic, { horizonDays: Math.max(1, labelSpan(dataset)) }).t;
}
