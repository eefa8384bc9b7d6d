import { symmetricEigen } from "../metrics/dense.js";
import { type EigenBias, RankedForecasts } from "./eigen-portfolios.js";
import type { RiskModel } from "./estimator.js";
import { type EigenfactorOptions, FactorCovariance } from "./factor-covariance.js";
import { meanSquare, Regime } from "./regime.js";

/** The adjustment as Menchero, Wang and Orr have it. */
const ADJUSTMENT: EigenfactorOptions = { simulations: 50, scale: 1.4, refresh: 21, seed: 0 };
/** Dates after which a regime is known, as in the model. */
const REGIME_FROM = 42;

/** Bias of the eigenvectors of the factor covariance as portfolios of factors, without and with the eigenfactor adjustment, by rank. */
export interface EigenfactorBias {
  readonly plain: EigenBias;
  readonly adjusted: EigenBias;
}

/** Judges the eigenfactor adjustment: whether it is switched on or not, both ways are estimated from the model's factor returns. */
export class EigenfactorJudge {
  readonly #plain = new RankedForecasts();
  readonly #adjusted = new RankedForecasts();
  #model: RiskModel | undefined;
  #own: { readonly plain: FactorCovariance; readonly adjusted: FactorCovariance; readonly regime: Regime | undefined; taken: number } | undefined;
  /** Of the date before: eigenvectors as rows, and variances both ways. */
  #forecast: { readonly vectors: Float64Array; readonly plain: Float64Array; readonly adjusted: Float64Array } | undefined;

  /** Takes in a date that the model has learned; `forecasts`: whether the next date's factor returns are to be judged. */
  add(model: RiskModel, forecasts: boolean): void {
    const K = model.factors.length;
    if (model !== this.#model) {
      const { regimeHalfLife } = model.options;
      [this.#model, this.#forecast] = [model, undefined];
      this.#own = { plain: new FactorCovariance(K, { ...model.options, eigenfactors: false }), adjusted: new FactorCovariance(K, { ...model.options, eigenfactors: ADJUSTMENT }), regime: regimeHalfLife === false ? undefined : new Regime(regimeHalfLife), taken: 0 };
    }
    const own = this.#own!;
    for (; own.taken < model.history.length; own.taken++) {
      const { returns } = model.history[own.taken]!;
      this.#judge(returns);
      if (own.plain.count >= REGIME_FROM) own.regime?.update(meanSquare(returns, own.plain.volatilities()));
      own.plain.update(returns);
      own.adjusted.update(returns);
    }
    if (!forecasts || own.plain.count <= K) return;
    const covariance = own.plain.covariance();
    const { values, vectors } = symmetricEigen(covariance, K);
    const changed = own.adjusted.covariance();
    const regime = own.regime?.variance ?? 1;
    const adjusted = Float64Array.from({ length: K }, (_, k) => {
      let sum = 0;
      for (let a = 0; a < K; a++) for (let b = 0; b < K; b++) sum += vectors[k * K + a]! * changed[a * K + b]! * vectors[k * K + b]!;
      return sum * regime;
    });
    this.#forecast = { vectors, plain: values.map((value) => value * regime), adjusted };
  }

  result(): EigenfactorBias {
    return { plain: this.#plain.bias(), adjusted: this.#adjusted.bias() };
  }

  #judge(returns: Float64Array): void {
    if (this.#forecast === undefined) return;
    const { vectors, plain, adjusted } = this.#forecast;
    const K = returns.length;
    for (let k = 0; k < K; k++) {
      let value = 0;
      for (let a = 0; a < K; a++) value += vectors[k * K + a]! * returns[a]!;
      this.#plain.add(k, value, plain[k]!);
      this.#adjusted.add(k, value, adjusted[k]!);
    }
    this.#forecast = undefined;
  }
}
