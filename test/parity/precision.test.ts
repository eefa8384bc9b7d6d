import { afterAll, expect, test } from "vitest";
import type { Dtype, NativeState, Precision } from "../../lib/binding/types.js";
import { resolveModelOptions } from "../../lib/model/config.js";
import { icTerm } from "../binding/tiny.js";
import { core, device, take } from "./fixture.js";
import { sessionOptions } from "./step.js";

const [dates, stocks, featureCount, window] = [23, 300, 21, 20];

/** Uniform numbers of variance 1. */
function noise(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    const hash = Math.sin((i + 1) * 12.9898 + seed) * 43758.5453;
    return (hash - Math.floor(hash) - 0.5) * Math.sqrt(12);
  });
}

/** Gradients of an untrained model of default size on 4 dates. */
async function gradients(norm: "layer" | "batch", dtype: Dtype): Promise<Map<string, Float64Array>> {
  const rowOffsets = Int32Array.from({ length: dates + 1 }, (_, date) => Math.max(0, date - (window - 1)) * stocks);
  const rowStocks = Int32Array.from({ length: rowOffsets[dates]! }, (_, row) => row % stocks);
  const features = noise(dates * stocks * featureCount, 1);
  const panel = core.createPanel({ dates, stocks, featureCount, window, features, rowOffsets, rowStocks, horizons: 1, targets: noise(dates * stocks, 2), graph: "complete" }, device);
  const model = core.createModel(resolveModelOptions({ sequentialInputSize: featureCount, norm }).config, dtype, 0, device);
  const session = core.createSession(model, panel, sessionOptions({ objective: [icTerm] }));
  const result: NativeState = (await session.gradients(Int32Array.from([19, 20, 21, 22]), 1)).gradients;
  const found = new Map(Object.entries(result).map(([name, tensor]) => [name, take(tensor)]));
  for (const owner of [session, model, panel]) owner.dispose();
  return found;
}

/** |g - exact| / |exact| over all weights together. */
function error(found: ReadonlyMap<string, Float64Array>, exact: ReadonlyMap<string, Float64Array>): number {
  let [difference, length] = [0, 0];
  for (const [name, values] of exact) {
    values.forEach((value, i) => {
      difference += (found.get(name)![i]! - value) ** 2;
      length += value ** 2;
    });
  }
  return Math.sqrt(difference / length);
}

// A ReLU whose input rounds to the other side of 0 costs as much as all other errors together, hence the room. `medium` also has a least
// error: without one it would not be bfloat16 that was tested. The warning of setPrecision states its bars.
const bars: Record<"layer" | "batch", Record<Precision, [least: number, most: number]>> = {
  layer: { highest: [0, 1e-3], high: [0, 0.01], medium: [1e-3, 0.02] },
  batch: { highest: [0, 1e-3], high: [0, 0.01], medium: [1e-2, 0.1] },
};
// On a GPU it is the tiles of the TGC that are rounded, which so large a date does not take.
if (device !== "cpu") bars.layer.medium[0] = bars.batch.medium[0] = 0;

const precision = core.precisionOn(device);
afterAll(() => void core.setPrecision(precision));

test.each(["layer", "batch"] as const)('a model of default size with norm "%s" has gradients within what each precision states', async (norm) => {
  const exact = await gradients(norm, "float64");
  for (const name of ["highest", "high", "medium"] as const) {
    core.setPrecision(name);
    if (core.precisionOn(device) !== name) continue;
    const off = error(await gradients(norm, "float32"), exact);
    console.log(`norm "${norm}", ${name}: gradient off by ${off.toExponential(1)}`);
    const [least, most] = bars[norm][name];
    expect(off).toBeGreaterThanOrEqual(least);
    expect(off).toBeLessThanOrEqual(most);
  }
});
