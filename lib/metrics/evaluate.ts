import { z } from "zod";
import type { LabelValues, PanelValues } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { requireNumbers, resolveOptions } from "../options.js";
import { checkPanelValues, refuseInfinite, widthOf } from "./aligned.js";
import type { Trial } from "./deflation.js";
import { evaluatePairs, pairsOf } from "./pairs.js";
import { statisticsShape } from "./statistics-options.js";
import { study, type Evaluation, type ExposuresFor, type GroupValues, type StudyOptions } from "./study.js";

/** What else `evaluate` can be told. */
export interface EvaluateOptions extends StudyOptions {
  /** What the loss saw (labels after `labelTransform`), shaped like the labels: gives `mse`. Default none. */
  targets?: PanelValues | undefined;
  /** Which prediction, from 0 to P - 1. Default: all, where P is 1 or L. */
  prediction?: number | undefined;
  /** Which label horizon, from 0 to L - 1. Default: 0 for P = 1, else that of the prediction's own index. */
  horizon?: number | undefined;
}

const panelValues = z.custom<PanelValues>((value) => typeof value === "object" && value !== null).optional().describe("{ data, shape, dates, tickers }");

const EvaluateSchema = z.strictObject({
  ...statisticsShape,
  targets: panelValues,
  // Their range is that of the data.
  prediction: z.unknown().optional(),
  horizon: z.unknown().optional(),
  horizonDays: z.int().min(1).optional().describe("a whole number from 1"),
  lagDays: z.int().min(0).optional().describe("a whole number from 0"),
  closes: panelValues,
  groups: z.custom<GroupValues>((value) => (value as GroupValues | undefined)?.codes instanceof Int32Array && Array.isArray((value as GroupValues).names)).optional().describe("{ codes, names }"),
  sizes: panelValues,
  exposures: z.custom<Record<string, PanelValues>>((value) => typeof value === "object" && value !== null && !Array.isArray(value)).optional().describe("an object of { data, shape, dates, tickers }"),
  trials: z.custom<Trial[]>((value) => Array.isArray(value) && value.every((trial: Partial<Trial> | null) => Array.isArray(trial?.dates) && Array.isArray(trial.ic) && trial.ic.every((ic) => typeof ic === "number") && trial.ic.length === trial.dates.length)).optional().describe("a list of { dates, ic }"),
});

/**
 * Compares predictions [dates, stocks] or [dates, stocks, P] with raw returns [dates, stocks] or [dates, stocks, L]. NaN takes a stock out
 * of its date. P = 1 is paired with horizon 0; P = L gives each date the mean over p of the pairs (p, p); any other P must name both indices.
 * Constant predictions have ic and rankIc 0 and their date counts. What needs closes, groups, sizes or exposures that are not given is null.
 *
 * @example
 * const { predictions } = await model.predict(dataset.test);
 * const { ic, icT, icInterval } = evaluate(predictions, dataset.test.labels);
 * @throws AstgnnError ERR_SHAPE where shapes, dates or tickers differ, ERR_OPTION, ERR_DATA for an infinite value or without any date
 */
export function evaluate(predictions: PanelValues, labels: PanelValues & Partial<LabelValues>, options: EvaluateOptions = {}): Evaluation {
  return evaluateKnowing(predictions, labels, options, undefined);
}

/** The same with exposures for the dates and tickers of the predictions, in place of `exposures` and of `groups` as intercepts. */
export function evaluateKnowing(predictions: PanelValues, labels: PanelValues & Partial<LabelValues>, options: EvaluateOptions, known: ExposuresFor | undefined): Evaluation {
  checkPanelValues(predictions, "predictions");
  checkPanelValues(labels, "labels");
  if (predictions.dates.length === 0 && labels.dates.length === 0) {
    throw new AstgnnError("ERR_DATA", "There are no dates to evaluate.", {
      next: "Pass the predictions and labels of a split that has dates: a dataset from a description has train, valid and test only where a split is given with it.",
    });
  }
  if (labels.lagDays !== undefined && !(Number.isInteger(labels.lagDays) && labels.lagDays >= 0)) throw invalidOption("labels.lagDays", "a whole number from 0", labels.lagDays);
  if (labels.horizonDays !== undefined) requireNumbers(labels.horizonDays, "labels.horizonDays");
  const resolved = resolveOptions(EvaluateSchema, options, "evaluate") as EvaluateOptions;
  const pairs = pairsOf(widthOf(predictions), widthOf(labels), resolved);
  const metrics = evaluatePairs(predictions, labels, pairs, resolved.targets);
  refuseInfinite(predictions, "prediction");
  return study(predictions, labels, pairs, metrics, resolved, known);
}
