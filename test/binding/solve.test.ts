import { describe, expect, it } from "vitest";
import { loadCore } from "../../lib/binding/load.js";
import type { NativeProgramme } from "../../lib/binding/types.js";

const core = loadCore();

/** Minimise (x - 1)² / 2 + y under x + y = 3, y >= 0. */
const programme = (changes: Partial<NativeProgramme> = {}): NativeProgramme => ({
  variables: 2, constraints: 2,
  pStarts: Int32Array.of(0, 1, 1), pRows: Int32Array.of(0), pValues: Float64Array.of(1), q: Float64Array.of(-1, 1),
  aStarts: Int32Array.of(0, 1, 3), aRows: Int32Array.of(0, 0, 1), aValues: Float64Array.of(1, 1, -1), b: Float64Array.of(3, 0),
  cones: 2, coneKinds: Int32Array.of(0, 1), coneSizes: Int32Array.of(1, 1),
  tolerance: 1e-10, timeLimitMs: 1000, iterations: 100, ...changes,
});

describe.skipIf(!core.hasSolver)("solve", () => {
  it("finds the minimum and the prices of the constraints", async () => {
    const { status, x, z, objective } = await core.solve(programme()).done;
    expect(status).toBe("solved");
    expect(x[0]).toBeCloseTo(2, 8);
    expect(x[1]).toBeCloseTo(1, 8);
    expect(z[0]).toBeCloseTo(-1, 8);
    expect(objective).toBeCloseTo(1, 8); // without the constant 1/2
  });

  it.each<[string, Partial<NativeProgramme>]>([
    ["rows beyond the matrix", { aRows: Int32Array.of(0, 0, 2) }],
    ["starts that descend", { aStarts: Int32Array.of(0, 4, 3) }],
    ["starts below 0", { pStarts: Int32Array.of(-1, 1, 1) }],
    ["too few values", { aValues: Float64Array.of(1, 1) }],
    ["cones that do not cover the rows", { coneSizes: Int32Array.of(1, 2) }],
    ["cones of an unknown kind", { coneKinds: Int32Array.of(0, 7) }],
  ])("refuses %s", (_, changes) => {
    expect(() => core.solve(programme(changes))).toThrow(expect.objectContaining({ code: "ERR_SHAPE" }));
  });

  it("fails the job, not the process, on entries of one column out of order", async () => {
    const { done } = core.solve(programme({ pStarts: Int32Array.of(0, 0, 2), pRows: Int32Array.of(1, 0), pValues: Float64Array.of(1, 1) }));
    await expect(done).rejects.toMatchObject({ code: "ERR_INTERNAL" });
  });

  it("ends with a status where numbers are none", async () => {
    const { status } = await core.solve(programme({ q: Float64Array.of(NaN, 1) })).done;
    expect(status).not.toBe("solved");
  });
});
