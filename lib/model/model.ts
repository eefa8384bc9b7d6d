import { loadCore } from "../binding/load.js";
import type { Dataset, DatasetDescription } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { requireObject } from "../options.js";
import { warn, type Warning } from "../warn.js";
import { readCheckpoint, writeCheckpoint, type Checkpoint } from "./checkpoint.js";
import { checkDataset } from "./compatibility.js";
import { resolveModelOptions, type InitialisationOptions, type ModelConfig, type ModelOptions } from "./config.js";
import { resolveDevice, type Device } from "./device.js";
import { integers, type Offsets, type RowMask } from "./row-mask.js";
import { attentionOf, forwardModule, Module, nativeModule, replaceNative, similarityOf } from "./module.js";
import { nativePanel } from "../data/native-panel.js";
import { allowedCounts, findRow, listWarning, PEER_DAYS } from "./peers.js";
import { neutralPredictions, predictionNeutraliser } from "./neutral-predictions.js";
import { datesFrom, predictEachDate, type DatePrediction, type PredictDatesOptions } from "./predict-dates.js";
import { alignToPanel, averageStatistics, notFinite, predictPacked, selectDates, type Prediction, type PredictInput, type PredictOptions } from "./predict.js";
import { Tensor, type StateDict } from "./tensor.js";
import { resolveThreads } from "../binding/threads.js";
import { takeWeights, withNativeState, type Weights } from "./weights.js";

/** What `forward` returns for R rows. */
export interface ForwardOutput {
  /** [R, P] */
  predictions: Tensor;
  /** M, [R, K] */
  riskFactors: Tensor;
  /** Z, [R, E] */
  embedding: Tensor;
  /** Last hidden state of the GRU, [R, H] */
  state: Tensor;
}

/** A stock and its weight in a row of A. */
export interface Neighbour {
  readonly ticker: string;
  /** Above 0; the weights of all neighbours sum to 1. */
  readonly weight: number;
  /** How many stocks of the date have it among their 20 most similar: of an ordinary neighbour about 20, of a hub most. */
  readonly listedBy: number;
}

let setDescription: (model: ASTGNNFactorModel, description: DatasetDescription | undefined) => void;
let beginTraining: (model: ASTGNNFactorModel) => () => void;

/**
 * ASTGNN: learns K latent risk factors M from each stock's recent history, links stocks by the similarity of their factors anew on every
 * date, and predicts returns through that graph. A new model has random weights drawn from `seed`.
 *
 * @example
 * const model = new ASTGNNFactorModel({ sequentialInputSize: dataset.featureNames.length, numRiskFactors: 32 });
 * await train(model, dataset, { epochs: 4 });
 * const { predictions } = await model.predict(dataset.test); // [dates, stocks]
 * @throws AstgnnError ERR_OPTION naming the option
 */
export class ASTGNNFactorModel extends Module {
  /** The complete architecture. */
  readonly config: ModelConfig;
  #description: DatasetDescription | undefined;
  #seed: number | undefined;
  #isBeingTrained = false;

  constructor(options: ModelOptions & InitialisationOptions = {}) {
    const { config, seed, dtype, device } = resolveModelOptions(options);
    super(loadCore().createModel(config, dtype, seed, resolveDevice(device)));
    this.config = config;
    this.#seed = seed;
  }

  static {
    setDescription = (model, description) => {
      model.#description = description;
      model.#seed = undefined;
    };
    beginTraining = (model) => {
      model.#refuseInTraining();
      model.#isBeingTrained = true;
      return () => (model.#isBeingTrained = false);
    };
  }

  /**
   * Reads a `model.safetensors`, onto any device: files do not say where a model was trained.
   *
   * @param options `device`: as for a new model.
   * @example
   * const model = await ASTGNNFactorModel.load("runs/first/model.safetensors");
   * @throws AstgnnError ERR_CHECKPOINT where the file is damaged, of an unknown version, or its tensors do not fit its config
   */
  static async load(path: string, options: Pick<InitialisationOptions, "device"> = {}): Promise<ASTGNNFactorModel> {
    return modelFrom(await readCheckpoint(path), path, options);
  }

  /** How the data was prepared that the weights were trained on; undefined for a model that was never trained. */
  get dataset(): DatasetDescription | undefined {
    return this.#description;
  }

  /** Seed of the weights; undefined once they are loaded or trained. */
  get seed(): number | undefined {
    return this.#seed;
  }

  override to(device: Device): this {
    this.#refuseInTraining();
    return super.to(device);
  }

  override loadStateDict(state: StateDict): void {
    this.#refuseInTraining();
    super.loadStateDict(state);
    this.#seed = undefined;
  }

  /**
   * Writes weights, config and data description to one safetensors file: beside, synced, then renamed.
   *
   * @throws AstgnnError ERR_BUSY while a prediction or forward of this model is under way
   */
  async save(path: string): Promise<void> {
    const native = nativeModule(this);
    const weights = takeWeights(native.stateDict());
    await writeCheckpoint(path, { config: this.config, dataset: this.#description, weights });
  }

  /**
   * Scores dates in evaluation mode, off this thread. Results are aligned to the panel, NaN where a stock is not in.
   *
   * @example
   * const { predictions, riskFactors } = await model.predict(dataset.test, { riskFactors: true }); // [dates, stocks], [dates, stocks, K]
   * const latest = await model.predict({ dataset, dates: [dataset.dates.at(-1)!] });
   * @throws AstgnnError ERR_DATA where the dataset was not prepared as that of the training (features, window, processors and their statistics,
   *   graph, label), naming every field that differs, where a split has no dates or a date too little history or, to be made neutral, too few stocks;
   *   ERR_NOT_FINITE naming the first stock and date whose output is no number: features of a panel's dataset never lead there; ERR_ABORTED
   */
  async predict(input: PredictInput, options: PredictOptions & { riskFactors: true }): Promise<Required<Prediction>>;
  async predict(input: PredictInput, options?: PredictOptions): Promise<Prediction>;
  async predict(input: PredictInput, options: PredictOptions = {}): Promise<Prediction> {
    requireObject(options, "options", "{ riskFactors?, neutralise?, threads?, signal? }");
    const native = nativeModule(this);
    const selection = selectDates(input);
    checkDataset(this, selection.dataset);
    const run = { threads: resolveThreads(options.threads), signal: options.signal };
    // Nothing is waited for without need: the prediction is under way when this returns, and the dataset may be disposed.
    const neutral = options.neutralise === undefined ? undefined : await predictionNeutraliser(options.neutralise, selection.dataset, this.#description, run);
    const { packed, left, ledger } = await neutralPredictions(neutral, selection, () => predictPacked(native, selection, { riskFactors: options.riskFactors ?? false, ...run }));
    const predictions = alignToPanel(selection, left, this.config.numPredictions);
    const similarity = averageStatistics(packed.statistics);
    if (packed.riskFactors === undefined) return { predictions, similarity, ledger };
    return { predictions, riskFactors: alignToPanel(selection, packed.riskFactors, this.config.numRiskFactors, true), similarity, ledger };
  }

  /**
   * Scores date by date, in order, holding the scores of one date at a time. Every day's work is the newest date alone,
   * `{ from: panel.dates.at(-1) }`.
   *
   * @example
   * for await (const { date, tickers, predictions } of model.predictDates(dataset, { from: "2024-01-02" })) console.log(date, tickers[0], predictions[0]);
   * @throws AstgnnError as {@link predict}; ERR_DATA also where `from` has too little history before it or no date with rows follows it
   */
  predictDates(input: PredictInput, options: PredictDatesOptions & { riskFactors: true }): AsyncGenerator<Required<DatePrediction>, void, undefined>;
  predictDates(input: PredictInput, options?: PredictDatesOptions): AsyncGenerator<DatePrediction, void, undefined>;
  async *predictDates(input: PredictInput, options: PredictDatesOptions = {}): AsyncGenerator<DatePrediction, void, undefined> {
    requireObject(options, "options", "{ from?, riskFactors?, neutralise?, threads?, signal? }");
    const { from, riskFactors = false, neutralise, threads, signal } = options;
    const native = nativeModule(this);
    const selection = datesFrom(selectDates(input), from);
    checkDataset(this, selection.dataset);
    const request = { riskFactors, threads: resolveThreads(threads), signal };
    const neutral = await predictionNeutraliser(neutralise, selection.dataset, this.#description, request);
    yield* predictEachDate(selection, (date) => predictPacked(native, date, request), neutral);
  }

  /**
   * One forward on the user's own tensors. `sequences` [T, R, F]; rows of date d are `offsets[d] .. offsets[d + 1]`. In training mode
   * (`train()`) it drops units. As in PyTorch, a NaN among the sequences of a date is one in the outputs of all its rows, and no error.
   *
   * @throws AstgnnError ERR_SHAPE
   */
  async forward(sequences: Tensor, offsets: Offsets, mask: RowMask = {}): Promise<ForwardOutput> {
    const [predictions, riskFactors, embedding, state] = await forwardModule(this, [["sequences", sequences]], { ...mask, offsets });
    return { predictions: predictions!, riskFactors: riskFactors!, embedding: embedding!, state: state! };
  }

  /** A of one date from M undropped: m [N, K] -> [N, N]; rows sum to 1 or, without neighbours, to 0. `groups`: group of each row. */
  async similarity(m: Tensor, groups?: Int32Array | readonly number[]): Promise<Tensor> {
    return similarityOf(this, m, groups === undefined ? undefined : integers(groups, "groups"));
  }

  /** The GAT's coefficients of one date, from the GRU state h [N, H]: [A, N, N]. */
  async attention(h: Tensor, mask: RowMask = {}): Promise<Tensor> {
    return attentionOf(this, h, mask);
  }

  /**
   * The stocks that a stock's row of A leans on at a date, heaviest first; itself among them unless `excludeSelf`.
   *
   * A list that means little (weights of the plain average, the same stocks in everybody's list, peers that did not move with theirs afterwards)
   * is warned of.
   *
   * @param options `top`: at most this many, whole from 1, default 10. `onWarning`: takes the warning; absent, it is printed once to stderr.
   * @example
   * await model.neighbours(dataset, "2017-06-01", "AAPL", { top: 5 });
   * @throws AstgnnError ERR_DATA where the date or the stock is not in, ERR_OPTION for an unknown ticker, ERR_NOT_FINITE as {@link predict}
   */
  async neighbours(dataset: Dataset, date: string, ticker: string, options: { top?: number; onWarning?: (warning: Warning) => void } = {}): Promise<Neighbour[]> {
    requireObject(options, "options", "{ top?, onWarning? }");
    const top = options.top ?? 10;
    if (!Number.isInteger(top) || top < 1) throw invalidOption("top", "a whole number from 1", top);
    checkDataset(this, dataset);
    const { t, row, rows } = findRow(dataset, date, ticker);
    const native = nativeModule(this);
    const found = await loadCore().neighbours(native, nativePanel(dataset, native.device), { date: t, row, top: Math.min(top, rows.length), peerDays: PEER_DAYS, threads: resolveThreads() });
    if (Number.isNaN(found.effectiveNeighbours)) throw notFinite(ticker, date);
    const warning = listWarning(ticker, date, found, rows.length, allowedCounts(this.config, dataset, t)[row]!);
    if (warning !== undefined) warn(warning, options.onWarning);
    return Array.from(found.rows, (r, i) => ({ ticker: dataset.tickers[rows[r]!]!, weight: found.weights[i]!, listedBy: found.listedBy[i]! }));
  }

  #refuseInTraining(): void {
    if (this.#isBeingTrained) throw new AstgnnError("ERR_BUSY", "This model is already being trained.", { next: "Await that training or abort it first." });
  }
}

/** Makes the model of a checkpoint. */
export function modelFrom({ config, dtype, dataset, weights }: Checkpoint, path: string, options: Pick<InitialisationOptions, "device"> = {}): ASTGNNFactorModel {
  const model = new ASTGNNFactorModel({ ...config, ...options, dtype });
  try {
    withNativeState(weights, (state) => nativeModule(model).loadStateDict(state));
  } catch (cause) {
    model.dispose();
    throw new AstgnnError("ERR_CHECKPOINT", `The tensors of ${path} do not fit its config: ${(cause as Error).message}`, { file: path, cause });
  }
  setDescription(model, dataset);
  return model;
}

/** Marks a model as being trained until the function that it returns is called: until then no other call replaces its weights. */
export function claimForTraining(model: ASTGNNFactorModel): () => void {
  return beginTraining(model);
}

/** Gives a model trained weights and says what they were trained on; predictions under way go on with the weights that they began with. */
export function setTrainedWeights(model: ASTGNNFactorModel, weights: Weights, description: DatasetDescription): void {
  const native = nativeModule(model);
  replaceNative(model, withNativeState(weights, (state) => native.copy(state)));
  setDescription(model, description);
}
