import type { TradedMarket } from "./market.js";
import type { ResolvedBacktest } from "./options.js";

/** What a book trades by. */
export type BookTerms = Pick<ResolvedBacktest, "capital" | "costBps" | "impact" | "lotSize" | "unfilled">;

/** What was traded on a date. */
export interface Traded {
  /** Sum of absolute values bought and sold. */
  readonly value: number;
  readonly trading: number;
  readonly impact: number;
  /** Stocks whose positions changed. */
  readonly stocks: number;
}

/** What orders came to. */
export interface OrderCounts {
  /** Orders whose stock could not be traded on their fill date. */
  blockedBuys: number;
  blockedSells: number;
  /** Of these, filled on a later date. */
  filledLate: number;
  /** Orders for stocks that have no price any more. */
  delisted: number;
  /** Traded stocks without an impact, since nothing is known of their volatility or traded value. */
  withoutImpact: number;
}

/** A portfolio of the book: its parts of the positions, and what it still wants. */
interface Portfolio {
  /** Shares of each stock, negative where short. */
  readonly shares: Float64Array;
  /** Share of the book's value that each stock is to have, NaN where its shares are to stay. */
  readonly target: Float64Array;
  /** 1 where the target waits from an earlier date. */
  readonly waits: Uint8Array;
  /** Stocks that it trades on the date: the first {@link Renewal.count}. */
  readonly stocks: Int32Array;
  /** Sums of the positive and of the negative targets: what the longs and the shorts may come to. */
  long: number;
  short: number;
  isActive: boolean;
}

/** What a portfolio does on a date: the stocks that it trades, and what its others are worth. */
interface Renewal {
  readonly portfolio: Portfolio;
  count: number;
  long: number;
  short: number;
  wantedLong: number;
  wantedShort: number;
}

/** Trials of the value that is left after costs, each of which is nearer by about the cost of a unit traded. */
const TRIALS = 40;

/**
 * Cash and shares, kept in money. Weights are shares of the value that is left after the costs of the trade, so that what is held after a fill
 * has exactly the weights that were decided. Stocks that cannot be traded stay as they are; where they take more of the longs or shorts than they
 * should, the others get less, so that neither side exceeds what was decided.
 */
export class Book {
  cash: number;
  /** Shares held of each stock. */
  readonly shares: Float64Array;
  readonly counts: OrderCounts = { blockedBuys: 0, blockedSells: 0, filledLate: 0, delisted: 0, withoutImpact: 0 };
  /** Whether the costs of a trade would have taken all that the book was worth. */
  isRuined = false;
  readonly #market: TradedMarket;
  readonly #terms: BookTerms;
  readonly #portfolios: readonly Portfolio[];
  /** Money in each traded stock after the trade, and of it what portfolios have that do not trade it. */
  readonly #value: Float64Array;
  readonly #base: Float64Array;
  readonly #isTraded: Uint8Array;
  readonly #traded: Int32Array;
  #decisions = 0;

  constructor(market: TradedMarket, portfolios: number, terms: BookTerms) {
    const stocks = market.tickers.length;
    this.cash = terms.capital;
    this.shares = new Float64Array(stocks);
    this.#market = market;
    this.#terms = terms;
    this.#portfolios = Array.from({ length: portfolios }, () => ({
      shares: portfolios === 1 ? this.shares : new Float64Array(stocks), target: new Float64Array(stocks).fill(NaN), waits: new Uint8Array(stocks), stocks: new Int32Array(stocks), long: 0, short: 0, isActive: false,
    }));
    this.#value = new Float64Array(stocks);
    this.#base = new Float64Array(stocks);
    this.#isTraded = new Uint8Array(stocks);
    this.#traded = new Int32Array(stocks);
  }

  /** Gives the oldest portfolio new target weights, shares of the portfolio; they are filled by the next {@link trade}. */
  renew(weights: Float64Array): void {
    const portfolio = this.#portfolios[this.#decisions++ % this.#portfolios.length]!;
    const part = 1 / this.#portfolios.length;
    [portfolio.long, portfolio.short, portfolio.isActive] = [0, 0, true];
    for (let n = 0; n < weights.length; n++) {
      const target = weights[n]! * part;
      if (target > 0) portfolio.long += target;
      else portfolio.short -= target;
      const isOrder = target !== 0 || portfolio.shares[n] !== 0;
      portfolio.target[n] = isOrder ? target : NaN;
      portfolio.waits[n] = 0;
      if (!isOrder || this.#market.canTrade[n] === 1) continue;
      if (this.#market.isDelisted(n)) {
        this.counts.delisted++;
        portfolio.target[n] = NaN;
        continue;
      }
      const held = portfolio.shares[n]! === 0 ? 0 : portfolio.shares[n]! * this.#market.mark(n);
      if (target > held) this.counts.blockedBuys++;
      else this.counts.blockedSells++;
      if (this.#terms.unfilled === "drop") portfolio.target[n] = NaN;
      else portfolio.waits[n] = 1;
    }
  }

  /** Value of cash and shares, each stock at `prices`. */
  worth(prices: (n: number) => number): number {
    let value = this.cash;
    for (let n = 0; n < this.shares.length; n++) if (this.shares[n] !== 0) value += this.shares[n]! * prices(n);
    return value;
  }

  /** Pays a stock out at a price and forgets what was wanted of it. */
  payOut(n: number, price: number): void {
    if (this.shares[n] !== 0) this.cash += this.shares[n]! * price;
    for (const portfolio of this.#portfolios) {
      portfolio.shares[n] = 0;
      portfolio.target[n] = NaN;
    }
    this.shares[n] = 0;
  }

  /** Fills every order that can be filled on the market's date; undefined where there is none, and where nothing would be left. */
  trade(): Traded | undefined {
    const renewals = this.#renewals();
    if (renewals.length === 0) return undefined;
    const traded = this.#stocksOf(renewals);
    const whole = this.worth((n) => this.#market.mark(n));
    const rates = this.#market.impactRates();
    const left = this.#valueAfterCosts(renewals, traded, whole, rates);
    this.isRuined = !(left > 0);
    if (this.isRuined) return undefined;
    return this.#settle(renewals, traded, left, rates);
  }

  #renewals(): Renewal[] {
    const { canTrade } = this.#market;
    return this.#portfolios.flatMap((portfolio) => {
      if (!portfolio.isActive) return [];
      const renewal: Renewal = { portfolio, count: 0, long: 0, short: 0, wantedLong: 0, wantedShort: 0 };
      let isWaiting = false;
      for (let n = 0; n < this.shares.length; n++) {
        const target = portfolio.target[n]!;
        const isWanted = !Number.isNaN(target);
        if (isWanted && canTrade[n] === 1) {
          portfolio.stocks[renewal.count++] = n;
          if (target > 0) renewal.wantedLong += target;
          else renewal.wantedShort -= target;
          continue;
        }
        if (isWanted) isWaiting = true;
        if (portfolio.shares[n] === 0) continue;
        const value = portfolio.shares[n]! * this.#market.mark(n);
        if (value > 0) renewal.long += value;
        else renewal.short -= value;
      }
      portfolio.isActive = isWaiting;
      return renewal.count === 0 ? [] : [renewal];
    });
  }

  /** Stocks that any portfolio trades, and of each what the other portfolios have. */
  #stocksOf(renewals: readonly Renewal[]): Int32Array {
    this.#isTraded.fill(0);
    for (const { portfolio, count } of renewals) for (let i = 0; i < count; i++) this.#isTraded[portfolio.stocks[i]!] = 1;
    let count = 0;
    for (let n = 0; n < this.shares.length; n++) {
      if (this.#isTraded[n] === 0) continue;
      this.#traded[count++] = n;
      if (this.#portfolios.length === 1) continue;
      let others = 0;
      for (const portfolio of this.#portfolios) if (portfolio.shares[n] !== 0) others += portfolio.shares[n]!;
      for (const { portfolio } of renewals) if (!Number.isNaN(portfolio.target[n]!)) others -= portfolio.shares[n]!;
      this.#base[n] = others * this.#market.price[n]!;
    }
    return this.#traded.subarray(0, count);
  }

  /** Writes what each traded stock is to be worth where `left` is the value of the book after costs. */
  #aim(renewals: readonly Renewal[], traded: Int32Array, left: number): void {
    for (const n of traded) this.#value[n] = this.#base[n]!;
    for (const renewal of renewals) {
      const { target: targets, stocks } = renewal.portfolio;
      const [long, short] = scalesOf(renewal, left);
      for (let i = 0; i < renewal.count; i++) {
        const n = stocks[i]!;
        const target = targets[n]!;
        this.#value[n]! += target * (target > 0 ? long : short) * left;
      }
    }
    const { lotSize } = this.#terms;
    if (lotSize === 0) return;
    for (const n of traded) {
      const lot = lotSize * this.#market.price[n]!;
      // A position of whole lots is not to lose one to rounding.
      this.#value[n] = Math.trunc(this.#value[n]! / lot + Math.sign(this.#value[n]!) * 1e-9) * lot;
    }
  }

  /** What trading to the values of {@link aim} costs: in fees, and by moving prices. */
  #costs(traded: Int32Array, rates: Float64Array | undefined): { trading: number; impact: number } {
    const { costBps, impact: coefficient } = this.#terms;
    let [value, impact] = [0, 0];
    for (const n of traded) {
      const change = Math.abs(this.#value[n]! - this.shares[n]! * this.#market.price[n]!);
      value += change;
      if (rates !== undefined && rates[n]! > 0) impact += rates[n]! * change * Math.sqrt(change);
    }
    return { trading: (value * costBps) / 1e4, impact: impact * coefficient };
  }

  /** The value V for which V and the costs of trading to weights of V are the value before: 0 where there is none. */
  #valueAfterCosts(renewals: readonly Renewal[], traded: Int32Array, whole: number, rates: Float64Array | undefined): number {
    const after = (left: number): number => {
      this.#aim(renewals, traded, left);
      const { trading, impact } = this.#costs(traded, rates);
      return whole - trading - impact;
    };
    const isInLots = this.#terms.lotSize > 0;
    let left = whole;
    for (let trial = 0; trial < TRIALS; trial++) {
      const next = after(left);
      // Lots make steps: from above, the first value that the costs leave in full.
      if (isInLots ? next >= left : Math.abs(next - left) <= 1e-15 * whole) return left;
      if (!(next > 0)) break;
      left = next;
    }
    // Costs of the size of the book itself: the root lies where V + costs(V) passes the value before.
    if (!(after(0) > 0)) return 0;
    let [low, high] = [0, whole];
    for (let trial = 0; trial < 200 && high - low > 1e-15 * whole; trial++) {
      const middle = (low + high) / 2;
      if (after(middle) >= middle) low = middle;
      else high = middle;
    }
    return low;
  }

  #settle(renewals: readonly Renewal[], traded: Int32Array, left: number, rates: Float64Array | undefined): Traded {
    this.#aim(renewals, traded, left);
    const costs = this.#costs(traded, rates);
    let [value, stocks] = [0, 0];
    for (const n of traded) {
      const price = this.#market.price[n]!;
      const before = this.shares[n]! * price;
      const change = this.#value[n]! - before;
      if (change === 0) continue;
      value += Math.abs(change);
      stocks++;
      this.cash -= change;
      if (rates !== undefined && !(rates[n]! >= 0)) this.counts.withoutImpact++;
    }
    this.cash -= costs.trading + costs.impact;
    for (const renewal of renewals) {
      const { portfolio } = renewal;
      const [long, short] = scalesOf(renewal, left);
      for (let i = 0; i < renewal.count; i++) {
        const n = portfolio.stocks[i]!;
        const target = portfolio.target[n]!;
        if (this.#portfolios.length > 1) portfolio.shares[n] = (target * (target > 0 ? long : short) * left) / this.#market.price[n]!;
        portfolio.target[n] = NaN;
        if (portfolio.waits[n] === 1) this.counts.filledLate++;
        portfolio.waits[n] = 0;
      }
    }
    for (const n of traded) {
      const shares = this.#value[n]! / this.#market.price[n]!;
      this.shares[n] = this.#terms.lotSize > 0 ? Math.round(shares / this.#terms.lotSize) * this.#terms.lotSize : shares;
    }
    return { value, ...costs, stocks };
  }
}

/** By how much longs and shorts are scaled down for stocks that cannot be traded and take too much of them. */
function scalesOf({ portfolio, long, short, wantedLong, wantedShort }: Renewal, left: number): [long: number, short: number] {
  const scale = (allowed: number, held: number, wanted: number): number => (wanted > 0 ? Math.min(1, Math.max(0, (allowed * left - held) / (wanted * left))) : 1);
  // Rounding must not scale where nothing is in the way.
  return [long > 0 ? scale(portfolio.long, long, wantedLong) : 1, short > 0 ? scale(portfolio.short, short, wantedShort) : 1];
}
