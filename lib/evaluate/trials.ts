import { existsSync } from "node:fs";
import { readdir, readFile, realpath } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { agree } from "../data/digests.js";
import type { Panel } from "../data/panel.js";
import type { DataDigests } from "../data/types.js";
import { widthOf } from "../metrics/aligned.js";
import type { Trial } from "../metrics/deflation.js";
import { evaluatePairs } from "../metrics/pairs.js";
import { differenceFrom } from "./run-data.js";
import { DescriptionSchema } from "../run/description.js";
import { readStoredPredictions, type EVALUATED_SPLITS } from "../run/stored-predictions.js";
import { evaluationPairs, type Loss, resolveLoss } from "../train/objective.js";

/** How deep below the parent folder runs are looked for. */
const DEPTH = 4;

type SplitName = (typeof EVALUATED_SPLITS)[number];

/** The part of run.json by which runs are told apart. */
export interface StoredIdentity {
  status?: string;
  fingerprint?: string;
  digests?: DataDigests;
  config?: unknown;
  dataset?: unknown;
  training?: { loss?: Loss; datesPerStep?: number };
  /** How the folds of a walk-forward are cut. */
  walkForward?: unknown;
  split?: Partial<Record<string, { first: string | null; last: string | null; dates: number }>>;
}

/** The other configurations that were tried, and their daily ICs per split. */
export interface Trials {
  readonly valid: readonly Trial[];
  readonly test: readonly Trial[];
  /** Folders of all their runs. */
  readonly folders: readonly string[];
}

/**
 * Finds what else was tried: finished runs below the parent folder on the same data with the same validation and test dates: the dates, tickers and columns that
 * both used are the same. Seeds of one configuration are one trial, whose daily ICs are means over its runs; those of the run's own configuration are none. Folders of hidden
 * names, links and runs that cannot be read are passed over.
 */
export async function findTrials(folder: string, own: StoredIdentity, panel?: Panel, signal?: AbortSignal): Promise<Trials> {
  const self = await realpath(folder);
  const found = new Map<string, { folder: string; identity: StoredIdentity }[]>();
  for (const path of await runsBelow(dirname(resolve(folder)), DEPTH)) {
    if ((await realpath(path)) === self) continue;
    const identity = await readIdentity(path);
    if (identity === undefined || identity.status !== "finished" || datesOf(identity) !== datesOf(own) || !(await isSameData(own, identity, path, panel, signal))) continue;
    const key = configurationOf(identity);
    if (key === configurationOf(own)) continue;
    found.set(key, [...(found.get(key) ?? []), { folder: path, identity }]);
  }
  const trials = { valid: [] as Trial[], test: [] as Trial[], folders: [] as string[] };
  for (const runs of found.values()) {
    const daily = (await Promise.all(runs.map(({ folder: path, identity }) => readDaily(path, identity)))).filter((series) => series !== undefined);
    if (daily.length === 0) continue;
    trials.folders.push(...runs.map(({ folder: path }) => path));
    for (const split of ["valid", "test"] as const) trials[split].push(meanOf(daily.map((series) => series[split])));
  }
  return trials;
}

/** Whether two runs are of the same data. Where one is of an older version, whose fingerprint covers all columns, only the data can tell. */
export async function isSameData(own: StoredIdentity, other: StoredIdentity, folder: string, panel?: Panel, signal?: AbortSignal): Promise<boolean> {
  if (own.digests !== undefined && other.digests !== undefined) return agree(own.digests, other.digests);
  if (own.digests === undefined && other.digests === undefined) return own.fingerprint === other.fingerprint;
  return panel !== undefined && (await differenceFrom(folder, other, panel, signal)) === undefined;
}

/** Run folders below `root`, in the order of their names. What lies inside a run is the run's own. */
async function runsBelow(root: string, depth: number): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
  const runs: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!entry.isDirectory() || entry.name.startsWith(".") || entry.name === "node_modules") continue;
    const path = join(root, entry.name);
    if (existsSync(join(path, "run.json"))) runs.push(path);
    else if (depth > 1) runs.push(...(await runsBelow(path, depth - 1)));
  }
  return runs;
}

export async function readIdentity(folder: string): Promise<StoredIdentity | undefined> {
  try {
    const written: unknown = JSON.parse(await readFile(join(folder, "run.json"), "utf8"));
    // As it was written: configurations are compared as text.
    return DescriptionSchema.safeParse(written).success ? (written as StoredIdentity) : undefined;
  } catch {
    return undefined;
  }
}

/** Text that is the same for runs that differ in nothing but their seeds. */
function configurationOf({ config, dataset, training = {}, walkForward }: StoredIdentity): string {
  const { seed: _, seeds: __, cudaGraph: ___, reduction: ____, ...recipe } = training as Record<string, unknown>;
  return JSON.stringify(sorted({ config, dataset, recipe, walkForward }));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, entry]) => [key, sorted(entry)]));
}

function datesOf({ split = {} }: StoredIdentity): string {
  return JSON.stringify([split["valid"], split["test"]].map((part) => [part?.first, part?.last, part?.dates]));
}

/** Daily ICs as report.json has them, or from the predictions of a run of 0.1.0; undefined where neither can be read. */
export async function readDaily(folder: string, { training }: StoredIdentity): Promise<Record<SplitName, Trial> | undefined> {
  try {
    const { daily } = JSON.parse(await readFile(join(folder, "report.json"), "utf8")) as { daily?: Record<SplitName, Trial> };
    if (daily !== undefined) return daily;
    const stored = await readStoredPredictions(join(folder, "predictions.parquet"));
    const of = (split: SplitName): Trial => {
      const { predictions, labels } = stored[split];
      return evaluatePairs(predictions, labels, storedPairs(training, widthOf(predictions), widthOf(labels))).daily;
    };
    return { valid: of("valid"), test: of("test") };
  } catch {
    return undefined;
  }
}

/** Which prediction is meant for which horizon, from the loss that run.json keeps. */
export function storedPairs(training: StoredIdentity["training"], predictions: number, horizons: number): readonly (readonly [number, number])[] {
  return evaluationPairs(resolveLoss(training?.loss ?? "ic", predictions, horizons, training?.datesPerStep ?? 1), predictions, horizons);
}

function meanOf(series: readonly Trial[]): Trial {
  const sums = new Map<string, { sum: number; count: number }>();
  for (const { dates, ic } of series) {
    for (const [i, date] of dates.entries()) {
      const day = sums.get(date) ?? { sum: 0, count: 0 };
      sums.set(date, { sum: day.sum + ic[i]!, count: day.count + 1 });
    }
  }
  const dates = [...sums.keys()].sort();
  return { dates, ic: dates.map((date) => sums.get(date)!.sum / sums.get(date)!.count) };
}
