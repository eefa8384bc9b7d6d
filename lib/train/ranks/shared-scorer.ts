import type { NativeTerm } from "../../binding/types.js";
import { rowCounts, type PackedScores, type Scorer } from "../../run/scoring.js";
import type { RankGroup } from "./group.js";

/** A GPU computes consecutive dates of up to so many rows in one pass (native/binding/predict.cpp). */
const ROWS_OF_A_PASS = 1 << 16;

/**
 * Scores a selection of dates by all ranks: each a contiguous part, put together in the order of the dates. On the CPU a date's scores depend on nothing else, on a GPU
 * on the dates of its pass, which no cut divides, so that they are those of one process.
 */
export function sharedScorer(group: RankGroup, scorer: Scorer, device: string): Scorer {
  return async (selection, request) => {
    const { dataset, dates } = selection;
    const linked = comparesNeighbours(request.objective);
    // The date after a part would be computed in another pass than its own.
    if (linked && device !== "cpu") return scorer(selection, request);
    const [begin, end] = partOf(group, device === "cpu" ? Array.from(dates.keys()) : passesOf(rowCounts(selection)), dates.length);
    const terms = request.objective?.length ?? 0;
    // Turnover is of a date and the next: the last date of a part is compared with the first of the next part.
    const more = linked && end > begin && end < dates.length ? 1 : 0;
    const part = { dataset, dates: dates.subarray(begin, end + more) };
    const own = begin === end ? undefined : withoutLast(await scorer(part, { ...request, datesBefore: begin }), rowCounts(part), more, terms);
    const parts = (await group.gather(own)).filter((scores) => scores !== undefined);
    return joined(parts);
  };
}

/** First and last date, the latter exclusive, of a rank's part of so many dates, cut only where one of `starts` is. */
export function partOf({ rank, size }: Pick<RankGroup, "rank" | "size">, starts: readonly number[], dates: number): [number, number] {
  const cut = (r: number): number => starts[Math.floor((starts.length * r) / size)] ?? dates;
  return [cut(rank), cut(rank + 1)];
}

/** The first date of each pass of a GPU over dates with so many rows. */
export function passesOf(rows: readonly number[]): number[] {
  const starts: number[] = [];
  let sum = 0;
  for (const [date, count] of rows.entries()) {
    sum += count;
    if (starts.length > 0 && sum <= ROWS_OF_A_PASS) continue;
    starts.push(date);
    sum = count;
  }
  return starts;
}

function comparesNeighbours(objective: readonly NativeTerm[] | undefined): boolean {
  return objective?.some(({ name }) => name === "turnover") === true;
}

function withoutLast(scores: PackedScores, counts: readonly number[], less: number, terms: number): PackedScores {
  if (less === 0) return scores;
  const rows = counts.reduce((sum, count) => sum + count, 0);
  const kept = rows - counts.at(-1)!;
  const dates = counts.length - 1;
  const { predictions, riskFactors, statistics, peers } = scores;
  return {
    predictions: predictions.slice(0, rows === 0 ? 0 : (predictions.length / rows) * kept),
    riskFactors: riskFactors?.slice(0, rows === 0 ? 0 : (riskFactors.length / rows) * kept),
    statistics: statistics.slice(0, 3 * dates),
    peers: peers?.slice(0, 3 * dates),
    terms: scores.terms.slice(0, terms * dates),
  };
}

type Numbers = Float32Array | Float64Array;

function joined(parts: readonly PackedScores[]): PackedScores {
  const join = <A extends Numbers>(of: (scores: PackedScores) => A | undefined): A | undefined => {
    const arrays = parts.map(of);
    const [first] = arrays;
    if (first === undefined) return undefined;
    const whole = new (first.constructor as new (length: number) => A)(arrays.reduce((sum, array) => sum + array!.length, 0));
    let at = 0;
    for (const array of arrays) {
      whole.set(array!, at);
      at += array!.length;
    }
    return whole;
  };
  return {
    predictions: join(({ predictions }) => predictions) ?? new Float32Array(0),
    riskFactors: join(({ riskFactors }) => riskFactors),
    statistics: join(({ statistics }) => statistics) ?? new Float64Array(0),
    peers: join(({ peers }) => peers),
    terms: join(({ terms }) => terms) ?? new Float64Array(0),
  };
}
