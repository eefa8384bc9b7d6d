import { abortedBy } from "../../binding/job.js";
import { LedgerBuilder } from "../../data/ledger.js";
import type { Panel } from "../../data/panel.js";
import type { Ledger } from "../../data/types.js";
import { AstgnnError } from "../../errors.js";
import { requirePanel } from "../../data/given.js";
import { resolveOptions } from "../../options.js";
import { warn } from "../../warn.js";
import { checkBenchmark, relativeTo, type RelativeStatistics } from "./benchmark.js";
import { capacityCurve, recorded, type CapacityPoint } from "./capacity.js";
import { decisionsOfPredictions, decisionsOfSchedule, decisionsOfWeights, type DecisionChecks, type Decisions } from "./decisions.js";
import { BacktestOptionsSchema, type BacktestOptions, type BacktestSource, type ResolvedBacktest } from "./options.js";
import { runBook, type BacktestDays, type Delisting, type Fill, type Trace } from "./run.js";
import { statisticsOf, type BacktestStatistics } from "./statistics.js";

/** What a backtest was told, so far as numbers depend on it. */
export type BacktestTerms = Omit<ResolvedBacktest, "signal" | "onProgress" | "onWarning" | "maxDropped" | "capacity" | "to">;

/** A book through time: numbers, days, fills, and what could not be done. */
export interface Backtest extends BacktestStatistics {
  readonly daily: BacktestDays;
  /** Those of the panel, by which `fills` count their stocks. */
  readonly tickers: readonly string[];
  /** Positions after each decision was filled. */
  readonly fills: readonly Fill[];
  readonly delistings: readonly Delisting[];
  /** Decisions that were filled. */
  readonly decisions: number;
  /** Portfolios side by side. */
  readonly portfolios: number;
  /** Date on which nothing was left: later dates are not there. null where something was. */
  readonly ruined: string | null;
  /** The same decisions at other capitals, the smallest first; null where none were asked for. */
  readonly capacity: readonly CapacityPoint[] | null;
  /** Beside `benchmark`; null where none was named. */
  readonly relative: RelativeStatistics | null;
  readonly terms: BacktestTerms;
  /** Of the prices, of what was decided and of its orders. */
  readonly ledger: Ledger;
}

/**
 * Holds a book of target weights through the prices of a panel: from predictions, from weights of a table, or decided on the way by a function that sees
 * only what was known. A decision is made after a close and filled `lagDays` dates later. Between fills positions drift with their prices.
 *
 * Weights are shares of the value that is left after the costs of the fill. A stock without a price on its fill date, or one that is not tradable, keeps
 * its position; its order waits (`unfilled`). A stock whose prices end is paid out at the last one on the next date and is listed in `delistings`.
 *
 * @param panel prices: column `close`, for fills at the open `open`, for impact `volume`; its flags say what is tradable and in the universe
 * @example
 * const found = await backtest({ weights: "weights.csv" }, await openPanel("prices.parquet"), { costBps: 10 });
 * console.log(found.return, found.sharpe, found.drawdown, found.costs.total);
 * @throws AstgnnError ERR_OPTION, ERR_SHAPE; ERR_DATA for dates or tickers that stand twice, weights that are missing or infinite, a gross above `maxGross`,
 *   more than `maxDropped` of unknown stocks or dates, or nothing that could be filled; ERR_ABORTED
 */
export async function backtest(source: BacktestSource, panel: Panel, options: BacktestOptions = {}): Promise<Backtest> {
  const terms = resolveOptions(BacktestOptionsSchema, options, "backtest");
  requirePanel(panel);
  if (terms.benchmark !== undefined) checkBenchmark(terms.benchmark, panel);
  const ledger = new LedgerBuilder(panel.ledger.entries);
  const decisions = await decisionsOf(source, panel, { ledger, maxDropped: terms.maxDropped, signal: terms.signal });
  // Only what was decided on the way has to be remembered: the rest is decided alike again.
  const { first, again } = "rebalance" in source && terms.capacity !== undefined ? recorded(decisions) : { first: decisions, again: decisions };
  const share = 1 / (1 + (terms.capacity?.length ?? 0));
  const { signal, onProgress } = terms;
  try {
    const trace = await runBook(panel, first, terms, {
      risk: "rebalance" in source ? source.risk : undefined, keepsFills: true, signal, onProgress: onProgress === undefined ? undefined : (done) => onProgress(done * share),
    });
    countOrders(trace, terms, panel, ledger);
    const capacity = terms.capacity === undefined ? null : await capacityCurve(panel, again, terms, { signal, onProgress: (done) => onProgress?.(share + done * (1 - share)) });
    if (trace.ruined !== undefined) warn({ reason: "ruined", text: `Nothing was left of the book on ${trace.ruined}: the backtest ends there.` }, terms.onWarning);
    const { signal: _, onProgress: __, onWarning: ___, maxDropped: ____, capacity: _____, to: ______, ...told } = terms;
    return {
      ...statisticsOf(trace.days, terms),
      daily: trace.days,
      tickers: panel.tickers,
      fills: trace.fills,
      delistings: trace.delistings,
      decisions: trace.decisions,
      portfolios: decisions.portfolios,
      ruined: trace.ruined ?? null,
      capacity,
      relative: terms.benchmark === undefined ? null : relativeTo(terms.benchmark, panel, trace.days, terms.periodsPerYear),
      terms: told,
      ledger: ledger.build(panel.ledger.rowsRead, panel.ledger.rowsKept),
    };
  } catch (error) {
    throw signal?.aborted === true && error === signal.reason ? abortedBy(signal, "The backtest") : error;
  }
}

function decisionsOf(source: BacktestSource, panel: Panel, checks: DecisionChecks): Decisions | Promise<Decisions> {
  const given = source as unknown as Readonly<Record<string, unknown>> | undefined;
  if (given?.["rebalance"] !== undefined) return decisionsOfSchedule(source as Extract<BacktestSource, { rebalance: unknown }>, panel, checks);
  if (given?.["weights"] !== undefined) return decisionsOfWeights(source as Extract<BacktestSource, { weights: unknown }>, panel, checks);
  if (given?.["predictions"] !== undefined) return decisionsOfPredictions(source as Extract<BacktestSource, { book?: unknown }>, panel, checks);
  throw new AstgnnError("ERR_OPTION", "Expected { predictions }, { weights } or { rebalance } as the source of a backtest.", { option: "source", next: "Say where its weights come from." });
}

function countOrders({ orders, unfilled, delistings }: Trace, { unfilled: rule }: ResolvedBacktest, panel: Panel, ledger: LedgerBuilder): void {
  const fate = rule === "carry" ? "waited" : "were dropped";
  const unused = orders.blockedBuys + orders.blockedSells - orders.filledLate;
  ledger.add("fills", "blocked_buys", orders.blockedBuys, "orders", `orders to buy ${fate}: the stock had no price on the fill date or was not tradable`);
  ledger.add("fills", "blocked_sells", orders.blockedSells, "orders", `orders to sell ${fate}: the stock had no price on the fill date or was not tradable`);
  if (rule === "carry") ledger.add("fills", "never_filled", unused, "orders", "orders that waited were never filled: decided anew, delisted or at the end before that");
  ledger.add("fills", "delisted_orders", orders.delisted, "orders", `orders were for stocks that have no price any more in ${panel.source}`);
  ledger.add("fills", "delisted", delistings.length, "stocks", "positions were paid out at the last price, for their stocks have no later one");
  ledger.add("fills", "without_impact", orders.withoutImpact, "orders", "orders were filled without impact: too little is known of the stock's volatility or traded value");
  ledger.add("fills", "decisions_after_end", unfilled, "dates", "decisions would have been filled after the last date");
}
