import type { Panel } from "../../data/panel.js";
import { testMean } from "../../metrics/hac.js";
import type { Finding } from "./finding.js";
import type { AuditSubject } from "./subject.js";

const LEAST_YEARS = 1;
const LEAST_STOCKS = 20;
/** Mean correlation of returns within groups that the test may have beyond the training, that ratio, and the t of the difference. */
const LEAST_EXCESS = 0.05;
const LEAST_RATIO = 3;
const LEAST_T = 4;

/** Groups and edges that know the end: the same on all dates, or such that stocks of a group move alike in the test and did not in the training. */
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

function groupsOfTest({ panel, dataset }: AuditSubject): Finding[] {
  if (panel.groups === undefined || !panel.has("close") || dataset.train.dates.length === 0 || dataset.test.dates.length === 0) return [];
  const [train, test] = [dataset.train, dataset.test].map(({ dateIndices }) => testMean(withinGroups(panel, panel.groups!.codes, dateIndices))) as [ReturnType<typeof testMean>, ReturnType<typeof testMean>];
  const excess = test.mean - train.mean;
  const t = excess / Math.hypot(test.standardError, train.standardError);
  if (!(excess > LEAST_EXCESS && test.mean > LEAST_RATIO * Math.max(0, train.mean) && t > LEAST_T)) return [];
  return [
    {
      code: "groups_fit_test",
      severity: "fail",
      text: `Returns of stocks of one group have a mean correlation of ${test.mean.toFixed(3)} in the test and ${train.mean.toFixed(3)} in the training (t of the difference ${t.toFixed(1)}): the groups were made from the returns of the test.`,
      dates: [dataset.test.dates[0]!, dataset.test.dates.at(-1)!],
      value: excess,
      threshold: LEAST_EXCESS,
      next: "Make groups from dates before those that they are used on.",
    },
  ];
}

/** Per date: mean product of the standardised returns of pairs of one group, returns less the date's mean. Its mean over dates is their mean correlation. */
function withinGroups(panel: Panel, codes: Int32Array, dates: Int32Array): number[] {
  const [close, N] = [panel.values("close"), panel.tickers.length];
  const returns = new Float64Array(dates.length * N).fill(NaN);
  dates.forEach((t, i) => {
    let [sum, count] = [0, 0];
    for (let n = 0; n < N && t > 0; n++) {
      const value = close[t * N + n]! / close[(t - 1) * N + n]! - 1;
      if (!Number.isFinite(value)) continue;
      returns[i * N + n] = value;
      [sum, count] = [sum + value, count + 1];
    }
    for (let n = 0; n < N; n++) returns[i * N + n]! -= sum / count;
  });
  standardise(returns, dates.length, N);
  return Array.from(dates, (t, i) => {
    const groups = new Map<number, { sum: number; squares: number; count: number }>();
    for (let n = 0; n < N; n++) {
      const [code, value] = [codes[t * N + n]!, returns[i * N + n]!];
      if (code < 0 || Number.isNaN(value)) continue;
      const group = groups.get(code) ?? { sum: 0, squares: 0, count: 0 };
      group.sum += value;
      group.squares += value * value;
      group.count++;
      groups.set(code, group);
    }
    let [products, pairs] = [0, 0];
    for (const { sum, squares, count } of groups.values()) {
      products += sum * sum - squares;
      pairs += count * (count - 1);
    }
    return pairs === 0 ? NaN : products / pairs;
  });
}

/** Each stock's column to mean 0 and variance 1, in place. */
function standardise(values: Float64Array, rows: number, N: number): void {
  for (let n = 0; n < N; n++) {
    let [sum, squares, count] = [0, 0, 0];
    for (let i = 0; i < rows; i++) {
      const value = values[i * N + n]!;
      if (Number.isNaN(value)) continue;
      [sum, squares, count] = [sum + value, squares + value * value, count + 1];
    }
    const mean = sum / count;
    const sd = Math.sqrt(squares / count - mean * mean);
    for (let i = 0; i < rows; i++) values[i * N + n] = (values[i * N + n]! - mean) / sd;
  }
}
