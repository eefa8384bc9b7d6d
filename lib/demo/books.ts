import type { Panel } from "../data/panel.js";
import type { PanelValues } from "../data/types.js";
import { summary } from "../metrics/statistics.js";
import { backtest, type Backtest } from "../portfolio/backtest/backtest.js";
import type { BacktestOptions, BacktestSource, Known, TargetWeights } from "../portfolio/backtest/options.js";
import { optimise } from "../portfolio/optimise.js";
import type { FactorForm } from "../risk/factor-form.js";

/** A book, and what it holds in a sentence without its full stop. */
export interface HeldBook {
  readonly name: string;
  readonly source: string;
  readonly found: Backtest;
}

/** What books of the demonstration are made of. */
export interface BookInput {
  readonly panel: Panel;
  /** Of the test dates. */
  readonly predictions: PanelValues;
  /** Dates for which a portfolio of predictions is held, and from one decision of the others to the next. */
  readonly horizonDays: number;
  /** The covariance as of each decision's date. */
  readonly forms: ReadonlyMap<string, FactorForm>;
  readonly costs: BacktestOptions;
}

/** Books on the same dates. */
export interface HeldBooks {
  readonly books: readonly HeldBook[];
  /** Daily volatility of the risk parity book that the risk model forecast: root of the mean variance over decisions. */
  readonly forecast: number;
}

/** Weights of the stocks of a covariance, which can all be traded. */
type Choose = (known: Known, form: FactorForm) => Promise<TargetWeights>;

/** Holds equal weights, equal risk, and the predictions' own book. */
export async function holdBooks({ panel, predictions, horizonDays, forms, costs }: BookInput, onBook: (name: string) => void): Promise<HeldBooks> {
  const every = [...forms.keys()];
  const variances: number[] = [];
  const schedule = (choose: Choose): BacktestSource => ({
    every, predictions, risk: (date) => forms.get(date), rebalance: (known) => choose(known, restricted(known.risk!, known)),
  });
  const weekly = `anew every ${horizonDays} dates`;
  const plans: readonly (readonly [name: string, source: string, BacktestSource])[] = [
    ["equal weights", `Every stock alike, ${weekly}`, schedule(async (_, { tickers }) => ({ tickers, weights: tickers.map(() => 1 / tickers.length) }))],
    ["risk parity", `Every stock with the same part of the risk by the risk model of M, ${weekly}`, schedule(async (_, covariance) => {
      const found = await optimise({ covariance, objective: "riskParity" });
      variances.push(found.volatility ** 2);
      return found;
    })],
    ["predictions", `Long and short by the predictions’ distance from their mean, ${horizonDays} portfolios side by side`, { predictions, horizonDays }],
  ];
  const books: HeldBook[] = [];
  for (const [name, source, decisions] of plans) {
    onBook(name);
    books.push({ name, source, found: await backtest(decisions, panel, costs) });
  }
  return { books, forecast: Math.sqrt(summary(variances).mean) };
}

/** The covariance of the stocks that can be traded on the date and have a prediction. */
function restricted({ tickers, exposures, specificVariance, factors, ...form }: FactorForm, { tickers: known, tradable, predictions }: Known): FactorForm {
  const allowed = new Set(known.filter((_, i) => tradable[i] === 1 && !Number.isNaN(predictions![i]!)));
  const rows = [...tickers.keys()].filter((n) => allowed.has(tickers[n]!));
  const K = factors.length;
  const chosen = new Float64Array(rows.length * K);
  for (const [i, n] of rows.entries()) chosen.set(exposures.subarray(n * K, (n + 1) * K), i * K);
  return { ...form, factors, tickers: rows.map((n) => tickers[n]!), exposures: chosen, specificVariance: Float64Array.from(rows, (n) => specificVariance[n]!) };
}
