import type { NativeStep } from "../binding/types.js";
import type { TrainMetrics } from "../run/records.js";
import type { RunningSums } from "../run/state.js";

/** The sums before the first step of an epoch. */
export function emptySums(terms: number): RunningSums {
  const zeros = (): number[] => new Array<number>(terms).fill(0);
  return { steps: 0, emptySteps: 0, lossSteps: 0, loss: 0, updates: 0, gradientNorm: 0, rows: 0, terms: zeros(), termSteps: zeros(), undefinedDates: zeros() };
}

/** Adds a step in place. */
export function addStep(sums: RunningSums, step: NativeStep): void {
  sums.steps++;
  sums.rows += step.rows;
  if (Number.isNaN(step.loss)) sums.emptySteps++;
  else {
    sums.lossSteps++;
    sums.loss += step.loss;
  }
  if (step.updated) {
    sums.updates++;
    sums.gradientNorm += step.gradientNorm;
  }
  for (const [i, value] of step.terms.entries()) {
    if (!Number.isNaN(value)) {
      sums.terms[i]! += value;
      sums.termSteps[i]!++;
    }
    sums.undefinedDates[i]! += step.undefinedDates[i]!;
  }
}

/** The epoch's training metrics. */
export function trainMetrics(sums: RunningSums, labels: readonly string[]): TrainMetrics {
  return {
    loss: sums.loss / sums.lossSteps,
    terms: Object.fromEntries(labels.map((label, i) => [label, sums.terms[i]! / sums.termSteps[i]!])),
    undefinedDates: Object.fromEntries(labels.map((label, i) => [label, sums.undefinedDates[i]!])),
    steps: sums.steps,
    emptySteps: sums.emptySteps,
    rows: sums.rows,
    gradientNorm: sums.gradientNorm / sums.updates,
  };
}
