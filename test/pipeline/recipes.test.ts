import { beforeAll, describe, expect, it } from "vitest";
import { isoDate } from "../../lib/data/calendar.js";
import { Panel } from "../../lib/data/panel.js";
import { normalQuantile } from "../../lib/data/ranks.js";
import { SIMULATED_FEATURES, simulateMarket } from "../../lib/demo/simulate.js";
import { factorUnits, type FactorUnits } from "../../lib/metrics/units.js";
import { evaluate } from "../../lib/metrics/evaluate.js";
import { pairedDifference, type PairedDifference } from "../../lib/metrics/paired-difference.js";
import type { Metrics } from "../../lib/metrics/pairs.js";
import { randomBits } from "../../lib/metrics/random.js";
import type { ModelOptions } from "../../lib/model/config.js";
import { ASTGNNFactorModel } from "../../lib/model/model.js";
import { presets } from "../../lib/presets.js";
import type { Dataset } from "../../lib/data/types.js";
import { train } from "../../lib/train/train.js";
import type { Loss } from "../../lib/train/objective.js";

/** As small as the markets. */
const SMALL: ModelOptions = { gruHiddenSize: 16, gruNumLayers: 1, gatHiddenSize: 16, gatNumHeads: 2, residualHiddenSize: 16, numRiskFactors: 12, tgcHiddenSize: 16, tgcOutputSize: 16, predictionHiddenSizes: [16], dropout: 0 };
const ALONE = { similarityGraph: "groups", excludeSelf: true } as const;

describe("preset momentum, on a market where news of industry peers moves a stock a day later", () => {
  /** Test ICs with the graph less without it. */
  async function difference(leadLag: boolean): Promise<PairedDifference> {
    const market = simulateMarket({ seed: 3, stocks: 80, dates: 560, spillover: 0.5, leadLag });
    const listed = [...market.listed.keys()].filter((cell) => market.listed[cell] === 1);
    const N = market.tickers.length;
    const panel = await Panel.from({
      dates: listed.map((cell) => market.dates[Math.floor(cell / N)]!),
      tickers: listed.map((cell) => market.tickers[cell % N]!),
      columns: Object.fromEntries([...market.columns].map(([name, values]) => [name, Float64Array.from(listed, (cell) => values[cell]!)])),
    });
    const testOf = async (graph: "complete" | "none", options: ModelOptions): Promise<Metrics> => {
      const dataset = await panel.dataset({
        preset: "momentum",
        graph,
        features: [...SIMULATED_FEATURES, "loadings"],
        loadings: { window: 60, count: 8 },
        window: 2,
        label: { horizonDays: 1, lagDays: 0 },
        processors: ["zscore"],
        split: { trainEnd: market.dates[360]!, validEnd: market.dates[420]! },
        maxDropped: 0.3,
      });
      using model = new ASTGNNFactorModel({ preset: "momentum", ...SMALL, sequentialInputSize: dataset.featureNames.length, seed: 1, ...options });
      await train(model, dataset, { preset: "momentum", epochs: 3, learningRate: 5e-3, seed: 1 });
      const { predictions } = await model.predict(dataset.test);
      return evaluate(predictions, dataset.test.labels);
    };
    return pairedDifference(await testOf("complete", {}), await testOf("none", ALONE));
  }

  it("predicts what no stock's own history tells", async () => {
    const { mean, t } = await difference(true);
    expect(mean).toBeGreaterThan(0.1);
    expect(t).toBeGreaterThan(4);
  });

  it("gains nothing where there is nothing", async () => {
    // What is learned of noise costs: 0 to -.08 from seed to seed, with t down to -4.7. A gain would come from a later date.
    const { mean, t } = await difference(false);
    expect(mean).toBeLessThan(0.05);
    expect(mean).toBeGreaterThan(-0.15);
    expect(t).toBeLessThan(3);
  });
});

/** Two signals of a stock's own, under noise that its industry shares, move its return of the next day; M can tell industries by five styles. */
function planted(stocks: number, dates: number) {
  const normal = (stream: number, count: number): Float64Array => {
    const bits = randomBits(11, stream);
    return Float64Array.from({ length: count }, () => normalQuantile((bits() + 0.5) / 2 ** 32));
  };
  const [INDUSTRIES, cells] = [6, stocks * dates];
  const [first, second, own] = [normal(0, cells), normal(1, cells), normal(2, cells)];
  const shared = [normal(3, dates * INDUSTRIES), normal(4, dates * INDUSTRIES), normal(5, dates * INDUSTRIES)];
  const blur = normal(6, cells * INDUSTRIES);
  const columns: Record<string, Float64Array> = { close: new Float64Array(cells), one: new Float64Array(cells), two: new Float64Array(cells) };
  for (let k = 0; k < INDUSTRIES; k++) columns[`style${k}`] = Float64Array.from({ length: cells }, (_, i) => (i % stocks % INDUSTRIES === k ? 1.5 : 0) + 0.3 * blur[i * INDUSTRIES + k]!);
  for (let i = 0; i < cells; i++) {
    const industry = Math.floor(i / stocks) * INDUSTRIES + (i % stocks) % INDUSTRIES;
    columns["one"]![i] = first[i]! + 2 * shared[0]![industry]!;
    columns["two"]![i] = second[i]! + 2 * shared[1]![industry]!;
    const before = i - stocks;
    const daily = before < 0 ? 0 : 0.25 * (first[before]! + second[before]!) + 0.8 * shared[2]![industry]! + own[i]!;
    columns["close"]![i] = before < 0 ? 20 : columns["close"]![before]! * (1 + 0.012 * daily);
  }
  return {
    dates: Array.from({ length: cells }, (_, i) => isoDate(18_000 + Math.floor(i / stocks))),
    tickers: Array.from({ length: cells }, (_, i) => `S${String(i % stocks).padStart(2, "0")}`),
    columns,
    features: Object.keys(columns).slice(1),
  };
}

describe("preset alpha, on a market where two signals hide under what industries share", () => {
  let [linked, alone]: Dataset[] = [];
  beforeAll(async () => {
    const { features, ...market } = planted(60, 420);
    const date = (t: number): string => market.dates[t * 60]!;
    const panel = await Panel.from(market);
    const cut = (graph: "complete" | "none"): Promise<Dataset> => panel.dataset({
      preset: "alpha",
      graph,
      features: [...features, "loadings"],
      loadings: { window: 60, count: 6 },
      window: 1,
      label: { horizonDays: 1, lagDays: 0 },
      processors: ["zscore"],
      split: { trainEnd: date(300), validEnd: date(320) },
    });
    [linked, alone] = [await cut("complete"), await cut("none")];
  });

  async function unitsOf(dataset: Dataset, options: ModelOptions, loss: Loss = presets.alpha.training.loss): Promise<FactorUnits> {
    using model = new ASTGNNFactorModel({ preset: "alpha", ...SMALL, sequentialInputSize: dataset.featureNames.length, seed: 1, ...options });
    await train(model, dataset, { preset: "alpha", loss, epochs: 6, learningRate: 5e-3, seed: 1 });
    const { predictions } = await model.predict(dataset.test);
    return factorUnits(predictions, dataset.test.labels, [[0, 0], [1, 0], [2, 0]], {})!;
  }
  const alike = ({ correlation }: FactorUnits): number => Math.max(...correlation.flatMap((row, k) => row.filter((_, other) => other !== k).map(Math.abs)));

  it("subtracts what similar stocks share, and its units differ", async () => {
    const [units, own, same] = [await unitsOf(linked!, {}), await unitsOf(alone!, ALONE), await unitsOf(linked!, {}, { terms: [0, 1, 2].map((prediction) => ({ name: "ic", prediction, horizon: 0 })) })];
    expect(units.together!.ic).toBeGreaterThan(own.together!.ic + 0.03);
    expect(alike(same)).toBeGreaterThan(0.8);
    expect(alike(units)).toBeLessThan(0.5);
  });
});
