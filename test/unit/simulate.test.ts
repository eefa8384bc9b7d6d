import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { SIMULATED_FEATURES, simulateMarket, type SimulatedMarket, writeSimulatedMarket } from "../../lib/demo/simulate.js";

/** Correlation over listed cells of a column at t with the return at t + 1, after the market and industry of that day are taken out. */
function nextReturnCorrelation(market: SimulatedMarket, score: (t: number, n: number) => number): { correlation: number; cells: number } {
  const N = market.tickers.length;
  const returns = market.columns.get("day_return")!;
  let [xy, xx, yy, cells] = [0, 0, 0, 0];
  for (let t = 0; t + 1 < market.dates.length; t++) {
    for (let n = 0; n < N; n++) {
      if (market.listed[t * N + n] === 0 || market.listed[(t + 1) * N + n] === 0) continue;
      const [x, y] = [score(t, n), returns[(t + 1) * N + n]!];
      xy += x * y;
      xx += x * x;
      yy += y * y;
      cells++;
    }
  }
  return { correlation: xy / Math.sqrt(xx * yy), cells };
}

/** Mean news of a stock's listed peers: what only a graph can see. */
function peerNews(market: SimulatedMarket): (t: number, n: number) => number {
  const N = market.tickers.length;
  const news = market.columns.get("news")!;
  return (t, n) => {
    let sum = 0;
    for (let j = 0; j < N; j++) if (j !== n && market.industries[j] === market.industries[n] && market.listed[t * N + j] === 1) sum += news[t * N + j]!;
    return sum;
  };
}

describe("simulateMarket", () => {
  it("is the same market for the same seed and another one for another", () => {
    const [first, again, other] = [0, 0, 1].map((seed) => simulateMarket({ seed, stocks: 31, dates: 40 }));
    expect(again).toEqual(first);
    expect(other!.columns.get("close")).not.toEqual(first!.columns.get("close"));
  });

  it("plants a lead-lag in peers' news that the null market lacks", () => {
    const options = { seed: 5, stocks: 60, dates: 400 };
    const planted = simulateMarket(options);
    const absent = simulateMarket({ ...options, leadLag: false });
    const inPlanted = nextReturnCorrelation(planted, peerNews(planted));
    const inNull = nextReturnCorrelation(absent, peerNews(absent));
    // Returns share their industry's shock, so that about 8 * 400 cells are independent: one standard error is near 0.018.
    expect(inPlanted.correlation).toBeGreaterThan(0.1);
    expect(Math.abs(inNull.correlation)).toBeLessThan(0.055);
  });

  it("gives a stock's own news no say in its own next return, but its signal some", () => {
    const market = simulateMarket({ seed: 2, stocks: 60, dates: 500 });
    const N = 60;
    const column = (name: string) => (t: number, n: number) => market.columns.get(name)![t * N + n]!;
    const own = nextReturnCorrelation(market, column("news"));
    // 30,000 cells: one standard error is 0.006.
    expect(Math.abs(own.correlation)).toBeLessThan(0.018);
    expect(nextReturnCorrelation(market, column("signal")).correlation).toBeGreaterThan(0.025);
  });

  it("differs from its null market in nothing but the spillover", () => {
    const planted = simulateMarket({ seed: 4, stocks: 33, dates: 60 });
    const absent = simulateMarket({ seed: 4, stocks: 33, dates: 60, leadLag: false });
    for (const name of ["signal", "news", "style1", "style5"]) expect(absent.columns.get(name)).toEqual(planted.columns.get(name));
    expect(absent.listed).toEqual(planted.listed);
    expect(absent.industries).toEqual(planted.industries);
    const deviation = (market: SimulatedMarket): number => Math.sqrt(market.columns.get("day_return")!.reduce((sum, r) => sum + r * r, 0));
    expect(deviation(absent) / deviation(planted)).toBeCloseTo(1, 1);
    const [without, alsoWithout] = [true, false].map((leadLag) => simulateMarket({ seed: 4, stocks: 33, dates: 60, leadLag, spillover: 0 }));
    expect(without!.columns).toEqual(alsoWithout!.columns);
  });

  it("has listings, delistings and suspensions, and prices above 0 that follow the returns", () => {
    const market = simulateMarket({ seed: 1 });
    const [T, N] = [market.dates.length, market.tickers.length];
    const gaps = market.tickers.map((_, n) => Array.from({ length: T }, (_unused, t) => market.listed[t * N + n]).join(""));
    expect(gaps.filter((days) => days.startsWith("0")).length).toBeGreaterThan(5);
    expect(gaps.filter((days) => days.endsWith("0")).length).toBeGreaterThan(3);
    expect(gaps.filter((days) => /10+1/.test(days)).length).toBeGreaterThan(15);
    const close = market.columns.get("close")!;
    const returns = market.columns.get("day_return")!;
    expect(close.every((price) => price > 0)).toBe(true);
    expect(close[5 * N + 3]! / close[4 * N + 3]! - 1).toBeCloseTo(returns[5 * N + 3]!, 12);
    expect(market.dates.every((date) => ![0, 6].includes(new Date(date).getUTCDay()))).toBe(true);
  });

  it("writes listed rows only, and no hidden industry", async () => {
    const folder = await mkdtemp(join(tmpdir(), "astgnn-simulate-"));
    try {
      const market = simulateMarket({ seed: 3, stocks: 20, dates: 30 });
      await writeSimulatedMarket(market, join(folder, "simulated.csv"));
      const lines = (await readFile(join(folder, "simulated.csv"), "utf8")).trimEnd().split("\n");
      expect(lines[0]).toBe(`date,ticker,close,${SIMULATED_FEATURES.join(",")}`);
      expect(lines.length - 1).toBe(market.listed.reduce((sum, is) => sum + is, 0));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("refuses options it does not know or cannot use", () => {
    expect(() => simulateMarket({ stock: 5 } as never)).toThrow("Unknown option stock of the simulated market. Did you mean stocks?");
    expect(() => simulateMarket({ stocks: 1 })).toThrow("Expected a whole number from 2 for stocks but received 1");
  });
});
