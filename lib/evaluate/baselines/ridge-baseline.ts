import type { Dataset, PanelValues, Split } from "../../data/types.js";
import { evaluatePairs } from "../../metrics/pairs.js";
import { ridgeCoefficients, ridgeSums, type RidgeRows } from "./ridge.js";

/** Penalties that the validation chooses from, per row and on standardised features, the smallest first. */
export const LAMBDAS = [1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100] as const;
/** Where there are no validation dates. */
const USUAL = 1e-2;

/** Predictions of a ridge regression on a test, and the penalty that it was fitted with. */
export interface RidgePrediction {
  readonly predictions: PanelValues;
  readonly lambda: number;
}

/**
 * A linear model of the last day's features: a ridge regression of the targets that the loss sees on the features of the sample's own date, standardised by the
 * training rows, fitted on these, its penalty that with the best mean daily IC on the validation dates.
 *
 * @param horizon index of the label
 */
export function ridgeBaseline(dataset: Dataset, horizon: number): RidgePrediction {
  const sums = ridgeSums(trainingRows(dataset, horizon));
  const candidates = dataset.valid.dates.length === 0 ? [USUAL] : LAMBDAS;
  let best = { lambda: candidates[0] as number, ic: -Infinity, coefficients: new Float64Array(0) as Float64Array };
  for (const lambda of candidates) {
    const coefficients = ridgeCoefficients(sums, lambda);
    const ic = candidates.length === 1 ? 0 : evaluatePairs(scores(dataset, dataset.valid, coefficients), labelsOf(dataset.valid, horizon), [[0, 0]]).ic;
    if (best.coefficients.length === 0 || ic > best.ic) best = { lambda, ic, coefficients };
  }
  return { predictions: scores(dataset, dataset.test, best.coefficients), lambda: best.lambda };
}

function trainingRows({ train, rowOffsets, rowStocks, features, targets, tickers, featureNames, horizons }: Dataset, horizon: number): RidgeRows {
  const [N, F, L] = [tickers.length, featureNames.length, horizons.length];
  const cells: number[] = [];
  for (const t of train.dateIndices) {
    for (let r = rowOffsets[t]!; r < rowOffsets[t + 1]!; r++) {
      const cell = t * N + rowStocks[r]!;
      if (!Number.isNaN(targets[cell * L + horizon]!)) cells.push(cell);
    }
  }
  return {
    rows: cells.length,
    features: F,
    row: (i, out) => {
      const cell = cells[i]!;
      for (let f = 0; f < F; f++) out[f] = features[cell * F + f]!;
      return targets[cell * L + horizon]!;
    },
  };
}

function scores({ rowOffsets, rowStocks, features, tickers }: Dataset, { dateIndices, dates }: Split, coefficients: Float64Array): PanelValues {
  const [N, F] = [tickers.length, coefficients.length];
  const data = new Float64Array(dates.length * N).fill(NaN);
  for (const [i, t] of dateIndices.entries()) {
    for (let r = rowOffsets[t]!; r < rowOffsets[t + 1]!; r++) {
      const n = rowStocks[r]!;
      let sum = 0;
      for (let f = 0; f < F; f++) sum += coefficients[f]! * features[(t * N + n) * F + f]!;
      data[i * N + n] = sum;
    }
  }
  return { data, shape: [dates.length, N], dates, tickers };
}

/** The labels of one horizon. */
function labelsOf({ labels }: Split, horizon: number): PanelValues {
  const [dates, stocks, width = 1] = labels.shape;
  if (width === 1) return labels;
  return { ...labels, shape: [dates, stocks], data: Float32Array.from({ length: dates * stocks }, (_, i) => labels.data[i * width + horizon]!) };
}
