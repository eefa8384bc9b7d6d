import type { Panel } from "../../data/panel.js";
import type { PanelValues } from "../../data/types.js";

/** Baselines that closes alone give: the return from the close `from` dates before to that `to` dates before, times `sign`. */
const SIGNALS = {
  reversal1: { from: 1, to: 0, sign: -1 },
  reversal20: { from: 20, to: 0, sign: -1 },
  momentum: { from: 252, to: 21, sign: 1 },
} as const;

/** Name of a baseline that closes alone give. */
export type PriceSignalName = keyof typeof SIGNALS;

/** Whether a baseline is made of closes alone. */
export function isPriceSignal(name: string): name is PriceSignalName {
  return Object.hasOwn(SIGNALS, name);
}

/**
 * A signal on some dates of the panel, for its tickers: minus yesterday's return (`reversal1`), minus that of 20 dates (`reversal20`), or the return from 252 to
 * 21 dates before (`momentum`). NaN where one of the two closes is missing, or a price break that was made missing lies between them.
 */
export function priceSignal(panel: Panel, name: PriceSignalName, dates: readonly string[]): PanelValues {
  const { from, to, sign } = SIGNALS[name];
  const [close, stocks, { segments, tickers }] = [panel.values("close"), panel.tickers.length, panel];
  const index = new Map(panel.dates.map((date, t) => [date, t]));
  const data = new Float64Array(dates.length * stocks).fill(NaN);
  for (const [i, date] of dates.entries()) {
    const t = index.get(date);
    if (t === undefined || t < from) continue;
    for (let n = 0; n < stocks; n++) {
      const [first, last] = [(t - from) * stocks + n, (t - to) * stocks + n];
      if (segments !== undefined && segments[first] !== segments[last]) continue;
      data[i * stocks + n] = sign * (close[last]! / close[first]! - 1);
    }
  }
  return { data, shape: [dates.length, stocks], dates, tickers };
}
