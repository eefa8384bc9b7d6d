import type { DatasetOptions } from "../../data/dataset-options.js";
import { digestedParts, Panel } from "../../data/panel.js";
import { findPriceBreaks, segmentsOf } from "../../data/price-breaks.js";
import type { Edges } from "../../data/types.js";
import type { Finding } from "./finding.js";
import { LEAST_T, retrainedT, SEEDS } from "./retraining.js";
import type { AuditSubject } from "./subject.js";

/**
 * Trains the run's model for one epoch on its panel with time reversed, with three seeds, and notes where it predicts there too: that part of what it finds has no
 * direction in time. Needs features that are computed from prices, for a column of the source knows the days before its date, which are those to come in
 * reversed time; and for the same reason labels from closes, and opens that take their place.
 */
export async function reversedTime({ panel, dataset, run, raw }: AuditSubject, signal: AbortSignal | undefined): Promise<Finding[]> {
  if (run === undefined || !canBeReversed(panel, dataset.options["label"] as { column?: string }, raw.hasColumns)) return [];
  const reversed = await inReversedTime(panel);
  const { extremeReturns: _, ...options } = dataset.options;
  using backward = await reversed.dataset({ ...options, maxDropped: 1, signal } as unknown as DatasetOptions);
  let worst = 0;
  for (const seed of SEEDS) {
    const t = await retrainedT(run, backward, seed, signal);
    if (Math.abs(t) > Math.abs(worst)) worst = t;
  }
  if (!(Math.abs(worst) > LEAST_T)) return [];
  return [
    {
      code: "reversed_time",
      severity: "note",
      text: `Trained and tested in reversed time, the model has a test IC with a t of ${worst.toFixed(1)}: part of what it finds has no direction in time, such as prices that bounce between bid and ask, or who is in the universe.`,
      value: Math.abs(worst),
      threshold: LEAST_T,
      next: "Look at the IC over later days (decay) and after costs: a bounce is gone a day later.",
    },
  ];
}

function canBeReversed(panel: Panel, label: { column?: string }, hasColumns: boolean): boolean {
  if (hasColumns || label.column !== undefined || !panel.has("close")) return false;
  // A day's close in reversed time is its open; without one the range would tell where the next day goes.
  return panel.has("open") || !(panel.has("high") || panel.has("low"));
}

/** The panel with its last date first: each day opens where it closed. The dates keep their order, as names of the days. */
async function inReversedTime(panel: Panel): Promise<Panel> {
  const { source, origin, ledger, extremeReturns, groups, edges, present, universe, tradable, tickers } = panel;
  const [D, N] = [panel.dates.length, tickers.length];
  const backward = <A extends Float32Array | Float64Array | Uint8Array | Int32Array>(grid: A): A => {
    const copy = grid.slice() as A;
    for (let t = 0; t < D; t++) copy.set(grid.subarray((D - 1 - t) * N, (D - t) * N) as never, t * N);
    return copy;
  };
  const nameOf = (column: string): string => (!panel.has("open") ? column : column === "open" ? "close" : column === "close" ? "open" : column);
  const values = new Map(panel.columns.map((column) => [column, backward(panel.values(nameOf(column)))]));
  const dates = [...panel.dates];
  const found = await findPriceBreaks(values, dates, tickers);
  return new Panel({
    table: { dates, tickers: [...tickers], rows: 0, present: backward(present), values, universe: undefined, tradable: tradable === undefined ? undefined : backward(tradable), groups: undefined, groupNames: [] },
    source, origin, ledger, extremeReturns, ...digestedParts(panel), later: undefined,
    priceBreaks: found.breaks,
    segments: extremeReturns === "missing" ? segmentsOf(found, D, N) : undefined,
    universe: backward(universe),
    groups: groups === undefined ? undefined : { ...groups, codes: backward(groups.codes) },
    edges: edges === undefined ? undefined : backwardEdges(edges, D),
  });
}

function backwardEdges({ source, target, from, to }: Edges, D: number): Edges {
  return { source, target, from: to.map((t) => D - 1 - t), to: from.map((t) => D - 1 - t) };
}
