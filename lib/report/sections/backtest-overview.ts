import { counted, decimals, fixed, isNumber, longDate, percent, value } from "../format.js";
import type { ReportNumbers } from "../numbers.js";
import type { Overview } from "./overview.js";

const two = decimals(2);
const NONE = "fewer than two dates, or nothing varies";

/** The first screen of a report that is about a backtest alone. */
export function backtestOverview({ subject, backtests = [] }: ReportNumbers): Overview {
  const book = backtests.at(-1);
  if (book === undefined) return { headline: "No backtest", deck: "", about: [], verdict: { state: "none", text: "The report has no backtest." }, cautions: [], tiles: [], figure: undefined };
  const { sharpe, dates, returnInterval: [low, high], t, terms } = book;
  const interval = isNumber(low) && isNumber(high) ? `Return a year ${isNumber(book.return) ? percent(book.return) : "–"}, 95 % interval ${percent(low)} to ${percent(high)}: ${low > 0 ? "above zero" : high < 0 ? "below zero" : "zero is inside"}.` : "";
  return {
    headline: isNumber(sharpe) ? `Sharpe ${two(sharpe)} after costs on ${counted(dates ?? 0, "date")}` : `No Sharpe ratio on ${counted(dates ?? 0, "date")}`,
    deck: `${interval}${isNumber(t) ? ` t ${two(t)} by Newey and West.` : ""}`,
    about: [`${book.source}, held through ${subject.prices === undefined ? "the prices" : subject.prices.split("/").at(-1)!} from ${longDate(book.first)} to ${longDate(book.last)}.`],
    verdict: { state: "none", text: "What was decided is taken as it is: nothing on this page tells whether it knew later prices, or was the best of many tries." },
    cautions: [...((dates ?? 0) < 60 ? [`There are ${counted(dates ?? 0, "date")}: intervals and t of so few mean little.`] : []), ...(book.ruined === null ? [] : [`Nothing was left on ${longDate(book.ruined)}.`])],
    tiles: [
      { name: "Return after costs", value: value(book.return, percent, NONE), note: "a year, not compounded" },
      { name: "Volatility", value: value(book.volatility, percent, NONE), note: "a year" },
      { name: "Largest fall", value: value(book.drawdown, percent, NONE), note: `from ${book.drawdownFrom} to ${book.drawdownTo}` },
      { name: "Turnover", value: value(book.turnover, percent, "nothing was decided twice"), note: "of the book, per decision" },
      { name: "Costs", value: value(book.costs.total, percent, NONE), note: `a year, at ${terms.costBps} bp one way` },
      { name: "Break-even cost", value: value(book.breakEvenBps, (bps) => `${fixed(bps, 1)} bp`, "nothing was traded"), note: "one way" },
    ],
    figure: undefined,
  };
}
