import { describe, expect, it } from "vitest";
// Plain JavaScript without declarations, hence the imports by address.
const load = async (name: string) => import(new URL(`../../scripts/scale-model/${name}.mjs`, import.meta.url).href);
const { costOfYear } = await load("cost");
const { efficiency, gradientTasks, gruTasks, makespan, phases, similarityTasks, stepOn } = await load("cores");
const { fitParts, fitPowers, partsAt } = await load("fit");
const { exchangeMs, stepOf, sumsOf } = await load("ranks");

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const ms = { gruForward: 3, gruBackward: 6, attentionForward: 0.5, attentionBackward: 0.5, similarityForward: 2, similarityBackward: 4, rest: 2, serial: 0.5 };

describe("The scale model", () => {
  it("hands out every row and no more tasks than the kernels have", () => {
    for (const rows of [1, 31, 300, 1000, 5000, 50_000]) {
      expect(sum(gruTasks(rows))).toBe(Math.ceil(rows / (rows >= 192 ? 48 : 12)));
      expect(sum(similarityTasks(rows))).toBe(rows);
      expect(gruTasks(rows).length).toBeLessThanOrEqual(32);
      expect(gradientTasks(rows).length).toBeLessThanOrEqual(16);
    }
    // KERNELS.md section 10: a date of 300 stocks makes 7 blocks.
    expect(gruTasks(300)).toHaveLength(7);
  });

  it("needs the time of all tasks on one core, of the longest at least on many, and is never faster with fewer", () => {
    expect(makespan([3, 1, 2], 1)).toBe(6);
    expect(makespan([3, 1, 2], 2)).toBe(3);
    expect(makespan([3, 1, 2], 64)).toBe(3);
    const work = phases(1000, ms);
    expect(stepOn(1, work)).toBeCloseTo(sum(Object.values(ms)), 10);
    const times = [1, 2, 4, 8, 16].map((cores) => stepOn(cores, work));
    expect([...times].sort((a, b) => b - a)).toEqual(times);
    expect(efficiency(1, work)).toBe(1);
    expect(efficiency(16, work, 16)).toBeCloseTo(1, 10);
    expect(efficiency(64, work, 5)).toBeGreaterThan(efficiency(64, work));
  });

  it("finds the powers that made the times, and none below 0", () => {
    const points = [300, 1000, 3000, 5000].map((n) => ({ n, ms: 2e-3 * n + 4e-6 * n ** 2 }));
    const found = fitPowers(points, [1, 2]);
    expect(found[1]).toBeCloseTo(2e-3, 9);
    expect(found[2]).toBeCloseTo(4e-6, 12);
    expect(fitPowers(points.map(({ n }) => ({ n, ms: 1 - 1e-5 * n })), [0, 1])).not.toHaveProperty("1");
    const parts = { ...ms, predict: 4 };
    expect(partsAt(fitParts([300, 1000, 3000].map((n) => ({ n, parts }))), 1000).serial).toBeCloseTo(0.5, 10);
  });

  it("sends one sum of gradients where the ranks' dates are subtrees, and a step waits for the rank with most dates", () => {
    expect([sumsOf(4, 1), sumsOf(4, 2), sumsOf(8, 4), sumsOf(4, 4)]).toEqual([1, 1, 1, 1]);
    expect(sumsOf(6, 4)).toBeGreaterThan(1);
    const network = { bytesPerMs: 1000, roundMs: 0.5 };
    expect(exchangeMs({ ranks: 1, bytes: 1e6, network, cpuMs: 1 })).toBe(0);
    expect(exchangeMs({ ranks: 3, bytes: 1000, network, cpuMs: 0.1 })).toBeCloseTo(2 * 1.5 + 0.3, 10);
    expect(stepOf({ ranks: 3, dates: 4, dateMs: 10, serialMs: 1, exchange: 2 })).toEqual({ wallMs: 23, cpuMs: expect.closeTo(40 / 3 + 1, 10) as number });
    expect(stepOf({ ranks: 4, dates: 4, dateMs: 10, serialMs: 0, exchange: 0, machineCores: 2 }).wallMs).toBe(20);
  });

  it("charges all cores for as long as the members take", () => {
    const cost = costOfYear({ stocks: 1000, features: 20, cores: 4, price: 0.1, members: 5, stepMs: () => 1000, predictMs: 0 });
    // Two rounds of four epochs of 756 steps of a second.
    expect(cost.hoursADay).toBeCloseTo((2 * 4 * 756) / 3600, 10);
    expect(cost.cost).toBeCloseTo(252 * 4 * cost.hoursADay * 0.1, 8);
  });
});
