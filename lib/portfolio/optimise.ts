import { AstgnnError, nearest } from "../errors.js";
import { resolveOptions } from "../options.js";
import { checkCovariance, type CheckedCovariance, type Covariance, riskOf } from "./covariance.js";
import { type ByTicker, type NumbersFile, readByTicker, readCovariance } from "./files.js";
import { type OptimiseOptions, optimiseSchema } from "./options.js";
import { riskBudgets } from "./risk-budgets.js";

/** A portfolio that was found. */
export interface Portfolio {
  readonly status: "optimal";
  readonly tickers: readonly string[];
  /** [stocks] */
  readonly weights: Float64Array;
  /** Of each stock w_i (S w)_i / w'Sw, its part of the variance; they sum to 1. [stocks] */
  readonly riskShares: Float64Array;
  /** sqrt(w'Sw), of the time that the covariance is of: a day's for a risk model. */
  readonly volatility: number;
}

/**
 * Weights of a portfolio.
 *
 * @throws AstgnnError ERR_DATA where covariance or budgets make no sense, naming file and ticker; ERR_OPTION
 * @example
 * const portfolio = await optimise({ covariance: { tickers: ["A", "B"], values: Float64Array.of(0.04, 0, 0, 0.01) }, objective: "riskParity" });
 * console.log(portfolio.weights); // 1/3 and 2/3: half the risk each
 */
export async function optimise(options: OptimiseOptions): Promise<Portfolio> {
  const { covariance: written, budgets: asked } = resolveOptions(optimiseSchema, options, "optimise");
  const covariance = await covarianceOf(written);
  const budgets = await budgetsOf(asked, covariance);
  const { weights } = riskBudgets(covariance, budgets);
  const { volatility, shares } = riskOf(covariance, weights);
  return { status: "optimal", tickers: covariance.tickers, weights, riskShares: shares, volatility };
}

async function covarianceOf(written: Covariance | NumbersFile): Promise<CheckedCovariance> {
  return "file" in written ? checkCovariance(await readCovariance(written.file), written.file) : checkCovariance(written);
}

async function budgetsOf(written: ByTicker | NumbersFile | undefined, covariance: CheckedCovariance): Promise<Float64Array> {
  const n = covariance.tickers.length;
  if (written === undefined) return new Float64Array(n).fill(1 / n);
  const { values, given, where } = await byTicker(written, "budgets", covariance);
  const missing = covariance.tickers.filter((_, i) => given[i] === 0);
  if (missing.length > 0) throw new AstgnnError("ERR_DATA", `${few(missing)} ${missing.length === 1 ? "has" : "have"} no budget.`, { ...where, next: "Give every ticker one, or leave it out of the covariance." });
  let sum = 0;
  values.forEach((value, i) => {
    if (!(value > 0)) throw new AstgnnError("ERR_DATA", `The budget of ${covariance.tickers[i]} is ${value}; it must be above 0.`, { ...where, next: "Leave a ticker that may take no risk out of the covariance." });
    sum += value;
  });
  return values.map((value) => value / sum);
}

/** Numbers by ticker in the covariance's order, 0 where none is given. */
export async function byTicker(written: ByTicker | NumbersFile, option: string, { tickers, rows }: CheckedCovariance): Promise<{ values: Float64Array; given: Uint8Array; where: { option: string; file?: string } }> {
  const file = typeof written["file"] === "string" ? written["file"] : undefined;
  const numbers = file === undefined ? (written as ByTicker) : await readByTicker(file, option);
  const where = file === undefined ? { option } : { option, file };
  const values = new Float64Array(tickers.length);
  const given = new Uint8Array(tickers.length);
  for (const [ticker, value] of Object.entries(numbers)) {
    const row = rows.get(ticker);
    if (row === undefined) {
      const near = nearest(ticker, tickers);
      throw new AstgnnError("ERR_DATA", `${option} names ${ticker}, which the covariance does not have.`, { ...where, next: near === undefined ? "Leave it out, or take a covariance that has it." : `Did you mean ${near}?` });
    }
    if (!Number.isFinite(value)) throw new AstgnnError("ERR_DATA", `The value of ${ticker} in ${option} is ${value}.`, where);
    values[row] = value;
    given[row] = 1;
  }
  return { values, given, where };
}

/** A few names of many, for a message. */
export function few(names: readonly string[]): string {
  return names.length <= 3 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
}
