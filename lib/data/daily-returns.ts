import type { PanelGrid } from "./panel-grid.js";
import type { SplitPlan } from "./splits.js";
import type { DailyReturns } from "./types.js";

/**
 * Returns from one panel date to the next, and how far each sample date may look ahead at them as at a label: those of train to the end of
 * train, those of valid to the end of valid, all later ones to the last date. A date that is no sample may look at nothing.
 */
export function dailyReturns(panel: PanelGrid, plan: SplitPlan): DailyReturns | undefined {
  if (!panel.has("close")) return undefined;
  const { segments } = panel;
  const [D, N] = [panel.dates.length, panel.tickers.length];
  const close = panel.values("close");
  const values = new Float32Array(D * N).fill(NaN);
  for (let i = N; i < values.length; i++) {
    if (segments === undefined || segments[i] === segments[i - N]) values[i] = close[i]! / close[i - N]! - 1;
  }
  return { values, ends: returnEnds(panel.dates, plan) };
}

/** How far each date may look ahead at returns: -1, at nothing. */
export function returnEnds(dates: readonly string[], plan: SplitPlan): Int32Array {
  const ends = new Int32Array(dates.length).fill(-1);
  const endOf = (date: string | undefined): number => (date === undefined ? -1 : dates.indexOf(date));
  for (const t of plan.train) ends[t] = endOf(plan.trainEnd);
  for (const t of plan.valid) ends[t] = endOf(plan.validEnd);
  for (const t of [...plan.test, ...plan.unlabelled]) ends[t] = dates.length - 1;
  return ends;
}
