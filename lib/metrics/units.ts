import type { LabelValues, PanelValues } from "../data/types.js";
import { averagePredictions } from "./average-predictions.js";
import { PairedStocks } from "./paired-stocks.js";
import { evaluatePairs } from "./pairs.js";
import { planeOf } from "./plane.js";
import { rankDates } from "./ranked-dates.js";
import { mean } from "./statistics.js";
import { study, type Evaluation, type ExposuresFor, type StudyOptions } from "./study.js";

/** Numbers of {@link Evaluation} that tell one factor unit from another. */
const OF_UNIT = ["horizonDays", "ic", "icT", "icir", "rankIc", "rankIcir", "turnover", "netSharpe", "breakEvenBps", "autocorrelation", "exposures", "neutral"] as const;

type UnitEvaluation = Pick<Evaluation, (typeof OF_UNIT)[number]>;

/** One of the predictions of a model with several. */
export interface FactorUnit extends UnitEvaluation {
  /** Index of the prediction, and of the label horizon that it is held against. */
  readonly prediction: number;
  readonly horizon: number;
}

/** What each of several predictions is worth, and how alike they are. */
export interface FactorUnits {
  readonly units: readonly FactorUnit[];
  /** [units][units]: mean over dates of the Spearman correlation of two predictions, 0 on a date where one is constant; 1 on the diagonal. */
  readonly correlation: readonly (readonly number[])[];
  /** The mean of the units' z-scores per date, against the horizon that they share; null where they are held against several. */
  readonly together: UnitEvaluation | null;
}

/** Studies every (prediction, horizon) pair by itself; null for a single one. */
export function factorUnits(
  predictions: PanelValues, labels: PanelValues & Partial<LabelValues>, pairs: readonly (readonly [number, number])[], options: StudyOptions, known?: ExposuresFor,
): FactorUnits | null {
  if (pairs.length < 2) return null;
  const [dates, stocks] = predictions.shape;
  const single = pairs.map(([p]): PanelValues => ({ ...predictions, data: planeOf(predictions, p), shape: [dates, stocks] }));
  const numbers = (values: PanelValues, horizon: number): UnitEvaluation => {
    const whole = study(values, labels, [[0, horizon]], evaluatePairs(values, labels, [[0, horizon]]), { ...options, trials: undefined, bootstrapDraws: 1 }, known);
    return Object.fromEntries(OF_UNIT.map((name) => [name, whole[name]])) as unknown as UnitEvaluation;
  };
  const horizon = pairs[0]![1];
  return {
    units: pairs.map(([p, h], k) => ({ prediction: p, horizon: h, ...numbers(single[k]!, h) })),
    correlation: correlations(single),
    together: pairs.every(([, h]) => h === horizon) ? numbers(averagePredictions(single), horizon) : null,
  };
}

function correlations(units: readonly PanelValues[]): number[][] {
  const [dates, stocks] = units[0]!.shape;
  const pairs = new PairedStocks(stocks);
  const ranked = units.map(({ data }) => rankDates(data, dates, stocks));
  const between = (a: number, b: number): number => {
    const days: number[] = [];
    for (let t = 0; t < dates; t++) {
      if (pairs.load(ranked[a]!, t, units[b]!.data)) days.push(pairs.rankIc());
      else if (pairs.count > 1) days.push(0);
    }
    return mean(days);
  };
  const found = units.map(() => new Array<number>(units.length).fill(1));
  for (let a = 0; a < units.length; a++) for (let b = 0; b < a; b++) found[a]![b] = found[b]![a] = between(a, b);
  return found;
}
