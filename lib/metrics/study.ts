import type { Exposures, NeutralTo } from "../data/neutral-to.js";
import type { LabelValues, PanelValues } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { rankAutocorrelation } from "./autocorrelation.js";
import { holdBook, type BookInput } from "./book.js";
import { bootstrapMean } from "./bootstrap.js";
import { icByGroup, icByYear, SizeBuckets, type PartIc } from "./breakdown.js";
import { bookSummary, type BookSummary, type CostOptions } from "./costs.js";
import { CUMULATIVE_HORIZONS, DISJOINT_HORIZONS, icDecay, type HorizonIc } from "./decay.js";
import { deflateIc, type DeflatedIc, type Trial } from "./deflation.js";
import { neutralIc, neutralMean, styleExposures, type NeutralIc, type NeutralMean, type StyleExposure } from "./exposures.js";
import { testMean } from "./hac.js";
import { Lookup } from "./lookup.js";
import { labelBook, Market } from "./market.js";
import type { Metrics } from "./pairs.js";
import { planeOf } from "./plane.js";
import { quantileReturns, quantileTurnover } from "./quantiles.js";
import { rankDates, type DateRows, type RankedDates } from "./ranked-dates.js";
import { mean } from "./statistics.js";
import { equalWeights, factorWeights, topWeights, type Weighting } from "./weights.js";

/** A group of each stock and date of the predictions. */
export interface GroupValues {
  /** [dates, stocks]: index into `names`, -1 for none. */
  readonly codes: Int32Array;
  readonly names: readonly string[];
}

/** What the statistics of one (prediction, horizon) pair need besides predictions and labels. */
export interface StudyOptions extends CostOptions {
  /** Days that the label spans, from 1: sets the HAC lag, the bootstrap's blocks and how long portfolios are held. Default: what the labels of a split say, else 1. */
  horizonDays?: number | undefined;
  /** Days from the date of a prediction to the close at which it is traded, from 0. Default: what the labels of a split say, else 0. */
  lagDays?: number | undefined;
  /**
   * Closes [dates, stocks] of the predictions' dates and the 20 days after, found by date and ticker: give `decay`, `books` and what is of them.
   * Default: none; labels of one day alone give `books`, their dates taken to follow one another.
   */
  closes?: PanelValues | undefined;
  /** Number of quantiles, from 2. Default 5. */
  quantiles?: number | undefined;
  /** Stocks in the long-only book, from 1. Default: a tenth of the mean number of stocks. */
  topK?: number | undefined;
  /** Draws of the bootstrap, 1 to 1,000,000. Default 2000. */
  bootstrapDraws?: number | undefined;
  /** Seed of the bootstrap, whole, 0 to 2^32 - 1. Default 0. */
  seed?: number | undefined;
  /** A group, such as an industry, per stock and date of the predictions: gives `groups`, and intercepts of `neutral`. */
  groups?: GroupValues | undefined;
  /** A measure of size [dates, stocks], found by date and ticker, known on its date: gives `sizes`. */
  sizes?: PanelValues | undefined;
  /** Known properties of stocks by name, each [dates, stocks], found by date and ticker: give `exposures` and `neutral`. */
  exposures?: Readonly<Record<string, PanelValues>> | undefined;
  /** Daily ICs of the other configurations that were tried, each once: count in `deflatedIc`. Default none: one trial. */
  trials?: readonly Trial[] | undefined;
}

/** Lays exposures out for the dates and tickers of predictions. */
export type ExposuresFor = (predictions: Pick<PanelValues, "dates" | "tickers">) => NeutralTo;

/** A book without its days. */
export type BookNumbers = Omit<BookSummary, "daily">;

/** IC of a named part. */
export interface NamedIc extends PartIc {
  readonly name: string;
}

/** {@link Metrics} and how sure they are, what they are worth, and for which stocks, dates and horizons; of the first pair where there are several. null: what it needs was not given. */
export interface Evaluation extends Metrics, NeutralMean {
  readonly horizonDays: number;
  readonly lagDays: number;
  /** Newey-West t of `ic`, its two-sided p, the t of independent days, and the lag. */
  readonly icT: number;
  readonly icP: number;
  readonly icTNaive: number;
  readonly icLag: number;
  /** 95 % interval of `ic` by the stationary bootstrap. */
  readonly icInterval: readonly [low: number, high: number];
  readonly rankIcT: number;
  readonly rankIcInterval: readonly [low: number, high: number];
  readonly quantiles: {
    /** From the lowest predictions up: mean return over the label's days less the date's universe mean. */
    readonly returns: readonly number[];
    /** Top minus bottom: gross exposure 2. */
    readonly spread: number;
    readonly gross: 2;
    readonly spreadT: number;
    readonly monotonicity: number;
    readonly stepsUp: number;
    /** Share of each quantile's names that were not in it on the date before. */
    readonly turnover: readonly number[];
    readonly dates: number;
  };
  /** By lag in dates. */
  readonly autocorrelation: Readonly<Record<string, number>>;
  readonly deflatedIc: DeflatedIc;
  readonly years: readonly (Omit<PartIc, "rows"> & { readonly year: number })[];
  readonly decay: readonly HorizonIc[] | null;
  readonly cumulativeDecay: readonly HorizonIc[] | null;
  /** Of the factor-weighted overlapping book. */
  readonly turnover: number | null;
  readonly netSharpe: number | null;
  readonly breakEvenBps: number | null;
  readonly books: {
    /** Long and short by the predictions' distance from their mean: gross 1. */
    readonly factorWeighted: BookNumbers;
    /** The `stocks` highest predictions, long only, and every stock alike. */
    readonly top: BookNumbers & { readonly stocks: number };
    readonly universe: BookNumbers;
    /** Portfolios held side by side. */
    readonly portfolios: number;
  } | null;
  readonly groups: readonly NamedIc[] | null;
  /** Thirds of each date's stocks. */
  readonly sizes: readonly NamedIc[] | null;
  readonly exposures: readonly StyleExposure[] | null;
  readonly neutral: Omit<NeutralIc, "daily"> | null;
  /** Day by day, for charts; null as above. */
  readonly series: {
    readonly spread: { readonly dates: readonly string[]; readonly values: readonly number[] };
    readonly book: { readonly dates: readonly string[]; readonly gross: readonly number[]; readonly net: readonly number[] } | null;
  };
}

/**
 * Adds to the metrics of predictions all other statistics of their first (prediction, horizon) pair. Each date's predictions are sorted once;
 * beyond the inputs it keeps 4 bytes per date and stock, and a copy where there is more than one prediction or horizon or tickers do not ascend.
 *
 * @param known exposures for the dates and tickers of the predictions, in place of `exposures` and `groups` of the options
 */
export function study(
  predictions: PanelValues, labels: PanelValues & Partial<LabelValues>, pairs: readonly (readonly [prediction: number, horizon: number])[], metrics: Metrics, options: StudyOptions,
  known?: ExposuresFor,
): Evaluation {
  const pair = pairs[0] ?? [0, 0];
  const { dates } = predictions;
  const columns = ascending(predictions.tickers);
  const tickers = columns === undefined ? predictions.tickers : Array.from(columns, (n) => predictions.tickers[n]!);
  const ranked = rankDates(planeOf(predictions, pair[0], columns), dates.length, tickers.length);
  const returns = planeOf(labels, pair[1], columns);
  // A label column may look at no later date: 0.
  const horizonDays = options.horizonDays ?? Math.max(1, labels.horizonDays?.[pair[1]] ?? 1);
  const lagDays = options.lagDays ?? labels.lagDays ?? 0;
  const bootstrap = { horizonDays, draws: options.bootstrapDraws, seed: options.seed };
  const [ic, rankIc] = [testMean(metrics.daily.ic, { horizonDays }), testMean(metrics.daily.rankIc, { horizonDays })];
  const quantiles = quantileReturns(ranked, returns, options.quantiles);
  const { daily, ...ofQuantiles } = quantiles;
  const market = options.closes === undefined ? undefined : new Market(options.closes, dates, tickers, lagDays);
  const decayOf = (horizons: typeof DISJOINT_HORIZONS): HorizonIc[] | null => (market === undefined ? null : icDecay(ranked, horizons, (t, horizon, out) => market.forwardReturns(t, horizon, out)));
  const disjoint = decayOf(DISJOINT_HORIZONS);
  const isDaily = horizonDays === 1 && labels.column === undefined;
  const books = market === undefined && !isDaily ? undefined : booksOf(ranked, returns, market, horizonDays, options);
  const given = known?.({ dates, tickers });
  const exposures = given === undefined ? exposuresOf(options.exposures, dates, tickers) : given.exposures.names.length === 0 ? undefined : given.exposures;
  const groups = options.groups === undefined ? undefined : groupsOf(options.groups, dates.length, tickers.length, columns);
  const intercepts = given === undefined ? groups : given.groups;
  const neutralOf = (of: RankedDates, labelled: DateRows): NeutralIc => neutralIc(of, labelled, exposures ?? { names: [], of: () => new Float64Array(0) }, intercepts, horizonDays);
  const neutral = exposures === undefined && intercepts === undefined ? null : neutralOf(ranked, returns);
  const others = neutral === null ? [] : pairs.slice(1).map(([p, l]) => neutralOf(rankDates(planeOf(predictions, p, columns), dates.length, tickers.length), planeOf(labels, l, columns)));
  return {
    ...metrics,
    horizonDays,
    lagDays,
    icT: ic.t,
    icP: ic.p,
    icTNaive: ic.tNaive,
    icLag: ic.lag,
    icInterval: bootstrapMean(metrics.daily.ic, bootstrap),
    rankIcT: rankIc.t,
    rankIcInterval: bootstrapMean(metrics.daily.rankIc, bootstrap),
    quantiles: { ...ofQuantiles, spreadT: testMean(daily.spread, { horizonDays }).t, turnover: quantileTurnover(ranked, options.quantiles) },
    autocorrelation: Object.fromEntries(rankAutocorrelation(ranked).map(({ lag, mean: average }) => [lag, average])),
    deflatedIc: deflateIc(metrics.daily, options.trials ?? [], horizonDays),
    years: icByYear(metrics.daily, horizonDays),
    decay: disjoint,
    // (0, 1] is both.
    cumulativeDecay: disjoint === null ? null : [disjoint[0]!, ...decayOf(CUMULATIVE_HORIZONS.slice(1))!],
    turnover: books?.numbers.factorWeighted.turnover ?? null,
    netSharpe: books?.numbers.factorWeighted.netSharpe ?? null,
    breakEvenBps: books?.numbers.factorWeighted.breakEvenBps ?? null,
    books: books?.numbers ?? null,
    groups: groups === undefined ? null : icByGroup(ranked, returns, groups.of, groups.count, horizonDays).map((part, g) => ({ name: options.groups!.names[g]!, ...part })),
    sizes: options.sizes === undefined ? null : bySize(ranked, returns, new Lookup(options.sizes, "sizes", dates, tickers), horizonDays),
    exposures: exposures === undefined ? null : styleExposures(ranked, exposures),
    neutral: neutral === null ? null : withoutDaily(neutral),
    ...neutralMean(neutral === null ? [] : [neutral, ...others]),
    series: { spread: { dates, values: Array.from(daily.spread) }, book: books === undefined ? null : books.series(market?.dates ?? dates) },
  };
}

const SIZES = ["small", "middle", "large"];

function bySize(ranked: RankedDates, returns: DateRows, sizes: Lookup, horizonDays: number): NamedIc[] {
  const buckets = new SizeBuckets(ranked.stocks);
  const today = new Float64Array(ranked.stocks);
  const bucketsOf = (t: number): Int32Array => {
    sizes.read(sizes.rows[t]!, today);
    // The size of a stock without a prediction moves no boundary.
    for (let n = 0; n < today.length; n++) if (Number.isNaN(ranked.values[t * ranked.stocks + n]!)) today[n] = NaN;
    return buckets.of(today, SIZES.length);
  };
  return icByGroup(ranked, returns, bucketsOf, SIZES.length, horizonDays).map((part, k) => ({ name: SIZES[k]!, ...part }));
}

function booksOf(ranked: RankedDates, returns: DateRows, market: Market | undefined, horizonDays: number, options: StudyOptions) {
  const input = (weighting: Weighting): BookInput => market?.book(ranked, weighting, horizonDays) ?? labelBook(ranked, returns, weighting);
  const dates = ranked.counts.filter((count) => count > 0);
  const stocks = options.topK ?? Math.max(1, Math.round(mean(Float64Array.from(dates)) / 10) || 1);
  const factorInput = input(factorWeights);
  const days = holdBook(factorInput);
  const factorWeighted = bookSummary(days, options);
  const summaryOf = (weighting: Weighting): BookNumbers => withoutDaily(bookSummary(holdBook(input(weighting)), options));
  return {
    numbers: { factorWeighted: withoutDaily(factorWeighted), top: { stocks, ...summaryOf(topWeights(stocks)) }, universe: summaryOf(equalWeights), portfolios: factorInput.portfolios },
    series: (calendar: readonly string[]) => ({ dates: Array.from(days.date, (d) => calendar[d]!), gross: Array.from(factorWeighted.daily.gross), net: Array.from(factorWeighted.daily.net) }),
  };
}

function exposuresOf(values: StudyOptions["exposures"], dates: readonly string[], tickers: readonly string[]): Exposures | undefined {
  const names = Object.keys(values ?? {});
  if (values === undefined || names.length === 0) return undefined;
  const lookups = names.map((name) => new Lookup(values[name]!, `exposures.${name}`, dates, tickers));
  const matrix = new Float64Array(names.length * tickers.length);
  return {
    names,
    of: (t) => {
      for (const [k, lookup] of lookups.entries()) lookup.read(lookup.rows[t]!, matrix, k * tickers.length);
      return matrix;
    },
  };
}

function groupsOf({ codes, names }: GroupValues, dates: number, stocks: number, columns: Int32Array | undefined): { count: number; of(t: number): Int32Array } {
  if (codes.length !== dates * stocks) throw new AstgnnError("ERR_SHAPE", `groups has ${codes.length} codes for ${dates} dates of ${stocks} stocks.`, { next: "Give one per date and stock of the predictions." });
  const today = new Int32Array(stocks);
  return {
    count: names.length,
    of: (t) => {
      const row = codes.subarray(t * stocks, (t + 1) * stocks);
      if (columns === undefined) return row;
      for (let n = 0; n < stocks; n++) today[n] = row[columns[n]!]!;
      return today;
    },
  };
}

function withoutDaily<V extends { daily: unknown }>({ daily: _, ...numbers }: V): Omit<V, "daily"> {
  return numbers;
}

/** The order in which tickers ascend, undefined where they do. */
function ascending(tickers: readonly string[]): Int32Array | undefined {
  if (tickers.every((ticker, n) => n === 0 || tickers[n - 1]! <= ticker)) return undefined;
  return Int32Array.from(tickers.keys()).sort((a, b) => (tickers[a]! < tickers[b]! ? -1 : 1));
}
