import { below, randomBits } from "../metrics/random.js";
import type { FactorForm } from "./factor-form.js";

/** A portfolio as its stocks and their weights. */
export interface Portfolio {
  readonly rows: Int32Array;
  readonly weights: Float64Array;
}

/** Stocks of a random portfolio, on average. */
const STOCKS_OF_A_PORTFOLIO = 50;

/** A random number per ticker and portfolio, above 0: how much of the stock is held where it is, and a second one for the other side. */
export class RandomPortfolios {
  readonly #weights: ReadonlyMap<string, Float32Array>[];

  /**
   * Portfolios of about 50 stocks with exponential weights, drawn once: on a date, the stocks that are there.
   *
   * @param isNeutral weights of about 50 stocks that sum to 1 less those of 50 others; else weights from 0 that sum to 1
   */
  constructor(tickers: readonly string[], count: number, readonly isNeutral: boolean, seed: number) {
    this.#weights = Array.from({ length: count }, (_, p) => {
      const random = randomBits(seed, 1000 * (isNeutral ? 2 : 1) + p);
      const own = new Map<string, Float32Array>();
      const sides = isNeutral ? 2 : 1;
      for (const ticker of tickers) {
        for (let side = 0; side < sides; side++) {
          const isIn = below(random, Math.max(1, tickers.length)) < STOCKS_OF_A_PORTFOLIO;
          const weight = -Math.log((random() + 0.5) / 2 ** 32);
          if (isIn && !own.has(ticker)) own.set(ticker, Float32Array.of(side === 0 ? weight : -weight));
        }
      }
      return own;
    });
  }

  /** Those that have stocks on each side, of stocks `rows` of a form. */
  of(tickers: readonly string[], rows: Int32Array): (Portfolio | undefined)[] {
    return this.#weights.map((own) => {
      const [held, weights]: [number[], number[]] = [[], []];
      let [long, short] = [0, 0];
      for (const row of rows) {
        const weight = own.get(tickers[row]!)?.[0];
        if (weight === undefined) continue;
        held.push(row);
        weights.push(weight);
        if (weight > 0) long += weight;
        else short -= weight;
      }
      if (!(long > 0) || (this.isNeutral && !(short > 0))) return undefined;
      return { rows: Int32Array.from(held), weights: Float64Array.from(weights, (weight) => (weight > 0 ? weight / long : weight / short)) };
    });
  }
}

/** Variances of portfolios by a form: stocks of a portfolio are looked up by `rowOf`. */
export function portfolioVariance(form: FactorForm): (rows: Int32Array, weights: Float64Array) => number {
  const { exposures, factorCovariance, specificVariance, factors: { length: K } } = form;
  const isDiagonal = factorCovariance.every((value, i) => value === 0 || i % (K + 1) === 0);
  const own = new Float64Array(K);
  return (rows, weights) => {
    own.fill(0);
    let variance = 0;
    for (let i = 0; i < rows.length; i++) {
      const [row, weight] = [rows[i]!, weights[i]!];
      if (weight === 0) continue;
      const at = row * K;
      for (let k = 0; k < K; k++) own[k]! += weight * exposures[at + k]!;
      variance += weight * weight * specificVariance[row]!;
    }
    for (let a = 0; a < K; a++) {
      if (isDiagonal) variance += own[a]! ** 2 * factorCovariance[a * (K + 1)]!;
      else {
        let sum = 0;
        for (let b = 0; b < K; b++) sum += factorCovariance[a * K + b]! * own[b]!;
        variance += own[a]! * sum;
      }
    }
    return variance;
  };
}
