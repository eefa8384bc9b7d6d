import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPanel } from "../data/panel.js";
import type { Dataset } from "../data/types.js";
import { clusters } from "../evaluate/peers/clusters.js";
import { peers } from "../evaluate/peers/peers.js";
import { adjustedRandIndex } from "../metrics/adjusted-rand.js";
import { evaluate } from "../metrics/evaluate.js";
import type { Metrics } from "../metrics/pairs.js";
import { summary } from "../metrics/statistics.js";
import type { ModelOptions } from "../model/config.js";
import { ASTGNNFactorModel } from "../model/model.js";
import { resolveOptions } from "../options.js";
import type { TrainOptions } from "../train/options.js";
import { train } from "../train/train.js";
import { demonstrationSchema, type DemonstrationOptions, type MarketName } from "./options.js";
import { SIMULATED_FEATURES, simulateMarket, writeSimulatedMarket, type SimulatedMarket } from "./simulate.js";

/** The model of the demonstration: small, because the simulated market is. An industry there has about 15 stocks, so `topK` is 12. */
export const DEMONSTRATION_MODEL: ModelOptions = {
  gruHiddenSize: 16,
  gruNumLayers: 1,
  gatHiddenSize: 16,
  gatNumHeads: 2,
  residualHiddenSize: 16,
  numRiskFactors: 12,
  tgcHiddenSize: 16,
  tgcOutputSize: 16,
  predictionHiddenSizes: [16],
  similarityScale: 4,
  topK: 12,
  excludeSelf: true,
  relationalSkip: true,
  dropout: 0,
};

/** Its training. The risk term makes M explain what stocks have in common; without it, or on some seeds without `topK`, the graph stays near the plain average. */
export const DEMONSTRATION_TRAINING: TrainOptions = {
  loss: { terms: [{ name: "ic" }, { name: "risk" }] },
  epochs: 3,
  learningRate: 5e-3,
};

const WINDOW = 6;
const TRAIN_DATES = 400;
const VALID_DATES = 80;
const TEST_DATES = 240;

/** How many stocks and peers of each are shown. */
const SHOWN = { stocks: 3, peers: 5 };

const ALONE = { similarityGraph: "groups", excludeSelf: true } as const;

/** A mean over test dates of all seeds, with its standard error over those dates. */
export interface Estimate {
  readonly mean: number;
  readonly standardError: number;
}

/** What came out on one kind of market. */
export interface MarketResult {
  readonly market: MarketName;
  readonly withGraph: Estimate;
  readonly withoutGraph: Estimate;
  /** IC with minus IC without the graph, paired by date. */
  readonly difference: Estimate & { readonly t: number };
  /** Test dates of all seeds. */
  readonly dates: number;
  readonly seeds: readonly { readonly seed: number; readonly withGraph: number; readonly withoutGraph: number }[];
  /** What was claimed beforehand, and whether it holds: at least 3 standard errors where planted, within 2 on the null market. */
  readonly claim: string;
  readonly holds: boolean;
}

/** A simulated stock, the hidden industry that it is of, and whom the graph links it to. */
export interface SimulatedPeers {
  readonly ticker: string;
  readonly industry: number;
  /** The heaviest first. */
  readonly peers: readonly { readonly ticker: string; readonly industry: number; readonly weight: number }[];
}

/** The graph of one date of the planted market of the first seed, beside the industries that no column shows. */
export interface SimulatedGraph {
  readonly date: string;
  readonly stocks: readonly SimulatedPeers[];
  /** Adjusted Rand index of the clusters of all stocks with the industries: 1 where they are the same, 0 by chance. */
  readonly adjustedRand: number;
}

/** The outcome of a demonstration on simulated markets. */
export interface Demonstration {
  /** Always true: no number here says anything about real markets. */
  readonly simulated: true;
  readonly planted: MarketResult;
  readonly null: MarketResult;
  /** What the model of the planted market sees in the stocks. */
  readonly graph: SimulatedGraph;
  readonly seconds: number;
}

/**
 * Trains with and without the graph on simulated markets, one where only a graph can use the lead-lag and one without it, and compares
 * test ICs date by date. Every seed is a market of its own: different data, different initial weights.
 *
 * @example
 * const { planted } = await demonstrate({ seeds: [0, 1, 2] });
 * console.log(planted.difference.t);
 * @throws AstgnnError ERR_OPTION, ERR_ABORTED
 */
export async function demonstrate(options: DemonstrationOptions = {}): Promise<Demonstration> {
  const { seeds, epochs, threads, keep, signal, onProgress } = resolveOptions(demonstrationSchema, options, "demonstrate");
  const started = performance.now();
  const folder = keep ?? (await mkdtemp(join(tmpdir(), "astgnn-simulated-")));
  if (keep !== undefined) await mkdir(keep, { recursive: true });
  const trainings = seeds.length * 4;
  let finished = 0;
  let graph: SimulatedGraph | undefined;
  try {
    const results: MarketResult[] = [];
    for (const market of ["planted", "null"] as const) {
      const runs: { seed: number; withGraph: Metrics; withoutGraph: Metrics }[] = [];
      for (const seed of seeds) {
        const simulated = simulateMarket({ seed, leadLag: market === "planted", dates: WINDOW + TRAIN_DATES + VALID_DATES + TEST_DATES });
        const file = join(folder, `simulated-${market}-${seed}.csv`);
        await writeSimulatedMarket(simulated, file);
        const panel = await openPanel(file, { signal });
        const run = async (linked: boolean): Promise<Metrics> => {
          const report = (share: number): void => onProgress?.({ market, graph: linked, seed, done: (finished + share) / trainings });
          report(0);
          const dataset = await panel.dataset({ ...datasetOptions(simulated, linked), threads, signal });
          const look = linked && graph === undefined ? async (model: ASTGNNFactorModel): Promise<void> => void (graph = await graphOf(model, dataset, simulated, { threads, signal })) : undefined;
          const metrics = await trainAndTest(dataset, linked, { seed, epochs, threads, signal }, report, look);
          finished++;
          return metrics;
        };
        runs.push({ seed, withGraph: await run(true), withoutGraph: await run(false) });
      }
      results.push(marketResult(market, runs));
    }
    return { simulated: true, planted: results[0]!, null: results[1]!, graph: graph!, seconds: (performance.now() - started) / 1000 };
  } finally {
    if (keep === undefined) await rm(folder, { recursive: true, force: true });
  }
}

function datasetOptions(market: SimulatedMarket, graph: boolean) {
  const trainEnd = market.dates[WINDOW + TRAIN_DATES - 1]!;
  const validEnd = market.dates[WINDOW + TRAIN_DATES + VALID_DATES - 1]!;
  return {
    features: SIMULATED_FEATURES,
    window: WINDOW,
    label: { horizonDays: 1, lagDays: 0 },
    split: { trainEnd, validEnd },
    processors: ["zscore"] as const,
    graph: graph ? ("complete" as const) : ("none" as const),
    // Listings and suspensions leave windows incomplete on purpose.
    maxDropped: 0.2,
  };
}

async function trainAndTest(dataset: Dataset, graph: boolean, options: TrainOptions & { seed: number; epochs: number }, report: (share: number) => void, look?: (model: ASTGNNFactorModel) => Promise<void>): Promise<Metrics> {
  using model = new ASTGNNFactorModel({
    ...DEMONSTRATION_MODEL,
    ...(graph ? {} : ALONE),
    sequentialInputSize: dataset.featureNames.length,
    seed: options.seed,
  });
  await train(model, dataset, {
    ...DEMONSTRATION_TRAINING,
    ...options,
    onStep: ({ epoch, stepInEpoch, stepsPerEpoch }) => report((epoch - 1 + stepInEpoch / stepsPerEpoch) / options.epochs),
  });
  const { predictions } = await model.predict(dataset.test, { signal: options.signal });
  await look?.(model);
  return evaluate(predictions, dataset.test.labels);
}

/** Whom the graph links on the last test date: the first stock of each of three industries, and how far the clusters of all are the industries. */
async function graphOf(model: ASTGNNFactorModel, dataset: Dataset, { tickers, industries }: SimulatedMarket, { threads, signal }: Pick<TrainOptions, "threads" | "signal">): Promise<SimulatedGraph> {
  const date = dataset.test.dates.at(-1)!;
  const options = { date, threads, signal, onWarning: () => {} };
  const { clusters: found, alone } = await clusters(model, dataset, options);
  const industryOf = (ticker: string): number => industries[tickers.indexOf(ticker)]!;
  const together = [...found.map((cluster) => cluster.tickers), ...alone.map((ticker) => [ticker])];
  const present = together.flat().sort();
  const shown = present.filter((ticker, i) => present.findIndex((other) => industryOf(other) === industryOf(ticker)) === i).slice(0, SHOWN.stocks);
  const stocks: SimulatedPeers[] = [];
  for (const ticker of shown) {
    const { peers: list } = await peers(model, dataset, { ...options, ticker, top: SHOWN.peers, lookBack: 0 });
    stocks.push({ ticker, industry: industryOf(ticker), peers: list.map((peer) => ({ ticker: peer.ticker, industry: industryOf(peer.ticker), weight: peer.weight })) });
  }
  return { date, stocks, adjustedRand: adjustedRandIndex(together.flatMap((members, label) => members.map(() => label)), together.flat().map(industryOf)) };
}

function marketResult(market: MarketName, runs: readonly { seed: number; withGraph: Metrics; withoutGraph: Metrics }[]): MarketResult {
  const daily = (name: "withGraph" | "withoutGraph"): number[] => runs.flatMap((run) => run[name].daily.ic);
  const [linked, alone] = [daily("withGraph"), daily("withoutGraph")];
  const difference = estimate(linked.map((ic, i) => ic - alone[i]!));
  const t = difference.mean / difference.standardError;
  return {
    market,
    withGraph: estimate(linked),
    withoutGraph: estimate(alone),
    difference: { ...difference, t },
    dates: linked.length,
    seeds: runs.map(({ seed, withGraph, withoutGraph }) => ({ seed, withGraph: withGraph.ic, withoutGraph: withoutGraph.ic })),
    claim: market === "planted" ? "difference at least 3 standard errors above 0" : "difference within 2 standard errors of 0",
    holds: market === "planted" ? t >= 3 : Math.abs(t) <= 2,
  };
}

function estimate(daily: readonly number[]): Estimate {
  const { mean, standardError } = summary(daily);
  return { mean, standardError };
}
