import { AstgnnError } from "../../errors.js";
import { deflateIc, type DeflatedIc, type Trial } from "../../metrics/deflation.js";
import { testMean } from "../../metrics/hac.js";
import { summary } from "../../metrics/statistics.js";
import { labelOf } from "../evaluate-run.js";
import { isSameData, readDaily, readIdentity, type StoredIdentity } from "../trials.js";
import { type Plan, readPlan, trialFolder } from "./plan-file.js";
import type { Settings } from "./search-space.js";
import { isUnitFinished, unitsOf } from "./units.js";

/** The dates by which trials are compared: validation, or the tests of a walk-forward, which has no validation of its own. */
type Judged = "valid" | "test";

/** What a finished trial came to on the dates by which trials are compared. */
export interface TrialResult {
  readonly name: string;
  readonly settings: Settings;
  /** null where the trial is not finished. */
  readonly ic: number | null;
  readonly icir: number | null;
  /** HAC t of the IC. */
  readonly icT: number | null;
}

/** How far a plan is, and what it has found. */
export interface PlanResults {
  readonly file: string;
  readonly sha256: string;
  /** Parts of trials that are finished, of all. */
  readonly units: { readonly finished: number; readonly planned: number };
  readonly comparedOn: Judged;
  /** Highest IC first, unfinished ones last. */
  readonly trials: readonly TrialResult[];
  /** The first of `trials` against the luck of the best of all that are finished; null where none is. */
  readonly deflatedIc: DeflatedIc | null;
  /** IC of the first on the test dates, which chose nothing; null where they are those that trials are compared on. */
  readonly test: { readonly ic: number; readonly icT: number; readonly dates: number } | null;
}

/**
 * Gathers the results of a plan from its run folders. Trials are ordered by their IC on validation; the test dates of the first one alone are told, since a look at
 * all would choose by them.
 *
 * @throws AstgnnError ERR_DATA where the file is no plan, or trials were trained on different data
 */
export async function gatherPlan(file: string): Promise<PlanResults> {
  const plan = await readPlan(file);
  const isWalkForward = plan.trials.some(({ folds }) => folds !== null);
  const judged: Judged = isWalkForward ? "test" : "valid";
  const finished: { result: TrialResult; daily: Record<Judged, Trial>; horizonDays: number; folder: string; identity: StoredIdentity }[] = [];
  const open: TrialResult[] = [];
  for (const trial of plan.trials) {
    const { name, settings } = trial;
    const folder = trialFolder(file, trial);
    const identity = await readIdentity(folder);
    const daily = identity?.status === "finished" ? await readDaily(folder, identity) : undefined;
    if (identity === undefined || daily === undefined) {
      open.push({ name, settings, ic: null, icir: null, icT: null });
      continue;
    }
    const { ic } = daily[judged];
    const horizonDays = labelOf(identity).horizonDays[0]!;
    const { mean, deviation } = summary(ic);
    finished.push({ daily, horizonDays, folder, identity, result: { name, settings, ic: orNull(mean), icir: orNull(mean / deviation), icT: orNull(testMean(ic, { horizonDays }).t) } });
  }
  await refuseOtherData(file, finished);
  finished.sort((a, b) => (b.result.ic ?? -Infinity) - (a.result.ic ?? -Infinity));
  const [best, ...others] = finished;
  const test = best === undefined || isWalkForward ? undefined : testMean(best.daily.test.ic, best);
  return {
    file,
    sha256: plan.sha256,
    units: await progressOf(file, plan),
    comparedOn: judged,
    trials: [...finished.map(({ result }) => result), ...open],
    deflatedIc: best === undefined ? null : deflateIc(best.daily[judged], others.map(({ daily }) => daily[judged]), best.horizonDays),
    test: test === undefined || test.count === 0 ? null : { ic: test.mean, icT: test.t, dates: test.count },
  };
}

async function progressOf(file: string, plan: Plan): Promise<PlanResults["units"]> {
  const units = unitsOf(plan);
  const seeds = [plan.seeds].flat();
  const states = await Promise.all(units.map((unit) => isUnitFinished(file, unit, seeds)));
  return { finished: states.filter(Boolean).length, planned: units.length };
}

async function refuseOtherData(file: string, [first, ...others]: readonly { result: TrialResult; folder: string; identity: StoredIdentity }[]): Promise<void> {
  for (const { result, folder, identity } of others) {
    if (await isSameData(first!.identity, identity, folder)) continue;
    throw new AstgnnError("ERR_DATA", `${first!.result.name} and ${result.name} of ${file} were trained on different data: their fingerprints differ.`, { file, next: "Write a new plan for the new data." });
  }
}

function orNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
