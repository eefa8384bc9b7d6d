import { expect, test } from "vitest";
import { loadCore } from "../../lib/binding/load.js";
import type { NativeBlockTimes, NativeStep } from "../../lib/binding/types.js";
import { schedule, tiny, tinyConfig, tinyOptions, tinyPanelData } from "./tiny.js";

const core = loadCore();
const blocks = ["gru", "graphAttention", "relationalEmbedding"] as const;

async function steps(profile: boolean | undefined, count = 5): Promise<NativeStep[]> {
  const { model, panel } = tiny(core);
  const session = core.createSession(model, panel, tinyOptions(profile === undefined ? {} : { profile }));
  const seen: NativeStep[] = [];
  await session.run(schedule(count), 1, (step) => seen.push(step)).done;
  return seen;
}

const times = (step: NativeStep): NativeBlockTimes => {
  expect(step.blocks).toBeDefined();
  return step.blocks!;
};

test("a step carries block times only where the session is profiled", async () => {
  for (const profile of [undefined, false]) for (const step of await steps(profile)) expect(step).not.toHaveProperty("blocks");
  for (const step of await steps(true)) expect(Object.keys(times(step)).sort()).toEqual([...blocks, "total"].sort());
});

test("every block takes time in both directions and none is counted twice", async () => {
  // A long window of a wide GRU is most of the step: counted twice it would be more than all of it.
  const model = core.createModel(tinyConfig({ gruHiddenSize: 64 }), "float32", 0);
  const session = core.createSession(model, core.createPanel(tinyPanelData(151, 48, 40)), tinyOptions({ profile: true }));
  const seen: NativeStep[] = [];
  const dates = Int32Array.of(39, 40, 41, 42);
  await session.run({ dates, offsets: Int32Array.of(0, 1, 2, 3, 4), learningRates: new Float64Array(4).fill(1e-3) }, 1, (step) => seen.push(step)).done;
  for (const step of seen) {
    const { total, ...own } = times(step);
    for (const direction of ["forward", "backward"] as const) {
      for (const block of blocks) expect(own[block][direction], `${block} ${direction}`).toBeGreaterThan(0);
      // The blocks run one after the other inside the whole.
      expect(blocks.reduce((sum, block) => sum + own[block][direction], 0)).toBeLessThanOrEqual(total[direction]);
    }
    expect(total.forward + total.backward).toBeLessThanOrEqual(step.milliseconds);
  }
});

test("profiling changes no result", async () => {
  const [plain, profiled] = [await steps(false), await steps(true)];
  expect(profiled.map(({ loss, gradientNorm }) => [loss, gradientNorm])).toEqual(plain.map(({ loss, gradientNorm }) => [loss, gradientNorm]));
});

test("a profile that is no yes or no is refused", () => {
  const { model, panel } = tiny(core);
  expect(() => core.createSession(model, panel, tinyOptions({ profile: "yes" as unknown as boolean }))).toThrow(/profile/);
});
