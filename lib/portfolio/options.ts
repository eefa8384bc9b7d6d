import { z } from "zod";
import type { Covariance } from "./covariance.js";
import type { ByTicker, NumbersFile } from "./files.js";
import type { StoredRisk } from "./stored-risk.js";
import { type Limits, limitsSchema } from "./limits.js";

/** What a portfolio is chosen for. */
export type Objective = "riskParity" | "minimumVariance" | "meanVariance" | "trackingError";

/** How to choose a portfolio. Numbers by ticker may lie in a file: CSV of two columns, the ticker first, or JSON. */
export interface OptimiseOptions {
  /**
   * Covariance of returns: the factor form of a risk model, a matrix, a CSV file of one (a header of tickers, then its rows), or the folder of a run
   * whose risk model `astgnn risk` stored.
   */
  covariance: Covariance | NumbersFile | StoredRisk;
  /**
   * `riskParity`: every stock contributes its budget to the risk. `minimumVariance`: the least volatility. `meanVariance`: the most of
   * expected return - riskAversion / 2 x variance - costs. `trackingError`: the least volatility of the difference from the benchmark.
   */
  objective: Objective;
  /** Of riskParity: share of the risk that each stock contributes, above 0, scaled to sum 1. Default: equal shares. */
  budgets?: ByTicker | NumbersFile | undefined;
  /** Of meanVariance: expected return of every stock, of the same time as the covariance. */
  expected?: ByTicker | NumbersFile | undefined;
  /** Of meanVariance: from 0. Default 1, which grows capital fastest where expectations are true (Kelly). */
  riskAversion?: number | undefined;
  /** Of trackingError: weights, 0 where a ticker is not named. */
  benchmark?: ByTicker | NumbersFile | undefined;
  /** Weights that are held now, 0 where a ticker is not named: what turnover and costs count from. */
  current?: ByTicker | NumbersFile | undefined;
  /** Of meanVariance: basis points of each unit of weight that is traded, of the same time as the covariance. Default 0. */
  costBps?: number | undefined;
  /** What every portfolio must keep to, or a JSON file of it; not of riskParity. Default: long-only weights that sum to 1. */
  limits?: Limits | NumbersFile | undefined;
  /** Most time of each programme that is solved, in milliseconds. Default 60,000. */
  timeLimitMs?: number | undefined;
  /** Stops the solver before its next iteration. */
  signal?: AbortSignal | undefined;
}

const fileSchema = z.strictObject({ file: z.string().min(1).describe("a path") });
const byTicker = z.union([fileSchema, z.record(z.string(), z.number().describe("a number"))]).describe("numbers by ticker or { file }");

export const optimiseSchema = z.strictObject({
  covariance: z.custom<Covariance | NumbersFile | StoredRisk>((value) => typeof value === "object" && value !== null && ("file" in value || "tickers" in value || "risk" in value)).describe("a factor form, { tickers, values }, { file } or { risk }"),
  objective: z.enum(["riskParity", "minimumVariance", "meanVariance", "trackingError"]).describe('"riskParity", "minimumVariance", "meanVariance" or "trackingError"').meta({ help: "what the portfolio is chosen for", value: "name" }),
  budgets: byTicker.optional().meta({ help: "share of the risk of each ticker, for riskParity: CSV with columns ticker and budget", value: "file", byDefault: "equal shares", kind: "json" }),
  expected: byTicker.optional().meta({ help: "expected return of each ticker, for meanVariance: CSV with columns ticker and expected", value: "file", kind: "json" }),
  riskAversion: z.number().min(0).default(1).describe("a number from 0").meta({ help: "of meanVariance, which gains most expected return - half of this x variance", value: "number" }),
  benchmark: byTicker.optional().meta({ help: "weights to follow, for trackingError: CSV with columns ticker and weight", value: "file", kind: "json" }),
  current: byTicker.optional().meta({ help: "weights that are held now, from which turnover and costs count: CSV with columns ticker and weight", value: "file", kind: "json" }),
  costBps: z.number().min(0).default(0).describe("a number from 0").meta({ help: "basis points of each unit of weight that is traded, for meanVariance", value: "bps" }),
  limits: z.union([fileSchema, limitsSchema]).optional().describe("limits or { file }").meta({ help: "JSON of what the portfolio must keep to: longOnly, maxWeight, minWeight, gross, net, turnover, groups, factors, maxNames", value: "file", byDefault: "long-only weights that sum to 1", kind: "json" }),
  timeLimitMs: z.number().gt(0).default(60_000).describe("a number above 0").meta({ help: "most milliseconds for each programme that is solved", value: "ms" }),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal).optional().describe("an AbortSignal"),
});
