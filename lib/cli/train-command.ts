import { type Command, Option } from "commander";
import { AstgnnError } from "../errors.js";
import { resolveModelOptions } from "../model/config.js";
import { presets, type PresetName } from "../presets.js";
import type { TrainOptions } from "../train/options.js";
import { datasetFlags, panelFlags } from "./data-flags.js";
import { addSourceFlags } from "./data-source.js";
import { addFlags, type FlagGroup, optionsFrom } from "./flags.js";
import { modelFlags } from "./model-flags.js";
import { precisionFlags } from "./precision-flags.js";
import { trainFlags } from "./train-flags.js";
import { walkForwardFlags } from "./walk-forward.js";

/** A part of the options of `panel.dataset`, of the model and of `train`. */
export const presetFlags: FlagGroup = {
  title: "Preset",
  flags: [{ flags: "--preset <name>", option: "preset", kind: "text", help: `options of samples, model and training by a name, which other flags override: ${Object.keys(presets).join(" or ")}` }],
};
/** Flags of a training. */
export const TRAIN_GROUPS = [panelFlags, presetFlags, datasetFlags, modelFlags, trainFlags, walkForwardFlags, precisionFlags] as const;

type Written = Readonly<Record<string, unknown>>;

/** Adds the flags that say what a run is made from and how. */
export function addTrainFlags(command: Command): Command {
  addSourceFlags(command);
  for (const group of TRAIN_GROUPS) addFlags(command, group);
  return command.addOption(new Option("--no-graph", "the ablation: every stock on its own, in attention and in A").helpGroup("Samples:"));
}

/** The options of a training that flags describe, checked as far as they can be without data. */
export function trainingFrom(written: Written): { preset: { preset?: PresetName }; model: Record<string, unknown>; training: TrainOptions } {
  const preset = optionsFrom(presetFlags, written) as { preset?: PresetName };
  const model: Record<string, unknown> = { ...preset, ...modelOptionsFrom(written) };
  resolveModelOptions(model);
  return { preset, model, training: { ...preset, ...optionsFrom(trainFlags, written) } };
}

/** The model's options; `--no-graph` leaves each stock alone in A. */
function modelOptionsFrom(written: Written): Record<string, unknown> {
  const options = optionsFrom(modelFlags, written);
  const { seed } = optionsFrom(trainFlags, written);
  if (seed !== undefined) options["seed"] = seed;
  if (written["graph"] !== false) return options;
  if (options["similarityGraph"] === "complete") {
    throw new AstgnnError("ERR_OPTION", "--no-graph and --similarity-graph complete contradict each other.", { option: "--no-graph", next: "Leave one out." });
  }
  return { ...options, similarityGraph: "groups", excludeSelf: true };
}
