import type { FactorUnits } from "../../metrics/units.js";
import { decimals, isNumber, type Maybe, percent, value } from "../format.js";
import type { ReportNumbers, Stored } from "../numbers.js";
import { mainSplit } from "../numbers.js";
import type { Cell, Section } from "../section.js";

type Units = Stored<FactorUnits>;
type Numbers = Omit<Units["units"][number], "prediction" | "horizon">;

/** Each of several predictions by itself, and how alike they are. */
export function unitsSection(numbers: ReportNumbers): Section | undefined {
  const split = mainSplit(numbers);
  const found = split?.numbers.factorUnits;
  if (split === undefined || !found) return undefined;
  const { units, together, correlation } = found;
  const name = (k: number): string => `unit ${units[k]!.prediction}`;
  const cells = (unit: Numbers): Cell[] => [
    number(unit.ic, 4), number(unit.icT, 1), number(unit.icir, 3), number(unit.rankIc, 4), value(unit.turnover, percent, "no closing prices"), number(unit.neutral?.ic, 4), number(unit.neutral?.icir, 3), exposureOf(unit),
  ];
  return {
    id: "units",
    title: "Factor units",
    lead: `The ${units.length} predictions of the model one by one, on ${split.name} dates; the numbers above are about the mean of their ICs, or about the first.`,
    blocks: [
      {
        kind: "table",
        title: "What each is worth",
        columns: [{ name: "" }, ...["IC", "t", "ICIR", "RankIC", "Turnover", "Neutral IC", "Neutral ICIR"].map((column) => ({ name: column, align: "number" as const })), { name: "Most exposed to", align: "sentence" }],
        rows: [...units.map((unit, k) => [name(k), ...cells(unit)]), ...(together === null ? [] : [["mean of z-scores", ...cells(together)]])],
        note: "t: Newey-West. Turnover of the factor-weighted book, per date. Neutral: of what exposures and groups leave.",
      },
      {
        kind: "table",
        title: "How alike they are",
        columns: [{ name: "" }, ...units.map((_, k) => ({ name: name(k), align: "number" as const }))],
        rows: correlation.map((row, k) => [name(k), ...row.map((entry) => number(entry, 2))]),
        note: "Mean over dates of the rank correlation of two predictions.",
      },
    ],
  };
}

const number = (of: Maybe, digits: number): Cell => value(of, decimals(digits), "its daily values have no spread, or nothing to be neutral to is known");

function exposureOf({ exposures }: Numbers): string {
  const known = (exposures ?? []).flatMap(({ name, correlation }) => (isNumber(correlation) ? [{ name, correlation }] : []));
  const [first] = known.sort((a, b) => Math.abs(b.correlation) - Math.abs(a.correlation));
  return first === undefined ? "no exposures were named" : `${first.name} ${decimals(2)(first.correlation)}`;
}
