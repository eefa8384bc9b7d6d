import type { Section } from "../section.js";

const DEFINITIONS: readonly (readonly [string, string])[] = [
  ["IC, RankIC", "Mean over dates of the daily Pearson, Spearman correlation of prediction and raw return. A date counts from two stocks on whose returns differ; 0 on a date of constant predictions."],
  ["ICIR", "Mean over sample standard deviation of the daily values, per day, not annualised."],
  ["t", "Newey and West, Bartlett weights, min(max(h − 1, 4 (T/100)^(2/9)), T/2) lags for T dates and a label of h days, factor T/(T − 1)."],
  ["Interval", "95 %, by a stationary block bootstrap with mean block max(h, T^(1/3)); of parts, horizons and exposures the mean ± 1.96 standard errors of that t."],
  ["Deflated", "Probability that the ICIR is above the best that luck would have found among the trials (Bailey and Lopez de Prado 2014). Trials are the finished runs beside this one on the same data and dates; seeds of one configuration are one."],
  ["Quantiles", "Bins of equal size by prediction on each date; return over the label’s days less the mean of the date’s stocks. Spread: top less bottom, gross exposure 2."],
  ["Long-short book", "Weights by the predictions’ distance from their mean: gross 1, net 0; as many portfolios side by side as the label has days, one renewed per date."],
  ["Costs", "Basis points of each unit of traded weight, one way, and basis points a year of the short weight. Break-even: the one-way cost at which nothing is left after borrowing."],
  ["Annual numbers", "Daily mean times 252, standard deviation times its root; nothing is compounded."],
  ["Neutral IC", "IC of the residuals of the predictions on the exposures, with an intercept for each group, by least squares per date."],
  ["Peer correlation", "Correlation over stocks of a day’s returns with those of each stock’s peers in A, mean over the coming days."],
  ["Effective neighbours", "exp of the entropy of a row of A, mean over rows and dates."],
];

/** What the numbers mean. */
export function definitionsSection(): Section {
  return {
    id: "definitions",
    title: "Definitions",
    blocks: [{ kind: "table", columns: [{ name: "Number" }, { name: "Here it means", align: "sentence" }], rows: DEFINITIONS.map((row) => [...row]), note: "Tools define most of these differently; docs/evaluation.md says how." }],
  };
}
