import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AstgnnError, show } from "../../errors.js";
import { writeFileAtomically } from "../../model/atomic-write.js";
import type { SearchSpace, Settings } from "./search-space.js";

const FORMAT_VERSION = 1;

/** Runs that are to be made, written down once: every job reads the same. */
export interface Plan {
  readonly formatVersion: number;
  /** Flags of `astgnn train` that all trials have, as they are typed. */
  readonly flags: readonly string[];
  /** The seed of every trial, or those of the members of its ensemble. */
  readonly seeds: number | readonly number[];
  readonly space: SearchSpace;
  /** How many were drawn, and with which seed; null for the whole grid. */
  readonly random: { readonly trials: number; readonly seed: number } | null;
  readonly trials: readonly PlannedTrial[];
  /** Of everything above. */
  readonly sha256: string;
}

/** One configuration. */
export interface PlannedTrial {
  /** Folder of its run, beside the plan. */
  readonly name: string;
  readonly settings: Settings;
  /** Of a walk-forward: its number of folds; null for one split. */
  readonly folds: number | null;
}

/**
 * Writes a plan as `plan.json` of a folder, or finds the same one there.
 *
 * @throws AstgnnError ERR_RUN_EXISTS where another one is there
 */
export async function writePlan(folder: string, plan: Omit<Plan, "formatVersion" | "sha256">): Promise<{ file: string; plan: Plan }> {
  const content = { formatVersion: FORMAT_VERSION, ...plan };
  const whole: Plan = { ...content, sha256: hashOf(content) };
  const file = join(folder, "plan.json");
  if (existsSync(file)) {
    const { sha256 } = await readPlan(file);
    if (sha256 !== whole.sha256) throw new AstgnnError("ERR_RUN_EXISTS", `${file} is another plan.`, { option: "out", file, next: "Name another folder." });
    return { file, plan: whole };
  }
  await mkdir(folder, { recursive: true });
  await writeFileAtomically(file, `${JSON.stringify(whole, null, 2)}\n`);
  return { file, plan: whole };
}

/** @throws AstgnnError ERR_DATA where the file is no plan or was changed since it was written */
export async function readPlan(file: string): Promise<Plan> {
  let plan: Partial<Plan> | null;
  try {
    plan = JSON.parse(await readFile(file, "utf8")) as Partial<Plan> | null;
  } catch (cause) {
    throw new AstgnnError("ERR_DATA", existsSync(file) ? `${file} is not valid JSON.` : `There is no plan ${file}.`, { file, cause, next: "Name a file that astgnn plan wrote." });
  }
  const { sha256, ...content } = plan ?? {};
  if (typeof sha256 !== "string" || !Array.isArray(content.trials)) throw new AstgnnError("ERR_DATA", `${file} is no plan.`, { file, next: "Name a file that astgnn plan wrote." });
  if (content.formatVersion !== FORMAT_VERSION) throw new AstgnnError("ERR_DATA", `${file} has format ${show(content.formatVersion)}, and this version reads ${FORMAT_VERSION}.`, { file, next: "Write it again with astgnn plan." });
  if (hashOf(content) !== sha256) throw new AstgnnError("ERR_DATA", `${file} was changed since it was written: its SHA-256 is another.`, { file, next: "Write a new plan to another folder." });
  const outside = content.trials.find((trial: Partial<PlannedTrial> | null) => typeof trial?.name !== "string" || !/^[\w-]+$/.test(trial.name));
  if (outside !== undefined) throw new AstgnnError("ERR_DATA", `${file} has a trial ${show(outside?.name)}, which is no name of a folder beside it.`, { file, next: "Write it again with astgnn plan." });
  return plan as Plan;
}

function hashOf(content: Partial<Plan>): string {
  return createHash("sha256").update(JSON.stringify(content)).digest("hex");
}

/** Folder of a trial. */
export function trialFolder(file: string, { name }: PlannedTrial): string {
  return join(dirname(file), name);
}
