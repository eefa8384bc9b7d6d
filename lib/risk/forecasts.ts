import { mean } from "../metrics/statistics.js";

/** A model's volatility forecasts of a portfolio against what came: standardised returns and variances, date by date. */
export class Forecasts {
  readonly #returns: number[] = [];
  readonly #variances: number[] = [];

  add(value: number, variance: number): void {
    this.#returns.push(value);
    // A portfolio that a singular covariance holds to be without risk.
    this.#variances.push(Math.max(variance, LEAST_VARIANCE));
  }

  get dates(): number {
    return this.#returns.length;
  }

  /** QLIKE of the newest date: ln s² + r²/s². */
  get newestLoss(): number {
    const variance = this.#variances.at(-1)!;
    return Math.log(variance) + this.#returns.at(-1)! ** 2 / variance;
  }

  summary(): ForecastSummary {
    const b = this.#returns.map((value, t) => value / Math.sqrt(this.#variances[t]!));
    const squares = b.map((value) => Math.max(value * value, LEAST_SQUARE));
    return {
      bias: deviation(b),
      mrad: mean(windows(this.#returns, this.#variances).map((bias) => Math.abs(bias - 1))),
      q: mean(squares.map((value) => value - Math.log(value))),
      qlike: mean(this.#returns.map((value, t) => Math.log(this.#variances[t]!) + value ** 2 / this.#variances[t]!)),
      realised: deviation(this.#returns) * Math.sqrt(252),
    };
  }
}

/** What {@link Forecasts} come to. */
export interface ForecastSummary {
  /** Standard deviation of return / forecast volatility: 1 where forecasts are right, above it where risk is understated. */
  readonly bias: number;
  /** Mean |bias - 1| over windows of 12 returns of 21 dates each; about .17 for normal returns and right forecasts. NaN with fewer than 252 dates. */
  readonly mrad: number;
  /** Mean of b² - ln b²: 2.27 for normal returns and right forecasts. */
  readonly q: number;
  /** Mean of ln s² + r²/s²: lower is better. */
  readonly qlike: number;
  /** Annual volatility that came. */
  readonly realised: number;
}

const LEAST_VARIANCE = 1e-12;
/** A return of exactly 0 has no logarithm. */
const LEAST_SQUARE = 1e-6;
const MONTH = 21;
const MONTHS = 12;

/** Bias of every 12 months in a row: returns of 21 dates over their forecast as of the first. */
function windows(returns: readonly number[], variances: readonly number[]): number[] {
  const months: number[] = [];
  for (let t = 0; t + MONTH <= returns.length; t += MONTH) {
    let sum = 0;
    for (let day = t; day < t + MONTH; day++) sum += returns[day]!;
    months.push(sum / Math.sqrt(MONTH * variances[t]!));
  }
  return months.slice(MONTHS - 1).map((_, i) => deviation(months.slice(i, i + MONTHS)));
}

function deviation(values: readonly number[]): number {
  const centre = mean(values);
  return values.length < 2 ? NaN : Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}
