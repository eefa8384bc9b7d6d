import { Command, Option } from "commander";
import type { Panel } from "../data/panel.js";
import { AstgnnError } from "../errors.js";
import type { EpochEvent } from "../run/records.js";
import type { TrainEvents } from "../train/events.js";
import { resolveModelOptions } from "../model/config.js";
import { presets, type PresetName } from "../presets.js";
import { gibibytes } from "../train/memory.js";
import { resolveTrainOptions, type TrainOptions } from "../train/options.js";
import { commandLine } from "./command-line.js";
import { datasetFlags, panelFlags } from "./data-flags.js";
import { addSourceFlags, datasetOptionsFrom, panelOptionsFrom, sourceFrom } from "./data-source.js";
import { addFlags, type FlagGroup, inFlags, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { ledgerJson, printLedger } from "./ledger.js";
import { modelFlags } from "./model-flags.js";
import { precisionFlags, usePrecision } from "./precision-flags.js";
import { decimals, type Terminal } from "./terminal.js";
import { trainFlags } from "./train-flags.js";
import { TrainingProgress } from "./training-progress.js";
import { trainFolds, walkForwardFlags } from "./walk-forward.js";

/** A part of the options of `panel.dataset`, of the model and of `train`. */
const presetFlags: FlagGroup = {
  title: "Preset",
  flags: [{ flags: "--preset <name>", option: "preset", kind: "text", help: `options of samples, model and training by a name, which other flags override: ${Object.keys(presets).join(" or ")}` }],
};
const GROUPS = [panelFlags, presetFlags, datasetFlags, modelFlags, trainFlags, walkForwardFlags, precisionFlags] as const;

type Written = Record<string, unknown> & { json?: boolean };

/** `astgnn train`: reads data, trains, and leaves a run folder. */
export function trainCommand(terminal: Terminal): Command {
  const command = new Command("train").description("train a model on a long table of stocks");
  addSourceFlags(command);
  for (const group of GROUPS) addFlags(command, group);
  command
    .addOption(new Option("--no-graph", "the ablation: every stock on its own, in attention and in A").helpGroup("Samples:"))
    .addOption(new Option("--json", "one JSON object per line on stdout").helpGroup("Output:"))
    .addOption(new Option("--debug", "on failure also print the stack").helpGroup("Output:"));
  let namesGraph = false;
  let refusesGraph = false;
  command.on("option:graph", () => (namesGraph = true)).on("option:no-graph", () => (refusesGraph = true));
  return command.action(async (written: Written) => {
    if (namesGraph && refusesGraph) {
      throw new AstgnnError("ERR_OPTION", "Both --graph and --no-graph are given.", { option: "--no-graph", next: "Give one of them." });
    }
    try {
      await trainFrom(written, commandLine(command), terminal);
    } catch (error) {
      throw namingFlags(error, GROUPS);
    }
  });
}

async function trainFrom(written: Written, command: string, terminal: Terminal): Promise<void> {
  const preset = optionsFrom(presetFlags, written) as { preset?: PresetName };
  const model: Record<string, unknown> = { ...preset, ...modelOptionsFrom(written) };
  const options: TrainOptions = { ...preset, ...optionsFrom(trainFlags, written) };
  const source = sourceFrom(written);
  const panelOptions = panelOptionsFrom(written);
  const progress = new TrainingProgress(terminal, written.json === true);
  // Reading may take a while; a typo should not have to wait for it.
  resolveModelOptions(model);
  if (written["walkForward"] !== undefined) {
    await usePrecision(written, model["device"] as string | undefined);
    using _ = redrawn(progress, terminal);
    const onWarning = ({ text }: { text: string }): void => terminal.err(`astgnn train: ${inFlags(text, GROUPS)}`);
    const { epochs, seeds } = resolveTrainOptions(options);
    const events = (fold: () => string): TrainEvents => listeners(terminal, progress, { epochs, seeds }, written.json === true, fold);
    return await trainFolds({ written, source, panelOptions: { ...panelOptions, onWarning }, preset, model, training: options, events }, progress, terminal);
  }
  refuseFold(written);
  const datasetOptions = { ...preset, ...datasetOptionsFrom(written) };
  const { epochs, patience, datesPerStep, seeds, out } = resolveTrainOptions(options);
  await usePrecision(written, model["device"] as string | undefined);
  const [{ ASTGNNFactorModel }, { openPanel }, { train }] = await Promise.all([import("../model/model.js"), import("../data/panel.js"), import("../train/train.js")]);
  await interruptible(async (signal) => {
    using _ = redrawn(progress, terminal);
    progress.begin(`reading ${typeof source === "string" ? source : "data"}`);
    const panel = await openPanel(source, { ...panelOptions, onWarning: ({ text }) => terminal.err(`astgnn train: ${inFlags(text, GROUPS)}`), signal });
    progress.begin("making the dataset");
    const dataset = await panel.dataset({ ...datasetOptions, threads: options.threads, signal });
    if (written.json !== true) {
      const { train: first, valid, test } = dataset;
      terminal.err(`${dataset.tickers.length} stocks, ${dataset.dates.length} dates; sample dates: ${first.dates.length} train, ${valid.dates.length} valid, ${test.dates.length} test`);
      printLedger(terminal, dataset.ledger);
    }
    const parts = [dataset.train, dataset.valid, dataset.test, dataset.unlabelled].map(({ dates }) => dates.length);
    progress.plan({ epochs, patience, datesPerStep, seeds, validDates: parts[1]!, scoredDates: out === undefined ? 0 : parts.reduce((a, b) => a + b) });
    using untrained = new ASTGNNFactorModel({ ...model, sequentialInputSize: dataset.featureNames.length });
    const run = await train(untrained, dataset, { ...options, ...listeners(terminal, progress, { epochs, seeds }, written.json === true), signal });
    if (out !== undefined) {
      progress.begin("evaluating the run");
      await reportOn(out, panel, command, terminal, signal);
    }
    progress.end();
    if (written.json === true) {
      const members = run.members?.map(({ seed, bestEpoch }) => ({ seed, bestEpoch }));
      terminal.out(JSON.stringify({ event: "done", run: options.out ?? null, bestEpoch: run.bestEpoch, ...(members === undefined ? {} : { members }), ledger: ledgerJson(dataset.ledger) }));
    } else {
      const epochs = run.members?.map(({ seed, bestEpoch }) => `${bestEpoch} (seed ${seed})`).join(", ") ?? String(run.bestEpoch);
      const several = run.members === undefined || run.members.length === 1 ? "" : "s";
      const kept = dataset.valid.dates.length === 0 ? `epoch${several} ${epochs}, the last` : `best epoch${several} ${epochs}`;
      terminal.out(options.out === undefined ? `${kept}; nothing was kept, name a folder with --out` : `${kept}; the run is in ${options.out}`);
    }
  });
}

function refuseFold(written: Written): void {
  if (written["fold"] === undefined) return;
  throw new AstgnnError("ERR_OPTION", "--fold names a part of a walk-forward, and no --walk-forward is given.", { option: "--fold", next: "Add --walk-forward, or leave it out." });
}

/** Evaluates the run and writes its report. The run is finished: what goes wrong here is told and no failure. */
async function reportOn(folder: string, source: Panel, command: string, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const [{ evaluateRun }, { writeReport }] = await Promise.all([import("../evaluate/evaluate-run.js"), import("../evaluate/write-report.js")]);
  try {
    await writeReport(folder, await evaluateRun(folder, { source, onWarning: () => {}, signal }), { command });
  } catch (error) {
    if (!(error instanceof AstgnnError)) throw error;
    terminal.err(`astgnn train: The run is finished, but not evaluated: ${error.message}`);
  }
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

/** Nothing where there are no validation dates. */
function validation({ valid }: EpochEvent): string {
  if (valid.dates === 0) return "";
  const neutral = valid.neutralIc === null ? "" : `  neutral IC ${decimals(valid.neutralIc)}  ICIR ${decimals(valid.neutralIcir!, 3)}`;
  return `valid IC ${decimals(valid.ic)}  RankIC ${decimals(valid.rankIc)}${neutral}  neighbours ${decimals(valid.effectiveNeighbours, 1)}  peers ${decimals(valid.peerCorrelation, 3)}  `;
}

/** Redraws the progress every second until it is disposed, for phases without events. */
function redrawn(progress: TrainingProgress, terminal: Terminal): Disposable {
  const timer = terminal.isInteractive ? setInterval(() => progress.redraw(), 1000) : undefined;
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** What `train` reports: JSON lines, or a line per epoch; and its progress. `fold`: the fold in hand of a walk-forward. */
function listeners(terminal: Terminal, progress: TrainingProgress, { epochs, seeds }: { epochs: number; seeds: readonly number[] | undefined }, json: boolean, fold?: () => string): TrainEvents {
  const member = (seed: number): string => `${fold === undefined ? "" : `${fold()}, `}${seeds === undefined ? "" : `seed ${seed}, `}`;
  return {
    onStart: (event) => {
      progress.start(event);
      if (!json) terminal.err(`${member(event.seed)}${event.parameters} parameters on ${event.device}, about ${gibibytes(event.memoryBytes)} of memory at the peak`);
    },
    onStep: (event) => progress.step(event),
    onPhase: (event) => progress.phase(event),
    onEpoch: (event) => {
      progress.epoch(event);
      if (json) return terminal.out(JSON.stringify({ event: "epoch", ...(fold === undefined ? {} : { fold: fold() }), ...event }));
      const left = event.epoch < epochs ? `  ${progress.timeLeft}${fold === undefined ? "" : " of the fold"}` : "";
      terminal.out(`${member(event.seed)}epoch ${event.epoch}/${epochs}  loss ${decimals(event.train.loss)}  ${validation(event)}${event.seconds.toFixed(1)} s${event.isBest ? "  best" : ""}${left}`);
    },
    onWarning: (event) => terminal.err(`astgnn train: ${fold === undefined ? "" : `${fold()}: `}${inFlags(event.text, GROUPS)}`),
  };
}
