import { AstgnnError, invalidOption } from "../errors.js";
import type { Metrics } from "./pairs.js";
import { summary } from "./statistics.js";

/** The mean of daily differences between two evaluations, and how sure it is. */
export interface PairedDifference {
  /** Mean over dates of a's value minus b's. */
  readonly mean: number;
  /** Sample standard deviation of the daily differences over the square root of their number. */
  readonly standardError: number;
  /** `mean` over `standardError`. */
  readonly t: number;
  readonly dates: number;
}

/**
 * Compares two models date by date: what both find hard on a day cancels, so the difference is known better than either IC.
 *
 * @example
 * pairedDifference(withGraph, withoutGraph).t;
 * @throws AstgnnError ERR_SHAPE where the dates that count differ
 */
export function pairedDifference(a: Pick<Metrics, "daily">, b: Pick<Metrics, "daily">, metric: "ic" | "rankIc" = "ic"): PairedDifference {
  if (metric !== "ic" && metric !== "rankIc") throw invalidOption("metric", '"ic" or "rankIc"', metric);
  const at = a.daily.dates.findIndex((date, i) => date !== b.daily.dates[i]);
  if (at >= 0 || a.daily.dates.length !== b.daily.dates.length) {
    throw new AstgnnError("ERR_SHAPE", `The two evaluations count different dates (${a.daily.dates.length} and ${b.daily.dates.length}).`, {
      next: "Evaluate both on the same split.",
    });
  }
  const difference = summary(a.daily[metric].map((value, i) => value - b.daily[metric][i]!));
  return {
    mean: difference.mean,
    standardError: difference.standardError,
    t: difference.mean / difference.standardError,
    dates: a.daily.dates.length,
  };
}
