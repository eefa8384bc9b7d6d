import { decimals, fixed, isNumber, type Maybe, percent } from "../format.js";
import type { ReportNumbers } from "../numbers.js";
import type { Section } from "../section.js";
import { dateFigure } from "./by-date.js";

const two = decimals(2);

/** What the risk factors M explain, how much they repeat one another, and how much they change. */
export function factorsSection({ byDate, run, subject, test, valid }: ReportNumbers): Section | undefined {
  if (run === undefined || subject.kind === "walk-forward") return undefined;
  const section = { id: "factors", title: "Risk factors" };
  const isTest = (test?.dates ?? 0) > 0;
  const own = isTest ? byDate?.test : byDate?.valid;
  if (own === undefined || !own.vif.some(isNumber)) {
    const reason = subject.kind === "ensemble" ? "Each member has factors of its own: see the reports of the members." : byDate === undefined ? "The run was made by a version that did not measure them." : `No date has labels and at least ${(run.config.numRiskFactors ?? 0) + 2} stocks, which ${run.config.numRiskFactors} factors need.`;
    return { ...section, blocks: [{ kind: "absent", title: "M", reason }] };
  }
  const reason = "Too few stocks on every date, or no labels.";
  const name = isTest ? "test" : "validation";
  const means = { rSquared: meanOf(own.rSquared), vif: meanOf(own.vif), turnover: meanOf(own.factorTurnover) };
  return {
    ...section,
    lead: `On the ${name} dates the ${run.config.numRiskFactors} factors in M explain ${percent(means.rSquared)} of the variance of the labels over stocks, and chance alone would explain about ${percent(byChance(run.config.numRiskFactors, isTest ? test : valid))}. Their mean variance inflation is ${two(means.vif)}: 1 where none is a mix of others, over 10 where they repeat one another.`,
    blocks: [
      dateFigure(own.dates, own.rSquared, { title: "R² by date", subtitle: "Share of the variance of the transformed labels that M explains.", format: percent, hasZero: true, reason }),
      dateFigure(own.dates, own.vif, { title: "Variance inflation by date", subtitle: "Mean over the factors; 1 where none is a mix of others.", format: two, hasZero: true, reason }),
      dateFigure(own.dates, own.factorTurnover, { title: "Change of M by date", subtitle: "Mean squared change since the date before; entries lie between −1 and 1.", format: (change) => fixed(change, 4), hasZero: true, reason: "No two dates in a row have a stock in common.", width: "full" }),
    ],
  };
}

/** R² of that many columns that know nothing: K over the stocks less one. */
function byChance(factors: Maybe, split: ReportNumbers["test"]): number {
  const stocks = (split?.rows ?? 0) / (split?.dates ?? 1);
  return stocks > 1 && isNumber(factors) ? Math.min(1, factors / (stocks - 1)) : NaN;
}

function meanOf(values: readonly Maybe[]): number {
  const known = values.filter(isNumber);
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}
