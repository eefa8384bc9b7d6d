/** Covariance of a date's daily returns in factor form, X F X' + diag(v): written out as stocks x stocks only where somebody asks for that. */
export interface FactorForm {
  /** YYYY-MM-DD; everything here was known by its close. */
  readonly date?: string;
  /** In the order of the rows of X. */
  readonly tickers: readonly string[];
  /** In the order of the columns of X. */
  readonly factors: readonly string[];
  /** X, [stocks, factors], row-major. */
  readonly exposures: Float64Array;
  /** F, [factors, factors], symmetric and positive semidefinite: of daily returns, not annualised. */
  readonly factorCovariance: Float64Array;
  /** v, [stocks], above 0 but for the plain sample covariance, which has none: of daily returns, not annualised. */
  readonly specificVariance: Float64Array;
}
