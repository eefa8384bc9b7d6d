import { percent, type Finding } from "./finding.js";
import type { AuditSubject } from "./subject.js";

const PRICES = ["open", "high", "low", "close"];
const STALE_RUN = 5;
const WARN_SHARE = 0.005;
const FAIL_SHARE = 0.05;

/**
 * Rows that repeat the row before in every price column: missing days that were filled forward look like data, and returns of 0 like returns. With
 * fewer than three price columns an unchanged row is common, so only those in runs of 5 and more count.
 */
export function repeatedRows({ panel }: AuditSubject): Finding[] {
  const prices = PRICES.filter((column) => panel.has(column));
  const columns = prices.length > 0 ? prices : panel.columns;
  const values = columns.map((column) => panel.values(column));
  const [D, N] = [panel.dates.length, panel.tickers.length];
  let [rows, repeated, stale, runs] = [0, 0, 0, 0];
  const longest = new Map<string, number>();
  for (let n = 0; n < N; n++) {
    let run = 0;
    for (let t = 1; t < D; t++) {
      const cell = t * N + n;
      if (panel.present[cell] !== 1 || panel.present[cell - N] !== 1) {
        run = 0;
        continue;
      }
      rows++;
      run = values.every((column) => column[cell] === column[cell - N]) ? run + 1 : 0;
      if (run > 0) repeated++;
      if (run === STALE_RUN) {
        runs++;
        stale += STALE_RUN;
      } else if (run > STALE_RUN) stale++;
      if (run >= STALE_RUN) longest.set(panel.tickers[n]!, Math.max(run, longest.get(panel.tickers[n]!) ?? 0));
    }
  }
  const share = (columns.length < 3 ? stale : repeated) / rows;
  if (!(share >= WARN_SHARE) && runs === 0) return [];
  const tickers = [...longest].sort((a, b) => b[1] - a[1]).map(([ticker]) => ticker);
  return [
    {
      code: "repeated_rows",
      severity: share >= FAIL_SHARE ? "fail" : share >= WARN_SHARE ? "warn" : "note",
      text: `${percent(share)} of the rows repeat the row before in ${columns.join(", ")}, with ${runs} ${runs === 1 ? "run" : "runs"} of ${STALE_RUN} and more.`,
      columns, tickers,
      value: share,
      threshold: share >= FAIL_SHARE ? FAIL_SHARE : WARN_SHARE,
      next: "Remove rows that were filled forward: a missing row is handled and counted, a repeated one is learned from.",
    },
  ];
}
