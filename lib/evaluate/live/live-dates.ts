import { dayCount } from "../../data/calendar.js";
import type { Finding } from "../audit/finding.js";
import type { LiveSubject } from "./live-subject.js";

const FAIL_TIMES = 3;

/** Data that end too early, and dates that lack: measured by the longest pause, in calendar days, between two dates that the run knew. */
export function liveDates({ live, news, reference, known, asOf }: LiveSubject): Finding[] {
  const between = (a: string, b: string): number => dayCount(b) - dayCount(a);
  const before = reference.dataset.dates.slice(known[0], known.at(-1)! + 1);
  const longest = Math.max(1, ...before.slice(1).map((date, i) => between(before[i]!, date)));
  const findings: Finding[] = [];
  const newest = live.dataset.dates.at(-1)!;
  const late = between(newest, asOf);
  if (late > longest) {
    findings.push({
      code: "stale_data", severity: late > FAIL_TIMES * longest ? "fail" : "warn", dates: [newest], value: late, threshold: longest,
      text: `The newest date is ${newest}, ${late} days before ${asOf}; no pause between two dates that the run knew is longer than ${longest} days.`, next: "Bring the data up to date before you use scores of them.",
    });
  }
  const dates = [before.at(-1)!, ...live.dataset.dates.slice(news[0] ?? live.dataset.dates.length)];
  const pauses = dates.slice(1).flatMap((date, i) => (between(dates[i]!, date) > longest ? [{ date, days: between(dates[i]!, date) }] : []));
  if (pauses.length > 0) {
    const worst = pauses.reduce((a, b) => (b.days > a.days ? b : a));
    findings.push({
      code: "missing_dates", severity: worst.days > FAIL_TIMES * longest ? "fail" : "warn", dates: pauses.map(({ date }) => date), value: worst.days, threshold: longest,
      text: `${pauses.length} of the new dates ${pauses.length === 1 ? "comes" : "come"} after a pause that is longer than any that the run knew, ${worst.date} after ${worst.days} days: dates lack, and windows reach over them.`, next: "Complete the dates.",
    });
  }
  return findings;
}
