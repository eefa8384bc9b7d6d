import { invalidOption } from "../errors.js";
import { quantileOf } from "./quantiles.js";
import type { RankedDates } from "./ranked-dates.js";

/** Writes the weights of date `t`, one per stock, 0 where a stock is not held. */
export type Weighting = (ranked: RankedDates, t: number, weights: Float64Array) => void;

/**
 * The factor-weighted portfolio: w = (f - mean f) / sum |f - mean f| over the date's stocks, long and short: gross 1, net 0. Nothing is held
 * where all predictions are equal.
 */
export const factorWeights: Weighting = ({ values, stocks, order, counts }, t, weights) => {
  weights.fill(0);
  const [row, count] = [t * stocks, counts[t]!];
  if (count === 0 || values[row + order[row]!] === values[row + order[row + count - 1]!]) return;
  let mean = 0;
  for (let i = 0; i < count; i++) mean += values[row + order[row + i]!]!;
  mean /= count;
  let gross = 0;
  for (let i = 0; i < count; i++) {
    const n = order[row + i]!;
    weights[n] = values[row + n]! - mean;
    gross += Math.abs(weights[n]!);
  }
  for (let i = 0; i < count; i++) weights[order[row + i]!]! /= gross;
};

/** Equal weights on the `k` highest predictions, long only: gross 1. Ties go by the order of the stocks; fewer than `k` stocks are all held. */
export function topWeights(k: number): Weighting {
  if (!Number.isInteger(k) || k < 1) throw invalidOption("topK", "a whole number from 1", k);
  return ({ stocks, order, counts }, t, weights) => {
    weights.fill(0);
    const [row, count] = [t * stocks, counts[t]!];
    const held = Math.min(k, count);
    for (let i = count - held; i < count; i++) weights[order[row + i]!] = 1 / held;
  };
}

/** The top quantile against the bottom one, equal weights within each: gross 1, net 0. Nothing is held where one of them is empty. */
export function quantileWeights(quantiles: number): Weighting {
  if (!Number.isInteger(quantiles) || quantiles < 2) throw invalidOption("quantiles", "a whole number from 2", quantiles);
  return ({ stocks, order, counts }, t, weights) => {
    weights.fill(0);
    const [row, count] = [t * stocks, counts[t]!];
    if (count < 2) return;
    let [bottom, top] = [0, 0];
    for (let i = 0; i < count; i++) {
      const quantile = quantileOf(i, count, quantiles);
      if (quantile === 1) bottom++;
      else if (quantile === quantiles) top++;
    }
    if (bottom === 0 || top === 0) return;
    for (let i = 0; i < bottom; i++) weights[order[row + i]!] = -0.5 / bottom;
    for (let i = count - top; i < count; i++) weights[order[row + i]!] = 0.5 / top;
  };
}

/** Equal weights on every stock that has a prediction, long only: what a choice is compared with. */
export const equalWeights: Weighting = (ranked, t, weights) => topWeights(Math.max(1, ranked.counts[t]!))(ranked, t, weights);
