import type { PanelValues } from "../../data/types.js";
import { evaluatePairs } from "../../metrics/pairs.js";
import { percent, type Finding } from "./finding.js";
import { judgedSplit, type AuditSubject } from "./subject.js";

const LEAST_STOCKS = 20;
const LEAST_DATES = 60;
const LEAST_SHARE = 0.9;
/** Windows of moving means that are tried; 1 is an affine function. */
const WINDOWS = [...Array.from({ length: 60 }, (_, w) => w + 1), 90, 120, 126, 200, 250, 252];
const SAMPLED_STOCKS = 16;

type Statistic = "maximum" | "minimum" | "mean" | "standard deviation";

/** A column whose statistic over all of its dates is one constant for nearly every stock. */
interface Scaled {
  readonly column: string;
  readonly statistic: Statistic;
  readonly value: number;
  readonly share: number;
}

/**
 * Columns that were divided by, or shifted by, a number that only the whole file tells: the maximum, minimum, mean or standard deviation of each stock
 * over all dates is one constant. A value then says how far a stock is from where it will have been. Moving means and affine functions of such a column
 * leak alike.
 */
export function fullSampleScaling(subject: AuditSubject): Finding[] {
  const { panel, used } = subject;
  if (panel.tickers.length < LEAST_STOCKS || panel.dates.length < LEAST_DATES) return [];
  const scaled = panel.columns.flatMap((column) => scaledBy(subject, column) ?? []).sort((a, b) => b.share - a.share);
  const told = new Set<string>();
  return scaled.flatMap((base): Finding[] => {
    if (told.has(base.column)) return [];
    const derived = panel.columns.filter((column) => column !== base.column && !told.has(column) && isDerived(subject, column, base.column));
    const columns = [base.column, ...derived];
    for (const column of columns) told.add(column);
    const isUsed = columns.some((column) => used.has(column));
    const also = derived.length === 0 ? "" : ` ${derived.join(", ")} ${derived.length === 1 ? "is a moving mean or an affine function of it" : "are moving means or affine functions of it"}.`;
    const finding: Finding = {
      code: "full_sample_scaling",
      severity: isUsed ? "fail" : "note",
      text: `${base.column} has the ${base.statistic} ${rounded(base.value)} over the whole file for ${percent(base.share)} of the stocks: each stock was scaled with dates that were still to come.${also} ${worth(subject, base)}`,
      columns,
      value: base.share,
      threshold: LEAST_SHARE,
      next: "Make the columns anew from unscaled values, or scale each value with dates up to its own only.",
    };
    return [finding];
  });
}

function scaledBy({ panel }: AuditSubject, column: string): Scaled | undefined {
  const values = panel.values(column);
  const [D, N] = [panel.dates.length, panel.tickers.length];
  const of: Record<Statistic, number[]> = { maximum: [], minimum: [], mean: [], "standard deviation": [] };
  const reached = { maximum: [] as number[], minimum: [] as number[] };
  const on = { maximum: new Map<number, number>(), minimum: new Map<number, number>() };
  let [total, squares, count] = [0, 0, 0];
  for (let n = 0; n < N; n++) {
    let [most, least, sum, own] = [-Infinity, Infinity, 0, 0];
    let [timesMost, timesLeast, dateMost, dateLeast] = [0, 0, 0, 0];
    for (let t = 0; t < D; t++) {
      const x = values[t * N + n]!;
      if (!Number.isFinite(x)) continue;
      own++;
      sum += x;
      if (x > most) [most, timesMost, dateMost] = [x, 1, t];
      else if (x === most) timesMost++;
      if (x < least) [least, timesLeast, dateLeast] = [x, 1, t];
      else if (x === least) timesLeast++;
    }
    // A stock with few values, or with one value all along, tells nothing about its scale.
    if (own < LEAST_DATES || most === least) continue;
    const mean = sum / own;
    let deviations = 0;
    for (let t = 0; t < D; t++) {
      const x = values[t * N + n]!;
      if (Number.isFinite(x)) deviations += (x - mean) ** 2;
    }
    of.maximum.push(most);
    of.minimum.push(least);
    of.mean.push(mean);
    of["standard deviation"].push(Math.sqrt(deviations / own));
    reached.maximum.push(timesMost);
    reached.minimum.push(timesLeast);
    on.maximum.set(dateMost, (on.maximum.get(dateMost) ?? 0) + 1);
    on.minimum.set(dateLeast, (on.minimum.get(dateLeast) ?? 0) + 1);
    total += sum;
    squares += deviations + own * mean * mean;
    count += own;
  }
  const stocks = of.mean.length;
  if (stocks < LEAST_STOCKS) return undefined;
  const scale = Math.sqrt(Math.max(0, squares / count - (total / count) ** 2));
  if (!(scale > 0)) return undefined;
  for (const statistic of ["maximum", "minimum"] as const) {
    // A bound that values are clipped to is reached again and again; a calendar's is reached by all stocks at once. Neither looks ahead.
    const isBound = median(reached[statistic]) > 2 || Math.max(...on[statistic].values()) > stocks / 2;
    const found = isBound ? undefined : concentrated(of[statistic], 1e-6 * scale);
    if (found !== undefined) return { column, statistic, ...found };
  }
  for (const statistic of ["mean", "standard deviation"] as const) {
    // Sample and population standard deviation differ by 1 / 2T among stocks with unequal histories.
    const found = concentrated(of[statistic], statistic === "mean" ? 1e-4 * scale : 1e-3 * median(of[statistic]));
    const isCalendar = on.maximum.size < 3;
    if (found !== undefined && !isCalendar) return { column, statistic, ...found };
  }
  return undefined;
}

function concentrated(values: readonly number[], tolerance: number): { value: number; share: number } | undefined {
  const value = median(values);
  const share = values.filter((x) => Math.abs(x - value) <= tolerance).length / values.length;
  return share >= LEAST_SHARE ? { value, share } : undefined;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

/** Whether `column` is a * (mean of `base` over w dates) + b, with one a and b for all stocks. */
function isDerived({ panel }: AuditSubject, column: string, base: string): boolean {
  const [values, source] = [panel.values(column), panel.values(base)];
  const [D, N] = [panel.dates.length, panel.tickers.length];
  const step = Math.max(1, Math.floor(N / SAMPLED_STOCKS));
  const stocks = Array.from({ length: Math.min(N, SAMPLED_STOCKS) }, (_, i) => i * step);
  return WINDOWS.some((window) => {
    const [x, y]: [number[], number[]] = [[], []];
    for (const n of stocks) {
      let [sum, count] = [0, 0];
      for (let t = 0; t < D; t++) {
        const entering = source[t * N + n]!;
        [sum, count] = Number.isNaN(entering) ? [0, 0] : [sum + entering, count + 1];
        if (count > window) [sum, count] = [sum - source[(t - window) * N + n]!, window];
        if (count < window || Number.isNaN(values[t * N + n]!)) continue;
        x.push(sum / window);
        y.push(values[t * N + n]!);
      }
    }
    return isAffine(x, y);
  });
}

/** Whether y is a line in x but for rounding, on 95 % of the points and more. */
function isAffine(x: readonly number[], y: readonly number[]): boolean {
  const count = x.length;
  if (count < 100) return false;
  const [meanX, meanY] = [x.reduce((a, b) => a + b, 0) / count, y.reduce((a, b) => a + b, 0) / count];
  let [xx, xy, yy] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    xx += (x[i]! - meanX) ** 2;
    xy += (x[i]! - meanX) * (y[i]! - meanY);
    yy += (y[i]! - meanY) ** 2;
  }
  if (!(xx > 0 && yy > 0) || (xy * xy) / (xx * yy) < 0.999) return false;
  const [slope, tolerance] = [xy / xx, 2e-3 * Math.sqrt(yy / count)];
  let near = 0;
  for (let i = 0; i < count; i++) if (Math.abs(y[i]! - meanY - slope * (x[i]! - meanX)) <= tolerance) near++;
  return near >= 0.95 * count;
}

/** What the look ahead is worth: the column alone as a score, and the same scaled with the past only. */
function worth({ panel, dataset }: AuditSubject, { column, statistic }: Scaled): string {
  const split = judgedSplit(dataset);
  const values = panel.values(column);
  const past = scaledByPast(values, statistic, panel.dates.length, panel.tickers.length);
  const icOf = (scores: ArrayLike<number>): number => {
    const N = panel.tickers.length;
    const data = new Float64Array(split.dateIndices.length * N);
    split.dateIndices.forEach((t, i) => {
      for (let n = 0; n < N; n++) data[i * N + n] = scores[t * N + n]!;
    });
    const predictions: PanelValues = { data, shape: [split.dates.length, N], dates: split.dates, tickers: panel.tickers };
    return evaluatePairs(predictions, split.labels, [[0, 0]]).ic;
  };
  const [own, causal] = [icOf(values), icOf(past)];
  const sign = own < 0 ? -1 : 1;
  return `The untrained score ${sign < 0 ? "-" : ""}${column} has a ${split.name} IC of ${(sign * own).toFixed(3)}, with the ${statistic} of the past only ${(sign * causal).toFixed(3)}.`;
}

/** Every value scaled anew by the statistic of its stock up to its own date. */
function scaledByPast(values: ArrayLike<number>, statistic: Statistic, D: number, N: number): Float64Array {
  const scaled = new Float64Array(D * N).fill(NaN);
  for (let n = 0; n < N; n++) {
    let [most, least, sum, squares, count] = [-Infinity, Infinity, 0, 0, 0];
    for (let t = 0; t < D; t++) {
      const x = values[t * N + n]!;
      if (!Number.isFinite(x)) continue;
      [most, least] = [Math.max(most, x), Math.min(least, x)];
      [sum, squares, count] = [sum + x, squares + x * x, count + 1];
      const mean = sum / count;
      const deviation = Math.sqrt(Math.max(0, squares / count - mean * mean));
      const value = statistic === "maximum" ? x / most : statistic === "minimum" ? x / least : statistic === "mean" ? x - mean : (x - mean) / deviation;
      if (Number.isFinite(value)) scaled[t * N + n] = value;
    }
  }
  return scaled;
}

function rounded(value: number): string {
  return String(Number(value.toPrecision(4)));
}
