import { AstgnnError } from "../errors.js";
import { firstNotBefore } from "./calendar.js";
import { refuseEarlyDate, type History } from "./history.js";
import type { PanelGrid } from "./panel-grid.js";
import type { Edges } from "./types.js";

/**
 * Index of the first sample date not before `from`.
 *
 * @throws AstgnnError ERR_DATA where there is too little history before it, or no date
 */
export function firstSample({ dates, source }: PanelGrid, from: string, history: History): number {
  const first = firstNotBefore(dates, from);
  const last = dates.at(-1)!;
  if (first === dates.length) {
    throw new AstgnnError("ERR_DATA", `${source} has no date on ${from} or later: its last date is ${last}.`, { file: source, option: "from", date: from, next: "Give data up to that date, or ask for an earlier one." });
  }
  refuseEarlyDate({ option: "from", date: from, there: from < dates[0]! ? 0 : first + 1, earliest: dates[history.requiredHistory - 1] }, dates, history);
  return first;
}

/** The dates of a panel from `first` on, as a panel: nothing is copied. */
export function newestDates(panel: PanelGrid, first: number): PanelGrid {
  const { tickers, groups, edges, columns, extremeReturns, ledger, source, origin, scratch } = panel;
  const from = first * tickers.length;
  return {
    dates: Object.freeze(panel.dates.slice(first)),
    tickers, columns, extremeReturns, ledger, source, origin, scratch,
    universe: panel.universe.subarray(from),
    present: panel.present.subarray(from),
    tradable: panel.tradable?.subarray(from),
    segments: panel.segments?.subarray(from),
    groups: groups === undefined ? undefined : { codes: groups.codes.subarray(from), names: groups.names },
    edges: edges === undefined ? undefined : edgesFrom(edges, first),
    has: (column) => panel.has(column),
    isRead: (column) => panel.isRead(column),
    read: (names, options) => panel.read(names, options),
    digests: (names) => panel.digests(names),
    values: (column) => panel.values(column).subarray(from),
  };
}

/** Edges that hold on `first` or later, with dates counted from it. */
function edgesFrom({ source, target, from, to }: Edges, first: number): Edges {
  const kept = [...to.keys()].filter((edge) => to[edge]! >= first);
  const pick = (column: Int32Array, value = (edge: number): number => column[edge]!): Int32Array => Int32Array.from(kept, value);
  return { source: pick(source), target: pick(target), from: pick(from, (edge) => Math.max(0, from[edge]! - first)), to: pick(to, (edge) => to[edge]! - first) };
}
