import { AstgnnError } from "../errors.js";
import { requireNumbers, requireObject, requireText, requireTexts } from "../options.js";

/** What a risk model is told of a date, known by its close. */
export interface RiskDate {
  /** YYYY-MM-DD. */
  readonly date: string;
  /** Each once. */
  readonly tickers: readonly string[];
  /** Simple returns since the date before; NaN where missing. [stocks] */
  readonly returns: ArrayLike<number>;
  /** [stocks, factors], row-major: what the returns of the next date are explained by. A stock whose row is NaN throughout is not in. */
  readonly exposures: ArrayLike<number>;
  /** Group of each stock, -1 for none: a factor of its own for each. [stocks] */
  readonly groups?: ArrayLike<number> | undefined;
  /** Above 0, such as capitalisations: roots of them weigh the regression, and they make the size buckets. Without, all stocks weigh the same. [stocks] */
  readonly sizes?: ArrayLike<number> | undefined;
}

/** Refuses a date that does not fit the factors, with the first value that is wrong. @throws AstgnnError ERR_DATA, ERR_SHAPE */
export function checkRiskDate(day: RiskDate, factors: readonly string[], groupCount: number, after: string | undefined): void {
  requireObject(day, "day", "{ date, tickers, returns, exposures }");
  const { date, tickers, returns, exposures, groups, sizes } = day;
  requireText(date, "date", "a date as YYYY-MM-DD");
  requireTexts(tickers, "tickers", "a list of tickers");
  for (const [name, values] of Object.entries({ returns, exposures, groups, sizes })) if (values !== undefined || name === "returns" || name === "exposures") requireNumbers(values, name);
  const [N, K] = [tickers.length, factors.length];
  if (after !== undefined && !(date > after)) throw new AstgnnError("ERR_DATA", `${date} does not come after ${after}, the newest date of the risk model.`, { date, next: "Give dates in ascending order, each once." });
  if (returns.length !== N || exposures.length !== N * K || (groups !== undefined && groups.length !== N) || (sizes !== undefined && sizes.length !== N)) {
    throw new AstgnnError("ERR_SHAPE", `${date} has ${N} tickers and ${K} factors, but ${returns.length} returns and ${exposures.length} exposures${sizes === undefined ? "" : `, ${sizes.length} sizes`}${groups === undefined ? "" : `, ${groups.length} groups`}.`, { date });
  }
  const seen = new Set<string>();
  for (const [i, ticker] of tickers.entries()) {
    if (seen.has(ticker)) throw new AstgnnError("ERR_DATA", `${ticker} stands twice on ${date}.`, { date, next: "Remove one of the two." });
    seen.add(ticker);
    const value = returns[i]!;
    if (value === Infinity || value <= -1) {
      throw new AstgnnError("ERR_DATA", `${ticker} has the return ${value} on ${date}: a price of zero.`, { date, next: "Set the price missing, and the return NaN." });
    }
    let missing = 0;
    for (let k = 0; k < K; k++) if (!Number.isFinite(exposures[i * K + k])) missing++;
    if (missing > 0 && missing < K) {
      const k = factors.findIndex((_, f) => !Number.isFinite(exposures[i * K + f]));
      throw new AstgnnError("ERR_DATA", `${ticker} has the exposure ${exposures[i * K + k]} to ${factors[k]} on ${date}.`, { date, column: factors[k], next: "Fill it, or set the whole row NaN to leave the stock out." });
    }
    if (sizes !== undefined && !(sizes[i]! > 0 && Number.isFinite(sizes[i]))) {
      throw new AstgnnError("ERR_DATA", `${ticker} has the size ${sizes[i]} on ${date}.`, { date, next: "Sizes are above 0." });
    }
    if (groups !== undefined && !(Number.isInteger(groups[i]) && groups[i]! >= -1 && groups[i]! < groupCount)) {
      throw new AstgnnError("ERR_DATA", `${ticker} has the group ${groups[i]} on ${date}, and there are ${groupCount}.`, { date, next: "Groups count from 0; -1 is none." });
    }
  }
}
