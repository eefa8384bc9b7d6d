import { averageTieRanks } from "../../data/ranks.js";
import type { PanelValues } from "../../data/types.js";
import { testMean } from "../../metrics/hac.js";
import { evaluatePairs } from "../../metrics/pairs.js";
import { pearson } from "../../metrics/statistics.js";
import type { Finding } from "./finding.js";
import { judgedSplit, labelSpan, type AuditSubject } from "./subject.js";

const EQUAL = 0.99;
const FURTHEST = 5;
const SAMPLED_DATES = 60;
/** A rank correlation is looked at where the plain one is at least this: outliers alone do not push it lower. */
const WORTH_RANKING = 0.2;
/** The least IC of one column that counts as too good; without a model to compare with, the second. */
const LEAST_IC = 0.1;
const LEAST_IC_ALONE = 0.2;
const LEAST_T = 8;

/** Features that are the label under another name, or another date's whose label is not over yet; and features that alone know more than the model. */
export function labelLeaks(subject: AuditSubject): Finding[] {
  return subject.raw.names.flatMap((name, f) => equalsLabel(subject, name, f) ?? knowsTooMuch(subject, name, f) ?? []);
}

function equalsLabel(subject: AuditSubject, name: string, f: number): Finding | undefined {
  const { dataset } = subject;
  const [D, N, L] = [dataset.dates.length, dataset.tickers.length, dataset.horizons.length];
  let worst = { correlation: 0, shift: 0, horizon: 0 };
  for (let l = 0; l < L; l++) {
    const end = dataset.lagDays + (dataset.horizons[l]! || labelSpan(dataset));
    // A label that is over by the feature's date is known then: a past return is no leak.
    for (let shift = Math.max(-FURTHEST, 1 - end); shift <= FURTHEST; shift++) {
      const correlation = meanCorrelation(D, N, shift, (cell) => subject.raw.at(f, cell), (cell) => dataset.labels[cell * L + l]!);
      if (Math.abs(correlation) > Math.abs(worst.correlation)) worst = { correlation, shift, horizon: l };
    }
  }
  if (Math.abs(worst.correlation) <= EQUAL) return undefined;
  const date = worst.shift === 0 ? "of its own date" : `of ${Math.abs(worst.shift)} ${Math.abs(worst.shift) === 1 ? "date" : "dates"} ${worst.shift > 0 ? "later" : "before, which is not over yet"}`;
  return {
    code: "feature_is_label",
    severity: "fail",
    text: `Feature ${name} has a correlation of ${worst.correlation.toFixed(3)} with the label ${date}.`,
    columns: [name],
    value: Math.abs(worst.correlation),
    threshold: EQUAL,
    next: `Leave ${name} out of the features, or make it from dates up to its own only.`,
  };
}

/** Mean over sampled dates t of the correlation of x(t) with y(t + shift) over stocks: the larger of Pearson's and Spearman's. */
export function meanCorrelation(D: number, N: number, shift: number, x: (cell: number) => number, y: (cell: number) => number): number {
  const step = Math.max(1, Math.floor(D / SAMPLED_DATES));
  const [a, b] = [new Float64Array(N), new Float64Array(N)];
  let [plain, ranked, dates] = [0, 0, 0];
  for (let t = Math.max(0, -shift); t + Math.max(0, shift) < D; t += step) {
    let count = 0;
    for (let n = 0; n < N; n++) {
      const [u, v] = [x(t * N + n), y((t + shift) * N + n)];
      if (!Number.isFinite(u) || !Number.isFinite(v)) continue;
      a[count] = u;
      b[count++] = v;
    }
    if (count < 5) continue;
    dates++;
    const correlation = pearson(a, b, count);
    plain += correlation;
    ranked += Math.abs(correlation) < WORTH_RANKING ? correlation : pearson(averageTieRanks(a.slice(0, count)), averageTieRanks(b.slice(0, count)));
  }
  // Chance gives a few stocks on a few dates any correlation.
  if (dates < 5) return 0;
  return (Math.abs(plain) > Math.abs(ranked) ? plain : ranked) / dates;
}

function knowsTooMuch({ dataset, raw, run }: AuditSubject, name: string, f: number): Finding | undefined {
  const modelIc = run?.testIc;
  const split = judgedSplit(dataset);
  const N = dataset.tickers.length;
  const data = new Float64Array(split.dateIndices.length * N);
  split.dateIndices.forEach((t, i) => {
    for (let n = 0; n < N; n++) data[i * N + n] = finiteOrNaN(raw.at(f, t * N + n));
  });
  const scores: PanelValues = { data, shape: [split.dates.length, N], dates: split.dates, tickers: dataset.tickers };
  const { daily } = evaluatePairs(scores, split.labels, [[0, 0]]);
  const limit = modelIc === undefined ? LEAST_IC_ALONE : Math.max(LEAST_IC, modelIc);
  for (const values of [daily.ic, daily.rankIc]) {
    const { mean, t } = testMean(values, { horizonDays: Math.max(1, labelSpan(dataset)) });
    if (!(Math.abs(mean) > limit && Math.abs(t) > LEAST_T)) continue;
    const model = modelIc === undefined ? "more than features from the past have" : `the model has ${modelIc.toFixed(3)}`;
    return {
      code: "feature_beyond_model",
      severity: "fail",
      text: `Feature ${name} alone has a ${split.name} IC of ${mean.toFixed(3)} (t ${t.toFixed(1)}): ${model}.`,
      columns: [name],
      value: Math.abs(mean),
      threshold: limit,
      next: `Find out from which dates ${name} is made, and leave it out if it reads any after its own.`,
    };
  }
  return undefined;
}

function finiteOrNaN(value: number): number {
  return Number.isFinite(value) ? value : NaN;
}
