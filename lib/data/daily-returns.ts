import { loadTables } from "../binding/load.js";
import { gridMemory } from "./grid-memory.js";
import type { PanelGrid } from "./panel-grid.js";
import type { SplitPlan } from "./splits.js";
import type { DailyReturns } from "./types.js";

/**
 * Returns from one panel date to the next, and how far each sample date may look ahead at them as at a label: those of train to the end of
 * train, those of valid to the end of valid, all later ones to the last date. A date that is no sample may look at nothing.
 */
export async function dailyReturns(panel: PanelGrid, plan: SplitPlan): Promise<DailyReturns | undefined> {
  if (!panel.has("close")) return undefined;
  const { segments } = panel;
  const [D, N] = [panel.dates.length, panel.tickers.length];
  const values = new Float32Array(gridMemory(4 * D * N, panel.scratch));
  await loadTables().returnsOf(panel.values("close"), segments, D, N, values);
  return { values, ends: returnEnds(panel.dates, plan) };
}

/** How far each date may look ahead at returns: -1, at nothing. */
export function returnEnds(dates: readonly string[], plan: SplitPlan): Int32Array {
  const ends = new Int32Array(dates.length).fill(-1);
  const [trainEnd, validEnd] = [plan.trainEnd, plan.validEnd].map((date) => (date === undefined ? -1 : dates.indexOf(date)));
  for (const t of plan.train) ends[t] = trainEnd!;
  for (const t of plan.valid) ends[t] = validEnd!;
  for (const t of [...plan.test, ...plan.unlabelled]) ends[t] = dates.length - 1;
  return ends;
}
