import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { ASTGNNFactorModel, evaluateRun, loadRun, openPanel, predictRun, setPrecision, train } from "../../lib/index.js";
import { readStoredPredictions } from "../../lib/run/stored-predictions.js";

// A run as commit ea69f3a of version 0.1.0 wrote it: 12 hashed random walks of 170 dates, ohlcv, a window of 4, two epochs, precision highest.
const stored = join(import.meta.dirname, "..", "fixtures", "run-0.1.0");
const prices = join(stored, "prices.parquet");
const folder = mkdtempSync(join(tmpdir(), "astgnn-0.1.0-"));
const run = join(folder, "run");
cpSync(join(stored, "run"), run, { recursive: true });
afterAll(() => rmSync(folder, { recursive: true }));

/** Room for another processor's rounding and newer kernels: predictions are of order .1. */
const TOLERANCE = 1e-5;

it("a run of 0.1.0 loads, scores as it did and is evaluated", async () => {
  setPrecision("highest");
  const { valid, test, withoutPrices } = await evaluateRun(run, { source: prices });
  expect(withoutPrices).toBeNull();
  const report = JSON.parse(readFileSync(join(run, "report.json"), "utf8")) as Record<"valid" | "test", { ic: number; dates: number }>;
  expect([valid.dates, test.dates]).toEqual([report.valid.dates, report.test.dates]);
  expect(test.ic).toBeCloseTo(report.test.ic, 6);

  using loaded = await loadRun(run);
  const panel = await openPanel(prices);
  const dataset = await panel.dataset({ description: loaded.dataset });
  const before = (await readStoredPredictions(join(run, "predictions.parquet"))).test.predictions;
  const { predictions } = await loaded.predict({ dataset, dates: before.dates }, { threads: 1 });
  expect(predictions.tickers).toEqual(before.tickers);
  expect(predictions.data.every((value, i) => Math.abs(value - before.data[i]!) < TOLERANCE)).toBe(true);

  const { rows, members } = await predictRun(run, prices, { out: join(folder, "p.csv"), from: before.dates[0]!, threads: 1 });
  expect([rows, members]).toEqual([12 * 12, 1]);
});

it("a training of 0.1.0 that is resumed is refused, naming what to do", async () => {
  using model = await ASTGNNFactorModel.load(join(run, "model.safetensors"));
  const panel = await openPanel(prices);
  const dataset = await panel.dataset({ description: model.dataset!, split: { trainEnd: "2020-07-29", validEnd: "2020-08-11" } });
  const refusal = train(model, dataset, { epochs: 3, seed: 1, threads: 1, out: run, resume: true, onWarning: () => {} });
  await expect(refusal).rejects.toMatchObject({ code: "ERR_CHECKPOINT", message: expect.stringMatching(/an older version.* dataset\.\w+.*Finish it with that version.*ASTGNNFactorModel\.load/) as string });
  await train(model, dataset, { epochs: 1, seed: 1, threads: 1, onWarning: () => {} });
});
