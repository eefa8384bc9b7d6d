import { z } from "zod";
import type { Covariance } from "./covariance.js";
import type { ByTicker, NumbersFile } from "./files.js";

/** What a portfolio is chosen for. */
export type Objective = "riskParity";

/** How to choose a portfolio. */
export interface OptimiseOptions {
  /** Covariance of returns: of a risk model in factor form, a matrix, or a CSV file of one (a header of tickers, then its rows). */
  covariance: Covariance | NumbersFile;
  /** `riskParity`: every stock contributes its budget to the risk. */
  objective: Objective;
  /** Of riskParity: share of the risk that each stock contributes, above 0, scaled to sum 1. Default: equal shares. */
  budgets?: ByTicker | NumbersFile | undefined;
}

const fileSchema = z.strictObject({ file: z.string().min(1).describe("a path") });
const byTicker = z.union([fileSchema, z.record(z.string(), z.number().describe("a number"))]).describe("numbers by ticker or { file }");

export const optimiseSchema = z.strictObject({
  covariance: z.custom<Covariance | NumbersFile>((value) => typeof value === "object" && value !== null && ("file" in value || "tickers" in value)).describe("a factor form, { tickers, values } or { file }"),
  objective: z.enum(["riskParity"]).describe('"riskParity"').meta({ help: "what the portfolio is chosen for", value: "name" }),
  budgets: byTicker.optional().meta({ help: "share of the risk of each ticker, for riskParity: CSV with columns ticker and budget", value: "file", byDefault: "equal shares" }),
});
