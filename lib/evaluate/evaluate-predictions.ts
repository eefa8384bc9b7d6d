import { z } from "zod";
import { LedgerBuilder } from "../data/ledger.js";
import { listed, refuseLoss } from "../data/loss.js";
import { openPanel, type Panel, type PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source/panel-source.js";
import type { LabelValues, Ledger, PanelValues } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { evaluateKnowing } from "../metrics/evaluate.js";
import { statisticsShape } from "../metrics/statistics-options.js";
import type { Evaluation, StudyOptions } from "../metrics/study.js";
import { resolveOptions } from "../options.js";
import { knownExposures } from "./known-exposures.js";
import { marketOf } from "./market-of.js";

/** How to evaluate predictions that another tool made. The options of `openPanel` are for the prices. */
export interface EvaluatePredictionsOptions
  extends PanelOptions, Pick<StudyOptions, "quantiles" | "topK" | "costBps" | "borrowBps" | "periodsPerYear" | "bootstrapDraws" | "seed"> {
  /** The days that predictions are about, in panel dates: `lagDays` from the prediction's own to the close at which it is traded, from 0; `horizonDays` from there on, from 1. Default 1 and 1. */
  readonly label?: { readonly horizonDays?: number | undefined; readonly lagDays?: number | undefined } | undefined;
  /** Known properties of stocks: `"loadings"`, `"style"` and number columns of the prices, and `"groups"` for an intercept per group of `neutral`. Default: the groups alone. */
  readonly exposures?: readonly string[] | undefined;
}

/** What predictions are worth on the prices. */
export interface PredictionsEvaluation {
  readonly test: Evaluation;
  /** What was dropped of both tables; predictions without a label among it. */
  readonly ledger: Ledger;
}

const OptionsSchema = z.strictObject({
  ...statisticsShape,
  label: z.strictObject({
    horizonDays: z.int().min(1).default(1).describe("a whole number from 1"),
    lagDays: z.int().min(0).default(1).describe("a whole number from 0"),
  }),
});

/**
 * Evaluates predictions of any model: a table with date, ticker and prediction (Parquet, CSV or a query) against the closes of another. Labels are the returns from
 * the close `label.lagDays` panel dates after the prediction's own to that `label.horizonDays` later; stocks and dates come in any order.
 *
 * @example
 * const { test } = await evaluatePredictions("lightgbm.parquet", "prices.parquet", { label: { horizonDays: 5 } });
 * @throws AstgnnError ERR_DATA for a (date, ticker) that stands twice, infinite values, and where more than `maxDropped` of the predictions have no prices; ERR_OPTION, ERR_ABORTED
 */
export async function evaluatePredictions(predictions: PanelSource, prices: PanelSource, options: EvaluatePredictionsOptions = {}): Promise<PredictionsEvaluation> {
  const { label: days, quantiles, topK, costBps, borrowBps, periodsPerYear, bootstrapDraws, seed, exposures, ...panelOptions } = options;
  const { label, ...statistics } = resolveOptions(OptionsSchema, { label: days ?? {}, quantiles, topK, costBps, borrowBps, periodsPerYear, bootstrapDraws, seed }, "evaluatePredictions");
  const { signal } = panelOptions;
  const scores = await openPanel(predictions, { columns: ["prediction"], maxDropped: 1, onWarning: () => {}, ...(signal === undefined ? {} : { signal }) });
  const panel = await openPanel(prices, panelOptions);
  if (!panel.has("close")) throw new AstgnnError("ERR_DATA", `${panel.source} has no column close.`, { column: "close", next: "Name the column of the closing price close, e.g. in a { sql } query." });
  const ledger = new LedgerBuilder();
  const values = placed(scores, panel, panelOptions, ledger);
  const labels = labelsOf(panel, values.dates, label.horizonDays, label.lagDays);
  countUnlabelled(values, labels, ledger);
  const known = exposures === undefined ? undefined : await knownExposures(panel, exposures, { signal });
  const test = evaluateKnowing(values, labels, { ...statistics, ...marketOf(panel, values) }, known?.of);
  known?.release();
  const { entries, rowsRead, rowsKept } = ledger.build(scores.ledger.rowsRead, scores.ledger.rowsKept);
  return { test, ledger: { entries: [...panel.ledger.entries, ...entries], rowsRead: rowsRead + panel.ledger.rowsRead, rowsKept: rowsKept + panel.ledger.rowsKept } };
}

/** The predictions on the prices' stocks and on those of their dates that have any; what has no prices is counted. */
function placed(scores: Panel, panel: Panel, { maxDropped = 0.05, universeColumn }: PanelOptions, ledger: LedgerBuilder): PanelValues {
  const known = new Map(panel.tickers.map((ticker, n) => [ticker, n]));
  const days = new Set(panel.dates);
  const columns = scores.tickers.map((ticker) => known.get(ticker) ?? -1);
  const rows = [...scores.dates.keys()].filter((t) => days.has(scores.dates[t]!));
  const data = new Float64Array(rows.length * panel.tickers.length).fill(NaN);
  const source = scores.values("prediction");
  const width = scores.tickers.length;
  for (const [t, row] of rows.entries()) {
    for (const [n, column] of columns.entries()) if (column >= 0) data[t * panel.tickers.length + column] = source[row * width + n]!;
  }
  const [all, kept] = [countOf(source), countOf(data)];
  const dates = rows.map((row) => scores.dates[row]!);
  if (universeColumn !== undefined) leaveOutsiders(data, dates, panel, ledger);
  const strangers = scores.tickers.filter((_, n) => columns[n] === -1);
  const otherDates = scores.dates.filter((date) => !days.has(date));
  ledger.add("source", "unknown_tickers", strangers.length, "stocks", `stocks of ${scores.source} are not in ${panel.source}: ${listed(strangers)}`);
  ledger.add("source", "unknown_dates", otherDates.length, "dates", `dates of ${scores.source} are not in ${panel.source}: ${listed(otherDates)}`);
  refuseLoss({ lost: all - kept, of: all, what: `predictions of ${scores.source}`, why: `are of stocks or dates that ${panel.source} does not have, e.g. ${[...strangers, ...otherDates][0] ?? ""}` }, maxDropped, {
    file: scores.source,
    next: "Name the prices of the same market, with tickers written alike, or raise maxDropped.",
  });
  return { data, shape: [rows.length, panel.tickers.length], dates, tickers: panel.tickers };
}

/** Only members of the universe count, as in training. */
function leaveOutsiders(data: Float64Array, dates: readonly string[], panel: Panel, ledger: LedgerBuilder): void {
  const stocks = panel.tickers.length;
  const index = new Map(panel.dates.map((date, t) => [date, t]));
  let outside = 0;
  for (const [t, date] of dates.entries()) {
    for (let n = 0; n < stocks; n++) {
      if (Number.isNaN(data[t * stocks + n]!) || panel.universe[index.get(date)! * stocks + n] === 1) continue;
      data[t * stocks + n] = NaN;
      outside++;
    }
  }
  ledger.add("rows", "outside_universe", outside, "rows", "predictions are of stocks that are not in the universe on their date");
}

/** Labels as a dataset of the panel would have them; their own loop, because a dataset has features and splits too. */
function labelsOf(panel: Panel, dates: readonly string[], horizonDays: number, lagDays: number): LabelValues {
  const [close, stocks, { tradable, segments }] = [panel.values("close"), panel.tickers.length, panel];
  const index = new Map(panel.dates.map((date, t) => [date, t]));
  const data = new Float32Array(dates.length * stocks).fill(NaN);
  for (const [t, date] of dates.entries()) {
    const entry = (index.get(date)! + lagDays) * stocks;
    const end = entry + horizonDays * stocks;
    if (end >= close.length) continue;
    for (let n = 0; n < stocks; n++) {
      const isBroken = segments !== undefined && segments[entry + n] !== segments[end + n];
      if (tradable?.[entry + n] === 0 || isBroken) continue;
      data[t * stocks + n] = close[end + n]! / close[entry + n]! - 1;
    }
  }
  return { data, shape: [dates.length, stocks], dates, tickers: panel.tickers, horizonDays: [horizonDays], lagDays, column: undefined };
}

function countUnlabelled(predictions: PanelValues, labels: PanelValues, ledger: LedgerBuilder): void {
  let missing = 0;
  for (const [i, value] of predictions.data.entries()) if (!Number.isNaN(value) && Number.isNaN(labels.data[i]!)) missing++;
  ledger.add("labels", "unlabelled_predictions", missing, "values", "predictions have no label: one of its two closes is missing, or lies after the prices");
}

function countOf(values: Float32Array | Float64Array): number {
  let count = 0;
  for (const value of values) if (!Number.isNaN(value)) count++;
  return count;
}
