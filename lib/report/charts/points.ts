import { MS_PER_DAY } from "../../data/calendar.js";

/** Days without a date after which a line is broken: holidays are shorter. */
const GAP_DAYS = 30;

/** Runs of indices between which a line is to be broken, because no date lies between them for weeks. */
export function unbrokenRuns(xs: readonly number[], isTime: boolean): [begin: number, end: number][] {
  const runs: [number, number][] = [];
  let begin = 0;
  for (let i = 1; i <= xs.length; i++) {
    if (i < xs.length && (!isTime || xs[i]! - xs[i - 1]! <= GAP_DAYS * MS_PER_DAY)) continue;
    runs.push([begin, i]);
    begin = i;
  }
  return runs;
}

/**
 * Indices of at most about `limit` points that look like all of them: of each stretch the least and the greatest value, in their order.
 * A chart has no pixels for more.
 */
export function thinned(values: readonly number[], limit: number): number[] {
  if (values.length <= limit) return [...values.keys()];
  const stretch = Math.ceil((2 * values.length) / limit);
  const kept: number[] = [];
  for (let begin = 0; begin < values.length; begin += stretch) {
    let [least, most] = [-1, -1];
    for (let i = begin; i < Math.min(begin + stretch, values.length); i++) {
      if (!Number.isFinite(values[i])) continue;
      if (least < 0 || values[i]! < values[least]!) least = i;
      if (most < 0 || values[i]! > values[most]!) most = i;
    }
    if (least < 0) kept.push(begin);
    else kept.push(...new Set([Math.min(least, most), Math.max(least, most)]));
  }
  // Where a line ends stands its name.
  if (kept.at(-1) !== values.length - 1) kept.push(values.length - 1);
  return kept;
}
