import type { Panel } from "../../data/panel.js";
import { adjustedRandIndex } from "../../metrics/adjusted-rand.js";
import type { Finding } from "./finding.js";
import type { AuditSubject } from "./subject.js";

/** How much more the groups may be the clusters of the test's returns than those of as many dates of the training. */
const LEAST_EXCESS = 0.15;
/** Fewer stocks in groups of two and more give any index by chance. */
const LEAST_STOCKS = 20;
const LEAST_DATES = 40;
/** Stretches of the training that the test is compared with. */
const STRETCHES = 3;
/** Share of dates on which a stock must have a return. */
const LEAST_PRESENT = 0.8;
/** In standard deviations: one jump does not make stocks alike. */
const CLIP = 3;

/**
 * Groups that are the clustering of the test's returns: each stock is put to the group whose mean return it moves with most, itself left out of it, and the groups so
 * made are compared with those given by the adjusted Rand index (1: equal, 0: chance). Groups that were made from returns of the test agree with them and less with
 * the training's, industries with both alike.
 */
export function groupsOfTest({ panel, dataset }: AuditSubject): Finding[] {
  const { train, test } = dataset;
  const count = test.dateIndices.length;
  if (panel.groups === undefined || !panel.has("close") || count < LEAST_DATES || train.dateIndices.length < LEAST_DATES) return [];
  const own = agreement(panel, test.dateIndices);
  if (!(own > LEAST_EXCESS)) return [];
  const stretches = Math.max(1, Math.min(STRETCHES, Math.floor(train.dateIndices.length / count)));
  const before = Array.from({ length: stretches }, (_, i) => agreement(panel, train.dateIndices.slice(Math.max(0, train.dateIndices.length - (i + 1) * count), train.dateIndices.length - i * count))).filter((index) => !Number.isNaN(index));
  if (before.length === 0) return [];
  const most = Math.max(...before);
  if (!(own - most > LEAST_EXCESS)) return [];
  return [
    {
      code: "groups_fit_test",
      severity: "fail",
      text: `The groups are the clusters of the returns of the test with an adjusted Rand index of ${own.toFixed(2)}, and of those of the training with at most ${most.toFixed(2)}: they were made from the returns of the test.`,
      dates: [test.dates[0]!, test.dates.at(-1)!],
      value: own - most,
      threshold: LEAST_EXCESS,
      next: "Make groups from dates before those that they are used on.",
    },
  ];
}

/** Adjusted Rand index of the groups on the last of some dates and the nearest groups by the returns of these; NaN where too few stocks are in groups. */
function agreement(panel: Panel, dates: Int32Array): number {
  const N = panel.tickers.length;
  const last = dates.at(-1)!;
  const returns = standardisedReturns(panel, dates);
  const members = new Map<number, number[]>();
  for (const n of returns.keys()) {
    const code = panel.groups!.codes[last * N + n]!;
    if (code < 0) continue;
    const list = members.get(code);
    if (list === undefined) members.set(code, [n]);
    else list.push(n);
  }
  const groups = [...members].filter(([, stocks]) => stocks.length > 1);
  const stocks = groups.flatMap(([code, its]) => its.map((n) => ({ code, row: returns.get(n)! })));
  if (stocks.length < LEAST_STOCKS || groups.length < 2) return NaN;
  const means = groups.map(([code, its]) => {
    const sum = new Float64Array(dates.length);
    for (const n of its) returns.get(n)!.forEach((value, t) => (sum[t]! += value));
    return { code, sum, square: dot(sum, sum) };
  });
  const nearest = stocks.map(({ code, row }) => {
    let [best, most] = [code, -Infinity];
    for (const { code: other, sum, square } of means) {
      const product = dot(row, sum);
      // Rows have unit length: without the stock the sum has its product less 1.
      const correlation = other === code ? (product - 1) / Math.sqrt(Math.max(Number.MIN_VALUE, square - 2 * product + 1)) : product / Math.sqrt(square);
      if (correlation > most) [best, most] = [other, correlation];
    }
    return best;
  });
  return adjustedRandIndex(stocks.map(({ code }) => code), nearest);
}

/** Returns less the date's mean, of each stock to mean 0 and length 1, clipped, 0 where there is none; without stocks that are there on too few dates. */
function standardisedReturns(panel: Panel, dates: Int32Array): Map<number, Float64Array> {
  const [close, N] = [panel.values("close"), panel.tickers.length];
  const rows = Array.from({ length: N }, () => new Float64Array(dates.length).fill(NaN));
  dates.forEach((t, i) => {
    let [sum, count] = [0, 0];
    for (let n = 0; n < N && t > 0; n++) {
      const value = close[t * N + n]! / close[(t - 1) * N + n]! - 1;
      if (!Number.isFinite(value)) continue;
      rows[n]![i] = value;
      [sum, count] = [sum + value, count + 1];
    }
    for (const row of rows) row[i]! -= sum / count;
  });
  const kept = new Map<number, Float64Array>();
  rows.forEach((row, n) => {
    const known = row.filter((value) => !Number.isNaN(value));
    if (known.length < LEAST_PRESENT * dates.length) return;
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    const sd = Math.sqrt(known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / known.length);
    const clipped = row.map((value) => (Number.isNaN(value) ? 0 : Math.max(-CLIP * sd, Math.min(CLIP * sd, value - mean))));
    const length = Math.sqrt(dot(clipped, clipped));
    if (length > 0) kept.set(n, clipped.map((value) => value / length));
  });
  return kept;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
