import { intervalChart, type IntervalRow } from "../charts/intervals.js";
import { count, counted, decimals, isNumber, type Maybe, value } from "../format.js";
import { mainSplit, type ReportNumbers } from "../numbers.js";
import type { Block, Section } from "../section.js";
import { aroundT } from "./overview.js";

const four = decimals(4);
const two = decimals(2);
/** Groups in the chart; the table has all. */
const SHOWN = 20;

interface Part {
  readonly name: string;
  readonly ic: Maybe;
  readonly rankIc: Maybe;
  readonly icT: Maybe;
  readonly dates: Maybe;
  readonly rows?: Maybe;
}

/** Where the IC comes from: sizes, years and groups. */
export function partsSection(numbers: ReportNumbers): Section {
  const split = mainSplit(numbers)?.numbers;
  const groups = [...(split?.groups ?? [])].sort((a, b) => (b.rows ?? 0) - (a.rows ?? 0));
  const years = (split?.years ?? []).map(({ year, ...part }) => ({ name: String(year), ...part }));
  return {
    id: "parts",
    title: "By size, year and group",
    lead: "IC within each part alone, so that nothing is earned by choosing among parts.",
    blocks: [
      figure("By size", "Thirds of the stocks of each date.", split?.sizes ?? [], "half", "The data have no close and volume, or the prices are out of reach."),
      figure("By year", "Calendar years of the predictions.", years, "half", "No date counts."),
      figure("By group", groups.length > SHOWN ? `The ${SHOWN} groups with the most predictions, of ${groups.length}.` : "Groups of stocks, such as industries.", groups, "full", "No groups were given: astgnn train --groups, or for other predictions astgnn evaluate --groups."),
    ],
  };
}

function figure(title: string, subtitle: string, parts: readonly Part[], width: "half" | "full", reason: string): Block {
  const known = parts.filter(({ ic }) => isNumber(ic));
  if (known.length === 0) return { kind: "absent", title, reason: parts.length === 0 ? reason : "No part has two stocks with returns that differ on any date." };
  const rows = known.slice(0, SHOWN).map(({ name, ic, icT, dates }): IntervalRow => {
    const [low, high] = aroundT(ic, icT);
    return { name: (dates ?? 0) < 20 ? `${name} (${counted(dates ?? 0, "date")})` : name, value: ic ?? 0, low, high, label: four(ic ?? 0) };
  });
  return {
    kind: "figure",
    width,
    title,
    subtitle: `${subtitle} IC with 95 % intervals.`,
    description: rows.map(({ name, label }) => `${name} ${label}`).join("; "),
    chart: (pixels) => intervalChart(rows, pixels, 28),
    table: {
      columns: [{ name: "Part" }, { name: "IC", align: "number" }, { name: "t", align: "number" }, { name: "RankIC", align: "number" }, { name: "Dates", align: "number" }, { name: "Predictions", align: "number" }],
      rows: parts.map(({ name, ic, icT, rankIc, dates, rows: pairs }) => [
        name, value(ic, four, "fewer than two stocks on every date"), value(icT, two, "one date, or no spread"), value(rankIc, four, "fewer than two stocks on every date"), count(dates ?? 0), value(pairs, count, "not counted by year"),
      ]),
    },
  };
}
