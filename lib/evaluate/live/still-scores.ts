import type { Dataset } from "../../data/types.js";
import type { LoadedRun } from "../../run/load.js";
import type { Finding } from "../audit/finding.js";
import type { LiveSubject } from "./live-subject.js";

const NEWEST = 60;
const BEFORE = 120;
/** Of the least movement that the run had between two dates. */
const SHARE = 0.1;
const LEAST = 1e-9;

/** Scores that stopped moving: 1 less the correlation of the scores of two dates, against the least of the last 120 dates that the run knew. */
export async function stillScores({ run, live, news, reference, known }: LiveSubject, signal: AbortSignal | undefined): Promise<Finding[]> {
  if (news.length === 0) return [];
  const before = await movements(run, reference.dataset, known.slice(-BEFORE), signal);
  const first = live.dataset.dates.indexOf(reference.dataset.dates[known.at(-1)!]!);
  const of = [...(first < 0 ? [] : [first]), ...news].slice(-NEWEST - 1);
  const now = await movements(run, live.dataset, of, signal);
  const threshold = Math.max(LEAST, SHARE * Math.min(...before.map(({ movement }) => movement)));
  const still = now.filter(({ movement }) => !(movement > threshold));
  if (still.length === 0) return [];
  const isNewest = still.at(-1)!.date === live.dataset.dates[news.at(-1)!]!;
  return [
    {
      code: "scores_stopped", severity: isNewest ? "fail" : "warn", dates: still.map(({ date }) => date), value: Math.min(...still.map(({ movement }) => movement)), threshold,
      text: `On ${still.length} of ${now.length} new dates the scores are those of the date before, up to a movement (1 less their correlation) below a tenth of the least that the run knew.`,
      next: "Look for rows that repeat the date before, and for features that are missing and filled.",
    },
  ];
}

interface Movement {
  readonly date: string;
  readonly movement: number;
}

/** From each date to the next; 0 where scores are equal for all stocks. */
async function movements(run: LoadedRun, dataset: Dataset, dates: readonly number[], signal: AbortSignal | undefined): Promise<Movement[]> {
  if (dates.length < 2) return [];
  const { predictions } = await run.predict({ dataset, dates: Int32Array.from(dates) }, { signal });
  const [N, P] = [dataset.tickers.length, predictions.shape[2] ?? 1];
  return dates.slice(1).map((t, i) => {
    const pairs = Array.from({ length: N }, (_, n) => [predictions.data[(i * N + n) * P]!, predictions.data[((i + 1) * N + n) * P]!] as const).filter(([a, b]) => a === a && b === b);
    return { date: dataset.dates[t]!, movement: 1 - correlation(pairs) };
  });
}

/** 1 where one side is constant: nothing moves there. */
function correlation(pairs: readonly (readonly [number, number])[]): number {
  const mean = (k: 0 | 1): number => pairs.reduce((sum, pair) => sum + pair[k], 0) / pairs.length;
  const [a, b] = [mean(0), mean(1)];
  let [ab, aa, bb] = [0, 0, 0];
  for (const [x, y] of pairs) {
    ab += (x - a) * (y - b);
    aa += (x - a) ** 2;
    bb += (y - b) ** 2;
  }
  const norm = Math.sqrt(aa * bb);
  return norm > 0 ? ab / norm : 1;
}
