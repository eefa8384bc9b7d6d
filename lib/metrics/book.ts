import { AstgnnError } from "../errors.js";

/** What a book is made of. */
export interface BookInput {
  readonly stocks: number;
  /** Price dates at whose close the portfolio of each prediction date is bought, ascending. */
  readonly entries: Int32Array;
  /** Portfolios held side by side, each of weight 1 / `portfolios`; every entry renews the oldest (Jegadeesh and Titman 1993). From 1. */
  readonly portfolios: number;
  /** Writes the weights to be bought at entry `k`, one per stock. */
  weights(k: number, weights: Float64Array): void;
  /** Writes the stocks' simple returns from the close of price date `d` to the next, 0 where there is none. */
  returns(d: number, returns: Float64Array): void;
}

/** A book day by day, from the date on which all its portfolios are there to the last entry. Each array has one value per price date. */
export interface BookDays {
  /** Price date at whose close the day begins. */
  readonly date: Int32Array;
  /** Return to the next close before any cost, as a share of the book's value at the close. */
  readonly return: Float64Array;
  /** Sum of |change of weight| at that close: every dollar sold and every dollar bought. */
  readonly traded: Float64Array;
  /** Sum of |weight| after trading. */
  readonly gross: Float64Array;
  /** Sum of |negative weights| after trading. */
  readonly short: Float64Array;
  /** Half of `traded` over `gross`, where a portfolio is renewed; NaN on other days and where the portfolio is the first in its place. */
  readonly turnover: Float64Array;
}

/**
 * Holds portfolios side by side. Each is bought at its weights, drifts with its stocks (weights are shares of the book's value), and is traded
 * to the next weights when its turn comes. A book whose value falls to 0 or below ends there: its later values are NaN.
 *
 * @throws AstgnnError ERR_OPTION for fewer than one portfolio
 */
export function holdBook({ stocks, entries, portfolios, weights, returns }: BookInput): BookDays {
  if (!Number.isInteger(portfolios) || portfolios < 1) throw new AstgnnError("ERR_OPTION", `A book needs at least one portfolio but received ${portfolios}.`);
  const full = portfolios - 1;
  const length = entries.length > full ? entries.at(-1)! - entries[full]! + 1 : 0;
  const values = (): Float64Array => new Float64Array(length).fill(NaN);
  const days = { date: new Int32Array(length), return: values(), traded: values(), gross: values(), short: values(), turnover: values() };
  if (length === 0) return days;
  const first = entries[full]!;
  for (let i = 0; i < length; i++) days.date[i] = first + i;
  const held = Array.from({ length: portfolios }, () => new Float64Array(stocks));
  const whole = new Float64Array(stocks);
  const target = new Float64Array(stocks);
  const move = new Float64Array(stocks);
  let entry = 0;
  for (let d = entries[0]!; d <= entries.at(-1)!; d++) {
    let traded = 0;
    const renews = entries[entry] === d;
    if (renews) {
      const portfolio = held[entry % portfolios]!;
      weights(entry, target);
      for (let n = 0; n < stocks; n++) {
        const weight = target[n]! / portfolios;
        const change = weight - portfolio[n]!;
        if (change === 0) continue;
        traded += Math.abs(change);
        whole[n]! += change;
        portfolio[n] = weight;
      }
      entry++;
    }
    let [gross, short, earned] = [0, 0, 0];
    returns(d, move);
    for (let n = 0; n < stocks; n++) {
      const weight = whole[n]!;
      gross += Math.abs(weight);
      if (weight < 0) short -= weight;
      earned += weight * move[n]!;
    }
    if (d >= first) {
      const i = d - first;
      days.return[i] = earned;
      days.traded[i] = traded;
      days.gross[i] = gross;
      days.short[i] = short;
      if (renews && entry > portfolios && gross > 0) days.turnover[i] = traded / 2 / gross;
    }
    if (!(1 + earned > 0)) break;
    for (let n = 0; n < stocks; n++) move[n] = (1 + move[n]!) / (1 + earned);
    whole.fill(0);
    for (const portfolio of held) {
      for (let n = 0; n < stocks; n++) {
        if (portfolio[n] === 0) continue;
        portfolio[n]! *= move[n]!;
        whole[n]! += portfolio[n]!;
      }
    }
  }
  return days;
}
