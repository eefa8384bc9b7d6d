import { cpus } from "node:os";
import { afterAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, Ensemble, type DatePrediction, type ModelOptions, type PanelValues } from "../../lib/index.js";
import { nativeModule } from "../../lib/model/module.js";
import { predictPacked } from "../../lib/model/predict.js";
import { icTerm } from "../binding/tiny.js";
import { smallDataset } from "../unit/small-dataset.js";

const dataset = smallDataset({ dates: 30, stocks: 31, window: 3, seed: 1, emptyDates: [12] });
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], numPredictions: 2 };
const model = new ASTGNNFactorModel(small);
const ensemble = new Ensemble([model, new ASTGNNFactorModel({ ...small, seed: 1 })]);
afterAll(() => ensemble.dispose());
const options = { threads: 1 };

async function listed<Day>(days: AsyncIterable<Day>): Promise<Day[]> {
  const found: Day[] = [];
  for await (const day of days) found.push(day);
  return found;
}

/** One date of values aligned to the panel, without the stocks that are not in. */
function dateOf({ data, dates, tickers, shape }: PanelValues, date: string): { tickers: string[]; values: number[] } {
  const width = shape[2] ?? 1;
  const first = dates.indexOf(date) * tickers.length;
  const rows = [...tickers.keys()].filter((n) => !Number.isNaN(data[(first + n) * width]));
  return { tickers: rows.map((n) => tickers[n]!), values: rows.flatMap((n) => [...data.subarray((first + n) * width, (first + n + 1) * width)]) };
}

describe("predictDates", () => {
  it("yields every date that has rows, with the stocks that are in, and predict's bits", async () => {
    const all = await model.predict(dataset, { ...options, riskFactors: true });
    const days = await listed(model.predictDates(dataset, { ...options, riskFactors: true }));
    expect(days.map(({ date }) => date)).toEqual(all.predictions.dates);
    expect(days.map(({ date }) => date)).not.toContain(dataset.dates[12]);
    for (const { date, tickers, predictions, riskFactors } of days) {
      expect({ tickers, values: [...predictions] }).toEqual(dateOf(all.predictions, date));
      expect({ tickers, values: [...riskFactors] }).toEqual(dateOf(all.riskFactors, date));
    }
  });

  it("begins with from, and gives no risk factors unasked", async () => {
    const days: DatePrediction[] = await listed(model.predictDates(dataset, { ...options, from: dataset.dates[27]! }));
    expect(days.map(({ date }) => date)).toEqual(dataset.dates.slice(27));
    for (const day of days) expect(day).not.toHaveProperty("riskFactors");
    expect((await listed(model.predictDates(dataset.test, { ...options, from: dataset.test.dates[3]! }))).map(({ date }) => date)).toEqual(dataset.test.dates.slice(3));
  });

  it("scores with an ensemble as its predict does", async () => {
    const { predictions } = await ensemble.predict(dataset.test, options);
    for await (const day of ensemble.predictDates(dataset.test, options)) expect({ tickers: day.tickers, values: [...day.predictions] }).toEqual(dateOf(predictions, day.date));
  });

  it("may be left early, and stops at its signal", async () => {
    for await (const { date } of model.predictDates(dataset, options)) if (date === dataset.dates[5]) break;
    const controller = new AbortController();
    const seen: string[] = [];
    const stopped = async (): Promise<void> => {
      for await (const { date } of model.predictDates(dataset, { ...options, signal: controller.signal })) if (seen.push(date) === 2) controller.abort();
    };
    await expect(stopped()).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
    expect(seen).toHaveLength(2);
  });

  // One thread computes a date alone, two and three one date each at a time and what is left over together.
  it.skipIf(!cpus()[0]!.model.includes("Intel"))("computes several dates at once with the bits of one after the other, the order of turnover, hubs and an empty date kept", async () => {
    const wide = smallDataset({ dates: 40, stocks: 151, window: 5, seed: 4, emptyDates: [20] });
    using other = new ASTGNNFactorModel({ ...small, numPredictions: 1 });
    const objective = [icTerm, { ...icTerm, name: "turnover" as const, weight: 0.1 }, { ...icTerm, name: "pairwiseRank" as const, weight: 0.1 }];
    const dates = Int32Array.from({ length: 35 }, (_, i) => 4 + i);
    const scored = (threads: number) => predictPacked(nativeModule(other), { dataset: wide, dates }, { riskFactors: true, threads, objective, peerDays: 5 });
    const one = await scored(1);
    expect(await scored(2)).toEqual(one);
    expect(await scored(3)).toEqual(one);
    expect(one.terms.filter((value) => !Number.isNaN(value)).length).toBeGreaterThan(90);
    wide.dispose();
  });

  it.each([
    ["yesterday", "ERR_OPTION", /a date as YYYY-MM-DD for from but received "yesterday"/],
    [dataset.dates[1]!, "ERR_DATA", /too little history for from .*: 2 of the 3 dates/],
    ["2030-01-01", "ERR_DATA", /No stock of the dataset has a complete window of 3 dates on 2030-01-01 or later; its last date is 2020-01-30/],
  ])("refuses from %s", async (from, code, message) => {
    await expect(model.predictDates(dataset, { from }).next()).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
  });
});
