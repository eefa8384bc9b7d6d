import { join } from "node:path";
import type { Panel, PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source/panel-source.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { requireObject } from "../options.js";
import { peersOfRun } from "../evaluate/peers/run.js";
import { DAYS_BEFORE } from "../evaluate/peers/realised.js";
import { peerLists } from "../model/peer-lists.js";
import { loadRun } from "../run/load.js";
import type { Warning } from "../warn.js";
import type { FactorForm } from "./factor-form.js";
import { openWithGroups } from "./open-with-groups.js";
import { PanelReturns } from "./panel-returns.js";
import { closest, Realised } from "./realised-neighbours.js";
import { LEAST_DATES } from "./specific-risk.js";
import { walkRisk, type RiskSource, type WalkOptions } from "./walk.js";

/** Whose neighbours, on which date. */
export interface SimilarOptions extends Pick<WalkOptions, "model" | "axes" | "signal"> {
  /** YYYY-MM-DD. */
  readonly date: string;
  readonly ticker: string;
  /** Neighbours of each kind. Whole, from 1; default 10. */
  readonly top?: number | undefined;
  /** Dates before `date` on which to see whether they were neighbours. Whole, from 0; default 60. */
  readonly lookBack?: number | undefined;
  /** Exposures beside M. Default none. */
  readonly exposures?: readonly string[] | undefined;
  /** The data at another place. Default: what the run was trained on. */
  readonly source?: PanelSource | Panel | undefined;
  /** Groups of the stocks. Default: those of the run's data. */
  readonly groups?: PanelOptions["groups"] | undefined;
  readonly threads?: number | undefined;
  /** Told where the graph means nothing. Default: Node prints it once. */
  readonly onWarning?: ((warning: Warning) => void) | undefined;
}

/** A stock that is similar. */
export interface SimilarStock {
  readonly ticker: string;
  /** Entry of A, correlation under the risk model, or realised correlation: what the list is ordered by. */
  readonly weight: number;
  readonly group?: string;
  /** Realised correlation over the 60 dates up to the date; NaN with fewer than 30 of them. */
  readonly correlation60: number;
  /** Over the 20 dates after it: KNOWN ONLY AFTERWARDS. */
  readonly correlationNext20: number;
  /** The date from which it has been on the list without a gap, at the earliest the first that was looked at. */
  readonly since: string;
}

/** Neighbours of a stock by three measures, and what each list is worth. */
export interface SimilarStocks {
  readonly date: string;
  readonly ticker: string;
  readonly group?: string;
  /** By the row of A. */
  readonly byGraph: readonly SimilarStock[];
  /** By correlation under the risk model of the run. */
  readonly byRisk: readonly SimilarStock[];
  /** By correlation of the last 60 daily returns. */
  readonly byRealised: readonly SimilarStock[];
  /**
   * Peer correlation over the 20 dates after: correlation over all stocks of a stock's standardised return with the mean of those on its list, mean over the days; KNOWN ONLY
   * AFTERWARDS, NaN where fewer follow. `group`: the other stocks of its group; NaN without groups.
   */
  readonly peerCorrelationNext20: { readonly byGraph: number; readonly byRisk: number; readonly byRealised: number; readonly group: number };
  /** Share of a stock's list that is of its group, mean over all stocks with a group; `chance`: of all others. NaN without groups. */
  readonly sameGroup: { readonly byGraph: number; readonly byRisk: number; readonly byRealised: number; readonly chance: number };
}

/**
 * Stocks that are similar to one on a date: by the graph of the model, by correlation under its risk model, and by the returns of the last 60 dates, side by side. All but the
 * fields that say so was known on the date.
 *
 * @example
 * const { byGraph, byRisk, byRealised } = await similar("runs/first", { date: "2017-06-01", ticker: "AAPL", top: 5 });
 * @throws AstgnnError ERR_OPTION for an unknown ticker, an ensemble or a model without a graph; ERR_CHECKPOINT where the folder holds no run; ERR_DATA where the date or the stock is not in
 */
export async function similar(folder: string, options: SimilarOptions): Promise<SimilarStocks> {
  requireObject(options, "options", "{ date, ticker }");
  const { date, ticker, top = 10, lookBack = 60, exposures, source, groups, threads, signal, onWarning, ...walking } = options;
  if (!Number.isInteger(top) || top < 1) throw invalidOption("top", "a whole number from 1", top);
  if (!Number.isInteger(lookBack) || lookBack < 0) throw invalidOption("lookBack", "a whole number from 0", lookBack);
  const graph = await peersOfRun(folder, { date, ticker, top, lookBack, threads, ...(source === undefined ? {} : { source: source as PanelSource }), ...(signal === undefined ? {} : { signal }), ...(onWarning === undefined ? {} : { onWarning }) });
  const panel = await openWithGroups(folder, { source, groups, signal });
  const returns = await PanelReturns.of(panel, undefined, signal);
  const t = panel.dates.indexOf(date);
  const realised = new Realised(panel, returns);
  const risk = await riskLists({ run: folder, exposures }, panel, returns, { date, ticker, top, lookBack, ...walking, signal });
  const rows = risk.form.tickers.map((name) => returns.stock(name));
  const own = rows.indexOf(returns.stock(ticker));
  const days: string[][] = [];
  for (let day = t; day >= Math.max(DAYS_BEFORE, t - lookBack); day--) days.push(realised.nearest(day, rows, own, top).map(({ row }) => risk.form.tickers[row]!));
  const group = realised.group(t, returns.stock(ticker));
  const groupOf = (name: string): { group?: string } => {
    const found = realised.group(t, returns.stock(name));
    return found === undefined ? {} : { group: found };
  };
  const entry = (name: string, weight: number, since: string): SimilarStock => ({ ticker: name, weight, ...groupOf(name), ...realised.pair(t, returns.stock(ticker), returns.stock(name)), since });
  const since = (name: string, lists: readonly (readonly string[])[]): string => {
    let days = 0;
    while (lists[days]?.includes(name) === true) days++;
    return panel.dates[t + 1 - Math.max(1, days)]!;
  };
  const graphList = await graphLists(folder, panel, t, rows, top, { threads, signal });
  const riskList = (row: number): number[] => nearestByRisk(risk.form, row, top).map((one) => one.row);
  const realisedList = (row: number): number[] => realised.nearest(t, rows, row, top).map((one) => one.row);
  return {
    date, ticker, ...(group === undefined ? {} : { group }),
    byGraph: graph.peers.map((peer) => ({ ticker: peer.ticker, weight: peer.weight, ...groupOf(peer.ticker), correlation60: peer.correlation60, correlationNext20: peer.correlationNext20, since: peer.since })),
    byRisk: risk.lists[0]!.map(({ ticker: name, weight }) => entry(name, weight, since(name, risk.lists.map((list) => list.map((one) => one.ticker))))),
    byRealised: realised.nearest(t, rows, own, top).map(({ row, weight }) => entry(risk.form.tickers[row]!, weight, since(risk.form.tickers[row]!, days))),
    peerCorrelationNext20: {
      byGraph: realised.peerCorrelation(t, rows, graphList),
      byRisk: realised.peerCorrelation(t, rows, riskList),
      byRealised: realised.peerCorrelation(t, rows, realisedList),
      group: realised.hasGroups ? realised.peerCorrelation(t, rows, (row) => realised.members(t, rows, row)) : NaN,
    },
    sameGroup: realised.hasGroups ? { byGraph: realised.sameGroup(t, rows, graphList), byRisk: realised.sameGroup(t, rows, riskList), byRealised: realised.sameGroup(t, rows, realisedList), chance: realised.sameGroup(t, rows, (row) => Array.from(rows.keys()).filter((other) => other !== row)) } : { byGraph: NaN, byRisk: NaN, byRealised: NaN, chance: NaN },
  };
}

interface Asked extends Pick<SimilarOptions, "date" | "ticker" | "model" | "axes" | "signal"> {
  readonly top: number;
  readonly lookBack: number;
}

/** Nearest stocks under the risk model, of the date and those before it, newest first. */
async function riskLists(source: RiskSource, panel: Panel, returns: PanelReturns, { date, ticker, top, lookBack, ...options }: Asked): Promise<{ form: FactorForm; lists: { ticker: string; weight: number }[][] }> {
  const first = panel.dates[Math.max(0, panel.dates.indexOf(date) - lookBack)]!;
  const lists: { ticker: string; weight: number }[][] = [];
  let form: FactorForm | undefined;
  for await (const { model, date: day } of walkRisk(source, panel, returns, { ...options, to: date, lastFold: true })) {
    // Before there are more dates than factors, and as many as specific volatilities need, there is no covariance; the date itself needs one.
    if (day < first || (day < date && (model.dates <= model.factors.length || model.dates < LEAST_DATES))) continue;
    form = model.form();
    const { tickers } = form;
    const row = tickers.indexOf(ticker);
    lists.unshift(row < 0 ? [] : nearestByRisk(form, row, top).map((one) => ({ ticker: tickers[one.row]!, weight: one.weight })));
  }
  if (form === undefined || form.date !== date) throw new AstgnnError("ERR_DATA", `There is no M of ${date} in ${join(String((source as { run: string }).run), "factors.parquet")} or by the model.`, { date, next: "Name a date that has rows." });
  return { form, lists };
}

/** Stocks by their correlation with a row under a form, highest first. */
export function nearestByRisk({ exposures, factorCovariance, specificVariance, tickers, factors }: FactorForm, row: number, top: number): { row: number; weight: number }[] {
  const [N, K] = [tickers.length, factors.length];
  const towards = new Float64Array(K);
  for (let a = 0; a < K; a++) for (let b = 0; b < K; b++) towards[a]! += factorCovariance[a * K + b]! * exposures[row * K + b]!;
  const variance = (i: number): number => {
    let sum = specificVariance[i]!;
    for (let a = 0; a < K; a++) for (let b = 0; b < K; b++) sum += exposures[i * K + a]! * factorCovariance[a * K + b]! * exposures[i * K + b]!;
    return sum;
  };
  const own = VARIANCES.get(exposures) ?? Float64Array.from({ length: N }, (_, i) => variance(i));
  VARIANCES.set(exposures, own);
  return closest(Float64Array.from({ length: N }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += exposures[i * K + k]! * towards[k]!;
    return i === row ? NaN : sum / Math.sqrt(own[i]! * own[row]!);
  }), top);
}

/** Total variances of the stocks of a form, by its exposures: each row of a form asks for them. */
const VARIANCES = new WeakMap<Float64Array, Float64Array>();

/** The list of every row by A. */
async function graphLists(folder: string, panel: Panel, t: number, rows: readonly number[], top: number, { threads, signal }: Pick<SimilarOptions, "threads" | "signal">): Promise<(row: number) => number[]> {
  using run = await loadRun(folder);
  using dataset = await panel.dataset({ description: run.dataset, from: panel.dates[t]!, ...(signal === undefined ? {} : { signal }) });
  const day = dataset.dates.indexOf(panel.dates[t]!);
  const stocks = dataset.rowStocks.subarray(dataset.rowOffsets[day]!, dataset.rowOffsets[day + 1]!);
  const lists = await peerLists(run.models[0], dataset, { dates: Int32Array.of(day), top: Math.min(top, Math.max(1, stocks.length - 1)), threads, signal });
  const width = lists.rows.length / stocks.length;
  const rowOf = new Map(rows.map((n, row) => [panel.tickers[n]!, row]));
  const from = new Map(Array.from(stocks, (n, i) => [dataset.tickers[n]!, i]));
  return (row) => {
    const i = from.get(panel.tickers[rows[row]!]!);
    if (i === undefined) return [];
    return Array.from(lists.rows.subarray(i * width, (i + 1) * width), (other) => (other < 0 ? undefined : rowOf.get(dataset.tickers[stocks[other]!]!))).filter((other): other is number => other !== undefined);
  };
}
