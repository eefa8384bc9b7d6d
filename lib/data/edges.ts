import { AstgnnError } from "../errors.js";
import { warn } from "../warn.js";
import type { Database } from "./source/database.js";
import { listed, refuseLoss } from "./loss.js";
import type { EdgesSource } from "./relation-sources.js";
import { readRelations, type RelatedTable, type RelationChecks } from "./relations.js";
import type { Edges } from "./types.js";

/** @throws AstgnnError ERR_DATA on missing or unknown columns, where no edge is left, or where more than the share `maxDropped` name a stock that is not in the panel */
export async function readEdges(database: Database, source: EdgesSource, { dates, tickers }: RelatedTable, { ledger, maxDropped, onWarning }: RelationChecks): Promise<Edges> {
  const { name: file, rows } = await readRelations(
    database,
    source.file,
    { key: "ticker", keyOption: "edges.file", value: "neighbor", option: "edges.file", onlyThese: true },
    dates,
  );
  const stockOf = new Map(tickers.map((ticker, n) => [ticker, n]));
  const unknown = new Set<string>();
  const intervals: Interval[] = [];
  let outside = 0;
  let self = 0;
  let unusable = 0;
  for (const row of rows) {
    const a = stockOf.get(row.key);
    const b = row.value === null ? undefined : stockOf.get(row.value);
    if (a === undefined) unknown.add(row.key);
    if (b === undefined && row.value !== null) unknown.add(row.value);
    if (a === undefined || b === undefined) unusable++;
    else if (a === b) self++;
    else if (row.from > row.to) outside++;
    else {
      intervals.push({ source: a, target: b, from: row.from, to: row.to });
      if (source.symmetric ?? true) intervals.push({ source: b, target: a, from: row.from, to: row.to });
    }
  }
  const merged = merge(intervals);
  ledger.add("graph", "unknown_edge_stocks", unknown.size, "stocks", `stocks of ${file} are not in the panel: ${listed([...unknown])}`);
  ledger.add("graph", "edges_of_unknown_stocks", unusable, "edges", "edges name a stock that is not in the panel, or none");
  ledger.add("graph", "self_edges", self, "edges", "self edges were ignored: a stock always sees itself");
  ledger.add("graph", "edges_outside_dates", outside, "edges", "edges hold on no date of the panel");
  ledger.add("graph", "duplicate_edges", intervals.length - merged.length, "edges", "directed edges repeat or touch another in time and were merged");
  const why = `name a stock that is not in the panel, or none${unknown.size > 0 ? ` (${listed([...unknown], 3)}; the panel writes ${tickers[0]!})` : ""}`;
  const next = "Write tickers as in the data, leave such edges out, or raise maxDropped if the loss is expected.";
  refuseLoss({ lost: unusable, of: rows.length, what: `edges of ${file}`, why }, maxDropped, { file, next });
  if (merged.length === 0) throw new AstgnnError("ERR_DATA", `No edge of ${file} holds between two stocks of the panel on one of its dates.`, { file, option: "edges.file", next: "Check its tickers and dates, or leave the file out." });
  if (unusable > 0) warn({ reason: "edges_of_unknown_stocks", text: `${unusable} of ${rows.length} edges of ${file} ${why}.` }, onWarning);
  const column = (field: keyof Interval): Int32Array => Int32Array.from(merged, (edge) => edge[field]);
  return { source: column("source"), target: column("target"), from: column("from"), to: column("to") };
}

interface Interval {
  source: number;
  target: number;
  from: number;
  to: number;
}

/** Sorted by source, target, from; intervals of a pair that overlap or touch become one, so that no pair holds twice on a date. */
function merge(intervals: readonly Interval[]): Interval[] {
  const sorted = [...intervals].sort((a, b) => a.source - b.source || a.target - b.target || a.from - b.from);
  const merged: Interval[] = [];
  for (const edge of sorted) {
    const last = merged[merged.length - 1];
    if (last !== undefined && last.source === edge.source && last.target === edge.target && edge.from <= last.to + 1) last.to = Math.max(last.to, edge.to);
    else merged.push({ ...edge });
  }
  return merged;
}
