// A dataset's arrays in plain TypeScript, stock by stock and date by date in double precision: what the core's are held to, bit by bit.
import { labelShape, type LabelShape } from "../../lib/data/labels.js";
import type { DatasetOptions } from "../../lib/data/dataset-options.js";
import type { PanelGrid } from "../../lib/data/panel-grid.js";
import { resolveDataset, type ResolvedDatasetOptions } from "../../lib/data/resolve-dataset.js";
import { planSplits } from "../../lib/data/splits.js";
import { computeFeature, ORACLE_FEATURES } from "./features.js";
import { columnLabels, forwardReturns, transformLabels, type RawLabels } from "./labels.js";
import { ProcessorChain } from "./processors.js";
import { findWindows, groupsOfRows, rowsWithin } from "./rows.js";

/** The arrays of the dataset, and how often each feature is missing in windows of rows. */
export interface OracleDataset {
  readonly features: Float32Array;
  readonly labels: Float32Array;
  readonly targets: Float32Array;
  readonly rowOffsets: Int32Array;
  readonly rowStocks: Int32Array;
  readonly groups: Int32Array | undefined;
  readonly processors: readonly unknown[];
  /** By the ledger's reasons; 0 where it has no line. */
  readonly counts: Readonly<Record<string, number>>;
}

export function oracleDataset(panel: PanelGrid, options: DatasetOptions): OracleDataset {
  const { cut } = resolveDataset(options, panel.columns);
  const [D, N, T] = [panel.dates.length, panel.tickers.length, cut.window];
  const shape = labelShape(cut.label);
  const { labels, untradable, broken } = rawLabels(panel, cut, shape);
  const calendar = planSplits(panel.dates, cut, shape, lastLabelledDate(cut, shape, labels, D, N), cut.split, cut.embargo);
  const fit = calendar.train.length === 0 ? undefined : { from: calendar.train[0]!, to: calendar.train[calendar.train.length - 1]! };
  const chain = new ProcessorChain(cut.processors, cut.featureNames, { dates: D, stocks: N, universe: panel.universe, fit });
  const priced = pricedCells(panel);
  const windows = findWindows({ dates: D, stocks: N, universe: panel.universe, priced }, T, cut.maxMissingDates, calendar.first);
  const { features, known, complete, missing } = assembleFeatures(panel, cut, chain, windows.read);
  const rows = rowsWithin(windows, complete, N, T);
  for (let i = 0; i < known.length; i++) if (priced[i] === 0) known[i] = complete[i]!;
  const [found, kept, whole, gapless] = [windows, rows, rowsWithin(windows, known, N, T), rowsWithin(rows, priced, N, T)].map(({ stocks }) => stocks.length) as [number, number, number, number];
  return {
    features,
    labels,
    targets: transformLabels(labels, rows.offsets, rows.stocks, N, shape.horizons.length, cut.labelTransform),
    rowOffsets: rows.offsets,
    rowStocks: rows.stocks,
    groups: groupsOfRows(rows, N, cut.graph, panel.groups),
    processors: chain.fitted,
    counts: {
      ...Object.fromEntries(cut.featureNames.map((name, f) => [`missing_${name}`, missing[f]!])),
      incomplete_window: windows.incompleteWindow, window_gap: kept - gapless, missing_feature: found - kept, filled_feature: kept - whole,
      untradable_entry: untradable, split_like_label: broken,
    },
  };
}

function rawLabels(panel: PanelGrid, { label, described }: ResolvedDatasetOptions, shape: LabelShape): RawLabels {
  const column = "column" in label ? label.column : "close";
  const [D, N] = [panel.dates.length, panel.tickers.length];
  if (!panel.has(column)) {
    // New data to be scored has no label yet.
    if (described) return { labels: new Float32Array(D * N * shape.horizons.length).fill(NaN), untradable: 0, broken: 0 };
    throw new Error(`no column ${column}`);
  }
  if ("column" in label) return columnLabels(panel.values(column), panel, N, shape.lagDays);
  return forwardReturns(panel.values(column), panel, D, N, shape);
}

/** By the calendar for returns; by the last label for a column. */
function lastLabelledDate({ label }: ResolvedDatasetOptions, shape: LabelShape, labels: Float32Array, dates: number, stocks: number): number {
  if (!("column" in label)) return dates - 1 - shape.lagDays - shape.span;
  let last = labels.length - 1;
  while (last >= 0 && labels[last] !== labels[last]) last--;
  return Math.floor(last / stocks);
}

/** 1 where a stock has a close; without a close column, where the table has a row. */
function pricedCells(panel: PanelGrid): Uint8Array {
  if (!panel.has("close")) return panel.present;
  const close = panel.values("close");
  const priced = new Uint8Array(close.length);
  for (let i = 0; i < close.length; i++) priced[i] = close[i] === close[i] ? 1 : 0;
  return priced;
}

interface Assembled {
  readonly features: Float32Array;
  /** 1 where no feature was missing before the processors ran: [dates * stocks]. */
  readonly known: Uint8Array;
  /** The same after they ran. */
  readonly complete: Uint8Array;
  /** Per feature, cells in windows of rows without a value before the processors ran. */
  readonly missing: readonly number[];
  /** The same after they ran. */
  readonly unfilled: readonly number[];
}

/** Computes, processes and stores one feature after the other: only one column of them is in double precision at a time. */
function assembleFeatures(panel: PanelGrid, cut: ResolvedDatasetOptions, chain: ProcessorChain, read: Uint8Array): Assembled {
  const [D, N, F] = [panel.dates.length, panel.tickers.length, cut.featureNames.length];
  const cells = D * N;
  const features = new Float32Array(cells * F);
  const values = new Float64Array(cells);
  const known = new Uint8Array(cells).fill(1);
  const complete = new Uint8Array(cells).fill(1);
  const prices = cut.features === "ohlcv" ? { open: panel.values("open"), high: panel.values("high"), low: panel.values("low"), close: panel.values("close"), volume: panel.values("volume") } : undefined;
  const missing: number[] = [];
  const unfilled: number[] = [];
  cut.featureNames.forEach((name, f) => {
    if (prices === undefined) values.set(panel.values(name));
    else computeFeature(ORACLE_FEATURES[f]!, prices, panel.segments, D, N, values);
    missing.push(markMissing(values, known, read));
    chain.apply(name, values);
    unfilled.push(markMissing(values, complete, read));
    for (let i = 0; i < cells; i++) features[i * F + f] = values[i]!;
  });
  return { features, known, complete, missing, unfilled };
}

/** Marks the cells without a value as 0, and returns how many of them windows read. */
function markMissing(values: Float64Array, complete: Uint8Array, read: Uint8Array): number {
  let missing = 0;
  for (let i = 0; i < values.length; i++) {
    if (values[i] === values[i]) continue;
    complete[i] = 0;
    missing += read[i]!;
  }
  return missing;
}
