import { count, longDate, value } from "../format.js";
import type { ReportNumbers } from "../numbers.js";
import type { Block, Section } from "../section.js";

/** Lines of the ledger that stand open. */
const SHOWN = 12;

/** What was read, and what was dropped, filled or left out on the way. */
export function dataSection({ ledger, run, withoutPrices }: ReportNumbers): Section {
  const blocks: Block[] = [];
  if (run !== undefined) {
    const split = run.split as Readonly<Record<string, { first?: string | null; last?: string | null; dates?: number; rows?: number } | undefined>>;
    blocks.push({
      kind: "table",
      title: "Splits",
      columns: [{ name: "Split" }, { name: "First date" }, { name: "Last date" }, { name: "Dates", align: "number" }, { name: "Rows", align: "number" }],
      rows: (["train", "valid", "test", "unlabelled"] as const).flatMap((name) => {
        const part = split[name];
        if (part === undefined) return [];
        return [[name === "valid" ? "validation" : name, part.first == null ? "–" : longDate(part.first), part.last == null ? "–" : longDate(part.last), value(part.dates, count, "unknown"), value(part.rows, count, "unknown")]];
      }),
    });
  }
  const entries = ledger?.entries ?? [];
  if (entries.length === 0) blocks.push({ kind: "absent", title: "Ledger", reason: ledger === undefined ? "The run does not say what was dropped." : "Nothing was dropped, filled or left out." });
  else {
    blocks.push({
      kind: "table",
      title: entries.length > SHOWN ? `Ledger of ${entries.length} lines` : "Ledger",
      isFolded: entries.length > SHOWN,
      columns: [{ name: "Count", align: "number" }, { name: "What", align: "sentence" }, { name: "Where" }, { name: "Reason" }],
      rows: entries.map(({ count: number, text, stage, reason }) => [value(number, count, "unknown"), text, stage, reason.replaceAll("_", " ")]),
    });
  }
  if (withoutPrices != null) blocks.push({ kind: "absent", title: "Prices", reason: withoutPrices });
  return { id: "data", title: "Data", lead: "Every value that was dropped, filled or left out between the source and the samples, counted.", blocks };
}
