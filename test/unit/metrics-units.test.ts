import { describe, expect, it } from "vitest";
import type { PanelValues } from "../../lib/data/types.js";
import { normalQuantile } from "../../lib/data/ranks.js";
import { randomBits } from "../../lib/metrics/random.js";
import type { ReportNumbers } from "../../lib/report/numbers.js";
import { unitsSection } from "../../lib/report/sections/units.js";
import { factorUnits } from "../../lib/metrics/units.js";

const [DATES, STOCKS] = [40, 30];
const dates = Array.from({ length: DATES }, (_, t) => `2020-01-${String(t + 1).padStart(2, "0")}`);
const tickers = Array.from({ length: STOCKS }, (_, n) => `S${String(n).padStart(2, "0")}`);

function normals(seed: number): Float64Array {
  const bits = randomBits(seed, 0);
  return Float64Array.from({ length: DATES * STOCKS }, () => normalQuantile((bits() + 0.5) / 2 ** 32));
}

/** Values [dates, stocks, width] of planes [dates, stocks]. */
function beside(...planes: Float64Array[]): PanelValues {
  const data = Float64Array.from({ length: DATES * STOCKS * planes.length }, (_, i) => planes[i % planes.length]![Math.floor(i / planes.length)]!);
  return { data, shape: planes.length === 1 ? [DATES, STOCKS] : [DATES, STOCKS, planes.length], dates, tickers };
}

describe("factor units", () => {
  const [a, b, noise] = [normals(1), normals(2), normals(3)];
  const labels = beside(a.map((value, i) => value + b[i]! + 0.5 * noise[i]!));
  const pairs = [[0, 0], [1, 0], [2, 0]] as const;
  const found = factorUnits(beside(a, b, a.map((value) => Math.exp(value))), labels, pairs, {})!;

  it("has each prediction's own numbers against the label", () => {
    expect(found.units.map(({ prediction, horizon }) => [prediction, horizon])).toEqual([[0, 0], [1, 0], [2, 0]]);
    // Of a label a + b + noise / 2 a part explains 1 / 1.5 of the deviation.
    for (const { ic } of found.units.slice(0, 2)) expect(Math.abs(ic - 1 / 1.5)).toBeLessThan(0.05);
    // The same order is the same rank IC.
    expect(found.units[2]!.rankIc).toBeCloseTo(found.units[0]!.rankIc, 12);
    expect(found.units[2]!.ic).toBeLessThan(found.units[0]!.ic);
  });

  it("tells units that say the same from those that do not", () => {
    expect(found.correlation[0]![2]).toBeCloseTo(1, 12);
    expect(found.correlation[2]![0]).toBe(found.correlation[0]![2]);
    expect(Math.abs(found.correlation[0]![1]!)).toBeLessThan(0.1);
    expect(found.correlation.map((row, k) => row[k])).toEqual([1, 1, 1]);
  });

  it("takes units together as an ensemble does", () => {
    const two = factorUnits(beside(a, b), labels, [[0, 0], [1, 0]], {})!;
    expect(two.together!.ic).toBeGreaterThan(two.units[0]!.ic + 0.1);
    expect(two.together!.ic).toBeGreaterThan(two.units[1]!.ic + 0.1);
    const horizons = factorUnits(beside(a, b), beside(a, b), [[0, 0], [1, 1]], {})!;
    expect(horizons.together).toBeNull();
    expect(horizons.units.map(({ ic }) => ic)).toEqual([expect.closeTo(1, 12), expect.closeTo(1, 12)]);
  });

  it("is nothing for a single prediction, and 0 beside a prediction that is constant", () => {
    expect(factorUnits(beside(a), labels, [[0, 0]], {})).toBeNull();
    const constant = factorUnits(beside(a, new Float64Array(DATES * STOCKS).fill(2)), labels, [[0, 0], [1, 0]], {})!;
    expect(constant.correlation[0]![1]).toBe(0);
    expect(constant.units[1]!.ic).toBe(0);
    expect(constant.together!.ic).toBeCloseTo(constant.units[0]!.ic, 12);
  });

  it("are a section of the report of a run with several", () => {
    const report = (units: unknown): ReportNumbers => ({ test: { dates: DATES, factorUnits: JSON.parse(JSON.stringify(units)) as unknown } }) as ReportNumbers;
    const [worth, alike] = unitsSection(report(found))!.blocks;
    expect(worth).toMatchObject({ rows: [["unit 0", { text: found.units[0]!.ic.toFixed(4) }], ["unit 1", { text: found.units[1]!.ic.toFixed(4) }], ["unit 2"], ["mean of z-scores", { text: found.together!.ic.toFixed(4) }]].map((row) => expect.arrayContaining(row.map((cell) => (typeof cell === "string" ? cell : expect.objectContaining(cell))))) });
    expect(alike).toMatchObject({ rows: [["unit 0", { text: "1.00" }, expect.anything(), { text: "1.00" }], expect.anything(), expect.anything()] });
    expect(unitsSection(report(null))).toBeUndefined();
  });
});
