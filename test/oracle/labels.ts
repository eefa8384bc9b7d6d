// Labels and targets: what the core's are held to, bit by bit.
import type { ResolvedLabelTransform } from "../../lib/data/dataset-options.js";
import type { LabelShape } from "../../lib/data/labels.js";
import type { PanelGrid } from "../../lib/data/panel-grid.js";
import { normalQuantile, RankSorter } from "../../lib/data/ranks.js";
import { madBounds, meanAndSd } from "./processors.js";

/** Labels [dates * stocks * L], and why others are missing. */
export interface RawLabels {
  readonly labels: Float32Array;
  /** Not tradable on the entry date. */
  readonly untradable: number;
  /** From one segment of the prices into another. */
  readonly broken: number;
}

/**
 * Raw returns [dates * stocks * L]: close[t + lag + h] / close[t + lag] - 1, NaN where one of the two closes is missing or lies after the panel,
 * where the stock is not tradable on its entry date, and where the closes lie in two `segments` of the prices.
 */
export function forwardReturns(
  close: Float32Array | Float64Array, { tradable, segments }: Pick<PanelGrid, "tradable" | "segments">, dates: number, stocks: number, { horizons, lagDays }: LabelShape,
): RawLabels {
  const width = horizons.length;
  const labels = new Float32Array(dates * stocks * width).fill(NaN);
  let untradable = 0;
  let broken = 0;
  horizons.forEach((horizon, l) => {
    for (let t = 0; t + lagDays + horizon < dates; t++) {
      const entry = (t + lagDays) * stocks;
      const end = entry + horizon * stocks;
      for (let n = 0; n < stocks; n++) {
        const value = close[end + n]! / close[entry + n]! - 1;
        if (value !== value) continue;
        if (tradable !== undefined && tradable[entry + n] !== 1) untradable++;
        else if (segments !== undefined && segments[entry + n] !== segments[end + n]) broken++;
        else labels[(t * stocks + n) * width + l] = value;
      }
    }
  });
  return { labels, untradable, broken };
}

/** A column as labels: NaN where missing or where the stock is not tradable on its entry date t + lag. */
export function columnLabels(column: Float32Array | Float64Array, { tradable }: Pick<PanelGrid, "tradable">, stocks: number, lagDays: number): RawLabels {
  const labels = Float32Array.from(column);
  let untradable = 0;
  if (tradable === undefined) return { labels, untradable, broken: 0 };
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] !== labels[i] || tradable[i + lagDays * stocks] === 1) continue;
    labels[i] = NaN;
    untradable++;
  }
  return { labels, untradable, broken: 0 };
}

/**
 * Residuals of values on an intercept per group and exposures with missing ones at their mean, by Gram-Schmidt on every column in turn: what is left of a
 * column that is a combination of others takes nothing out.
 *
 * @param exposures per exposure one value for each of `values`
 * @returns with the residuals how many columns, intercepts among them, took something out
 */
export function residuals(values: readonly number[], exposures: readonly (readonly number[])[], groups: readonly number[]): { left: number[]; rank: number; filled: number } {
  const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const without = (a: readonly number[], bases: readonly (readonly number[])[]): number[] =>
    [0, 1].reduce((left: readonly number[]) => bases.reduce((rest, base) => { const b = dot(rest, base); return rest.map((value, i) => value - b * base[i]!); }, left), a) as number[];
  let filled = 0;
  const columns = [
    ...[...new Set(groups)].map((group) => groups.map((other) => (other === group ? 1 : 0))),
    ...exposures.map((column) => {
      const known = column.filter((value) => !Number.isNaN(value));
      filled += column.length - known.length;
      const mean = known.length === 0 ? 0 : known.reduce((sum, value) => sum + value, 0) / known.length;
      return column.map((value) => (Number.isNaN(value) ? mean : value));
    }),
  ];
  const bases: number[][] = [];
  for (const column of columns) {
    const left = without(column, bases);
    const [length, before] = [Math.sqrt(dot(left, left)), Math.sqrt(dot(column, column))];
    if (length > 1e-6 * before) bases.push(left.map((value) => value / length));
  }
  return { left: without(values, bases), rank: bases.length, filled };
}

/** What the loss sees: per date and horizon, over rows that have a label; NaN elsewhere. Same layout as `labels`. */
export function transformLabels(labels: Float32Array, rowOffsets: Int32Array, rowStocks: Int32Array, stocks: number, width: number, { transform, winsorize }: ResolvedLabelTransform): Float32Array {
  const targets = new Float32Array(labels.length).fill(NaN);
  const sorter = new RankSorter(stocks);
  const cells = new Int32Array(stocks);
  const values = new Float64Array(stocks);
  const result = new Float64Array(stocks);
  for (let t = 0; t + 1 < rowOffsets.length; t++) {
    for (let l = 0; l < width; l++) {
      let count = 0;
      for (let r = rowOffsets[t]!; r < rowOffsets[t + 1]!; r++) {
        const cell = (t * stocks + rowStocks[r]!) * width + l;
        if (labels[cell] !== labels[cell]) continue;
        cells[count] = cell;
        values[count++] = labels[cell]!;
      }
      const bounds = winsorize === undefined ? undefined : madBounds(values.subarray(0, count), winsorize);
      if (bounds !== undefined) for (let i = 0; i < count; i++) values[i] = Math.min(bounds.high, Math.max(bounds.low, values[i]!));
      if (transform === "rank") {
        sorter.ranks(values, count, result);
        for (let i = 0; i < count; i++) result[i] = normalQuantile((result[i]! - 0.5) / count);
      } else if (transform === "zscore") {
        const { mean, sd } = meanAndSd(values, count, 0);
        for (let i = 0; i < count; i++) result[i] = sd > 0 ? (values[i]! - mean) / sd : 0;
      } else result.set(values.subarray(0, count));
      for (let i = 0; i < count; i++) targets[cells[i]!] = result[i]!;
    }
  }
  return targets;
}
