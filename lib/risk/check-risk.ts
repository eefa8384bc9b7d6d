import { AstgnnError } from "../errors.js";
import type { FactorForm } from "./factor-form.js";
import type { ResolvedRiskModel } from "./options.js";
import { ROBUST_DATES } from "./specific-risk.js";

/** What a stored risk model is that nobody wrote so. */
export function unusable(what: string): AstgnnError {
  return new AstgnnError("ERR_CHECKPOINT", `This risk model cannot be used: ${what}.`, { next: "Take another copy of it, or estimate it again." });
}

/**
 * Compares the sizes of a stored state with its factors, stocks and options, and looks for sums that are no numbers: who reads it may have been given anything.
 *
 * @param factors the market, exposures and groups
 * @throws AstgnnError ERR_CHECKPOINT naming the part
 */
export function checkState({ slots: { length: S }, state }: { readonly slots: readonly string[]; readonly state: Readonly<Record<string, Float64Array | Float32Array>> }, factors: number, options: ResolvedRiskModel): void {
  const K = factors;
  const part = (name: string, kind: typeof Float64Array | typeof Float32Array = Float64Array): Float64Array | Float32Array => {
    const values = state[name];
    if (!(values instanceof kind)) throw unusable(`state.${name} is ${values === undefined ? "missing" : "of another type"}`);
    return values;
  };
  const sized = (name: string, length: number, kind?: typeof Float32Array): Float64Array | Float32Array => {
    const values = part(name, kind);
    if (values.length !== length) throw unusable(`state.${name} has ${values.length} numbers where ${length} belong`);
    return values;
  };
  /** Sums of decayed variances [4 (lags + 1), series], the newest values behind them; how many series they are of. */
  const variances = (name: string, lags: number): number => {
    const values = part(name);
    const series = values.length / (5 * (lags + 1));
    if (!Number.isInteger(series)) throw unusable(`state.${name} has ${values.length} numbers, no whole number of series`);
    refuseNotFinite(values.subarray(0, 4 * (lags + 1) * series), `state.${name}`);
    return series;
  };
  const atMost = (name: string, count: number, most: number): void => {
    if (!Number.isInteger(count) || count > most) throw unusable(`state.${name} is of ${count} of ${most}`);
  };
  if (variances("covariance.volatility", options.volatilityLags) !== K) throw unusable(`state.covariance.volatility is not of ${K} factors`);
  const lags = options.correlationLags + 1;
  const correlation = sized("covariance.correlation", 1 + lags + 3 * lags * K + lags * K * K);
  if (!Number.isInteger(correlation[0]) || correlation[0]! < 0) throw unusable("state.covariance.correlation counts no dates");
  refuseNotFinite(correlation, "state.covariance.correlation");
  const eigen = part("covariance.eigenfactors");
  if (eigen.length !== 0 && eigen.length !== 1 + K) throw unusable("state.covariance.eigenfactors is of another number of factors");
  refuseNotFinite(eigen, "state.covariance.eigenfactors");
  const own = variances("specific.variances", options.specificLags);
  atMost("specific.variances", own, S);
  sized("specific.residuals", own * ROBUST_DATES, Float32Array);
  refuseNotFinite(sized("specific.counts", own), "state.specific.counts");
  if (options.standardise !== false) {
    atMost("scale.variances", variances("scale.variances", 0), S);
    refuseNotFinite(sized("scale.counts", S), "state.scale.counts");
  }
  if (options.regimeHalfLife !== false) for (const name of ["regime.factors", "regime.specific"]) refuseNotFinite(sized(name, 2), `state.${name}`);
  if (options.residuals === false) return;
  const { window, refresh } = options.residuals;
  const count = sized("residuals.count", 1)[0]!;
  const returns = part("residuals.factorReturns");
  const rows = returns.length / K;
  atMost("residuals.factorReturns", rows, window + refresh);
  if (!Number.isInteger(count) || rows !== Math.min(count, window + refresh)) throw unusable(`state.residuals counts ${count} dates and has ${rows}`);
  refuseNotFinite(returns, "state.residuals.factorReturns");
  atMost("residuals.residuals", rows === 0 ? 0 : part("residuals.residuals", Float32Array).length / rows, S);
}

/** @throws AstgnnError ERR_CHECKPOINT where a form that a stored state gave has a number that is none: no estimate leads there */
export function refuseForm({ date, tickers, exposures, factorCovariance, specificVariance }: FactorForm): void {
  refuseNotFinite(factorCovariance, `the factor covariance of ${date}`);
  refuseNotFinite(specificVariance, `the specific variance of ${date}`);
  if (exposures.length % tickers.length !== 0) throw unusable(`the exposures of ${date} are not of ${tickers.length} stocks`);
}

function refuseNotFinite(values: ArrayLike<number>, what: string): void {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) throw unusable(`${what} holds ${values[i]}`);
}
