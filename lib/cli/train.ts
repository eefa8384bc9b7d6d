import { Command, Option } from "commander";
import type { Panel, PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source/panel-source.js";
import type { Dataset } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import type { EpochEvent } from "../run/records.js";
import type { TrainEvents } from "../train/events.js";
import { gibibytes } from "../train/memory.js";
import { resolveTrainOptions } from "../train/options.js";
import type { Warning } from "../warn.js";
import { commandLine } from "./command-line.js";
import { datasetOptionsFrom, panelOptionsFrom, sourceFrom } from "./data-source.js";
import { addFlags, inFlags, namingFlags } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { ledgerJson, printLedger } from "./ledger.js";
import { isPack, packSplitFrom, requirePreset } from "./pack.js";
import { usePrecision } from "./precision-flags.js";
import { decimals, type Terminal } from "./terminal.js";
import { launchedPlace, refuseModelOfRanks } from "../train/ranks/place.js";
import { endWithStarter, muted, refuseRanks, startRanks, startsRanks } from "./ranks.js";
import { addTrainFlags, TRAIN_GROUPS, trainingFrom } from "./train-command.js";
import { planFlags, type PlannedRun, refuseJob, trainPlan } from "./train-plan.js";
import { TrainingProgress } from "./training-progress.js";
import { type FoldNames, trainFolds } from "./walk-forward.js";

type Written = Record<string, unknown> & { json?: boolean };

/** `astgnn train`: reads data, trains, and leaves a run folder. */
export function trainCommand(terminal: Terminal): Command {
  const command = addTrainFlags(new Command("train").description("train a model on a long table of stocks, or the runs of a plan"));
  addFlags(command, planFlags);
  command.addOption(new Option("--json", "one JSON object per line on stdout").helpGroup("Output:")).addOption(new Option("--debug", "on failure also print the stack").helpGroup("Output:"));
  const check = bothGraphs(command);
  return command.action(async (written: Written) => {
    check();
    try {
      if (written["plan"] !== undefined) {
        refuseRanks({}, "a plan");
        return await trainPlan(command, (planned) => trainFrom(planned.written, planned.command, terminal, planned), terminal);
      }
      refuseJob(written);
      await trainRank(written, commandLine(command), terminal);
    } catch (error) {
      throw namingFlags(error, TRAIN_GROUPS);
    }
  });
}

/** Throws once a command line that has both was read. */
function bothGraphs(command: Command): () => void {
  let namesGraph = false;
  let refusesGraph = false;
  command.on("option:graph", () => (namesGraph = true)).on("option:no-graph", () => (refusesGraph = true));
  return () => {
    if (!namesGraph || !refusesGraph) return;
    throw new AstgnnError("ERR_OPTION", "Both --graph and --no-graph are given.", { option: "--no-graph", next: "Give one of them." });
  };
}

/** One model, by this process, by ranks that it starts, or as one of the ranks that a launcher has started. */
async function trainRank(written: Written, command: string, terminal: Terminal): Promise<void> {
  const { model, training } = trainingFrom(written);
  if (written["walkForward"] !== undefined) refuseRanks(training, "a walk-forward");
  if (training.seeds !== undefined) refuseRanks(training, "an ensemble");
  if (startsRanks(training)) {
    resolveTrainOptions(training);
    refuseModelOfRanks(model);
    process.exitCode = await startRanks(training.ranks!, process.argv.slice(2), terminal);
    return;
  }
  const place = launchedPlace(training.ranks);
  if (place === undefined) return await trainFrom(written, command, terminal);
  endWithStarter();
  // Slurm has its own name for what a GPU is chosen by.
  if (place.local !== undefined) {
    process.env["LOCAL_RANK"] ??= String(place.local);
    process.env["WORLD_SIZE"] ??= String(place.size);
  }
  const { rankStartSeconds, rankStepSeconds } = resolveTrainOptions(training);
  const { explained, joinedRanks } = await import("../train/ranks/group.js");
  // Before the data are read: the others should not wait in vain for one that cannot read them.
  const group = await joinedRanks(training.ranks, { startSeconds: rankStartSeconds, stepSeconds: rankStepSeconds });
  try {
    await trainFrom(written, command, place.rank === 0 ? terminal : muted(terminal), { isEvaluated: place.rank === 0 });
    await group?.leave();
  } catch (error) {
    await group?.leave(error);
    throw explained(error);
  }
}

/** `open` in place of `openPanel`; `isEvaluated` false: leaves the evaluation to whoever makes the ensemble. */
async function trainFrom(written: Written, command: string, terminal: Terminal, { open = openPanelLate, isEvaluated = true }: Partial<PlannedRun> = {}): Promise<void> {
  // Reading may take a while; a typo should not have to wait for it.
  const { preset, model, training: options } = trainingFrom(written);
  const source = sourceFrom(written);
  const panelOptions = panelOptionsFrom(written);
  const progress = new TrainingProgress(terminal, written.json === true);
  if (written["walkForward"] !== undefined) {
    await usePrecision(written, model["device"] as string | undefined);
    using _ = redrawn(progress, terminal);
    const onWarning = ({ text }: { text: string }): void => terminal.err(`astgnn train: ${inFlags(text, TRAIN_GROUPS)}`);
    const { epochs, seeds } = resolveTrainOptions(options);
    const events = (names: FoldNames): TrainEvents => listeners(terminal, progress, { epochs, seeds }, written.json === true, names);
    return await trainFolds({ written, source, panelOptions: { ...panelOptions, onWarning }, preset, model, training: options, events, open }, progress, terminal);
  }
  refuseFold(written);
  const makeDataset = datasetMaker(source, { preset, written, panelOptions, open, threads: options.threads, warn: ({ text }) => terminal.err(`astgnn train: ${inFlags(text, TRAIN_GROUPS)}`) });
  const { epochs, patience, datesPerStep, seeds, out } = resolveTrainOptions(options);
  await usePrecision(written, model["device"] as string | undefined);
  const [{ ASTGNNFactorModel }, { train }] = await Promise.all([import("../model/model.js"), import("../train/train.js")]);
  await interruptible(async (signal) => {
    using _ = redrawn(progress, terminal);
    progress.begin(`reading ${typeof source === "string" ? source : "data"}`);
    const { panel, dataset } = await makeDataset(() => progress.begin("making the dataset"), signal);
    if (written.json !== true) {
      const { train: first, valid, test } = dataset;
      terminal.err(`${dataset.tickers.length} stocks, ${dataset.dates.length} dates; sample dates: ${first.dates.length} train, ${valid.dates.length} valid, ${test.dates.length} test`);
      printLedger(terminal, dataset.ledger);
    }
    const parts = [dataset.train, dataset.valid, dataset.test, dataset.unlabelled].map(({ dates }) => dates.length);
    progress.plan({ epochs, patience, datesPerStep, seeds, validDates: parts[1]!, scoredDates: out === undefined ? 0 : parts.reduce((a, b) => a + b) });
    using untrained = new ASTGNNFactorModel({ ...model, sequentialInputSize: dataset.featureNames.length });
    const run = await train(untrained, dataset, { ...options, ...listeners(terminal, progress, { epochs, seeds }, written.json === true), signal });
    if (out !== undefined && isEvaluated) {
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

const openPanelLate: PlannedRun["open"] = async (source, options) => (await import("../data/panel.js")).openPanel(source, options);

function refuseFold(written: Written): void {
  if (written["fold"] === undefined) return;
  throw new AstgnnError("ERR_OPTION", "--fold names a part of a walk-forward, and no --walk-forward is given.", { option: "--fold", next: "Add --walk-forward, or leave it out." });
}

/** Options are checked now, data read when the dataset is made. The panel is undefined where the source is a packed dataset: there are no prices. */
function datasetMaker(
  source: PanelSource,
  { preset, written, panelOptions, open, threads, warn }: { preset: object; written: Written; panelOptions: PanelOptions; open: PlannedRun["open"]; threads: number | undefined; warn(warning: Warning): void },
): (begin: () => void, signal: AbortSignal) => Promise<{ panel: Panel | undefined; dataset: Dataset }> {
  if (isPack(source)) {
    const options = packSplitFrom(written);
    return async (_, signal) => {
      const { openPack } = await import("../data/pack/open.js");
      const packed = await openPack(source, { signal });
      requirePreset(packed, source, written);
      return { panel: undefined, dataset: await packed.dataset(options) };
    };
  }
  const options = { ...preset, ...datasetOptionsFrom(written) };
  return async (begin, signal) => {
    const panel = await open(source, { ...panelOptions, onWarning: warn, signal });
    begin();
    return { panel, dataset: await panel.dataset({ ...options, threads, signal }) };
  };
}

/** Evaluates the run and writes its report. The run is finished: what goes wrong here is told and no failure. */
async function reportOn(folder: string, source: Panel | undefined, command: string, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const [{ evaluateRun }, { writeReport }] = await Promise.all([import("../evaluate/evaluate-run.js"), import("../evaluate/write-report.js")]);
  try {
    await writeReport(folder, await evaluateRun(folder, { ...(source === undefined ? {} : { source }), onWarning: () => {}, signal }), { command });
  } catch (error) {
    if (!(error instanceof AstgnnError)) throw error;
    terminal.err(`astgnn train: The run is finished, but not evaluated: ${error.message}`);
  }
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

/** What `train` reports: JSON lines, or a line per epoch; and its progress. `names`: of the folds of a walk-forward. */
function listeners(terminal: Terminal, progress: TrainingProgress, { epochs, seeds }: { epochs: number; seeds: readonly number[] | undefined }, json: boolean, names?: FoldNames): TrainEvents {
  type Event = { readonly fold?: string | undefined };
  const label = ({ fold }: Event): string | undefined => (fold === undefined ? undefined : names?.label(fold));
  const member = (event: Event & { seed: number }): string => `${names === undefined ? "" : `${label(event)}, `}${seeds === undefined ? "" : `seed ${event.seed}, `}`;
  const isFollowed = ({ fold }: Event): boolean => fold === undefined || names?.isFollowed(fold) !== false;
  return {
    onStart: (event) => {
      if (isFollowed(event)) progress.start(event);
      if (!json) terminal.err(`${member(event)}${event.parameters} parameters on ${event.device}, about ${gibibytes(event.memoryBytes)} of memory at the peak`);
    },
    onStep: (event) => isFollowed(event) && progress.step(event),
    onPhase: (event) => isFollowed(event) && progress.phase(event),
    onEpoch: (event) => {
      if (isFollowed(event)) progress.epoch(event);
      if (json) return terminal.out(JSON.stringify({ event: "epoch", ...(names === undefined ? {} : { fold: label(event) }), ...event }));
      const left = event.epoch < epochs && isFollowed(event) ? `  ${progress.timeLeft}${names === undefined ? "" : " of the fold"}` : "";
      terminal.out(`${member(event)}epoch ${event.epoch}/${epochs}  loss ${decimals(event.train.loss)}  ${validation(event)}${event.seconds.toFixed(1)} s${event.isBest ? "  best" : ""}${left}`);
    },
    onWarning: (event) => terminal.err(`astgnn train: ${names === undefined ? "" : `${label(event)}: `}${inFlags(event.text, TRAIN_GROUPS)}`),
  };
}
