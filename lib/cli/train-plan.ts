import { join } from "node:path";
import { Command, CommanderError } from "commander";
import type { Panel, PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source/panel-source.js";
import { AstgnnError } from "../errors.js";
import { type Plan, readPlan, trialFolder } from "../evaluate/sweep/plan-file.js";
import type { Settings } from "../evaluate/sweep/search-space.js";
import { isUnitFinished, type Unit, unitsOf } from "../evaluate/sweep/units.js";
import { areFinished } from "../evaluate/walk-forward/finished.js";
import { parseJob } from "../evaluate/walk-forward/jobs.js";
import { givenFlags } from "./command-line.js";
import type { FlagGroup } from "./flags.js";
import type { Terminal } from "./terminal.js";
import { addTrainFlags } from "./train-command.js";
import { environmentJob } from "./walk-forward.js";

/** Flags of a training that a plan describes. */
export const planFlags: FlagGroup = {
  title: "Plan",
  flags: [
    { flags: "--plan <file>", option: "plan", kind: "text", help: "train the runs of this plan.json of astgnn plan, in place of all other flags but --threads" },
    { flags: "--job <K/N>", option: "job", kind: "text", help: "only the K-th of N jobs of the plan (default: SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX where set, else all)" },
  ],
};

/** What may stand beside --plan. */
const BESIDE = new Set(["plan", "job", "threads", "json", "debug"]);

type Written = Record<string, unknown> & { json?: boolean };

/** One call of `astgnn train`. */
export interface PlannedRun {
  readonly written: Written;
  readonly command: string;
  readonly open: (source: PanelSource, options: PanelOptions) => Promise<Panel>;
  /** Whether the finished run gets its evaluation and page. */
  readonly isEvaluated: boolean;
}

/** @throws AstgnnError ERR_OPTION for a --job without a plan */
export function refuseJob(written: Written): void {
  if (written["job"] === undefined) return;
  throw new AstgnnError("ERR_OPTION", "--job names a part of a plan, and no --plan is given.", { option: "--job", next: "Add --plan FILE, or leave it out." });
}

/**
 * `astgnn train --plan`: does what is left of a job, run after run. What is finished is passed over, what was interrupted goes on, and what another process has in
 * hand is left to it. A run that fails does not keep the others from being made.
 *
 * @throws AstgnnError ERR_JOBS naming the runs that failed
 */
export async function trainPlan(command: Command, train: (run: PlannedRun) => Promise<void>, terminal: Terminal): Promise<void> {
  const written: Written = command.opts();
  const [foreign] = givenFlags(command, BESIDE);
  if (foreign !== undefined) {
    const flag = foreign.split("=")[0]!;
    throw new AstgnnError("ERR_OPTION", `${flag} does not go with --plan, which says how its runs are made.`, { option: flag, next: "Leave it out, or write another plan." });
  }
  const file = written["plan"] as string;
  const plan = await readPlan(file);
  const units = unitsOf(plan);
  const { index, count = units.length } = parseJob((written["job"] as string | undefined) ?? environmentJob("--job", terminal) ?? "1/1", "job");
  if (index > Math.min(count, units.length)) {
    throw new AstgnnError("ERR_OPTION", `There is no job ${index} of ${count}: the plan has ${units.length} parts.`, { option: "--job", next: `Name one up to ${Math.min(count, units.length)}.` });
  }
  const own = units.filter((_, i) => i % count === index - 1);
  const seeds = [plan.seeds].flat();
  const threads = written["threads"] === undefined ? [] : [`--threads=${String(written["threads"])}`];
  const more = [...threads, ...(written.json === true ? ["--json"] : [])];
  const open = keepLast();
  const [failed, busy]: [string[], string[]] = [[], []];
  for (const unit of own) {
    if (await isUnitFinished(file, unit, seeds)) continue;
    const name = nameOf(unit);
    terminal.err(`${name}: ${flagsOf(unit.trial.settings).join(" ")}`);
    try {
      for (const run of runsOf(file, plan, unit)) {
        if (run.whenAll !== undefined && !(await areFinished(run.whenAll))) continue;
        await train({ ...parsed([...run.flags, ...more]), open, isEvaluated: run.isEvaluated });
      }
    } catch (error) {
      if (!(error instanceof AstgnnError) || error.code === "ERR_ABORTED") throw error;
      (error.code === "ERR_BUSY" ? busy : failed).push(name);
      terminal.err(`astgnn train: ${name}: ${error.message}`);
    }
  }
  if (failed.length > 0) {
    throw new AstgnnError("ERR_JOBS", `${failed.length} of ${own.length} parts of the job failed: ${failed.join(", ")}.`, { file, next: "Mend what the lines above say, and run the job again: it does what is left." });
  }
  const theirs = busy.length === 0 ? "" : `, and other processes train ${busy.join(", ")}`;
  terminal.err(`${own.length - busy.length} of ${own.length} parts of the job are finished${theirs}; astgnn plan --show ${file} shows the results`);
}

/** A run of a unit, in order; `whenAll`: only once all these folders are finished. */
function runsOf(file: string, { flags, seeds }: Plan, { trial, seed, fold }: Unit): { flags: string[]; isEvaluated: boolean; whenAll?: string[] }[] {
  const folder = trialFolder(file, trial);
  const common = [...flags, ...flagsOf(trial.settings)];
  const whole = [...common, Array.isArray(seeds) ? `--seeds=${seeds.join(",")}` : `--seed=${String(seeds)}`, `--out=${folder}`];
  if (fold !== undefined) return [{ flags: [...whole, `--fold=${fold.index}/${fold.count}`], isEvaluated: true }];
  if (seed === undefined) return [{ flags: [...whole, "--resume"], isEvaluated: true }];
  return [
    { flags: [...common, `--seed=${seed}`, `--out=${join(folder, `seed-${seed}`)}`, "--resume"], isEvaluated: false },
    { flags: [...whole, "--resume"], isEvaluated: true, whenAll: (seeds as readonly number[]).map((each) => join(folder, `seed-${each}`)) },
  ];
}

/** Settings as flags: a switch by itself, lists with commas, objects as JSON; false and null leave a flag out. */
export function flagsOf(settings: Settings): string[] {
  return Object.entries(settings).flatMap(([name, value]) => {
    if (value === false || value === null) return [];
    if (value === true) return [`--${name}`];
    const isPlainList = Array.isArray(value) && value.every((part) => typeof part !== "object");
    return [`--${name}=${isPlainList ? value.join(",") : typeof value === "object" ? JSON.stringify(value) : String(value)}`];
  });
}

/** What `astgnn train` would read from these flags. @throws AstgnnError ERR_OPTION where it has no such flag */
export function parsed(flags: readonly string[]): { written: Written; command: string } {
  const command = addTrainFlags(new Command("train").exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} }).option("--json"));
  try {
    command.parse([...flags], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const [problem] = error.message.replace(/^error: /, "").split("\n");
    throw new AstgnnError("ERR_OPTION", `astgnn train would not take ${flags.join(" ")}: ${problem}.`, { cause: error, next: "See astgnn train --help." });
  }
  return { written: command.opts(), command: `astgnn train ${flags.join(" ")}` };
}

/** `openPanel` that keeps the last panel: the runs of a plan mostly read the same. */
function keepLast(): PlannedRun["open"] {
  let kept: { key: string; panel: Panel } | undefined;
  return async (source, options) => {
    const { onWarning: _, signal: __, ...reading } = options;
    const key = JSON.stringify([source, reading]);
    if (kept?.key !== key) kept = { key, panel: await (await import("../data/panel.js")).openPanel(source, options) };
    return kept.panel;
  };
}

function nameOf({ trial, seed, fold }: Unit): string {
  return `${trial.name}${seed === undefined ? "" : `, seed ${seed}`}${fold === undefined ? "" : `, part ${fold.index}/${fold.count}`}`;
}
