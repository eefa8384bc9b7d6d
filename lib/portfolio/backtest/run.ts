import { lastNotAfter } from "../../data/calendar.js";
import type { Panel } from "../../data/panel.js";
import { AstgnnError } from "../../errors.js";
import { breathe } from "../../run/breathe.js";
import type { FactorForm } from "../../risk/factor-form.js";
import { Book, type OrderCounts } from "./book.js";
import type { Decisions } from "./decisions.js";
import { TradedMarket } from "./market.js";
import type { Known, ResolvedBacktest } from "./options.js";

/** A book day by day. Each array has one value per date, from the first fill on. */
export interface BacktestDays {
  readonly dates: readonly string[];
  /** Money at the close, after everything. */
  readonly equity: Float64Array;
  /** equity / equity of the date before - 1, on the first date / capital - 1. */
  readonly return: Float64Array;
  /** The same before trading costs, impact and borrowing. */
  readonly grossReturn: Float64Array;
  /** Sum of |weight| at the close, sum of weights, sum of |negative weights|; cash is 1 - net. */
  readonly gross: Float64Array;
  readonly net: Float64Array;
  readonly short: Float64Array;
  /** Sum of |change of weight| at the fill: every unit bought and every unit sold. */
  readonly traded: Float64Array;
  /** Half of `traded` over the gross after the fill, where a decision was filled; NaN on other dates and where the portfolio is the first in its place. */
  readonly turnover: Float64Array;
  /** Equity over its highest value so far less 1: from 0 down. */
  readonly drawdown: Float64Array;
  /** Costs of the date in money: fees, impact, borrowing; what cash earned is negative where it cost. */
  readonly trading: Float64Array;
  readonly impact: Float64Array;
  readonly borrow: Float64Array;
  readonly interest: Float64Array;
  /** Stocks held at the close. */
  readonly positions: Int32Array;
}

/** Positions right after a decision was filled. */
export interface Fill {
  readonly date: string;
  /** Indices into `tickers`, ascending. */
  readonly stocks: Int32Array;
  /** Share of the book's value after the costs of the fill, at the fill price, or the last close where there is none. */
  readonly weights: Float64Array;
  /** Negative where short. */
  readonly shares: Float64Array;
}

/** A stock that was held when its prices ended. */
export interface Delisting {
  readonly ticker: string;
  /** Date of its last close. */
  readonly lastDate: string;
  /** Date on which it was paid out. */
  readonly date: string;
  readonly shares: number;
  readonly price: number;
  /** Share of the book's value. */
  readonly weight: number;
}

/** What came of decisions. */
export interface Trace {
  readonly days: BacktestDays;
  readonly fills: readonly Fill[];
  readonly delistings: readonly Delisting[];
  readonly orders: OrderCounts;
  /** Decisions filled, and those whose fill date lies after the last date. */
  readonly decisions: number;
  readonly unfilled: number;
  /** Date on which nothing was left, undefined where something was to the end. */
  readonly ruined: string | undefined;
}

/** What a run of the book is told beyond its terms. */
export interface RunOptions {
  readonly risk?: ((date: string) => FactorForm | undefined | Promise<FactorForm | undefined>) | undefined;
  /** Whether positions are kept at each fill. */
  readonly keepsFills: boolean;
  readonly onProgress?: ((done: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Holds a book through the dates of a panel: each date interest and borrowing over night, stocks that were delisted, orders filled, the value at the close,
 * and then what is decided for later.
 *
 * @throws AstgnnError ERR_DATA where a decision's gross exceeds `maxGross`, or where none can be filled; ERR_ABORTED
 */
export async function runBook(panel: Panel, decisions: Decisions, terms: ResolvedBacktest, options: RunOptions): Promise<Trace> {
  const market = new TradedMarket(panel, terms);
  const book = new Book(market, decisions.portfolios, terms);
  const [firstFill, end] = spanOf(panel, decisions, terms);
  const queue: { readonly fill: number; readonly weights: Float64Array }[] = [];
  const days = new Days(end - firstFill + 1);
  const fills: Fill[] = [];
  const delistings: Delisting[] = [];
  const target = new Float64Array(panel.tickers.length);
  const { cashBps, borrowBps, periodsPerYear } = terms;
  let [equity, short, filled, decided, ruined] = [terms.capital, 0, 0, 0, undefined as string | undefined];
  for (let t = 0; t <= end && ruined === undefined; t++) {
    await breathe();
    options.signal?.throwIfAborted();
    market.advance();
    options.onProgress?.((t + 1) / (end + 1));
    if (days.count > 0 || queue[0]?.fill === t) {
      const isFirst = days.count === 0;
      const interest = isFirst ? 0 : (book.cash * cashBps) / 1e4 / periodsPerYear;
      const borrow = isFirst ? 0 : (short * borrowBps) / 1e4 / periodsPerYear;
      book.cash += interest - borrow;
      delistings.push(...payDelisted(book, market, panel, terms.delistingReturn));
      const isRenewed = queue[0]?.fill === t;
      if (isRenewed) book.renew(queue.shift()!.weights);
      const traded = book.trade();
      const after = traded === undefined ? undefined : exposureOf(book, (n) => market.mark(n));
      if (isRenewed) filled++;
      if (isRenewed && options.keepsFills && after !== undefined) fills.push(fillOf(book, market, after.value));
      const held = exposureOf(book, (n) => market.close[n]!);
      if (book.isRuined || !(held.value > 0)) ruined = panel.dates[t]!;
      const turnover = traded === undefined || !isRenewed || filled <= decisions.portfolios || after!.gross === 0 ? NaN : traded.value / 2 / after!.gross;
      days.add(panel.dates[t]!, equity, held, { interest, borrow, trading: traded?.trading ?? 0, impact: traded?.impact ?? 0, traded: traded === undefined ? 0 : traded.value / after!.value, turnover });
      ({ value: equity, short } = held);
    }
    if (ruined !== undefined || t < decisions.first || t > decisions.last) continue;
    if (!(await decisions.decide(t, target, async () => ({ ...knownAt(book, market, panel, equity), risk: await options.risk?.(panel.dates[t]!) })))) continue;
    decided++;
    refuseGross(target, panel.dates[t]!, terms.maxGross);
    if (t + terms.lagDays <= end) queue.push({ fill: t + terms.lagDays, weights: target.slice() });
  }
  if (days.count === 0) throw new AstgnnError("ERR_DATA", `Nothing was decided early enough to be filled by ${panel.dates[end]}.`, { date: panel.dates[end]!, next: "Name prices that go on after the first decision." });
  return { days: days.finish(), fills, delistings, orders: book.counts, decisions: filled, unfilled: decided - filled, ruined };
}

/** Panel dates of the first fill and of the end. */
function spanOf(panel: Panel, { first, last, datesAfter }: Decisions, { lagDays, to }: ResolvedBacktest): [firstFill: number, end: number] {
  const latest = panel.dates.length - 1;
  const natural = datesAfter === undefined ? latest : Math.min(latest, last + lagDays + datesAfter);
  const end = to === undefined ? natural : Math.min(latest, lastNotAfter(panel.dates, to));
  if (first + lagDays > end) {
    const [decided, ends] = [panel.dates[first]!, end < 0 ? to! : panel.dates[end]!];
    throw new AstgnnError("ERR_DATA", `The first decision, of ${decided}, would be filled after the end, ${ends}.`, { date: decided, ...(to === undefined ? {} : { option: "to" }), next: "Name prices that go on, or a later end." });
  }
  return [first + lagDays, end];
}

function payDelisted(book: Book, market: TradedMarket, panel: Panel, delistingReturn: number): Delisting[] {
  const found: Delisting[] = [];
  for (let n = 0; n < book.shares.length; n++) {
    if (book.shares[n] === 0 || !market.isDelisted(n)) continue;
    const [shares, price] = [book.shares[n]!, market.close[n]! * (1 + delistingReturn)];
    const worth = book.worth((k) => market.close[k]!);
    found.push({ ticker: panel.tickers[n]!, lastDate: panel.dates[market.lastDate[n]!]!, date: panel.dates[market.date]!, shares, price, weight: (shares * market.close[n]!) / worth });
    book.payOut(n, price);
  }
  return found;
}

interface Exposure {
  readonly value: number;
  /** Money. */
  readonly gross: number;
  readonly long: number;
  readonly short: number;
  readonly positions: number;
}

function exposureOf(book: Book, priceOf: (n: number) => number): Exposure {
  let [long, short, positions] = [0, 0, 0];
  for (let n = 0; n < book.shares.length; n++) {
    if (book.shares[n] === 0) continue;
    const value = book.shares[n]! * priceOf(n);
    positions++;
    if (value > 0) long += value;
    else short -= value;
  }
  return { value: book.cash + long - short, gross: long + short, long, short, positions };
}

function fillOf(book: Book, market: TradedMarket, value: number): Fill {
  let count = 0;
  for (const shares of book.shares) if (shares !== 0) count++;
  const [stocks, weights, held] = [new Int32Array(count), new Float64Array(count), new Float64Array(count)];
  let i = 0;
  for (let n = 0; n < book.shares.length; n++) {
    const shares = book.shares[n]!;
    if (shares === 0) continue;
    stocks[i] = n;
    weights[i] = (shares * market.mark(n)) / value;
    held[i++] = shares;
  }
  return { date: market.dates[market.date]!, stocks, weights, shares: held };
}

function knownAt(book: Book, market: TradedMarket, panel: Panel, equity: number): Omit<Known, "risk"> {
  const row = market.date * panel.tickers.length;
  const closes = panel.values("close");
  const isPriced = (n: number): boolean => closes[row + n]! > 0;
  const stocks = Int32Array.from(panel.tickers.keys()).filter((n) => book.shares[n] !== 0 || (panel.universe[row + n] === 1 && isPriced(n)));
  return {
    date: market.dates[market.date]!,
    tickers: Array.from(stocks, (n) => panel.tickers[n]!),
    weights: Float64Array.from(stocks, (n) => (book.shares[n] === 0 ? 0 : (book.shares[n]! * market.close[n]!) / equity)),
    tradable: Uint8Array.from(stocks, (n) => (isPriced(n) && panel.tradable?.[row + n] !== 0 ? 1 : 0)),
    predictions: undefined,
    equity,
  };
}

function refuseGross(weights: Float64Array, date: string, maxGross: number): void {
  let gross = 0;
  for (const weight of weights) gross += Math.abs(weight);
  if (gross <= maxGross + 1e-9) return;
  throw new AstgnnError("ERR_DATA", `The absolute weights of ${date} sum to ${Number(gross.toPrecision(6))}; maxGross allows ${maxGross}.`, { date, option: "maxGross", next: "Write weights as shares, .01 for one percent, or raise maxGross." });
}

/** Collects the days. */
class Days {
  readonly #dates: string[] = [];
  readonly #values: Omit<{ -readonly [K in keyof BacktestDays]: BacktestDays[K] }, "dates">;
  #highest = 0;
  count = 0;

  constructor(length: number) {
    const values = (): Float64Array => new Float64Array(length).fill(NaN);
    this.#values = {
      equity: values(), return: values(), grossReturn: values(), gross: values(), net: values(), short: values(), traded: values(), turnover: values(), drawdown: values(),
      trading: values(), impact: values(), borrow: values(), interest: values(), positions: new Int32Array(length),
    };
  }

  add(date: string, before: number, held: Exposure, { interest, borrow, trading, impact, traded, turnover }: Record<"interest" | "borrow" | "trading" | "impact" | "traded" | "turnover", number>): void {
    const [day, i, equity] = [this.#values, this.count++, held.value];
    this.#dates.push(date);
    this.#highest = Math.max(this.#highest, equity, before);
    day.equity[i] = equity;
    day.return[i] = equity / before - 1;
    day.grossReturn[i] = (equity + trading + impact + borrow) / before - 1;
    day.gross[i] = held.gross / equity;
    day.net[i] = (held.long - held.short) / equity;
    day.short[i] = held.short / equity;
    day.traded[i] = traded;
    day.turnover[i] = turnover;
    day.drawdown[i] = equity / this.#highest - 1;
    [day.trading[i], day.impact[i], day.borrow[i], day.interest[i], day.positions[i]] = [trading, impact, borrow, interest, held.positions];
  }

  /** The days that there are. */
  finish(): BacktestDays {
    const cut = Object.entries(this.#values).map(([name, values]) => [name, values.subarray(0, this.count)]);
    return { dates: this.#dates, ...(Object.fromEntries(cut) as Omit<BacktestDays, "dates">) };
  }
}
