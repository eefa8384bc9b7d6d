import type { Finding } from "./finding.js";
import { groupsOfTest } from "./groups-of-test.js";
import type { AuditSubject } from "./subject.js";

const LEAST_YEARS = 1;
const LEAST_STOCKS = 20;

/** Groups and edges that know the end: the same on all dates, or groups that are the clusters of the test's returns. */
export function relationDates(subject: AuditSubject): Finding[] {
  const { dates, tickers } = subject.panel;
  const years = (Date.parse(dates.at(-1)!) - Date.parse(dates[0]!)) / (365.25 * 86_400_000);
  if (tickers.length < LEAST_STOCKS) return [];
  return [...(years < LEAST_YEARS ? [] : [...constantGroups(subject), ...constantEdges(subject)]), ...groupsOfTest(subject)];
}

function constantGroups({ panel, dataset, run }: AuditSubject): Finding[] {
  const { groups, present, tickers, dates } = panel;
  if (groups === undefined) return [];
  const [D, N] = [dates.length, tickers.length];
  for (let n = 0; n < N; n++) {
    let code: number | undefined;
    for (let t = 0; t < D; t++) {
      const cell = t * N + n;
      if (present[cell] !== 1) continue;
      if (code !== undefined && groups.codes[cell] !== code) return [];
      code = groups.codes[cell]!;
    }
  }
  return [ofOneDate("groups", dataset.graph === "groups" || run?.description.config.similarityGraph === "groups")];
}

function constantEdges({ panel, dataset }: AuditSubject): Finding[] {
  const { edges, dates } = panel;
  if (edges === undefined || edges.from.length === 0) return [];
  if (edges.from.some((from) => from > 0) || edges.to.some((to) => to < dates.length - 1)) return [];
  return [ofOneDate("edges", dataset.graph === "edges")];
}

function ofOneDate(what: "groups" | "edges", isUsed: boolean): Finding {
  return {
    code: `${what}_of_one_date`,
    severity: isUsed ? "warn" : "note",
    text: `The ${what} are the same on all dates${isUsed ? "" : ", and nothing is made of them here"}: they are those of the date on which they were written down, and what changed until then is known from the beginning.`,
    value: 0,
    threshold: 1,
    next: `Give the ${what} from and to, or a date column with each row's own.`,
  };
}
