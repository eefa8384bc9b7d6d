import { AstgnnError } from "../errors.js";

/** Which panel dates a sample reads. A dataset is one. */
export interface History {
  /** T, the dates of its window. */
  readonly window: number;
  /** The window and, before it, the longest look-back of the features: 120 dates for `ohlcv`, 0 for columns as they are. */
  readonly requiredHistory: number;
  /** What its label is made neutral to: that may look back further. */
  readonly exposures?: object | undefined;
}

/** What the required dates are, for a message. */
export function historyParts({ window, requiredHistory, exposures }: History): string {
  if (requiredHistory === window) return "the dates of its window";
  return `a window of ${window} and up to ${requiredHistory - window} dates before it that its features${exposures === undefined ? "" : ", or the exposures of its label,"} look back on`;
}

/** @throws AstgnnError ERR_DATA where the panel has fewer dates than one sample needs */
export function refuseShortPanel(dates: readonly string[], history: History, file: string): void {
  const needed = history.requiredHistory;
  if (dates.length >= needed) return;
  throw new AstgnnError("ERR_DATA", `${file} has ${dates.length} dates, but a sample needs ${needed}: ${historyParts(history)}. Scoring is possible from the ${ordinal(needed)} date on.`, {
    file,
    date: dates[0]!,
    next: `Read ${moreDates(needed - dates.length)} before ${dates[0]!}.`,
  });
}

/**
 * Refuses an option that asks for a sample date without enough history.
 *
 * @param there how many panel dates there are up to the sample date that it asks for
 * @param earliest the earliest value of the option that the panel allows
 * @throws AstgnnError ERR_DATA
 */
export function refuseEarlyDate(asked: { readonly option: string; readonly date: string; readonly there: number; readonly earliest: string | undefined }, dates: readonly string[], history: History): void {
  const { option, date, there, earliest } = asked;
  const needed = history.requiredHistory;
  if (there >= needed) return;
  throw new AstgnnError("ERR_DATA", `There is too little history for ${option} ${date}: ${Math.max(0, there)} of the ${needed} dates that a sample needs (${historyParts(history)}). Scoring is possible from ${dates[needed - 1]!} on.`, {
    option,
    date,
    next: `Read ${moreDates(needed - Math.max(0, there))} before ${dates[0]!}${earliest === undefined ? "" : `, or ask for ${earliest} or later`}.`,
  });
}

function moreDates(count: number): string {
  return count === 1 ? "1 more date" : `${count} more dates`;
}

function ordinal(n: number): string {
  const teens = n % 100 >= 11 && n % 100 <= 13;
  return `${n}${(teens ? undefined : ["th", "st", "nd", "rd"][n % 10]) ?? "th"}`;
}
