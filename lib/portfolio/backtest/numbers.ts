import type { BacktestNumbers } from "../../report/sections/backtest.js";
import type { Backtest } from "./backtest.js";

/**
 * A backtest as a report has it: `writeReport(folder, { backtest: backtestNumbers("equal risk", "Weights of an optimiser", found) })`.
 *
 * @param name what the page calls it; a report has one of each name
 * @param source what was held, in a sentence without its full stop
 */
export function backtestNumbers(name: string, source: string, found: Backtest): BacktestNumbers {
  const { daily, fills: _, tickers: __, ledger, terms, ...numbers } = found;
  const shares = (values: Float64Array): number[] => Array.from(values, (each) => Number(each.toPrecision(9)));
  return {
    name,
    source,
    ...numbers,
    terms,
    daily: {
      dates: daily.dates,
      equity: shares(daily.equity.map((money) => money / terms.capital)),
      gross: shares(daily.gross),
      net: shares(daily.net),
      traded: shares(daily.traded),
      drawdown: shares(daily.drawdown),
    },
    orders: ledger.entries.filter(({ stage }) => stage === "fills").map(({ count, text }) => ({ count, text })),
  };
}
