import { AstgnnError } from "../errors.js";
import type { DatasetOptions } from "./dataset-options.js";
import { computeFeature, OHLCV_FEATURES } from "./features.js";
import { historyParts, refuseShortPanel } from "./history.js";
import { countMissingLabels } from "./label-losses.js";
import { columnLabels, forwardReturns, labelShape, transformLabels, type LabelShape, type RawLabels } from "./labels.js";
import { LedgerBuilder } from "./ledger.js";
import { PanelDataset } from "./panel-dataset.js";
import type { Panel } from "./panel.js";
import { ProcessorChain } from "./processors.js";
import { requireFeatureColumns, requireGraph, resolveRecipe, type Recipe } from "./recipe.js";
import { findWindows, groupsOfRows, rowsWithin } from "./rows.js";
import { planSplits, refuseEmptySplits, type SplitPlan } from "./splits.js";
import type { Dataset } from "./types.js";

/** What `panel.dataset(options)` does. */
export function buildDataset(panel: Panel, options: DatasetOptions): Dataset {
  const recipe = resolveRecipe(options);
  requireFeatureColumns(panel, recipe);
  const { dates, tickers } = panel;
  const [D, N, T] = [dates.length, tickers.length, recipe.window];
  refuseShortPanel(dates, recipe, panel.source);
  requireGraph(panel, recipe.graph);

  const ledger = new LedgerBuilder(panel.ledger.entries);
  const shape = labelShape(recipe.label);
  const { labels, untradable, broken } = rawLabels(panel, recipe, shape);
  const calendar = planSplits(dates, recipe, shape, lastLabelledDate(recipe, shape, labels, D, N), recipe.split, recipe.embargo);
  if (recipe.split !== undefined) refuseEmptySplits(calendar, dates);

  const fit = calendar.train.length === 0 ? undefined : { from: calendar.train[0]!, to: calendar.train[calendar.train.length - 1]! };
  const chain = new ProcessorChain(recipe.processors, recipe.featureNames, { dates: D, stocks: N, universe: panel.universe, fit });
  const priced = pricedCells(panel);
  const windows = findWindows({ dates: D, stocks: N, universe: panel.universe, priced }, T, recipe.maxMissingDates, calendar.first);
  const { features, known, complete, missing, unfilled } = assembleFeatures(panel, recipe, chain, windows.read);
  recipe.featureNames.forEach((name, f) => ledger.add("features", `missing_${name}`, missing[f]!, "values", `values of ${name} are missing in the windows of rows${unfilled[f] === 0 ? ": a processor fills them" : ""}`));

  const rows = rowsWithin(windows, complete, N, T);
  // A date that maxMissingDates allows to be missing is no loss where a processor fills it.
  for (let i = 0; i < known.length; i++) if (priced[i] === 0) known[i] = complete[i]!;
  const [found, kept, whole, gapless] = [windows, rows, rowsWithin(windows, known, N, T), rowsWithin(rows, priced, N, T)].map(({ stocks }) => stocks.length) as [number, number, number, number];
  const lacking = (howMany: string): string => `rows lack a ${panel.has("close") ? "close" : "table row"} on ${howMany} of the ${T} dates of their window`;
  const { maxMissingDates } = recipe;
  ledger.add("rows", "incomplete_window", windows.incompleteWindow, "rows", maxMissingDates === 0 ? lacking("one") : `${lacking(`more than ${maxMissingDates}`)}, or on the last`);
  ledger.add("rows", "window_gap", kept - gapless, "rows", `${lacking(`up to ${maxMissingDates}`)}: processors fill their features there`);
  ledger.add("rows", "missing_feature", found - kept, "rows", "rows have a missing feature in their window");
  ledger.add("rows", "filled_feature", kept - whole, "rows", "rows have a missing feature in their window that a processor fills");
  refuseDropped({ found, kept, whole }, recipe.maxDropped, recipe.featureNames[missing.indexOf(Math.max(...missing))]!);

  const plan = withoutEmptyDates(calendar, rows.offsets, ledger);
  ledger.add("split", "short_history", plan.shortHistory, "dates", `dates are no sample dates: a sample needs ${recipe.requiredHistory} dates (${historyParts(recipe)}), so scoring is possible from ${dates[calendar.first]!} on`);
  if (recipe.split !== undefined) refuseEmptySplits(plan, dates);
  ledger.add("labels", "untradable_entry", untradable, "values", "labels were removed because the stock is not tradable on its entry date");
  ledger.add("labels", "split_like_label", broken, "values", "labels were removed because they span a return that looks like a split");
  countMissingLabels(panel, plan, { labels, shape, rows, priced }, recipe.maxDropped, ledger);
  addSplitLosses(ledger, plan);
  return new PanelDataset({
    panel,
    recipe,
    shape,
    features,
    labels,
    targets: transformLabels(labels, rows.offsets, rows.stocks, N, shape.horizons.length, recipe.labelTransform),
    rowOffsets: rows.offsets,
    rowStocks: rows.stocks,
    groups: groupsOfRows(rows, N, recipe.graph, panel.groups),
    plan,
    processors: chain.fitted,
    ledger: ledger.build(panel.ledger.rowsRead, panel.ledger.rowsKept),
  });
}

function rawLabels(panel: Panel, { label, described }: Recipe, shape: LabelShape): RawLabels {
  const column = "column" in label ? label.column : "close";
  const [D, N] = [panel.dates.length, panel.tickers.length];
  if (!panel.has(column)) {
    // New data to be scored has no label yet.
    if (described) return { labels: new Float32Array(D * N * shape.horizons.length).fill(NaN), untradable: 0, broken: 0 };
    throw new AstgnnError("ERR_DATA", `${panel.source} has no column ${column} for the label; the panel has ${panel.columns.join(", ")}.`, { file: panel.source, column, option: "label", next: "Name a label column with label: { column }, or add a close." });
  }
  if ("column" in label) return columnLabels(panel.values(column), panel, N, shape.lagDays);
  return forwardReturns(panel.values(column), panel, D, N, shape);
}

/** By the calendar for returns; by the last label for a column. */
function lastLabelledDate({ label }: Recipe, shape: LabelShape, labels: Float32Array, dates: number, stocks: number): number {
  if (!("column" in label)) return dates - 1 - shape.lagDays - shape.span;
  let last = labels.length - 1;
  while (last >= 0 && labels[last] !== labels[last]) last--;
  return Math.floor(last / stocks);
}

/** 1 where a stock has a close; without a close column, where the table has a row. */
function pricedCells(panel: Panel): Uint8Array {
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
function assembleFeatures(panel: Panel, recipe: Recipe, chain: ProcessorChain, read: Uint8Array): Assembled {
  const [D, N, F] = [panel.dates.length, panel.tickers.length, recipe.featureNames.length];
  const cells = D * N;
  let features: Float32Array;
  try {
    features = new Float32Array(cells * F);
  } catch (cause) {
    throw new AstgnnError("ERR_OUT_OF_MEMORY", `${D} dates x ${N} stocks x ${F} features do not fit into memory.`, { cause, next: "Use fewer features, stocks or dates." });
  }
  const values = new Float64Array(cells);
  const known = new Uint8Array(cells).fill(1);
  const complete = new Uint8Array(cells).fill(1);
  const prices = recipe.features === "ohlcv" ? { open: panel.values("open"), high: panel.values("high"), low: panel.values("low"), close: panel.values("close"), volume: panel.values("volume") } : undefined;
  const missing: number[] = [];
  const unfilled: number[] = [];
  recipe.featureNames.forEach((name, f) => {
    if (prices === undefined) values.set(panel.values(name));
    else computeFeature(OHLCV_FEATURES[f]!, prices, panel.segments, D, N, values);
    missing.push(markMissing(values, known, read));
    chain.apply(name, values);
    unfilled.push(markMissing(values, complete, read));
    const beyond = store(values, features, F, f);
    if (beyond >= 0) throw beyondSinglePrecision(panel, name, values[beyond]!, beyond);
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

/** Returns the first cell whose value is infinite in single precision, or -1. */
function store(values: Float64Array, features: Float32Array, width: number, f: number): number {
  for (let i = 0; i < values.length; i++) {
    const value = Math.fround(values[i]!);
    features[i * width + f] = value;
    if (value - value !== 0 && value === value) return i;
  }
  return -1;
}

function beyondSinglePrecision(panel: Panel, column: string, value: number, cell: number): AstgnnError {
  const date = panel.dates[Math.floor(cell / panel.tickers.length)]!;
  const ticker = panel.tickers[cell % panel.tickers.length]!;
  return new AstgnnError("ERR_DATA", `Feature ${column} is ${value} for ${ticker} on ${date}, beyond single precision.`, { file: panel.source, column, date, next: "Rescale the column or correct the value." });
}

/** An incomplete window is no loss but what a row is; a missing feature costs a row that should be there, or is made up by a processor. */
function refuseDropped({ found, kept, whole }: { readonly found: number; readonly kept: number; readonly whole: number }, maxDropped: number, worst: string): void {
  const share = (found - whole) / found;
  if (found === 0 || share <= maxDropped) return;
  const filled = kept === whole ? "" : `; a processor would fill ${kept - whole} of them`;
  throw new AstgnnError("ERR_DATA", `${found - whole} of ${found} rows (${(100 * share).toFixed(1)} %) lack a feature in their window, most often ${worst}${filled}. maxDropped allows ${(100 * maxDropped).toFixed(1)} %.`, {
    column: worst,
    option: "maxDropped",
    next: "Correct the column, leave it out, begin later with split.start, or raise maxDropped if the loss is expected.",
  });
}

/** Dates without any row are no sample dates. */
function withoutEmptyDates(plan: SplitPlan, offsets: Int32Array, ledger: LedgerBuilder): SplitPlan {
  const filled = (dates: readonly number[]): number[] => dates.filter((t) => offsets[t + 1]! > offsets[t]!);
  const kept = { train: filled(plan.train), valid: filled(plan.valid), test: filled(plan.test), unlabelled: filled(plan.unlabelled) };
  const lost = (["train", "valid", "test", "unlabelled"] as const).reduce((sum, name) => sum + plan[name].length - kept[name].length, 0);
  ledger.add("split", "dates_without_rows", lost, "dates", "dates have no row and are no sample dates");
  return { ...plan, ...kept };
}

function addSplitLosses(ledger: LedgerBuilder, plan: SplitPlan): void {
  ledger.add("split", "purged_train_valid", plan.purged.trainValid, "dates", "dates have a label that straddles the end of train");
  ledger.add("split", "purged_valid_test", plan.purged.validTest, "dates", "dates have a label that straddles the end of valid");
  ledger.add("split", "embargoed_valid", plan.embargoed.valid, "dates", "first dates of valid were dropped by the embargo");
  ledger.add("split", "embargoed_test", plan.embargoed.test, "dates", "first dates of test were dropped by the embargo");
}
