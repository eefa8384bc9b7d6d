import type { NativeModule, NativeTerm } from "../binding/types.js";
import type { Dataset, PanelValues } from "../data/types.js";
import { averagePredictions } from "../metrics/average-predictions.js";
import { evaluatePairs } from "../metrics/evaluate.js";
import { summary } from "../metrics/statistics.js";
import { averageStatistics, predictPacked, type DateSelection } from "../model/predict.js";
import { breathe } from "./breathe.js";
import type { SplitMetrics } from "./events.js";

/** Scores packed over the rows of the dates asked for, in their order. */
export interface PackedScores {
  /** [rows, P] */
  predictions: Float32Array | Float64Array;
  /** [rows, K] */
  riskFactors?: Float32Array | Float64Array;
  /** [dates, 3] */
  statistics: Float64Array;
  /** [dates, terms] of the objective; empty without one. */
  terms: Float64Array;
}

/** How to score a selection of dates. */
export interface ScoreRequest {
  riskFactors: boolean;
  threads: number;
  objective?: NativeTerm[];
  signal?: AbortSignal | undefined;
}

/** A model or an ensemble, as far as scoring goes. */
export type Scorer = (selection: DateSelection, request: ScoreRequest) => Promise<PackedScores>;

/** Scores with one module. */
export function moduleScorer(module: NativeModule): Scorer {
  return (selection, request) => predictPacked(module, selection, request);
}

/** Scores with several members: the mean of per-date z-scores; graph statistics are means over members; no factors, no terms. */
export function ensembleScorer(members: readonly NativeModule[]): Scorer {
  return async (selection, request) => {
    const parts: PackedScores[] = [];
    for (const member of members) parts.push(await predictPacked(member, selection, { threads: request.threads, signal: request.signal, riskFactors: false }));
    const predictions = new Float64Array(parts[0]!.predictions.length);
    let row = 0;
    for (const [t, rows] of rowCounts(selection).entries()) {
      const width = rows === 0 ? 0 : partWidth(parts[0]!, selection);
      const panels = parts.map((part) => datePanel(selection, t, part.predictions.subarray(row * width, (row + rows) * width), width));
      if (rows > 0) predictions.set(averagePredictions(panels).data, row * width);
      row += rows;
      await breathe();
    }
    const statistics = parts[0]!.statistics.map((_, i) => parts.reduce((sum, part) => sum + part.statistics[i]!, 0) / parts.length);
    return { predictions, statistics, terms: new Float64Array(0) };
  };
}

/**
 * The metrics of packed scores, date by date with pauses, so that the event loop stays free.
 *
 * @param pairs the (prediction, horizon) pairs that metrics are means of
 */
export async function splitMetrics(
  selection: DateSelection, scores: PackedScores, pairs: readonly (readonly [number, number])[], objective: readonly NativeTerm[], labels: readonly string[],
): Promise<SplitMetrics> {
  const { dataset, dates } = selection;
  const daily = { ic: [] as number[], rankIc: [] as number[], hitRate: [] as number[], mse: [] as number[] };
  let rowsThatCount = 0;
  let row = 0;
  const hasTerms = scores.terms.length > 0;
  const width = partWidth(scores, selection);
  for (const [t, rows] of rowCounts(selection).entries()) {
    if (rows === 0) continue;
    const predictions = datePanel(selection, t, scores.predictions.subarray(row * width, (row + rows) * width), width);
    const returns = rowPanel(selection, t, dataset.labels);
    const metrics = evaluatePairs(predictions, returns, pairs, hasTerms ? rowPanel(selection, t, dataset.targets) : undefined);
    if (metrics.dates > 0) {
      daily.ic.push(metrics.ic);
      daily.rankIc.push(metrics.rankIc);
      daily.hitRate.push(metrics.hitRate);
      daily.mse.push(metrics.mse ?? NaN);
      rowsThatCount += metrics.rows;
    }
    row += rows;
    await breathe();
  }
  const [ic, rankIc] = [summary(daily.ic), summary(daily.rankIc)];
  const terms = objective.map((_, i) => meanOf(Array.from(dates, (_date, t) => scores.terms[t * objective.length + i] ?? NaN)));
  return {
    ic: ic.mean,
    icir: ic.mean / ic.deviation,
    rankIc: rankIc.mean,
    rankIcir: rankIc.mean / rankIc.deviation,
    hitRate: meanOf(daily.hitRate),
    mse: hasTerms ? meanOf(daily.mse) : null,
    loss: weightedTotal(objective, terms),
    terms: Object.fromEntries(labels.map((label, i) => [label, terms[i]!])),
    dates: daily.ic.length,
    rows: rowsThatCount,
    ...averageStatistics(scores.statistics),
  };
}

/** Rows per date of a selection. */
function rowCounts({ dataset, dates }: DateSelection): number[] {
  return Array.from(dates, (t) => dataset.rowOffsets[t + 1]! - dataset.rowOffsets[t]!);
}

/** P: values per row. */
function partWidth(scores: PackedScores, selection: DateSelection): number {
  const rows = rowCounts(selection).reduce((sum, count) => sum + count, 0);
  return rows === 0 ? 1 : scores.predictions.length / rows;
}

/** One date's rows as a panel of their own: no NaN, nobody who is not in. */
function datePanel({ dataset, dates }: DateSelection, t: number, data: Float32Array | Float64Array, width: number): PanelValues {
  const tickers = tickersOf(dataset, dates[t]!);
  return { data, shape: width === 1 ? [1, tickers.length] : [1, tickers.length, width], dates: [dataset.dates[dates[t]!]!], tickers };
}

/** One date's rows of a [dates, stocks, L] array of the dataset. */
function rowPanel(selection: DateSelection, t: number, values: Float32Array): PanelValues {
  const { dataset, dates } = selection;
  const horizons = dataset.horizons.length;
  const [begin, end] = [dataset.rowOffsets[dates[t]!]!, dataset.rowOffsets[dates[t]! + 1]!];
  const data = new Float32Array((end - begin) * horizons);
  for (let r = begin; r < end; r++) {
    const at = (dates[t]! * dataset.tickers.length + dataset.rowStocks[r]!) * horizons;
    for (let h = 0; h < horizons; h++) data[(r - begin) * horizons + h] = values[at + h]!;
  }
  return datePanel(selection, t, data, horizons);
}

function tickersOf(dataset: Dataset, date: number): string[] {
  return Array.from(dataset.rowStocks.subarray(dataset.rowOffsets[date]!, dataset.rowOffsets[date + 1]!), (stock) => dataset.tickers[stock]!);
}

/** Mean of what is a number; NaN where nothing is. */
function meanOf(values: readonly number[]): number {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    sum += value;
    count++;
  }
  return sum / count;
}

/** A term that was defined nowhere is left out; NaN where every term is. */
function weightedTotal(objective: readonly NativeTerm[], terms: readonly number[]): number {
  const defined = objective.flatMap(({ weight }, i) => (Number.isNaN(terms[i]!) ? [] : [weight * terms[i]!]));
  return defined.length === 0 ? NaN : defined.reduce((sum, value) => sum + value, 0);
}
