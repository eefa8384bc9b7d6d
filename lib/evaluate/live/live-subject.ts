import type { DatasetOptions } from "../../data/dataset-options.js";
import { listFeatures, type WrittenFeatures } from "../../data/feature-sets.js";
import type { Panel } from "../../data/panel.js";
import type { Dataset } from "../../data/types.js";
import type { RunDescription } from "../../run/description.js";
import type { LoadedRun } from "../../run/load.js";
import { featureOptions } from "../audit/subject.js";
import { openRunData } from "../run-data.js";

/** Samples of a panel, prepared as those of a run, with their features before processors. */
export interface Sampled {
  readonly dataset: Dataset;
  /** Value of feature `f` in cell t * stocks + n before any processor, NaN where missing. */
  raw(f: number, cell: number): number;
}

/** New data beside what a run was trained on. */
export interface LiveSubject {
  readonly run: LoadedRun;
  readonly live: Sampled;
  /** Indices of the dates of `live` after the last that the run knew. */
  readonly news: readonly number[];
  readonly reference: Sampled;
  /** Indices of the dates of `reference` that the run was trained on. */
  readonly train: readonly number[];
  /** Indices of its dates up to the last that the run knew. */
  readonly known: readonly number[];
  /** Up to when there should be data, YYYY-MM-DD. */
  readonly asOf: string;
}

/** Share of the training's dates that new data must have to stand for them. */
const COVERED = 0.9;

/** The last date on which the run had a sample, its newest without labels among them. */
export function lastKnown({ split }: RunDescription): string | undefined {
  return Object.values(split as Record<string, { last?: string | null } | null>).flatMap((part) => (typeof part?.last === "string" ? [part.last] : [])).sort().at(-1);
}

/** Puts together what the checks share. The training window is taken from the new data where they reach back to it, else from the run's own source. */
export async function liveSubject(folder: string, description: RunDescription, run: LoadedRun, panel: Panel, known: string, asOf: string, signal: AbortSignal | undefined): Promise<LiveSubject> {
  const { first, last, dates } = (description.split as Record<string, { first: string; last: string; dates: number }>)["train"]!;
  const isTrained = (date: string): boolean => date >= first && date <= last;
  const live = await sampled(panel, run, signal);
  const covers = datesWithRows(live.dataset).filter((t) => isTrained(live.dataset.dates[t]!)).length >= COVERED * dates;
  const reference = covers ? live : await sampled(await openRunData(folder, description, undefined, signal), run, signal);
  const of = (dataset: Dataset, keep: (date: string) => boolean): number[] => datesWithRows(dataset).filter((t) => keep(dataset.dates[t]!));
  return { run, live, news: of(live.dataset, (date) => date > known), reference, train: of(reference.dataset, isTrained), known: of(reference.dataset, (date) => date <= known), asOf };
}

async function sampled(panel: Panel, run: LoadedRun, signal: AbortSignal | undefined): Promise<Sampled> {
  const dataset = await panel.dataset({ description: run.dataset, maxDropped: 1, signal });
  const { features, loadings } = dataset.options as { features: WrittenFeatures; loadings?: never };
  const sources = listFeatures(features, loadings, panel.has("size"));
  const F = sources.length;
  const columns = sources.map(({ name, set }) => (set === undefined ? panel.values(name) : undefined));
  let computed: ArrayLike<number> = [];
  if (sources.some(({ set }) => set === "ohlcv" || set === "style")) {
    using plain = await panel.dataset({ ...featureOptions(dataset.options), split: { fractions: [1, 0, 0] }, processors: [], maxDropped: 1, signal } as DatasetOptions);
    computed = plain.features;
  }
  // Loadings are those of the run's own basis only after its preparation.
  const prepared = sources.some(({ set }) => set === "loadings") ? dataset.features : [];
  return { dataset, raw: (f, cell) => columns[f]?.[cell] ?? (sources[f]!.set === "loadings" ? prepared : computed)[cell * F + f] ?? NaN };
}

function datesWithRows({ dates, rowOffsets }: Dataset): number[] {
  return Array.from(dates.keys()).filter((t) => rowOffsets[t + 1]! > rowOffsets[t]!);
}

/** Stocks that are in on a date. */
export function rowsOn({ rowOffsets, rowStocks }: Dataset, t: number): Int32Array {
  return rowStocks.subarray(rowOffsets[t]!, rowOffsets[t + 1]!);
}
