import { describe, expect, it } from "vitest";
import { ASTGNNFactorModel, explain, peers, train, type Dataset } from "../../lib/index.js";
import { smallDataset } from "./small-dataset.js";

const small = { gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4], dropout: 0 };
const model = (width: number): ASTGNNFactorModel => new ASTGNNFactorModel({ ...small, sequentialInputSize: width });
const quiet = { onWarning: () => {} };

/** A literal, as only callers who know what they do make one: one feature of stock 2 on one date is no number. */
function broken(value: number, t: number): Dataset {
  const dataset = smallDataset({ dates: 30, stocks: 6, window: 3, missing: 0 });
  dataset.features[(t * 6 + 2) * 3 + 1] = value;
  return dataset;
}

describe.each([NaN, Infinity, -Infinity])("a feature that is %d", (value) => {
  it("ends a prediction with the first date whose window holds it, of M too and date by date", async () => {
    const [dataset, scored] = [broken(value, 25), model(3)];
    const refused = { code: "ERR_NOT_FINITE", date: dataset.dates[25], message: expect.stringContaining(`The model's output for S000 on ${dataset.dates[25]} is not finite.`) as string };
    for (const riskFactors of [false, true]) await expect(scored.predict({ dataset, dates: dataset.dates.slice(20) }, { riskFactors })).rejects.toMatchObject(refused);
    const given: string[] = [];
    await expect((async () => { for await (const { date } of scored.predictDates(dataset)) given.push(date); })()).rejects.toMatchObject(refused);
    expect(given).toEqual(dataset.dates.slice(2, 25));
    await expect(scored.predict({ dataset, dates: dataset.dates.slice(2, 25) })).resolves.toBeDefined();
  });

  it("ends a training with a date, in training and in validation", async () => {
    for (const t of [10, 20]) {
      const [dataset, trained] = [broken(value, t), model(3)];
      await expect(train(trained, dataset, { epochs: 1, threads: 1, ...quiet })).rejects.toMatchObject({ code: "ERR_NOT_FINITE", date: expect.any(String) as string });
    }
  });

  it("ends what reads factors and the graph", async () => {
    const [dataset, scored] = [broken(value, 25), model(3)];
    const date = dataset.dates[25]!;
    await expect(peers(scored, dataset, { date, ticker: "S000", ...quiet })).rejects.toMatchObject({ code: "ERR_NOT_FINITE" });
    await expect(scored.neighbours(dataset, date, "S000", quiet)).rejects.toMatchObject({ code: "ERR_NOT_FINITE" });
    await expect(explain(scored, dataset, { date, ticker: "S000" })).rejects.toMatchObject({ code: "ERR_NOT_FINITE" });
  });
});
