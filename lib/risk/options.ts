import { z } from "zod";

const positive = z.number().positive();
const lags = z.int().min(0).max(60);

/** Options of a risk model, all optional; every stage can be switched off. */
export const RiskModelOptionsSchema = z.strictObject({
  winsorise: z.union([positive, z.literal(false)]).default(5).describe("a number of robust deviations above 0, or false"),
  standardise: z.union([positive, z.literal(false)]).default(42).describe("a number of dates above 0, or false"),
  ridge: z.number().min(0).default(0).describe("a number from 0"),
  volatilityHalfLife: positive.default(168).describe("a number of dates above 0"),
  volatilityLags: lags.default(0).describe("a whole number from 0 to 60"),
  correlationHalfLife: positive.default(504).describe("a number of dates above 0"),
  correlationLags: lags.default(2).describe("a whole number from 0 to 60"),
  eigenfactors: z
    .union([z.literal(false), z.strictObject({ simulations: z.int().min(2).max(10_000).default(50), scale: positive.default(1.4), refresh: z.int().min(1).default(21), seed: z.int().min(0).default(0) })])
    .default(false)
    .describe("false or { simulations, scale, refresh, seed }"),
  regimeHalfLife: z.union([positive, z.literal(false)]).default(4).describe("a number of dates above 0, or false"),
  specificHalfLife: positive.default(84).describe("a number of dates above 0"),
  specificLags: lags.default(0).describe("a whole number from 0 to 60"),
  structural: z.boolean().default(true).describe("true or false"),
  shrinkage: z.number().min(0).default(0.1).describe("a number from 0"),
  residuals: z
    .union([z.literal(false), z.strictObject({ window: z.int().min(20).max(100_000).default(252), refresh: z.int().min(1).max(100_000).default(21), correlation: z.number().gt(0).max(1).default(0.4), factors: z.int().min(0).default(40) })])
    .prefault({})
    .describe("false or { window, refresh, correlation, factors }"),
  sizeBuckets: z.int().min(1).max(1000).default(10).describe("a whole number from 1 to 1000"),
});

/** How a risk model is estimated. Dates are those of the data. */
export interface RiskModelOptions {
  /** Returns further from their date's median than so many robust deviations (1.4826 times the median absolute one) are drawn in; false: none are. Default 5. */
  readonly winsorise?: number | false | undefined;
  /**
   * Half-life of the volatility that a stock's returns are divided by before they are explained, and its exposures multiplied by afterwards: what M learns to explain are
   * standardised returns. false: returns as they are, weighed by the root of size. Default 42.
   */
  readonly standardise?: number | false | undefined;
  /** Shrinks factor returns other than the market's to 0: added to the diagonal of X'WX as a share of its mean. Default 0. */
  readonly ridge?: number | undefined;
  /** Half-life of the factors' volatilities, in dates; Infinity for equal weights. Default 168. */
  readonly volatilityHalfLife?: number | undefined;
  /** Newey-West lags of these volatilities. Default 0, for the next date alone; of a month ahead USE4 takes 5. */
  readonly volatilityLags?: number | undefined;
  /** Half-life of the factors' correlations. Default 504. */
  readonly correlationHalfLife?: number | undefined;
  /** Newey-West lags of these correlations. Default 2. */
  readonly correlationLags?: number | undefined;
  /** The eigenfactor adjustment of Menchero, Wang and Orr (2011) by simulation: 50 histories, 1.4 times the bias, anew after 21 dates. Default false. */
  readonly eigenfactors?: false | { readonly simulations?: number; readonly scale?: number; readonly refresh?: number; readonly seed?: number } | undefined;
  /** Half-life of the volatility regime, of factors and of specific risk; false: none. Default 4: a date's mean over all factors or stocks says much about the next. */
  readonly regimeHalfLife?: number | false | undefined;
  /** Half-life of specific volatilities. Default 84. */
  readonly specificHalfLife?: number | undefined;
  /** Newey-West lags of specific volatilities. Default 0: what a stock takes back on the next date (bid and ask) is risk of a day all the same. */
  readonly specificLags?: number | undefined;
  /** Whether stocks with a short or unsteady history get in part what stocks of the same exposures have. Default true. */
  readonly structural?: boolean | undefined;
  /** q of the shrinkage of specific volatilities to the mean of their size bucket; 0: none. Default .1. */
  readonly shrinkage?: number | undefined;
  /**
   * What the residuals of the last `window` dates still have in common, found anew every `refresh` dates: with the factors (regressions of each stock's residuals, added to its
   * exposures) and with one another (correlations beyond `correlation`, by `factors` more factors at most). From the `window`-th date on. Default { window: 252,
   * refresh: 21, correlation: .4, factors: 40 }; false: nothing.
   */
  readonly residuals?: false | { readonly window?: number; readonly refresh?: number; readonly correlation?: number; readonly factors?: number } | undefined;
  /** From 1 to 1000. Default 10. */
  readonly sizeBuckets?: number | undefined;
}

export type ResolvedRiskModel = z.output<typeof RiskModelOptionsSchema>;
