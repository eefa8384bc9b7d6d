import { barChart, type Bar } from "../charts/bars.js";
import { COLOURS } from "../charts/theme.js";
import { count, decimals, digitsOf, fixed, isNumber, value } from "../format.js";
import { mainSplit, type ReportNumbers, type SplitNumbers } from "../numbers.js";
import { withoutIc, withoutPrices } from "../reasons.js";
import type { Block, Section } from "../section.js";
import { aroundT } from "./overview.js";

const four = decimals(4);
const two = decimals(2);

/** How long a prediction stays right, and how long it stays the same. */
export function decaySection(numbers: ReportNumbers): Section {
  const split = mainSplit(numbers);
  const blocks = split === undefined ? [{ kind: "absent" as const, title: "IC by horizon", reason: withoutIc(undefined) }] : [horizons(split.numbers, withoutPrices(numbers)), autocorrelation(split.numbers)];
  return { id: "decay", title: "Decay", lead: "What a prediction still says about days that it has not been paid for yet, and how much of the order of stocks is left after some dates.", blocks };
}

function horizons(split: SplitNumbers, reason: string): Block {
  const title = "IC by horizon";
  const decay = split.decay ?? [];
  if (split.decay === null) return { kind: "absent", title, reason };
  const digits = digitsOf(decay.map(({ ic }) => ic ?? 0), 3);
  const bars = decay.flatMap(({ from, to, ic, icT }): Bar[] => {
    if (!isNumber(ic)) return [];
    const [low, high] = aroundT(ic, icT);
    return [{ name: rangeOf(from, to), value: ic, low, high, label: fixed(ic, digits), colour: ic < 0 ? COLOURS.second : COLOURS.first }];
  });
  if (bars.length === 0) return { kind: "absent", title, reason: "No date has returns over any of the horizons." };
  return {
    kind: "figure",
    width: "half",
    title,
    subtitle: "IC with the returns of disjoint days after entry, with 95 % intervals.",
    description: bars.map(({ name, label }) => `days ${name}: ${label}`).join("; "),
    chart: (width) => barChart(bars, width),
    table: {
      columns: [{ name: "Days" }, { name: "IC", align: "number" }, { name: "t", align: "number" }, { name: "RankIC", align: "number" }, { name: "IC from entry", align: "number" }, { name: "Dates", align: "number" }],
      rows: decay.map(({ from, to, ic, icT, rankIc, dates }, i) => [
        rangeOf(from, to), value(ic, four, "no date has such returns"), value(icT, two, "its daily values have no spread"), value(rankIc, four, "no date has such returns"), value(split.cumulativeDecay?.[i]?.ic, four, "no date has such returns"), count(dates ?? 0),
      ]),
    },
  };
}

/** First to last day: 3 to 5 are the days from the close of the second to that of the fifth. */
function rangeOf(from: number | null, to: number | null): string {
  return (to ?? 0) - (from ?? 0) === 1 ? String(to) : `${(from ?? 0) + 1}–${to}`;
}

function autocorrelation({ autocorrelation: lags }: SplitNumbers): Block {
  const title = "Rank autocorrelation";
  const digits = digitsOf(Object.values(lags).filter(isNumber), 2);
  const bars = Object.entries(lags).flatMap(([lag, mean]): Bar[] => (isNumber(mean) ? [{ name: lag, value: mean, label: fixed(mean, digits), colour: mean < 0 ? COLOURS.second : COLOURS.first }] : []));
  if (bars.length === 0) return { kind: "absent", title, reason: "No two dates have predictions that differ for the same stocks." };
  return {
    kind: "figure",
    width: "half",
    title,
    subtitle: "Rank correlation of a date’s predictions with those some dates earlier: low means much trading.",
    description: bars.map(({ name, label }) => `${name} dates earlier: ${label}`).join("; "),
    chart: (width) => barChart(bars, width),
    table: { columns: [{ name: "Dates earlier" }, { name: "Correlation", align: "number" }], rows: Object.entries(lags).map(([lag, mean]) => [lag, value(mean, decimals(3), "no such pair of dates")]) },
  };
}
