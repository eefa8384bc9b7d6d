import { bootstrapMean } from "../../metrics/bootstrap.js";
import { testMean } from "../../metrics/hac.js";
import { summary } from "../../metrics/statistics.js";
import type { ResolvedBacktest } from "./options.js";
import type { BacktestDays } from "./run.js";

/** A book in numbers: means of daily values times dates of a year, standard deviations times their root; nothing is compounded but what says so. */
export interface BacktestStatistics {
  /** Annual mean of the returns after all costs, a fraction. */
  readonly return: number;
  /** Annual standard deviation (ddof 1) of the returns after costs. */
  readonly volatility: number;
  /** `return` over `volatility`, no interest rate taken off; NaN for fewer than two dates and returns that are all equal. */
  readonly sharpe: number;
  /** Newey-West t of the mean daily return, its two-sided p and the t of independent days. */
  readonly t: number;
  readonly p: number;
  readonly tNaive: number;
  /** 95 % interval of `return` by the stationary bootstrap. */
  readonly returnInterval: readonly [low: number, high: number];
  /** Largest fall of the equity from a peak, a fraction from 0 up; and between which dates. */
  readonly drawdown: number;
  readonly drawdownFrom: string;
  readonly drawdownTo: string;
  /** Mean over decisions of sum |w - drifted w| / 2 as a share of gross, the first decision of all apart. */
  readonly turnover: number;
  /** Sum of |change of weight| a year. */
  readonly tradedPerYear: number;
  /** Costs a year as shares of the book's value; `interest` is what cash earned. */
  readonly costs: { readonly trading: number; readonly impact: number; readonly borrow: number; readonly total: number; readonly interest: number };
  /** Annual mean of the returns before costs, and its Sharpe ratio. */
  readonly grossReturn: number;
  readonly grossSharpe: number;
  /** One-way cost in basis points at which nothing is left after impact and borrowing, positions taken as they are; NaN where nothing is traded. */
  readonly breakEvenBps: number;
  /** Compounded: last equity over capital less 1, and that per year. */
  readonly totalReturn: number;
  readonly compoundedReturn: number;
  /** Mean over dates. */
  readonly gross: number;
  readonly net: number;
  readonly positions: number;
  readonly dates: number;
  readonly first: string;
  readonly last: string;
}

/** The statistics of a book's days. */
export function statisticsOf(days: BacktestDays, { capital, periodsPerYear }: Pick<ResolvedBacktest, "capital" | "periodsPerYear">): BacktestStatistics {
  const count = days.dates.length;
  const root = Math.sqrt(periodsPerYear);
  const [after, before] = [summary(days.return), summary(days.grossReturn)];
  const sharpe = ({ mean, deviation }: { mean: number; deviation: number }): number => (deviation > 0 ? (mean / deviation) * root : NaN);
  const test = testMean(days.return);
  const yearly = (values: Float64Array): number => summary(values).mean * periodsPerYear;
  const share = (money: Float64Array): number => yearly(money.map((value, i) => value / (i === 0 ? capital : days.equity[i - 1]!)));
  const costs = { trading: share(days.trading), impact: share(days.impact), borrow: share(days.borrow) };
  const [low, high] = bootstrapMean(days.return);
  const worst = worstFall(days, capital);
  const end = days.equity[count - 1]! / capital;
  const turnovers = days.turnover.filter((value) => !Number.isNaN(value));
  return {
    return: after.mean * periodsPerYear,
    volatility: after.deviation * root,
    sharpe: sharpe(after),
    t: test.t,
    p: test.p,
    tNaive: test.tNaive,
    returnInterval: [low * periodsPerYear, high * periodsPerYear],
    drawdown: worst.fall,
    drawdownFrom: worst.from,
    drawdownTo: worst.to,
    turnover: summary(turnovers).mean,
    tradedPerYear: yearly(days.traded),
    costs: { ...costs, total: costs.trading + costs.impact + costs.borrow, interest: share(days.interest) },
    grossReturn: before.mean * periodsPerYear,
    grossSharpe: sharpe(before),
    breakEvenBps: (before.mean * periodsPerYear - costs.impact - costs.borrow) / yearly(days.traded) * 1e4,
    totalReturn: end - 1,
    compoundedReturn: end > 0 ? end ** (periodsPerYear / count) - 1 : -1,
    gross: summary(days.gross).mean,
    net: summary(days.net).mean,
    positions: summary(Float64Array.from(days.positions)).mean,
    dates: count,
    first: days.dates[0]!,
    last: days.dates[count - 1]!,
  };
}

/** The largest fall from a peak; the capital counts as a peak on the first date. */
function worstFall({ dates, equity }: BacktestDays, capital: number): { fall: number; from: string; to: string } {
  let [peak, peakAt] = [capital, dates[0]!];
  let worst = { fall: 0, from: dates[0]!, to: dates[0]! };
  for (let i = 0; i < dates.length; i++) {
    if (equity[i]! >= peak) [peak, peakAt] = [equity[i]!, dates[i]!];
    const fall = 1 - equity[i]! / peak;
    if (fall > worst.fall) worst = { fall, from: peakAt, to: dates[i]! };
  }
  return worst;
}
