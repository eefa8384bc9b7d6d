import { median } from "../../data/ranks.js";
import { breathe } from "../../run/breathe.js";
import type { Finding } from "../audit/finding.js";
import { rowsOn, type LiveSubject, type Sampled } from "./live-subject.js";

const BINS = 10;
/** Above it a distribution counts as moved by the usual rule. */
const MOVED = 0.25;
/** Of the largest median within the training. */
const USUAL_TIMES = 1.5;
const FAIL_TIMES = 4;
/** Dates whose median counts, and dates of the training that it is held against. */
const NEWEST = 20;
const HELD_AGAINST = 500;
/** Of the training, for the edges of the bins. */
const DATES_FOR_EDGES = 60;
const FLOOR = 1e-4;

/**
 * Features, before processors, whose cross-section is another than in the training: population stability index by date over ten bins of equal share in the
 * training and one of missing values. Its median over the newest dates must pass .25 and one and a half times the largest median over as many consecutive dates of the training itself.
 */
export async function movedFeatures({ live, news, reference, train }: LiveSubject): Promise<Finding[]> {
  const newest = news.slice(-NEWEST);
  if (newest.length === 0 || train.length === 0) return [];
  const findings: Finding[] = [];
  for (const [f, name] of reference.dataset.featureNames.entries()) {
    await breathe();
    const bins = new Bins(reference, f, train);
    const before = train.slice(-HELD_AGAINST).map((t) => bins.stability(reference, t));
    const medians = before.slice(newest.length - 1).map((_, i) => median(before.slice(i, i + newest.length)));
    const usual = Math.max(0, ...medians);
    const value = median(newest.map((t) => bins.stability(live, t)));
    const threshold = Math.max(MOVED, USUAL_TIMES * usual);
    if (!(value > threshold)) continue;
    const dates = [live.dataset.dates[newest[0]!]!, live.dataset.dates[newest.at(-1)!]!];
    findings.push({
      code: "feature_moved", severity: value > FAIL_TIMES * threshold ? "fail" : "warn", columns: [name], dates, value, threshold,
      text: `Feature ${name}, before processors, is distributed otherwise than in the training: a stability index of ${value.toFixed(2)} (median of ${newest.length} dates to ${dates[1]!}), of at most ${usual.toFixed(2)} within the training.`,
      next: "Look for another unit, source or adjustment of its column; if the market has changed, train again.",
    });
  }
  return findings;
}

/** Bins of one feature, with the share of the training in each. */
class Bins {
  readonly #edges: number[];
  readonly #expected: number[];
  readonly #feature: number;

  constructor(reference: Sampled, feature: number, train: readonly number[]) {
    this.#feature = feature;
    const step = Math.max(1, Math.floor(train.length / DATES_FOR_EDGES));
    const dates = train.filter((_, i) => i % step === 0);
    const values = Float64Array.from(dates.flatMap((t) => valuesOn(reference, feature, t).filter((value) => !Number.isNaN(value)))).sort();
    const edges = Array.from({ length: BINS - 1 }, (_, i) => values[Math.floor((values.length * (i + 1)) / BINS)]!);
    this.#edges = edges.filter((edge, i) => edge !== edges[i - 1]);
    this.#expected = this.#shares(dates.flatMap((t) => valuesOn(reference, feature, t)));
  }

  /** Population stability index of a date's cross-section. */
  stability(sampled: Sampled, t: number): number {
    return this.#shares(valuesOn(sampled, this.#feature, t)).reduce((sum, share, bin) => {
      const [actual, expected] = [Math.max(share, FLOOR), Math.max(this.#expected[bin]!, FLOOR)];
      return sum + (actual - expected) * Math.log(actual / expected);
    }, 0);
  }

  #shares(values: readonly number[]): number[] {
    const counts = new Array<number>(this.#edges.length + 2).fill(0);
    for (const value of values) {
      let bin = 0;
      while (bin < this.#edges.length && value >= this.#edges[bin]!) bin++;
      counts[Number.isNaN(value) ? counts.length - 1 : bin]!++;
    }
    return counts.map((count) => count / Math.max(1, values.length));
  }
}

function valuesOn({ dataset, raw }: Sampled, feature: number, t: number): number[] {
  return Array.from(rowsOn(dataset, t), (n) => raw(feature, t * dataset.tickers.length + n));
}
