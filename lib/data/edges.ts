import type { Database } from "./database.js";
import type { LedgerBuilder } from "./ledger.js";
import { readRelations } from "./relations.js";
import type { Edges } from "./types.js";

/** Where edges come from: a file with ticker and neighbor, optionally from and to (both inclusive). Ticker sees neighbor. */
export interface EdgesSource {
  readonly file: string;
  /** Whether the neighbor also sees the ticker; default true. */
  readonly symmetric?: boolean | undefined;
}

/** @throws AstgnnError ERR_DATA on missing or unknown columns */
export async function readEdges(database: Database, source: EdgesSource, dates: readonly string[], tickers: readonly string[], ledger: LedgerBuilder): Promise<Edges> {
  const { name: file, rows } = await readRelations(
    database,
    source.file,
    "edges_file",
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
  ledger.add("graph", "unknown_edge_stocks", unknown.size, "stocks", `stocks of ${file} are not in the panel`);
  ledger.add("graph", "edges_of_unknown_stocks", unusable, "edges", "edges name a stock that is not in the panel, or none");
  ledger.add("graph", "self_edges", self, "edges", "self edges were ignored: a stock always sees itself");
  ledger.add("graph", "edges_outside_dates", outside, "edges", "edges hold on no date of the panel");
  ledger.add("graph", "duplicate_edges", intervals.length - merged.length, "edges", "directed edges repeat or touch another in time and were merged");
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
