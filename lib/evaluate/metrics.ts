import { averageTieRanks } from "../data/ranks.js";
import type { PanelValues } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { checkAligned, checkPanelValues, widthOf } from "./aligned.js";

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
  targets?: PanelValues;
  /** Which prediction, from 0 to P - 1. Default: all, where P is 1 or L. */
  prediction?: number;
  /** Which label horizon, from 0 to L - 1. Default: 0 for P = 1, else that of the prediction's own index. */
  horizon?: number;
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
  const [dates, stocks] = predictions.shape as [number, number];
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

/** The mean of daily differences between two evaluations, and how sure it is. */
export interface PairedDifference {
  /** Mean over dates of a's value minus b's. */
  readonly mean: number;
  /** Sample standard deviation of the daily differences over the square root of their number. */
  readonly standardError: number;
  /** `mean` over `standardError`. */
  readonly t: number;
  readonly dates: number;
}

/**
 * Compares two models date by date: what both find hard on a day cancels, so the difference is known better than either IC.
 *
 * @example
 * pairedDifference(withGraph, withoutGraph).t;
 * @throws AstgnnError ERR_SHAPE where the dates that count differ
 */
export function pairedDifference(a: Pick<Metrics, "daily">, b: Pick<Metrics, "daily">, metric: "ic" | "rankIc" = "ic"): PairedDifference {
  if (metric !== "ic" && metric !== "rankIc") throw invalidOption("metric", '"ic" or "rankIc"', metric);
  const at = a.daily.dates.findIndex((date, i) => date !== b.daily.dates[i]);
  if (at >= 0 || a.daily.dates.length !== b.daily.dates.length) {
    throw new AstgnnError("ERR_SHAPE", `The two evaluations count different dates (${a.daily.dates.length} and ${b.daily.dates.length}).`, {
      next: "Evaluate both on the same split.",
    });
  }
  const difference = summary(a.daily[metric].map((value, i) => value - b.daily[metric][i]!));
  return {
    mean: difference.mean,
    standardError: difference.standardError,
    t: difference.mean / difference.standardError,
    dates: a.daily.dates.length,
  };
}

/** Mean, sample standard deviation (ddof 1) and standard error of the mean. NaN where there are too few values. */
export function summary(values: readonly number[]): { mean: number; deviation: number; standardError: number } {
  const centre = mean(values);
  const deviation =
    values.length < 2 ? NaN : Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
  return { mean: centre, deviation, standardError: deviation / Math.sqrt(values.length) };
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

/** Pearson correlation; 0 where either side is constant. */
function pearson(a: Float64Array, b: Float64Array): number {
  // A mean of equal numbers need not equal them, so constancy is decided before rounding can hide it.
  if (isConstant(a) || isConstant(b)) return 0;
  const [meanA, meanB] = [mean(a), mean(b)];
  let product = 0;
  let squareA = 0;
  let squareB = 0;
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]! - meanA, b[i]! - meanB];
    product += x * y;
    squareA += x * x;
    squareB += y * y;
  }
  const norm = Math.sqrt(squareA) * Math.sqrt(squareB);
  return norm > 0 ? product / norm : 0;
}

function isConstant(values: Float64Array): boolean {
  return values.every((value) => value === values[0]);
}

function median(values: Float64Array): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

function mean(values: readonly number[] | Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

function defined(value: number): number[] {
  return Number.isNaN(value) ? [] : [value];
}
