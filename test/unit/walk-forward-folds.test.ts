import { describe, expect, it } from "vitest";
import { planFolds, type FoldRule } from "../../lib/evaluate/walk-forward/folds.js";
import { parseJob, tasksOf } from "../../lib/evaluate/walk-forward/jobs.js";
import { addOffset, offsetSchema } from "../../lib/evaluate/walk-forward/offsets.js";

/** Every calendar day of 2020 up to the last of August: 244 dates, so that an offset is a number of dates. */
const days = Array.from({ length: 244 }, (_, i) => new Date(Date.UTC(2020, 0, 1 + i)).toISOString().slice(0, 10));
const rule: FoldRule = { train: "3m", valid: "1m", step: "2m", mode: "rolling", start: undefined };
const plan = (changes: Partial<FoldRule> = {}, { horizon = 1, lag = 0, embargo = 0, dates = days, window = 1 } = {}) =>
  planFolds({ dates, history: { window, requiredHistory: window }, label: { horizons: [horizon], lagDays: lag, span: horizon }, lastLabelled: dates.length - 1 - lag - horizon, embargo }, { ...rule, ...changes });

describe("addOffset", () => {
  it("adds years and months by the calendar, ending in a shorter month on its last day, and weeks and days by count", () => {
    expect(addOffset("2020-01-31", "1m")).toBe("2020-02-29");
    expect(addOffset("2020-01-31", "1m", 2)).toBe("2020-03-31");
    expect(addOffset("2020-02-29", "1y")).toBe("2021-02-28");
    expect(addOffset("2019-11-30", "3m")).toBe("2020-02-29");
    expect(addOffset("2020-12-31", "2w")).toBe("2021-01-14");
    expect(addOffset("2020-03-01", "1d", -1)).toBe("2020-02-29");
  });

  it.each(["6 months", "0m", "-1y", "1.5y", "3Y", "y", ""])("has no offset %j", (text) => {
    expect(offsetSchema.safeParse(text).success).toBe(false);
  });
});

describe("planFolds", () => {
  it("cuts label ends by the calendar: by hand, for labels of the next day", () => {
    // The first label ends on January 2nd: boundaries are the 2nd of each month, labels end before them.
    const [first, second] = plan();
    expect(plan()).toHaveLength(2);
    expect(first).toEqual({
      name: "fold-01",
      split: { start: "2020-01-02", trainEnd: "2020-04-01", validEnd: "2020-05-01", testEnd: "2020-07-01" },
      // A sample's label ends the day after it.
      train: { first: "2020-01-01", last: "2020-03-31", dates: 91 },
      valid: { first: "2020-04-01", last: "2020-04-30", dates: 30 },
      test: { first: "2020-05-01", last: "2020-06-30", dates: 61 },
    });
    expect(second).toEqual({
      name: "fold-02",
      split: { start: "2020-03-02", trainEnd: "2020-06-01", validEnd: "2020-07-01" },
      train: { first: "2020-03-01", last: "2020-05-31", dates: 92 },
      valid: { first: "2020-06-01", last: "2020-06-30", dates: 30 },
      test: { first: "2020-07-01", last: "2020-08-30", dates: 61 },
    });
  });

  it("keeps the first label where the training expands", () => {
    expect(plan({ mode: "expanding" }).map(({ split, train }) => [split.start, train.first, train.last])).toEqual([
      ["2020-01-02", "2020-01-01", "2020-03-31"],
      ["2020-01-02", "2020-01-01", "2020-05-31"],
    ]);
  });

  it.each([[1, 0, 0], [1, 1, 0], [5, 1, 0], [5, 1, 7], [3, 2, 15]])("tests each date once and lets no label of training or validation reach a later part: horizon %i, lag %i, embargo %i", (horizon, lag, embargo) => {
    for (const mode of ["rolling", "expanding"] as const) {
      const folds = plan({ mode, step: "1m" }, { horizon, lag, embargo });
      const at = (date: string | null): number => days.indexOf(date!);
      expect(folds.length).toBeGreaterThan(2);
      let next = at(folds[0]!.test.first);
      for (const { train, valid, test, split } of folds) {
        for (const [part, end] of [[train, split.trainEnd], [valid, split.validEnd!]] as const) expect(at(part.last) + lag + horizon).toBeLessThanOrEqual(at(end));
        expect(at(train.last) + lag + horizon).toBeLessThanOrEqual(at(valid.first) + lag - embargo);
        expect(at(valid.last) + lag + horizon).toBeLessThanOrEqual(at(test.first) + lag - embargo);
        expect(at(test.first)).toBe(next);
        expect(at(test.last) - at(test.first) + 1).toBe(test.dates);
        next = at(test.last) + 1;
      }
      // The newest dates have no label yet.
      expect(next).toBe(days.length - lag - horizon);
    }
  });

  it("goes without validation, and begins where it is told", () => {
    const [first] = plan({ valid: undefined, start: "2020-02-01" });
    expect(first).toMatchObject({ split: { start: "2020-02-01", trainEnd: "2020-04-30" }, train: { first: "2020-01-31" }, valid: { first: null, dates: 0 }, test: { first: "2020-04-30" } });
    expect(first!.split).not.toHaveProperty("validEnd");
  });

  it("refuses data that are too short, a start without history, a step without a date, and a part without dates", () => {
    expect(() => plan({ train: "1y" })).toThrow("The data are too short for a walk-forward: labels end from 2020-01-02 to 2020-08-31, and the first test begins after 2021-02-01, when train 1y and valid 1m are over. Shorten train or valid, or read more dates.");
    expect(() => plan({ start: "2020-01-02" }, { window: 9 })).toThrow(/too little history for split\.start 2020-01-02.* or ask for 2020-01-10 or later/);
    const weekdays = days.filter((day) => new Date(day).getUTCDay() % 6 !== 0);
    expect(() => plan({ step: "1d" }, { dates: weekdays })).toThrow(/^Fold \d of the walk-forward has no test date of its own: .* Take a longer step\.$/);
    expect(() => plan({ valid: "1w" }, { horizon: 5, embargo: 20 })).toThrow(/^Fold 1 of the walk-forward: There are no validation dates left/);
  });
});

describe("jobs", () => {
  it("share folds and seeds so that every unit is one job's", () => {
    const seeds = [7, 8, 9];
    for (const count of [1, 2, 4, 5, 12]) {
      const units = Array.from({ length: count }, (_, i) => tasksOf({ index: i + 1, count }, 4, seeds).flatMap((task) => task.seeds.map((seed) => `${task.fold} ${seed}`)));
      expect(units.flat().sort(), String(count)).toEqual([0, 1, 2, 3].flatMap((fold) => seeds.map((seed) => `${fold} ${seed}`)));
    }
    // As many jobs as folds: a fold each, with all its seeds. As many as units: one each.
    expect(tasksOf({ index: 3, count: 4 }, 4, seeds)).toEqual([{ fold: 2, seeds }]);
    expect(tasksOf({ index: 3, count: undefined }, 4, seeds)).toEqual([{ fold: 2, seeds }]);
    expect(tasksOf({ index: 6, count: 12 }, 4, seeds)).toEqual([{ fold: 1, seeds: [8] }]);
    expect(tasksOf(undefined, 2, [0])).toEqual([{ fold: 0, seeds: [0] }, { fold: 1, seeds: [0] }]);
  });

  it("refuse what is no job, and a job without work", () => {
    expect(parseJob("2/6")).toEqual({ index: 2, count: 6 });
    expect(parseJob("2")).toEqual({ index: 2, count: undefined });
    for (const text of ["0/3", "4/3", "1/", "a", "-1", "1.5"]) expect(() => parseJob(text), text).toThrow("Expected K/N or K, whole numbers from 1 with K up to N, for fold");
    expect(() => tasksOf({ index: 5, count: 9 }, 4, [0])).toThrow("There is no job 5 of 9: the walk-forward has 4 folds. Name one up to 4.");
    expect(() => tasksOf({ index: 5, count: undefined }, 4, [0, 1])).toThrow("There is no job 5: the walk-forward has 4 folds with 2 seeds each. Name one up to 4.");
  });
});
