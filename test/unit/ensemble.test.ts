import { describe, expect, it } from "vitest";
import type { PanelValues } from "../../lib/data/types.js";
import { averagePredictions } from "../../lib/metrics/average-predictions.js";
import { evaluate } from "../../lib/metrics/evaluate.js";
import type { Dataset } from "../../lib/data/types.js";
import { alignToPanel, averageStatistics } from "../../lib/model/predict.js";
import type { PackedScores } from "../../lib/run/scoring.js";
import { resolveLoss } from "../../lib/train/objective.js";
import { splitMetrics } from "../../lib/train/split-metrics.js";
import { smallDataset } from "./small-dataset.js";

const dataset: Dataset = smallDataset({ dates: 12, stocks: 9, window: 2, horizons: 2, missing: 0.3, seed: 3 });
const dates = dataset.valid.dateIndices;
const rows = [...dates].reduce((sum, t) => sum + dataset.rowOffsets[t + 1]! - dataset.rowOffsets[t]!, 0);

const scoresOf = (width: number, phase: number): Float64Array => Float64Array.from({ length: rows * width }, (_, i) => Math.sin(7 * i + phase));

describe("packed scores", () => {
  it("lie in the panel where their rows are, NaN elsewhere", () => {
    const packed = scoresOf(1, 0);
    const { data, shape } = alignToPanel({ dataset, dates }, packed, 1);
    expect(shape).toEqual([dates.length, 9]);
    expect(data.filter((value) => !Number.isNaN(value))).toEqual(packed);
    for (const [i, t] of [...dates].entries()) {
      const present = new Set(dataset.rowStocks.subarray(dataset.rowOffsets[t]!, dataset.rowOffsets[t + 1]!));
      for (let n = 0; n < 9; n++) expect(Number.isNaN(data[i * 9 + n]!)).toBe(!present.has(n));
    }
  });

  it("have the metrics that evaluate gives for the aligned panel", async () => {
    const predictions = scoresOf(2, 1);
    const aligned = alignToPanel({ dataset, dates }, predictions, 2);
    const targets: PanelValues = { ...dataset.valid.labels, data: slice(dataset.targets) };
    const scores: PackedScores = { predictions, statistics: new Float64Array(3 * dates.length).fill(1), terms: Float64Array.from({ length: dates.length }, (_, i) => (i === 0 ? NaN : i)) };
    const objective = resolveLoss("ic", 2, 2, 1);
    const { metrics, daily } = await splitMetrics({ dataset, dates }, scores, [[0, 0], [1, 1]], objective, ["ic"]);
    const expected = evaluate(aligned, dataset.valid.labels, { targets });
    for (const name of ["ic", "icir", "rankIc", "rankIcir", "hitRate", "mse"] as const) expect(metrics[name], name).toBeCloseTo(expected[name]!, 12);
    expect(metrics.rows).toBe(expected.rows);
    expect(metrics.dates).toBe(expected.dates);
    expect(daily.dates).toEqual(expected.daily.dates);
    for (const [i, ic] of expected.daily.ic.entries()) expect(daily.ic[i]).toBeCloseTo(ic, 12);
    // Terms are means over the dates on which they are defined.
    expect(metrics.loss).toBeCloseTo(dates.length / 2, 12);
    expect(metrics.terms).toEqual({ ic: metrics.loss });
  });

  function slice(values: Float32Array): Float32Array {
    const width = 9 * dataset.horizons.length;
    return Float32Array.from([...dates].flatMap((t) => [...values.subarray(t * width, (t + 1) * width)]));
  }

  it("are averaged as z-scores per date and prediction, and a constant member adds 0", () => {
    const panel = (values: number[]): PanelValues => ({ data: Float64Array.from(values), shape: [2, 3], dates: ["2020-01-01", "2020-01-02"], tickers: ["a", "b", "c"] });
    const { data } = averagePredictions([panel([1, 2, 3, NaN, 5, 7]), panel([4, 4, 4, NaN, 30, 10])]);
    const z = Math.sqrt(1.5);
    expect([...data].map((value) => Number(value.toFixed(12)))).toEqual([-z / 2, 0, z / 2, NaN, 0, 0].map((value) => Number(value.toFixed(12))));
  });
});

describe("graph statistics", () => {
  it("are means over the dates that have rows", () => {
    expect(averageStatistics(Float64Array.of(2, 0.5, 0, NaN, NaN, NaN, 4, 0.1, 0.5))).toEqual({ effectiveNeighbours: 3, selfWeight: 0.3, emptyShare: 0.25 });
  });
});
