import { percent, type Finding } from "./finding.js";
import type { AuditSubject } from "./subject.js";

/** Stocks that leave per year, at the least: US exchanges lose 4 to 10 % a year to mergers, failures and low prices. */
const LEAST_RATE = 0.02;
const LEAST_CHANCE = 0.01;
const LEAST_STOCKS = 20;
const LEAST_YEARS = 1;
/** Dates at the end of the file on which a stock may be absent without having left. */
const END = 5;

/** Universes that were chosen with hindsight: too few stocks leave for the time that passes, or the members never change. */
export function hindsightUniverse({ panel }: AuditSubject): Finding[] {
  const { dates, tickers, present, universe, origin } = panel;
  const [D, N] = [dates.length, tickers.length];
  const years = (Date.parse(dates[D - 1]!) - Date.parse(dates[0]!)) / (365.25 * 86_400_000);
  if (N < LEAST_STOCKS || years < LEAST_YEARS) return [];
  const findings: Finding[] = [];
  let [cells, gone, whole, changes] = [0, 0, 0, 0];
  for (let n = 0; n < N; n++) {
    let [first, last, member] = [-1, -1, -1];
    for (let t = 0; t < D; t++) {
      const cell = t * N + n;
      if (present[cell] !== 1) continue;
      if (first < 0) first = t;
      last = t;
      cells++;
      if (member >= 0 && universe[cell] !== member) changes++;
      member = universe[cell]!;
    }
    if (last < D - END) gone++;
    if (first < END && last >= D - END) whole++;
  }
  const stockYears = (cells / D) * years;
  const chance = poissonUpTo(gone, LEAST_RATE * stockYears);
  if (chance < LEAST_CHANCE) {
    findings.push({
      code: "hindsight_universe",
      severity: "warn",
      text: `${gone === 0 ? "No stock leaves" : `${gone} of ${N} stocks leave`} before the end in ${years.toFixed(1)} years, and ${percent(whole / N)} are there from the first date to the last: the stocks were chosen by who survived.`,
      dates: [dates[0]!, dates[D - 1]!],
      value: gone / stockYears,
      threshold: LEAST_RATE,
      next: "Take the stocks that were listed on each date, delisted ones too; else use the data to compare models, not to claim what one earns.",
    });
  }
  if (origin.options.universeColumn !== undefined && changes === 0) {
    findings.push({
      code: "constant_universe",
      severity: "warn",
      text: `No stock joins or leaves the universe of column ${origin.options.universeColumn} in ${years.toFixed(1)} years: the members are those of one date.`,
      columns: [origin.options.universeColumn],
      value: 0,
      threshold: 1,
      next: "Write the members as they were on each date.",
    });
  }
  return findings;
}

/** Probability of at most `count` events where `expected` are expected, by Poisson's law. */
function poissonUpTo(count: number, expected: number): number {
  let [logTerm, sum] = [-expected, 0];
  for (let k = 0; k <= count; k++) {
    if (k > 0) logTerm += Math.log(expected / k);
    sum += Math.exp(logTerm);
  }
  return sum;
}
