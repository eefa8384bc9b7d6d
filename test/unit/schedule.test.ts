import { describe, expect, it } from "vitest";
import { dateOrder, stepsPerEpoch } from "../../lib/train/date-order.js";
import { resolveLoss, evaluationPairs, termLabels, type Loss } from "../../lib/train/objective.js";
import { resolveTrainOptions, type TrainOptions } from "../../lib/train/options.js";
import type { PlateauState } from "../../lib/run/state.js";
import { afterEpoch, initialPlateau, learningRateAt } from "../../lib/train/schedule.js";

const constant = { schedule: "constant", learningRate: 1e-3, minLearningRate: 0, warmupSteps: 50 } as const;

describe("learning rate", () => {
  it("rises linearly over the warm-up, full at its last step, then stays", () => {
    expect(learningRateAt(1, constant, 100)).toBe(1e-3 / 50);
    expect(learningRateAt(25, constant, 100)).toBe(1e-3 * 0.5);
    expect(learningRateAt(50, constant, 100)).toBe(1e-3);
    expect(learningRateAt(99, constant, 100)).toBe(1e-3);
  });

  it("is full from the first step without warm-up", () => {
    expect(learningRateAt(1, { ...constant, warmupSteps: 0 }, 100)).toBe(1e-3);
  });

  it("falls as half a cosine to the lowest rate at the last step", () => {
    const cosine = { ...constant, schedule: "cosine", minLearningRate: 1e-4 } as const;
    expect(learningRateAt(50, cosine, 150)).toBe(1e-3);
    expect(learningRateAt(100, cosine, 150)).toBeCloseTo(5.5e-4, 12);
    expect(learningRateAt(150, cosine, 150)).toBeCloseTo(1e-4, 12);
    expect(learningRateAt(10, cosine, 150)).toBe(1e-3 * 0.2);
  });

  it("is cut by the plateau rule but not below the lowest rate", () => {
    const plateau = { ...constant, schedule: "plateau", minLearningRate: 2e-4 } as const;
    expect(learningRateAt(60, plateau, 0, { count: 1, factor: 0.5 })).toBe(5e-4);
    expect(learningRateAt(60, plateau, 0, { count: 9, factor: 0.5 })).toBe(2e-4);
  });
});

describe("best epoch, patience and plateau", () => {
  const run = (values: number[], higherIsBetter = true, patience = Infinity): { states: PlateauState[]; best: boolean[] } => {
    const states: PlateauState[] = [];
    const best: boolean[] = [];
    let state = initialPlateau();
    for (const [i, value] of values.entries()) {
      const next = afterEpoch(state, i + 1, value, higherIsBetter, patience);
      state = next.state;
      states.push(state);
      best.push(next.isBest);
    }
    return { states, best };
  };

  it("the first of equal epochs is the best, and NaN never is", () => {
    const { states, best } = run([NaN, 0.1, 0.1, 0.05, NaN]);
    expect(best).toEqual([false, true, false, false, false]);
    expect(states.at(-1)).toMatchObject({ best: 0.1, bestEpoch: 2, epochsWithoutBetter: 3 });
  });

  it("lower is better for losses", () => {
    expect(run([3, 2, 2.5], false).states.at(-1)).toMatchObject({ best: 2, bestEpoch: 2 });
  });

  it("the rate is cut after more than plateauPatience epochs without a better one, again and again", () => {
    expect(run([1, 0, 0, 0, 0, 2, 0], true, 1).states.map(({ reductions }) => reductions)).toEqual([0, 0, 1, 1, 2, 2, 2]);
  });
});

describe("date order", () => {
  const dates = Int32Array.from({ length: 31 }, (_, i) => i + 100);
  const order = (overrides: Partial<Parameters<typeof dateOrder>[1]> = {}) => dateOrder(dates, { seed: 0, epoch: 1, datesPerStep: 1, consecutive: false, ...overrides });

  it("holds every date once and repeats itself for the same seed and epoch", () => {
    expect([...order().dates].sort()).toEqual([...dates]);
    expect(order()).toEqual(order());
    expect(order().offsets).toHaveLength(32);
  });

  it("differs between epochs and between seeds", () => {
    expect(order().dates).not.toEqual(order({ epoch: 2 }).dates);
    expect(order().dates).not.toEqual(order({ seed: 1 }).dates);
    expect(order({ seed: 1, epoch: 2 }).dates).not.toEqual(order({ seed: 2, epoch: 1 }).dates);
  });

  it("puts every date at every place about equally often", () => {
    const first = new Map<number, number>();
    for (let epoch = 1; epoch <= 3100; epoch++) {
      const date = order({ epoch }).dates[0]!;
      first.set(date, (first.get(date) ?? 0) + 1);
    }
    // Expected 100 each; six standard deviations of a binomial are 59.
    expect(first.size).toBe(31);
    for (const count of first.values()) expect(Math.abs(count - 100)).toBeLessThan(60);
  });

  it("groups dates into steps, the last one shorter", () => {
    expect([...order({ datesPerStep: 4 }).offsets]).toEqual([0, 4, 8, 12, 16, 20, 24, 28, 31]);
    expect(stepsPerEpoch(31, 4)).toBe(8);
  });

  it("keeps the dates of a block consecutive where asked, and shuffles the blocks", () => {
    const { dates: shuffled, offsets } = order({ datesPerStep: 4, consecutive: true });
    const starts: number[] = [];
    for (let i = 0; i + 1 < offsets.length; i++) {
      const block = [...shuffled.subarray(offsets[i], offsets[i + 1])];
      starts.push(block[0]!);
      expect(block).toEqual(block.map((_, k) => block[0]! + k));
    }
    expect(offsets).toHaveLength(9);
    expect(offsets.at(-1)).toBe(31);
    expect(starts).not.toEqual([...starts].sort());
    expect([...shuffled].sort()).toEqual([...dates]);
  });
});

describe("loss", () => {
  const pairs = (loss: Loss, P: number, L: number) => resolveLoss(loss, P, L, 2).map(({ predictions, horizons }) => [predictions, horizons]);

  it("pairs one prediction with the first horizon, several with their own", () => {
    expect(pairs("ic", 1, 1)).toEqual([[[0], [0]]]);
    expect(pairs("mse", 1, 3)).toEqual([[[0], [0]]]);
    expect(pairs("rankIc", 3, 3)).toEqual([[[0, 1, 2], [0, 1, 2]]]);
  });

  it("follows the indices that a term names", () => {
    expect(pairs({ terms: [{ name: "ic", horizon: 2 }] }, 1, 3)).toEqual([[[0], [2]]]);
    expect(pairs({ terms: [{ name: "ic", prediction: 1 }] }, 3, 3)).toEqual([[[1], [1]]]);
    expect(pairs({ terms: [{ name: "ic", prediction: 1, horizon: 0 }] }, 2, 1)).toEqual([[[1], [0]]]);
  });

  it("needs both indices where P is neither 1 nor L", () => {
    expect(() => pairs("ic", 2, 3)).toThrow(/cannot pair 2 predictions with 3 label horizons/);
    expect(() => pairs({ terms: [{ name: "ic", prediction: 0 }] }, 2, 1)).toThrow(/cannot pair/);
  });

  it("leaves the indices of terms on M empty and fills in the reference's defaults", () => {
    expect(resolveLoss("risk", 1, 2, 1)).toEqual([{ name: "risk", weight: 1, predictions: [], horizons: [], strength: 1, omega: 0.9, orthogonality: 0.05, ridge: 1e-6, horizonDays: 10 }]);
  });

  const refused: [unknown, RegExp][] = [
    [{ terms: [{ name: "ic", strength: 1 }] }, /strength belongs to rankIc, not to ic/],
    [{ terms: [{ name: "risk", prediction: 0 }] }, /prediction belongs to mse, ic, pairwiseRank, rankIc/],
    [{ terms: [{ name: "ic", weight: 0 }] }, /a number above 0 for loss.terms.0.weight/],
    [{ terms: [{ name: "ic", wight: 1 }] }, /Unknown option loss.terms.0.wight of train\. Did you mean weight\?/],
    [{ terms: [{ name: "ic", horizon: 1 }] }, /a whole number from 0 to 0 for loss.terms.0.horizon but received 1/],
    [{ terms: [{ name: "sharpe" }] }, /"mse", "ic"/],
    [{ terms: [{ name: "risk", omega: 0 }] }, /omega/],
  ];
  it.each(refused)("%j is refused", (loss, message) => {
    expect(() => resolveLoss(loss as Loss, 1, 1, 2)).toThrow(message);
  });

  it("decorrelation needs two predictions", () => {
    expect(() => resolveLoss("decorrelation", 1, 1, 1)).toThrow(/single prediction/);
    expect(resolveLoss("decorrelation", 2, 1, 1)).toMatchObject([{ name: "decorrelation", predictions: [], horizons: [] }]);
  });

  it("turnover needs two dates per step", () => {
    expect(() => resolveLoss("turnover", 1, 1, 1)).toThrow(/datesPerStep of at least 2/);
    expect(resolveLoss("turnover", 1, 1, 2)).toHaveLength(1);
  });

  it("names repeated terms apart and says what validation is about", () => {
    const objective = resolveLoss({ terms: [{ name: "vif" }, { name: "ic", horizon: 1 }, { name: "ic", horizon: 0 }] }, 1, 2, 1);
    expect(termLabels(objective)).toEqual(["vif", "ic", "ic2"]);
    expect(evaluationPairs(objective, 1, 2)).toEqual([[0, 1]]);
    expect(evaluationPairs(resolveLoss("vif", 2, 2, 1), 2, 2)).toEqual([[0, 0], [1, 1]]);
    const units = [0, 1, 2].map((prediction) => ({ name: "ic", prediction, horizon: 0 }) as const);
    expect(evaluationPairs(resolveLoss({ terms: [...units, { name: "decorrelation" }, { name: "mse", prediction: 2, horizon: 0 }] }, 3, 1, 1), 3, 1)).toEqual([[0, 0], [1, 0], [2, 0]]);
  });
});

describe("training options", () => {
  it("default to the recipe of the contract", () => {
    expect(resolveTrainOptions()).toMatchObject({
      loss: "ic", epochs: 4, learningRate: 1e-3, schedule: "constant", warmupSteps: 50, betas: [0.9, 0.999], adamEps: 1e-8, weightDecay: 0,
      clipNorm: 1, datesPerStep: 1, ema: 0.998, patience: 0, monitor: "ic", seed: 0,
    });
  });

  const refused: [TrainOptions | Record<string, unknown>, RegExp][] = [
    [{ epochs: 0 }, /a whole number from 1 for epochs but received 0/],
    [{ learningRate: 0 }, /a number above 0 for learningRate/],
    [{ learningRate: "1e-3" }, /learningRate but received "1e-3" of type string/],
    [{ minLearningRate: 1 }, /at most learningRate \(0.001\)/],
    [{ schedule: "linear" }, /"constant", "cosine" or "plateau"/],
    [{ warmupSteps: -1 }, /warmupSteps/],
    [{ betas: [0.9] }, /betas/],
    [{ betas: [0.9, 1] }, /two numbers from 0 to below 1|a number|betas/],
    [{ ema: 1 }, /ema/],
    [{ monitor: "sharpe" }, /monitor/],
    [{ seed: 0, seeds: [1] }, /Both seed and seeds/],
    [{ seeds: [1, 1] }, /different seeds/],
    [{ seeds: [] }, /seeds/],
    [{ resume: true }, /resume needs a run folder/],
    [{ out: "x", resume: true, overwrite: true }, /Both resume and overwrite/],
    [{ threads: 0 }, /threads/],
    [{ epoch: 3 }, /Unknown option epoch of train\. Did you mean epochs\?/],
    [{ loss: "sharpe" }, /"mse", "ic".*for loss but received "sharpe"/],
    [{ onEpoch: 3 }, /a function for onEpoch/],
    [{ signal: {} }, /an AbortSignal for signal/],
    [{ plateauFactor: 1 }, /plateauFactor/],
  ];
  it.each(refused)("%j is refused", (options, message) => {
    expect(() => resolveTrainOptions(options as TrainOptions)).toThrow(message);
  });
});
