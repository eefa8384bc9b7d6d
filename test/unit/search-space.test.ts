import { describe, expect, it } from "vitest";
import { drawFrom, gridOf, parseSearchSpace } from "../../lib/evaluate/sweep/search-space.js";

const ranges = parseSearchSpace({ loss: ["ic", "mse"], "learning-rate": { log: [1e-4, 1e-2] }, dropout: { uniform: [0, 0.5] }, window: { integer: [4, 6] } });

describe("search space", () => {
  it("makes every combination of lists, the last flag changing fastest", () => {
    expect(gridOf({ loss: ["ic", "mse"], window: [8, 16] })).toEqual([{ loss: "ic", window: 8 }, { loss: "ic", window: 16 }, { loss: "mse", window: 8 }, { loss: "mse", window: 16 }]);
  });

  it("draws within ranges, evenly, no trial twice, and the same for the same seed", () => {
    const drawn = drawFrom(ranges, 2000, 3);
    expect(drawFrom(ranges, 5, 3)).toEqual(drawn.slice(0, 5));
    expect(drawFrom(ranges, 5, 4)).not.toEqual(drawn.slice(0, 5));
    expect(new Set(drawn.map((settings) => JSON.stringify(settings))).size).toBe(2000);
    const of = (name: string): number[] => drawn.map((settings) => settings[name] as number);
    for (const value of of("learning-rate")) expect(value >= 1e-4 && value <= 1e-2).toBe(true);
    for (const value of of("dropout")) expect(value >= 0 && value <= 0.5).toBe(true);
    expect(new Set(of("window"))).toEqual(new Set([4, 5, 6]));
    // Half of the draws of a log range lie below its geometric mean: five standard deviations of 2,000 coins are 112.
    expect(Math.abs(of("learning-rate").filter((value) => value < 1e-3).length - 1000)).toBeLessThan(112);
  });

  it("finds all of a small space, and says where there are no more", () => {
    expect(new Set(drawFrom({ a: [1, 2], b: [1, 2, 3] }, 6, 0).map((settings) => JSON.stringify(settings))).size).toBe(6);
    expect(() => drawFrom({ a: [1, 2] }, 3, 0)).toThrow("3 trials are to be drawn, and 2 different ones were found.");
  });

  it.each([
    [undefined, "for vary but received nothing"],
    [{}, "for vary but received {}"],
    [{ loss: [] }, "for vary.loss but received []"],
    [{ a: { uniform: [1, 0] } }, "for vary.a"],
    [{ a: { log: [0, 1] } }, "for vary.a"],
    [{ a: { integer: [0, 1.5] } }, "for vary.a"],
    [{ a: { uniform: [0, 1], log: [1, 2] } }, "for vary.a"],
    [{ a: "ic" }, 'for vary.a but received "ic"'],
  ])("refuses %j", (space, message) => expect(() => parseSearchSpace(space)).toThrow(message));

  it("needs lists for a grid", () => {
    expect(() => gridOf(ranges)).toThrow("A grid needs lists, and vary.learning-rate is the range");
  });
});
