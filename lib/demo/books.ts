import type { Panel } from "../data/panel.js";
import type { PanelValues } from "../data/types.js";
import { AstgnnError } from "../errors.js";
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
  readonly costs: BacktestOptions & { readonly costBps: number };
  /** IC of the predictions on the validation dates: how much of them to expect. */
  readonly validIc: number;
}

/** Books on the same dates, and those that could not be made, with the reason. */
export interface HeldBooks {
  readonly books: readonly HeldBook[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  /** Daily volatility of the risk parity book that the risk model forecast: root of the mean variance over decisions. */
  readonly forecast: number;
}

/** Weights of the stocks of a covariance, which can all be traded. */
type Choose = (known: Known, form: FactorForm) => Promise<TargetWeights>;

/** Largest weight of the mean-variance book, and how much of its variance it shuns; neither was tuned. */
const [MAX_WEIGHT, RISK_AVERSION] = [0.05, 10];

/** Holds equal weights, equal risk, mean-variance, and the predictions' own book. */
export async function holdBooks({ panel, predictions, horizonDays, forms, costs, validIc }: BookInput, onBook: (name: string) => void): Promise<HeldBooks> {
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
    ["mean-variance", `Long-only, no stock above ${100 * MAX_WEIGHT} %, by the expected returns of the predictions and the risk model of M, ${weekly}`, schedule(async ({ tickers, weights, predictions: scores }, covariance) => {
      const held = new Set(covariance.tickers);
      const found = await optimise({
        covariance,
        objective: "meanVariance",
        expected: expectedReturns(covariance, new Map(tickers.map((ticker, i) => [ticker, scores![i]!])), validIc, horizonDays),
        current: Object.fromEntries(tickers.flatMap((ticker, i) => (held.has(ticker) ? [[ticker, weights[i]!]] : []))),
        riskAversion: RISK_AVERSION,
        // What is traded is held for a while: its cost is spread over these days.
        costBps: costs.costBps / horizonDays,
        limits: { maxWeight: MAX_WEIGHT },
      });
      if (found.status !== "optimal") throw new AstgnnError("ERR_INTERNAL", `No mean-variance portfolio keeps to ${found.conflict.join(", ")}.`);
      return found;
    })],
    ["predictions", `Long and short by the predictions’ distance from their mean, ${horizonDays} portfolios side by side`, { predictions, horizonDays }],
  ];
  const books: HeldBook[] = [];
  const skipped: { name: string; reason: string }[] = [];
  for (const [name, source, decisions] of plans) {
    onBook(name);
    try {
      books.push({ name, source, found: await backtest(decisions, panel, costs) });
    } catch (error) {
      // Convex programmes are solved by code in Rust, which a build from source may lack.
      if (!(error instanceof AstgnnError) || error.code !== "ERR_SOLVER_MISSING") throw error;
      skipped.push({ name, reason: error.message });
    }
  }
  return { books, skipped, forecast: Math.sqrt(summary(variances).mean) };
}

/** Daily expected returns IC x volatility x score / sqrt(days), scores standardised over the stocks (Grinold 1994). */
function expectedReturns({ tickers, factors, exposures, factorCovariance, specificVariance }: FactorForm, predictions: ReadonlyMap<string, number>, ic: number, horizonDays: number): Record<string, number> {
  const scores = tickers.map((ticker) => predictions.get(ticker)!);
  const { mean, deviation } = summary(scores);
  const K = factors.length;
  return Object.fromEntries(tickers.map((ticker, n) => {
    let variance = specificVariance[n]!;
    for (let k = 0; k < K; k++) for (let l = 0; l < K; l++) variance += exposures[n * K + k]! * factorCovariance[k * K + l]! * exposures[n * K + l]!;
    return [ticker, (ic * Math.sqrt(variance) * (scores[n]! - mean)) / deviation / Math.sqrt(horizonDays)];
  }));
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
