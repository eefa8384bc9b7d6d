import { AstgnnError, invalidOption } from "../errors.js";
import { firstNotBefore, lastNotAfter, requireInside } from "./calendar.js";
import type { ResolvedSplit } from "./dataset-options.js";
import { refuseEarlyDate, type History } from "./history.js";
import type { LabelShape } from "./labels.js";

/** Sample dates of each split as indices, ascending, and how many dates each boundary cost. */
export interface SplitPlan {
  readonly train: readonly number[];
  readonly valid: readonly number[];
  readonly test: readonly number[];
  /** The newest dates, without a label yet; none where `testEnd` is given. */
  readonly unlabelled: readonly number[];
  /** Dates after the test, where `testEnd` is given: in no split. */
  readonly afterTest: number;
  readonly purged: { readonly trainValid: number; readonly validTest: number };
  readonly embargoed: { readonly valid: number; readonly test: number };
  /** First date that may be a sample. */
  readonly first: number;
  /** Dates that are no samples for want of history; 0 where `start` left them out anyway. */
  readonly shortHistory: number;
  /** Parts that must have dates: what the split names, and a test that had some before the embargo. */
  readonly asked: { readonly valid: boolean; readonly test: boolean };
  /** The boundaries as panel dates; validEnd undefined where no validation is asked for. */
  readonly trainEnd: string | undefined;
  readonly validEnd: string | undefined;
  /** Undefined where the test ends with the labels. */
  readonly testEnd: string | undefined;
}

/**
 * Splits sample dates by the dates their labels span, from entry to end: train ends by trainEnd; valid is entered on or after it and ends by validEnd;
 * test is entered on or after that and ends by testEnd. What straddles a boundary between splits is purged. Without validation the test follows training.
 *
 * @param lastLabelled index of the last date that has a label
 * @throws AstgnnError ERR_OPTION on dates outside the panel or out of order, ERR_DATA where there is no training date or `start` asks for a date with too little history
 */
export function planSplits(dates: readonly string[], history: History, label: LabelShape, lastLabelled: number, split: ResolvedSplit | undefined, embargo: number): SplitPlan {
  const last = dates.length - 1;
  const endOf = (t: number): number => t + label.lagDays + label.span;
  let first = history.requiredHistory - 1;
  let shortHistory = Math.min(first, dates.length);
  if (split?.start !== undefined) {
    const { start } = split;
    const earliest = dates[endOf(first)];
    const beforeAll = start < dates[0]!;
    if (!beforeAll) requireInside("split.start", start, dates);
    const asked = beforeAll ? -1 : firstNotBefore(dates, start) - label.lagDays - label.span;
    refuseEarlyDate({ option: "split.start", date: start, there: asked + 1, earliest }, dates, history);
    [first, shortHistory] = [asked, 0];
  }
  const all = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
  const nothing = { train: [], valid: [], test: [], purged: { trainValid: 0, validTest: 0 }, embargoed: { valid: 0, test: 0 }, asked: { valid: false, test: false }, afterTest: 0, first, shortHistory };
  if (split === undefined) return { ...nothing, unlabelled: all, trainEnd: undefined, validEnd: undefined, testEnd: undefined };

  const labelled = all.filter((t) => t <= lastLabelled);
  const [trainEnd, validEnd, testEnd] = boundaries(dates, labelled, endOf, split);
  const plan = { train: [] as number[], valid: [] as number[], test: [] as number[], trainValid: 0, validTest: 0 };
  for (const t of labelled) {
    const entry = t + label.lagDays;
    const end = endOf(t);
    if (end <= trainEnd) plan.train.push(t);
    else if (entry < trainEnd) plan.trainValid++;
    else if (end <= validEnd) plan.valid.push(t);
    else if (entry < validEnd) plan.validTest++;
    else if (end <= testEnd) plan.test.push(t);
  }
  const isEnded = "testEnd" in split && split.testEnd !== undefined;
  const validates = "fractions" in split ? split.fractions[1] > 0 : split.validEnd !== undefined;
  const embargoed = { valid: Math.min(embargo, plan.valid.length), test: Math.min(embargo, plan.test.length) };
  return {
    train: plan.train,
    valid: plan.valid.slice(embargo),
    test: plan.test.slice(embargo),
    unlabelled: isEnded ? [] : all.filter((t) => t > lastLabelled),
    afterTest: isEnded ? all.filter((t) => t > lastLabelled || endOf(t) > testEnd).length : 0,
    purged: { trainValid: plan.trainValid, validTest: plan.validTest },
    embargoed,
    asked: { valid: validates, test: "fractions" in split ? split.fractions[2] > 0 : isEnded || plan.test.length > 0 },
    first,
    shortHistory,
    trainEnd: dates[Math.min(trainEnd, last)]!,
    validEnd: validates ? dates[Math.min(validEnd, last)]! : undefined,
    testEnd: isEnded ? dates[testEnd]! : undefined,
  };
}

/** The ends of train, valid and test as indices: the first two the same where no validation is asked for, the last infinite where it is not named. */
function boundaries(dates: readonly string[], labelled: readonly number[], endOf: (t: number) => number, split: ResolvedSplit): [number, number, number] {
  if ("fractions" in split) {
    const [train, valid, test] = split.fractions;
    if (Math.abs(train + valid + test - 1) > 1e-9) throw invalidOption("split.fractions", "shares that sum to 1", split.fractions);
    const trainCount = Math.round(train * labelled.length);
    const validCount = Math.round((train + valid) * labelled.length);
    if (trainCount === 0) throw emptySplit("training", "There are too few dates with labels.");
    return [endOf(labelled[trainCount - 1]!), endOf(labelled[validCount - 1]!), Infinity];
  }
  requireInside("split.trainEnd", split.trainEnd, dates);
  if (split.validEnd !== undefined) requireInside("split.validEnd", split.validEnd, dates);
  if (split.validEnd !== undefined && split.trainEnd >= split.validEnd) {
    throw new AstgnnError("ERR_OPTION", `split.validEnd ${split.validEnd} is not after split.trainEnd ${split.trainEnd}.`, { option: "split.validEnd", next: "Put start < trainEnd < validEnd." });
  }
  if (split.start !== undefined && split.start > split.trainEnd) {
    throw new AstgnnError("ERR_OPTION", `split.start ${split.start} is after split.trainEnd ${split.trainEnd}.`, { option: "split.start", next: "Put start < trainEnd < validEnd." });
  }
  const lastFitted = split.validEnd ?? split.trainEnd;
  if (split.testEnd !== undefined) {
    requireInside("split.testEnd", split.testEnd, dates);
    const before = split.validEnd === undefined ? "split.trainEnd" : "split.validEnd";
    if (lastFitted >= split.testEnd) throw new AstgnnError("ERR_OPTION", `split.testEnd ${split.testEnd} is not after ${before} ${lastFitted}.`, { option: "split.testEnd", next: "Put trainEnd < validEnd < testEnd." });
  }
  return [lastNotAfter(dates, split.trainEnd), lastNotAfter(dates, lastFitted), split.testEnd === undefined ? Infinity : lastNotAfter(dates, split.testEnd)];
}

/** Refuses a part without dates that was asked for. */
export function refuseEmptySplits(plan: Pick<SplitPlan, "train" | "valid" | "test" | "asked" | "trainEnd" | "validEnd" | "testEnd" | "first" | "shortHistory">, dates: readonly string[]): void {
  const samples = plan.shortHistory > 0 ? `, samples for want of history only from ${dates[plan.first] ?? "later"} on` : "";
  const range = `The panel has dates from ${dates[0]!} to ${dates[dates.length - 1]!}${samples}`;
  if (plan.train.length === 0) throw emptySplit("training", `${range}, train ends on ${plan.trainEnd!}.`);
  if (plan.asked.valid && plan.valid.length === 0) throw emptySplit("validation", `${range}, train ends on ${plan.trainEnd!}, valid on ${plan.validEnd!}.`);
  if (plan.asked.test && plan.test.length === 0) throw emptySplit("test", `${range}, ${plan.validEnd === undefined ? `train ends on ${plan.trainEnd!}` : `valid ends on ${plan.validEnd}`}${plan.testEnd === undefined ? "" : `, test on ${plan.testEnd}`}.`);
}

function emptySplit(name: string, text: string): AstgnnError {
  return new AstgnnError("ERR_DATA", `There are no ${name} dates left. ${text}`, {
    option: "split",
    next: "Move the boundaries, or shorten window, label horizon or embargo.",
  });
}
