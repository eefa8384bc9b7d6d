import { totalmem } from "node:os";
import { loadCore } from "../binding/load.js";
import type { Dtype, NativeTerm } from "../binding/types.js";
import { readerOf } from "../data/pack/reader.js";
import type { Dataset } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import type { ModelConfig } from "../model/config.js";

/** What memory depends on. */
export interface MemoryDemand {
  config: ModelConfig;
  dtype: Dtype;
  parameters: number;
  dataset: Dataset;
  objective: readonly NativeTerm[];
  datesPerStep: number;
  /** "cpu", "cuda:0" ... */
  device: string;
}

/** Memory beside the tensors that a step keeps: tiles and blocks of the kernels on the CPU, the rows that go through a GPU's GRU together (native/ops/cuda/gru.cpp). */
const SCRATCH_BYTES = 12 * 2 ** 20;
const GPU_GRU_BYTES = 4 * 2 ** 30;
/** What the GRU keeps for its backward where so much of the device holds it; and one matrix of the graph (native/ops/cuda/similarity_matrices.h), two of which are there at once. */
const GPU_KEPT_SHARE = 1 / 8;
const GPU_MATRIX_BYTES = 2 ** 30;

/**
 * An estimate of the memory that training takes at its peak, in bytes, where it computes: on a GPU its own memory, else that beside the
 * JavaScript heap. The panel where it is not in a file, the weights with gradients, moments and averages, and what one step keeps for its backward and makes there.
 * On the CPU nothing grows with the square of the stocks. It counts tensors, not the allocator's slack: within a quarter of what was measured for 300 to
 * 16,000 stocks on the CPU (test/bench/results).
 */
export function estimateTrainingBytes({ config, dtype, parameters, dataset, objective, datesPerStep, device }: MemoryDemand): number {
  const width = dtype === "float64" ? 8 : 4;
  const isGpu = device !== "cpu";
  const isInFile = !isGpu && readerOf(dataset) !== undefined;
  const panel = isInFile ? 0 : 4 * dataset.dates.length * dataset.tickers.length * (dataset.featureNames.length + (isGpu ? 0 : dataset.horizons.length + (dataset.returns === undefined ? 0 : 1)));
  // Raw weights, gradients, two moments, EMA and its change, the model's own; where they are in this process's memory, also the best weights.
  const weights = width * parameters * (isGpu ? 7 : 8);
  let stocks = 0;
  for (let t = 0; t < dataset.dates.length; t++) stocks = Math.max(stocks, dataset.rowOffsets[t + 1]! - dataset.rowOffsets[t]!);
  const rows = stocks * datesPerStep;
  const { gruHiddenSize, gruNumLayers, gatHiddenSize, gatNumHeads, residualHiddenSize, numRiskFactors, tgcHiddenSize, tgcOutputSize, numTgcLayers, predictionHiddenSizes } = config;
  const features = dataset.featureNames.length;
  const hidden = (numTgcLayers - 1) * tgcHiddenSize;
  // Numbers per row that the forward keeps; the GRU keeps its last state only and repeats its steps in the backward pass.
  const kept =
    2 * gruHiddenSize + 5 * gatHiddenSize + 4 * gatNumHeads + 4 * residualHiddenSize + 4 * numRiskFactors + 2 * features + 3 * hidden + 3 * tgcOutputSize +
    2 * predictionHiddenSizes.reduce((sum, size) => sum + size, 0) +
    // The future returns and what the graph makes of them.
    objective.reduce((sum, { name, horizonDays }) => sum + (name === "coMovement" ? 8 * horizonDays : 0), 0);
  // Gradients of some of it are alive beside it in the backward pass: measured.
  const step = 1.35 * kept * rows + (objective.some(({ name }) => name === "pairwiseRank") ? 3 * 256 * stocks : 0);
  return panel + weights + width * step + (isGpu ? gruBytes() + matrixBytes() : SCRATCH_BYTES);

  function gruBytes(): number {
    const ofTimes = width * rows * dataset.window;
    const kept = 6 * gruNumLayers * gruHiddenSize * ofTimes;
    const block = Math.min(GPU_GRU_BYTES, (features + (6 * gruNumLayers + 4) * gruHiddenSize) * ofTimes);
    return block + (kept <= GPU_KEPT_SHARE * deviceBytes(device) ? kept : 0);
  }
  function matrixBytes(): number {
    return 2 * Math.min(GPU_MATRIX_BYTES, width * datesPerStep * stocks ** 2);
  }
}

/** Total memory of the device, in bytes. */
export function deviceBytes(device: string): number {
  return device === "cpu" ? totalmem() : loadCore().deviceMemory(device).total;
}

/** Bytes in words. */
export function gibibytes(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** The error of a training that found no memory: the estimate, the device's memory, the option to lower. Any other error is returned unchanged. */
export function namingMemory(error: unknown, { memoryBytes, datesPerStep, device }: { memoryBytes: number; datesPerStep: number; device: string }): unknown {
  if (!(error instanceof AstgnnError) || error.code !== "ERR_OUT_OF_MEMORY") return error;
  return new AstgnnError("ERR_OUT_OF_MEMORY", `Training needs about ${gibibytes(memoryBytes)} on ${device}, which has ${gibibytes(deviceBytes(device))} in all and not enough left: ${error.message}`, {
    cause: error,
    next: datesPerStep > 1 ? `Lower datesPerStep, which is ${datesPerStep}.` : "Narrow the model (gatHiddenSize, residualHiddenSize, tgcHiddenSize), train on fewer stocks, or end what else uses this memory.",
  });
}
