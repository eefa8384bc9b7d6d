import { describe, expect, test } from "vitest";
import { loadCore } from "../../lib/binding/load.js";
import { buildDataset } from "../../lib/data/dataset.js";
import type { DatasetOptions } from "../../lib/data/dataset-options.js";
import type { PanelGrid } from "../../lib/data/panel-grid.js";
import type { Dataset } from "../../lib/data/types.js";
import { oracleDataset } from "../oracle/dataset.js";
import { randomGrid, type RandomGrid } from "../oracle/random-grid.js";

// The data ops of the core beside the same in TypeScript (test/oracle): the same bits, on each instruction set and with each number of threads.

/** A NaN has many bits: one of them stands for all. */
function bits(values: Float32Array): Uint32Array {
  const words = new Uint32Array(values.buffer.slice(values.byteOffset, values.byteOffset + values.byteLength));
  for (let i = 0; i < words.length; i++) if (values[i] !== values[i]) words[i] = 0x7fc00000;
  return words;
}

function firstDifference(a: Uint32Array | Int32Array, b: Uint32Array | Int32Array): number {
  if (a.length !== b.length) return Math.min(a.length, b.length);
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return i;
  return -1;
}

async function expectSameBits(grid: PanelGrid, options: DatasetOptions, threads: number): Promise<Dataset> {
  const expected = oracleDataset(grid, options);
  // Another object each time: nothing is remembered.
  const dataset = await buildDataset({ ...grid }, { ...options, threads });
  for (const name of ["features", "labels", "targets"] as const) {
    const at = firstDifference(bits(dataset[name]), bits(expected[name]));
    expect({ name, at, got: dataset[name][at], expected: expected[name][at] }).toEqual({ name, at: -1, got: undefined, expected: undefined });
  }
  expect(firstDifference(dataset.rowOffsets, expected.rowOffsets)).toBe(-1);
  expect(firstDifference(dataset.rowStocks, expected.rowStocks)).toBe(-1);
  expect(dataset.groups).toEqual(expected.groups);
  expect(dataset.describe().processors).toEqual(JSON.parse(JSON.stringify(expected.processors)));
  const counts = Object.fromEntries(dataset.ledger.entries.map(({ reason, count }) => [reason, count]));
  for (const [reason, count] of Object.entries(expected.counts)) expect({ reason, count: counts[reason] ?? 0 }).toEqual({ reason, count });
  return dataset;
}

const split = { fractions: [0.6, 0.2, 0.2] } as const;
const cases: readonly [name: string, grid: RandomGrid, options: DatasetOptions][] = [
  ["ohlcv by default", { dates: 190, stocks: 151, seed: 1 }, { split, maxDropped: 1 }],
  ["one stock", { dates: 150, stocks: 1, seed: 2, missing: 0.001 }, { split, maxDropped: 1, window: 2 }],
  ["more stocks than are sorted by comparison, in double precision, with a universe of its own", { dates: 150, stocks: 601, seed: 3, universe: true, double: true }, { split, maxDropped: 1, window: 1 }],
  ["price breaks that nothing spans, stocks that cannot be traded, groups", { dates: 170, stocks: 33, seed: 4, segments: true, tradable: true, groups: true }, { split, maxDropped: 1, window: 3, graph: "groups", label: { horizonDays: [1, 5], lagDays: 1 } }],
  ["ohlcv without processors and with gaps in windows", { dates: 160, stocks: 31, seed: 5, missing: 0.02 }, { split, maxDropped: 1, window: 4, maxMissingDates: 2, processors: [], labelTransform: { transform: "zscore", winsorize: 2 } }],
  ["clipped ranks", { dates: 150, stocks: 40, seed: 6, universe: true }, { split, maxDropped: 1, window: 2, processors: [{ name: "winsorize", k: 1.5 }, "rank", { name: "fill", value: 0.25 }] }],
  ["z-scores that are standardized", { dates: 150, stocks: 40, seed: 7, universe: true }, { split, maxDropped: 1, window: 2, processors: ["zscore", "standardize", { name: "fill", value: "median" }], labelTransform: "none" }],
  ["columns, filled and then standardized in part", { dates: 40, stocks: 260, seed: 8, universe: true }, { split, maxDropped: 1, features: ["score", "rare", "close"], window: 3, processors: [{ name: "fill", value: "median" }, { name: "standardize", columns: ["rare"] }, { name: "rank", columns: ["score"] }], graph: "none" }],
  ["a label column", { dates: 60, stocks: 33, seed: 9, missing: 0.04, tradable: true }, { split: { fractions: [0.4, 0.3, 0.3] }, maxDropped: 1, features: ["rare", "close"], window: 2, maxMissingDates: 1, processors: ["zscore", "winsorize"], label: { column: "score", horizonDays: 2, lagDays: 1 }, labelTransform: { winsorize: 3 } }],
];

describe("The arrays of a dataset are those of the oracle to the last bit:", () => {
  test.each(cases)("%s", async (_, description, options) => {
    const grid = randomGrid(description);
    for (const threads of [1, 2, 3]) (await expectSameBits(grid, options, threads)).dispose();
  });
});

test("The core's logarithm is Math.log", async () => {
  // dollar_volume of a constant close 1: the logarithm of the mean volume, here of numbers of every size and next to 1.
  const volumes = Float64Array.from({ length: 20_000 }, (_, i) => (i % 2 === 0 ? 1 + (i - 10_000) * 2 ** -40 : 10 ** ((i % 600) - 300) * (1 + i / 7)));
  const stocks = volumes.length;
  const filled = (value: (cell: number) => number): Float64Array => Float64Array.from({ length: 20 * stocks }, (_, cell) => value(cell));
  const volume = filled((cell) => (cell < stocks ? 20 * volumes[cell]! : 0));
  const input = { dates: 20, stocks, sources: ["dollar_volume"], open: volume, high: volume, low: volume, close: filled(() => 1), volume, universe: new Uint8Array(20 * stocks).fill(1), processors: [] };
  const made = await loadCore().panelFeatures(input, 1, () => undefined).done;
  if (!("features" in made)) throw new Error("no features");
  const expected = Float32Array.from(volumes, (value) => Math.log((20 * value) / 20));
  expect(firstDifference(bits(made.features.toTypedArray().subarray(19 * stocks)), bits(expected))).toBe(-1);
});

test("Dates after a date change nothing of it", async () => {
  const { dates, stocks } = { dates: 160, stocks: 33 };
  const long = randomGrid({ dates: dates + 10, stocks, seed: 10 });
  const short = await buildDataset(upTo(long, dates), { split: { trainEnd: long.dates[150]!, validEnd: long.dates[156]! }, maxDropped: 1, window: 4, processors: ["winsorize", "zscore", "standardize", "fill"] });
  const whole = await buildDataset(long, { split: { trainEnd: long.dates[150]!, validEnd: long.dates[156]! }, maxDropped: 1, window: 4, processors: ["winsorize", "zscore", "standardize", "fill"] });
  const cells = dates * stocks * 20;
  expect(firstDifference(bits(whole.features.subarray(0, cells)), bits(short.features))).toBe(-1);
  expect(whole.rowOffsets.subarray(0, dates + 1)).toEqual(short.rowOffsets);
});

/** The first dates of a grid. */
function upTo(grid: PanelGrid, dates: number): PanelGrid {
  const cells = dates * grid.tickers.length;
  return {
    ...grid,
    dates: grid.dates.slice(0, dates),
    universe: grid.universe.slice(0, cells),
    present: grid.present.slice(0, cells),
    values: (name) => grid.values(name).slice(0, cells),
  };
}
