import { quantile } from "../metrics/bootstrap.js";
import { cholesky, solveCholesky } from "../metrics/dense.js";
import { DecayedVariances } from "./decayed-variances.js";

/** How risk that is a stock's own is estimated. */
export interface SpecificRiskOptions {
  readonly halfLife: number;
  readonly lags: number;
  /** Whether short and unsteady histories are blended with what stocks of the same exposures have. */
  readonly structural: boolean;
  /** q of the shrinkage to the mean of the size bucket; 0 for none. */
  readonly shrinkage: number;
  /** Size buckets. */
  readonly buckets: number;
}

/** Returns that the robust deviation of a stock is taken over. */
export const ROBUST_DATES = 252;
/** Fewest returns of a stock that stands for others in the structural model. */
export const LEAST_DATES = 60;

/** Specific volatilities of stocks, date by date. Slots are stocks in the order in which they came in. */
export class SpecificRisk {
  readonly #options: SpecificRiskOptions;
  readonly #variances: DecayedVariances;
  /** The newest residuals of each slot, [slots, ROBUST_DATES], and how many it had in all. */
  #residuals = new Float32Array(0);
  #counts = new Float64Array(0);

  constructor(options: SpecificRiskOptions) {
    this.#options = options;
    this.#variances = new DecayedVariances(0, options.halfLife, options.lags, false);
  }

  /** @param residuals of every slot, NaN where it has none; may be longer than before */
  update(residuals: Float64Array): void {
    if (residuals.length > this.#counts.length) this.#grow(residuals.length);
    this.#variances.update(residuals);
    for (const [slot, value] of residuals.entries()) {
      if (Number.isNaN(value)) continue;
      this.#residuals[slot * ROBUST_DATES + (this.#counts[slot]! % ROBUST_DATES)] = value;
      this.#counts[slot]!++;
    }
  }

  /** Volatility of a slot by its own history, NaN without one. */
  own(): Float64Array {
    return this.#variances.variances().map(Math.sqrt);
  }

  /**
   * Volatilities of a date's stocks, above 0.
   *
   * @param own of {@link own}
   * @param slots slot of each stock of the date
   * @param exposures [stocks, K] of the date, the market's column of ones among them
   * @param sizes of each stock; undefined: no shrinkage
   */
  volatilities(own: Float64Array, slots: Int32Array, exposures: Float64Array, K: number, sizes: Float64Array | undefined): Float64Array {
    const { structural, shrinkage, buckets } = this.#options;
    const out = Float64Array.from(slots, (slot) => own[slot] ?? NaN);
    const gamma = Float64Array.from(slots, (slot, i) => this.#trust(slot, out[i]!));
    const model = structural ? structuralModel(out, gamma, exposures, K) : undefined;
    const known = out.filter((value, i) => value > 0 && (this.#counts[slots[i]!] ?? 0) >= LEAST_DATES).sort();
    const middle = known.length > 0 ? known[known.length >> 1]! : NaN;
    for (let i = 0; i < out.length; i++) {
      const value = out[i]!;
      if (model !== undefined) out[i] = gamma[i]! > 0 ? gamma[i]! * value + (1 - gamma[i]!) * model[i]! : model[i]!;
      else if (!(value > 0) || (this.#counts[slots[i]!] ?? 0) < LEAST_DATES) out[i] = middle;
      if (!(out[i]! > 0)) out[i] = middle;
    }
    return sizes === undefined || shrinkage === 0 ? out : shrunkToBuckets(out, sizes, shrinkage, buckets);
  }

  /** gamma: how much a stock's own history counts, 0 to 1. */
  #trust(slot: number, sigma: number): number {
    const count = this.#counts[slot] ?? 0;
    const length = Math.min(1, Math.max(0, (count - 60) / 120));
    if (length === 0) return 0;
    const held = Math.min(count, ROBUST_DATES);
    const sorted = this.#residuals.slice(slot * ROBUST_DATES, slot * ROBUST_DATES + held).sort();
    const robust = (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 1.35;
    if (!(robust > 0)) return 0;
    return length * Math.min(1, Math.exp(1 - Math.abs(sigma - robust) / robust));
  }

  #grow(slots: number): void {
    const residuals = new Float32Array(slots * ROBUST_DATES).fill(NaN);
    residuals.set(this.#residuals);
    const counts = new Float64Array(slots);
    counts.set(this.#counts);
    [this.#residuals, this.#counts] = [residuals, counts];
    this.#variances.grow(slots);
  }

  state(): Record<string, Float64Array | Float32Array> {
    return { variances: this.#variances.state(), residuals: this.#residuals, counts: this.#counts };
  }

  restore(state: Readonly<Record<string, Float64Array | Float32Array>>): void {
    this.#variances.restore(state["variances"] as Float64Array);
    this.#residuals = state["residuals"] as Float32Array<ArrayBuffer>;
    this.#counts = state["counts"] as Float64Array<ArrayBuffer>;
  }
}

/** E_0 exp(X b): ln sigma of the stocks with a whole history by least squares on their exposures, E_0 takes the bias of exp off. Undefined with too few of them. */
function structuralModel(sigma: Float64Array, gamma: Float64Array, exposures: Float64Array, K: number): Float64Array | undefined {
  const [gram, moment] = [new Float64Array(K * K), new Float64Array(K)];
  let [count, low, high] = [0, Infinity, 0];
  for (const [i, value] of sigma.entries()) {
    if (!(value > 0) || gamma[i]! < 0.999) continue;
    count++;
    [low, high] = [Math.min(low, value), Math.max(high, value)];
    for (let a = 0; a < K; a++) {
      const x = exposures[i * K + a]!;
      if (x === 0) continue;
      moment[a]! += x * Math.log(value);
      for (let b = 0; b <= a; b++) gram[a * K + b]! += x * exposures[i * K + b]!;
    }
  }
  if (count < 2 * K) return undefined;
  let trace = 0;
  for (let a = 0; a < K; a++) trace += gram[a * (K + 1)]!;
  for (let a = 0; a < K; a++) gram[a * (K + 1)]! += (1e-6 * trace) / K;
  if (cholesky(gram, K) >= 0) return undefined;
  solveCholesky(gram, K, moment);
  const out = new Float64Array(sigma.length);
  let [actual, fitted] = [0, 0];
  for (let i = 0; i < out.length; i++) {
    let log = 0;
    for (let a = 0; a < K; a++) log += exposures[i * K + a]! * moment[a]!;
    out[i] = Math.exp(log);
    if (!(sigma[i]! > 0) || gamma[i]! < 0.999) continue;
    actual += sigma[i]!;
    fitted += out[i]!;
  }
  // exp of exposures far from those of the fit would be beyond all stocks.
  return out.map((value) => Math.min(high, Math.max(low, (value * actual) / fitted)));
}

/**
 * Shrinks volatilities to the mean of their size bucket: v = q |s - mean| / (deviation + q |s - mean|). Bucket of rank r from 1 of N: min(floor(r buckets / N), buckets - 1).
 *
 * @param sizes NaN for a stock in no bucket, which keeps its volatility
 */
export function shrunkToBuckets(sigma: Float64Array, sizes: Float64Array, q: number, buckets: number): Float64Array {
  const order = Array.from(sizes.keys()).filter((i) => !Number.isNaN(sizes[i]!)).sort((a, b) => sizes[a]! - sizes[b]! || a - b);
  const members = Array.from({ length: buckets }, (): number[] => []);
  for (const [r, i] of order.entries()) members[Math.min(Math.floor(((r + 1) * buckets) / order.length), buckets - 1)]!.push(i);
  const out = Float64Array.from(sigma);
  for (const own of members) {
    const mean = own.reduce((sum, i) => sum + sigma[i]!, 0) / own.length;
    const deviation = Math.sqrt(own.reduce((sum, i) => sum + (sigma[i]! - mean) ** 2, 0) / own.length);
    if (!(deviation > 0)) continue;
    for (const i of own) {
      const far = q * Math.abs(sigma[i]! - mean);
      const v = far / (deviation + far);
      out[i] = v * mean + (1 - v) * sigma[i]!;
    }
  }
  return out;
}
