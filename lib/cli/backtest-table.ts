import type { Backtest } from "../portfolio/backtest/backtest.js";
import { aligned, decimals } from "./terminal.js";

const percent = (value: number): string => (Number.isFinite(value) ? `${(100 * value).toFixed(1)} %` : "-");

/** A backtest for people, with what each number is: at most 100 columns. */
export function backtestLines(found: Backtest): string[] {
  const { costs, terms, returnInterval, capacity, relative } = found;
  const rows: (readonly [name: string, value: string, meaning: string])[] = [
    ["return", percent(found.return), `a year after costs, 95 % interval ${percent(returnInterval[0])} to ${percent(returnInterval[1])}`],
    ["  t", decimals(found.t, 2), `Newey-West; ${decimals(found.tNaive, 2)} if dates were independent`],
    ["volatility", percent(found.volatility), "a year"],
    ["Sharpe", decimals(found.sharpe, 2), `${decimals(found.grossSharpe, 2)} before costs; no interest rate taken off`],
    ["largest fall", percent(found.drawdown), `${found.drawdownFrom} to ${found.drawdownTo}`],
    ["compounded", percent(found.compoundedReturn), `a year; ${percent(found.totalReturn)} in all`],
    ...(relative === null ? [] : [
      ["active return", percent(relative.activeReturn), `a year over ${relative.benchmark}, which has ${percent(relative.benchmarkReturn)}; t ${decimals(relative.activeT, 2)}`],
      ["  tracking error", percent(relative.trackingError), `a year; information ratio ${decimals(relative.informationRatio, 2)}, beta ${decimals(relative.beta, 2)}`],
    ] as const),
    ["turnover", percent(found.turnover), "sum |dw| / 2 over gross, per decision"],
    ["costs", percent(costs.total), `a year: fees ${percent(costs.trading)}, impact ${percent(costs.impact)}, borrowing ${percent(costs.borrow)}`],
    ["  break-even", Number.isFinite(found.breakEvenBps) ? `${found.breakEvenBps.toFixed(1)} bps` : "-", `one way; charged are ${terms.costBps} bps, ${terms.borrowBps} a year short`],
    ["gross, net", `${decimals(found.gross, 2)}, ${decimals(found.net, 2)}`, `mean; ${decimals(found.positions, 1)} stocks held`],
    ["dates", String(found.dates), `${found.first} to ${found.last}, ${found.decisions} decisions filled at the ${terms.fill}, ${terms.lagDays === 1 ? "a date" : `${terms.lagDays} dates`} later`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const values = Math.max(...rows.map(([, value]) => value.length));
  return [
    ...rows.map(([name, value, meaning]) => `${name.padEnd(width)}  ${value.padStart(values)}  ${meaning}`),
    ...(capacity === null ? [] : ["", "Capacity: the same decisions at other capitals", ...aligned([["capital", "return", "Sharpe", "impact", "costs"], ...capacity.map((point) => [
      point.capital.toPrecision(3), percent(point.return), decimals(point.sharpe, 2), percent(point.costs.impact), percent(point.costs.total)])], () => true).map((line) => `  ${line}`)]),
    ...(found.ruined === null ? [] : ["", `Nothing was left on ${found.ruined}.`]),
  ];
}
