import type { Panel } from "../../data/panel.js";
import { AstgnnError, nearest } from "../../errors.js";
import { testMean } from "../../metrics/hac.js";
import { summary } from "../../metrics/statistics.js";
import type { BacktestDays } from "./run.js";

/** What a book is measured against: `universe` for all stocks of the universe alike, anew on every date and without costs; or one ticker of the panel. */
export const UNIVERSE = "universe";

/** A book beside its benchmark, from the date after the first fill on; annual, nothing is compounded. */
export interface RelativeStatistics {
  readonly benchmark: string;
  /** Of the benchmark: mean return and volatility. */
  readonly benchmarkReturn: number;
  readonly benchmarkVolatility: number;
  /** Mean of the return after costs less the benchmark's, and its Newey-West t. */
  readonly activeReturn: number;
  readonly activeT: number;
  /** Standard deviation of that difference. */
  readonly trackingError: number;
  /** `activeReturn` over `trackingError`; NaN where the difference does not vary. */
  readonly informationRatio: number;
  /** Slope of the book's returns on the benchmark's. */
  readonly beta: number;
  /** Correlation of the two. */
  readonly correlation: number;
}

/** @throws AstgnnError ERR_OPTION where the panel does not have the ticker */
export function relativeTo(benchmark: string, panel: Panel, days: BacktestDays, periodsPerYear: number): RelativeStatistics {
  const returns = returnsOf(benchmark, panel, days.dates);
  const own = days.return.subarray(1);
  const difference = own.map((value, i) => value - returns[i]!);
  const [theirs, active, mine] = [summary(returns), summary(difference), summary(own)];
  let product = 0;
  for (const [i, value] of own.entries()) product += (value - mine.mean) * (returns[i]! - theirs.mean);
  const covariance = product / (own.length - 1);
  const root = Math.sqrt(periodsPerYear);
  return {
    benchmark,
    benchmarkReturn: theirs.mean * periodsPerYear,
    benchmarkVolatility: theirs.deviation * root,
    activeReturn: active.mean * periodsPerYear,
    activeT: testMean(difference).t,
    trackingError: active.deviation * root,
    informationRatio: active.deviation > 0 ? (active.mean / active.deviation) * root : NaN,
    beta: covariance / theirs.deviation ** 2,
    correlation: covariance / theirs.deviation / mine.deviation,
  };
}

/** Refuses a benchmark that the panel does not have, before anything is held. */
export function checkBenchmark(benchmark: string, { tickers, source }: Panel): void {
  if (benchmark === UNIVERSE || tickers.includes(benchmark)) return;
  const near = nearest(benchmark, [UNIVERSE, ...tickers]);
  throw new AstgnnError("ERR_OPTION", `${source} has no ticker ${benchmark} to measure the book against.`, { option: "benchmark", next: near === undefined ? `Name one of its tickers, or ${UNIVERSE}.` : `Did you mean ${near}?` });
}

/** Return of every date but the first. A ticker without a close keeps its last one; over a price break it has none. */
function returnsOf(benchmark: string, panel: Panel, of: readonly string[]): Float64Array {
  const { dates, tickers, universe, segments } = panel;
  const closes = panel.values("close");
  const N = tickers.length;
  const first = dates.indexOf(of[0]!);
  const stocks = benchmark === UNIVERSE ? Array.from({ length: N }, (_, n) => n) : [tickers.indexOf(benchmark)];
  const last = Float64Array.from({ length: N }, (_, n) => closes[first * N + n]!);
  const segment = segments?.slice(first * N, (first + 1) * N);
  return Float64Array.from({ length: of.length - 1 }, (_, i) => {
    const t = first + 1 + i;
    let [sum, count] = [0, 0];
    for (const n of stocks) {
      const close = closes[t * N + n]!;
      const isOne = benchmark !== UNIVERSE || (universe[(t - 1) * N + n] === 1 && closes[(t - 1) * N + n]! > 0);
      const isSame = segments === undefined || segments[t * N + n] === segment![n];
      if (close > 0 && last[n]! > 0 && isOne && isSame) {
        sum += close / last[n]! - 1;
        count++;
      }
      if (close > 0) {
        last[n] = close;
        if (segments !== undefined) segment![n] = segments[t * N + n]!;
      }
    }
    return count === 0 ? 0 : sum / count;
  });
}
