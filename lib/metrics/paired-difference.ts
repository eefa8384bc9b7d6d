import { AstgnnError, invalidOption } from "../errors.js";
import { requireNumbers, requireObject, requireTexts } from "../options.js";
import { testMean } from "./hac.js";
import type { Metrics } from "./pairs.js";

/** The mean of daily differences between two evaluations, and how sure it is. */
export interface PairedDifference {
  /** Mean over dates of a's value minus b's. */
  readonly mean: number;
  /** Newey-West standard error of `mean`, as that of `icT`; NaN for fewer than two dates and for differences that are all equal. */
  readonly standardError: number;
  /** `mean` over `standardError`. */
  readonly t: number;
  /** Two-sided, from Student's t with `dates` - 1 degrees of freedom. */
  readonly p: number;
  /** `mean` over the standard error of independent days: too large where labels of neighbouring dates overlap. */
  readonly tNaive: number;
  /** Longest autocovariance that counts, in dates. */
  readonly lag: number;
  readonly dates: number;
}

/** What two evaluations are compared by. */
export interface PairedDifferenceOptions {
  /** Default `"ic"`. */
  readonly metric?: "ic" | "rankIc" | undefined;
  /** Days that a label spans, from 1: sets the lag. Default: what the evaluations say, else 1. */
  readonly horizonDays?: number | undefined;
}

type Daily = Pick<Metrics, "daily"> & { readonly horizonDays?: number };

/**
 * Compares two models date by date: what both find hard on a day cancels, so the difference is known better than either IC.
 *
 * @example
 * pairedDifference(withGraph, withoutGraph).t;
 * @throws AstgnnError ERR_SHAPE where the dates that count differ, ERR_OPTION
 */
export function pairedDifference(a: Daily, b: Daily, options: PairedDifferenceOptions = {}): PairedDifference {
  requireObject(options, "options", "{ metric?, horizonDays? }");
  const { metric = "ic", horizonDays } = options;
  for (const [name, one] of Object.entries({ a, b })) {
    requireObject(one, name, "what evaluate returned", "daily");
    requireObject(one.daily, `${name}.daily`, "what evaluate returned", "dates", "ic", "rankIc");
    requireTexts(one.daily.dates, `${name}.daily.dates`, "dates");
    for (const part of ["ic", "rankIc"] as const) requireNumbers(one.daily[part], `${name}.daily.${part}`, one.daily.dates.length);
  }
  if (metric !== "ic" && metric !== "rankIc") throw invalidOption("metric", '"ic" or "rankIc"', metric);
  if (horizonDays !== undefined && !(Number.isInteger(horizonDays) && horizonDays >= 1)) throw invalidOption("horizonDays", "a whole number from 1", horizonDays);
  const at = a.daily.dates.findIndex((date, i) => date !== b.daily.dates[i]);
  if (at >= 0 || a.daily.dates.length !== b.daily.dates.length) {
    throw new AstgnnError("ERR_SHAPE", `The two evaluations count different dates (${a.daily.dates.length} and ${b.daily.dates.length}).`, {
      next: "Evaluate both on the same split.",
    });
  }
  const days = horizonDays ?? Math.max(a.horizonDays ?? 1, b.horizonDays ?? 1);
  const { mean, standardError, t, p, tNaive, lag } = testMean(a.daily[metric].map((value, i) => value - b.daily[metric][i]!), { horizonDays: days });
  return { mean, standardError, t, p, tNaive, lag, dates: a.daily.dates.length };
}
