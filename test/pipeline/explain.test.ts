import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, Ensemble, explain, explainDay, explainRun, openPanel, Tensor, train, type Dataset, type DayExplanation, type Explanation, type ModelOptions, type StateDict } from "../../lib/index.js";
import { csv, Folder, priceRows, weekdays } from "../unit/data-tables.js";
import { smallDataset } from "../unit/small-dataset.js";
import { astgnn } from "./cli-capture.js";

const folder = new Folder();
afterAll(() => folder.remove());

const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4] };
/** An odd number of stocks: medians are values, which float32 holds. */
const dataset = smallDataset({ dates: 20, stocks: 31, window: 4, missing: 0, groups: true });
const date = dataset.dates.at(-1)!;
const rowsOf = (t: number): Int32Array => dataset.rowStocks.subarray(dataset.rowOffsets[t]!, dataset.rowOffsets[t + 1]!);

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const ofPeers = ({ own, peers }: Explanation): number => own + sum(peers.map(({ part }) => part));
const ofFeatures = ({ baseline, features }: Explanation): number => baseline.score + sum(features.map(({ part }) => part));
const expectSums = (explanation: Explanation): void => {
  expect(Math.abs(ofPeers(explanation) - explanation.score)).toBeLessThan(1e-6);
  expect(Math.abs(ofFeatures(explanation) - explanation.score)).toBeLessThan(1e-6);
};

describe("explain", () => {
  it.each<[string, ModelOptions]>([
    ["the defaults", {}],
    ["add", { tgcModes: ["add"], relationalSkip: true }],
    ["subtract, groups", { tgcModes: ["subtract"], similarityGraph: "groups", excludeSelf: true }],
    ["two similar stocks kept", { topK: 2, similarityScale: 4, relationalInput: "state" }],
  ])("has sums that are the scores of predict: %s", async (_, options) => {
    using model = new ASTGNNFactorModel({ ...small, ...options, dtype: "float64", seed: 3 });
    const explanation = await explain(model, dataset, { date, ticker: "S007" });
    expectSums(explanation);
    expect(explanation.score).toBeCloseTo((await model.predict({ dataset, dates: [date] })).predictions.data[7]!, 12);
    expect(explanation.peers.every(({ ticker }) => ticker !== "S007")).toBe(true);
    expect(sum(explanation.peers.map(({ weight }) => weight))).toBeLessThanOrEqual(1 + 1e-12);

    // The median stock in its place, scored as any other.
    const { featureNames: { length: F }, tickers: { length: N }, window: T } = dataset;
    const features = dataset.features.slice();
    for (const { name, medians, values } of explanation.features) {
      const f = dataset.featureNames.indexOf(name);
      medians.forEach((median, day) => {
        const cell = (dataset.dates.length - T + day) * N + 7;
        expect(values[day]).toBe(features[cell * F + f]);
        features[cell * F + f] = median;
      });
    }
    const changed: Dataset = { ...dataset, features };
    expect(explanation.baseline.scoreWhereOthersReact).toBeCloseTo((await model.predict({ dataset: changed, dates: [date] })).predictions.data[7]!, 12);
    expect(explanation.dates).toEqual(dataset.dates.slice(-T));
  });

  it("gives a linear head on one feature that feature of the last date, and no peer anything", async () => {
    using model = new ASTGNNFactorModel({ ...small, relationalSkip: true, predictionHiddenSizes: [] });
    const state: StateDict = model.stateDict();
    model.loadStateDict({ ...state, "prediction.output.weight": Tensor.from(Float32Array.of(0, 0, 0, 0, 0, 2, 0), [1, 7]), "prediction.output.bias": Tensor.from(Float32Array.of(0.25), [1]) });
    const { own, score, peers, features, gaps } = await explain(model, dataset, { date, ticker: "S011" });
    const [first, ...others] = features;
    expect(first!.name).toBe("x1");
    expect(score).toBeCloseTo(2 * first!.values.at(-1)! + 0.25, 6);
    expect(own).toBeCloseTo(score, 9);
    expect(first!.parts.at(-1)).toBeCloseTo(2 * (first!.values.at(-1)! - first!.medians.at(-1)!), 9);
    expect(Math.max(...first!.parts.slice(0, -1), ...others.flatMap(({ parts }) => parts).map(Math.abs))).toBeLessThan(1e-9);
    expect(Math.max(...peers.map(({ part }) => Math.abs(part)))).toBeLessThan(1e-9);
    expect(Math.abs(gaps.features)).toBeLessThan(1e-9);
  });

  it("explains the mean of z-scores of an ensemble", async () => {
    using ensemble = new Ensemble([0, 1, 2].map((seed) => new ASTGNNFactorModel({ ...small, seed, dtype: "float64" })));
    const explanation = await explain(ensemble, dataset, { date, ticker: "S002" });
    expect(explanation.score).toBeCloseTo((await ensemble.predict({ dataset, dates: [date] })).predictions.data[2]!, 9);
    expectSums(explanation);
  });

  it("tells its progress, and stops where a signal or the callback says so", async () => {
    using model = new ASTGNNFactorModel(small);
    const told: number[] = [];
    await explain(model, dataset, { date, ticker: "S002", onProgress: (done) => void told.push(done) });
    expect(told.length).toBeGreaterThan(3);
    expect(told.at(-1)).toBe(1);
    const controller = new AbortController();
    await expect(explain(model, dataset, { date, ticker: "S002", signal: controller.signal, onProgress: () => controller.abort() })).rejects.toMatchObject({ code: "ERR_ABORTED", name: "AbortError" });
    await expect(explain(model, dataset, { date, ticker: "S002", onProgress: () => { throw new RangeError("enough"); } })).rejects.toThrow("enough");
  });

  it("says what is wrong with a date, a ticker or a prediction", async () => {
    using model = new ASTGNNFactorModel(small);
    await expect(explain(model, dataset, { date, ticker: "S07" })).rejects.toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("Did you mean S0") });
    await expect(explain(model, dataset, { date: "2031-01-01", ticker: "S007" })).rejects.toMatchObject({ code: "ERR_DATA", date: "2031-01-01" });
    await expect(explain(model, dataset, { date, ticker: "S007", prediction: 1 })).rejects.toMatchObject({ code: "ERR_OPTION", option: "prediction" });
    const sparse = smallDataset({ dates: 20, stocks: 31, window: 4, missing: 0.5 });
    const absent = sparse.tickers.find((_, n) => !sparse.rowStocks.subarray(sparse.rowOffsets[19]!).includes(n))!;
    await expect(explain(model, sparse, { date, ticker: absent })).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringContaining(`${absent} is not in on ${date}`) });
  });
});

describe("explainDay", () => {
  it("explains the highest and the lowest scores of the newest date", async () => {
    using model = new ASTGNNFactorModel({ ...small, dtype: "float64" });
    const { top, bottom, date: newest } = await explainDay(model, dataset, { count: 2 });
    expect(newest).toBe(date);
    const scores = [...(await model.predict({ dataset, dates: [date] })).predictions.data].sort((a, b) => b - a);
    [...top, ...bottom].forEach(({ score }, i) => expect(score).toBeCloseTo([scores[0], scores[1], scores.at(-1), scores.at(-2)][i]!, 12));
    top.forEach(expectSums);
    expect(await explain(model, dataset, { date, ticker: top[0]!.ticker })).toEqual(top[0]);
    const everyone = await explainDay(model, smallDataset({ dates: 6, stocks: 3, window: 4, missing: 0 }));
    expect([everyone.top.length, everyone.bottom.length]).toEqual([2, 1]);
    expect(rowsOf(19)).toHaveLength(31);
  });
});

describe("astgnn explain", () => {
  const days = weekdays(160);
  let data: string;
  let out: string;
  beforeAll(async () => {
    data = folder.write("prices.csv", csv(priceRows({ days: 160, stocks: 12 })));
    const panel = await openPanel(data, { onWarning: () => {} });
    const samples = await panel.dataset({ window: 4, label: { horizonDays: 1, lagDays: 0 }, split: { trainEnd: days[140]!, validEnd: days[150]! }, maxDropped: 0.5 });
    out = join(folder.path, "run");
    using model = new ASTGNNFactorModel({ ...small, sequentialInputSize: 20 });
    await train(model, samples, { epochs: 1, threads: 1, out, seeds: [0, 1], onWarning: () => {} });
  });

  it("prints what explainRun returns, for people and as JSON", async () => {
    const args = ["explain", "--run", out, "--data", data, "--date", days[155]!, "--ticker", "S003"];
    const { code, out: json, err } = await astgnn(...args, "--json");
    expect([code, err]).toEqual([0, ""]);
    const explanation = JSON.parse(json) as Explanation;
    expect(explanation).toEqual(JSON.parse(JSON.stringify(await explainRun(out, data, { date: days[155]!, ticker: "S003" }))));
    expectSums(explanation);
    expect(explanation.peers).toHaveLength(11);
    expect(explanation.features).toHaveLength(20);
    const text = await astgnn(...args);
    expect(text.out).toContain(`S003 on ${days[155]}: score ${explanation.score < 0 ? "-" : "+"}${Math.abs(explanation.score).toFixed(4)}`);
    expect(text.out).toMatch(/own [+-][\d.]+, 11 peers through A [+-][\d.]+, through the attention [+-][\d.]+/);
    expect(text.out).toContain("and 10 others");
    expect(text.out).toContain("the date's median stock has");
  });

  it("explains the highest and lowest scores without --ticker, and puts them into the report of the run", async () => {
    await astgnn("evaluate", "--run", out);
    const { code, out: json, err } = await astgnn("explain", "--run", out, "--json");
    expect([code, err]).toEqual([0, ""]);
    const { date: newest, top, bottom } = JSON.parse(json) as DayExplanation;
    expect([newest, top.length, bottom.length]).toEqual([days.at(-1), 5, 5]);
    [...top, ...bottom].forEach(expectSums);
    const report = JSON.parse(readFileSync(join(out, "report.json"), "utf8")) as { explanations: { top: { ticker: string; score: number }[] } };
    expect(report.explanations.top.map(({ ticker, score }) => [ticker, score])).toEqual(top.map(({ ticker, score }) => [ticker, score]));
    expect(readFileSync(join(out, "report.html"), "utf8")).toContain("Why these scores");
    const text = await astgnn("explain", "--run", out, "--date", days[155]!);
    expect(text.out.split("\n")).toHaveLength(12);
  });

  it("ends with 1 for a date that the data lack and with 2 for an unknown ticker or a flag left out", async () => {
    const other = await astgnn("explain", "--run", out, "--date", "2031-01-04", "--ticker", "S003");
    expect(other).toMatchObject({ code: 1, err: expect.stringContaining(`2031-01-04 is no date of`) });
    expect(other.err).toContain(`Next to it: ${days.at(-1)}.`);
    expect(await astgnn("explain", "--run", out, "--date", days[155]!, "--ticker", "S0003")).toMatchObject({ code: 2, err: expect.stringContaining("Did you mean S0") });
    expect(await astgnn("explain", "--run", out, "--ticker", "S003")).toMatchObject({ code: 2, err: expect.stringContaining("--date") });
  });
});
