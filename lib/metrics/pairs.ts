import { ranksByOrder, RankSorter } from "../data/ranks.js";
import type { PanelValues } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { checkAligned, checkPanelValues, widthOf } from "./aligned.js";
import { rankCorrelation } from "./paired-stocks.js";
import { mean, pearson, summary } from "./statistics.js";

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

/**
 * The metrics of predictions [dates, stocks] or [dates, stocks, P] and raw returns [dates, stocks] or [dates, stocks, L] for (prediction, horizon)
 * pairs: a date's value is the mean over the pairs that are defined on it. NaN takes a stock out of its date.
 *
 * @throws AstgnnError ERR_SHAPE where shapes, dates or tickers differ, ERR_DATA for an infinite value
 */
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
  const date = new DatePairs(stocks);
  let rows = 0;
  for (let t = 0; t < dates; t++) {
    const day = pairs.map(([p, l]) => date.metrics(predictions, labels, targets, t, p, l)).filter((pair) => pair !== undefined);
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

/**
 * The (prediction, horizon) pairs that are meant where both, one or none is named: P = 1 goes with horizon 0, P = L pairs by index.
 *
 * @throws AstgnnError ERR_OPTION where they must be named
 */
export function pairsOf(width: number, horizons: number, { prediction, horizon }: { prediction?: number | undefined; horizon?: number | undefined }): [number, number][] {
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

/** Buffers for one date, used again for the next. */
class DatePairs {
  readonly #scores: Float64Array;
  readonly #returns: Float64Array;
  readonly #scoreRanks: Float64Array;
  readonly #returnRanks: Float64Array;
  readonly #sorter: RankSorter;

  constructor(stocks: number) {
    this.#scores = new Float64Array(stocks);
    this.#returns = new Float64Array(stocks);
    this.#scoreRanks = new Float64Array(stocks);
    this.#returnRanks = new Float64Array(stocks);
    this.#sorter = new RankSorter(stocks);
  }

  /** One date and one pair of indices; undefined where the date does not count. */
  metrics(predictions: PanelValues, labels: PanelValues, targets: PanelValues | undefined, t: number, p: number, l: number): DateMetrics | undefined {
    const [stocks, width, horizons] = [predictions.tickers.length, widthOf(predictions), widthOf(labels)];
    const [x, y] = [this.#scores, this.#returns];
    let rows = 0;
    let errors = 0;
    let squares = 0;
    let isConstant = true;
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
      if (rows > 0 && label !== y[0]) isConstant = false;
      x[rows] = prediction;
      y[rows++] = label;
      const target = targets?.data[(t * stocks + n) * horizons + l] ?? NaN;
      if (Number.isNaN(target)) continue;
      errors += (prediction - target) ** 2;
      squares++;
    }
    if (rows < 2 || isConstant) return undefined;
    const scoreMedian = this.#rank(x, rows, this.#scoreRanks);
    const returnMedian = this.#rank(y, rows, this.#returnRanks);
    return {
      ic: pearson(x, y, rows),
      rankIc: rankCorrelation(this.#scoreRanks, this.#returnRanks, rows),
      hitRate: hitRate(x, scoreMedian, y, returnMedian, rows),
      mse: errors / squares,
      rows,
    };
  }

  /** Writes average-tie ranks and returns the median. */
  #rank(values: Float64Array, count: number, ranks: Float64Array): number {
    const order = this.#sorter.order(values, count);
    ranksByOrder(values, order, count, ranks);
    const half = count >> 1;
    return count % 2 === 1 ? values[order[half]!]! : (values[order[half - 1]!]! + values[order[half]!]!) / 2;
  }
}

function hitRate(scores: Float64Array, scoreMedian: number, returns: Float64Array, returnMedian: number, count: number): number {
  let hits = 0;
  let sides = 0;
  for (let i = 0; i < count; i++) {
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
