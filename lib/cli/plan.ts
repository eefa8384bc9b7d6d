import { Command } from "commander";
import type { Panel } from "../data/panel.js";
import { AstgnnError } from "../errors.js";
import type { PlanResults } from "../evaluate/sweep/gather.js";
import { type Plan, type PlannedTrial, readPlan, trialFolder, writePlan } from "../evaluate/sweep/plan-file.js";
import { drawFrom, gridOf, parseSearchSpace, type Settings } from "../evaluate/sweep/search-space.js";
import { unitsOf } from "../evaluate/sweep/units.js";
import { resolveTrainOptions } from "../train/options.js";
import { givenFlags } from "./command-line.js";
import { datasetOptionsFrom, panelOptionsFrom, sourceFrom } from "./data-source.js";
import { addFlags, type FlagGroup, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { aligned, decimals, type Terminal } from "./terminal.js";
import { addTrainFlags, TRAIN_GROUPS, trainingFrom } from "./train-command.js";
import { flagsOf, parsed } from "./train-plan.js";
import { walkForwardOptionsFrom } from "./walk-forward.js";

const searchFlags: FlagGroup = {
  title: "Search",
  flags: [
    {
      flags: "--vary <flags>", option: "vary", kind: "json",
      help: 'what the trials differ in, flags of astgnn train as JSON: \'{"loss":["ic","mse"],"learning-rate":{"log":[1e-4,1e-2]}}\'; lists, or with --random also uniform, log and integer ranges',
    },
    { flags: "--random <trials>", option: "random", kind: "scalar", help: "trials to draw: a whole number from 1 (default: every combination of the lists)" },
    { flags: "--search-seed <seed>", option: "searchSeed", kind: "scalar", help: "seed of the draws: a whole number from 0 (default: 0)" },
    { flags: "--show <plan.json>", option: "show", kind: "text", help: "print how far a plan is and what it found, instead of writing one" },
  ],
};

/** Flags of a training that say where one run goes on or ends, which is for the plan to say. */
const OF_ONE_RUN = ["resume", "overwrite", "fold"] as const;
/** What `command` of a plan leaves to the plan itself. */
const OF_PLAN = new Set(["vary", "random", "searchSeed", "show", "json", "debug", "out", "seed", "seeds"]);
/** What trials must have in common to be compared. */
const COMMON = ["data", "sql", "seed", "seeds", "out", "walk-forward", ...OF_ONE_RUN];

type Written = Record<string, unknown> & { json?: boolean; out?: string };

/** `astgnn plan`: writes down the runs of a search, or shows what they found. */
export function planCommand(terminal: Terminal): Command {
  const command = new Command("plan").description("write down the runs of a grid or random search over options, seeds and folds, for astgnn train --plan FILE --job K/N on as many machines as there are; takes the flags of astgnn train");
  addFlags(command, searchFlags);
  return addTrainFlags(command)
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Written) => {
      try {
        const { show } = optionsFrom(searchFlags, written) as { show?: string };
        await (show === undefined ? write(written, command, terminal) : print(show, command, terminal));
      } catch (error) {
        throw namingFlags(error, [searchFlags, ...TRAIN_GROUPS]);
      }
    });
}

async function write(written: Written, command: Command, terminal: Terminal): Promise<void> {
  const { vary, random, searchSeed = 0 } = optionsFrom(searchFlags, written) as { vary?: unknown; random?: unknown; searchSeed?: unknown };
  if (written.out === undefined) throw new AstgnnError("ERR_OPTION", "A plan needs a folder, for itself and for its runs.", { option: "--out", next: "Add --out FOLDER." });
  const foreign = OF_ONE_RUN.find((name) => written[name] !== undefined);
  if (foreign !== undefined) throw new AstgnnError("ERR_OPTION", `--${foreign} does not go with a plan, whose jobs go on with what is there.`, { option: `--${foreign}`, next: "Leave it out." });
  const space = parseSearchSpace(vary);
  const count = wholeNumber("random", random, 1);
  const settings = count === undefined ? gridOf(space) : drawFrom(space, count, wholeNumber("search-seed", searchSeed, 0)!);
  const flags = givenFlags(command, OF_PLAN);
  for (const name of Object.keys(space)) {
    if (COMMON.includes(name)) throw new AstgnnError("ERR_OPTION", `All trials have the same --${name}.`, { option: "--vary", next: "Leave it out of --vary." });
    if (flags.some((flag) => flag.split("=")[0] === `--${name}`)) throw new AstgnnError("ERR_OPTION", `--${name} is given, and varied too.`, { option: `--${name}`, next: "Leave one out." });
  }
  const { seed, seeds } = resolveTrainOptions(trainingFrom(written).training);
  const name = (i: number): string => `trial-${String(i + 1).padStart(String(settings.length).length, "0")}`;
  const trials = await withFolds(settings.map((own, i) => ({ name: name(i), settings: own, folds: null })), flags, written.out);
  const { file, plan } = await writePlan(written.out, { flags, seeds: seeds ?? seed, space, random: count === undefined ? null : { trials: count, seed: searchSeed as number }, trials });
  const parts = unitsOf(plan).length;
  if (written.json === true) return terminal.out(JSON.stringify({ file, sha256: plan.sha256, trials: trials.length, parts }));
  terminal.out(`${trials.length} trials in ${parts} parts: ${file}`);
  terminal.out(`astgnn train --plan ${file} --job K/${parts} trains the K-th; any number of jobs will do, and the same again does what is left`);
}

/** Every trial checked as far as it can be, that of a walk-forward with its number of folds, for which the data are read. */
async function withFolds(trials: readonly PlannedTrial[], flags: readonly string[], out: string): Promise<PlannedTrial[]> {
  let panel: Panel | undefined;
  const counted: PlannedTrial[] = [];
  for (const trial of trials) {
    const { written } = parsed([...flags, ...flagsOf(trial.settings), `--out=${trialFolder(`${out}/plan.json`, trial)}`]);
    const { preset, model, training } = trainingFrom(written);
    resolveTrainOptions(training);
    if (written["walkForward"] === undefined) {
      datasetOptionsFrom(written);
      counted.push(trial);
      continue;
    }
    const options = walkForwardOptionsFrom({ written, preset, model, training });
    const [{ openPanel }, { foldsOf }] = await Promise.all([import("../data/panel.js"), import("../evaluate/walk-forward/walk-forward.js")]);
    panel ??= await interruptible((signal) => openPanel(sourceFrom(written), { ...panelOptionsFrom(written), onWarning: () => {}, signal }));
    counted.push({ ...trial, folds: (await foldsOf(panel, options)).length });
  }
  return counted;
}

function wholeNumber(name: string, value: unknown, least: number): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= least)) return value as number | undefined;
  throw new AstgnnError("ERR_OPTION", `Expected a whole number from ${least} for --${name} but received ${JSON.stringify(value)}.`, { option: `--${name}`, next: "Write e.g. 20." });
}

async function print(file: string, command: Command, terminal: Terminal): Promise<void> {
  const [foreign] = givenFlags(command, new Set(["show", "json", "debug"]));
  if (foreign !== undefined) throw new AstgnnError("ERR_OPTION", `${foreign.split("=")[0]} does not go with --show.`, { option: foreign.split("=")[0]!, next: "Leave it out." });
  const { gatherPlan } = await import("../evaluate/sweep/gather.js");
  const results = await gatherPlan(file);
  if (command.opts()["json"] === true) return terminal.out(JSON.stringify(results));
  for (const line of resultsText(results, await readPlan(file))) terminal.out(line);
}

function resultsText({ file, units, comparedOn, trials, deflatedIc, test }: PlanResults, { space }: Plan): string[] {
  const names = Object.keys(space);
  const told = (settings: Settings, name: string): string => (typeof settings[name] === "object" ? JSON.stringify(settings[name]) : String(settings[name]));
  const on = comparedOn === "valid" ? "valid" : "test";
  const rows = trials.map(({ name, settings, ic, icT, icir }) => [name, ...names.map((flag) => told(settings, flag)), decimals(ic), decimals(icT, 1), decimals(icir, 3)]);
  const lines = [`${units.finished} of ${units.planned} parts finished`, "", ...aligned([["trial", ...names, `${on} IC`, "t", "ICIR"], ...rows], (column) => column > names.length)];
  if (deflatedIc === null) return lines;
  const chance = Number.isNaN(deflatedIc.probability) ? "" : `; probability that it beats the luck of the best of ${deflatedIc.trials} (${deflatedIc.effectiveTrials.toFixed(1)} effective): ${decimals(deflatedIc.probability, 3)}`;
  lines.push("", `first: ${trials[0]!.name}, ${on} ICIR ${decimals(trials[0]!.icir, 3)}${chance}`);
  if (test !== null) lines.push(`its test IC, by which nothing was chosen: ${decimals(test.ic)} (t ${decimals(test.icT, 1)}) on ${test.dates} dates`);
  if (comparedOn === "test") lines.push("compared on the tests of all folds: what is chosen by them has no test left");
  if (units.finished < units.planned) lines.push(`${units.planned - units.finished} parts are left: astgnn train --plan ${file}`);
  return lines;
}
