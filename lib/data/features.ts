/** A feature that the core computes from prices: its value on date t reads dates t - reach to t (native/ops/data/price_features.cpp). */
export interface PriceFeature {
  readonly name: string;
  /** How many dates before t it reads: earlier in the panel it is missing. */
  readonly reach: number;
}

/** The set `ohlcv`: 20 features of open, high, low, close and volume known at the close of day t. A value depends on nothing outside its look-back, to the last bit. */
export const OHLCV_FEATURES: readonly PriceFeature[] = Object.freeze([
  { name: "return_1", reach: 1 },
  { name: "return_5", reach: 5 },
  { name: "return_20", reach: 20 },
  { name: "return_60", reach: 60 },
  { name: "return_120", reach: 120 },
  { name: "close_over_mean_5", reach: 4 },
  { name: "close_over_mean_10", reach: 9 },
  { name: "close_over_mean_20", reach: 19 },
  { name: "close_over_mean_30", reach: 29 },
  { name: "range", reach: 0 },
  { name: "position", reach: 0 },
  { name: "overnight_return", reach: 1 },
  { name: "intraday_return", reach: 0 },
  { name: "volatility_5", reach: 5 },
  { name: "volatility_20", reach: 20 },
  { name: "volume_over_mean_5", reach: 4 },
  { name: "volume_over_mean_20", reach: 19 },
  { name: "dollar_volume", reach: 19 },
  { name: "max_return_20", reach: 20 },
  { name: "close_over_max_60", reach: 59 },
]);

/** Sets of features that have a name. */
export const FEATURE_SETS = ["ohlcv", "loadings", "style"] as const;

/**
 * `ohlcv`: 20 price features; `loadings`: statistical exposures, whom a stock moved with over the last year; `style`: 21 known properties
 * such as size, beta and momentum.
 */
export type FeatureSetName = (typeof FEATURE_SETS)[number];

/** The set `style` (native/ops/data/style.h), in the core's order. The first is `size_proxy` where the panel has no column `size`. */
export const STYLE_FEATURES = [
  "size", "size_cubed", "beta", "momentum", "reversal", "ewma_20_120", "ewma_20_240", "volatility_243", "volatility_21", "residual_volatility", "turnover_volatility",
  "liquidity", "illiquidity", "range", "max_6", "min_6", "skewness", "downside_beta", "high_252", "seasonality", "age",
] as const;

/** Dates before its own that a style exposure reads; `seasonality` and `age` know all dates of the panel before theirs. */
export const STYLE_REACH = 252;
