import { COLOURS } from "./theme.js";
import type { Line } from "./lines.js";

/** Dates of the mean. */
export const ROLLING_DATES = 20;

/** A noisy daily series as a faint line, and the mean of its last dates over it where there are enough. */
export function dailyAndMean(values: readonly number[]): Line[] {
  const daily: Line = { name: "", colour: COLOURS.firstSoft, values, isThin: true };
  if (values.length < 2 * ROLLING_DATES) return [{ ...daily, colour: COLOURS.first }];
  const means = values.map((_, i) => {
    const window = values.slice(Math.max(0, i + 1 - ROLLING_DATES), i + 1).filter(Number.isFinite);
    return !Number.isFinite(values[i]) || i + 1 < ROLLING_DATES || window.length < ROLLING_DATES / 2 ? NaN : window.reduce((sum, value) => sum + value, 0) / window.length;
  });
  return [daily, { name: "", colour: COLOURS.first, values: means }];
}
