import type { NativeTerm } from "../binding/types.js";
import type { DateSelection } from "../model/predict.js";
import { breathe } from "../run/breathe.js";
import type { DateStatistics } from "../run/report.js";
import type { PackedScores } from "../run/scoring.js";

/** Enough to solve where columns of M repeat one another, and less than what they differ by in float32. */
const RIDGE = 1e-12;

/** Terms on M that a report asks for whatever the loss is: 1 - R² of the targets on M, and the mean variance inflation of its columns. */
export const FACTOR_TERMS: readonly NativeTerm[] = (["risk", "vif"] as const).map((name) => ({
  name, weight: 1, predictions: [], horizons: [], strength: 1, omega: 1, orthogonality: 0, ridge: RIDGE, horizonDays: 1,
}));

/** Collects what is known of A and M on each date of a split, block by block. */
export class DateCollector {
  readonly #statistics = { dates: [] as string[], effectiveNeighbours: [] as number[], peerCorrelation: [] as number[], rSquared: [] as number[], vif: [] as number[], factorTurnover: [] as number[] };
  #before: { row: Map<number, number>; factors: PackedScores["riskFactors"] & object } | undefined;

  /** @param terms [dates, 2] values of {@link FACTOR_TERMS}; empty where M is not of one model */
  async add({ dataset, dates }: DateSelection, { statistics, peers, riskFactors }: PackedScores, terms: Float64Array, numRiskFactors: number): Promise<void> {
    const all = this.#statistics;
    let row = 0;
    for (const [t, date] of dates.entries()) {
      all.dates.push(dataset.dates[date]!);
      all.effectiveNeighbours.push(statistics[3 * t] ?? NaN);
      all.peerCorrelation.push(peers?.[3 * t] ?? NaN);
      all.rSquared.push(1 - (terms[2 * t] ?? NaN));
      all.vif.push(terms[2 * t + 1] ?? NaN);
      const [from, to] = [dataset.rowOffsets[date]!, dataset.rowOffsets[date + 1]!];
      const stocks = dataset.rowStocks.subarray(from, to);
      all.factorTurnover.push(riskFactors === undefined ? NaN : this.#change(stocks, riskFactors.subarray(row * numRiskFactors, (row + to - from) * numRiskFactors), numRiskFactors));
      row += to - from;
      await breathe();
    }
  }

  build(): DateStatistics {
    return this.#statistics;
  }

  /** Mean squared change of M since the date before, over the stocks on both: what the loss `turnover` is a mean of. */
  #change(stocks: Int32Array, factors: PackedScores["riskFactors"] & object, width: number): number {
    const before = this.#before;
    // A copy: the next block overwrites nothing, but the whole block would stay in memory.
    this.#before = { row: new Map(Array.from(stocks, (stock, i) => [stock, i])), factors: factors.slice() };
    let [sum, count] = [0, 0];
    for (const [i, stock] of stocks.entries()) {
      const then = before?.row.get(stock);
      if (then === undefined) continue;
      for (let k = 0; k < width; k++) sum += (factors[i * width + k]! - before!.factors[then * width + k]!) ** 2;
      count += width;
    }
    return sum / count;
  }
}
