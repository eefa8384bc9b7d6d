import type { Finding } from "./finding.js";
import { meanCorrelation } from "./label-leaks.js";
import { labelSpan, type AuditSubject } from "./subject.js";

/** Forward returns that a label column is compared with. */
const LAGS = [0, 1, 2];
const HORIZONS = [1, 2, 3, 5, 10, 20, 21, 42, 60, 63, 120, 126, 250, 252];
const EQUAL = 0.99;
const OVERLAP = 0.3;

/**
 * Labels whose days reach across the splits: splits that overlap, a label column that looks at more days than its `horizonDays` and `lagDays` say, so that
 * purging by these leaves labels of the training that end within the test.
 */
export function labelWindows(subject: AuditSubject): Finding[] {
  return [...wrongReturns(subject), ...overlappingSplits(subject), ...coMovementReach(subject), ...understatedSpan(subject), ...shortEmbargo(subject)];
}

/** Forward returns recomputed from the closes at entry and end. */
function wrongReturns({ panel, dataset }: AuditSubject): Finding[] {
  const { label } = dataset.options as { label: { column?: string } };
  if (label.column !== undefined || !panel.has("close")) return [];
  const { labels, horizons, lagDays } = dataset;
  const [close, N, L] = [panel.values("close"), panel.tickers.length, horizons.length];
  let [count, wrong, first] = [0, 0, -1];
  for (let i = 0; i < labels.length; i++) {
    if (Number.isNaN(labels[i]!)) continue;
    count++;
    const [cell, l] = [Math.floor(i / L), i % L];
    const expected = close[cell + (lagDays + horizons[l]!) * N]! / close[cell + lagDays * N]! - 1;
    // Labels are single precision, as closes may be.
    if (Math.abs(labels[i]! - expected) <= 1e-5 * (1 + Math.abs(expected))) continue;
    wrong++;
    if (first < 0) first = cell;
  }
  if (wrong === 0) return [];
  return [
    {
      code: "wrong_labels",
      severity: "fail",
      text: `${wrong} of ${count} labels are not the return from close to close over their days.`,
      dates: [dataset.dates[Math.floor(first / N)]!], tickers: [dataset.tickers[first % N]!],
      value: wrong,
      threshold: 0,
      next: "Believe no number of this pipeline, and report it with the version and the options.",
    },
  ];
}

function overlappingSplits({ dataset }: AuditSubject): Finding[] {
  const { dates, lagDays } = dataset;
  const span = labelSpan(dataset);
  const parts = [dataset.train, dataset.valid, dataset.test].filter((split) => split.dates.length > 0);
  return parts.slice(1).flatMap((later, i): Finding[] => {
    const earlier = parts[i]!;
    const [end, entry] = [earlier.dateIndices.at(-1)! + lagDays + span, later.dateIndices[0]! + lagDays];
    if (end <= entry) return [];
    return [
      {
        code: "splits_overlap",
        severity: "fail",
        text: `Labels of ${earlier.name} end ${end - entry} ${end - entry === 1 ? "date" : "dates"} after those of ${later.name} begin.`,
        dates: [dates[Math.min(entry, dates.length - 1)]!, dates[Math.min(end, dates.length - 1)]!],
        value: end - entry,
        threshold: 0,
        next: "Leave out the dates whose labels reach across the boundary.",
      },
    ];
  });
}

/** Days whose returns the loss coMovement and the peer correlation look at, which are a label too: those of a split must end by the entry of the next one's labels. */
function coMovementReach({ dataset }: AuditSubject): Finding[] {
  const { dates, lagDays, returns } = dataset;
  if (returns === undefined) return [];
  const parts = [dataset.train, dataset.valid, dataset.test].filter((split) => split.dates.length > 0);
  return parts.slice(1).flatMap((later, i): Finding[] => {
    const earlier = parts[i]!;
    const [end, entry] = [earlier.dateIndices.reduce((most, t) => Math.max(most, returns.ends[t]!), -1), later.dateIndices[0]! + lagDays];
    if (end <= entry) return [];
    return [
      {
        code: "co_movement_reach",
        severity: "fail",
        text: `Returns that coMovement and the peer correlation of ${earlier.name} look at go on for ${end - entry} ${end - entry === 1 ? "date" : "dates"} after labels of ${later.name} begin.`,
        dates: [dates[Math.min(entry, dates.length - 1)]!, dates[Math.min(end, dates.length - 1)]!],
        value: end - entry,
        threshold: 0,
        next: "Believe no number of this pipeline, and report it with the version and the options.",
      },
    ];
  });
}

function understatedSpan({ panel, dataset }: AuditSubject): Finding[] {
  const { label } = dataset.options as { label: { column?: string; horizonDays: number } };
  if (label.column === undefined) return [];
  const [D, N] = [panel.dates.length, panel.tickers.length];
  const stated = dataset.lagDays + label.horizonDays;
  const of = (cell: number): number => dataset.labels[cell]!;
  const next = "State label.horizonDays and label.lagDays as the column was made: splits are purged by them.";
  if (panel.has("close")) {
    const close = panel.values("close");
    for (const lag of LAGS) {
      for (const horizon of HORIZONS) {
        if (lag + horizon <= stated) continue;
        const forward = (cell: number): number => close[cell + (lag + horizon) * N]! / close[cell + lag * N]! - 1;
        const correlation = meanCorrelation(D, N, 0, of, forward);
        if (correlation <= EQUAL) continue;
        return [
          {
            code: "label_span_understated",
            severity: "fail",
            text: `Label column ${label.column} is the return from ${lag} to ${lag + horizon} dates later (correlation ${correlation.toFixed(3)}), and is said to look at ${stated}: its labels reach across the ends of the splits.`,
            columns: [label.column],
            value: lag + horizon,
            threshold: stated,
            next,
          },
        ];
      }
    }
  }
  const apart = Math.max(1, label.horizonDays);
  const overlap = meanCorrelation(D, N, apart, of, of);
  if (!(overlap > OVERLAP)) return [];
  return [
    {
      code: "labels_overlap",
      severity: "warn",
      text: `Labels ${apart} ${apart === 1 ? "date" : "dates"} apart have a correlation of ${overlap.toFixed(2)} in column ${label.column}, and are said to share no day: if they look at more dates than horizonDays, they reach across the ends of the splits.`,
      columns: [label.column],
      value: overlap,
      threshold: OVERLAP,
      next,
    },
  ];
}

/** Purged labels share no day, but returns that follow one another closely are not quite independent. */
function shortEmbargo({ dataset }: AuditSubject): Finding[] {
  const { embargo } = dataset.options as { embargo: number };
  const span = labelSpan(dataset);
  if (span < 2 || embargo >= span || dataset.valid.dates.length + dataset.test.dates.length === 0) return [];
  return [
    {
      code: "short_embargo",
      severity: "note",
      text: `Labels span ${span} dates and the embargo is ${embargo}: labels are purged, so nothing leaks, but the first dates after a boundary look much like the last before it.`,
      value: embargo,
      threshold: span,
      next: `Set embargo to ${span} where this matters.`,
    },
  ];
}
