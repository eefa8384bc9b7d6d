/**
 * The volatility regime of USE4: root of the exponentially weighted mean of a date's mean squared standardised returns, as a factor on volatilities. 1 where
 * forecasts were right on average.
 */
export class Regime {
  readonly #decay: number;
  #weight = 0;
  #sum = 0;

  /** `halfLife` in dates. */
  constructor(halfLife: number) {
    this.#decay = 2 ** (-1 / halfLife);
  }

  /** @param squares mean of (return / its volatility forecast before the date)^2, NaN for a date without a forecast */
  update(squares: number): void {
    if (Number.isNaN(squares)) return;
    this.#weight = this.#decay * this.#weight + 1;
    this.#sum = this.#decay * this.#sum + squares;
  }

  /** lambda^2. */
  get variance(): number {
    return this.#weight > 0 ? this.#sum / this.#weight : 1;
  }

  state(): Float64Array {
    return Float64Array.of(this.#weight, this.#sum);
  }

  restore(state: Float64Array): void {
    [this.#weight, this.#sum] = [state[0]!, state[1]!];
  }
}

/** Mean of (value / volatility)^2 over what has both; NaN without. */
export function meanSquare(values: Float64Array, volatilities: Float64Array): number {
  let [sum, count] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const ratio = values[i]! / (volatilities[i] ?? NaN);
    if (!Number.isFinite(ratio)) continue;
    sum += ratio * ratio;
    count++;
  }
  return count > 0 ? sum / count : NaN;
}
