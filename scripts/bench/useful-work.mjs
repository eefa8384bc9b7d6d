// Floating-point operations that the model's formulas need, recomputation and the attention's N x N form not counted
// (the formulas of the kernel notes, with the widths of the configuration at hand), and the bytes that a step has to
// move whatever the kernels. Pure.

/**
 * @param model the architecture (lib/model/config.ts)
 * @param shape { n, t, f, b }
 * @param mode "train" (forward, gradients of inputs and weights) or "infer"
 * @returns operations per step, by block
 */
export function usefulOperations(model, { n, t, f, b }, mode) {
  const training = mode === "train";
  const rows = n * b;
  const hidden = model.gruHiddenSize;
  let gru = 0;
  for (let layer = 0; layer < model.gruNumLayers; layer++) {
    const input = layer === 0 ? f : hidden;
    const forward = 2 * 3 * hidden * (input + hidden);
    // Nothing asks for the gradient of the features, so the first layer's input gradient is not work.
    const inputGradient = forward - (layer === 0 ? 2 * 3 * hidden * f : 0);
    gru += training ? 2 * forward + inputGradient : forward;
  }
  // Per pair of stocks: M M' and A times the width of each layer.
  const widths = tgcWidths(model, f);
  const pair = 2 * model.numRiskFactors + widths.slice(1).reduce((sum, width) => sum + 2 * width, 0);
  const factor = training ? 3 : 1;
  return { gru: gru * rows * t, similarity: factor * pair * n * n * b, dense: factor * denseOperations(model, f, widths) * rows };
}

/**
 * What the kernels on the CPU compute again in training rather than keep, beside `usefulOperations`: the GRU's forward, and the scores M M' once
 * for each layer and, over half of the pairs, for M's gradient.
 *
 * @returns operations per step
 */
export function repeatedOperations(model, shape, mode) {
  if (mode !== "train") return 0;
  const { n, b } = shape;
  return usefulOperations(model, shape, "infer").gru + (model.numTgcLayers + 0.5) * 2 * model.numRiskFactors * n * n * b;
}

const relationalWidth = (model, f) => ({ features: f, state: model.gruHiddenSize, both: f + model.gruHiddenSize })[model.relationalInput];

function tgcWidths(model, f) {
  return [relationalWidth(model, f), ...Array(model.numTgcLayers - 1).fill(model.tgcHiddenSize), model.tgcOutputSize];
}

/** Forward operations per row of the layers that act on each stock alone. */
function denseOperations(model, f, widths) {
  const { gruHiddenSize: hidden, gatHiddenSize: attention, residualHiddenSize: residual } = model;
  let products = hidden * attention + 2 * attention;
  if (model.gatResidual !== "none") products += hidden * attention;
  products += attention * residual + residual * residual;
  if (attention !== residual) products += attention * residual;
  products += residual * model.numRiskFactors;
  for (let layer = 1; layer < widths.length; layer++) products += widths[layer - 1] * widths[layer];
  const head = [widths.at(-1) + (model.relationalSkip ? widths[0] : 0), ...model.predictionHiddenSizes, model.numPredictions];
  for (let layer = 1; layer < head.length; layer++) products += head[layer - 1] * head[layer];
  return 2 * products;
}

/**
 * Float32 bytes that pass through a device's memory in one step, if kernels kept all else on the chip: the features under the
 * windows, the rows that one block hands to the next, and the weights.
 *
 * @param parameters number of weights
 */
export function usefulBytes(model, { n, t, f, b }, mode, parameters) {
  const training = mode === "train";
  const features = (t + b - 1) * n * f;
  const rows = n * b * (model.gruHiddenSize + model.gatHiddenSize + model.numRiskFactors + model.tgcOutputSize + model.numPredictions);
  // Training: forward and backward read the features; rows are written, read, read again on the way back, and so once more their
  // gradients, written and read; weights are read twice, their gradients written, and AdamW reads four arrays and writes three.
  return 4 * (training ? 2 * features + 5 * rows + 10 * parameters : features + 2 * rows + parameters);
}

export const total = (operations) => Object.values(operations).reduce((sum, value) => sum + value, 0);
