import type { BookDays } from "./book.js";
import { summary } from "./statistics.js";

/** What trading and shorting cost. */
export interface CostOptions {
  /** Basis points of each unit of traded weight, one way: a book that is turned over once pays twice its gross. Default 5. */
  costBps?: number | undefined;
  /** Basis points a year of the short weight. Default 50. */
  borrowBps?: number | undefined;
  /** Return periods of a year. Default 252. */
  periodsPerYear?: number | undefined;
}

/** A book before and after costs, annualised: means times periods, standard deviations times their root, nothing compounded. */
export interface BookSummary {
  /** Annual mean of the returns before costs, as a fraction of the book's value. */
  readonly grossReturn: number;
  /** Annual standard deviation (ddof 1) of the returns before costs. */
  readonly volatility: number;
  /** Annual mean over annual standard deviation, before and after costs; NaN for fewer than two days or returns that are all equal. */
  readonly grossSharpe: number;
  readonly netSharpe: number;
  readonly netReturn: number;
  /** Per year. */
  readonly tradingCost: number;
  readonly borrowCost: number;
  /** One-way cost in basis points at which nothing is left after borrowing; negative where nothing is earned to begin with. */
  readonly breakEvenBps: number;
  /** Mean over renewals of sum |w - drifted w| / 2 as a share of gross. */
  readonly turnover: number;
  /** Mean sum of |weight|. */
  readonly gross: number;
  readonly days: number;
  readonly costBps: number;
  readonly borrowBps: number;
  readonly daily: { readonly gross: Float64Array; readonly net: Float64Array };
}

/**
 * Takes costs off a book: of each day cost x sum |change of weight| and borrow / periods x short weight. Everything is NaN for a book whose
 * value fell to 0 and for one without days.
 */
export function bookSummary(book: BookDays, { costBps = 5, borrowBps = 50, periodsPerYear = 252 }: CostOptions = {}): BookSummary {
  const days = book.return.length;
  const trading = book.traded.map((traded) => (traded * costBps) / 1e4);
  const borrowing = book.short.map((short) => (short * borrowBps) / 1e4 / periodsPerYear);
  const net = book.return.map((value, i) => value - trading[i]! - borrowing[i]!);
  const root = Math.sqrt(periodsPerYear);
  const [before, after] = [summary(book.return), summary(net)];
  const mean = (values: Float64Array): number => summary(values).mean;
  const sharpe = ({ mean: average, deviation }: { mean: number; deviation: number }): number => (deviation > 0 ? (average / deviation) * root : NaN);
  return {
    grossReturn: before.mean * periodsPerYear,
    volatility: before.deviation * root,
    grossSharpe: sharpe(before),
    netSharpe: sharpe(after),
    netReturn: after.mean * periodsPerYear,
    tradingCost: mean(trading) * periodsPerYear,
    borrowCost: mean(borrowing) * periodsPerYear,
    breakEvenBps: ((before.mean - mean(borrowing)) / mean(book.traded)) * 1e4,
    turnover: mean(book.turnover.filter((value) => !Number.isNaN(value))),
    gross: mean(book.gross),
    days,
    costBps,
    borrowBps,
    daily: { gross: book.return, net },
  };
}
