import { describe, expect, it } from "vitest";
import { CUMULATIVE_HORIZONS, DISJOINT_HORIZONS, icDecay, type Horizon } from "../../lib/metrics/decay.js";
import { rankDates } from "../../lib/metrics/ranked-dates.js";
import { closes, fixture, ranked, stocks } from "./evaluation-fixture.js";

const forward = (t: number, { from, to }: Horizon, out: Float64Array): void => {
  const close = (d: number, n: number): number => closes[d * stocks + n] ?? NaN;
  for (let n = 0; n < stocks; n++) out[n] = close(t + 1 + to, n) / close(t + 1 + from, n) - 1;
};

describe("icDecay", () => {
  it("equals pandas over disjoint and cumulative horizons", () => {
    const found = icDecay(ranked, fixture.decay, forward);
    for (const [i, { ic, rankIc }] of fixture.decay.entries()) {
      expect(found[i]!.ic).toBeCloseTo(ic, 9);
      expect(found[i]!.rankIc).toBeCloseTo(rankIc, 9);
    }
  });

  it("counts fewer dates for horizons that reach beyond the prices, and is NaN where none is left", () => {
    const [near, far, none] = icDecay(ranked, [{ from: 0, to: 1 }, { from: 10, to: 20 }, { from: 0, to: 200 }], forward);
    expect(near!.dates).toBeGreaterThan(far!.dates);
    expect(none).toMatchObject({ ic: NaN, rankIc: NaN, icT: NaN, dates: 0 });
  });

  it("finds a signal only in the days that it is about", () => {
    const predictions = Float64Array.from({ length: 10 * stocks }, (_, i) => closes[(Math.floor(i / stocks) + 3) * stocks + (i % stocks)]! / closes[(Math.floor(i / stocks) + 2) * stocks + (i % stocks)]! - 1);
    const [first, second] = icDecay(rankDates(predictions, 10, stocks), DISJOINT_HORIZONS, forward);
    expect(second!.ic).toBeCloseTo(1, 12);
    expect(Math.abs(first!.ic)).toBeLessThan(0.3);
  });

  it("splits the days after entry into pieces that meet, and sums them up from entry on", () => {
    expect(DISJOINT_HORIZONS.slice(1).every(({ from }, i) => from === DISJOINT_HORIZONS[i]!.to)).toBe(true);
    expect(CUMULATIVE_HORIZONS.map(({ from, to }) => [from, to])).toEqual([[0, 1], [0, 2], [0, 5], [0, 10], [0, 20]]);
  });
});
