import { barChart } from "../charts/bars.js";
import { lineChart } from "../charts/lines.js";
import { COLOURS } from "../charts/theme.js";
import { counted, decimals, fixed, isNumber, percent, value } from "../format.js";
import { mainSplit, type ReportNumbers, type SplitNumbers } from "../numbers.js";
import type { Block, Section } from "../section.js";

const two = decimals(2);
const basisPoints = (share: number): string => fixed(1e4 * share, 1);

/** What the stocks of each quantile of the predictions earn. */
export function quantilesSection(numbers: ReportNumbers): Section {
  const split = mainSplit(numbers);
  const section = { id: "quantiles", title: "Quantiles" };
  const returns = split?.numbers.quantiles.returns ?? [];
  if (split === undefined || !returns.some(isNumber)) {
    return { ...section, blocks: [{ kind: "absent", title: "Returns by quantile", reason: "No date has stocks with a prediction and a return in any quantile." }] };
  }
  const { monotonicity, stepsUp, spread, spreadT } = split.numbers.quantiles;
  const days = spanOf(split.numbers);
  const lead = isNumber(spread)
    ? `The top quantile earns ${basisPoints(spread)} bp more than the bottom one per ${days}${isNumber(spreadT) ? `, t ${two(spreadT)}` : ""}.${isNumber(stepsUp) ? ` On ${percent(stepsUp)} of the dates every quantile earns more than the one below it${isNumber(monotonicity) ? `; rank correlation of quantile and return ${two(monotonicity)}` : ""}.` : ""}`
    : undefined;
  return { ...section, lead, blocks: [barsOf(split.numbers, split.name, days), spreadOf(split.numbers, split.name, days)] };
}

/** `day`, or the days of the label. */
function spanOf({ horizonDays }: SplitNumbers): string {
  return horizonDays === 1 ? "day" : `${horizonDays} days`;
}

function nameOf(k: number, count: number): string {
  return k === 0 ? "1 (lowest)" : k === count - 1 ? `${count} (highest)` : String(k + 1);
}

function barsOf({ quantiles }: SplitNumbers, name: string, days: string): Block {
  const known = quantiles.returns.map((mean) => mean ?? NaN);
  const bars = known.flatMap((mean, k) => (Number.isFinite(mean) ? [{ name: String(k + 1), value: 1e4 * mean, label: basisPoints(mean), colour: mean < 0 ? COLOURS.second : COLOURS.first }] : []));
  return {
    kind: "figure",
    width: "half",
    title: "Mean return by quantile",
    subtitle: `Basis points per ${days} above the mean of all stocks of the date; 1 has the lowest predictions. ${name === "test" ? "Test" : "Validation"} dates.`,
    description: `From the lowest to the highest predictions: ${known.map((mean) => (Number.isFinite(mean) ? `${basisPoints(mean)} bp` : "none")).join(", ")}.`,
    chart: (width) => barChart(bars, width),
    table: {
      columns: [{ name: "Quantile" }, { name: "Return, bp", align: "number" }, { name: "New names a date", align: "number" }],
      rows: known.map((mean, k) => [nameOf(k, known.length), value(mean, basisPoints, "no stock in it"), value(quantiles.turnover[k], percent, "no two dates in a row")]),
    },
  };
}

function spreadOf({ series, quantiles }: SplitNumbers, name: string, days: string): Block {
  const points = series.spread.dates.flatMap((date, i) => (isNumber(series.spread.values[i]) ? [{ date, spread: series.spread.values[i] }] : []));
  const title = "Top less bottom quantile";
  if (points.length < 2) return { kind: "absent", title, reason: "A line needs two dates with a spread." };
  let sum = 0;
  const sums = points.map(({ spread }) => (sum += 100 * spread));
  const years = byYear(points);
  return {
    kind: "figure",
    width: "half",
    title,
    subtitle: `Sum of the spreads of ${name} dates in percent, before costs, gross exposure 2${days === "day" ? "" : `; each is over ${days}, and they overlap`}.`,
    description: `The spreads add up to ${fixed(sums.at(-1)!, 1)} % over ${counted(points.length, "date")}; they are above zero on ${fixed((100 * points.filter(({ spread }) => spread > 0).length) / points.length, 0)} % of them.`,
    chart: (width) => lineChart({ x: points.map(({ date }) => date), lines: [{ name: "", colour: COLOURS.first, values: sums }], height: 280 }, width),
    table: {
      columns: [{ name: "Year" }, { name: "Dates", align: "number" }, { name: "Mean spread, bp", align: "number" }, { name: "Sum, %", align: "number" }],
      rows: [...years].map(([year, spreads]) => [year, String(spreads.length), basisPoints(total(spreads) / spreads.length), fixed(100 * total(spreads), 2)]),
      note: `Mean of all dates: ${isNumber(quantiles.spread) ? `${basisPoints(quantiles.spread)} bp` : "none"}. Every date is in report.json.`,
    },
  };
}

function byYear(points: readonly { date: string; spread: number }[]): Map<string, number[]> {
  const years = new Map<string, number[]>();
  for (const { date, spread } of points) years.set(date.slice(0, 4), [...(years.get(date.slice(0, 4)) ?? []), spread]);
  return years;
}

const total = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0);
