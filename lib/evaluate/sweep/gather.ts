import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AstgnnError } from "../../errors.js";
import { deflateIc, type DeflatedIc, type Trial } from "../../metrics/deflation.js";
import { testMean } from "../../metrics/hac.js";
import { summary } from "../../metrics/statistics.js";
import { isFinished } from "../walk-forward/stitch.js";
import { type Plan, readPlan, trialFolder, type Unit, unitsOf } from "./plan-file.js";
import type { Settings } from "./search-space.js";

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

interface StoredReport {
  daily?: Record<Judged, Trial>;
  valid?: { daily: Trial };
  test?: { daily: Trial };
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
  const finished: { result: TrialResult; daily: Record<Judged, Trial>; horizonDays: number; fingerprint: string }[] = [];
  const open: TrialResult[] = [];
  for (const trial of plan.trials) {
    const { name, settings } = trial;
    const folder = trialFolder(file, trial);
    const stored = (await isFinished(folder)) ? await storedOf(folder) : undefined;
    if (stored === undefined) {
      open.push({ name, settings, ic: null, icir: null, icT: null });
      continue;
    }
    const { ic } = stored.daily[judged];
    const { mean, deviation } = summary(ic);
    finished.push({ ...stored, result: { name, settings, ic: orNull(mean), icir: orNull(mean / deviation), icT: orNull(testMean(ic, stored).t) } });
  }
  refuseOtherData(file, finished);
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

/** Whether a part of the plan has nothing left to do. */
export async function isUnitFinished(file: string, { trial, seed, fold }: Unit, seeds: readonly number[]): Promise<boolean> {
  const folder = trialFolder(file, trial);
  if (await isFinished(folder)) return true;
  if (seed !== undefined) return isFinished(join(folder, `seed-${seed}`));
  if (fold === undefined) return false;
  // Dealt as walkForward deals them: all folds with the first seed, then with the second.
  const unit = Number(fold.split("/")[0]) - 1;
  const name = join(folder, `fold-${String((unit % trial.folds!) + 1).padStart(2, "0")}`);
  return (await isFinished(name)) || (seeds.length > 1 && (await isFinished(join(name, `seed-${seeds[Math.floor(unit / trial.folds!)]}`))));
}

async function progressOf(file: string, plan: Plan): Promise<PlanResults["units"]> {
  const units = unitsOf(plan);
  const seeds = [plan.seeds].flat();
  const states = await Promise.all(units.map((unit) => isUnitFinished(file, unit, seeds)));
  return { finished: states.filter(Boolean).length, planned: units.length };
}

/** Daily ICs of a finished run; undefined where its report cannot be read. */
async function storedOf(folder: string): Promise<{ daily: Record<Judged, Trial>; horizonDays: number; fingerprint: string } | undefined> {
  try {
    const [run, report] = await Promise.all(["run.json", "report.json"].map(async (name) => JSON.parse(await readFile(join(folder, name), "utf8")) as unknown));
    const { dataset, fingerprint } = run as { dataset: { label?: { horizonDays?: number | number[] } }; fingerprint: string };
    const { daily, valid, test } = report as StoredReport;
    const none = { dates: [], ic: [] };
    return { daily: daily ?? { valid: valid?.daily ?? none, test: test?.daily ?? none }, horizonDays: [dataset.label?.horizonDays ?? 1].flat()[0]!, fingerprint };
  } catch {
    return undefined;
  }
}

function refuseOtherData(file: string, trials: readonly { result: TrialResult; fingerprint: string }[]): void {
  const other = trials.find(({ fingerprint }) => fingerprint !== trials[0]!.fingerprint);
  if (other === undefined) return;
  const names = `${trials[0]!.result.name} and ${other.result.name}`;
  throw new AstgnnError("ERR_DATA", `${names} of ${file} were trained on different data: their fingerprints differ.`, { file, next: "Write a new plan for the new data." });
}

function orNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
