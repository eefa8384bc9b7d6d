import { z } from "zod";
import type { Panel, PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source/panel-source.js";
import { AstgnnError } from "../errors.js";
import type { Fold } from "../evaluate/walk-forward/folds.js";
import { foldShape, resolveWalkForward, type WalkForwardOptions } from "../evaluate/walk-forward/options.js";
import type { FoldResult } from "../evaluate/walk-forward/stitch.js";
import { resolveOptions } from "../options.js";
import type { PresetName } from "../presets.js";
import type { TrainEvents } from "../train/events.js";
import { resolveTrainOptions, type TrainOptions } from "../train/options.js";
import { sampleOptionsFrom } from "./data-source.js";
import { optionsFrom, type FlagGroup } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { ledgerJson, printLedger } from "./ledger.js";
import { aligned, decimals, type Terminal } from "./terminal.js";
import type { TrainingProgress } from "./training-progress.js";

/** Flags of `walkForward`. */
export const walkForwardFlags: FlagGroup = {
  title: "Walk-forward",
  flags: [
    {
      flags: "--walk-forward <offsets>", option: "walkForward", kind: "json",
      help: 'train fold after fold and test each on the dates after it, as JSON: \'{"train":"3y","valid":"1y","step":"6m"}\', offsets in y, m, w or d on label ends; "mode":"expanding" keeps the first label (default: rolling)',
    },
    {
      flags: "--fold <K/N>", option: "fold", kind: "text",
      help: "only the K-th of N jobs, or fold K; 1/1 for all (default: SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX where set, else all)",
    },
  ],
};

type Written = Record<string, unknown> & { json?: boolean };

/** What `astgnn train` has read from its flags. */
export interface FoldTraining {
  readonly written: Written;
  readonly source: PanelSource;
  readonly panelOptions: PanelOptions;
  readonly preset: { readonly preset?: PresetName };
  readonly model: Record<string, unknown>;
  readonly training: TrainOptions;
  readonly events: (names: FoldNames) => TrainEvents;
  readonly open: (source: PanelSource, options: PanelOptions) => Promise<Panel>;
}

/** How lines tell folds apart. */
export interface FoldNames {
  /** What a fold is called in a line. */
  label(fold: string): string;
  /** Whether its progress is shown: of several at once that of the last that began. */
  isFollowed(fold: string): boolean;
}

/** What `walkForward` is told, `fold` and callbacks apart. */
export function walkForwardOptionsFrom({ written, preset, model, training }: Pick<FoldTraining, "written" | "preset" | "model" | "training">): WalkForwardOptions {
  const { walkForward: json } = optionsFrom(walkForwardFlags, written);
  if (typeof json !== "object") throw new AstgnnError("ERR_OPTION", `Expected JSON for --walk-forward but received ${JSON.stringify(json)}.`, { option: "--walk-forward", next: 'Write e.g. --walk-forward \'{"train":"3y","valid":"1y","step":"6m"}\'.' });
  const rule = resolveOptions(z.strictObject(foldShape), json, "--walk-forward");
  const { out, resume: _, overwrite, ...recipe } = training;
  if (out === undefined) throw new AstgnnError("ERR_OPTION", "A walk-forward needs a folder for its folds.", { option: "--out", next: "Add --out FOLDER." });
  if (overwrite === true) throw new AstgnnError("ERR_OPTION", "--overwrite does not go with --walk-forward, which goes on with what its folder holds.", { option: "--overwrite", next: "Remove the folder to train anew." });
  const { split = {}, ...samples } = sampleOptionsFrom(written) as { split?: Record<string, unknown> };
  const { start, ...foreign } = split;
  const [named] = Object.keys(foreign);
  if (named !== undefined) throw new AstgnnError("ERR_OPTION", `split.${named} does not go with --walk-forward, which cuts the splits itself.`, { option: `split.${named}`, next: "Leave it out." });
  const { seed: __, ...architecture } = model;
  const options = { ...rule, ...(start === undefined ? {} : { start }), dataset: { ...preset, ...samples }, model: architecture, training: recipe, out } as WalkForwardOptions;
  resolveWalkForward(options);
  return options;
}

/** `astgnn train --walk-forward`: trains folds, and evaluates their tests together once all are there. */
export async function trainFolds(asked: FoldTraining, progress: TrainingProgress, terminal: Terminal): Promise<void> {
  const { written, source, panelOptions, training, events, open } = asked;
  const { fold } = optionsFrom(walkForwardFlags, written) as { fold?: string };
  const options: WalkForwardOptions = { ...walkForwardOptionsFrom(asked), fold: fold ?? environmentJob("--fold", terminal) };
  resolveWalkForward(options);
  const { out } = options;
  const { walkForward } = await import("../evaluate/walk-forward/walk-forward.js");
  const { epochs, patience, datesPerStep } = resolveTrainOptions(training);
  const done = await interruptible(async (signal) => {
    progress.begin(`reading ${typeof source === "string" ? source : "data"}`);
    const panel = await open(source, { ...panelOptions, signal });
    let [followed, shown] = ["", written.json === true];
    const labels = new Map<string, string>();
    const names: FoldNames = { label: (name) => labels.get(name)!, isFollowed: (name) => name === followed };
    const onFold: WalkForwardOptions["onFold"] = ({ fold: { name, train, valid, test }, index, folds, seeds, ledger }) => {
      followed = name;
      labels.set(name, written.json === true ? name : `fold ${index + 1}/${folds.length}`);
      progress.plan({ epochs, patience, datesPerStep, seeds, validDates: valid.dates, scoredDates: train.dates + valid.dates + test.dates });
      if (shown) return;
      shown = true;
      for (const line of foldTable(folds)) terminal.err(line);
      printLedger(terminal, ledger);
    };
    return { ...(await walkForward(panel, { ...options, training: { ...options.training, ...events(names) }, onFold, signal })), ledger: panel.ledger };
  });
  progress.end();
  const { folds, missing, evaluation, ledger } = done;
  if (written.json === true) return terminal.out(JSON.stringify({ event: "done", run: out, folds: folds.map(({ name }) => name), missing, ledger: ledgerJson(ledger) }));
  if (evaluation === undefined) return terminal.out(`${folds.length} folds, of which ${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing; astgnn evaluate --run ${out} evaluates those that are there`);
  const { ic, icT, dates } = evaluation.test;
  terminal.out(`test IC ${decimals(ic)} (t ${decimals(icT, 2)}) on ${dates} dates of ${folds.length} folds; the walk-forward is in ${out}, and astgnn evaluate --run ${out} shows it`);
}

/** The part of the process in an array of Slurm or an indexed job of Kubernetes; undefined outside of both. `flag` would say it instead. */
export function environmentJob(flag: string, terminal: Terminal): string | undefined {
  const { SLURM_ARRAY_TASK_ID: task, SLURM_ARRAY_TASK_MIN: first, SLURM_ARRAY_TASK_STEP: step, SLURM_ARRAY_TASK_COUNT: count, JOB_COMPLETION_INDEX: completion } = process.env;
  const set = [["SLURM_ARRAY_TASK_ID", task], ["JOB_COMPLETION_INDEX", completion]].find(([, value]) => value !== undefined && value !== "");
  if (set === undefined) return undefined;
  const [variable, value] = set as [string, string];
  const job = variable === "JOB_COMPLETION_INDEX" ? `${Number(value) + 1}` : `${(Number(value) - Number(first ?? 1)) / Number(step ?? 1) + 1}${count === undefined ? "" : `/${count}`}`;
  terminal.err(`astgnn train: ${variable} is ${value}, so this is ${flag} ${job}; ${flag} 1/1 trains all`);
  return job;
}

/** The dates of each fold, and what it came to where that is known. */
export function foldTable(folds: readonly (Fold | FoldResult)[]): string[] {
  const span = ({ first, last, dates }: Fold["train"]): string => (first === null ? "-" : `${first} to ${last} (${dates})`);
  const rows = folds.map((fold) => {
    const result = "isFinished" in fold ? [fold.isFinished ? decimals(fold.validIc) : "missing", decimals(fold.testIc)] : [];
    return [fold.name, span(fold.train), span(fold.valid as Fold["valid"]), span(fold.test), ...result];
  });
  const head = ["fold", "train", "valid", "test", ...(rows[0]!.length > 4 ? ["valid IC", "test IC"] : [])];
  return aligned([head, ...rows], (column) => column >= 4);
}
