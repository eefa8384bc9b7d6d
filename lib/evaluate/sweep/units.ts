import { join } from "node:path";
import { isFinished } from "../walk-forward/finished.js";
import { foldName, tasksOf } from "../walk-forward/jobs.js";
import { type Plan, type PlannedTrial, trialFolder } from "./plan-file.js";

/** What one job takes at a time: a trial, or a member or a fold of one. */
export interface Unit {
  readonly trial: PlannedTrial;
  /** Undefined: all seeds of the trial. */
  readonly seed?: number;
  /** Part of its walk-forward, as {@link tasksOf} deals them: `index` of `count`. */
  readonly fold?: { readonly index: number; readonly count: number };
}

/** Everything that there is to do: trials in their order, of each the seeds, or the folds of the first seed, then of the second. */
export function unitsOf({ trials, seeds }: Plan): Unit[] {
  const members = [seeds].flat();
  return trials.flatMap((trial): Unit[] => {
    if (trial.folds === null) return members.length === 1 ? [{ trial }] : members.map((seed) => ({ trial, seed }));
    const count = trial.folds * members.length;
    return Array.from({ length: count }, (_, i) => ({ trial, fold: { index: i + 1, count } }));
  });
}

/** Whether a part of the plan has nothing left to do. */
export async function isUnitFinished(file: string, { trial, seed, fold }: Unit, seeds: readonly number[]): Promise<boolean> {
  const folder = trialFolder(file, trial);
  if (await isFinished(folder)) return true;
  if (seed !== undefined) return isFinished(join(folder, `seed-${seed}`));
  if (fold === undefined) return false;
  const [task] = tasksOf(fold, trial.folds!, seeds);
  const name = join(folder, foldName(task!.fold));
  return (await isFinished(name)) || (seeds.length > 1 && (await isFinished(join(name, `seed-${task!.seeds[0]}`))));
}
