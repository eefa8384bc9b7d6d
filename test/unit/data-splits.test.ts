import { describe, expect, test } from "vitest";
import { planSplits } from "../../lib/data/splits.js";
import { weekdays } from "./data-tables.js";

const days = weekdays(30);
const plan = (horizon: number, lag: number, split: Parameters<typeof planSplits>[4], embargo = 0, window = 4) =>
  planSplits(days, { window, requiredHistory: window }, { horizons: [horizon], lagDays: lag, span: horizon }, 29 - lag - horizon, split, embargo);
const byDate = { trainEnd: days[14]!, validEnd: days[21]! };
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("planSplits", () => {
  test("purges nothing for one day without lag", () => {
    expect(plan(1, 0, byDate)).toMatchObject({ train: range(3, 13), valid: range(14, 20), test: range(21, 28), unlabelled: [29], purged: { trainValid: 0, validTest: 0 } });
  });

  test.each([[1, 1], [5, 0], [5, 1], [2, 3]])("lets no label span a boundary for h = %d, l = %d", (h, l) => {
    const { train, valid, test: last, unlabelled, purged } = plan(h, l, byDate);
    for (const t of train) expect(t + l + h).toBeLessThanOrEqual(14);
    for (const t of valid) expect([t + l >= 14, t + l + h <= 21]).toEqual([true, true]);
    for (const t of last) expect(t + l).toBeGreaterThanOrEqual(21);
    // h - 1 entries lie strictly before a boundary with an end after it.
    expect(purged).toEqual({ trainValid: h - 1, validTest: h - 1 });
    expect(train.length + valid.length + last.length + unlabelled.length + 2 * (h - 1)).toBe(27);
    expect(unlabelled).toEqual(range(30 - h - l, 29));
  });

  test("drops the first dates of valid and test as embargo", () => {
    const without = plan(2, 1, byDate);
    const with2 = plan(2, 1, byDate, 2);
    expect(with2.train).toEqual(without.train);
    expect(with2.valid).toEqual(without.valid.slice(2));
    expect(with2.test).toEqual(without.test.slice(2));
    expect(with2.embargoed).toEqual({ valid: 2, test: 2 });
  });

  test("takes a boundary as the last panel date not after it", () => {
    // days[12] is Friday 2020-01-17: Sunday the 19th means the same boundary.
    expect(days[12]).toBe("2020-01-17");
    expect(plan(1, 0, { ...byDate, trainEnd: "2020-01-19" })).toEqual(plan(1, 0, { ...byDate, trainEnd: days[12]! }));
  });

  test("begins with the date whose label ends on start", () => {
    expect(plan(1, 0, { ...byDate, start: days[8]! }).train[0]).toBe(7);
    expect(plan(3, 1, { ...byDate, start: days[8]! }).train[0]).toBe(4);
    expect(plan(1, 0, { ...byDate, start: days[4]! })).toMatchObject({ first: 3, shortHistory: 0 });
  });

  test("counts the dates without enough history, and refuses a start that asks for one of them", () => {
    expect(plan(1, 0, byDate)).toMatchObject({ first: 3, shortHistory: 3 });
    expect(planSplits(days, { window: 4, requiredHistory: 10 }, { horizons: [1], lagDays: 0, span: 1 }, 28, byDate, 0)).toMatchObject({ first: 9, shortHistory: 9, train: range(9, 13) });
    for (const start of [days[3]!, days[0]!, "2019-12-02"]) expect(() => plan(1, 0, { ...byDate, start })).toThrow(/There is too little history for split\.start .* or ask for 2020-01-07 or later\./);
  });

  test("cuts fractions of the labelled dates", () => {
    const { train, valid, test: last, purged } = plan(1, 0, { fractions: [0.6, 0.2, 0.2] }, 0, 5);
    expect([train.length, valid.length, last.length]).toEqual([15, 5, 5]);
    const longer = plan(3, 0, { fractions: [0.6, 0.2, 0.2] }, 0, 3);
    expect([longer.train.length, longer.valid.length, longer.test.length, longer.purged]).toEqual([15, 3, 3, { trainValid: 2, validTest: 2 }]);
    expect(purged).toEqual({ trainValid: 0, validTest: 0 });
  });

  test("ends the test with the labels that end by testEnd; what follows is in no split", () => {
    const ended = plan(2, 1, { ...byDate, testEnd: days[26]! });
    const open = plan(2, 1, byDate);
    expect(ended).toMatchObject({ train: open.train, valid: open.valid, test: range(20, 23), unlabelled: [], afterTest: 6, testEnd: days[26], purged: open.purged });
    expect(open).toMatchObject({ test: range(20, 26), afterTest: 0, testEnd: undefined });
    expect(plan(2, 1, { ...byDate, testEnd: days[26]! }, 2).test).toEqual(range(22, 23));
    expect(plan(1, 0, { trainEnd: days[14]!, testEnd: days[16]! })).toMatchObject({ valid: [], test: range(14, 15), validEnd: undefined });
  });

  test("refuses a testEnd outside the panel or not after the splits before it", () => {
    expect(() => plan(1, 0, { ...byDate, testEnd: "2031-01-01" })).toThrow("split.testEnd 2031-01-01 lies outside the panel");
    expect(() => plan(1, 0, { ...byDate, testEnd: days[21]! })).toThrow(`split.testEnd ${days[21]} is not after split.validEnd ${days[21]}. Put trainEnd < validEnd < testEnd.`);
    expect(() => plan(1, 0, { trainEnd: days[14]!, testEnd: days[14]! })).toThrow("is not after split.trainEnd");
  });

  test("has every sample date unlabelled without a split", () => {
    expect(plan(1, 0, undefined)).toMatchObject({ train: [], valid: [], test: [], unlabelled: range(3, 29) });
  });
});
