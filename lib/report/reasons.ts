import { counted } from "./format.js";
import type { ReportNumbers, SplitNumbers } from "./numbers.js";

/** Why the IC of a split, or what is made of it, is no number. */
export function withoutIc(split: SplitNumbers | undefined): string {
  const dates = split?.dates ?? 0;
  if (dates === 0) return "no date has two stocks with a prediction and returns that differ";
  if (dates === 1) return "one date has no spread: two are needed";
  return "its daily values are all equal";
}

/** Why nothing is known that needs closing prices. */
export function withoutPrices({ withoutPrices: why }: ReportNumbers): string {
  return why ?? "the data have no closing prices, or the label is of more than one day";
}

/** Things that make every number of a split worth less, whatever it is. */
export function cautions(split: SplitNumbers | undefined): string[] {
  const { dates, rows } = split ?? {};
  if (split === undefined || !dates || !rows) return ["There is no date on which two stocks have a prediction and a return: no statistic can be computed."];
  const stocks = rows / dates;
  return [
    ...(stocks < 10 ? [`There are ${stocks < 2.05 ? "two stocks" : `${stocks.toFixed(1)} stocks`} a date on average: an IC of so few is mostly chance, of two it is −1, 0 or 1.`] : []),
    ...(dates < 20 ? [`There ${dates === 1 ? "is" : "are"} ${counted(dates, "date")}: intervals and t of so few mean little.`] : []),
    ...(split.daily.ic.length > 0 && split.daily.ic.every((ic) => ic === 0) ? ["Predictions are constant on every date: their IC is 0 by definition."] : []),
  ];
}
