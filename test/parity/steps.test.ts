import { afterAll, describe, expect, it } from "vitest";
import type { Dtype, NativeSession, NativeState, NativeStep } from "../../lib/binding/types.js";
import { Comparison } from "./comparison.js";
import { bars, core, createModel, createPanel, load, nativeState, nativeTensor, numbers, objective, readFixtures, take, type Fixture } from "./fixture.js";
import { compareStep, sessionOptions } from "./step.js";

// Free-running errors grow from step to step: the bars of the issue for ten of them.
const FREE_LOSS = 1e-8;
const FREE_WEIGHTS = 1e-6;
// The optimizer alone, fed with the reference's gradients.
const FED_WEIGHTS = { float64: 1e-10, float32: 1e-6 };

const all = readFixtures();
const fixtures = all.filter(({ layout }) => layout.training !== undefined);
const comparison = new Comparison();
afterAll(() => console.log(comparison.summary(`ten steps (${fixtures.length} of ${all.length} cases hold them)`)));

type Training = NonNullable<Fixture["layout"]["training"]>;
type Named = Map<string, Float64Array>;

/** One step's row of a flattened record [steps, entries], cut at the names' sizes. */
function recorded(fixture: Fixture, kind: "weights" | "average" | "gradients", step: number): Named {
  const training = fixture.layout.training!;
  const names = kind === "gradients" ? fixture.layout.parameters : training.floats;
  const values = numbers(fixture, `steps.${kind}`);
  const width = values.length / training.steps.length;
  let at = step * width;
  return new Map(names.map((name) => [name, values.slice(at, (at += sizeOf(fixture, name)))] as const));
}

const shapeOf = (fixture: Fixture, name: string): number[] => fixture.tensors[`state.${name}`]!.shape;
const sizeOf = (fixture: Fixture, name: string): number => shapeOf(fixture, name).reduce((product, size) => product * size, 1);
const native = (fixture: Fixture, values: Named, dtype: Dtype): NativeState => Object.fromEntries([...values].map(([name, value]) => [name, nativeTensor(value, shapeOf(fixture, name), dtype)]));

function dispose(state: NativeState): void {
  for (const tensor of Object.values(state)) tensor.dispose();
}

function startSession(fixture: Fixture, dtype: Dtype, training: Training, ema = training.ema): { session: NativeSession; end: () => void; loadWeights: (weights: Named) => void } {
  const model = createModel(fixture, dtype);
  const panel = createPanel(fixture);
  const session = core.createSession(model, panel, sessionOptions({ objective: objective(training.terms), betas: training.betas, adamEps: training.adam_eps, weightDecay: training.weight_decay, clipNorm: training.clip_norm, ema }));
  return {
    session,
    end: () => [session, model, panel].forEach((owned) => owned.dispose()),
    loadWeights: (weights) => void load(model, { ...nativeState(fixture, dtype), ...native(fixture, weights, dtype) }),
  };
}

/** Compares `prefix` tensors of a session's state; with `only`, these names. */
async function compareState(session: NativeSession, prefix: "raw." | "ema.", kind: string, where: string, expected: Named, bar: number, only: readonly string[]): Promise<void> {
  const { tensors } = await session.state();
  for (const name of only) comparison.values(kind, `${where} ${name}`, take(tensors[prefix + name]!), expected.get(name)!, bar);
  dispose(tensors);
}

async function runStep(session: NativeSession, dates: number[], learningRate: number): Promise<NativeStep> {
  const steps: NativeStep[] = [];
  await session.run({ dates: Int32Array.from(dates), offsets: Int32Array.from([0, dates.length]), learningRates: Float64Array.of(learningRate) }, 1, (step) => steps.push(step)).done;
  expect(steps).toHaveLength(1);
  return steps[0]!;
}

it("holds at least one case with ten steps", () => {
  expect(fixtures.length).toBeGreaterThan(0);
});

describe.each(fixtures)("$name", (fixture) => {
  const training = fixture.layout.training!;
  const steps = training.steps.map((record, s) => ({ record, s, dates: training.dates[s]!, rate: training.learning_rates[s]! }));
  const stepValues = (s: number): { predictions: Float64Array; riskFactors: Float64Array } => ({ predictions: numbers(fixture, `steps.${s}.predictions`), riskFactors: numbers(fixture, `steps.${s}.risk_factors`) });

  it.each([{ average: "with", ema: training.ema }, { average: "without", ema: 0 }])("trains ten free steps in float64 as the reference does, $average an average of the weights", async ({ ema }) => {
    const { session, end } = startSession(fixture, "float64", training, ema);
    for (const { record, s, dates, rate } of steps) {
      const where = `${fixture.name} step ${s + 1}`;
      const step = await runStep(session, dates, rate);
      expect(step.updated, where).toBe(record.updated);
      expect(step.undefinedDates, where).toEqual(record.undefined);
      comparison.values("float64 free loss", where, [step.loss], [record.loss ?? NaN], FREE_LOSS);
      comparison.values("float64 free gradient norm", where, [step.gradientNorm], [record.norm], FREE_LOSS);
      await compareState(session, "raw.", "float64 free weights", where, recorded(fixture, "weights", s), FREE_WEIGHTS, training.floats);
      if (ema > 0) await compareState(session, "ema.", "float64 free average", where, recorded(fixture, "average", s), FREE_WEIGHTS, training.floats);
    }
    const { tensors, steps: count, updates } = await session.state();
    expect([count, updates]).toEqual([steps.length, steps.filter(({ record }) => record.updated).length]);
    for (const [name, tensor] of Object.entries(tensors)) {
      // Batches counted: the initial number and one per update.
      if (name.endsWith("num_batches_tracked")) expect(Number(tensor.toTypedArray()[0])).toBe(Number(fixture.tensors[`state.${name.slice(4)}`]!.data[0]) + updates);
    }
    dispose(tensors);
    end();
  });

  it("predicts before each of ten free steps in float64 what the reference predicts", async () => {
    const { session, end } = startSession(fixture, "float64", training);
    for (const { record, s, dates, rate } of steps) {
      const { step, gradients, predictions, riskFactors } = await session.gradients(Int32Array.from(dates), 1);
      const where = `${fixture.name} step ${s + 1}`;
      comparison.values("float64 free predictions", where, take(predictions), stepValues(s).predictions, FREE_LOSS);
      comparison.values("float64 free M", where, take(riskFactors), stepValues(s).riskFactors, FREE_LOSS);
      comparison.values("float64 free loss", where, [step.loss], [record.loss ?? NaN], FREE_LOSS);
      if (record.updated) await session.apply(gradients, rate);
      dispose(gradients);
    }
    await compareState(session, "raw.", "float64 free weights", fixture.name, recorded(fixture, "weights", steps.length - 1), FREE_WEIGHTS, training.floats);
    end();
  });

  it("meets the bars of one step in float32 at the reference's weights of every step", async () => {
    const { session, end, loadWeights } = startSession(fixture, "float32", training);
    for (const { record, s, dates } of steps) {
      if (s > 0) loadWeights(recorded(fixture, "weights", s - 1));
      const result = await session.gradients(Int32Array.from(dates), 1);
      compareStep(comparison, "float32 step", `${fixture.name} step ${s + 1}`, result, {
        record,
        ...stepValues(s),
        ...(record.updated ? { gradients: { expected: recorded(fixture, "gradients", s), names: fixture.layout.parameters } } : {}),
      }, bars(fixture, "float32"));
    }
    end();
  });

  it.each(["float64", "float32"] as const)("clips, updates and averages the reference's gradients in %s as the reference does", async (dtype) => {
    const { session, end } = startSession(fixture, dtype, training);
    for (const { record, s, rate } of steps) {
      if (!record.updated) continue;
      const gradients = native(fixture, recorded(fixture, "gradients", s), dtype);
      const where = `${fixture.name} step ${s + 1}`;
      comparison.values(`${dtype} fed gradient norm`, where, [await session.apply(gradients, rate)], [record.norm], FED_WEIGHTS[dtype]);
      dispose(gradients);
      // No forward was run, so running statistics stand still: parameters only.
      await compareState(session, "raw.", `${dtype} fed weights`, where, recorded(fixture, "weights", s), FED_WEIGHTS[dtype], fixture.layout.parameters);
      await compareState(session, "ema.", `${dtype} fed average`, where, recorded(fixture, "average", s), FED_WEIGHTS[dtype], fixture.layout.parameters);
    }
    end();
  });
});
