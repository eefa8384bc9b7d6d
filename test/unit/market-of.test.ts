import { afterAll, describe, expect, it } from "vitest";
import { openPanel } from "../../lib/data/panel.js";
import { marketOf } from "../../lib/evaluate/market-of.js";
import { Folder } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

describe("marketOf", () => {
  it("takes closes as they are, groups of the predictions' dates, and the mean of close x volume of up to twenty dates before and on each", async () => {
    const days = Array.from({ length: 24 }, (_, d) => `2020-01-${String(d + 1).padStart(2, "0")}`);
    const rows = days.flatMap((date, d) => [`${date},A,${10 + d},${d === 21 ? "" : 100},x,${d}`, `${date},B,5,200,${d < 22 ? "x" : "y"},1`]);
    const file = folder.write("prices.csv", `date,ticker,close,volume,industry,beta\n${rows.join("\n")}\n`);
    const panel = await openPanel(file, { groupColumn: "industry", onWarning: () => {} });
    await panel.read(["beta"]);
    const predictions = { dates: [days[22]!, days[23]!], tickers: ["B", "C", "A"] };
    const { closes, groups, sizes, exposures } = marketOf(panel, predictions, { exposures: ["beta"] });
    expect(closes!.dates).toBe(panel.dates);
    expect(groups!.names.map((name) => name)).toEqual(["x", "y"]);
    expect(Array.from(groups!.codes)).toEqual([1, -1, 0, 1, -1, 0]);
    // A has no volume on the 22nd: nineteen of the twenty dates up to the 23rd.
    const mean = (from: number, to: number): number => Array.from({ length: to - from + 1 }, (_, i) => from + i).filter((d) => d !== 21).reduce((sum, d, _, all) => sum + ((10 + d) * 100) / all.length, 0);
    expect(sizes!.tickers).toEqual(["A", "B"]);
    expect(Array.from(sizes!.data)).toEqual([expect.closeTo(mean(3, 22), 2), 1000, expect.closeTo(mean(4, 23), 2), 1000]);
    expect(Object.keys(exposures!)).toEqual(["beta"]);
    expect(() => marketOf(panel, predictions, { exposures: ["bta"] })).toThrow("The panel has no column bta");
  });
  it("lets nobody earn a price break that was made missing", async () => {
    const days = Array.from({ length: 12 }, (_, d) => `2020-01-${String(d + 1).padStart(2, "0")}`);
    // A 4:1 split overnight that the prices were not adjusted for.
    const rows = days.map((date, d) => { const c = d < 6 ? 40 + d : (40 + d) / 4; return `${date},A,${c},${c},${c},${c},100`; });
    const panel = await openPanel(folder.write("split.csv", `date,ticker,open,high,low,close,volume\n${rows.join("\n")}\n`), { extremeReturns: "missing", onWarning: () => {} });
    const closes = marketOf(panel, { dates: days, tickers: ["A"] }).closes!.data;
    expect(panel.priceBreaks.length).toBe(1);
    expect(Array.from(closes)).toEqual([40, 41, 42, 43, 44, 45, 45, ...[47, 48, 49, 50, 51].map((close) => expect.closeTo((45 * close) / 46, 10))]);
  });
});
