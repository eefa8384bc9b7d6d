import { heatmap } from "../charts/heatmap.js";
import { lineChart } from "../charts/lines.js";
import { COLOURS } from "../charts/theme.js";
import { count, counted, decimals, fixed, isNumber, value } from "../format.js";
import { mean, summary } from "../../metrics/statistics.js";
import { mainSplit, type ReportNumbers, type SplitNumbers } from "../numbers.js";
import { withoutIc } from "../reasons.js";
import type { Absent, Block, Figure, Section } from "../section.js";

/** Dates of the moving mean. */
const ROLLING = 60;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const four = decimals(4);

interface Month {
  readonly month: string;
  readonly dates: number;
  readonly ic: number;
  readonly rankIc: number;
}

/** Daily and cumulative IC and the months. */
export function icSection(numbers: ReportNumbers): Section {
  const split = mainSplit(numbers);
  const section = { id: "ic", title: "IC over time" };
  if (split === undefined || split.numbers.daily.ic.length < 2) {
    const absent: Absent = { kind: "absent", title: "IC by date", reason: `A line needs two dates: ${withoutIc(split?.numbers)}.` };
    return { ...section, blocks: [absent] };
  }
  const months = byMonth(split.numbers.daily);
  const blocks: Block[] = [cumulative(split.name, split.numbers, months), daily(numbers, months), monthly(split.name, months)];
  return { ...section, lead: "IC is the correlation of the predictions of a date with the returns that followed, over the stocks of that date.", blocks };
}

function cumulative(name: string, { daily: days, icT, icTNaive, ic }: SplitNumbers, months: readonly Month[]): Figure {
  const [sums, rankSums] = [runningSum(days.ic), runningSum(days.rankIc)];
  const { deviation } = summary(days.ic.map((value) => value ?? NaN));
  // Dates that resemble one another make the sums of chance wander further.
  const inflation = isNumber(icT) && isNumber(icTNaive) && icT !== 0 ? (icTNaive / icT) ** 2 : 1;
  const cone = sums.map((_, i) => 1.96 * deviation * Math.sqrt((i + 1) * inflation));
  return {
    kind: "figure",
    width: "full",
    title: "Cumulative IC",
    subtitle: `Sum of the daily values over the ${name} dates. Grey: where 95 % of predictions without skill end, day by day.`,
    description: `The sum of daily ICs runs from ${fixed(sums[0]!, 2)} to ${fixed(sums.at(-1)!, 2)} over ${counted(sums.length, "date")}, a mean of ${isNumber(ic) ? four(ic) : "no number"} a day; without skill it would end within ${fixed(cone.at(-1)!, 2)} of zero in 95 of 100 cases.`,
    chart: (width) =>
      lineChart({
        x: days.dates,
        lines: [
          { name: "IC", colour: COLOURS.first, values: sums },
          { name: "RankIC", colour: COLOURS.second, values: rankSums },
        ],
        band: { low: cone.map((half) => -half), high: cone, colour: COLOURS.chance },
        height: 330,
      }, width),
    table: tableOf(months),
  };
}

function daily(numbers: ReportNumbers, months: readonly Month[]): Figure {
  const split = mainSplit(numbers)!;
  const own = split.numbers.daily;
  const before = split.name === "test" ? numbers.valid?.daily : undefined;
  const dates = [...(before?.dates ?? []), ...own.dates];
  const ics = [...(before?.ic ?? []), ...own.ic].map((ic) => ic ?? NaN);
  const rolling = ics.map((_, i) => (i + 1 < ROLLING ? NaN : mean(ics.slice(i + 1 - ROLLING, i + 1))));
  const errors = ics.map((_, i) => (i + 1 < ROLLING ? NaN : summary(ics.slice(i + 1 - ROLLING, i + 1)).standardError));
  const hasRolling = ics.length > ROLLING;
  const positive = own.ic.filter((ic) => (ic ?? 0) > 0).length / own.ic.length;
  return {
    kind: "figure",
    width: "full",
    title: "Daily IC",
    subtitle: `${before === undefined || before.ic.length === 0 ? `The ${split.name} dates` : "Validation and test dates"}${hasRolling ? `; line: mean of ${ROLLING} dates with its 95 % interval` : ""}.`,
    description: `Daily IC is above zero on ${fixed(100 * positive, 0)} % of the ${counted(own.ic.length, `${split.name} date`)}${hasRolling ? `; the mean of ${ROLLING} dates lies between ${four(Math.min(...rolling.filter(isNumber)))} and ${four(Math.max(...rolling.filter(isNumber)))}` : ""}.`,
    chart: (width) =>
      lineChart({
        x: dates,
        bars: { values: ics, colour: COLOURS.firstSoft },
        lines: hasRolling ? [{ name: "", colour: COLOURS.first, values: rolling }] : [],
        band: hasRolling ? { low: rolling.map((centre, i) => centre - 1.96 * errors[i]!), high: rolling.map((centre, i) => centre + 1.96 * errors[i]!), colour: COLOURS.band } : undefined,
        marks: before === undefined || before.ic.length === 0 ? [] : [{ x: before.dates[0]!, text: "validation" }, { x: own.dates[0]!, text: "test" }],
        height: 250,
      }, width),
    table: { ...tableOf(months), note: "By month; every date is in report.json." },
  };
}

function monthly(name: string, months: readonly Month[]): Figure {
  const positive = months.filter(({ ic }) => ic > 0).length;
  const best = months.reduce((a, b) => (b.ic > a.ic ? b : a));
  const worst = months.reduce((a, b) => (b.ic < a.ic ? b : a));
  return {
    kind: "figure",
    width: "full",
    title: "Mean IC by month",
    subtitle: `In hundredths, ${name} dates.`,
    description: `Mean IC is above zero in ${positive} of ${counted(months.length, "month")}; the best is ${best.month} with ${four(best.ic)}, the worst ${worst.month} with ${four(worst.ic)}.`,
    chart: (width) => heatmap(months.map(({ month, ic }) => ({ row: month.slice(0, 4), column: Number(month.slice(5)) - 1, value: ic, label: fixed(100 * ic, 1) })), MONTHS, width),
    table: tableOf(months),
  };
}

function tableOf(months: readonly Month[]): Figure["table"] {
  return {
    columns: [{ name: "Month" }, { name: "Dates", align: "number" }, { name: "IC", align: "number" }, { name: "RankIC", align: "number" }],
    rows: months.map(({ month, dates, ic, rankIc }) => [month, count(dates), value(ic, four, "no date"), value(rankIc, four, "no date")]),
  };
}

function byMonth({ dates, ic, rankIc }: SplitNumbers["daily"]): Month[] {
  const months = new Map<string, { ic: number[]; rankIc: number[] }>();
  for (const [i, date] of dates.entries()) {
    const month = months.get(date.slice(0, 7)) ?? { ic: [], rankIc: [] };
    month.ic.push(ic[i] ?? NaN);
    month.rankIc.push(rankIc[i] ?? NaN);
    months.set(date.slice(0, 7), month);
  }
  return [...months].map(([month, days]) => ({ month, dates: days.ic.length, ic: mean(days.ic), rankIc: mean(days.rankIc) }));
}

function runningSum(values: readonly (number | null)[]): number[] {
  let sum = 0;
  return values.map((value) => (sum += value ?? 0));
}
