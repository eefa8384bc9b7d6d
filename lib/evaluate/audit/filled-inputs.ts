import type { Split } from "../../data/types.js";
import { percent, type Finding } from "./finding.js";
import type { AuditSubject } from "./subject.js";

const WARN_SHARE = 0.05;
const FAIL_SHARE = 0.5;
const JUMP = 0.2;
/** A handful of stocks on a short list comes and goes without meaning anything. */
const LEAST_JUMP = 5;
const UNMATCHED = 0.05;

/** Missing values that look like data: inputs that a processor filled, group or edge lines of unknown tickers, dates on which many rows come or go. */
export function filledInputs(subject: AuditSubject): Finding[] {
  return [...filled(subject), ...unmatched(subject), ...jumps(subject)];
}

function filled({ dataset, raw }: AuditSubject): Finding[] {
  const parts = [dataset.train, dataset.valid, dataset.test].filter(({ dates }) => dates.length > 0);
  return raw.names.flatMap((name, f): Finding[] => {
    if (raw.mayLack[f] === 1) return [];
    const shares = parts.map((split) => ({ split, share: missingShare(split, (cell) => raw.at(f, cell)) }));
    const worst = shares.reduce((a, b) => (b.share > a.share ? b : a));
    if (!(worst.share > WARN_SHARE)) return [];
    const isFail = worst.share > FAIL_SHARE;
    return [
      {
        code: "filled_inputs",
        severity: isFail ? "fail" : "warn",
        text: `Feature ${name} is missing, and filled, in ${shares.map(({ split, share }) => `${percent(share)} of the rows of ${split.name}`).join(", ")}.`,
        columns: [name], dates: [worst.split.dates[0]!, worst.split.dates.at(-1)!],
        value: worst.share,
        threshold: isFail ? FAIL_SHARE : WARN_SHARE,
        next: `Leave ${name} out, or begin where it is there.`,
      },
    ];
  });
}

function missingShare({ dataset, dateIndices }: Split, at: (cell: number) => number): number {
  const { rowOffsets, rowStocks, tickers } = dataset;
  let [rows, missing] = [0, 0];
  for (const t of dateIndices) {
    for (let r = rowOffsets[t]!; r < rowOffsets[t + 1]!; r++) {
      rows++;
      if (Number.isNaN(at(t * tickers.length + rowStocks[r]!))) missing++;
    }
  }
  return rows === 0 ? 0 : missing / rows;
}

function unmatched({ panel }: AuditSubject): Finding[] {
  const kinds = { unknown_group_stocks: "unmatched_groups", unknown_edge_stocks: "unmatched_edges" } as const;
  return panel.ledger.entries.flatMap(({ reason, count, text }): Finding[] => {
    if (!Object.hasOwn(kinds, reason)) return [];
    const share = count / panel.tickers.length;
    return [
      {
        code: kinds[reason as keyof typeof kinds],
        severity: share > UNMATCHED ? "warn" : "note",
        text: `${count} ${text}.`,
        value: share,
        threshold: UNMATCHED,
        next: "Write tickers as the data do, or shorten the file to the stocks of the data.",
      },
    ];
  });
}

function jumps({ panel }: AuditSubject): Finding[] {
  const { dates, tickers, present, universe } = panel;
  const found: { date: string; before: number; now: number }[] = [];
  let before = 0;
  for (let t = 0; t < dates.length; t++) {
    let now = 0;
    for (let cell = t * tickers.length; cell < (t + 1) * tickers.length; cell++) if (present[cell] === 1 && universe[cell] === 1) now++;
    if (t > 0 && Math.abs(now - before) > JUMP * before && Math.abs(now - before) > LEAST_JUMP) found.push({ date: dates[t]!, before, now });
    before = now;
  }
  if (found.length === 0) return [];
  const size = ({ before, now }: { before: number; now: number }): number => Math.abs(now - before) / Math.max(1, before);
  const worst = found.reduce((a, b) => (size(b) > size(a) ? b : a));
  return [
    {
      code: "row_count_jump",
      severity: "warn",
      text: `The number of rows changes by more than ${percent(JUMP)} on ${found.length} ${found.length === 1 ? "date" : "dates"}, most on ${worst.date}: ${worst.before} before, ${worst.now} then.`,
      dates: found.map(({ date }) => date),
      value: size(worst),
      threshold: JUMP,
      next: "Complete the dates, or begin after them with split.start.",
    },
  ];
}
