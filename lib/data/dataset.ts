import { finished } from "../binding/job.js";
import { loadCore, loadCoreAway } from "../binding/load.js";
import { resolveThreads } from "../binding/threads.js";
import type { NativeColumn, NativeFeatures, NativeRows } from "../binding/types.js";
import { AstgnnError } from "../errors.js";
import { LoadingsSchema, type DatasetOptions } from "./dataset-options.js";
import { listExposures } from "./exposure-list.js";
import { makeExposures, offerExposures, type PanelExposures } from "./exposures.js";
import { dailyReturns } from "./daily-returns.js";
import { featureSet, type FeatureFile, type FeatureSet } from "./feature-cache.js";
import { hasSet, mayLack } from "./feature-sets.js";
import { historyParts, refuseShortPanel } from "./history.js";
import { firstSample, newestDates } from "./newest-dates.js";
import { reportMissingLabels, reportNeutralLabels } from "./label-losses.js";
import { labelShape, type LabelShape } from "./labels.js";
import { OHLCV_FEATURES } from "./features.js";
import { LedgerBuilder } from "./ledger.js";
import { datesWithLoadings, planRefreshes, type LoadingsBasis } from "./loadings.js";
import type { FitDates } from "./native-processors.js";
import { nextPage } from "./pack/format.js";
import { PanelDataset } from "./panel-dataset.js";
import type { PanelGrid } from "./panel-grid.js";
import { NEUTRALISE, requireFeatureColumns, requireGraph, resolveDataset, usedColumns, type ResolvedDatasetOptions } from "./resolve-dataset.js";
import { sampleTargets } from "./sample-targets.js";
import { planSplits, refuseEmptySplits, type SplitPlan } from "./splits.js";
import type { Dataset } from "./types.js";

/** How a dataset is made whose features and exposures are to lie in a file, one behind the other. */
export interface MadeInFile extends FeatureFile {
  /** On whose training dates processors are fitted; undefined: those of the dataset. */
  readonly fitted: Pick<ResolvedDatasetOptions, "split" | "embargo"> | undefined;
  onMade(made: { readonly features: NativeFeatures; readonly exposures: { readonly native: NativeFeatures | undefined; readonly offset: number } | undefined; readonly basis: LoadingsBasis | undefined; readonly fit: FitDates | undefined }): void;
}

/**
 * What `panel.dataset(options)` does: the core computes, off the event loop.
 *
 * @param kept where features are kept that are to lie in a file
 */
export async function buildDataset(whole: PanelGrid, options: DatasetOptions, kept?: MadeInFile): Promise<Dataset> {
  const { cut: asked, run } = resolveDataset(options, whole.columns);
  requireFeatureColumns(whole, asked);
  refuseShortPanel(whole.dates, asked, whole.source);
  requireGraph(whole, asked.graph);
  const columns = usedColumns(whole, asked);
  await whole.read(columns, run);
  const { from, window } = asked;
  // The newest dates alone: those that windows read. Look-backs of the features lie before them.
  const first = from === undefined ? 0 : firstSample(whole, from, asked) - window + 1;
  const panel = from === undefined ? whole : newestDates(whole, first);
  const cut = from === undefined ? asked : { ...asked, requiredHistory: window };
  const { dates } = panel;
  const threads = resolveThreads(run.threads);

  const ledger = new LedgerBuilder(panel.ledger.entries);
  const shape = labelShape(cut.label);
  const label = labelColumn(panel, cut);
  // Labels that no training or evaluation reads need no exposures.
  const exposureList = cut.split === undefined ? undefined : cut.exposures;
  const areFeatures = hasSet(cut.features, "loadings");
  const planned = cut.loadings === undefined || (!areFeatures && exposureList?.loadings === undefined) ? undefined : planRefreshes(whole.dates, cut.loadings, cut.basis);
  const refreshes = areFeatures ? planned : undefined;
  const scored = planned === undefined ? undefined : datesWithLoadings(planned, areFeatures ? window : 1).subarray(first);
  const lastLabelled = lastLabelledDate(panel, cut, shape, label);
  const calendar = withLoadings(planSplits(dates, cut, shape, lastLabelled, cut.split, cut.embargo), scored, whole, cut, ledger);
  if (cut.split !== undefined) refuseEmptySplits(calendar, dates);
  const fitted = kept?.fitted === undefined ? calendar : withLoadings(planSplits(dates, cut, shape, lastLabelled, kept.fitted.split, kept.fitted.embargo), scored, whole, cut, new LedgerBuilder([]));
  if (kept?.fitted !== undefined) refuseEmptySplits({ ...fitted, asked: { valid: false, test: false } }, dates);
  const fit = trainedOn(fitted);
  const failed = new AbortController();
  const signal = run.signal === undefined ? failed.signal : AbortSignal.any([run.signal, failed.signal]);
  const onDates = (done: number): void => {
    try {
      run.onProgress?.({ dates: done - first, of: dates.length });
    } catch (error) {
      failed.abort(error);
    }
  };
  let features: FeatureSet | undefined;
  let exposures: PanelExposures | undefined;
  try {
    await loadCoreAway();
    const file = kept === undefined ? undefined : { file: kept.file, offset: kept.offset };
    features = await featureSet(whole, cut, refreshes, fit, { threads, signal, onDates, file }, first);
    const behind = kept === undefined ? undefined : { file: kept.file, offset: nextPage(kept.offset + 4 * dates.length * features.native.slots().count * cut.featureNames.length) };
    if (exposureList !== undefined) exposures = await makeExposures(whole, exposureList, features.basis ?? cut.basis, NEUTRALISE, { threads, signal, onDates: () => {}, file: behind }, first);
    kept?.onMade({ features: features.native, exposures: exposures === undefined ? undefined : { native: exposures.native, offset: behind!.offset }, basis: features.basis ?? exposures?.basis, fit });
    const rows = await sampleRows(panel, cut, { shape, label, features, first: calendar.first, scored }, { threads, signal });
    addRowLosses(panel, cut, rows, ledger);
    const plan = splitOfRows(calendar, rows.offsets, cut, dates, ledger);
    ledger.add("labels", "untradable_entry", rows.untradable, "values", "labels were removed because the stock is not tradable on its entry date");
    ledger.add("labels", "split_like_label", rows.broken, "values", "labels were removed because they span a return that looks like a split");
    ledger.add("labels", "overflowing_label", rows.overflowing, "values", "labels were removed because no 32-bit number holds them");
    const returns = await dailyReturns(panel, plan);
    const targets = await sampleTargets(panel, cut, { shape, rows, plan, exposures }, { threads, signal });
    try {
      reportMissingLabels(panel, targets, rows.lastPriced, shape, cut.maxDropped, ledger);
      reportNeutralLabels(panel, targets, cut, ledger);
    } catch (error) {
      targets.targets.dispose();
      throw error;
    }
    addSplitLosses(ledger, plan);
    onDates(whole.dates.length);
    failed.signal.throwIfAborted();
    const dataset = new PanelDataset({
      panel,
      cut,
      digests: panel.digests(columns),
      shape,
      features,
      exposures,
      labels: rows.labels,
      returns,
      targets: targets.targets,
      targetValues: targets.values,
      rowOffsets: rows.offsets,
      rowStocks: rows.stocks,
      groups: cut.graph === "none" ? rows.stocks.slice() : targets.groups,
      plan,
      ledger: ledger.build(panel.ledger.rowsRead, panel.ledger.rowsKept),
    });
    const basis = features.basis ?? exposures?.basis ?? cut.basis;
    offerExposures(dataset, (names, option, on) => {
      const ofLabels = cut.exposures?.written.includes("style") === true ? cut.exposures : undefined;
      const hasSize = ofLabels === undefined ? whole.has("size") : ofLabels.sources.some(({ name }) => name === "size");
      const list = listExposures(names, cut.loadings ?? LoadingsSchema.parse({}), hasSize, option);
      return makeExposures(whole, list, basis, option, on, first);
    });
    return dataset;
  } catch (error) {
    features?.release();
    exposures?.release();
    throw failed.signal.aborted ? failed.signal.reason : error;
  }
}

/** First and last training date, undefined where there is none. */
export function trainedOn({ train }: Pick<SplitPlan, "train">): FitDates | undefined {
  return train.length === 0 ? undefined : { from: train[0]!, to: train[train.length - 1]! };
}

/** What of the calendar samples can be cut from. */
export interface SampleCalendar {
  readonly label: LabelShape;
  /** Index of the last date that has a label. */
  readonly lastLabelled: number;
}

/** @throws AstgnnError ERR_DATA where the panel lacks columns or dates that the options need; ERR_OPTION, ERR_LEAKAGE */
export function sampleCalendar(panel: PanelGrid, cut: ResolvedDatasetOptions): SampleCalendar {
  requireFeatureColumns(panel, cut);
  refuseShortPanel(panel.dates, cut, panel.source);
  requireGraph(panel, cut.graph);
  const label = labelShape(cut.label);
  return { label, lastLabelled: lastLabelledDate(panel, cut, label, labelColumn(panel, cut)) };
}

/** The column that labels are made of; undefined for new data to be scored, which have none yet. */
function labelColumn(panel: PanelGrid, { label, described }: ResolvedDatasetOptions): NativeColumn | undefined {
  const column = "column" in label ? label.column : "close";
  if (panel.has(column)) return panel.values(column);
  if (described) return undefined;
  throw new AstgnnError("ERR_DATA", `${panel.source} has no column ${column} for the label; the panel has ${panel.columns.join(", ")}.`, { file: panel.source, column, option: "label", next: "Name a label column with label: { column }, or add a close." });
}

/** By the calendar for returns; by the last label for a column. */
function lastLabelledDate({ dates, tickers, tradable }: PanelGrid, { label }: ResolvedDatasetOptions, { lagDays, span }: LabelShape, column: NativeColumn | undefined): number {
  if (!("column" in label)) return dates.length - 1 - lagDays - span;
  let last = (column?.length ?? 0) - 1;
  const isLabel = (cell: number): boolean => column![cell] === column![cell] && (tradable === undefined || tradable[cell + lagDays * tickers.length] === 1);
  while (last >= 0 && !isLabel(last)) last--;
  return Math.floor(last / tickers.length);
}

/** The universe on dates that have loadings, no stock on others: a date without rows is no sample date. */
function scoredUniverse({ universe, tickers: { length: N } }: PanelGrid, scored: Uint8Array | undefined, first: number): Uint8Array {
  if (scored === undefined || !scored.includes(0, first)) return universe;
  const left = universe.slice();
  scored.forEach((isScored, t) => isScored === 0 && left.fill(0, t * N, (t + 1) * N));
  return left;
}

/**
 * Takes out dates whose window has no loadings.
 *
 * @throws AstgnnError ERR_DATA where no date is left
 */
export function withLoadings(plan: SplitPlan, scored: Uint8Array | undefined, { dates, source }: Pick<PanelGrid, "dates" | "source">, { features, loadings, basis, window }: ResolvedDatasetOptions, ledger: LedgerBuilder): SplitPlan {
  if (scored === undefined) return plan;
  const of = ({ train, valid, test, unlabelled }: Pick<SplitPlan, "train" | "valid" | "test" | "unlabelled">): number => train.length + valid.length + test.length + unlabelled.length;
  const left = (part: readonly number[]): number[] => part.filter((t) => scored[t] === 1);
  const kept = { train: left(plan.train), valid: left(plan.valid), test: left(plan.test), unlabelled: left(plan.unlabelled) };
  const lost = of(plan) - of(kept);
  const needs = `a refresh that is not stored needs ${loadings!.window} returns before it`;
  const where = hasSet(features, "loadings") ? `on the ${window} dates of its window` : "to make its label neutral to";
  if (lost > 0 && of(kept) === 0) {
    const stored = basis?.dates ?? [];
    throw new AstgnnError("ERR_DATA", `No date to score of ${source} (${dates[0]!} to ${dates.at(-1)!}) has loadings ${where}: those of the run are stored from ${stored[0] ?? "nowhere"} to ${stored.at(-1) ?? "nowhere"}, and ${needs}.`, {
      file: source,
      date: dates[0]!,
      next: `Read ${loadings!.window} more dates before the first to score.`,
    });
  }
  ledger.add("split", "no_loadings", lost, "dates", `dates are no sample dates: no loadings hold in their windows, for ${needs}`);
  return { ...plan, ...kept };
}

interface JobOptions {
  readonly threads: number;
  readonly signal: AbortSignal | undefined;
}

function sampleRows(
  panel: PanelGrid, { sources, window, maxMissingDates, label: written }: ResolvedDatasetOptions,
  { shape, label, features, first, scored }: { readonly shape: LabelShape; readonly label: NativeColumn | undefined; readonly features: FeatureSet; readonly first: number; readonly scored: Uint8Array | undefined }, { threads, signal }: JobOptions,
): Promise<NativeRows> {
  const start = () =>
    loadCore().sampleRows(
      {
        dates: panel.dates.length,
        stocks: panel.tickers.length,
        features: features.native,
        window,
        maxMissingDates,
        first,
        mayLack: mayLack(sources),
        present: panel.present,
        universe: scoredUniverse(panel, scored, first),
        horizons: "column" in written ? [] : [...shape.horizons],
        lagDays: shape.lagDays,
        ...(panel.has("close") ? { close: panel.values("close") } : {}),
        ...(panel.tradable === undefined ? {} : { tradable: panel.tradable }),
        ...(panel.segments === undefined ? {} : { segments: panel.segments }),
        ...(label === undefined ? {} : { label }),
        ...(panel.scratch === undefined ? {} : { scratch: panel.scratch }),
      },
      threads,
    );
  return finished(start, signal, "The dataset");
}

/** @throws AstgnnError ERR_DATA where more rows than the share `maxDropped` lack a feature */
function addRowLosses(panel: PanelGrid, { featureNames, sources, loadings, window, maxMissingDates, maxDropped }: ResolvedDatasetOptions, rows: NativeRows, ledger: LedgerBuilder): void {
  const { found, whole, missing, unfilled } = rows;
  const kept = rows.stocks.length;
  const filled = (f: number): string => (unfilled[f] === 0 ? ": a processor fills them" : "");
  featureNames.forEach((name, f) => {
    if (sources[f]!.set !== "loadings") ledger.add("features", `missing_${name}`, missing[f]!, "values", `values of ${name} are missing in the windows of rows${filled(f)}`);
  });
  const of = featureNames.flatMap((_, f) => (sources[f]!.set === "loadings" ? [f] : []));
  // A stock has all of them or none.
  ledger.add("features", "missing_loadings", of.reduce((sum, f) => sum + missing[f]!, 0), "values", `values of ${of.length} loadings are missing in the windows of rows, whose stocks have less than 80 % of ${loadings?.window} returns${filled(of[0]!)}`);
  const lacking = (howMany: string): string => `rows lack a ${panel.has("close") ? "close" : "table row"} on ${howMany} of the ${window} dates of their window`;
  ledger.add("rows", "incomplete_window", rows.incompleteWindow, "rows", maxMissingDates === 0 ? lacking("one") : `${lacking(`more than ${maxMissingDates}`)}, or on the last`);
  ledger.add("rows", "window_gap", kept - rows.gapless, "rows", `${lacking(`up to ${maxMissingDates}`)}: processors fill their features there`);
  ledger.add("rows", "missing_feature", found - kept, "rows", "rows have a missing feature in their window");
  ledger.add("rows", "filled_feature", kept - whole, "rows", "rows have a missing feature in their window that a processor fills");
  const losses = missing.map((count, f) => (mayLack(sources)[f] === 1 ? 0 : count));
  refuseDropped({ found, kept, whole }, maxDropped, featureNames[losses.indexOf(Math.max(...losses))]!, sources.some(({ set }) => set === "ohlcv") ? Math.max(...OHLCV_FEATURES.map(({ reach }) => reach)) : 0);
}

/** An incomplete window is no loss but what a row is; a missing feature costs a row that should be there, or is made up by a processor. */
function refuseDropped({ found, kept, whole }: { readonly found: number; readonly kept: number; readonly whole: number }, maxDropped: number, worst: string, lookBack: number): void {
  const share = (found - whole) / found;
  if (found === 0 || share <= maxDropped) return;
  const filled = kept === whole ? "" : `; a processor would fill ${kept - whole} of them`;
  const why = lookBack === 0 ? "" : ` A missing price or volume makes the features that look back on it missing, for up to ${lookBack} dates.`;
  const enough = Math.ceil(share * 100) / 100;
  throw new AstgnnError("ERR_DATA", `${found - whole} of ${found} rows (${(100 * share).toFixed(1)} %) lack a feature in their window, most often ${worst}${filled}. maxDropped allows ${(100 * maxDropped).toFixed(1)} %.${why}`, {
    column: worst,
    option: "maxDropped",
    next: `${lookBack === 0 ? "Correct the column, leave it out" : "Look in panel.ledger for prices that were made missing"}, begin later with split.start, or raise maxDropped if the loss is expected: ${enough} is enough.`,
  });
}

/** The split without dates that have no row; the ledger learns of these, and of dates before the history. */
export function splitOfRows(calendar: SplitPlan, offsets: Int32Array, cut: ResolvedDatasetOptions, dates: readonly string[], ledger: LedgerBuilder): SplitPlan {
  const plan = withoutEmptyDates(calendar, offsets, ledger);
  ledger.add("split", "short_history", cut.from === undefined ? plan.shortHistory : 0, "dates", `dates are no sample dates: a sample needs ${cut.requiredHistory} dates (${historyParts(cut)}), so scoring is possible from ${dates[calendar.first]!} on`);
  if (cut.split !== undefined) refuseEmptySplits(plan, dates);
  return plan;
}

/** Dates without any row are no sample dates. */
function withoutEmptyDates(plan: SplitPlan, offsets: Int32Array, ledger: LedgerBuilder): SplitPlan {
  const filled = (dates: readonly number[]): number[] => dates.filter((t) => offsets[t + 1]! > offsets[t]!);
  const kept = { train: filled(plan.train), valid: filled(plan.valid), test: filled(plan.test), unlabelled: filled(plan.unlabelled) };
  const lost = (["train", "valid", "test", "unlabelled"] as const).reduce((sum, name) => sum + plan[name].length - kept[name].length, 0);
  ledger.add("split", "dates_without_rows", lost, "dates", "dates have no row and are no sample dates");
  return { ...plan, ...kept };
}

export function addSplitLosses(ledger: LedgerBuilder, plan: SplitPlan): void {
  ledger.add("split", "purged_train_valid", plan.purged.trainValid, "dates", "dates have a label that straddles the end of train");
  ledger.add("split", "purged_valid_test", plan.purged.validTest, "dates", "dates have a label that straddles the end of valid");
  ledger.add("split", "after_test", plan.afterTest, "dates", `dates come after the test, whose labels end by ${plan.testEnd}, and are in no split`);
  ledger.add("split", "embargoed_valid", plan.embargoed.valid, "dates", "first dates of valid were dropped by the embargo");
  ledger.add("split", "embargoed_test", plan.embargoed.test, "dates", "first dates of test were dropped by the embargo");
}
