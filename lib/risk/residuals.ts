import { symmetricEigen } from "../metrics/dense.js";
import type { FactorForm } from "./factor-form.js";
import { linkedResiduals } from "./linked-residuals.js";

/** What the residuals of stocks are looked through for. */
export interface ResidualOptions {
  /** Dates that are looked at. */
  readonly window: number;
  /** Dates after which it is done anew. */
  readonly refresh: number;
  /** Correlations of residuals above this, of either sign, are taken for true. */
  readonly correlation: number;
  /** Factors at most that stand for such correlations. */
  readonly factors: number;
}

/** What the residuals of stocks have in common with factors and with one another. Of stocks by slot. */
export interface CommonResiduals {
  /** Exposures to be added, of residuals as they were told. [slots, K] */
  readonly betas: Float64Array;
  /** Deviation of the residuals; 0 for a stock without enough of them. [slots] */
  readonly deviations: Float64Array;
  /** Share of their variance that the betas explain, 0 to 1. [slots] */
  readonly explained: Float64Array;
  /** Loadings on factors of variance 1, in units of the deviation of what the betas leave. [slots, links] */
  readonly loadings: Float64Array;
  readonly links: number;
  /** Share of the variance of what the betas leave that the loadings explain. [slots] */
  readonly linked: Float64Array;
}

/** A stock is looked at with returns on this share of the window's dates. */
const LEAST_PRESENT = 0.6;
/** Of a variance, what stays a stock's own. */
const MOST_EXPLAINED = 0.99;
/** Directions of factor returns that residuals are regressed on: a quarter of the dates at most. */
const DATES_PER_DIRECTION = 4;

/**
 * Looks for what a factor model leaves common to stocks. Exposures that were not estimated from a stock's own returns leave residuals that still move with the factors (an
 * inverse fund that is given half of its beta), and pairs of the same thing in two papers leave residuals that move together. The first is a regression of residuals on
 * factor returns, the second the leading factors of those correlations of the rest that cannot be chance (after Fan, Liao and Mincheva 2013, who threshold them).
 */
export class Residuals {
  readonly #factors: number;
  readonly #options: ResidualOptions;
  /** The newest window + refresh dates: of each its factor returns and its residuals by slot. */
  #rows: { readonly factorReturns: Float64Array; readonly residuals: Float32Array }[] = [];
  #count = 0;
  #found: CommonResiduals | undefined;
  #foundAt = -1;

  constructor(factors: number, options: ResidualOptions) {
    this.#factors = factors;
    this.#options = options;
  }

  /** @param residuals of every slot, NaN where there is none; may be longer than before */
  update(factorReturns: Float64Array, residuals: Float64Array): void {
    this.#rows.push({ factorReturns: Float64Array.from(factorReturns), residuals: Float32Array.from(residuals) });
    if (this.#rows.length > this.#options.window + this.#options.refresh) this.#rows.shift();
    this.#count++;
  }

  /** As of the last date whose number is a multiple of `refresh`; undefined before there are as many dates as the window has. */
  common(): CommonResiduals | undefined {
    const { window, refresh } = this.#options;
    const at = this.#count - (this.#count % refresh);
    if (at < window) return undefined;
    if (at !== this.#foundAt) {
      const end = this.#rows.length - (this.#count - at);
      [this.#found, this.#foundAt] = [commonOf(this.#rows.slice(end - window, end), this.#factors, this.#options), at];
    }
    return this.#found;
  }

  state(): Record<string, Float64Array | Float32Array> {
    const slots = this.#rows.at(-1)?.residuals.length ?? 0;
    const factorReturns = new Float64Array(this.#rows.length * this.#factors);
    const residuals = new Float32Array(this.#rows.length * slots).fill(NaN);
    for (const [t, row] of this.#rows.entries()) {
      factorReturns.set(row.factorReturns, t * this.#factors);
      residuals.set(row.residuals, t * slots);
    }
    return { count: Float64Array.of(this.#count), factorReturns, residuals };
  }

  restore(state: Readonly<Record<string, Float64Array | Float32Array>>): void {
    const [factorReturns, residuals] = [state["factorReturns"] as Float64Array, state["residuals"] as Float32Array];
    const rows = factorReturns.length / this.#factors;
    const slots = rows === 0 ? 0 : residuals.length / rows;
    this.#count = state["count"]![0]!;
    this.#rows = Array.from({ length: rows }, (_, t) => ({ factorReturns: factorReturns.slice(t * this.#factors, (t + 1) * this.#factors), residuals: residuals.slice(t * slots, (t + 1) * slots) }));
  }
}

function commonOf(rows: readonly { readonly factorReturns: Float64Array; readonly residuals: Float32Array }[], K: number, options: ResidualOptions): CommonResiduals {
  const T = rows.length;
  const slots = rows.at(-1)!.residuals.length;
  const { scores, directions, count } = whitened(rows.map(({ factorReturns }) => factorReturns), K);
  const [deviations, explained, betas] = [new Float64Array(slots), new Float64Array(slots), new Float64Array(slots * K)];
  const left: Float64Array[] = [];
  const members: number[] = [];
  const own = new Float64Array(count);
  for (let slot = 0; slot < slots; slot++) {
    let [present, square] = [0, 0];
    own.fill(0);
    for (let t = 0; t < T; t++) {
      const value = rows[t]!.residuals[slot] ?? NaN;
      if (Number.isNaN(value)) continue;
      present++;
      square += value * value;
      for (let c = 0; c < count; c++) own[c]! += value * scores[t * count + c]!;
    }
    if (present < LEAST_PRESENT * T || !(square > 0)) continue;
    const variance = square / present;
    let fit = 0;
    for (let c = 0; c < count; c++) {
      own[c]! /= present;
      fit += own[c]! ** 2 / variance;
      for (let k = 0; k < K; k++) betas[slot * K + k]! += own[c]! * directions[c * K + k]!;
    }
    deviations[slot] = Math.sqrt(variance);
    // As many directions as there are explain a part of anything.
    explained[slot] = Math.min(MOST_EXPLAINED, Math.max(0, 1 - ((1 - fit) * T) / (T - count)));
    const rest = new Float64Array(T);
    let norm = 0;
    for (let t = 0; t < T; t++) {
      let value = rows[t]!.residuals[slot] ?? NaN;
      if (Number.isNaN(value)) continue;
      for (let c = 0; c < count; c++) value -= own[c]! * scores[t * count + c]!;
      rest[t] = value;
      norm += value * value;
    }
    if (!(norm > 0)) continue;
    const scale = 1 / Math.sqrt(norm);
    left.push(rest.map((value) => value * scale));
    members.push(slot);
  }
  const { loadings: few, links } = linkedResiduals(left, options.correlation, options.factors);
  const [loadings, linked] = [new Float64Array(slots * links), new Float64Array(slots)];
  for (const [i, slot] of members.entries()) {
    const row = few.subarray(i * links, (i + 1) * links);
    const share = row.reduce((sum, value) => sum + value * value, 0);
    linked[slot] = Math.min(share, MOST_EXPLAINED);
    const scale = share > MOST_EXPLAINED ? Math.sqrt(MOST_EXPLAINED / share) : 1;
    for (let k = 0; k < links; k++) loadings[slot * links + k] = scale * row[k]!;
  }
  return { betas, deviations, explained, loadings, links, linked };
}

/** Factor returns in uncorrelated directions of variance 1: scores [T, count] = returns times directions' [count, K]. */
function whitened(factorReturns: readonly Float64Array[], K: number): { scores: Float64Array; directions: Float64Array; count: number } {
  const T = factorReturns.length;
  const products = new Float64Array(K * K);
  for (const values of factorReturns) for (let a = 0; a < K; a++) for (let b = 0; b < K; b++) products[a * K + b]! += (values[a]! * values[b]!) / T;
  const { values, vectors } = symmetricEigen(products, K);
  const count = Math.min(Math.floor(T / DATES_PER_DIRECTION), values.filter((value) => value > 1e-12 * values[0]!).length);
  const directions = new Float64Array(count * K);
  for (let c = 0; c < count; c++) for (let k = 0; k < K; k++) directions[c * K + k] = vectors[c * K + k]! / Math.sqrt(values[c]!);
  const scores = new Float64Array(T * count);
  for (let t = 0; t < T; t++) for (let c = 0; c < count; c++) for (let k = 0; k < K; k++) scores[t * count + c]! += directions[c * K + k]! * factorReturns[t]![k]!;
  return { scores, directions, count };
}

/**
 * A form with what residuals have in common: betas are added to the exposures, and factors `residual_1`, ... of variance 1 stand behind the others. The variance that a stock had
 * for its own stays in all what it was, but for what its betas add by chance.
 *
 * @param slots slot of each stock of the form, -1 for none
 */
export function withResiduals({ exposures: before, factors, factorCovariance, specificVariance, ...form }: FactorForm, slots: Int32Array, { betas, deviations, explained, loadings, links, linked }: CommonResiduals): FactorForm {
  const K = factors.length;
  const width = K + links;
  const exposures = new Float64Array(slots.length * width);
  const own = Float64Array.from(specificVariance);
  for (const [i, slot] of slots.entries()) {
    exposures.set(before.subarray(i * K, (i + 1) * K), i * width);
    const deviation = deviations[slot] ?? 0;
    if (!(deviation > 0)) continue;
    const scale = Math.sqrt(own[i]!) / deviation;
    for (let k = 0; k < K; k++) exposures[i * width + k]! += scale * betas[slot * K + k]!;
    own[i]! *= 1 - explained[slot]!;
    const rest = Math.sqrt(own[i]!);
    for (let k = 0; k < links; k++) exposures[i * width + K + k] = rest * loadings[slot * links + k]!;
    own[i]! *= 1 - linked[slot]!;
  }
  const all = new Float64Array(width * width);
  for (let k = 0; k < K; k++) all.set(factorCovariance.subarray(k * K, (k + 1) * K), k * width);
  for (let k = K; k < width; k++) all[k * (width + 1)] = 1;
  return { ...form, factors: [...factors, ...Array.from({ length: links }, (_, k) => `residual_${k + 1}`)], exposures, factorCovariance: all, specificVariance: own };
}
