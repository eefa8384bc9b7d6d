import { intervalChart, type IntervalRow } from "../charts/intervals.js";
import { DASH, decimals, fixed, isNumber, longDate, type Maybe, value } from "../format.js";
import type { Cell, Section } from "../section.js";

/** What a peer or a feature adds to a score. */
export interface PartNumbers {
  readonly name: string;
  readonly part: Maybe;
}

/** Why a stock has its score: the largest parts, and the sum of the others. */
export interface ExplanationNumbers {
  readonly ticker: string;
  readonly score: Maybe;
  /** Score without any message of another stock. */
  readonly own: Maybe;
  /** Score of the date's median stock in its place. */
  readonly baseline: Maybe;
  readonly peers: readonly PartNumbers[];
  readonly otherPeers: Maybe;
  readonly features: readonly PartNumbers[];
  readonly otherFeatures: Maybe;
}

/** The stocks with the highest and the lowest scores of a date. */
export interface DayNumbers {
  readonly date: string;
  readonly top: readonly ExplanationNumbers[];
  readonly bottom: readonly ExplanationNumbers[];
}

const signed = (number: number): string => `${number > 0 ? "+" : ""}${fixed(number, 4)}`;

/** Why the day's highest and lowest scores are what they are. */
export function explanationsSection({ explanations }: { readonly explanations?: DayNumbers | undefined }): Section | undefined {
  if (explanations === undefined) return undefined;
  const { date, top, bottom } = explanations;
  // The lowest stands at the bottom.
  const stocks = [...top, ...[...bottom].reverse()];
  const rows = stocks.flatMap(({ ticker, score }): IntervalRow[] => (isNumber(score) ? [{ name: ticker, value: score, label: fixed(score, 4) }] : []));
  const columns = [{ name: "Stock" }, { name: "Score", align: "number" }, { name: "Own", align: "number" }, { name: "Peers", align: "number" }] as const;
  const numbersOf = ({ ticker, score, own }: ExplanationNumbers): Cell[] => [ticker, value(score, decimals(4), "no score"), value(own, decimals(4), "no score"), value(isNumber(score) && isNumber(own) ? score - own : NaN, signed, "no score")];
  return {
    id: "explanations",
    title: "Why these scores",
    lead: `The highest and lowest scores of ${longDate(date)}. A score is the stock’s own part and what its peers send it; against the date’s median stock it is the sum of the features’ parts.`,
    blocks: [
      ...(rows.length === 0
        ? []
        : [{
            kind: "figure" as const,
            width: "half" as const,
            title: "Scores",
            subtitle: `The ${top.length} highest and ${bottom.length} lowest of the date.`,
            description: rows.map(({ name, label }) => `${name} ${label}`).join("; "),
            chart: (width: number) => intervalChart(rows, width, 28),
            table: { columns, rows: stocks.map(numbersOf) },
          }]),
      {
        kind: "table",
        title: "What makes them",
        columns: [...columns, { name: "Features against the median stock", align: "sentence" }, { name: "Largest peers", align: "sentence" }],
        rows: stocks.map((stock) => [...numbersOf(stock), partsOf(stock.features, stock.otherFeatures), partsOf(stock.peers, stock.otherPeers)]),
        note: "Features: integrated gradients over the window; peers: through A and the attention. docs/explain.md has the formulas.",
      },
    ],
  };
}

function partsOf(parts: readonly PartNumbers[], others: Maybe): string {
  const named = parts.flatMap(({ name, part }) => (isNumber(part) ? [`${name} ${signed(part)}`] : []));
  if (named.length === 0) return DASH;
  return [...named, ...(isNumber(others) ? [`all others ${signed(others)}`] : [])].join(", ");
}
