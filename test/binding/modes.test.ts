import { expect, test } from "vitest";
import { loadCore } from "../../lib/binding/load.js";
import type { NativeModule } from "../../lib/binding/types.js";
import { schedule, tiny, tinyConfig, tinyOptions, tinyPanelData } from "./tiny.js";

const core = loadCore();
const sequences = core.tensor(Float32Array.from({ length: 4 * 7 * 3 }, (_, i) => Math.sin(i)), [4, 7, 3]);
const offsets = Int32Array.of(0, 7);

async function predictionsOf(model: NativeModule): Promise<unknown> {
  const [predictions] = await model.forward([sequences], { offsets });
  return predictions!.toTypedArray();
}

/** As `schedule`, but no step changes a weight: what differs then differs by dropout. */
function still(steps: number) {
  return { ...schedule(steps), learningRates: new Float64Array(steps) };
}

test("a forward during a training runs in the model's own mode, not in that of the step in hand", async () => {
  const model = core.createModel(tinyConfig({ dropout: 0.5 }), "float32", 0);
  const session = core.createSession(model, core.createPanel(tinyPanelData()), tinyOptions({ ema: 0 }));
  const quiet = await predictionsOf(model);
  const during: Promise<unknown>[] = [];
  const modes = new Set<boolean>();
  const job = session.run(still(60), 1, () => {
    for (let i = 0; i < 5; i++) {
      during.push(predictionsOf(model));
      modes.add(model.training);
    }
  });
  await job.done;
  for (const predictions of await Promise.all(during)) expect(predictions).toEqual(quiet);
  expect(modes).toEqual(new Set([false]));
});

test("the mode is the caller's during a training too, and every forward has the mode it was started in", async () => {
  const model = core.createModel(tinyConfig({ dropout: 0.5 }), "float32", 0);
  const session = core.createSession(model, core.createPanel(tinyPanelData()), tinyOptions({ ema: 0 }));
  const quiet = await predictionsOf(model);
  const job = session.run(still(20), 1, () => {});
  model.train();
  const dropped = predictionsOf(model);
  model.eval();
  const kept = predictionsOf(model);
  await job.done;
  expect(await dropped).not.toEqual(quiet);
  expect(await kept).toEqual(quiet);
});

test("a prediction that outlives a training leaves the model in the mode that it was in", async () => {
  const model = core.createModel(tinyConfig({ dropout: 0.5, gruHiddenSize: 32 }), "float32", 0);
  const panel = core.createPanel(tinyPanelData(100));
  const session = core.createSession(model, panel, tinyOptions({ ema: 0 }));
  for (let repeat = 0; repeat < 40; repeat++) {
    const job = session.run(still(10), 1, () => {});
    // Begun at moments of their own, in all parts of a step, and still under way when the training ends.
    for (const until = performance.now() + 0.25 * repeat; performance.now() < until; );
    const prediction = core.predict(model, panel, { dates: new Int32Array(20).fill(5), riskFactors: false, threads: 1 });
    await job.done;
    await prediction.done;
    expect(model.training).toBe(false);
  }
});

test("a state is not loaded into averaged weights that a prediction reads", async () => {
  const { model, panel } = tiny(core);
  const session = core.createSession(model, panel, tinyOptions());
  const state = await session.state();
  const prediction = core.predict(session.averaged, panel, { dates: Int32Array.of(3, 4, 5), riskFactors: false, threads: 1 });
  expect(() => session.loadState(state)).toThrow(/in use by a running job/);
  await prediction.done;
  session.loadState(state);
});
