import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPanel, type Panel } from "../data/panel.js";
import type { PanelValues } from "../data/types.js";
import { evaluateRun } from "../evaluate/evaluate-run.js";
import { clusters } from "../evaluate/peers/clusters.js";
import { peers, type StockPeers } from "../evaluate/peers/peers.js";
import { writeReport } from "../evaluate/write-report.js";
import { adjustedRandIndex } from "../metrics/adjusted-rand.js";
import { ASTGNNFactorModel } from "../model/model.js";
import { resolveOptions } from "../options.js";
import type { Backtest } from "../portfolio/backtest/backtest.js";
import { backtestNumbers } from "../portfolio/backtest/numbers.js";
import { compareRisk } from "../risk/compare.js";
import type { FactorForm } from "../risk/factor-form.js";
import { riskForms } from "../risk/risk-model.js";
import { train } from "../train/train.js";
import { holdBooks } from "./books.js";
import { DEMONSTRATION_MODEL, DEMONSTRATION_TRAINING } from "./demonstrate.js";
import { portfolioDemonstrationSchema, type PortfolioDemonstrationOptions } from "./options.js";
import { SIMULATED_FEATURES, simulateMarket, writeSimulatedMarket, type SimulatedMarket } from "./simulate.js";

const WINDOW = 6;
const [TRAIN_DATES, VALID_DATES, TEST_DATES] = [400, 80, 240];
/** The return that is predicted: over a week, entered at the close after, for no order can be filled earlier. */
const LABEL = { horizonDays: 5, lagDays: 1 } as const;
/** A stock's own signal lasts for days; the peers' news is in the prices before an order is filled. */
const SIGNAL = 0.1;
const COSTS = { costBps: 5, borrowBps: 50 };
const DATES_PER_YEAR = 252;
/** Models of risk that M's is judged beside. */
const RISK_RIVALS = ["lw", "pca"] as const;

/** A book of the demonstration. */
export interface DemonstratedBook extends Pick<Backtest, "return" | "t" | "volatility" | "sharpe" | "drawdown" | "turnover" | "costs"> {
  readonly name: string;
  /** What it holds, in a sentence without its full stop. */
  readonly source: string;
}

/** From simulated prices to books. */
export interface PortfolioDemonstration {
  /** Always true: no number here says anything about real markets. */
  readonly simulated: true;
  /** Folder of the run, and its page. */
  readonly folder: string;
  readonly report: string;
  /** Test IC of the predictions and its Newey-West t. */
  readonly ic: { readonly mean: number; readonly t: number };
  /** Adjusted Rand index of the clusters by the graph with the hidden industries, on the last test date: 1 where they are the same, 0 by chance. */
  readonly adjustedRand: number;
  /** Annual volatility of the risk parity book: forecast by the risk model on the dates of its decisions, and as it came. */
  readonly risk: { readonly forecast: number; readonly realised: number };
  readonly books: readonly DemonstratedBook[];
  /** Books that could not be made, and why. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  readonly seconds: number;
}

/**
 * Goes once through the whole chain on a simulated market: trains, looks at the peers, estimates a risk model from M, chooses portfolios of equal weights, of
 * equal risk and by mean and variance every week, holds them and the predictions' own book through the test dates, and writes one report.
 *
 * @example
 * const { books, report } = await demonstratePortfolio({ keep: "demo" });
 * @throws AstgnnError ERR_OPTION; ERR_RUN_EXISTS where the folder holds a run already; ERR_ABORTED
 */
export async function demonstratePortfolio(options: PortfolioDemonstrationOptions = {}): Promise<PortfolioDemonstration> {
  const { seed, epochs, threads, keep, signal, onProgress } = resolveOptions(portfolioDemonstrationSchema, options, "demonstratePortfolio");
  const started = performance.now();
  const folder = keep ?? (await mkdtemp(join(tmpdir(), "astgnn-simulated-")));
  if (keep !== undefined) await mkdir(keep, { recursive: true });
  const run = join(folder, "run");
  const say = (phase: string, done = 0): void => onProgress?.({ phase, done });

  say("simulating a market");
  const market = simulateMarket({ seed, signal: SIGNAL, dates: WINDOW + TRAIN_DATES + VALID_DATES + TEST_DATES });
  const file = join(folder, "simulated.csv");
  await writeSimulatedMarket(market, file);
  const panel = await openPanel(file, { signal, onWarning: () => {} });
  const trained = await trainRun(run, panel, market, { seed, epochs, threads, signal }, say);

  say("evaluating");
  const evaluation = await evaluateRun(run, { source: panel, onWarning: () => {}, signal });
  await writeReport(run, evaluation, { command: `astgnn demo --portfolio --seed ${seed} --epochs ${epochs}` });
  await writeReport(run, { stockPeers: trained.stockPeers });

  say("judging the risk model");
  await writeReport(run, { risk: await compareRisk(run, { source: panel, compare: RISK_RIVALS, refresh: LABEL.horizonDays, signal }) });

  const forms = new Map<string, FactorForm>();
  const decisions = trained.predictions.dates.filter((_, i) => i % LABEL.horizonDays === 0);
  say("estimating the risk model");
  for await (const form of riskForms(run, panel, decisions, { signal })) forms.set(form.date!, form);

  const { books, skipped, forecast } = await holdBooks({ panel, predictions: trained.predictions, horizonDays: LABEL.horizonDays, forms, validIc: evaluation.valid.ic, costs: { ...COSTS, signal, onWarning: () => {} } }, (name) => say(`holding the book ${name}`));
  for (const { name, source, found } of books) await writeReport(run, { backtest: backtestNumbers(name, source, found) });
  const annual = Math.sqrt(DATES_PER_YEAR);
  return {
    simulated: true,
    folder: run,
    report: join(run, "report.html"),
    ic: { mean: evaluation.test.ic, t: evaluation.test.icT },
    adjustedRand: trained.adjustedRand,
    risk: { forecast: forecast * annual, realised: books.find(({ name }) => name === "risk parity")?.found.volatility ?? NaN },
    books: books.map(({ name, source, found }) => {
      const { return: mean, t, volatility, sharpe, drawdown, turnover, costs } = found;
      return { name, source, return: mean, t, volatility, sharpe, drawdown, turnover, costs };
    }),
    skipped,
    seconds: (performance.now() - started) / 1000,
  };
}

interface Trained {
  /** Of the test dates. */
  readonly predictions: PanelValues;
  readonly adjustedRand: number;
  /** Of the first stock, on the last test date. */
  readonly stockPeers: StockPeers;
}

async function trainRun(
  out: string, panel: Panel, { dates, tickers, industries }: SimulatedMarket, options: { seed: number; epochs: number; threads: number; signal: AbortSignal | undefined }, say: (phase: string, done: number) => void,
): Promise<Trained> {
  const { seed, epochs, threads, signal } = options;
  using dataset = await panel.dataset({
    features: SIMULATED_FEATURES, window: WINDOW, label: LABEL, processors: ["zscore"], threads, signal,
    split: { trainEnd: dates[WINDOW + TRAIN_DATES - 1]!, validEnd: dates[WINDOW + TRAIN_DATES + VALID_DATES - 1]! },
    // Listings and suspensions leave windows incomplete on purpose.
    maxDropped: 0.2,
  });
  using model = new ASTGNNFactorModel({ ...DEMONSTRATION_MODEL, sequentialInputSize: dataset.featureNames.length, seed });
  await train(model, dataset, {
    ...DEMONSTRATION_TRAINING, epochs, seed, threads, signal, out, onWarning: () => {},
    onStep: ({ epoch, stepInEpoch, stepsPerEpoch }) => say("training", (epoch - 1 + stepInEpoch / stepsPerEpoch) / epochs),
  });
  const { predictions } = await model.predict(dataset.test, { threads, signal });
  const date = dataset.test.dates.at(-1)!;
  const looking = { date, threads, signal, onWarning: () => {} };
  const { clusters: found, alone } = await clusters(model, dataset, looking);
  const together = [...found.map((cluster) => cluster.tickers), ...alone.map((ticker) => [ticker])];
  const industryOf = (ticker: string): number => industries[tickers.indexOf(ticker)]!;
  return {
    predictions,
    adjustedRand: adjustedRandIndex(together.flatMap((members, label) => members.map(() => label)), together.flat().map(industryOf)),
    stockPeers: await peers(model, dataset, { ...looking, ticker: together.flat().sort()[0]!, lookBack: 20 }),
  };
}
