import { existsSync } from "node:fs";
import { join } from "node:path";
import { readAlike } from "../data/origin.js";
import { openPanel, type Panel, type PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source/panel-source.js";
import type { DatasetDescription } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { requireText } from "../options.js";
import type { InitialisationOptions } from "../model/config.js";
import { ASTGNNFactorModel } from "../model/model.js";
import { nativeModule } from "../model/module.js";
import type { PredictDatesOptions } from "../model/predict-dates.js";
import type { PredictInput, PredictOptions } from "../model/predict.js";
import { readDescription } from "./description.js";
import { Ensemble, type EnsembleDatePrediction, type EnsemblePrediction } from "./ensemble.js";
import { awaitReplacement } from "./replacement.js";
import { ensembleScorer, moduleScorer, type Scorer } from "./scoring.js";

/**
 * A stored run that is ready to score: with its model, or with all members of an ensemble. Dispose it when done (`using` does so by itself).
 */
export class LoadedRun {
  readonly folder: string;
  /** The model of a single run, or one per member of an ensemble. */
  readonly models: readonly [ASTGNNFactorModel, ...ASTGNNFactorModel[]];
  /** All members as one scorer; undefined for a single run. */
  readonly ensemble: Ensemble | undefined;

  /** @internal */
  constructor(folder: string, models: readonly [ASTGNNFactorModel, ...ASTGNNFactorModel[]], isEnsemble: boolean) {
    this.folder = folder;
    this.models = models;
    this.ensemble = isEnsemble ? new Ensemble(models) : undefined;
  }

  /**
   * How the data were prepared that the run was trained on.
   *
   * @throws AstgnnError ERR_CHECKPOINT where the run does not say
   */
  get dataset(): DatasetDescription {
    const description = this.models[0].dataset;
    if (description !== undefined) return description;
    throw new AstgnnError("ERR_CHECKPOINT", `The model in ${this.folder} does not say how its data were prepared.`, { file: this.folder, next: "Train it with astgnn train." });
  }

  /**
   * Opens data as those of the run were opened: run.json keeps the options of `openPanel`. Options may say where files and the columns of date
   * and ticker now are, `maxDropped`, and warn or error for `extremeReturns`; what would make another cross-section is refused.
   *
   * @param source default: what the run was trained on, read again
   * @example
   * const panel = await run.openPanel("prices.parquet");
   * const dataset = await panel.dataset({ description: run.dataset });
   * @throws AstgnnError as `openPanel`; ERR_OPTION where an option contradicts the run, or the run does not say what it was trained on
   */
  async openPanel(source?: PanelSource, options: PanelOptions = {}): Promise<Panel> {
    const { source: trainedOn, panel } = await readDescription(this.folder);
    const data = source ?? trainedOn ?? undefined;
    if (data === undefined) throw new AstgnnError("ERR_OPTION", `The run in ${this.folder} was trained on data in memory, or does not say on what.`, { option: "source", next: "Name the data to score." });
    // A run of 0.1.0 says nothing of how its data were read.
    if (panel == null) return openPanel(data, options);
    const { label } = this.dataset;
    return openPanel(data, readAlike(panel, options, "column" in label ? label.column : undefined, this.folder));
  }

  /**
   * Scores dates: predictions of the model, or the mean over an ensemble's members of per-date z-scores. Factors are a model's own:
   * `run.models[0].predict(input, { riskFactors: true })`.
   *
   * @throws AstgnnError as `ASTGNNFactorModel.predict`
   */
  async predict(input: PredictInput, options: Omit<PredictOptions, "riskFactors"> = {}): Promise<EnsemblePrediction> {
    return this.ensemble === undefined ? this.models[0].predict(input, options) : this.ensemble.predict(input, options);
  }

  /**
   * Scores date by date, holding the scores of one date at a time.
   *
   * @example
   * for await (const { date, tickers, predictions } of run.predictDates(dataset, { from: "2024-01-02" })) console.log(date, tickers, predictions);
   * @throws AstgnnError as `ASTGNNFactorModel.predictDates`
   */
  predictDates(input: PredictInput, options: Omit<PredictDatesOptions, "riskFactors"> = {}): AsyncGenerator<EnsembleDatePrediction, void, undefined> {
    return this.ensemble === undefined ? this.models[0].predictDates(input, options) : this.ensemble.predictDates(input, options);
  }

  /** Frees every model. */
  dispose(): void {
    for (const model of this.models) model.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
  }
}

/** The run as what scores packed rows. */
export function scorerOf({ models, ensemble }: LoadedRun): Scorer {
  return ensemble === undefined ? moduleScorer(nativeModule(models[0])) : ensembleScorer(models.map((model) => nativeModule(model)));
}

/**
 * Loads the model of a run folder, or every member of an ensemble's.
 *
 * @param options `device`: as for a new model.
 * @example
 * using run = await loadRun("runs/first");
 * const panel = await run.openPanel("prices.parquet");
 * const { predictions } = await run.predict(await panel.dataset({ description: run.dataset }));
 * @throws AstgnnError ERR_CHECKPOINT where the folder holds no run, or a run without a model yet
 */
export async function loadRun(folder: string, options: Pick<InitialisationOptions, "device"> = {}): Promise<LoadedRun> {
  requireText(folder, "folder", "the folder of a run");
  await awaitReplacement(folder);
  const { kind, members = [] } = await readDescription(folder);
  const models: ASTGNNFactorModel[] = [];
  try {
    for (const path of kind === "ensemble" ? members.map((name) => join(folder, name)) : [folder]) models.push(await loadMember(path, options));
    const [first, ...others] = models;
    if (first === undefined) throw new AstgnnError("ERR_CHECKPOINT", `The ensemble in ${folder} names no members.`, { file: folder, next: "Train it again." });
    return new LoadedRun(folder, [first, ...others], kind === "ensemble");
  } catch (error) {
    for (const model of models) model.dispose();
    throw error;
  }
}

async function loadMember(folder: string, options: Pick<InitialisationOptions, "device">): Promise<ASTGNNFactorModel> {
  const path = join(folder, "model.safetensors");
  if (!existsSync(path)) {
    throw new AstgnnError("ERR_CHECKPOINT", `The run in ${folder} has no model yet: it was stopped before the end of its first epoch.`, { file: path, next: "Continue it with resume." });
  }
  return ASTGNNFactorModel.load(path, options);
}
