import { testMean } from "./hac.js";
import { PairedStocks } from "./paired-stocks.js";
import type { RankedDates } from "./ranked-dates.js";

/** Days after entry over which a return is taken: from the close `from` days after it to the close `to` days after it. */
export interface Horizon {
  readonly from: number;
  readonly to: number;
}

/** What predictions say about returns of one horizon. */
export interface HorizonIc extends Horizon {
  /** Mean over the dates that count; NaN where none does. */
  readonly ic: number;
  readonly rankIc: number;
  /** HAC t of `ic` for returns of to - from days. */
  readonly icT: number;
  readonly rankIcT: number;
  readonly dates: number;
}

/** Neighbouring pieces of the twenty days after entry: what a prediction still says about days that it has not been paid for yet. */
export const DISJOINT_HORIZONS: readonly Horizon[] = [{ from: 0, to: 1 }, { from: 1, to: 2 }, { from: 2, to: 5 }, { from: 5, to: 10 }, { from: 10, to: 20 }];

/** The same from entry on. */
export const CUMULATIVE_HORIZONS: readonly Horizon[] = DISJOINT_HORIZONS.map(({ to }) => ({ from: 0, to }));

/**
 * IC and RankIC of each date's predictions with the returns over several horizons after entry.
 *
 * @param forwardReturns writes the returns of date t over a horizon, one per stock, NaN where a close is missing or later than the data
 */
export function icDecay(ranked: RankedDates, horizons: readonly Horizon[], forwardReturns: (t: number, horizon: Horizon, returns: Float64Array) => void): HorizonIc[] {
  const { dates, stocks } = ranked;
  const pairs = new PairedStocks(stocks);
  const returns = new Float64Array(stocks);
  return horizons.map((horizon) => {
    const ic: number[] = [];
    const rankIc: number[] = [];
    for (let t = 0; t < dates; t++) {
      forwardReturns(t, horizon, returns);
      if (!pairs.load(ranked, t, returns, 0)) continue;
      const day = pairs.ic();
      ic.push(day.ic);
      rankIc.push(day.rankIc);
    }
    const horizonDays = horizon.to - horizon.from;
    const [tested, rankTested] = [testMean(ic, { horizonDays }), testMean(rankIc, { horizonDays })];
    return { ...horizon, ic: tested.mean, rankIc: rankTested.mean, icT: tested.t, rankIcT: rankTested.t, dates: ic.length };
  });
}
