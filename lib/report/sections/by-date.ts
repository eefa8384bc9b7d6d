import { lineChart } from "../charts/lines.js";
import { dailyAndMean, ROLLING_DATES } from "../charts/rolling.js";
import { count, counted, isNumber, type Maybe, value } from "../format.js";
import type { Block } from "../section.js";

/** A number of every date of the test as a line; its table has the months. */
export function dateFigure(dates: readonly string[], values: readonly Maybe[], { title, subtitle, format, hasZero, reason, width: room = "half" }: { title: string; subtitle: string; format: (value: number) => string; hasZero: boolean; reason: string; width?: "half" | "full" }): Block {
  const known = values.filter(isNumber);
  if (known.length < 2) return { kind: "absent", title, reason };
  const series = values.map((each) => each ?? NaN);
  const lines = dailyAndMean(series);
  const months = new Map<string, number[]>();
  for (const [i, date] of dates.entries()) {
    const month = months.get(date.slice(0, 7)) ?? [];
    if (isNumber(values[i])) month.push(values[i]);
    months.set(date.slice(0, 7), month);
  }
  const mean = (list: readonly number[]): number => list.reduce((sum, each) => sum + each, 0) / list.length;
  return {
    kind: "figure",
    width: room,
    title,
    subtitle: `${subtitle}${lines.length > 1 ? ` Line: mean of ${ROLLING_DATES} dates.` : ""}`,
    description: `On ${counted(known.length, "date")} between ${format(Math.min(...known))} and ${format(Math.max(...known))}, ${format(mean(known))} on average.`,
    chart: (width) => lineChart({ x: dates, lines, hasZero, height: 260 }, width),
    table: {
      columns: [{ name: "Month" }, { name: "Dates", align: "number" }, { name: "Mean", align: "number" }],
      rows: [...months].map(([month, list]) => [month, count(list.length), value(list.length === 0 ? NaN : mean(list), format, reason)]),
      note: "By month; every date is in report.json.",
    },
  };
}
