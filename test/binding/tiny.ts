import type { NativeConfig, NativeCore, NativeModule, NativePanel, NativePanelData, NativeSessionOptions, NativeTerm } from "../../lib/binding/types.js";

/** A small complete config; `change` overrides. */
export function tinyConfig(change: Partial<NativeConfig> = {}): NativeConfig {
  return {
    sequentialInputSize: 3,
    gruHiddenSize: 4,
    gruNumLayers: 2,
    gatHiddenSize: 8,
    gatNumHeads: 2,
    gatNegativeSlope: 0.2,
    gatResidual: "add",
    residualHiddenSize: 8,
    numRiskFactors: 4,
    relationalInput: "features",
    tgcHiddenSize: 8,
    tgcOutputSize: 4,
    numTgcLayers: 2,
    tgcModes: ["add", "subtract"],
    similarityScale: 1,
    excludeSelf: false,
    topK: 0,
    similarityGraph: "complete",
    relationalSkip: false,
    predictionHiddenSizes: [8],
    numPredictions: 1,
    norm: "layer",
    dropout: 0.1,
    eps: 1e-5,
    ...change,
  };
}

/** 12 dates x `stocks` with all rows from date `window - 1` on. */
export function tinyPanelData(stocks = 7, dates = 12, window = 4): NativePanelData {
  const features = Float32Array.from({ length: dates * stocks * 3 }, (_, i) => Math.sin(i * 12.9898) * 0.9);
  const targets = Float32Array.from({ length: dates * stocks }, (_, i) => Math.cos(i * 78.233));
  const rowOffsets = Int32Array.from({ length: dates + 1 }, (_, t) => Math.max(0, t - (window - 1)) * stocks);
  const rowStocks = Int32Array.from({ length: rowOffsets[dates]! }, (_, i) => i % stocks);
  return { dates, stocks, featureCount: 3, window, features, rowOffsets, rowStocks, horizons: 1, targets, graph: "complete" };
}

export const icTerm: NativeTerm = { name: "ic", weight: 1, predictions: [0], horizons: [0], strength: 1, omega: 0.9, orthogonality: 0.05, ridge: 1e-6, horizonDays: 10 };

export function tinyOptions(change: Partial<NativeSessionOptions> = {}): NativeSessionOptions {
  return { objective: [icTerm], betas: [0.9, 0.999], adamEps: 1e-8, weightDecay: 0, clipNorm: 1, ema: 0.998, seed: 1, ...change };
}

export function tiny(core: NativeCore): { model: NativeModule; panel: NativePanel } {
  return { model: core.createModel(tinyConfig(), "float32", 0), panel: core.createPanel(tinyPanelData()) };
}

/** `steps` steps over dates 3, 4, ... in turn. */
export function schedule(steps: number): { dates: Int32Array; offsets: Int32Array; learningRates: Float64Array } {
  return {
    dates: Int32Array.from({ length: steps }, (_, s) => 3 + (s % 9)),
    offsets: Int32Array.from({ length: steps + 1 }, (_, s) => s),
    learningRates: new Float64Array(steps).fill(1e-3),
  };
}
