import type { PlateauState } from "../run/state.js";

/**
 * How the learning rate moves after its linear warm-up: `"constant"`, `"cosine"` (down to `minLearningRate` at the last step of the last
 * epoch), `"plateau"` (times `factor` after `plateauPatience` epochs without a better validation metric).
 */
export type ScheduleName = "constant" | "cosine" | "plateau";

/** The options that decide the learning rate. */
export interface ScheduleOptions {
  readonly schedule: ScheduleName;
  /** Rate after warm-up. */
  readonly learningRate: number;
  readonly minLearningRate: number;
  /** Steps until the full rate: step s of the first `warmupSteps` has s / warmupSteps of it. */
  readonly warmupSteps: number;
}

/**
 * The learning rate of step s, counted from 1 over the whole run.
 *
 * @param totalSteps steps of all epochs; cosine only
 * @param reductions how often the plateau rule has cut the rate so far, and by what factor
 */
export function learningRateAt(step: number, options: ScheduleOptions, totalSteps: number, reductions = { count: 0, factor: 1 }): number {
  const { schedule, learningRate, minLearningRate, warmupSteps } = options;
  const warmup = warmupSteps === 0 ? 1 : Math.min(1, step / warmupSteps);
  switch (schedule) {
    case "constant":
      return learningRate * warmup;
    case "plateau": {
      const reduced = learningRate * reductions.factor ** reductions.count;
      return Math.max(Math.min(minLearningRate, learningRate), reduced) * warmup;
    }
    case "cosine": {
      if (step <= warmupSteps) return learningRate * warmup;
      const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
      return minLearningRate + (learningRate - minLearningRate) * 0.5 * (1 + Math.cos(Math.PI * progress));
    }
  }
}

/** The state before the first epoch. */
export function initialPlateau(): PlateauState {
  return { best: null, bestEpoch: 0, epochsWithoutBetter: 0, epochsSinceReduction: 0, reductions: 0 };
}

/**
 * The state after an epoch, and whether that epoch is the best so far: strictly better, so that the first wins a tie. NaN is never better.
 *
 * @param plateauPatience epochs without a better metric before the rate is cut; Infinity never cuts
 */
export function afterEpoch(state: PlateauState, epoch: number, value: number, higherIsBetter: boolean, plateauPatience: number): { state: PlateauState; isBest: boolean } {
  const isBest = !Number.isNaN(value) && (state.best === null || (higherIsBetter ? value > state.best : value < state.best));
  if (isBest) return { state: { ...state, best: value, bestEpoch: epoch, epochsWithoutBetter: 0, epochsSinceReduction: 0 }, isBest };
  const waited = state.epochsSinceReduction + 1;
  const cuts = waited > plateauPatience;
  return {
    state: {
      ...state,
      epochsWithoutBetter: state.epochsWithoutBetter + 1,
      epochsSinceReduction: cuts ? 0 : waited,
      reductions: state.reductions + (cuts ? 1 : 0),
    },
    isBest,
  };
}
