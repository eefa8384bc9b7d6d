import { describe, expect, it } from "vitest";
import { Panel } from "../../lib/data/panel.js";
import type { PanelValues } from "../../lib/data/types.js";
import { holdBook } from "../../lib/metrics/book.js";
import { Market } from "../../lib/metrics/market.js";
import { rankDates } from "../../lib/metrics/ranked-dates.js";
import { factorWeights } from "../../lib/metrics/weights.js";
import { backtest } from "../../lib/portfolio/backtest/backtest.js";
import type { BacktestOptions, BacktestSource } from "../../lib/portfolio/backtest/options.js";
import { randomNumbers, weekdays } from "./data-tables.js";

/** Prices date by date; NaN is none. */
interface Prices {
  readonly close: readonly (readonly number[])[];
  readonly open?: readonly (readonly number[])[];
  readonly volume?: readonly (readonly number[])[];
  readonly tradable?: readonly (readonly number[])[];
}

const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `S${String(n).padStart(2, "0")}`);

async function panelOf({ close, ...others }: Prices, tickers = names(close[0]!.length)): Promise<Panel> {
  const columns = Object.fromEntries(Object.entries({ close, ...others }).map(([name, rows]) => [name, name === "tradable" ? rows!.flat().map((flag) => flag === 1) : Float64Array.from(rows!.flat())]));
  return Panel.from({ dates: weekdays(close.length), tickers, columns }, { maxDropped: 1, onWarning: () => {}, ...(others.tradable === undefined ? {} : { tradableColumn: "tradable" }) });
}

function valuesOf(rows: Readonly<Record<number, readonly number[]>>, stocks = Object.values(rows)[0]!.length, tickers = names(stocks)): PanelValues {
  const dates = weekdays(500);
  const at = Object.keys(rows).map(Number);
  return { data: Float64Array.from(at.flatMap((t) => [...rows[t]!])), shape: [at.length, stocks], dates: at.map((t) => dates[t]!), tickers };
}

const FREE: BacktestOptions = { costBps: 0, borrowBps: 0, onWarning: () => {} };

/** A market of geometric random walks, with prices missing for some days and stocks that list late or leave early where `gaps`. */
function walk(dates: number, stocks: number, { seed = 1, gaps = false, leaves = false } = {}): Required<Omit<Prices, "tradable">> {
  const random = randomNumbers(seed);
  for (let i = 0; i < 20; i++) random();
  const [close, open, volume]: [number[][], number[][], number[][]] = [[], [], []];
  const suspended = names(stocks).map(() => 5 + Math.floor(random() * dates));
  for (let t = 0; t < dates; t++) {
    const before = names(stocks).map((_, n) => (t === 0 ? 20 + 10 * n : NaN));
    open.push(before.map((first, n) => (t === 0 ? first : latest(close, n) * (1 + 0.01 * (random() - 0.5)))));
    close.push(open[t]!.map((price) => price * (1 + 0.04 * (random() - 0.5))));
    volume.push(close[t]!.map(() => Math.round(1e5 * (1 + random()))));
    for (let n = 0; n < stocks; n++) {
      const isGone = (gaps && t >= suspended[n]! && t < suspended[n]! + 4) || (leaves && n % 5 === 4 && t > dates * 0.6);
      if (isGone) open[t]![n] = close[t]![n] = NaN;
    }
  }
  return { close, open, volume };
}

function latest(rows: readonly (readonly number[])[], n: number): number {
  return rows.findLast((row) => !Number.isNaN(row[n]!))?.[n] ?? 20;
}

describe("a book of shares and cash", () => {
  it("that is bought once and held is the ratio of the prices", async () => {
    const { close } = walk(60, 3);
    const found = await backtest({ weights: valuesOf({ 4: [0, 1, 0] }) }, await panelOf({ close }), FREE);
    expect(found.daily.dates[0]).toBe(weekdays(6)[5]);
    found.daily.equity.forEach((equity, i) => expect(equity / 1e6).toBeCloseTo(close[5 + i]![1]! / close[5]![1]!, 12));
    expect([found.turnover, found.decisions, found.fills.length]).toEqual([NaN, 1, 1]);
  });

  it("with perfect foresight and no cost earns the closed form: every day the best return", async () => {
    const { close } = walk(40, 5, { seed: 3 });
    const growth = (t: number, n: number): number => close[t + 1]![n]! / close[t]![n]!;
    // Decided after t, filled at t + 1, held to t + 2.
    const predictions = valuesOf(Object.fromEntries(Array.from({ length: 37 }, (_, t) => [t, close[0]!.map((__, n) => growth(t + 1, n))])));
    const found = await backtest({ predictions, book: "top", topK: 1 }, await panelOf({ close }), FREE);
    let expected = 1;
    for (let t = 1; t <= 37; t++) expected *= Math.max(...close[0]!.map((_, n) => growth(t, n)));
    expect(found.totalReturn + 1).toBeCloseTo(expected, 10);
  });

  it("earns what the books of an evaluation earn before costs, with portfolios side by side too", async () => {
    const [dates, stocks] = [50, 7];
    const { close } = walk(dates + 6, stocks, { seed: 5 });
    const random = randomNumbers(9);
    const data = Float64Array.from({ length: dates * stocks }, random);
    const predictions: PanelValues = { data, shape: [dates, stocks], dates: weekdays(dates), tickers: names(stocks) };
    const closes: PanelValues = { data: Float64Array.from(close.flat()), shape: [close.length, stocks], dates: weekdays(close.length), tickers: names(stocks) };
    for (const horizonDays of [1, 4]) {
      const book = holdBook(new Market(closes, predictions.dates, predictions.tickers, 1).book(rankDates(data, dates, stocks), factorWeights, horizonDays));
      const { daily, portfolios } = await backtest({ predictions, horizonDays }, await panelOf({ close }), FREE);
      expect(portfolios).toBe(horizonDays);
      // The book counts from the date on which all portfolios are there; its day t earns the return to t + 1.
      const first = daily.dates.indexOf(closes.dates[book.date[0]!]!);
      book.return.forEach((value, i) => expect(daily.return[first + i + 1]).toBeCloseTo(value, 13));
      book.turnover.forEach((value, i) => (Number.isNaN(value) ? expect(daily.turnover[first + i]).toBeNaN() : expect(daily.turnover[first + i]).toBeCloseTo(value, 12)));
      book.gross.forEach((value, i) => expect(daily.gross[first + i]).toBeCloseTo(value, 13));
    }
  });

  it("equals itself in two halves where everything is decided anew between them", async () => {
    const { close } = walk(61, 4, { seed: 6 });
    const rows = Object.fromEntries([0, 10, 20, 29, 40, 50].map((t, i) => [t, [0.4, 0.3, 0.2 * (i % 2), -0.3]]));
    const panel = await panelOf({ close });
    const [whole, early, late] = [
      await backtest({ weights: valuesOf(rows) }, panel, FREE),
      await backtest({ weights: valuesOf(rows) }, panel, { ...FREE, to: weekdays(31)[30]! }),
      await backtest({ weights: valuesOf(Object.fromEntries(Object.entries(rows).filter(([t]) => Number(t) >= 29))) }, panel, FREE),
    ];
    expect((1 + early.totalReturn) * (1 + late.totalReturn)).toBeCloseTo(1 + whole.totalReturn, 12);
  });

  it("costs what a calculation by hand says, with every kind of cost", async () => {
    // Two stocks; ADV and sigma of the two dates before the fill of date 3.
    const close = [[10, 100], [11, 99], [10, 101], [10, 100], [12, 90], [12, 90]];
    const volume = close.map(() => [1000, 200]);
    const terms = { capital: 10_000, costBps: 20, borrowBps: 252, cashBps: 126, impact: 0.5, impactDays: 2, fill: "close" } as const;
    const { daily, fills } = await backtest({ weights: valuesOf({ 2: [0.6, -0.4] }) }, await panelOf({ close, volume }), { ...terms, to: weekdays(5)[4]! });
    const deviation = (a: number, b: number): number => Math.abs(a - b) / Math.sqrt(2);
    const rate = [deviation(0.1, 10 / 11 - 1) / Math.sqrt((11_000 + 10_000) / 2), deviation(-0.01, 101 / 99 - 1) / Math.sqrt((200 * 99 + 200 * 101) / 2)];
    // V + .002 (.6 V + .4 V) + .5 (rate_0 (.6 V)^1.5 + rate_1 (.4 V)^1.5) = 10,000, by bisection.
    const impactOf = (v: number): number => 0.5 * (rate[0]! * (0.6 * v) ** 1.5 + rate[1]! * (0.4 * v) ** 1.5);
    let [low, high] = [0, 10_000];
    for (let i = 0; i < 100; i++) {
      const v = (low + high) / 2;
      if (v + 0.002 * v + impactOf(v) > 10_000) high = v;
      else low = v;
    }
    expect(daily.equity[0]).toBeCloseTo(low, 8);
    expect(daily.trading[0]).toBeCloseTo(0.002 * low, 9);
    expect(daily.impact[0]).toBeCloseTo(impactOf(low), 9);
    expect(Array.from(fills[0]!.shares)).toEqual([expect.closeTo((0.6 * low) / 10, 9), expect.closeTo((-0.4 * low) / 100, 9)]);
    // Over night: cash .8 V earns .0126 / 252, the short .4 V costs .0252 / 252.
    expect(daily.interest[1]).toBeCloseTo((0.8 * low * 0.0126) / 252, 10);
    expect(daily.borrow[1]).toBeCloseTo((0.4 * low * 0.0252) / 252, 10);
    expect(daily.equity[1]).toBeCloseTo(low + 0.6 * low * 0.2 + 0.4 * low * 0.1 + daily.interest[1]! - daily.borrow[1]!, 8);
    expect([daily.trading[1], daily.impact[1], daily.traded[1]]).toEqual([0, 0, 0]);
  });

  it("never earns more for costing more", async () => {
    const { close, volume } = walk(80, 6, { seed: 8 });
    const rows = Object.fromEntries(Array.from({ length: 70 }, (_, t) => [t + 5, close[0]!.map((__, n) => (Math.sin(t * 3 + n * 7) * 1) / 6)]));
    const panel = await panelOf({ close, volume });
    const end = async (options: BacktestOptions): Promise<number> => (await backtest({ weights: valuesOf(rows) }, panel, { ...FREE, ...options })).totalReturn;
    const free = await end({});
    for (const name of ["costBps", "borrowBps", "impact"] as const) {
      const ends = [free, await end({ [name]: name === "impact" ? 0.1 : 5 }), await end({ [name]: name === "impact" ? 1 : 50 })];
      expect(ends).toEqual([...ends].sort((a, b) => b - a));
      expect(new Set(ends).size).toBe(3);
    }
  });

  it("does not depend on the order of the stocks beyond the rounding of sums", async () => {
    const { close, volume, open } = walk(70, 9, { seed: 4, gaps: true, leaves: true });
    const order = [4, 8, 2, 0, 7, 1, 3, 6, 5];
    const shuffled = (rows: readonly (readonly number[])[]): number[][] => rows.map((row) => order.map((n) => row[n]!));
    const weights = Array.from({ length: 60 }, (_, t) => close[0]!.map((__, n) => Math.cos(t + n * n) / 9));
    const options = { costBps: 10, impact: 0.3, fill: "open" } as const;
    const source = (rows: readonly (readonly number[])[]): BacktestSource => ({ weights: valuesOf(Object.fromEntries(rows.map((row, t) => [t, row]))) });
    const [a, b] = [
      await backtest(source(weights), await panelOf({ close, volume, open }), options),
      await backtest(source(shuffled(weights)), await panelOf({ close: shuffled(close), volume: shuffled(volume), open: shuffled(open) }), options),
    ];
    // Sums over nine stocks differ in their last bits, and the equity carries them on: 1e-12 of it.
    a.daily.equity.forEach((equity, i) => expect(b.daily.equity[i]! / equity).toBeCloseTo(1, 12));
    expect(b.ledger.entries.filter(({ stage }) => stage === "fills")).toEqual(a.ledger.entries.filter(({ stage }) => stage === "fills"));
  });
});

describe("weights at the fill", () => {
  it.each(["close", "open"] as const)("are those that were decided, of the value after costs, at the %s", async (fill) => {
    const market = walk(60, 6, { seed: 2 });
    const rows = Object.fromEntries(Array.from({ length: 50 }, (_, t) => [t + 4, close6(t)]));
    const { fills } = await backtest({ weights: valuesOf(rows) }, await panelOf(market), { costBps: 30, impact: 0.5, impactDays: 3, fill });
    for (const [i, { weights, stocks }] of fills.entries()) stocks.forEach((n, k) => expect(weights[k]).toBeCloseTo(close6(i)[n]!, 12));
  });

  it("exceed no limit where stocks cannot be traded, or positions are whole lots", async () => {
    const market = walk(120, 10, { seed: 12, gaps: true, leaves: true });
    const weights = (t: number): number[] => names(10).map((_, n) => ((n + t) % 3 === 0 ? 0.2 : (n + t) % 3 === 1 ? 0 : -0.1));
    const rows = Object.fromEntries(Array.from({ length: 100 }, (_, t) => [t + 4, weights(t)]));
    for (const options of [{}, { lotSize: 100, capital: 2e5 }, { unfilled: "drop" } as const]) {
      const { fills, ledger } = await backtest({ weights: valuesOf(rows) }, await panelOf(market), { costBps: 20, ...options });
      expect(ledger.entries.some(({ reason }) => reason === "blocked_sells")).toBe(true);
      for (const [i, { weights: held }] of fills.entries()) {
        const [long, short] = [0, 0].map((_, side) => weights(i).reduce((sum, w) => sum + Math.max(0, side === 0 ? w : -w), 0));
        // A position that cannot be sold may have grown past the whole side: then nothing else is on it.
        const sum = (sign: number): number => held.reduce((total, w) => total + Math.max(0, sign * w), 0);
        const largest = (sign: number): number => Math.max(0, ...held.map((w) => sign * w));
        expect(sum(1)).toBeLessThanOrEqual(Math.max(long!, largest(1)) + 1e-9);
        expect(sum(-1)).toBeLessThanOrEqual(Math.max(short!, largest(-1)) + 1e-9);
      }
    }
  });

  it("are lots rounded towards zero, and the rest is cash", async () => {
    const close = Array.from({ length: 6 }, () => [30, 70]);
    const { fills, daily } = await backtest({ weights: valuesOf({ 0: [0.5, -0.5] }) }, await panelOf({ close }), { ...FREE, capital: 10_000, lotSize: 10 });
    expect(Array.from(fills[0]!.shares)).toEqual([160, -70]);
    expect(daily.gross[0]).toBeCloseTo((160 * 30 + 70 * 70) / 10_000, 14);
    expect(daily.equity[0]).toBeCloseTo(10_000, 9);
  });
});

const close6 = (t: number): number[] => names(6).map((_, n) => Math.round(100 * Math.sin(t * 5 + n)) / 500);

describe("a stock that cannot be traded", () => {
  const flat = (dates: number): number[][] => Array.from({ length: dates }, () => [10, 10, 10]);

  it("keeps its position until it can be, and the others get what is left of their side", async () => {
    const close = flat(8);
    close[3]![0] = close[4]![0] = NaN;
    const panel = await panelOf({ close });
    // Sell all of S00 on date 3, which works on date 5.
    const source = { weights: valuesOf({ 0: [0.5, 0.5, 0], 2: [0, 0.5, 0.5] }) };
    const { fills, daily, ledger } = await backtest(source, panel, FREE);
    expect(fills.map(({ weights }) => Array.from(weights))).toEqual([[0.5, 0.5], [0.5, 0.25, 0.25]]);
    expect(Array.from(daily.gross)).toEqual([1, 1, 1, 1, 0.5, 0.5, 0.5]);
    expect(ledger.entries.filter(({ stage }) => stage === "fills").map(({ reason, count }) => [reason, count])).toEqual([["blocked_sells", 1]]);
    const dropped = await backtest(source, panel, { ...FREE, unfilled: "drop" });
    expect(Array.from(dropped.daily.gross)).toEqual([1, 1, 1, 1, 1, 1, 1]);
  });

  it("is bought late where it waits, with the weight decided, and never where the order is dropped", async () => {
    const close = flat(8);
    const tradable = close.map((_, t) => [t >= 1 && t <= 3 ? 0 : 1, 1, 1]);
    const panel = await panelOf({ close, tradable });
    const source = { weights: valuesOf({ 0: [0.3, 0.7, 0] }) };
    expect(Array.from((await backtest(source, panel, FREE)).daily.gross)).toEqual([0.7, 0.7, 0.7, 1, 1, 1, 1]);
    expect(Array.from((await backtest(source, panel, { ...FREE, unfilled: "drop" })).daily.gross)).toEqual([0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]);
  });

  it("and is delisted is paid out at its last price, or with the return that is given, and listed", async () => {
    const close = flat(8).map((row, t) => [t > 4 ? NaN : 10 + t, row[1]!, row[2]!]);
    const panel = await panelOf({ close });
    const source = { weights: valuesOf({ 1: [0.5, 0.5, 0], 5: [0.2, 0.8, 0] }) };
    const { delistings, daily, ledger } = await backtest(source, panel, FREE);
    const [lastDate, date] = weekdays(6).slice(4);
    expect(delistings).toEqual([{ ticker: "S00", lastDate, date, shares: expect.closeTo(5e5 / 12, 6), price: 14, weight: expect.closeTo(14 / 26, 12) }]);
    expect(daily.equity.at(-1)! / 1e6).toBeCloseTo(0.5 * (14 / 12) + 0.5, 12);
    expect(ledger.entries.filter(({ stage }) => stage === "fills").map(({ reason, count }) => [reason, count])).toEqual([["delisted_orders", 1], ["delisted", 1]]);
    const bankrupt = await backtest(source, panel, { ...FREE, delistingReturn: -1 });
    expect(bankrupt.daily.equity.at(-1)! / 1e6).toBeCloseTo(0.5, 12);
  });
});
