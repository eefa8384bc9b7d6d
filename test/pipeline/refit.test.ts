import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, evaluateRun, openPanel, predictRun, train, type Panel, type SplitOptions, type WarningEvent } from "../../lib/index.js";
import { csv, Folder, priceRows, weekdays } from "../unit/data-tables.js";
import { astgnn, type Captured } from "./cli-capture.js";

const folder = new Folder();
afterAll(() => folder.remove());
const at = (name: string): string => `${folder.path}/${name}`;
const read = (name: string): Record<string, unknown> => JSON.parse(readFileSync(at(name), "utf8")) as Record<string, unknown>;

const DAYS = 40;
const days = weekdays(DAYS);
const [LAST, WINDOW] = [days.at(-1)!, 3];
// Default label: entered a day after the sample, held for a day.
const labelled = days.slice(WINDOW - 1, -2);
const SMALL = [
  "--gru-hidden-size", "8", "--gru-num-layers", "1", "--gat-hidden-size", "8", "--gat-num-heads", "2", "--residual-hidden-size", "8", "--num-risk-factors", "4",
  "--tgc-hidden-size", "8", "--tgc-output-size", "8", "--prediction-hidden-sizes", "8", "--threads", "1",
];
const fit = (...flags: string[]): Promise<Captured> =>
  astgnn("train", "--data", at("prices.csv"), "--features", "signal", "--processors", "zscore", "--window", String(WINDOW), "--epochs", "2", ...SMALL, ...flags);

let panel: Panel;
const cut = (split: SplitOptions, embargo = 0) => panel.dataset({ features: ["signal"], processors: ["zscore"], window: WINDOW, split, embargo });
const parts = async (split: SplitOptions): Promise<number[]> => {
  const { train, valid, test } = await cut(split);
  return [train, valid, test].map(({ dates }) => dates.length);
};

beforeAll(async () => {
  folder.write("prices.csv", csv(priceRows({ days: DAYS, stocks: 12 }).map((row) => ({ ...row, signal: row.close / row.open - 1 }))));
  panel = await openPanel(at("prices.csv"));
});

describe("a split", () => {
  it("without validEnd has no validation dates: training takes every label that ends by trainEnd, the test what is entered after it", async () => {
    expect((await cut({ trainEnd: LAST })).train.dates).toEqual(labelled);
    expect((await cut({ trainEnd: LAST })).splitSummary).toMatchObject({ trainEnd: LAST, validEnd: null, valid: { dates: 0 }, test: { dates: 0 }, purged: { trainValid: 0, validTest: 0 } });
    const dataset = await cut({ trainEnd: days[30]! });
    expect([dataset.train.dates.at(-1), dataset.valid.dates.length, dataset.test.dates[0]]).toEqual([days[28], 0, days[29]]);
    expect((await cut({ trainEnd: days[30]! }, 2)).test.dates[0]).toBe(days[31]);
  });

  it("may end with its validation dates", async () => {
    expect(await parts({ trainEnd: days[20]!, validEnd: LAST })).toEqual([17, 19, 0]);
  });

  it("of shares may leave out validation and test", async () => {
    const { length } = labelled;
    expect(await parts({ fractions: [1, 0, 0] })).toEqual([length, 0, 0]);
    expect(await parts({ fractions: [0.5, 0, 0.5] })).toEqual([18, 0, length - 18]);
    expect((await parts({ fractions: [0.5, 0.5, 0] }))[2]).toBe(0);
  });

  it.each([
    ["shares that come to no validation date", { fractions: [0.39, 0.005, 0.605] }, 0, /There are no validation dates left/],
    ["validation dates that the purge takes", { trainEnd: days[37]!, validEnd: days[38]! }, 2, /There are no validation dates left/],
    ["test dates that the embargo takes, with validation", { trainEnd: days[20]!, validEnd: days[37]! }, 5, /There are no test dates left.*valid ends on/],
    ["test dates that the embargo takes, without validation", { trainEnd: days[37]! }, 5, /There are no test dates left.*train ends on/],
  ])("still refuses %s", async (_, split, embargo, message) => {
    await expect(cut(split as unknown as SplitOptions, embargo)).rejects.toThrow(message);
  });
});

describe("a run on all labelled dates", () => {
  beforeAll(async () => {
    expect(await fit("--train-end", LAST, "--out", at("all"))).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^epoch 1\/2 {2}loss \S+ {2}\S+ s( {2}.+ left)?\nepoch 2\/2 {2}loss \S+ {2}\S+ s\nepoch 2, the last; the run is in /) as string,
      err: expect.stringMatching(/^astgnn train: The dataset has no validation dates, so the last epoch counts as the best\.$/m) as string,
    });
  });

  it("keeps the weights of the last epoch and says so in its reports", async () => {
    expect(read("all/run.json")).toMatchObject({ status: "finished", bestEpoch: 2, warnings: [{ reason: "graph_is_average" }, { reason: "no_validation" }], split: { train: { dates: labelled.length, last: labelled.at(-1) } } });
    expect(readFileSync(at("all/report.html"), "utf8")).toMatch(/No IC: no date has two stocks[^]*chosen on no dates; tested on no dates/);
    expect(read("all/report.json")).toMatchObject({ bestEpoch: 2, train: { ic: expect.any(Number) as number, dates: labelled.length }, valid: { ic: null, dates: 0 }, test: { ic: null, dates: 0 } });
    using model = new ASTGNNFactorModel({ ...(read("all/run.json")["config"] as object), sequentialInputSize: 1 });
    const warnings: WarningEvent[] = [];
    let reported: Promise<Float32Array> | undefined;
    const first = async (): Promise<Float32Array> => (await model.predict(dataset.train)).predictions.data as Float32Array;
    const dataset = await cut({ trainEnd: LAST });
    const run = await train(model, dataset, { epochs: 2, threads: 1, onWarning: (event) => void warnings.push(event), onEpoch: () => void (reported = first()) });
    expect([run.bestEpoch, warnings.map(({ reason }) => reason)]).toEqual([2, ["graph_is_average", "no_validation"]]);
    const scores = await first();
    // What the last epoch reported is what the model ends with.
    expect(await reported).toEqual(scores);
  });

  it("is warned of a graph that is the plain average, as seen on its newest training dates", async () => {
    using model = new ASTGNNFactorModel({ ...(read("all/run.json")["config"] as object), sequentialInputSize: 1, similarityGraph: "complete", similarityScale: 1e-3 });
    const warnings: string[] = [];
    await train(model, await cut({ trainEnd: LAST }), { epochs: 1, threads: 1, onWarning: ({ reason }) => void warnings.push(reason) });
    expect(warnings).toEqual(["graph_is_average", "no_validation"]);
  });

  it("is evaluated as having no dates, and scores new data", async () => {
    const { valid, test } = await evaluateRun(at("all"));
    expect([valid.dates, test.dates, valid.rows, test.ic]).toEqual([0, 0, 0, NaN]);
    const text = await astgnn("evaluate", "--run", at("all"));
    expect(text).toMatchObject({ code: 0, err: expect.stringContaining("The run has neither validation nor test dates: there is nothing to evaluate.") as string });
    expect(text.out).not.toMatch(/NaN|undefined/);
    expect(JSON.parse((await astgnn("evaluate", "--run", at("all"), "--json")).out)).toMatchObject({ valid: { dates: 0, ic: null }, test: { dates: 0, ic: null } });
    const { lastDate, dates } = await predictRun(at("all"), undefined, { out: at("p.csv") });
    expect([lastDate, dates]).toEqual([LAST, DAYS - WINDOW + 1]);
  });

  it("can be resumed and grown", async () => {
    const again = await fit("--train-end", LAST, "--out", at("all"), "--resume", "--epochs", "3");
    expect([again.code, read("all/run.json")["bestEpoch"]]).toEqual([0, 3]);
    expect(await fit("--train-end", LAST, "--out", at("whole"), "--epochs", "3")).toMatchObject({ code: 0 });
    expect(readFileSync(at("all/model.safetensors"))).toEqual(readFileSync(at("whole/model.safetensors")));
  });

  it("can be an ensemble", async () => {
    expect(await fit("--fractions", "1,0,0", "--seeds", "0,1", "--out", at("both"))).toMatchObject({ code: 0, out: expect.stringMatching(/\nepochs 2 \(seed 0\), 2 \(seed 1\), the last; the run is in /) as string });
    expect(await astgnn("evaluate", "--run", at("both"))).toMatchObject({ code: 0 });
    expect((await predictRun(at("both"), undefined, { out: at("p.csv") })).members).toBe(2);
  });

  it("refuses what needs validation dates, in words of the command line", async () => {
    expect(await fit("--train-end", LAST, "--patience", "1")).toMatchObject({ code: 2, err: expect.stringContaining("The dataset has no validation dates for --patience. Name --valid-end, or leave the option out.") as string });
    expect(await fit("--valid-end", LAST)).toMatchObject({ code: 2, err: expect.stringContaining("Nothing says where training ends. Add --train-end DATE") as string });
  });

  it("has no validation dates for model.predict to score", async () => {
    using model = new ASTGNNFactorModel({ sequentialInputSize: 1 });
    await expect(model.predict((await cut({ trainEnd: LAST })).valid)).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringMatching(/^dataset\.valid has no dates\./) as string });
  });
});

it("a run with test dates and no validation dates is evaluated on the test", async () => {
  expect(await fit("--train-end", days[30]!, "--out", at("tested"))).toMatchObject({ code: 0 });
  const { valid, test } = await evaluateRun(at("tested"));
  expect([valid.dates, test.dates]).toEqual([0, 9]);
  expect((await astgnn("evaluate", "--run", at("tested"))).err).not.toContain("nothing to evaluate");
});
