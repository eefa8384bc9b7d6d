import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { lockPath } from "../run/files.js";
import { replacementPath } from "../run/replacement.js";
import { lockHolder, type LockHolder } from "../setup/lock.js";
import { MetricsFile, type EpochPoint } from "./metrics-file.js";

/**
 * `"waiting"`: nothing is there yet. `"running"`: a living process holds the lock. `"finished"`: every file is written. `"stopped"`: nobody holds the lock, and
 * the run is not finished: it was interrupted or ended with an error. `"crashed"`: its process died and left the lock.
 */
export type RunState = "waiting" | "running" | "finished" | "stopped" | "crashed";

/** One training: a run, a seed of an ensemble, a fold of a walk-forward. */
export interface WatchedRun {
  /** Path below the folder that is watched; empty for that folder itself. */
  readonly name: string;
  readonly state: RunState;
  readonly holder: LockHolder | undefined;
  /** Those of metrics.jsonl, by number. */
  readonly epochs: readonly EpochPoint[];
  /** Undefined before run.json is there. */
  readonly plannedEpochs: number | undefined;
  /** Whether the training may end before. */
  readonly mayStopEarly: boolean;
  readonly bestEpoch: number | undefined;
  readonly warnings: readonly string[];
  /** Seconds until its last epoch is over, at the pace of its epochs so far; undefined where that is not known. */
  readonly secondsLeft: number | undefined;
}

/** A folder as it is at one moment. */
export interface Watched {
  readonly folder: string;
  readonly state: RunState;
  readonly runs: readonly WatchedRun[];
  /** Of all runs: their sum where one follows the other, else the longest. */
  readonly secondsLeft: number | undefined;
  readonly mayStopEarly: boolean;
  readonly holder: LockHolder | undefined;
}

/** What of run.json is looked at. It may be another version's, or of a kind that is not known here. */
interface Description {
  readonly status?: string;
  /** Options of the training. */
  readonly epochs: number | undefined;
  readonly patience: number | undefined;
  /** Folders of its members or folds. */
  readonly children: readonly string[];
  readonly bestEpoch: number | undefined;
  readonly warnings: readonly string[];
}

/** Where a training keeps its files, and whose lock says that it runs. */
interface Place {
  readonly name: string;
  readonly path: string;
  readonly lock: string;
}

/** Folders below the one that is watched: folds, and seeds of folds. */
const DEPTH = 2;
const MOST_RUNS = 200;
/** Epochs whose mean time is that of the next. */
const PACE_EPOCHS = 5;

/** Looks at a run folder, or at a folder of such folders, as other processes write to it. It reads only. */
export class RunWatcher {
  readonly folder: string;
  readonly #now: () => number;
  readonly #files = new Map<string, MetricsFile>();
  #looking: Promise<Watched> | undefined;

  /** @param now milliseconds since 1970 */
  constructor(folder: string, now: () => number = Date.now) {
    this.folder = folder;
    this.#now = now;
  }

  /** What is there now. Who asks while a look goes on gets the same one: files are read once. */
  look(): Promise<Watched> {
    return (this.#looking ??= this.#look().finally(() => (this.#looking = undefined)));
  }

  async #look(): Promise<Watched> {
    const places = await trainingsIn(this.folder, "", DEPTH);
    const root = await placeOf(this.folder, "");
    const runs: WatchedRun[] = [];
    for (const place of (places.length === 0 ? [root] : places).slice(0, MOST_RUNS)) runs.push(await this.#run(place));
    const holder = await lockHolder(root.lock);
    const state = stateOf(runs, (await read(root))?.status, holder);
    return {
      folder: this.folder, state, runs,
      holder: holder ?? runs.find((run) => run.state === "running")?.holder,
      secondsLeft: state === "running" ? leftOfAll(runs) : undefined,
      mayStopEarly: runs.some(({ mayStopEarly }) => mayStopEarly),
    };
  }

  async #run(place: Place): Promise<WatchedRun> {
    const { status, epochs: plannedEpochs, patience = 0, bestEpoch, warnings = [] }: Partial<Description> = (await read(place)) ?? {};
    let file = this.#files.get(place.path);
    if (file === undefined) this.#files.set(place.path, (file = new MetricsFile(join(place.path, "metrics.jsonl"))));
    const epochs = await file.read();
    const holder = await lockHolder(place.lock);
    const isBegun = status !== undefined || epochs.length > 0 || existsSync(join(place.path, "last.safetensors"));
    const state = holder?.isAlive === true ? "running" : holder !== undefined ? "crashed" : status === "finished" ? "finished" : isBegun ? "stopped" : "waiting";
    return {
      name: place.name, state, holder, epochs, plannedEpochs,
      mayStopEarly: patience > 0,
      bestEpoch: bestEpoch ?? epochs.findLast(({ isBest }) => isBest)?.epoch,
      warnings,
      secondsLeft: state === "running" && plannedEpochs !== undefined ? leftOf(epochs, plannedEpochs, file.modified, this.#now()) : undefined,
    };
  }
}

/** A folder's training: of one that is being replaced the new one, whose lock is that of the folder. */
async function placeOf(folder: string, name: string): Promise<Place> {
  const lock = lockPath(folder);
  const replacement = replacementPath(folder);
  return { name, path: existsSync(replacement) && existsSync(lock) ? replacement : folder, lock };
}

/** Trainings in a folder: itself, or those of the folders in it, those that are planned and not begun among them. */
async function trainingsIn(folder: string, name: string, depth: number): Promise<Place[]> {
  const here = await placeOf(folder, name);
  const description = await read(here);
  const planned = (description?.children ?? []).filter((child) => /^[\w-]+$/.test(child));
  const has = (file: string): boolean => existsSync(join(here.path, file));
  if (planned.length === 0 && (description !== undefined || has("metrics.jsonl") || has("last.safetensors"))) return [here];
  const found = depth === 0 ? [] : await foldersIn(here.path);
  const places: Place[] = [];
  for (const child of [...new Set([...planned, ...found])].sort((a, b) => a.localeCompare(b, "en", { numeric: true }))) {
    if (places.length >= MOST_RUNS) break;
    const [path, its] = [join(here.path, child), name === "" ? child : `${name}/${child}`];
    const below = await trainingsIn(path, its, depth - 1);
    places.push(...(below.length === 0 && planned.includes(child) ? [await placeOf(path, its)] : below));
  }
  return places.length === 0 && existsSync(here.lock) ? [here] : places;
}

async function foldersIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(".")).map(({ name }) => name);
}

async function read({ path }: Place): Promise<Description | undefined> {
  try {
    return descriptionOf(JSON.parse(await readFile(join(path, "run.json"), "utf8")));
  } catch {
    return undefined;
  }
}

/** The fields that are what they should be; of others nothing is kept, so that no text gets where a number is drawn. */
function descriptionOf(value: unknown): Description | undefined {
  if (!isRecord(value)) return undefined;
  const { status, training, members, folds, bestEpoch, warnings } = value;
  const [epochs, patience] = isRecord(training) ? [countOf(training["epochs"]), countOf(training["patience"])] : [];
  const texts = (list: unknown, field?: string): string[] => (Array.isArray(list) ? list : []).map((one: unknown) => (field !== undefined && isRecord(one) ? one[field] : one)).filter((one) => typeof one === "string");
  return {
    ...(typeof status === "string" ? { status } : {}),
    epochs, patience,
    children: [...texts(members), ...texts(folds, "name")],
    bestEpoch: countOf(bestEpoch),
    warnings: texts(warnings, "text"),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function countOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function stateOf(runs: readonly WatchedRun[], status: string | undefined, holder: LockHolder | undefined): RunState {
  const are = (state: RunState): number => runs.filter((run) => run.state === state).length;
  if (holder?.isAlive === true || are("running") > 0) return "running";
  if (holder !== undefined || are("crashed") > 0) return "crashed";
  if (are("waiting") === runs.length && status === undefined) return "waiting";
  return are("finished") === runs.length && status !== "running" ? "finished" : "stopped";
}

/** Remaining epochs at the mean pace of the last ones, less what has passed since the last one ended. */
function leftOf(epochs: readonly EpochPoint[], planned: number, modified: number | undefined, now: number): number | undefined {
  const times = epochs.slice(-PACE_EPOCHS).flatMap(({ seconds }) => seconds ?? []);
  if (times.length === 0) return undefined;
  const pace = times.reduce((sum, seconds) => sum + seconds, 0) / times.length;
  const epochsLeft = Math.max(0, planned - epochs.at(-1)!.epoch);
  // An epoch that takes longer than those before it takes no time from the next.
  const passed = Math.min(pace, Math.max(0, now - (modified ?? now)) / 1000);
  return Math.max(0, epochsLeft * pace - passed);
}

/** Runs that wait follow the one that runs and take as long as it does; where several run, the longest counts. */
function leftOfAll(runs: readonly WatchedRun[]): number | undefined {
  const running = runs.filter(({ state }) => state === "running");
  const lefts = running.map(({ secondsLeft }) => secondsLeft);
  if (lefts.length === 0 || lefts.includes(undefined)) return undefined;
  if (running.length > 1) return Math.max(...(lefts as number[]));
  const { epochs, plannedEpochs } = running[0]!;
  const times = epochs.flatMap(({ seconds }) => seconds ?? []);
  const whole = (plannedEpochs! * times.reduce((sum, seconds) => sum + seconds, 0)) / times.length;
  return lefts[0]! + whole * runs.filter(({ state }) => state === "waiting").length;
}
