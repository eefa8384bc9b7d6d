import type { Exposures, Groups } from "../data/neutral-to.js";
import { ranksByOrder, RankSorter } from "../data/ranks.js";
import { testMean } from "./hac.js";
import { NeutralDate } from "./neutral-date.js";
import { PairedStocks, rankCorrelation } from "./paired-stocks.js";
import type { DateRows, RankedDates } from "./ranked-dates.js";
import { mean, summary } from "./statistics.js";

/** How much of the predictions is a known property. */
export interface StyleExposure {
  readonly name: string;
  /** Spearman correlation of predictions and exposure, mean over the dates that count; NaN where none does. */
  readonly correlation: number;
  /** HAC t of that mean. */
  readonly t: number;
  /** Dates with at least two stocks that have both and exposures that differ. */
  readonly dates: number;
}

/** Spearman correlation of the predictions with each exposure. */
export function styleExposures(ranked: RankedDates, exposures: Exposures): StyleExposure[] {
  const { dates, stocks, values, order, counts } = ranked;
  const pairs = new PairedStocks(stocks);
  const sorter = new RankSorter(stocks);
  const stock = new Int32Array(stocks);
  const [byStock, predictionRank, exposure, exposureRank] = Array.from({ length: 4 }, () => new Float64Array(stocks)) as [Float64Array, Float64Array, Float64Array, Float64Array];
  const daily = exposures.names.map(() => [] as number[]);
  for (let t = 0; t < dates; t++) {
    const [row, count] = [t * stocks, counts[t]!];
    const matrix = exposures.of(t);
    ranksByOrder(values.subarray(row, row + stocks), order.subarray(row, row + count), count, byStock);
    for (let n = 0, i = 0; n < stocks; n++) {
      if (Number.isNaN(values[row + n]!)) continue;
      stock[i] = n;
      predictionRank[i++] = byStock[n]!;
    }
    for (const [k, found] of daily.entries()) {
      let isWhole = true;
      let [least, most] = [Infinity, -Infinity];
      for (let i = 0; i < count; i++) {
        const value = matrix[k * stocks + stock[i]!]!;
        exposure[i] = value;
        if (value < least) least = value;
        if (value > most) most = value;
        if (Number.isNaN(value)) isWhole = false;
      }
      if (!isWhole || least === -Infinity || most === Infinity) {
        // Without some of the stocks the ranks of the predictions are others; an infinite exposure is an error there.
        if (pairs.load(ranked, t, matrix, k * stocks)) found.push(pairs.rankIc());
      } else if (count >= 2 && least < most) {
        sorter.ranks(exposure, count, exposureRank);
        found.push(rankCorrelation(predictionRank, exposureRank, count));
      }
    }
  }
  return exposures.names.map((name, k) => {
    const { mean, t, count } = testMean(daily[k]!);
    return { name, correlation: mean, t, dates: count };
  });
}

/** What predictions are worth beyond exposures and groups. */
export interface NeutralIc {
  readonly ic: number;
  readonly icir: number;
  readonly rankIc: number;
  readonly rankIcir: number;
  /** HAC t of `ic`. */
  readonly icT: number;
  /** Dates that count: more stocks than independent exposures and intercepts, and labels that differ. */
  readonly dates: number;
  /** Missing exposures that were taken as the mean of their date. */
  readonly filled: number;
  /** Whether each group had an intercept of its own. */
  readonly byGroup: boolean;
  readonly daily: { readonly dates: Int32Array; readonly ic: Float64Array; readonly rankIc: Float64Array };
}

/**
 * IC of the residuals of the predictions on an intercept (one per group), and exposures, by least squares per date over all stocks that have
 * a prediction. Where the exposures explain the predictions whole the date counts as 0, as constant predictions do.
 *
 * @param returns [dates, stocks], NaN where there is none
 * @param horizonDays days that a return spans
 */
export function neutralIc(ranked: RankedDates, returns: DateRows, exposures: Exposures, groups?: Groups, horizonDays = 1): NeutralIc {
  const { dates, stocks, values, counts } = ranked;
  const neutral = new NeutralDate(stocks, { exposures, groups });
  const residual = new Float64Array(stocks);
  const stock = new Int32Array(stocks);
  const found = { dates: [] as number[], ic: [] as number[], rankIc: [] as number[] };
  let filled = 0;
  for (let t = 0; t < dates; t++) {
    const [row, count] = [t * stocks, counts[t]!];
    if (count < 2) continue;
    for (let n = 0, i = 0; n < stocks; n++) {
      if (Number.isNaN(values[row + n]!)) continue;
      stock[i] = n;
      residual[i++] = values[row + n]!;
    }
    const fit = neutral.take(t, residual, stock, count);
    filled += fit.filled;
    if (!fit.isFit) continue;
    const day = neutral.correlations(residual, count, (i) => returns[row + stock[i]!]!);
    if (day === undefined) continue;
    found.dates.push(t);
    found.ic.push(day.ic);
    found.rankIc.push(day.rankIc);
  }
  const [ic, rankIc] = [testMean(found.ic, { horizonDays }), testMean(found.rankIc, { horizonDays })];
  // The naive t is mean / (sd / sqrt T): the ICIR without its square root.
  const ratio = ({ tNaive, count }: { tNaive: number; count: number }): number => tNaive / Math.sqrt(count);
  return {
    ic: ic.mean, icir: ratio(ic), rankIc: rankIc.mean, rankIcir: ratio(rankIc), icT: ic.t, dates: ic.count, filled, byGroup: groups !== undefined,
    daily: { dates: Int32Array.from(found.dates), ic: Float64Array.from(found.ic), rankIc: Float64Array.from(found.rankIc) },
  };
}

/** {@link NeutralIc} as epochs have it; where there are several pairs of prediction and horizon, of their mean on each date. null: nothing to be neutral to. */
export interface NeutralMean {
  readonly neutralIc: number | null;
  readonly neutralIcir: number | null;
  readonly neutralRankIc: number | null;
}

/** Of the pairs, none or more. */
export function neutralMean(pairs: readonly NeutralIc[]): NeutralMean {
  if (pairs.length === 0) return { neutralIc: null, neutralIcir: null, neutralRankIc: null };
  const days = new Map<number, { ic: number[]; rankIc: number[] }>();
  for (const { daily } of pairs) {
    for (const [i, t] of daily.dates.entries()) {
      const day = days.get(t) ?? { ic: [], rankIc: [] };
      day.ic.push(daily.ic[i]!);
      day.rankIc.push(daily.rankIc[i]!);
      days.set(t, day);
    }
  }
  const of = (kind: "ic" | "rankIc"): ReturnType<typeof summary> => summary([...days.values()].map((day) => mean(day[kind])));
  const { mean: ic, deviation } = of("ic");
  return { neutralIc: ic, neutralIcir: ic / deviation, neutralRankIc: of("rankIc").mean };
}
