import { afterEach, describe, expect, it, vi } from "vitest";
import { simulateMarket } from "../../lib/demo/simulate.js";
import { audit, Panel, type Finding } from "../../lib/index.js";

/** Whether price breaks are looked for with an eye on the next date. */
const planted = vi.hoisted(() => ({ looksAhead: false }));
vi.mock("../../lib/data/price-breaks.js", async (original) => {
  const real = await original<typeof import("../../lib/data/price-breaks.js")>();
  return {
    ...real,
    findPriceBreaks: async (values: Parameters<typeof real.findPriceBreaks>[0], dates: readonly string[], tickers: readonly string[], first?: number) => {
      const found = await real.findPriceBreaks(values, dates, tickers, first);
      if (!planted.looksAhead) return found;
      const [close, N] = [values.get("close")!, tickers.length];
      // A move counts where the price does not come back on the next date.
      return { ...found, cells: Array.from(close.keys()).filter((cell) => cell >= 250 * N && close[cell]! < 0.975 * close[cell - N]! && close[cell + N]! <= close[cell]!) };
    },
  };
});

const market = simulateMarket({ seed: 3, stocks: 24, dates: 320 });
const N = market.tickers.length;
const dates = market.dates.map((_, t) => new Date(Date.UTC(2010, 0, 4 + 7 * t)).toISOString().slice(0, 10));

/** Prices with a split of each stock that nobody adjusted, and volumes. */
async function panel(): Promise<Panel> {
  const close = market.columns.get("close")!.map((value, cell) => (Math.floor(cell / N) > 40 + 10 * (cell % N) ? value / 2 : value));
  const column = (of: (cell: number) => number): Float64Array => Float64Array.from(close, (value, cell) => (Number.isNaN(value) ? NaN : of(cell)));
  const columns = {
    close, open: column((cell) => close[cell]! * 0.999), high: column((cell) => close[cell]! * 1.01), low: column((cell) => close[cell]! * 0.98),
    volume: column((cell) => 1000 + ((cell * 37) % 91)),
  };
  return Panel.from({ dates, tickers: market.tickers, columns }, { onWarning: () => {}, maxDropped: 1, extremeReturns: "missing" });
}

async function futureReads(): Promise<readonly Finding[]> {
  const { findings } = await audit(await panel(), { window: 4, split: { trainEnd: dates[190]!, validEnd: dates[240]! }, maxDropped: 1 });
  return findings.filter(({ code }) => code === "future_read");
}

describe("The future probe of the cleaning", () => {
  afterEach(() => {
    planted.looksAhead = false;
  });

  it("is silent where price breaks are found from the past", async () => {
    expect((await panel()).priceBreaks.length).toBeGreaterThan(10);
    expect(await futureReads()).toEqual([]);
  });

  it("fails where they are found with the next date", async () => {
    planted.looksAhead = true;
    expect(await futureReads()).toMatchObject([{ severity: "fail", text: expect.stringContaining("the inputs changed") }]);
  });
});
