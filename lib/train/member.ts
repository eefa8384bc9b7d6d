import { createHash } from "node:crypto";
import { loadCore, loadedLibTorch } from "../binding/load.js";
import { packageVersion } from "../binding/package-root.js";
import { hasOneProductOrder } from "../binding/threads.js";
import type { NativeModule, NativeSession, NativeTerm } from "../binding/types.js";
import type { Dataset } from "../data/types.js";
import { writeCheckpoint } from "../model/checkpoint.js";
import { checkPreparation } from "../model/compatibility.js";
import { claimForTraining, setTrainedWeights, type ASTGNNFactorModel } from "../model/model.js";
import { nativeModule } from "../model/module.js";
import { nativePanel } from "../data/native-panel.js";
import { takeWeights, type Weights } from "../model/weights.js";
import type { RunDescription } from "../run/description.js";
import { hasEnded } from "../run/files.js";
import { inRunFolder, refuseOtherRun, withFingerprintOf, type RunFolder } from "../run/folder.js";
import type { EpochEvent, SplitMetrics, WarningEvent } from "../run/records.js";
import { moduleScorer, type PackedScores, type Scorer } from "../run/scoring.js";
import { AstgnnError } from "../errors.js";
import { captureSession, readTrainingState, restoreSession, writeTrainingState, type Position, type TrainingState } from "../run/state.js";
import { warnPerson } from "../warn.js";
import { ChunkedReading } from "./chunked-reading.js";
import { dateOrder } from "./date-order.js";
import type { PhaseEvent } from "./events.js";
import { Callbacks, runSegment, type Segment } from "./epoch-runner.js";
import { helpScoring, writeResults } from "./finish.js";
import { deviceBytes, gibibytes, namingMemory } from "./memory.js";
import { continuing, type ResolvedTrainOptions } from "./options.js";
import { describeRun, planTraining, type TrainingPlan } from "./plan.js";
import { refuseOtherRanks } from "./ranks/compare.js";
import type { RankGroup } from "./ranks/group.js";
import { refuseModelOfRanks } from "./ranks/place.js";
import { sharedScorer } from "./ranks/shared-scorer.js";
import { addStep, emptySums, trainMetrics } from "./running-sums.js";
import { afterEpoch, initialPlateau, learningRateAt } from "./schedule.js";
import { graphStatistics, splitMetrics } from "./split-metrics.js";
import { firstEpochWarnings } from "./warnings.js";

/** Where there are no validation dates, the newest training dates on which the graph is looked at after the first epoch: at most this many. */
const GRAPH_DATES = 64;

/** What one training left behind. */
export interface MemberResult {
  readonly epochs: readonly EpochEvent[];
  readonly bestEpoch: number;
  readonly steps: number;
  readonly stoppedEarly: boolean;
  readonly warnings: readonly WarningEvent[];
  readonly threads: number;
  readonly memoryBytes: number;
}

/** Trains one model with one seed, in a run folder or without. The model ends with the weights of its best epoch. */
export async function trainMember(model: ASTGNNFactorModel, dataset: Dataset, options: ResolvedTrainOptions, group?: RankGroup): Promise<MemberResult> {
  if (model.dataset !== undefined && !options.fineTune) checkPreparation(model.dataset, dataset, "train");
  const release = claimForTraining(model);
  try {
    return await trainClaimed(model, dataset, options, group);
  } finally {
    release();
  }
}

async function trainClaimed(model: ASTGNNFactorModel, dataset: Dataset, options: ResolvedTrainOptions, group: RankGroup | undefined): Promise<MemberResult> {
  const plan = planTraining(model, dataset, options);
  if (group !== undefined) {
    refuseModelOfRanks(model.config);
    await refuseOtherRanks(group, factsOfRank(model, plan, options));
    if (model.device !== "cpu") await group.connectGpus(model.device);
  }
  // Rank 0 writes.
  const out = group === undefined || group.rank === 0 ? options.out : undefined;
  return inRunFolder(out, options, "run", (folder, continues) => trainPlanned(model, dataset, options, plan, group, folder, continues));
}

/** What all ranks must have alike. The weights of a run that is resumed come from rank 0. */
function factsOfRank(model: ASTGNNFactorModel, plan: TrainingPlan, options: ResolvedTrainOptions): object {
  const { recipe, fingerprint, ...identity } = plan.identity;
  return {
    fingerprint,
    ...identity,
    training: recipe,
    keepsRun: options.out !== undefined,
    resume: options.resume,
    weights: options.resume ? null : hashOf(takeWeights(nativeModule(model).stateDict())),
    machine: { ...loadCore().info().cpu, device: model.device.replace(/:.*/, ""), precision: loadCore().precisionOn(model.device), libtorch: loadedLibTorch()?.version, astgnn: packageVersion },
  };
}

function hashOf(weights: Weights): string {
  const hash = createHash("sha256");
  for (const [name, { data }] of Object.entries(weights)) hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest("hex");
}

async function trainPlanned(
  model: ASTGNNFactorModel, dataset: Dataset, options: ResolvedTrainOptions, plan: TrainingPlan, group: RankGroup | undefined, folder: RunFolder | undefined, continues = false,
): Promise<MemberResult> {
  const read = async (): Promise<TrainingState | undefined> => (folder !== undefined && continues ? readTrainingState(folder.file("last.safetensors")) : undefined);
  const stored = group === undefined ? await read() : await group.fromFirst(read);
  if (stored !== undefined) {
    options = continuing(options, stored.identity.recipe);
    plan = planTraining(model, dataset, options);
    refuseOtherRun(await withFingerprintOf(dataset, stored.identity), plan.identity, folder?.path ?? options.out!);
  }
  const run = new Member(model, dataset, options, plan, group, folder, stored);
  return run.train(await folder?.description());
}

/** One run in hand. */
class Member {
  readonly #callbacks = new Callbacks();
  readonly #position: Position;
  readonly #threads: number;
  readonly #seed: number;
  #best: Weights | undefined;
  #steps: number;

  constructor(
    readonly model: ASTGNNFactorModel,
    readonly dataset: Dataset,
    readonly options: ResolvedTrainOptions,
    readonly plan: TrainingPlan,
    readonly group: RankGroup | undefined,
    readonly folder: RunFolder | undefined,
    readonly stored: TrainingState | undefined,
  ) {
    this.#seed = options.seed;
    this.#threads = stored === undefined || options.threadsAreGiven || group !== undefined ? options.threads : stored.threads;
    this.#position = stored?.position ?? {
      epoch: 1, stepInEpoch: 0, sums: emptySums(plan.objective.length), plateau: initialPlateau(), stoppedEarly: false, history: [], warnings: [],
    };
    this.#best = stored?.best;
    this.#steps = stored?.steps ?? 0;
  }

  async train(before: RunDescription | undefined): Promise<MemberResult> {
    const { model, folder, plan, dataset, options } = this;
    const events = this.stored === undefined ? [] : ((await folder?.cutEpochs(this.#position.history)) ?? []);
    const wasFinished = await this.#ofFirst(() => this.stored !== undefined && this.#isDone() && folder !== undefined && hasEnded(folder.path, before));
    const seeds = { model: before?.seeds.model ?? model.seed ?? null, train: options.seed };
    let description: RunDescription = {
      ...describeRun(model, dataset, plan, { kind: "run", seeds, threads: this.#threads }),
      ...(before === undefined ? {} : { timing: { ...before.timing, finishedAt: null } }),
    };
    const describe = async (): Promise<void> => folder?.writeDescription((description = { ...description, warnings: this.#position.warnings }));

    if (!wasFinished) {
      if (!this.#isDone()) await this.#runEpochs(events, describe);
      else await describe();
    }
    setTrainedWeights(model, this.#best!, dataset.describe());
    const bestEpoch = this.#position.plateau.bestEpoch === 0 ? this.#position.history.length : this.#position.plateau.bestEpoch;
    if (folder !== undefined && !wasFinished) {
      await this.#writeModel();
      await this.#writeResults(folder, bestEpoch);
      const trainingSeconds = events.reduce((sum, { seconds }) => sum + (Number.isNaN(seconds) ? 0 : seconds), 0);
      description = { ...description, status: "finished", bestEpoch, timing: { ...description.timing, finishedAt: new Date().toISOString(), trainingSeconds } };
      await describe();
    } else if (this.group !== undefined && options.out !== undefined && !wasFinished) {
      await helpScoring(this.#scoring());
    }
    return {
      epochs: events,
      bestEpoch,
      steps: this.#steps,
      stoppedEarly: this.#position.stoppedEarly,
      warnings: this.#position.warnings,
      threads: this.#threads,
      memoryBytes: plan.memoryBytes,
    };
  }

  async #runEpochs(events: EpochEvent[], describe: () => Promise<void>): Promise<void> {
    const { model, dataset, options, plan, folder } = this;
    // The steps change a copy: the model itself holds what the last epoch's event reports.
    const trained = nativeModule(model).copy();
    const session = loadCore().createSession(trained, nativePanel(dataset, model.device), { ...plan.session, seed: this.#seed, ranks: this.group !== undefined });
    try {
      if (this.stored !== undefined) restoreSession(session, this.stored);
      // The state before run.json: a folder with run.json can be resumed.
      else await this.#save(session);
      await describe();
      if (this.stored !== undefined && this.#best !== undefined) await this.#writeModel();
      this.#announce();
      if (session.notCaptured !== undefined && model.device !== "cpu") {
        this.#warn({ reason: "no_cuda_graph", text: `Steps are not captured as CUDA graphs: ${session.notCaptured}.` });
      }
      if (model.device !== "cpu" && this.group?.overHosts !== undefined) {
        this.#warn({ reason: "no_nccl", text: `The ranks' GPUs exchange gradients over the hosts' memory and Gloo, not by NCCL: ${this.group.overHosts}.` });
      }
      if (model.device !== "cpu" && this.options.reductionIs === "default" && this.options.reduction === "exact" && this.options.datesPerStep > 1) {
        this.#warn({ reason: "exact_on_gpu", text: `reduction "exact" computes the ${this.options.datesPerStep} dates of a step one after the other, which a GPU is several times slower at: "fast" takes them in one pass.` });
      }
      while (!this.#isDone()) {
        const started = performance.now();
        await this.#trainEpoch(session);
        const event = await this.#closeEpoch(session, started);
        events.push(event);
        await folder?.appendEpoch(event);
        await this.#save(session);
        if (event.isBest || this.#position.plateau.bestEpoch === 0) await this.#writeModel();
        if (event.epoch === 1) await describe();
        await this.#callbacks.settle(options.onEpoch, event);
      }
    } finally {
      session.dispose();
      trained.dispose();
    }
  }

  /** Trains from the position to the end of its epoch, with checkpoints in between. */
  async #trainEpoch(session: NativeSession): Promise<void> {
    const { dataset, options, plan } = this;
    const position = this.#position;
    const { epoch } = position;
    const order = dateOrder(dataset.train.dateIndices, { seed: options.seed, epoch, datesPerStep: options.datesPerStep, consecutive: plan.consecutive, chunkDates: plan.chunkDates });
    const reading = new ChunkedReading(dataset, order);
    reading.reach(position.stepInEpoch);
    const total = plan.stepsPerEpoch * options.epochs;
    const reductions = { count: position.plateau.reductions, factor: options.plateauFactor };
    const rateOf = (i: number): number => learningRateAt((epoch - 1) * plan.stepsPerEpoch + i + 1, options, total, reductions);
    const stride = options.out === undefined || options.checkpointSteps === 0 ? plan.stepsPerEpoch : options.checkpointSteps;
    while (position.stepInEpoch < plan.stepsPerEpoch) {
      const begin = position.stepInEpoch;
      const end = Math.min(plan.stepsPerEpoch, (Math.floor(begin / stride) + 1) * stride);
      const segment: Segment = {
        session, dataset, order, begin, end, rateOf,
        threads: this.#threads,
        signal: options.signal,
        isShared: this.group !== undefined,
        callbacks: this.#callbacks,
        onStep: (step, learningRate) => {
          addStep(position.sums, step);
          if (step.captureFailure !== undefined) this.#warn({ reason: "no_cuda_graph", text: `Steps are no longer captured as CUDA graphs, because a capture failed: ${step.captureFailure}` });
          position.stepInEpoch++;
          reading.reach(position.stepInEpoch);
          this.#steps = step.step;
          this.#callbacks.call(options.onStep, {
            step: step.step, epoch, stepInEpoch: position.stepInEpoch, stepsPerEpoch: plan.stepsPerEpoch, loss: step.loss, learningRate,
            gradientNorm: step.gradientNorm, rows: step.rows, milliseconds: step.milliseconds, seed: this.#seed,
          });
        },
      };
      try {
        await runSegment(segment);
      } catch (error) {
        throw namingMemory(error, { memoryBytes: plan.memoryBytes, datesPerStep: options.datesPerStep, device: this.model.device });
      }
      if (end < plan.stepsPerEpoch) await this.#save(session);
    }
    reading.end();
  }

  /** Validates the averaged weights, gives them to the model and moves the position to the next epoch. */
  async #closeEpoch(session: NativeSession, started: number): Promise<EpochEvent> {
    const { options, plan, dataset, model } = this;
    const position = this.#position;
    const { epoch } = position;
    if (dataset.valid.dates.length > 0) this.#enter({ phase: "validation", done: 0, total: dataset.valid.dates.length });
    const valid = await this.#validate(session);
    const train = trainMetrics(position.sums, plan.labels);
    const higherIsBetter = options.monitor !== "mse" && options.monitor !== "loss";
    const plateauPatience = options.schedule === "plateau" ? options.plateauPatience : Infinity;
    const { state, isBest } = afterEpoch(position.plateau, epoch, valid[options.monitor] ?? NaN, higherIsBetter, plateauPatience);
    // Where no epoch has a metric to choose by, the last one counts.
    const weights = takeWeights(session.averaged.stateDict());
    if (isBest || state.bestEpoch === 0) this.#best = weights;
    setTrainedWeights(model, weights, dataset.describe());
    const lastStep = epoch * plan.stepsPerEpoch;
    const reductions = { count: position.plateau.reductions, factor: options.plateauFactor };
    const learningRate = learningRateAt(lastStep, options, plan.stepsPerEpoch * options.epochs, reductions);
    const record = { epoch, train, valid, learningRate, isBest, seed: this.#seed };
    if (epoch === 1) {
      const hasValidation = dataset.valid.dateIndices.length > 0;
      const dates = hasValidation ? dataset.valid.dateIndices : dataset.train.dateIndices.slice(-GRAPH_DATES);
      const similarity = hasValidation ? valid : graphStatistics(await this.#score(session, dates, []));
      for (const warning of firstEpochWarnings(model.config, { dataset, dates }, train, similarity, plan)) this.#warn(warning);
      if (!hasValidation) this.#warn({ reason: "no_validation", text: "The dataset has no validation dates, so the last epoch counts as the best." });
    }
    Object.assign(position, {
      epoch: epoch + 1,
      stepInEpoch: 0,
      sums: emptySums(plan.objective.length),
      plateau: state,
      stoppedEarly: options.patience > 0 && state.epochsWithoutBetter >= options.patience,
      history: [...position.history, record],
    } satisfies Partial<Position>);
    return { ...record, seconds: (performance.now() - started) / 1000 };
  }

  async #validate(session: NativeSession): Promise<SplitMetrics> {
    const { dataset, plan } = this;
    const selection = { dataset, dates: dataset.valid.dateIndices };
    const scores = selection.dates.length === 0
      ? { predictions: new Float32Array(0), statistics: new Float64Array(0), terms: new Float64Array(0) }
      : await this.#score(session, selection.dates, plan.objective);
    return this.#ofFirst(async () => (await splitMetrics(selection, scores, plan.pairs, plan.objective, plan.labels)).metrics);
  }

  /** What rank 0 makes; alone, what this process does. */
  async #ofFirst<V>(make: () => V | Promise<V>): Promise<V> {
    return this.group === undefined ? make() : this.group.fromFirst(make);
  }

  #scorer(module: NativeModule): Scorer {
    return this.group === undefined ? moduleScorer(module) : sharedScorer(this.group, moduleScorer(module), module.device);
  }

  /** Scores dates with the averaged weights; an empty objective gives no terms. */
  async #score(session: NativeSession, dates: Int32Array, objective: NativeTerm[]): Promise<PackedScores> {
    const request = { riskFactors: false, threads: this.#threads, peerDays: this.plan.peerDays, signal: this.options.signal, ...(objective.length === 0 ? {} : { objective }) };
    return this.#scorer(session.averaged)({ dataset: this.dataset, dates }, request);
  }

  async #save(session: NativeSession): Promise<void> {
    if (this.options.out === undefined) return;
    const captured = await captureSession(session);
    if (this.group !== undefined) await this.#refuseDivergence(this.group, captured.session);
    if (this.folder === undefined) return;
    await writeTrainingState(this.folder.file("last.safetensors"), {
      identity: this.plan.identity, position: this.#position, threads: this.#threads, best: this.#best, ...captured,
    });
  }

  async #writeModel(): Promise<void> {
    const { folder, model, dataset } = this;
    if (folder !== undefined) await writeCheckpoint(folder.file("model.safetensors"), { config: model.config, dataset: dataset.describe(), weights: this.#best! });
  }

  /** Steps are the same on all ranks, so that states can only differ where a machine computes wrongly. */
  async #refuseDivergence(group: RankGroup, state: Weights): Promise<void> {
    const hashes = await group.gather(hashOf(state));
    const rank = hashes.findIndex((hash) => hash !== hashes[0]);
    if (rank >= 0) throw new AstgnnError("ERR_INTERNAL", `Rank ${rank} has other weights than rank 0 after step ${this.#steps}.`, { next: "The machines round otherwise, or memory failed: go on with resume on machines that are alike." });
  }

  #scoring() {
    const { model, dataset, plan, options } = this;
    return { dataset, scorer: this.#scorer(nativeModule(model)), numRiskFactors: model.config.numRiskFactors, objective: plan.objective, peerDays: plan.peerDays, threads: this.#threads, signal: options.signal };
  }

  async #writeResults(folder: RunFolder, bestEpoch: number): Promise<void> {
    const { model, plan } = this;
    const { numPredictions } = model.config;
    await writeResults(
      { ...this.#scoring(), folder, numPredictions, dtype: model.dtype, pairs: plan.pairs, labels: plan.labels, onPhase: (event) => this.#enter(event) },
      { kind: "run", bestEpoch, epochs: this.#position.history.length, seed: this.#seed },
    );
  }

  #announce(): void {
    const { model, plan, options } = this;
    this.#callbacks.call(options.onStart, {
      epochs: options.epochs, stepsPerEpoch: plan.stepsPerEpoch, stepsDone: this.#steps, parameters: model.parameterCount, device: model.device, threads: this.#threads,
      memoryBytes: plan.memoryBytes, seed: this.#seed,
    });
    if (this.group !== undefined && options.datesPerStep < this.group.size) {
      this.#warn({ reason: "idle_ranks", text: `A step has datesPerStep ${options.datesPerStep}, fewer than the ${this.group.size} ranks: some have nothing to do in it.` });
    }
    if (this.group !== undefined && plan.consecutive) this.#warn({ reason: "idle_ranks", text: "The loss turnover links the dates of a step, which one rank then does alone." });
    const available = deviceBytes(model.device);
    if (plan.memoryBytes > 0.9 * available) {
      this.#warn({ reason: "memory", text: `Training is estimated to take ${gibibytes(plan.memoryBytes)} and ${model.device === "cpu" ? "this machine" : model.device} has ${gibibytes(available)}.` });
    }
    if (this.stored !== undefined && this.stored.threads !== this.#threads && !(options.reduction === "exact" && hasOneProductOrder())) {
      this.#warn({ reason: "threads_changed", text: `The run began with ${this.stored.threads} threads and goes on with ${this.#threads}: its weights will differ in the last digits from an uninterrupted run.` });
    }
    this.#callbacks.check();
  }

  #enter(event: Omit<PhaseEvent, "seed">): void {
    this.#callbacks.call(this.options.onPhase, { ...event, seed: this.#seed });
    this.#callbacks.check();
  }

  #warn(warning: Omit<WarningEvent, "seed">): void {
    const event = { ...warning, seed: this.#seed };
    if (this.#position.warnings.some(({ text }) => text === event.text)) return;
    this.#position.warnings.push(event);
    if (this.group !== undefined && this.group.rank > 0) return;
    if (this.options.onWarning === undefined) warnPerson(event.reason, event.text);
    else this.#callbacks.call(this.options.onWarning, event);
  }

  #isDone(): boolean {
    return this.#position.stoppedEarly || this.#position.epoch > this.options.epochs;
  }
}
