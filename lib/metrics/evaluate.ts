import { averageTieRanks } from "../data/ranks.js";
import type { PanelValues } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { checkAligned, checkPanelValues, widthOf } from "./aligned.js";
import { isConstant, mean, median, pearson, summary } from "./statistics.js";

/** How well predictions order returns: per date first, then the mean over the dates that count. NaN where no date counts. */
export interface Metrics {
  /** Mean daily Pearson correlation of prediction and label. */
  readonly ic: number;
  /** `ic` over the sample standard deviation (ddof 1) of the daily values: per day, not annualised. */
  readonly icir: number;
  /** Mean daily Spearman correlation, ties averaged. */
  readonly rankIc: number;
  readonly rankIcir: number;
  /** Share of stocks on the same side of the date's median in prediction and label; those on a median are left out. */
  readonly hitRate: number;
  /** Mean squared error against the targets; null unless they are given. */
  readonly mse: number | null;
  /** Dates that count: from two stocks on whose labels are not all equal. */
  readonly dates: number;
  /** (date, stock) pairs with prediction and label on those dates. */
  readonly rows: number;
  /** Standard error of `ic`, taking dates as independent: too small where labels of neighbouring dates overlap. */
  readonly icStandardError: number;
  readonly rankIcStandardError: number;
  /** One entry per date that counts. */
  readonly daily: { readonly dates: readonly string[]; readonly ic: readonly number[]; readonly rankIc: readonly number[] };
}

/** What else `evaluate` can be told. */
export interface EvaluateOptions {
  /** What the loss saw (labels after `labelTransform`), shaped like the labels: gives `mse`. Default none. */
  targets?: PanelValues | undefined;
  /** Which prediction, from 0 to P - 1. Default: all, where P is 1 or L. */
  prediction?: number | undefined;
  /** Which label horizon, from 0 to L - 1. Default: 0 for P = 1, else that of the prediction's own index. */
  horizon?: number | undefined;
}

/**
 * Compares predictions [dates, stocks] or [dates, stocks, P] with raw returns [dates, stocks] or [dates, stocks, L]. NaN takes a stock out
 * of its date. P = 1 is paired with horizon 0; P = L gives each date the mean over p of the pairs (p, p); any other P must name both indices.
 * Constant predictions have ic and rankIc 0 and their date counts.
 *
 * @example
 * const { predictions } = await model.predict(dataset.test);
 * evaluate(predictions, dataset.test.labels).ic;
 * @throws AstgnnError ERR_SHAPE where shapes, dates or tickers differ, ERR_OPTION for the indices, ERR_DATA for an infinite value or without any date
 */
export function evaluate(predictions: PanelValues, labels: PanelValues, options: EvaluateOptions = {}): Metrics {
  checkPanelValues(predictions, "predictions");
  checkPanelValues(labels, "labels");
  if (predictions.dates.length === 0 && labels.dates.length === 0) {
    throw new AstgnnError("ERR_DATA", "There are no dates to evaluate.", {
      next: "Pass the predictions and labels of a split that has dates: a dataset from a description has train, valid and test only where a split is given with it.",
    });
  }
  return evaluatePairs(predictions, labels, pairsOf(widthOf(predictions), widthOf(labels), options), options.targets);
}

/** As {@link evaluate}, with the (prediction, horizon) pairs written out: a date's value is the mean over the pairs that are defined on it. */
export function evaluatePairs(predictions: PanelValues, labels: PanelValues, pairs: readonly (readonly [number, number])[], targets?: PanelValues): Metrics {
  checkPanelValues(predictions, "predictions");
  checkPanelValues(labels, "labels");
  checkAligned(predictions, "predictions", labels, "labels");
  if (targets !== undefined) {
    checkPanelValues(targets, "targets");
    checkAligned(predictions, "predictions", targets, "targets");
    if (widthOf(targets) !== widthOf(labels)) {
      throw new AstgnnError("ERR_SHAPE", `targets has ${widthOf(targets)} horizons but labels has ${widthOf(labels)}.`);
    }
  }
  const [dates, stocks] = predictions.shape;
  const daily = { dates: [] as string[], ic: [] as number[], rankIc: [] as number[] };
  const hitRates: number[] = [];
  const squares: number[] = [];
  let rows = 0;
  for (let t = 0; t < dates; t++) {
    const day = pairs.map(([p, l]) => dateMetrics(predictions, labels, targets, t, stocks, p, l)).filter((pair) => pair !== undefined);
    if (day.length === 0) continue;
    daily.dates.push(predictions.dates[t]!);
    daily.ic.push(mean(day.map((pair) => pair.ic)));
    daily.rankIc.push(mean(day.map((pair) => pair.rankIc)));
    rows += Math.max(...day.map((pair) => pair.rows));
    hitRates.push(...defined(mean(day.flatMap((pair) => defined(pair.hitRate)))));
    squares.push(...defined(mean(day.flatMap((pair) => defined(pair.mse)))));
  }
  const ic = summary(daily.ic);
  const rankIc = summary(daily.rankIc);
  return {
    ic: ic.mean,
    icir: ic.mean / ic.deviation,
    rankIc: rankIc.mean,
    rankIcir: rankIc.mean / rankIc.deviation,
    hitRate: mean(hitRates),
    mse: targets === undefined ? null : mean(squares),
    dates: daily.dates.length,
    rows,
    icStandardError: ic.standardError,
    rankIcStandardError: rankIc.standardError,
    daily,
  };
}

function pairsOf(width: number, horizons: number, { prediction, horizon }: EvaluateOptions): [number, number][] {
  for (const [name, value, limit] of [["prediction", prediction, width], ["horizon", horizon, horizons]] as const) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 0 && value < limit)) {
      throw invalidOption(name, `a whole number from 0 to ${limit - 1}`, value);
    }
  }
  if (prediction !== undefined && horizon !== undefined) return [[prediction, horizon]];
  if (width === 1) return [[0, horizon ?? 0]];
  if (width === horizons && horizon === undefined) {
    return prediction === undefined ? Array.from({ length: width }, (_, p): [number, number] => [p, p]) : [[prediction, prediction]];
  }
  throw new AstgnnError("ERR_OPTION", `Cannot pair ${width} predictions with ${horizons} label horizon${horizons === 1 ? "" : "s"} by themselves.`, {
    next: "Name both indices: { prediction: 0, horizon: 0 }.",
  });
}

interface DateMetrics {
  ic: number;
  rankIc: number;
  /** NaN where every stock is on a median. */
  hitRate: number;
  /** NaN without targets. */
  mse: number;
  rows: number;
}

/** One date and one pair of indices; undefined where the date does not count. */
function dateMetrics(
  predictions: PanelValues, labels: PanelValues, targets: PanelValues | undefined, t: number, stocks: number, p: number, l: number,
): DateMetrics | undefined {
  const [width, horizons] = [widthOf(predictions), widthOf(labels)];
  const x = new Float64Array(stocks);
  const y = new Float64Array(stocks);
  let rows = 0;
  let errors = 0;
  let squares = 0;
  for (let n = 0; n < stocks; n++) {
    const prediction = predictions.data[(t * stocks + n) * width + p]!;
    const label = labels.data[(t * stocks + n) * horizons + l]!;
    if (Number.isNaN(prediction) || Number.isNaN(label)) continue;
    if (!Number.isFinite(prediction) || !Number.isFinite(label)) {
      const date = predictions.dates[t]!;
      throw new AstgnnError("ERR_DATA", `An infinite ${Number.isFinite(prediction) ? "label" : "prediction"} for ${predictions.tickers[n]} on ${date}.`, {
        date,
        next: "Remove it or set it to NaN.",
      });
    }
    x[rows] = prediction;
    y[rows++] = label;
    const target = targets?.data[(t * stocks + n) * horizons + l] ?? NaN;
    if (Number.isNaN(target)) continue;
    errors += (prediction - target) ** 2;
    squares++;
  }
  const scores = x.subarray(0, rows);
  const returns = y.subarray(0, rows);
  if (rows < 2 || isConstant(returns)) return undefined;
  return {
    ic: pearson(scores, returns),
    rankIc: pearson(averageTieRanks(scores), averageTieRanks(returns)),
    hitRate: hitRate(scores, returns),
    mse: errors / squares,
    rows,
  };
}

function hitRate(scores: Float64Array, returns: Float64Array): number {
  const scoreMedian = median(scores);
  const returnMedian = median(returns);
  let hits = 0;
  let sides = 0;
  for (let i = 0; i < scores.length; i++) {
    const product = Math.sign(scores[i]! - scoreMedian) * Math.sign(returns[i]! - returnMedian);
    if (product === 0) continue;
    sides++;
    if (product > 0) hits++;
  }
  return hits / sides;
}

function defined(value: number): number[] {
  return Number.isNaN(value) ? [] : [value];
}
