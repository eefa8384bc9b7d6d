import type { Dtype, NativeTerm } from "../binding/types.js";
import type { Dataset } from "../data/types.js";
import type { ModelConfig } from "../model/config.js";

/**
 * An estimate of the memory that training takes beside the JavaScript heap, in bytes: the resident panel, weights with gradients, moments
 * and averages, and what one step keeps for its backward. It counts tensors, not the allocator's slack: expect the right order, not the digit.
 */
export function estimateTrainingBytes(config: ModelConfig, dtype: Dtype, parameters: number, dataset: Dataset, objective: readonly NativeTerm[], datesPerStep: number): number {
  const width = dtype === "float64" ? 8 : 4;
  const panel = 4 * dataset.dates.length * dataset.tickers.length * (dataset.featureNames.length + dataset.horizons.length) + 8 * dataset.rowStocks.length;
  // Raw weights, gradients, two moments, EMA, best weights and the copy that a checkpoint writes from.
  const weights = width * parameters * 7;
  let stocks = 0;
  for (let t = 0; t < dataset.dates.length; t++) stocks = Math.max(stocks, dataset.rowOffsets[t + 1]! - dataset.rowOffsets[t]!);
  const rows = stocks * datesPerStep;
  const { gruHiddenSize: h, gatHiddenSize, residualHiddenSize, numRiskFactors, tgcHiddenSize, tgcOutputSize, numTgcLayers, predictionHiddenSizes } = config;
  // Per row and time step the GRU keeps its input, three gates, the candidate's hidden part and the state, per layer.
  const sequence = dataset.window * (dataset.featureNames.length + config.gruNumLayers * 6 * h);
  const layers = 4 * gatHiddenSize + 8 * residualHiddenSize + 4 * numRiskFactors + 4 * (numTgcLayers - 1) * tgcHiddenSize + 4 * tgcOutputSize;
  const head = 4 * predictionHiddenSizes.reduce((sum, size) => sum + size, 0);
  // Written out per date: attention scores and weights per head, A and its gradient; the pairwise loss compares all pairs.
  const squares = stocks * stocks * (2 * config.gatNumHeads + 4 + (objective.some(({ name }) => name === "pairwiseRank") ? 4 : 0));
  return panel + weights + width * (rows * (sequence + layers + head) + squares * datesPerStep);
}
