import { describe, expect, test } from "vitest";
import { averageTieRanks, normalQuantile, RankSorter } from "../../lib/data/ranks.js";
import { randomNumbers } from "./data-tables.js";

const byDefinition = (values: Float64Array): number[] =>
  Array.from(values, (x) => values.reduce((sum, y) => sum + (y < x ? 1 : 0), 0) + (values.reduce((sum, y) => sum + (y === x ? 1 : 0), 0) + 1) / 2);

describe("averageTieRanks", () => {
  test.each([0, 1, 2, 31, 151])("counts smaller values and half the ties for %d values", (n) => {
    const random = randomNumbers(n + 3);
    const values = Float64Array.from({ length: n }, () => Math.round(40 * (random() - 0.5)) * 10 ** Math.floor(6 * random() - 3));
    expect([...averageTieRanks(values)]).toEqual(byDefinition(values));
  });

  test("tells values apart that differ only in their last bits", () => {
    const values = Float64Array.from({ length: 60 }, (_, i) => 1 + ((i * 37) % 60) * Number.EPSILON);
    expect([...averageTieRanks(values)]).toEqual(byDefinition(values));
    const few = Float64Array.of(-1 - 2 * Number.EPSILON, -1, -1 - Number.EPSILON * 4, 5);
    expect([...averageTieRanks(few)]).toEqual([2, 3, 1, 4]);
  });

  test.each([
    ["within a billionth of 1000", (u: number) => 1000 + 1e-6 * u],
    ["over thirty orders of magnitude", (u: number) => (u - 0.5) * 10 ** (30 * u - 15)],
    ["of one sign with an outlier", (u: number) => (u < 0.001 ? -1e9 : 3 + u / 1e5)],
  ])("orders 5,000 values %s", (_, draw) => {
    const random = randomNumbers(5);
    const values = Float64Array.from({ length: 5000 }, () => draw(random()));
    const order = new RankSorter(5000).order(values, 5000);
    expect(Array.from(order, (i) => values[i]!)).toEqual([...values].sort((a, b) => a - b));
  });

  test("orders equal values by their indices, call after call on the same buffer", () => {
    const sorter = new RankSorter(4);
    const values = Float64Array.of(2, 1, 2, 1);
    expect([...sorter.order(values, 4)]).toEqual([1, 3, 0, 2]);
    values.set([0, -1, -0, -1]);
    expect([...sorter.order(values, 4)]).toEqual([1, 3, 0, 2]);
  });

  test("takes -0 and 0 as equal and orders infinities at the ends", () => {
    expect([...averageTieRanks(Float64Array.of(0, -0, Infinity, -Infinity, 5e-324))]).toEqual([2.5, 2.5, 5, 1, 4]);
  });
});

describe("normalQuantile", () => {
  // From CPython's statistics.NormalDist().inv_cdf; both have a relative error near 1e-15.
  test.each([
    [1e-300, -37.0470962993612], [1e-20, -9.262340089798405], [1e-10, -6.361340902404056], [1e-5, -4.2648907939228256], [0.02, -2.0537489106318225],
    [0.0749, -1.4402382675279632], [0.075, -1.4395314709384557], [0.0751, -1.4388253927525398], [0.3, -0.5244005127080407], [0.5, 0], [0.9251, 1.4402382675279632], [0.999, 3.090232306167813],
  ])("of %d", (p, expected) => {
    expect(Math.abs(normalQuantile(p) - expected)).toBeLessThanOrEqual(1e-13 * Math.max(1, Math.abs(expected)));
  });

  test("is infinite at the ends and NaN outside", () => {
    expect([normalQuantile(0), normalQuantile(1), normalQuantile(1.1), normalQuantile(NaN)]).toEqual([-Infinity, Infinity, NaN, NaN]);
  });
});
