import { createHash } from "node:crypto";
import { releaseNativePanels } from "../../lib/data/native-panel.js";
import type { Dataset, LabelValues, Split } from "../../lib/data/types.js";

/** What the small market looks like. */
export interface SmallDatasetOptions {
  dates: number;
  stocks: number;
  window: number;
  horizons?: number;
  /** Share of (date, stock) cells that are no row. */
  missing?: number;
  seed?: number;
  features?: number;
  groups?: boolean;
  /** Dates without any row. */
  emptyDates?: readonly number[];
}

/** A dataset literal: features follow random walks, the first one predicts the label; a fifth of the dates is validation, a fifth test, the last is unlabelled. */
export function smallDataset({ dates: D, stocks: N, window: T, horizons: L = 1, missing = 0.1, seed = 0, features: F = 3, groups = false, emptyDates = [] }: SmallDatasetOptions): Dataset {
  const random = uniform(seed + 1);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const features = Float32Array.from({ length: D * N * F }, normal);
  const dates = Array.from({ length: D }, (_, t) => new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10));
  const tickers = Array.from({ length: N }, (_, n) => `S${String(n).padStart(3, "0")}`);
  const labels = new Float32Array(D * N * L).fill(NaN);
  const targets = new Float32Array(D * N * L).fill(NaN);
  const rowOffsets = new Int32Array(D + 1);
  const rowStocks: number[] = [];
  for (let t = 0; t < D; t++) {
    for (let n = 0; n < N; n++) {
      const isRow = t >= T - 1 && random() >= missing && !emptyDates.includes(t);
      if (isRow) rowStocks.push(n);
      for (let l = 0; l < L; l++) {
        const value = 0.02 * (0.5 * features[(t * N + n) * F]! + normal());
        if (t < D - 1) labels[(t * N + n) * L + l] = value;
        if (t < D - 1 && isRow) targets[(t * N + n) * L + l] = value * 50;
      }
    }
    rowOffsets[t + 1] = rowStocks.length;
  }
  const tested = Math.floor(D / 5);
  const bounds = [T - 1, D - 1 - 2 * tested, D - 1 - tested, D - 1, D];
  const split = (name: Split["name"], k: number): Split => {
    const dateIndices = Int32Array.from({ length: bounds[k + 1]! - bounds[k]! }, (_, i) => bounds[k]! + i);
    const own = dateIndices.length === 0 ? new Float32Array(0) : labels.slice(bounds[k]! * N * L, bounds[k + 1]! * N * L);
    const values: LabelValues = { data: own, shape: L === 1 ? [dateIndices.length, N] : [dateIndices.length, N, L], dates: dates.slice(bounds[k], bounds[k + 1]), tickers, horizonDays: Array.from({ length: L }, (_, l) => l + 1), lagDays: 0, column: undefined };
    return { name, get dataset() { return dataset; }, dateIndices, dates: values.dates, labels: values };
  };
  const rows = Int32Array.from(rowStocks);
  const featureNames = Array.from({ length: F }, (_, f) => `x${f}`);
  const options = { features: featureNames, window: T };
  const dataset: Dataset = {
    dates, tickers, featureNames, window: T, requiredHistory: T, horizons: Array.from({ length: L }, (_, l) => l + 1), lagDays: 0, features, rowOffsets, rowStocks: rows, labels, targets, returns: undefined,
    graph: "complete", groups: groups ? rows.map((stock) => stock % 3) : undefined, edges: undefined,
    train: split("train", 0), valid: split("valid", 1), test: split("test", 2), unlabelled: split("unlabelled", 3),
    ledger: { entries: [], rowsRead: D * N, rowsKept: D * N },
    fingerprint: createHash("sha256").update(new Uint8Array(features.buffer)).update(new Uint8Array(rows.buffer)).digest("hex"),
    origin: undefined, options, splitSummary: { bounds }, disposed: false,
    dispose: () => releaseNativePanels(dataset),
    [Symbol.dispose]: () => releaseNativePanels(dataset),
    describe: () => ({ featureNames, features: featureNames, window: T, processors: [], graph: "complete", label: { horizonDays: 1, lagDays: 0 }, labelTransform: { transform: "rank" }, maxDropped: 0.05, maxMissingDates: 0 }),
  };
  return dataset;
}

/** mulberry32. */
function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
