import type { NativeTerm } from "../binding/types.js";
import type { PanelValues } from "../data/types.js";
import { labelExposures } from "../data/exposures.js";
import { neutralMean, type NeutralMean } from "../metrics/exposures.js";
import { NeutralDate } from "../metrics/neutral-date.js";
import { evaluatePairs } from "../metrics/pairs.js";
import { summary } from "../metrics/statistics.js";
import { averagePeers, averageStatistics, type DateSelection, type PeerStatistics, type SimilarityStatistics } from "../model/predict.js";
import { breathe } from "../run/breathe.js";
import type { SplitMetrics } from "../run/records.js";
import type { DailyIc } from "../run/report.js";
import { datePanel, partWidth, rowCounts, type PackedScores } from "../run/scoring.js";

/**
 * The metrics of packed scores, date by date with pauses, so that the event loop stays free.
 *
 * @param pairs the (prediction, horizon) pairs that metrics are means of
 */
export async function splitMetrics(
  selection: DateSelection, scores: PackedScores, pairs: readonly (readonly [number, number])[], objective: readonly NativeTerm[], labels: readonly string[],
): Promise<{ metrics: SplitMetrics; daily: DailyIc }> {
  const { dataset, dates } = selection;
  const daily = { dates: [] as string[], ic: [] as number[], rankIc: [] as number[], hitRate: [] as number[], mse: [] as number[] };
  let rowsThatCount = 0;
  let row = 0;
  const hasTerms = scores.terms.length > 0;
  const width = partWidth(scores, selection);
  const neutral = neutralMetrics(selection, pairs);
  for (const [t, rows] of rowCounts(selection).entries()) {
    if (rows === 0) continue;
    const predictions = datePanel(selection, t, scores.predictions.subarray(row * width, (row + rows) * width), width);
    const returns = rowPanel(selection, t, dataset.labels);
    const metrics = evaluatePairs(predictions, returns, pairs, hasTerms ? rowPanel(selection, t, dataset.targets) : undefined);
    if (metrics.dates > 0) {
      daily.dates.push(dataset.dates[dates[t]!]!);
      daily.ic.push(metrics.ic);
      daily.rankIc.push(metrics.rankIc);
      daily.hitRate.push(metrics.hitRate);
      daily.mse.push(metrics.mse ?? NaN);
      rowsThatCount += metrics.rows;
    }
    neutral?.add(dates[t]!, predictions.data, width);
    row += rows;
    await breathe();
  }
  const [ic, rankIc] = [summary(daily.ic), summary(daily.rankIc)];
  const terms = objective.map((_, i) => meanOf(Array.from(dates, (_date, t) => scores.terms[t * objective.length + i] ?? NaN)));
  const metrics = {
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
    ...(neutral?.means() ?? neutralMean([])),
    ...graphStatistics(scores),
  };
  return { metrics, daily: { dates: daily.dates, ic: daily.ic, rankIc: daily.rankIc } };
}

/** The same metrics of predictions that are neutral to the exposures of the labels; undefined where there are none. */
function neutralMetrics({ dataset }: DateSelection, pairs: readonly (readonly [number, number])[]): { add(date: number, predictions: PanelValues["data"], width: number): void; means(): NeutralMean } | undefined {
  const exposures = labelExposures(dataset);
  if (exposures === undefined) return undefined;
  const [stocks, horizons] = [dataset.tickers.length, dataset.horizons.length];
  const date = new NeutralDate(stocks, { exposures, groups: exposures.groups });
  const values = new Float64Array(stocks);
  const daily = { ic: [] as number[], rankIc: [] as number[] };
  return {
    add(t, predictions, width) {
      const stock = dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1]);
      const day = pairs.flatMap(([p, l]) => {
        for (let i = 0; i < stock.length; i++) values[i] = predictions[i * width + p]!;
        if (!date.take(t, values, stock, stock.length).isFit) return [];
        return date.correlations(values, stock.length, (i) => dataset.labels[(t * stocks + stock[i]!) * horizons + l]!) ?? [];
      });
      if (day.length === 0) return;
      daily.ic.push(meanOf(day.map(({ ic }) => ic)));
      daily.rankIc.push(meanOf(day.map(({ rankIc }) => rankIc)));
    },
    means() {
      const [ic, rankIc] = [summary(daily.ic), summary(daily.rankIc)];
      return { neutralIc: ic.mean, neutralIcir: ic.mean / ic.deviation, neutralRankIc: rankIc.mean };
    },
  };
}

/** What A looks like and what it is worth, as means over the dates. */
export function graphStatistics({ statistics, peers }: Pick<PackedScores, "statistics" | "peers">): SimilarityStatistics & PeerStatistics {
  return { ...averageStatistics(statistics), ...averagePeers(peers ?? new Float64Array(0), statistics) };
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

/** Mean of the values that are not NaN; NaN where all are. */
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
