import { describe, expect, it } from "vitest";
import { evaluate } from "../../lib/metrics/evaluate.js";
import type { ReportNumbers } from "../../lib/report/numbers.js";
import { renderReport } from "../../lib/report/render.js";
import { fullReport, market, stored } from "../browser/numbers.js";

/** What a reader sees, without charts, markup and style. */
function textOf(page: string): string {
  return page.replace(/<style>[^]*?<\/style>|<svg[^]*?<\/svg>/g, " ").replace(/<[^>]+>/g, " ").replace(/\s+/g, " ");
}

const WITHOUT_NUMBER = /\b(NaN|null|undefined|Infinity|\[object)/;

describe("the page of a report", () => {
  it("is one file under 3 MB that names no address, runs no script and is the same for the same numbers", async () => {
    const page = await renderReport(fullReport());
    expect(page.length).toBeLessThan(3e6);
    expect(page).not.toMatch(/https?:|src=|@import|url\((?!#)|<script|javascript:/);
    expect(textOf(page)).not.toMatch(WITHOUT_NUMBER);
    // No toBe: a difference would print the whole page.
    expect((await renderReport(fullReport())) === page).toBe(true);
  });

  it("shows names that look like markup as text", async () => {
    const page = await renderReport({ ...fullReport(), subject: { name: '"><img src=x onerror=alert(1)>', kind: "run" } });
    expect(page).not.toMatch(/<script|<img|<b>size/);
    expect(page).toContain("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;");
    expect(page).toContain("ma5, &lt;script&gt;");
  });

  it("leads with the IC, its interval, what was trained on what and the verdict of the audit", async () => {
    const numbers = fullReport();
    const text = textOf(await renderReport(numbers));
    const { ic, icInterval } = numbers.test!;
    expect(text).toContain(`IC ${ic!.toFixed(4)} on 420 test dates 95 % interval ${icInterval[0]!.toFixed(4)} to ${icInterval[1]!.toFixed(4)}: above zero.`);
    expect(text).toContain("A factor model of 32 risk factors (137 633 parameters), on ohlcv, the last 16 dates of each stock. Trained on prices &lt;script&gt;.parquet, 2 January 2013 to 30 June 2015");
    expect(text).toContain("The audit failed: 1 finding because of which these numbers cannot be believed.");
  });

  it("says why the day's highest and lowest scores are what they are", async () => {
    const text = textOf(await renderReport(fullReport()));
    expect(text).toContain("The highest and lowest scores of 11 August 2017.");
    expect(text).toContain("S001 0.9000 0.3600 +0.5400 volatility_20 +0.4500, &lt;b&gt;return_1&lt;/b&gt; +0.3000, close_over_mean_20 +0.2250, overnight_return +0.1800, all others +0.0020");
    expect(text).toContain("S007 −0.8000 −0.3200 −0.4800");
  });

  it("shows what books came to, and where nothing was left of one", async () => {
    const text = textOf(await renderReport(fullReport()));
    expect(text).toContain("mean-variance: Filled at the close of the date after the decision; 5 bp of each unit traded one way; 50 bp a year on what is short; square-root impact with coefficient 1 at a capital of 10 million.");
    expect(text).toMatch(/top &lt;script&gt;: nothing was left on \d{4}-\d\d-\d\d, and the book ends there/);
    const { backtests } = fullReport();
    const alone = textOf(await renderReport(stored({ subject: { name: "weights.csv", kind: "backtest", prices: "/data/prices.parquet" }, backtests: backtests!.slice(0, 1) })));
    expect(alone).toContain("Sharpe 0.50 after costs on 420 dates Return a year 8.0 %, 95 % interval −15.0 % to 31.0 %: zero is inside. t 0.64 by Newey and West.");
    expect(alone).not.toMatch(WITHOUT_NUMBER);
    expect(alone).not.toContain("RankIC");
  });

  it("shows the risk model of the run beside others", async () => {
    const text = textOf(await renderReport(fullReport()));
    expect(text).toContain("on 484 dates from 2016-01-07 to 2017-12-07, 1 024 stocks each");
    expect(text).toContain("for 90.0 % of the random portfolios");
    expect(text).toContain("sample covariance −8.890 −11.190");
    expect(text).toContain("Surely better than sample covariance, Ledoit and Wolf.");
  });

  it("names the command where no audit was made", async () => {
    const text = textOf(await renderReport({ ...fullReport(), audit: undefined }));
    expect(text).toContain("Not audited for leaks. astgnn audit --run first does it.");
  });
});

describe("predictions that little can be said of", () => {
  const reportOf = (change: (values: { predictions: Float64Array; labels: Float64Array }, stocks: number) => void, dates = 30, stocks = 12): ReportNumbers => {
    const { predictions, labels } = market(dates, stocks);
    change({ predictions: predictions.data as Float64Array, labels: labels.data as Float64Array }, stocks);
    return stored({ test: evaluate(predictions, labels, { horizonDays: 2, bootstrapDraws: 50 }) });
  };

  it.each<[string, ReportNumbers, readonly (string | RegExp)[]]>([
    ["without labels", reportOf(({ labels }) => labels.fill(NaN)), ["No IC: no date has two stocks with a prediction and returns that differ", "no statistic can be computed", /ICIR – no date has two stocks/, /RankIC – no date/]],
    ["all NaN", reportOf(({ predictions }) => predictions.fill(NaN)), ["No IC: no date has two stocks with a prediction and returns that differ"]],
    ["of one date", reportOf(() => {}, 1), [/IC −?0\.\d{4} on 1 test date\b/, /ICIR – one date has no spread: two are needed/, "There is 1 date: intervals and t of so few mean little."]],
    ["of two stocks", reportOf(() => {}, 30, 2), ["There are two stocks a date on average: an IC of so few is mostly chance, of two it is −1, 0 or 1."]],
    ["that are constant", reportOf(({ predictions }) => predictions.fill(1)), ["IC 0.0000 on 30 test dates", "Predictions are constant on every date: their IC is 0 by definition.", /ICIR – its daily values are all equal/]],
    ["half of which are NaN", reportOf(({ predictions }) => predictions.fill(NaN, 0, 180)), [/IC −?0\.\d{4} on 15 test dates/, "There are 15 dates"]],
    ["without prices", reportOf(() => {}), [/Sharpe after costs – the data have no closing prices/]],
  ])("%s: the page has a dash and why, and no number that is none", async (_, numbers, expected) => {
    const page = await renderReport(numbers);
    const text = textOf(page);
    for (const part of expected) expect(text).toMatch(typeof part === "string" ? new RegExp(part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")) : part);
    expect(text).not.toMatch(WITHOUT_NUMBER);
    expect(page).not.toMatch(/>NaN|NaN[ ,"]/);
  });
});
