import { AstgnnError, invalidOption } from "../../errors.js";

/** One of several jobs that share a walk-forward or a plan. */
export interface Job {
  /** From 1. */
  readonly index: number;
  /** Undefined: one for each fold, or each part of the plan. */
  readonly count: number | undefined;
}

/** What one job trains of one fold. */
export interface Task {
  /** Index of the fold. */
  readonly fold: number;
  /** Seeds of the fold's members; all of them where the fold is one job's. */
  readonly seeds: readonly number[];
}

/** Folder of the k-th fold, from 0. */
export function foldName(k: number): string {
  return `fold-${String(k + 1).padStart(2, "0")}`;
}

/** @throws AstgnnError ERR_OPTION for anything but `K/N` or `K`, whole numbers from 1 with K up to N */
export function parseJob(text: string, option = "fold"): Job {
  const [, index, count] = /^([1-9]\d{0,5})(?:\/([1-9]\d{0,5}))?$/.exec(text) ?? [];
  if (index === undefined || (count !== undefined && Number(index) > Number(count))) throw invalidOption(option, "K/N or K, whole numbers from 1 with K up to N,", text);
  return { index: Number(index), count: count === undefined ? undefined : Number(count) };
}

/**
 * The part of a job: folds and seeds are units, all folds with the first seed, then with the second and so on, dealt out in turn. As many jobs as folds are
 * one fold each, with all its seeds; as many as folds times seeds one unit each. Without a job everything.
 *
 * @throws AstgnnError ERR_OPTION where the job has nothing to do
 */
export function tasksOf(job: Job | undefined, folds: number, seeds: readonly number[]): Task[] {
  const units = folds * seeds.length;
  const count = job === undefined ? 1 : (job.count ?? folds);
  const index = job?.index ?? 1;
  if (index > Math.min(count, units)) {
    const what = seeds.length === 1 ? `${folds} folds` : `${folds} folds with ${seeds.length} seeds each`;
    throw new AstgnnError("ERR_OPTION", `There is no job ${index}${job?.count === undefined ? "" : ` of ${count}`}: the walk-forward has ${what}.`, { option: "fold", next: `Name one up to ${Math.min(count, units)}.` });
  }
  return Array.from({ length: folds }, (_, fold): Task => ({ fold, seeds: seeds.filter((_seed, s) => (s * folds + fold) % count === index - 1) })).filter((task) => task.seeds.length > 0);
}
