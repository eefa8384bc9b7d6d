import { randomBits } from "../metrics/random.js";
import { congruence, symmetricEigen } from "../metrics/dense.js";
import { DecayedMoments } from "./decayed-moments.js";
import { DecayedVariances } from "./decayed-variances.js";

/** How a covariance of factor returns is estimated. */
export interface FactorCovarianceOptions {
  /** Half-lives of volatilities and of correlations, and the lags of Newey and West for each. */
  readonly volatilityHalfLife: number;
  readonly volatilityLags: number;
  readonly correlationHalfLife: number;
  readonly correlationLags: number;
  readonly eigenfactors: EigenfactorOptions | false;
}

/** The eigenfactor adjustment of Menchero, Wang and Orr (2011). */
export interface EigenfactorOptions {
  /** Simulated histories. */
  readonly simulations: number;
  /** Simulated bias less 1 is scaled by it. */
  readonly scale: number;
  /** Dates after which the bias is simulated anew. */
  readonly refresh: number;
  readonly seed: number;
}

/** Longest simulated history, in correlation half-lives: what lies before it has a weight below 1/16. */
const SIMULATED_HALF_LIVES = 4;

/**
 * F = D C D of factor returns: volatilities D of a short memory, correlations C of a long one, then the eigenfactor adjustment. Positive semidefinite: C is a
 * correlation matrix of a semidefinite one.
 */
export class FactorCovariance {
  readonly #options: FactorCovarianceOptions;
  readonly #volatility: DecayedVariances;
  readonly #correlation: DecayedMoments;
  #bias: Float64Array | undefined;
  #simulatedAt = -Infinity;

  constructor(factors: number, options: FactorCovarianceOptions) {
    this.#options = options;
    this.#volatility = new DecayedVariances(factors, options.volatilityHalfLife, options.volatilityLags, true);
    this.#correlation = new DecayedMoments(factors, options.correlationHalfLife, options.correlationLags);
  }

  /** Dates so far. */
  get count(): number {
    return this.#correlation.count;
  }

  update(factorReturns: Float64Array): void {
    this.#volatility.update(factorReturns);
    this.#correlation.update(factorReturns);
  }

  /** By their own memory, before any adjustment. [K] */
  volatilities(): Float64Array {
    return this.#volatility.variances().map(Math.sqrt);
  }

  /** F [K, K]. */
  covariance(): Float64Array {
    const K = this.#volatility.size;
    const covariance = combined(this.#volatility, this.#correlation);
    const { eigenfactors } = this.#options;
    if (eigenfactors === false || K < 2) return covariance;
    const { values, vectors } = symmetricEigen(covariance, K);
    if (this.#bias === undefined || this.count - this.#simulatedAt >= eigenfactors.refresh) {
      this.#bias = simulatedBias(values, this.count, this.#options, eigenfactors);
      this.#simulatedAt = this.count;
    }
    const adjusted = new Float64Array(K * K);
    for (let k = 0; k < K; k++) adjusted[k * (K + 1)] = Math.max(0, values[k]!) * (eigenfactors.scale * (this.#bias[k]! - 1) + 1) ** 2;
    return congruence(transposed(vectors, K), adjusted, K, K);
  }

  state(): Record<string, Float64Array> {
    return {
      volatility: this.#volatility.state(), correlation: this.#correlation.state(),
      eigenfactors: this.#bias === undefined ? new Float64Array(0) : Float64Array.of(this.#simulatedAt, ...this.#bias),
    };
  }

  restore(state: Readonly<Record<string, Float64Array>>): void {
    this.#volatility.restore(state["volatility"]!);
    this.#correlation.restore(state["correlation"]!);
    const stored = state["eigenfactors"]!;
    if (stored.length === 0) return;
    this.#simulatedAt = stored[0]!;
    this.#bias = stored.slice(1);
  }
}

/** D C D. */
function combined(volatility: DecayedVariances, correlation: DecayedMoments): Float64Array {
  const K = volatility.size;
  const [own, common] = [volatility.variances(), correlation.covariance()];
  const scale = Float64Array.from({ length: K }, (_, k) => {
    const long = common[k * (K + 1)]!;
    return long > 0 ? Math.sqrt(own[k]! / long) : 0;
  });
  return common.map((value, i) => value * scale[Math.floor(i / K)]! * scale[i % K]!);
}

/**
 * v_k = sqrt mean over simulations of U_k' F_0 U_k / D_k: by how much the estimator understates the volatility of its own k-th eigenfactor, where F_0 is the
 * truth. Simulated in the axes of F_0, where it is diagonal; the estimator is the same but for correlations being taken there too.
 */
function simulatedBias(values: Float64Array, count: number, options: FactorCovarianceOptions, { simulations, seed }: EigenfactorOptions): Float64Array {
  const K = values.length;
  const deviations = values.map((value) => Math.sqrt(Math.max(0, value)));
  const dates = Math.min(count, Math.ceil(SIMULATED_HALF_LIVES * Math.min(options.correlationHalfLife, count)));
  const normal = normals(seed);
  const ratios = new Float64Array(K);
  const draw = new Float64Array(K);
  for (let m = 0; m < simulations; m++) {
    const volatility = new DecayedVariances(K, options.volatilityHalfLife, options.volatilityLags, true);
    const correlation = new DecayedMoments(K, options.correlationHalfLife, options.correlationLags);
    for (let t = 0; t < dates; t++) {
      for (let k = 0; k < K; k++) draw[k] = deviations[k]! * normal();
      volatility.update(draw);
      correlation.update(draw);
    }
    const simulated = symmetricEigen(combined(volatility, correlation), K);
    for (let k = 0; k < K; k++) {
      let truth = 0;
      for (let i = 0; i < K; i++) truth += simulated.vectors[k * K + i]! ** 2 * values[i]!;
      ratios[k]! += simulated.values[k]! > 0 ? truth / simulated.values[k]! : 1;
    }
  }
  return ratios.map((sum) => Math.sqrt(sum / simulations));
}

/** Standard normal numbers (Box and Muller), the same on every machine up to the rounding of log and cos. */
export function normals(seed: number): () => number {
  const random = randomBits(seed, 0x5eed);
  const uniform = (): number => (random() + 0.5) / 2 ** 32;
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

function transposed(matrix: Float64Array, n: number): Float64Array {
  return matrix.map((_, i) => matrix[(i % n) * n + Math.floor(i / n)]!);
}
