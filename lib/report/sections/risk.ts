import { intervalChart, type IntervalRow } from "../charts/intervals.js";
import { count, decimals, fixed, isNumber, type Maybe, percent, value } from "../format.js";
import type { Block, Cell, Section } from "../section.js";

/** Forecasts of one risk model. */
export interface RiskModelNumbers {
  readonly qlike: { readonly random: Maybe; readonly gmv: Maybe };
  readonly bias: Maybe;
  readonly mrad: Maybe;
  readonly q: Maybe;
  readonly biasWithin: Maybe;
  readonly gmvVolatility: Maybe;
  readonly gmvBias: Maybe;
  readonly gmvLongShortVolatility: Maybe;
  /** Absent from reports of earlier versions. */
  readonly eigen?: EigenNumbers | undefined;
}

/** Forecasts of eigenvectors as portfolios. */
interface EigenNumbers {
  readonly bias: readonly Maybe[];
  readonly distance: Maybe;
  readonly within: Maybe;
}

/** The risk model of a run beside others, on the same dates and stocks. */
export interface RiskNumbers {
  readonly models: Readonly<Record<string, RiskModelNumbers>>;
  /** Of the mean daily QLIKE of a less that of b. */
  readonly pairs: readonly { readonly a: string; readonly b: string; readonly portfolios: "random" | "gmv"; readonly t: Maybe; readonly difference: Maybe; readonly standardError: Maybe }[];
  readonly first: string;
  readonly last: string;
  readonly dates: number;
  readonly stocks: Maybe;
  readonly eigenfactors?: { readonly plain: EigenNumbers; readonly adjusted: EigenNumbers } | undefined;
}

const NAMES: Readonly<Record<string, string>> = { m: "M of the run", sample: "sample covariance", lw: "Ledoit and Wolf", oas: "OAS", pca: "principal components", style: "static styles" };
const KINDS = { random: "random portfolios", gmv: "portfolios of least variance" } as const;
const [three, two] = [decimals(3), decimals(2)];
const WHY = "too few dates";

/** How well the risk model of the run forecasts volatilities beside others. */
export function riskSection({ risk }: { readonly risk?: RiskNumbers | undefined }): Section | undefined {
  if (risk === undefined) return undefined;
  const { models, pairs, first, last, dates, stocks, eigenfactors } = risk;
  const own = models["m"];
  return {
    id: "risk",
    title: "Risk model",
    lead: `Volatility forecasts for the next date on ${count(dates)} dates from ${first} to ${last}, ${count(stocks ?? 0)} stocks each: 100 long-only and 100 long-short random portfolios, and the long-only portfolios of least variance of every model. ${biasText(own?.biasWithin)}`,
    blocks: [...(["random", "gmv"] as const).flatMap((kind) => differences(pairs.filter(({ portfolios }) => portfolios === kind), kind)), table(models), ...eigenTable(models, eigenfactors)],
  };
}

function biasText(within: Maybe): string {
  return isNumber(within) ? `The bias of the model of the run lies within .9 and 1.1 for ${percent(within)} of the random portfolios.` : "";
}

function differences(pairs: RiskNumbers["pairs"], kind: "random" | "gmv"): Block[] {
  const rows = pairs.flatMap(({ b, difference, standardError, t }): IntervalRow[] => (isNumber(difference) && isNumber(standardError) ? [{ name: nameOf(b), value: difference, low: difference - 1.96 * standardError, high: difference + 1.96 * standardError, label: `t ${isNumber(t) ? fixed(t, 1) : ""}` }] : []));
  if (rows.length === 0) return [];
  const better = rows.filter(({ high }) => high! < 0).map(({ name }) => name);
  const worse = rows.filter(({ low }) => low! > 0).map(({ name }) => name);
  return [{
    kind: "figure",
    width: "half",
    title: `QLIKE of ${KINDS[kind]} against others`,
    subtitle: "Mean daily QLIKE of the model of the run less that of the other, with 95 % intervals (Newey and West): left of zero, the model of the run is better.",
    description: `${better.length === 0 ? "The model of the run is surely better than none." : `Surely better than ${better.join(", ")}.`}${worse.length === 0 ? "" : ` Surely worse than ${worse.join(", ")}.`}`,
    chart: (width) => intervalChart(rows, width),
    table: { columns: [{ name: "Other" }, { name: "Difference", align: "number" }, { name: "t", align: "number" }], rows: pairs.map(({ b, difference, t }): Cell[] => [nameOf(b), value(difference, decimals(4), WHY), value(t, two, WHY)]) },
  }];
}

function table(models: RiskNumbers["models"]): Block {
  const number = (name: string) => ({ name, align: "number" as const });
  return {
    kind: "table",
    title: "Forecasts",
    columns: [{ name: "Model" }, number("Random"), number("Least"), number("Bias"), number(".9 to 1.1"), number("MRAD"), number("Q"), number("Volatility, %"), number("Its bias"), number("Long-short, %")],
    rows: Object.entries(models).map(([name, { qlike, bias, biasWithin, mrad, q, gmvVolatility, gmvBias, gmvLongShortVolatility }]): Cell[] => [
      nameOf(name), value(qlike.random, three, WHY), value(qlike.gmv, three, WHY), value(bias, two, WHY), value(biasWithin, percent, WHY), value(mrad, two, "fewer than 252 dates"), value(q, two, WHY),
      value(gmvVolatility, (volatility) => fixed(100 * volatility, 2), WHY), value(gmvBias, two, WHY), value(gmvLongShortVolatility, (volatility) => fixed(100 * volatility, 2), "the covariance is singular"),
    ]),
    note: "Random, Least: QLIKE of random portfolios and of those of least variance, the mean of ln s² + r²/s²; lower is better. Bias, MRAD and Q are of random portfolios. Bias: standard deviation of return over forecast, 1 where forecasts are right. MRAD: about .17 for right forecasts of normal returns; Q: 2.27. Volatility: what came in a year of the model’s own long-only portfolio of least variance; long-short: of the one with weights of either sign.",
  };
}

/** What each model thinks of the portfolios that it picks itself. */
function eigenTable(models: RiskNumbers["models"], eigenfactors: RiskNumbers["eigenfactors"]): Block[] {
  const number = (name: string) => ({ name, align: "number" as const });
  const row = (name: string, { bias, distance, within }: EigenNumbers): Cell[] => {
    const known = bias.filter(isNumber);
    return [name, String(bias.length), value(known[0], two, WHY), value(known.at(-1), two, WHY), value(known.length === 0 ? undefined : Math.max(...known), two, WHY), value(distance, three, WHY), value(within, percent, WHY)];
  };
  const rows = Object.entries(models).flatMap(([name, { eigen }]) => (eigen === undefined ? [] : [row(nameOf(name), eigen)]));
  if (rows.length === 0) return [];
  if (eigenfactors !== undefined) rows.push(row("Factors of M", eigenfactors.plain), row("Factors of M, adjusted", eigenfactors.adjusted));
  return [{
    kind: "table",
    title: "Eigenvectors as portfolios",
    columns: [{ name: "Of the covariance of" }, number("Portfolios"), number("Bias of the first"), number("Of the last"), number("Largest"), number("Mean |bias − 1|"), number(".9 to 1.1")],
    rows,
    note: "The leading eigenvectors of each model’s covariance of stocks, by its own forecasts, and all of the factor covariance of M, without and with the eigenfactor adjustment of Menchero, Wang and Orr. A bias above 1: the model understates the risk of what an optimiser finds in it.",
  }];
}

function nameOf(model: string): string {
  return NAMES[model] ?? model;
}
