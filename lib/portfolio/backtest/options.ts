import { z } from "zod";
import type { PanelSource } from "../../data/source/panel-source.js";
import type { PanelValues } from "../../data/types.js";
import type { FactorForm } from "../../risk/factor-form.js";
import type { Warning } from "../../warn.js";

/** Books made of predictions: long and short by the distance from the mean, the top against the bottom quantile, or the highest alone. */
export const BOOKS = ["factorWeighted", "quantiles", "top"] as const;

/** Name of a book made of predictions. */
export type BookName = (typeof BOOKS)[number];

/** Options of a backtest as the command line and the library check them. */
export const backtestShape = {
  capital: z.number().gt(0).default(1e6).describe("a number above 0").meta({ help: "money at the beginning, in the currency of the prices", value: "money" }),
  fill: z.enum(["close", "open"]).default("close").describe('"close" or "open"').meta({ help: "price at which orders are filled", value: "price" }),
  lagDays: z.int().min(1).default(1).describe("a whole number from 1").meta({ help: "dates from a decision, which is made after a close, to its fill", value: "dates" }),
  costBps: z.number().min(0).default(5).describe("a number from 0"),
  borrowBps: z.number().min(0).default(50).describe("a number from 0").meta({ help: "basis points a year of the value that is short", value: "bps" }),
  cashBps: z.number().min(-1e4).max(1e4).default(0).describe("a number from -10000 to 10000").meta({ help: "basis points a year that cash earns, and debt costs", value: "bps" }),
  impact: z.number().min(0).default(0).describe("a number from 0").meta({ help: "coefficient of square-root market impact, about 1 where it counts; needs a column volume", value: "number" }),
  impactDays: z.int().min(2).default(20).describe("a whole number from 2").meta({ help: "dates before the fill over which the impact takes volatility and traded value", value: "dates" }),
  lotSize: z.number().min(0).default(0).describe("a number from 0").meta({ help: "shares of a lot; 0 trades parts of a share", value: "shares" }),
  unfilled: z.enum(["carry", "drop"]).default("carry").describe('"carry" or "drop"').meta({ help: "what becomes of an order for a stock that cannot be traded: it waits until it can, or is dropped", value: "action" }),
  delistingReturn: z.number().min(-1).default(0).describe("a number from -1").meta({ help: "return from the last price to what a delisted stock is paid out at", value: "return" }),
  maxGross: z.number().gt(0).default(2).describe("a number above 0").meta({ help: "largest sum of absolute target weights before a decision is refused", value: "number" }),
  maxDropped: z.number().min(0).max(1).default(0.05).describe("a share from 0 to 1"),
  periodsPerYear: z.number().gt(0).default(252).describe("a number above 0").meta({ help: "dates of a year, by which returns are annualised", value: "dates" }),
  to: z.iso.date().optional().describe("a date YYYY-MM-DD").meta({ help: "last date of the backtest", value: "date", byDefault: "the last of the prices; of predictions the end of the last holding" }),
  benchmark: z.string().min(1).optional().describe("universe or a ticker").meta({ help: "what the book is measured against: universe, for all its stocks alike, or a ticker of the prices", value: "name" }),
  capacity: z.array(z.number().gt(0).describe("a number above 0")).min(1).optional().describe("a list of numbers above 0").meta({ help: "capitals at which to run again, for the capacity curve", value: "money" }),
};

export const BacktestOptionsSchema = z.strictObject({
  ...backtestShape,
  signal: z.instanceof(AbortSignal).optional().describe("an AbortSignal"),
  onProgress: z.custom<(done: number) => void>((value) => typeof value === "function").optional().describe("a function"),
  onWarning: z.custom<(warning: Warning) => void>((value) => typeof value === "function").optional().describe("a function"),
});

/** Options of a backtest with defaults filled in. */
export type ResolvedBacktest = Readonly<z.output<typeof BacktestOptionsSchema>>;

/** How to trade, and what it costs. */
export interface BacktestOptions {
  /** Money at the beginning, in the currency of the prices, above 0. Matters for lots and impact alone. Default 1,000,000. */
  readonly capital?: number | undefined;
  /** Price of the fill date at which orders are filled. Default "close". */
  readonly fill?: "close" | "open" | undefined;
  /** Panel dates from a decision to its fill, from 1: a decision is made after a close, so there is no same-day fill. Default 1. */
  readonly lagDays?: number | undefined;
  /** Basis points of each unit of traded value, one way. Default 5. */
  readonly costBps?: number | undefined;
  /** Basis points a year of the value that is short over night. Default 50. */
  readonly borrowBps?: number | undefined;
  /** Basis points a year that cash earns over night, and negative cash costs. Default 0. */
  readonly cashBps?: number | undefined;
  /**
   * Y of the square-root law: trading the value x costs Y sigma sqrt(x / ADV) of it, sigma the standard deviation of the stock's daily returns and ADV its
   * mean daily traded value over the `impactDays` dates before the fill (Grinold and Kahn 2000; Y of order 1). Default 0: no impact.
   */
  readonly impact?: number | undefined;
  /** Panel dates before the fill that sigma and ADV are taken from, from 2. Default 20. */
  readonly impactDays?: number | undefined;
  /** Shares of a lot: positions are whole lots, rounded towards zero. Default 0: parts of a share. */
  readonly lotSize?: number | undefined;
  /** An order for a stock without a price, or not tradable, on the fill date waits until it can be traded or its portfolio decided anew (`carry`), or is dropped. Default "carry". */
  readonly unfilled?: "carry" | "drop" | undefined;
  /** Return from a delisted stock's last price to what is paid out, from -1 (Shumway 1997 found about -.3 for bankruptcies). Default 0. */
  readonly delistingReturn?: number | undefined;
  /** Largest sum of absolute target weights before a decision is refused. Default 2. */
  readonly maxGross?: number | undefined;
  /** Largest share of weights or predictions of unknown stocks, 0 to 1. Default .05. */
  readonly maxDropped?: number | undefined;
  /** Dates of a year. Default 252. */
  readonly periodsPerYear?: number | undefined;
  /** Last date, YYYY-MM-DD. Default: the last of the prices; of predictions the end of the last holding. */
  readonly to?: string | undefined;
  /** What the book is measured against, for `relative`: "universe" for all stocks of the universe alike, anew on every date and without costs, or a ticker of the panel. Default none. */
  readonly benchmark?: string | undefined;
  /** Capitals at which to run again with the same decisions: gives `capacity`. Default none. */
  readonly capacity?: readonly number[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Share of the dates done, 0 to 1. */
  readonly onProgress?: ((done: number) => void) | undefined;
  readonly onWarning?: ((warning: Warning) => void) | undefined;
}

/** Portfolios made of predictions, several side by side where a holding spans several dates. */
export interface PredictionsSource {
  /** [dates, stocks] or [dates, stocks, width], NaN where a stock is not in; those of date t are traded `lagDays` panel dates later. */
  readonly predictions: PanelValues;
  /** Which of the predictions, from 0. Default 0. */
  readonly prediction?: number | undefined;
  /** Panel dates for which a portfolio is held, from 1: so many stand side by side, each of an equal part, one renewed per date (Jegadeesh and Titman 1993). Default 1. */
  readonly horizonDays?: number | undefined;
  /** `factorWeighted`: w = (f - mean f) / sum |f - mean f|; `quantiles`: the top quantile against the bottom one, gross 1; `top`: the `topK` highest alike, long only. Default "factorWeighted". */
  readonly book?: BookName | undefined;
  /** Quantiles of `quantiles`, from 2. Default 5. */
  readonly quantiles?: number | undefined;
  /** Stocks of `top`, from 1. Default: a tenth of the mean number of stocks. */
  readonly topK?: number | undefined;
}

/** Target weights that somebody decided: a share of the book's value each, what is left being cash. */
export interface WeightsSource {
  /**
   * [dates, stocks], NaN where a stock is not held; or a table (a file, a query) with date, ticker and weight. A date's weights are the whole
   * portfolio, decided after the close of the last panel date up to it.
   */
  readonly weights: PanelValues | PanelSource;
}

/** Weights decided on the way, knowing only what was known. */
export interface ScheduleSource {
  /** Decides after a close; undefined leaves the book as it is. */
  readonly rebalance: (known: Known) => TargetWeights | undefined | Promise<TargetWeights | undefined>;
  /** Panel dates from one decision to the next, from 1, or the dates themselves, YYYY-MM-DD. Default 21. */
  readonly every?: number | readonly string[] | undefined;
  /** First date of a decision, YYYY-MM-DD. Default: the first of `predictions`, else of the prices. */
  readonly from?: string | undefined;
  /** Predictions [dates, stocks]; a decision sees those of its own date. */
  readonly predictions?: PanelValues | undefined;
  /** The covariance of a date, known by its close. */
  readonly risk?: ((date: string) => FactorForm | undefined | Promise<FactorForm | undefined>) | undefined;
}

/** What is known after the close of a date. */
export interface Known {
  /** YYYY-MM-DD */
  readonly date: string;
  /** Stocks that have a close on the date and are in the universe, and those that are held: ascending. */
  readonly tickers: readonly string[];
  /** Of each of `tickers`, at the close: share of the book's value. */
  readonly weights: Float64Array;
  /** Of each of `tickers`: 1 where it can be traded at the close. */
  readonly tradable: Uint8Array;
  /** Of each of `tickers`, NaN where there is none; undefined where no predictions were given. */
  readonly predictions: Float64Array | undefined;
  readonly risk: FactorForm | undefined;
  /** Value of the book in money. */
  readonly equity: number;
}

/** Weights by ticker; stocks that are not named get 0. */
export interface TargetWeights {
  readonly tickers: readonly string[];
  readonly weights: ArrayLike<number>;
}

/** Where a backtest has its weights from. */
export type BacktestSource = PredictionsSource | WeightsSource | ScheduleSource;
