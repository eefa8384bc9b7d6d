import { intervalChart, type IntervalRow } from "../charts/intervals.js";
import { count, decimals, fixed, isNumber, value } from "../format.js";
import { mainSplit, type ReportNumbers } from "../numbers.js";
import { withoutIc } from "../reasons.js";
import type { Block, Section } from "../section.js";
import { aroundT } from "./overview.js";

const four = decimals(4);
const two = decimals(2);
/** Exposures in the chart; the table has all. */
const SHOWN = 24;

/** How much of the predictions is a known property of stocks, and what is left without. */
export function exposuresSection(numbers: ReportNumbers): Section {
  const split = mainSplit(numbers);
  const { exposures = null, neutral = null, ic } = split?.numbers ?? {};
  const blocks: Block[] = [];
  const known = [...(exposures ?? [])].filter(({ correlation }) => isNumber(correlation)).sort((a, b) => Math.abs(b.correlation ?? 0) - Math.abs(a.correlation ?? 0));
  if (known.length === 0) {
    blocks.push({ kind: "absent", title: "Exposures", reason: exposures === null ? "No exposures were named: astgnn evaluate --exposures takes loadings, style, groups and columns of the data." : `No exposure differs among the stocks of any date: ${withoutIc(split?.numbers)}` });
  } else {
    const rows = known.slice(0, SHOWN).map(({ name, correlation, t }): IntervalRow => {
      const [low, high] = aroundT(correlation, t);
      return { name, value: correlation ?? 0, low, high, label: fixed(correlation ?? 0, 3) };
    });
    blocks.push({
      kind: "figure",
      width: "full",
      title: "Exposures of the predictions",
      subtitle: `Mean rank correlation with each known property, with 95 % intervals${known.length > SHOWN ? `; the ${SHOWN} largest of ${known.length}` : ""}.`,
      description: rows.map(({ name, label }) => `${name} ${label}`).join("; "),
      chart: (width) => intervalChart(rows, width, 28),
      table: {
        columns: [{ name: "Property" }, { name: "Correlation", align: "number" }, { name: "t", align: "number" }, { name: "Dates", align: "number" }],
        rows: known.map(({ name, correlation, t, dates }) => [name, value(correlation, decimals(3), ""), value(t, two, "its daily values have no spread"), count(dates ?? 0)]),
      },
    });
  }
  if (neutral !== null) {
    const of = [exposures === null || exposures.length === 0 ? undefined : "the exposures", neutral.byGroup ? "the groups" : undefined].filter((part) => part !== undefined).join(" and ");
    blocks.push({
      kind: "table",
      title: `What is left without ${of}`,
      columns: [{ name: "" }, { name: "IC", align: "number" }, { name: "ICIR", align: "number" }, { name: "RankIC", align: "number" }, { name: "t", align: "number" }],
      rows: [
        ["predictions", value(ic, four, withoutIc(split?.numbers)), value(split?.numbers.icir, two, withoutIc(split?.numbers)), value(split?.numbers.rankIc, four, withoutIc(split?.numbers)), value(split?.numbers.icT, two, withoutIc(split?.numbers))],
        [`their residuals on ${of}`, value(neutral.ic, four, "no date has enough stocks"), value(neutral.icir, two, "no spread"), value(neutral.rankIc, four, "no date has enough stocks"), value(neutral.icT, two, "no spread")],
      ],
      note: neutral.filled ? `${count(neutral.filled)} missing exposures count as the mean of their date.` : undefined,
    });
  }
  return { id: "exposures", title: "Exposures", lead: "Predictions that only repeat a known property need no model.", blocks };
}
