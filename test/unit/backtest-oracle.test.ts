import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Panel } from "../../lib/data/panel.js";
import { backtest } from "../../lib/portfolio/backtest/backtest.js";
import type { BacktestOptions } from "../../lib/portfolio/backtest/options.js";
import { weekdays } from "./data-tables.js";

type Rows = readonly (readonly (number | null)[])[];

/** What scripts/make-backtest-fixtures.py wrote; missing prices are null. */
interface Fixture {
  readonly close: Rows;
  readonly gaps: Rows;
  readonly volume: Rows;
  readonly tradable: Rows;
  readonly fills: readonly number[];
  readonly longOnly: Rows;
  readonly longShort: Rows;
  readonly cases: readonly { readonly oracle: string; readonly weights: "longOnly" | "longShort"; readonly isGapped?: boolean; readonly options: BacktestOptions; readonly equity: readonly number[] }[];
}

const fixture = JSON.parse(readFileSync(new URL("fixtures/backtest.json", import.meta.url), "utf8")) as Fixture;
const dates = weekdays(fixture.close.length);
const tickers = fixture.close[0]!.map((_, n) => `S${n}`);
const numbers = (rows: Rows): Float64Array => Float64Array.from(rows.flat(), (value) => value ?? NaN);

const panelOf = (close: Rows, tradable?: Rows): Promise<Panel> =>
  Panel.from({ dates, tickers, columns: { close: numbers(close), volume: numbers(fixture.volume), ...(tradable === undefined ? {} : { tradable: tradable.flat().map((flag) => flag === 1) }) } }, {
    maxDropped: 1, onWarning: () => {}, ...(tradable === undefined ? {} : { tradableColumn: "tradable" }),
  });

describe("the equity of a backtest equals that of", () => {
  it.each(fixture.cases)("$oracle", async ({ weights, isGapped = false, options, equity }) => {
    const rows = fixture[weights];
    const source = { weights: { data: numbers(rows), shape: [rows.length, tickers.length] as const, dates: fixture.fills.map((t) => dates[t - 1]!), tickers } };
    const panel = isGapped ? await panelOf(fixture.gaps, fixture.tradable) : await panelOf(fixture.close);
    const found = await backtest(source, panel, { costBps: 0, borrowBps: 0, onWarning: () => {}, ...options });
    expect(found.daily.equity).toHaveLength(equity.length);
    // Money of a million over sixty dates; the root searches of the oracles stop at 1e-9.
    found.daily.equity.forEach((value, i) => expect(value / equity[i]!).toBeCloseTo(1, 11));
    if (isGapped) expect(found.ledger.entries.filter(({ stage }) => stage === "fills").map(({ reason }) => reason)).toEqual(expect.arrayContaining(["blocked_sells", "delisted", "without_impact"]));
  });
});
