import { count, decimals, type Maybe, value } from "../format.js";
import type { Section } from "../section.js";

/** Predictions on the rows that all compared ones have. */
export interface ComparedNumbers {
  readonly name: string;
  readonly ic: Maybe;
  readonly rankIc: Maybe;
  readonly icir: Maybe;
  /** HAC t of `ic` and `rankIc`. */
  readonly icT: Maybe;
  readonly rankIcT: Maybe;
}

/** A baseline, and what ours has more than it. */
export interface BaselineNumbers extends ComparedNumbers {
  /** Mean daily IC less the baseline's, its HAC standard error, t and lag. */
  readonly difference: { readonly mean: Maybe; readonly standardError: Maybe; readonly t: Maybe; readonly p: Maybe; readonly lag: Maybe };
  /** Rows of ours for which it has no value. */
  readonly missing: Maybe;
}

/** Ours beside baselines, on the same rows. */
export interface ComparisonNumbers {
  readonly dates: Maybe;
  readonly rows: Maybe;
  readonly rowsLeftOut: Maybe;
  readonly model: ComparedNumbers;
  readonly baselines: readonly BaselineNumbers[];
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[];
}

const four = decimals(4);
const [three, two] = [decimals(3), decimals(2)];
const WHY = "no spread";

/** What simpler predictions are worth on the same rows. */
export function baselinesSection({ comparison }: { readonly comparison?: ComparisonNumbers | undefined }): Section | undefined {
  if (comparison === undefined) return undefined;
  const { dates, rows, rowsLeftOut, model, baselines, leftOut } = comparison;
  const cells = ({ name, ic, icT, icir, rankIc, rankIcT }: ComparedNumbers) => [name, value(ic, four, WHY), value(icT, two, WHY), value(icir, three, WHY), value(rankIc, four, WHY), value(rankIcT, two, WHY)];
  const none = { text: "" };
  const number = (name: string) => ({ name, align: "number" as const });
  return {
    id: "baselines",
    title: "Against baselines",
    lead: `On the ${count(rows ?? 0)} rows of ${count(dates ?? 0)} test dates that all of them have${rowsLeftOut === 0 ? "" : `; ${count(rowsLeftOut ?? 0)} rows of the run are not among them`}. The difference is that of the daily ICs, ours less the baseline’s.${leftOut.map(({ name, reason }) => ` ${name} is left out: ${reason}.`).join("")}`,
    blocks: [
      {
        kind: "table",
        columns: [{ name: "Predictions" }, number("IC"), number("t"), number("ICIR"), number("RankIC"), number("t"), number("Difference"), number("Standard error"), number("t"), number("Rows without")],
        rows: [
          [...cells(model), none, none, none, none],
          ...baselines.map((baseline) => [...cells(baseline), value(baseline.difference.mean, four, WHY), value(baseline.difference.standardError, four, WHY), value(baseline.difference.t, two, WHY), value(baseline.missing, count, "not counted")]),
        ],
        note: "Standard errors and t by Newey and West.",
      },
    ],
  };
}
