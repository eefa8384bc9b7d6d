import { firstNotBefore } from "../../data/calendar.js";
import type { History } from "../../data/history.js";
import type { LabelShape } from "../../data/labels.js";
import { planSplits, refuseEmptySplits, type SplitPlan } from "../../data/splits.js";
import { AstgnnError } from "../../errors.js";
import { foldName } from "./jobs.js";
import { addOffset } from "./offsets.js";

/** How label ends are cut into folds, defaults filled in. */
export interface FoldRule {
  readonly train: string;
  readonly valid: string | undefined;
  readonly step: string;
  readonly mode: "rolling" | "expanding";
  /** First label end; undefined: as early as the data allow. */
  readonly start: string | undefined;
}

/** First and last of some sample dates, and how many. */
export interface DateRange {
  readonly first: string | null;
  readonly last: string | null;
  readonly dates: number;
}

/** One fold of a walk-forward: what its model is trained, chosen and tested on. */
export interface Fold {
  /** Its folder: fold-01, fold-02, ... */
  readonly name: string;
  /** The split of its dataset. */
  readonly split: { readonly start: string; readonly trainEnd: string; readonly validEnd?: string; readonly testEnd?: string };
  /** Sample dates. */
  readonly train: DateRange;
  readonly valid: DateRange;
  readonly test: DateRange;
}

/** What folds are cut from. */
export interface FoldCalendar {
  /** ISO panel dates. */
  readonly dates: readonly string[];
  readonly history: History;
  readonly label: LabelShape;
  /** Index of the last date that has a label. */
  readonly lastLabelled: number;
  readonly embargo: number;
}

/**
 * Cuts folds by calendar offsets on label ends. From a first label end S, fold k (from 0) trains on labels that end from S + k step (expanding: from S) to before
 * S + k step + train, and validates on those that end within `valid` after that; each boundary purges and embargoes as a split does. Its test begins there and
 * goes on to the date before the next fold's test begins, so that each later date is in the test of one fold; the last fold's goes on to the newest date.
 *
 * @throws AstgnnError ERR_OPTION where the data are too short for one fold or a step holds no date, ERR_DATA where a part of a fold has no date
 */
export function planFolds(calendar: FoldCalendar, rule: FoldRule): Fold[] {
  const { dates, history, label, lastLabelled } = calendar;
  const reach = label.lagDays + label.span;
  const last = dates.at(-1)!;
  const start = rule.start ?? dates[history.requiredHistory - 1 + reach] ?? last;
  const boundsOf = (k: number): { start: string; trainEnd: string; validEnd?: string } => {
    const begin = addOffset(start, rule.step, k);
    const trained = addOffset(begin, rule.train);
    return {
      start: rule.mode === "expanding" ? start : begin,
      trainEnd: addOffset(trained, "1d", -1),
      ...(rule.valid === undefined ? {} : { validEnd: addOffset(addOffset(trained, rule.valid), "1d", -1) }),
    };
  };
  const folds: Fold[] = [];
  let next = open(calendar, boundsOf(0));
  for (let k = 0; next !== undefined; k++) {
    const { bounds, firstTest } = next;
    next = open(calendar, boundsOf(k + 1));
    if (next !== undefined && next.firstTest <= firstTest) {
      throw new AstgnnError("ERR_OPTION", `Fold ${k + 1} of the walk-forward has no test date of its own: the test of fold ${k + 2} begins on ${dates[firstTest]!} too, a step of ${rule.step} later.`, { option: "step", next: "Take a longer step." });
    }
    const split = { ...bounds, ...(next === undefined ? {} : { testEnd: dates[next.firstTest - 1 + reach]! }) };
    folds.push(foldOf(calendar, split, k));
  }
  if (folds.length === 0) {
    const { trainEnd, validEnd = trainEnd } = boundsOf(0);
    const samples = firstNotBefore(dates, start) - reach;
    throw new AstgnnError("ERR_OPTION", `The data are too short for a walk-forward: labels end from ${start} to ${dates[lastLabelled + reach] ?? last}, and the first test begins after ${validEnd}, when train ${rule.train}${rule.valid === undefined ? "" : ` and valid ${rule.valid}`} are over.`, {
      option: "train",
      next: samples < 0 ? "Name a later start." : "Shorten train or valid, or read more dates.",
    });
  }
  return folds;
}

/** A fold before the end of its test is known; undefined where no labelled date is left for its test. */
function open(calendar: FoldCalendar, bounds: { start: string; trainEnd: string; validEnd?: string }): { bounds: typeof bounds; firstTest: number } | undefined {
  if ((bounds.validEnd ?? bounds.trainEnd) > calendar.dates.at(-1)!) return undefined;
  const firstTest = plan(calendar, bounds).test[0];
  return firstTest === undefined ? undefined : { bounds, firstTest };
}

function plan({ dates, history, label, lastLabelled, embargo }: FoldCalendar, split: Fold["split"]): SplitPlan {
  return planSplits(dates, history, label, lastLabelled, split, embargo);
}

function foldOf(calendar: FoldCalendar, split: Fold["split"], k: number): Fold {
  const { dates } = calendar;
  const parts = plan(calendar, split);
  try {
    refuseEmptySplits(parts, dates);
  } catch (error) {
    if (!(error instanceof AstgnnError)) throw error;
    throw new AstgnnError(error.code, `Fold ${k + 1} of the walk-forward: ${error.message}`, { option: "train", cause: error });
  }
  const range = (part: readonly number[]): DateRange => ({ first: dates[part[0] ?? -1] ?? null, last: dates[part.at(-1) ?? -1] ?? null, dates: part.length });
  return { name: foldName(k), split, train: range(parts.train), valid: range(parts.valid), test: range(parts.test) };
}
