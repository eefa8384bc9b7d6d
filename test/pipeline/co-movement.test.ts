import { describe, expect, it } from "vitest";
import { ASTGNNFactorModel, train, type Dataset, type Loss, type ModelOptions, type TrainOptions } from "../../lib/index.js";
import { randomBits } from "../../lib/metrics/random.js";
import { smallDataset } from "../unit/small-dataset.js";
import { weightsOf } from "./weights-of.js";

const [D, N, H] = [90, 31, 5];
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], relationalSkip: true, similarityScale: "learned", dropout: 0 };
const recipe: TrainOptions = { epochs: 4, learningRate: 1e-2, warmupSteps: 5, threads: 1, ema: 0.9, onWarning: () => {} };
const coMovement: Loss = { terms: [{ name: "coMovement", horizonDays: H }] };

const random = randomBits(7, 0);
const uniform = (): number => random() / 2 ** 32;
const normal = (): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

/** Stocks of three industries, which move together; two features tell which industry a stock is of. */
function industries(): Dataset {
  const base = smallDataset({ dates: D, stocks: N, window: 3, missing: 0.1, seed: 4 });
  const features = base.features.slice();
  const values = new Float32Array(D * N);
  for (let t = 0; t < D; t++) {
    const moves = [normal(), normal(), normal()];
    for (let n = 0; n < N; n++) {
      values[t * N + n] = 0.02 * moves[n % 3]! + 0.005 * normal();
      for (const f of [1, 2]) features[(t * N + n) * 3 + f] = (n % 3 === f ? 1.5 : -0.5) + 0.3 * normal();
    }
  }
  const ends = new Int32Array(D).fill(-1);
  for (const { dateIndices } of [base.train, base.valid, base.test]) for (const t of dateIndices) ends[t] = dateIndices.at(-1)! + 1;
  return { ...base, features, returns: { values, ends } };
}

const dataset = industries();

/** The same stocks, each of which moves by itself. */
const unrelated: Dataset = { ...dataset, returns: { ...dataset.returns!, values: dataset.returns!.values.map(() => 0.02 * normal()) } };

async function trained(data: Dataset, options: TrainOptions) {
  using model = new ASTGNNFactorModel(small);
  const run = await train(model, data, { ...recipe, ...options });
  return { run, weights: weightsOf(model) };
}

describe("the loss coMovement", () => {
  it("finds the industries, which the IC does not, and sharpens A by its learned scale", async () => {
    const { run, weights } = await trained(dataset, { loss: coMovement, epochs: 8, monitor: "peerCorrelation" });
    const best = run.epochs[run.bestEpoch! - 1]!;
    expect(best.valid.peerCorrelation).toBe(Math.max(...run.epochs.map(({ valid }) => valid.peerCorrelation)));
    expect(best.valid.peerCorrelation).toBeCloseTo(-best.valid.terms["coMovement"]!, 12);
    const blind = await trained(dataset, { loss: "ic", epochs: 8 });
    const without = blind.run.epochs.at(-1)!.valid.peerCorrelation;
    // Within industries returns correlate at .94; an A that knows nothing scores 0.
    expect(best.valid.peerCorrelation).toBeGreaterThan(0.6);
    expect(without).toBeLessThan(0.5 * best.valid.peerCorrelation);
    const scale = (of: typeof weights): number => of["relational_embedding.log_scale"]!.data[0] as number;
    expect(scale(weights)).not.toBe(scale(blind.weights));
    expect(best.valid.largestHub).toBeGreaterThan(0);
    expect(best.valid.hubSkewness).toSatisfy(Number.isFinite);
  });

  it("looks at no return beyond the end of train: what is planted there changes nothing, and would if it looked", async () => {
    const loss: Loss = { terms: [{ name: "ic" }, { name: "coMovement", weight: 0.5, horizonDays: H }] };
    const end = dataset.returns!.ends[dataset.train.dateIndices.at(-1)!]!;
    const planted = { ...dataset, returns: { ...dataset.returns!, values: dataset.returns!.values.map((value, i) => (i >= (end + 1) * N && (i % N) % 2 === 0 ? -value : value)) } };
    const options = { loss, epochs: 1 };
    const honest = await trained(dataset, options);
    expect((await trained(planted, options)).weights).toEqual(honest.weights);
    // 20 returns are needed before a date and H within train after it; date 0 has no return in a real panel, here it has.
    const defined = dataset.train.dateIndices.filter((t) => t >= 19 && t + H <= end).length;
    expect(honest.run.epochs[0]!.train.undefinedDates).toEqual({ ic: 0, coMovement: dataset.train.dateIndices.length - defined });

    const leaky = (of: Dataset): Dataset => ({ ...of, returns: { ...of.returns!, ends: new Int32Array(D).fill(D - 1) } });
    expect((await trained(leaky(planted), options)).weights).not.toEqual((await trained(leaky(dataset), options)).weights);
  });

  it("judges every split within its own end", async () => {
    const { run } = await trained({ ...dataset, returns: { ...dataset.returns!, ends: new Int32Array(D).fill(-1) } }, { epochs: 1 });
    expect(run.epochs[0]!.valid.peerCorrelation).toBeNaN();
    expect(run.epochs[0]!.valid.largestHub).toSatisfy(Number.isFinite);
  });

  it("is refused without returns, and where no training date has so many days after it", async () => {
    await expect(trained({ ...dataset, returns: undefined }, { loss: coMovement })).rejects.toThrow(/needs daily returns.*close/);
    await expect(trained(dataset, { loss: { terms: [{ name: "coMovement", horizonDays: 60 }] } })).rejects.toThrow(/60 dates after it up to the end of train/);
    await expect(trained(dataset, { loss: { terms: [{ name: "ic", horizonDays: 5 }] } })).rejects.toThrow(/horizonDays belongs to coMovement/);
  });

  it("warns of a graph that knows nothing, also where topK hides it, and advises what works", async () => {
    for (const [options, reason] of [[{}, "graph_is_average"], [{ topK: 3, excludeSelf: true }, "graph_without_peers"]] as const) {
      using model = new ASTGNNFactorModel({ ...small, similarityScale: 1e-3, ...options });
      const run = await train(model, unrelated, { ...recipe, epochs: 1 });
      expect(run.warnings.map((warning) => warning.reason)).toEqual([reason]);
      expect(run.warnings[0]!.text).toMatch(/hardly move with it: over the next 10 days the peer correlation is -?0\.0/);
      expect(run.warnings[0]!.text).toMatch(/coMovement.*similarityScale "learned"/);
      expect(run.warnings[0]!.text).not.toMatch(/topK/);
    }
    const graphWarnings = async (options: TrainOptions): Promise<string[]> => (await trained(dataset, { loss: coMovement, ...options })).run.warnings.flatMap(({ reason, text }) => (reason.startsWith("graph") ? [text] : []));
    // Known from the first epoch on, but not yet weighed: a small model begins flat.
    expect((await graphWarnings({ epochs: 1 }))[0]).toMatch(/close to the plain average.*similarityScale "learned" sharpens/);
    expect(await graphWarnings({ epochs: 1, learningRate: 0.05, warmupSteps: 0 })).toEqual([]);
  });

  it("lets neighbours say when its list means nothing", async () => {
    const warnings: string[] = [];
    const onWarning = ({ text }: { text: string }): void => void warnings.push(text);
    const t = dataset.test.dateIndices[3]!;
    const [date, ticker] = [dataset.dates[t]!, dataset.tickers[dataset.rowStocks[dataset.rowOffsets[t]!]!]!];
    using model = new ASTGNNFactorModel({ ...small, similarityScale: 1e-3 });
    const list = await model.neighbours(dataset, date, ticker, { onWarning });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/means little: .*plain average/);
    expect(list.every(({ listedBy }) => listedBy >= 0 && listedBy < N)).toBe(true);
    using knowing = new ASTGNNFactorModel({ ...small, excludeSelf: true });
    await train(knowing, dataset, { ...recipe, loss: coMovement, epochs: 8, monitor: "peerCorrelation" });
    const peers = await knowing.neighbours(dataset, date, ticker, { top: 5, onWarning });
    expect(warnings).toHaveLength(1);
    const industry = (name: string): number => dataset.tickers.indexOf(name) % 3;
    expect(peers.filter((peer) => industry(peer.ticker) === industry(ticker)).length).toBeGreaterThanOrEqual(4);
  });
});
