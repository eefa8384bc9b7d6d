/**
 * The native core, 1:1: every name here is exported by native/addon.cpp in this order.
 * Nothing in this file is public; the facade in lib/model and lib/train is written only against it.
 */
export type Dtype = "float32" | "float64";
export type TypedArray = Float32Array | Float64Array | Int32Array | BigInt64Array;

export interface NativeTensor {
  readonly shape: number[];
  /** "float32" | "float64" | "int32" | "int64" */
  readonly dtype: string;
  readonly device: string;
  readonly disposed: boolean;
  /** A copy. */
  toTypedArray(): TypedArray;
  dispose(): void;
}

/** Named tensors under the reference's parameter and buffer names. */
export type NativeState = Record<string, NativeTensor>;

/** The reference's Config in camelCase, complete. */
export interface NativeConfig {
  sequentialInputSize: number;
  gruHiddenSize: number;
  gruNumLayers: number;
  gatHiddenSize: number;
  gatNumHeads: number;
  gatNegativeSlope: number;
  gatResidual: "add" | "subtract" | "none";
  residualHiddenSize: number;
  numRiskFactors: number;
  relationalInput: "features" | "state" | "both";
  tgcHiddenSize: number;
  tgcOutputSize: number;
  numTgcLayers: number;
  tgcModes: ("add" | "subtract")[];
  similarityScale: number | "sqrtK" | "learned";
  excludeSelf: boolean;
  topK: number;
  similarityGraph: "complete" | "groups";
  relationalSkip: boolean;
  predictionHiddenSizes: number[];
  numPredictions: number;
  norm: "layer" | "batch";
  dropout: number;
  eps: number;
}

export type NativeModuleKind = "model" | "factorExtractor" | "relationalEmbedding" | "graphAttention" | "timeGraphConvolution";

/** The attention mask of one packed batch, for calls on tensors of the user's own. */
export interface NativeGraph {
  /** Rows of date d are offsets[d] .. offsets[d + 1]: [dates + 1]. */
  offsets: Int32Array;
  /** Group of each row; absent: one group. */
  groups?: Int32Array;
  /** CSR over rows (target = row index in the batch); self is always seen. Absent: no edge list. */
  edgeOffsets?: Int32Array;
  edgeTargets?: Int32Array;
}

/** Parameters, buffers and a forward. `train` and `eval` switch dropout and batch statistics for forward calls made from then on. */
export interface NativeModule {
  readonly kind: NativeModuleKind;
  readonly dtype: Dtype;
  /** One of info().devices. */
  readonly device: string;
  readonly parameterCount: number;
  readonly training: boolean;
  readonly disposed: boolean;
  /**
   * Inputs and outputs by kind:
   * model: [sequences T,R,F] -> [predictions R,P; riskFactors R,K; embedding R,E; state R,H]
   * factorExtractor: [sequences T,R,F] -> [riskFactors R,K; state R,H]
   * relationalEmbedding: [x R,X; m R,K] -> [embedding R,E]
   * graphAttention: [h R,H] -> [out R,A*D]
   * timeGraphConvolution: [x R,X; m R,K] -> [z R,E]
   */
  forward(inputs: NativeTensor[], graph: NativeGraph): Promise<NativeTensor[]>;
  /** Attention of one date: [h N,H] -> [A,N,N] (model: from the GRU state; graphAttention: from its input). */
  attention(h: NativeTensor, graph: NativeGraph): Promise<NativeTensor>;
  /** A of one date from M undropped: [m N,K] -> [N,N]. Kinds with a similarity only. */
  similarity(m: NativeTensor, groups?: Int32Array): Promise<NativeTensor>;
  /** Copies. Throws ERR_BUSY while a job uses the module. */
  stateDict(): NativeState;
  /** Strict: same names, shapes. Throws ERR_BUSY, ERR_SHAPE. */
  loadStateDict(state: NativeState): void;
  /**
   * Models only: one of its own with this one's config, dtype, device, mode and count of forwards, and with `state` or else this one's
   * weights. Throws ERR_SHAPE; without a state ERR_BUSY.
   */
  copy(state?: NativeState): NativeModule;
  /** Moves parameters and buffers. Throws ERR_BUSY, ERR_CUDA_UNAVAILABLE. */
  to(device: string): void;
  train(): void;
  eval(): void;
  dispose(): void;
}

/** The options of a layer used alone. Absent fields take the reference's defaults. */
export interface NativeLayerOptions {
  inSize: number;
  outSize: number;
  /** graphAttention */
  heads?: number;
  negativeSlope?: number;
  dropout?: number;
  /** timeGraphConvolution */
  mode?: "add" | "subtract";
  similarityScale?: number;
  excludeSelf?: boolean;
  topK?: number;
  similarityGraph?: "complete" | "groups";
}

/** A processor of features: per feature, whether it applies to it and its statistics, NaN where they are to be fitted. */
export type NativeProcessor = { applies: Uint8Array } & (
  | { name: "rank" | "zscore" }
  | { name: "winsorize"; k: number }
  | { name: "standardize"; mean: Float64Array; sd: Float64Array }
  | { name: "fill"; value: Float64Array }
);

/** A column of the dense grid: [dates * stocks], NaN where missing. */
export type NativeColumn = Float32Array | Float64Array;

/** Which features to make. Arrays are read while the job runs: they must neither be changed nor transferred. */
export interface NativeFeaturesInput {
  dates: number;
  stocks: number;
  /** Per feature the name of a price feature or of a style exposure, the index of a loading, or a column. */
  sources: readonly (string | { style: string } | { loading: number } | NativeColumn)[];
  /** Needed by price features and style exposures. */
  open?: NativeColumn;
  high?: NativeColumn;
  low?: NativeColumn;
  close?: NativeColumn;
  volume?: NativeColumn;
  /** 1 where a stock counts. */
  universe: Uint8Array;
  segments?: Int32Array;
  /** Needed by loadings: values [refreshes, count, stocks] of makeLoadings, and per date which refresh holds, -1 where none does. */
  loadings?: { values: Float32Array; refreshes: number; count: number };
  refreshOf?: Int32Array;
  /** Of style exposures: the column, where there is one; year * 12 + month of each date. */
  size?: NativeColumn;
  months?: Int32Array;
  /** 1 where the table has a row: needed by style exposures and with `maxMissingDates`. */
  present?: Uint8Array;
  processors: readonly NativeProcessor[];
  /**
   * Where it is given, stocks share memory that do not live at the same time, from so many dates before their first row, close or membership to their last:
   * such are the windows of rows. Else every stock has its own on all dates.
   */
  maxMissingDates?: number;
  /** Keeps the features in this file, from byte `offset` (a multiple of 4096) on, in place of memory: [dates, slots, F]. */
  file?: string;
  offset?: number;
  /** Folder of files for what is made on the way and is as large as the prices; absent: memory. */
  scratch?: string;
  /** First date whose features are made; what they look back on may lie before. Default 0. */
  first?: number;
  /** Features made alike, of other dates of the same stocks: those from its date `knownFrom` on are those from `first` on, and are copied. */
  known?: NativeFeatures;
  knownFrom?: number;
  /** Training dates, both inclusive; absent where there are none. */
  fitFrom?: number;
  fitTo?: number;
}

/** Which loadings to make (native/ops/data/loadings.h). */
export interface NativeLoadingsInput {
  dates: number;
  stocks: number;
  close: NativeColumn;
  universe: Uint8Array;
  segments?: Int32Array;
  window: number;
  /** In dates. */
  halfLife: number;
  /** At most the window. */
  count: number;
  /** In the order of dates (indices); computed from date `window` on, or taken as they are known: [count, stocks]. */
  refreshes: readonly { date: number; known?: Float32Array }[];
}

/** Resident features [dates made, stocks, F]. */
export interface NativeFeatures {
  readonly disposed: boolean;
  /** A copy, [dates, stocks, F]: with `maxMissingDates` NaN where a stock does not live, if stocks share memory. */
  toTypedArray(): Float32Array;
  /** The same of one of the dates made, [F, stocks]. */
  ofDate(date: number): Float32Array;
  /** Where features of stocks lie (native/ops/data/slots.h); without `slot`, in the order of the stocks. */
  slots(): NativeSlots;
  /** Of features in a file: those of dates `from` to `to - 1` are read soon, or not for long; without effect on features in memory. */
  expect(from: number, to: number): void;
  release(from: number, to: number): void;
  /** Idempotent. Jobs and panels that use them keep their share. */
  dispose(): void;
}

/** Slot of each stock, -1 for none; its first and last date, and up to which it holds the slot. */
export interface NativeSlots {
  count: number;
  slot?: Int32Array;
  from?: Int32Array;
  last?: Int32Array;
  until?: Int32Array;
}

/** A part of a file, from a multiple of 4096 on. */
export interface NativePlace {
  file: string;
  offset: number;
}

/** `features` with what was fitted, one entry per processor; or why there are none. */
export type NativeFeaturesResult =
  | { features: NativeFeatures; statistics: readonly { mean?: Float64Array; sd?: Float64Array; value?: Float64Array }[] }
  /** A processor had no value to be fitted on. */
  | { unfit: { processor: number; feature: number } }
  /** A value that is infinite in single precision. */
  | { beyond: { feature: number; cell: number; value: number } };

export interface NativeRowsInput {
  dates: number;
  stocks: number;
  features: NativeFeatures;
  window: number;
  maxMissingDates: number;
  /** Per feature 1 where stocks may lack it for want of history: no loss. */
  mayLack?: Uint8Array;
  /** First date that may have rows. */
  first: number;
  close?: NativeColumn;
  /** 1 where the table has a row: what counts without a close. */
  present: Uint8Array;
  universe: Uint8Array;
  tradable?: Uint8Array;
  segments?: Int32Array;
  /** The close, or with no horizons a column of labels; absent: no labels. */
  label?: NativeColumn;
  horizons: number[];
  lagDays: number;
  /** Folder of a file for the labels; absent: memory. */
  scratch?: string;
}

/** Rows of each date, labels, and what was lost on the way (native/ops/data/sample_rows.h, labels.h). */
export interface NativeRows {
  offsets: Int32Array;
  stocks: Int32Array;
  /** [dates * stocks * L] */
  labels: Float32Array;
  untradable: number;
  broken: number;
  /** Labels that are missing because no 32-bit number holds them. */
  overflowing: number;
  /** Per stock the last date with a price, -1 where it has none. */
  lastPriced: Int32Array;
  incompleteWindow: number;
  /** Rows by their windows alone; of these without a missing feature before the processors ran. */
  found: number;
  whole: number;
  /** Rows that have a price on every date of their window. */
  gapless: number;
  /** Per feature, cells in the windows of the rows found without a value before and after the processors. */
  missing: number[];
  unfilled: number[];
}

export interface NativeTargetsInput {
  dates: number;
  stocks: number;
  offsets: Int32Array;
  rowStocks: Int32Array;
  labels: Float32Array;
  lagDays: number;
  /** Per horizon the dates from a label's entry to its end. */
  reach: number[];
  tradable?: Uint8Array;
  lastPriced: Int32Array;
  /** Dates whose rows should have labels, in the order of the report. */
  sampleDates: Int32Array;
  transform: "rank" | "zscore" | "none";
  winsorize?: number;
  /** Group of each cell, -1 for a group of one: gives `groups`. */
  groupCodes?: Int32Array;
  groupCount?: number;
  /** Labels are their residuals on an intercept per group and these exposures; the fit sees them within ± clip, 0 for no limit. */
  neutral?: { exposures?: NativeFeatures; groupCount?: number; clip: number };
  /** Group of each cell for the intercepts; cells of -1 share one. */
  neutralGroups?: Int32Array;
  /** Folder of a file for the targets; absent: memory. */
  scratch?: string;
}

/** What the loss sees, and which labels of tradable rows are missing. */
export interface NativeTargets {
  /** [dates, stocks, L] */
  targets: NativeTensor;
  /** With `scratch` the same without a copy. */
  values?: Float32Array;
  /** Group of each row. */
  groups?: Int32Array;
  all: number;
  /** Missing, and end after the last price of their stock. */
  gone: number;
  missing: number;
  /** Stocks of `gone`, as first met, and how many labels each lacks. */
  leavers: Int32Array;
  leaverCounts: Int32Array;
  /** Date and stock, alternating, of the first of `missing`. */
  gaps: Int32Array;
  /**
   * With `neutral`, on the sample dates: all labels, those of dates with no more labels than exposures and intercepts, exposures of labels
   * that were missing, and exposures of a date and horizon that the others explain.
   */
  neutral?: { labels: number; unfit: number; filled: number; dependent: number };
}

/** What NativePanel holds. Features and targets in the core's memory are shared, all else is copied. Index conventions as in lib/data/types.ts. */
export interface NativePanelData {
  dates: number;
  stocks: number;
  /** F */
  featureCount: number;
  /** T */
  window: number;
  /** [dates * stocks * F] */
  features: Float32Array | NativeFeatures;
  rowOffsets: Int32Array;
  rowStocks: Int32Array;
  /** L; 0 where there are no targets. */
  horizons: number;
  /** [dates * stocks * L] */
  targets?: Float32Array | NativeTensor;
  /** Daily returns [dates * stocks], NaN where missing. */
  returns?: Float32Array;
  /** With `returns`: the last date at whose return samples of a date may look as at a label, -1 where there is none: [dates]. */
  returnEnds?: Int32Array;
  graph: "complete" | "groups" | "edges" | "none";
  /** One per row. */
  groups?: Int32Array;
  edges?: { source: Int32Array; target: Int32Array; from: Int32Array; to: Int32Array };
}

export interface NativePanel {
  readonly bytes: number;
  readonly device: string;
  readonly disposed: boolean;
  dispose(): void;
}

export type TermName = "mse" | "ic" | "pairwiseRank" | "rankIc" | "risk" | "vif" | "turnover" | "coMovement" | "decorrelation";

/** A resolved term. A prediction term covers the pairs (prediction[k], horizon[k]) and is their mean. */
export interface NativeTerm {
  name: TermName;
  weight: number;
  predictions: number[];
  horizons: number[];
  /** rankIc */
  strength: number;
  /** risk */
  omega: number;
  orthogonality: number;
  /** risk and vif */
  ridge: number;
  /** coMovement */
  horizonDays: number;
}

export type Reduction = "exact" | "fast";

export interface NativeSessionOptions {
  objective: NativeTerm[];
  betas: [number, number];
  adamEps: number;
  weightDecay: number;
  /** Gradient norm limit; 0: none. */
  clipNorm: number;
  /** EMA decay; 0: none. */
  ema: number;
  /** Dropout key, 0 .. 2^32 - 1. */
  seed: number;
  /** "exact": a backward per date, summed by a fixed tree. "fast": one backward per step. Default "exact". */
  reduction?: Reduction;
  /** True: steps carry `blocks`, which slows them a little. Default false. */
  profile?: boolean;
  /** True: each step is that of all ranks of the group that this process has joined; see joinRanks. Default false. */
  ranks?: boolean;
  /** True: steps are CUDA graphs where they can be; batches are then filled up to a few row counts. Default false. */
  cudaGraph?: boolean;
}

/** Date batches: step s covers dates[offsets[s] .. offsets[s + 1]] with learningRates[s]. */
export interface NativeSchedule {
  dates: Int32Array;
  offsets: Int32Array;
  learningRates: Float64Array;
}

export interface NativeStep {
  /** Steps done so far, this one included (from 1). A step in which no term is defined counts as a step but updates nothing (`updated` false). */
  step: number;
  updated: boolean;
  /** Weighted total; NaN where no term was defined. */
  loss: number;
  /** One per term, unweighted; NaN where undefined on every date. */
  terms: number[];
  /** One per term: dates (neighbouring pairs for turnover) on which it was undefined. */
  undefinedDates: number[];
  /** Before clipping; 0 where nothing was updated. */
  gradientNorm: number;
  rows: number;
  milliseconds: number;
  /** Only with `profile`. */
  blocks?: NativeBlockTimes;
  /** Of the one step whose capture as a CUDA graph failed: why. It and all later steps run without graphs. */
  captureFailure?: string;
}

/** Milliseconds inside the ops of a block; `total`: model and objective and their backward, blocks included. */
export type NativeBlockTimes = Record<"gru" | "graphAttention" | "relationalEmbedding" | "total", { forward: number; backward: number }>;

/** A running job: `done` settles when it ends; `cancel` stops it after the step in hand (done rejects with ERR_ABORTED). */
export interface NativeJob<R> {
  readonly done: Promise<R>;
  cancel(): void;
}

export interface NativeSession {
  /** The EMA weights as a module of their own (the model itself where ema is 0). */
  readonly averaged: NativeModule;
  /** Only with `cudaGraph`: why steps are not CUDA graphs, where they are not. */
  readonly notCaptured?: string;
  readonly steps: number;
  readonly disposed: boolean;
  /** Many steps; `onStep` after each one. On a non-finite loss or term: rejects with ERR_NOT_FINITE, weights as before that step. */
  run(schedule: NativeSchedule, threads: number, onStep: (step: NativeStep) => void): NativeJob<void>;
  /** Forward and backward in training mode on one batch, without an update: for a custom training loop. */
  gradients(dates: Int32Array, threads: number): Promise<{ step: NativeStep; gradients: NativeState; predictions: NativeTensor; riskFactors: NativeTensor }>;
  /** Clip, AdamW, EMA with given gradients: one step. Returns the norm before clipping. */
  apply(gradients: NativeState, learningRate: number): Promise<number>;
  /** raw.*, ema.*, exp_avg.*, exp_avg_sq.* (tensors by state-dict name) and the counts. */
  state(): Promise<{ tensors: NativeState; steps: number; updates: number }>;
  loadState(state: { tensors: NativeState; steps: number; updates: number }): void;
  dispose(): void;
}

/** Packed over the rows of the dates asked for, in their order. */
export interface NativePrediction {
  /** [rows, P] */
  predictions: Float32Array | Float64Array;
  /** [rows, K]; absent unless asked for. */
  riskFactors?: Float32Array | Float64Array;
  /** Per date: effective neighbours (mean over rows with a neighbour), self weight, share of empty rows: [dates, 3]; NaN for a date with no row. */
  statistics: Float64Array;
  /**
   * Per date: the correlation of stocks with their peers in A over the next `peerDays` dates (minus the coMovement term), how many others the
   * stock that most have among their 20 nearest is near to, and the skewness of that number over stocks, both on every tenth date: [dates, 3],
   * NaN where unknown, the first throughout a panel without returns. Only with `peerDays`.
   */
  peers?: Float64Array;
  /** [dates, terms] of the objective given, unweighted; NaN where undefined. Turnover: pair (date, next in the list). Empty without objective. */
  terms: Float64Array;
  /** Sum over the dates, no backward; only with `profile`. */
  blocks?: NativeBlockTimes;
}

export interface NativePredictOptions {
  dates: Int32Array;
  riskFactors: boolean;
  objective?: NativeTerm[];
  /** Asks for `peers`. */
  peerDays?: number;
  /** How many dates of the whole that `dates` are a part of come before them: hubs are looked at on every tenth of the whole. Default 0. */
  datesBefore?: number;
  threads: number;
  /** As for a session. */
  profile?: boolean;
}

/** A row of A. */
export interface NativeNeighbours {
  /** Which rows of the date. */
  rows: Int32Array;
  weights: Float64Array;
  /** Of each, how many rows have it among their 20 most similar. */
  listedBy: Int32Array;
  /** exp(entropy) of the whole row. */
  effectiveNeighbours: number;
  /** Of the date, over the next `peerDays` days; NaN where unknown. */
  peerCorrelation: number;
}

/** The heaviest entries of rows of A, a list per row of the dates asked for. */
export interface NativePeerLists {
  /** Which rows of the same date, the row itself not among them, heaviest first; -1 behind the last with a weight: [rows, top]. */
  rows: Int32Array;
  /** Their entries of A: [rows, top]. */
  weights: Float64Array;
  /** The dataset's features on the dates themselves, [rows, F]; absent unless asked for. */
  features?: Float32Array;
}

/** Why the rows of a date have their scores: docs/explain.md has the formulas. N rows of the date, T dates of the window. */
export interface NativeExplanations {
  /** The prediction that is explained, of all rows: [N]. */
  predictions: Float64Array;
  /** Over the rows: [T, F]. */
  medians: Float64Array;
  rows: NativeExplanation[];
}

/** Of one row. `score` = `own` + both sums of parts = `baseline` + the sum of `featureParts`, but for the gaps. */
export interface NativeExplanation {
  score: number;
  own: number;
  /** Through A and through the attention: [N], 0 for the row itself. */
  similarityParts: Float64Array;
  attentionParts: Float64Array;
  /** Row of A and of the attention (mean over heads): [N]. */
  weights: Float64Array;
  attention: Float64Array;
  /** Score of the medians with the other rows held, and where these react. */
  baseline: number;
  baselineReacting: number;
  /** [T, F], as `window`, the row's features. */
  featureParts: Float64Array;
  window: Float64Array;
  peerGap: number;
  featureGap: number;
  /** Points at which the score was evaluated. */
  evaluations: number;
}

export interface NativeInfo {
  /** LibTorch the core was built against, e.g. "2.15.0". */
  builtAgainst: string;
  /** "cpu", then every GPU that the kernels can run on. */
  devices: string[];
  /** The kernels in use. */
  cpu: { isa: Isa };
}

/** Vector instructions of the kernels. */
export type Isa = "amx" | "avx512" | "avx2" | "scalar";

export type Precision = "highest" | "high" | "medium";

/** Minimise x'Px / 2 + q'x subject to A x + s = b with s in a product of cones. P (upper triangle) and A in compressed columns. */
export interface NativeProgramme {
  variables: number;
  constraints: number;
  /** [variables + 1], [entries], [entries] */
  pStarts: Int32Array;
  pRows: Int32Array;
  pValues: Float64Array;
  /** [variables] */
  q: Float64Array;
  aStarts: Int32Array;
  aRows: Int32Array;
  aValues: Float64Array;
  /** [constraints] */
  b: Float64Array;
  /** Number of cones; together they cover the constraints, in their order. Kinds: 0 zero, 1 nonnegative, 2 second-order. */
  cones: number;
  coneKinds: Int32Array;
  coneSizes: Int32Array;
  /** Relative, of feasibility and of the gap between primal and dual. */
  tolerance: number;
  timeLimitMs: number;
  iterations: number;
}

export interface NativeSolution {
  status: "solved" | "inaccurate" | "infeasible" | "unbounded" | "iterations" | "timeLimit" | "failed";
  /** [variables] */
  x: Float64Array;
  /** Prices of the constraints, or the certificate of infeasibility. [constraints] */
  z: Float64Array;
  objective: number;
  dualObjective: number;
  iterations: number;
}

export interface NativeCore {
  /** Throws where ASTGNN_ISA names kernels that this machine cannot run. */
  info(): NativeInfo;
  /** Bytes of a GPU: tensors now and at their peak since the last call, and what the device has left and in all. */
  deviceMemory(device: string): { allocated: number; peak: number; free: number; total: number };
  /** Jobs run at once while their threads together are at most so many; one at a time until this is called. Of the whole process. */
  useCores(count: number): void;
  /** Of jobs started from now on, in every environment of the process, where their device offers it. */
  setPrecision(precision: Precision): void;
  /** Precision of matrix products on a device: the one that was set, or "highest". */
  precisionOn(device: string): Precision;
  /** What makes the error object of a native failure; `site` is an Error with the stack of the call that started the job. */
  setErrorFactory(factory: (code: string, message: string, details: { step?: number; dateIndex?: number; term?: string }, site?: Error) => Error): void;
  /** Copies. */
  tensor(data: TypedArray, shape: number[]): NativeTensor;
  /** Weights are drawn on the CPU, so that a seed means the same everywhere. `device`: default "cpu". */
  createModel(config: NativeConfig, dtype: Dtype, seed: number, device?: string): NativeModule;
  createFactorExtractor(config: NativeConfig, dtype: Dtype, seed: number, device?: string): NativeModule;
  createRelationalEmbedding(config: NativeConfig, dtype: Dtype, seed: number, device?: string): NativeModule;
  createGraphAttention(options: NativeLayerOptions, dtype: Dtype, seed: number, device?: string): NativeModule;
  createTimeGraphConvolution(options: NativeLayerOptions, dtype: Dtype, seed: number, device?: string): NativeModule;
  /** [refreshes, count, stocks], NaN where missing. `onRefreshes` after each block of refreshes, with how many are done. */
  makeLoadings(input: NativeLoadingsInput, threads: number, onRefreshes: (done: number) => void): NativeJob<Float32Array>;
  /** `onDates` after each block of dates, with how many are done. */
  /** Numbers of a file, read where they lie; what is written to them stays in memory. ERR_DATA where the file is shorter. */
  /** Gives back the pages of what lies in scratch files. */
  releaseScratch(): void;
  mapArray(place: NativePlace & { length: number; type: "float32" }): Float32Array;
  mapArray(place: NativePlace & { length: number; type: "int32" }): Int32Array;
  mapTensor(place: NativePlace & { shape: readonly number[] }): NativeTensor;
  /** `ranked` [dates, F]: they are in 16 bits, as encodeRanks wrote them. */
  mapFeatures(place: NativePlace & Omit<NativeSlots, "count"> & { dates: number; stocks: number; featureCount: number; slots: number; ranked?: Int32Array }): NativeFeatures;
  /** Writes features that are ranks within their date in 16 bits (native/ops/data/rank_codes.h), where they lie themselves if need be; or says which one is none on which date. */
  encodeRanks(features: NativeFeatures, place: NativePlace): NativeJob<{ ranked: Int32Array } | { feature: number; date: number }>;
  panelFeatures(input: NativeFeaturesInput, threads: number, onDates: (done: number) => void): NativeJob<NativeFeaturesResult>;
  sampleRows(input: NativeRowsInput, threads: number): NativeJob<NativeRows>;
  sampleTargets(input: NativeTargetsInput, threads: number): NativeJob<NativeTargets>;
  /** Serves models on its device only. */
  createPanel(data: NativePanelData, device?: string): NativePanel;
  createSession(model: NativeModule, panel: NativePanel, options: NativeSessionOptions): NativeSession;
  predict(model: NativeModule, panel: NativePanel, options: NativePredictOptions): NativeJob<NativePrediction>;
  /**
   * The heaviest entries above 0 of a row of A, heaviest first, ties by row. `row` counts within the date; `peerDays` as in predict.
   */
  neighbours(model: NativeModule, panel: NativePanel, options: { date: number; row: number; top: number; peerDays: number; threads: number }): Promise<NativeNeighbours>;
  /** The same of every row of several dates, or of one stock's alone: a list per date then, empty where the stock is no row, and no `features`. */
  peerLists(model: NativeModule, panel: NativePanel, options: { dates: Int32Array; stock?: number; top: number; features: boolean; threads: number }): NativeJob<NativePeerLists>;
  /**
   * In float64 on the CPU, wherever the model is; the panel must be there. `rows` count within the date, `prediction` is a column. `onProgress` after
   * each step, with the share of the work that is done.
   */
  explain(model: NativeModule, panel: NativePanel, options: { date: number; rows: number[]; prediction: number; threads: number }, onProgress: (done: number) => void): NativeJob<NativeExplanations>;
  /** Solves a convex programme; what the solver ends with is its `status`. ERR_SOLVER_MISSING where the core was built without one. */
  solve(programme: NativeProgramme): NativeJob<NativeSolution>;
  readonly hasSolver: boolean;
  /** Joins the other processes of a training, once per process; the ranks library must be open. `hosts`: this process keeps the store. */
  joinRanks(options: { host: string; port: number; rank: number; size: number; hosts: boolean; prefix: string; startSeconds: number; stepSeconds: number }): Promise<void>;
  /** Everybody's bytes, in the order of the ranks. Rejects with ERR_RANK_LOST. */
  gatherFromRanks(bytes: Uint8Array): Promise<Uint8Array[]>;
  /** Has sessions of all ranks exchange what lies on this GPU by NCCL, and resolves to why they cannot, "" where they can. */
  connectGpusOfRanks(device: string): Promise<string>;
  /** A reason that is not empty ends the others. */
  leaveRanks(reason: string): Promise<void>;
  /** Cancels this environment's jobs and waits for the step in hand. */
  shutdown(): void;
}
