import { expect } from "vitest";
import type { NativeSession, NativeSessionOptions } from "../../lib/binding/types.js";
import type { Comparison } from "./comparison.js";
import { relativeError, take } from "./fixture.js";

/** What one step in training mode should give. */
export interface ExpectedStep {
  record: { loss: number | null; values: (number | null)[]; undefined: number[] };
  predictions: Float64Array;
  riskFactors: Float64Array;
  /** A name that is not in `expected` has gradient 0. */
  gradients?: { expected: ReadonlyMap<string, Float64Array>; names: readonly string[] };
}

/** Plain AdamW without decay, clipping or average, unless said otherwise. */
export function sessionOptions(options: Pick<NativeSessionOptions, "objective"> & Partial<NativeSessionOptions>): NativeSessionOptions {
  return { betas: [0.9, 0.999], adamEps: 1e-8, weightDecay: 0, clipNorm: 0, ema: 0, seed: 0, ...options };
}

/** Holds the pieces of a step to the reference's; its tensors are disposed. */
export function compareStep(
  comparison: Comparison,
  kind: string,
  where: string,
  { step, gradients, predictions, riskFactors }: Awaited<ReturnType<NativeSession["gradients"]>>,
  expected: ExpectedStep,
  bars: { value: number; gradient: number },
): void {
  comparison.values(`${kind} predictions`, where, take(predictions), expected.predictions, bars.value);
  comparison.values(`${kind} M`, where, take(riskFactors), expected.riskFactors, bars.value);
  comparison.values(`${kind} loss`, where, [step.loss], [expected.record.loss ?? NaN], bars.value);
  expected.record.values.forEach((value, k) => comparison.values(`${kind} terms`, `${where} term ${k}`, [step.terms[k]!], [value ?? NaN], bars.value));
  expect(step.undefinedDates, `${where}: dates on which a term is undefined`).toEqual(expected.record.undefined);

  const found = new Map(Object.entries(gradients).map(([name, tensor]) => [name, take(tensor)]));
  if (expected.gradients === undefined) return;
  const largest = Math.max(...[...expected.gradients.expected.values()].map((gradient) => gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
  expect([...found.keys()].sort()).toEqual([...expected.gradients.names].sort());
  for (const [name, gradient] of found) {
    const error = relativeError(gradient, expected.gradients.expected.get(name) ?? new Float64Array(gradient.length), largest);
    comparison.check(`${kind} gradients`, `${where} ${name}`, error, bars.gradient);
  }
}
