import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { simulateMarket, SIMULATED_FEATURES, writeSimulatedMarket } from "../../lib/demo/simulate.js";
import { ASTGNNFactorModel, compareRisk, openPanel, riskForms, RiskModel, riskModel, train, type FactorForm, type Panel, type SimilarStocks } from "../../lib/index.js";
import { congruence } from "../../lib/metrics/dense.js";
import { Axes } from "../../lib/risk/axes.js";
import { astgnn } from "./cli-capture.js";

const quiet = (): void => {};
let folder: string;
let run: string;
let panel: Panel;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "astgnn-risk-"));
  run = join(folder, "run");
  await writeSimulatedMarket(simulateMarket({ seed: 3, stocks: 40, dates: 130 }), join(folder, "prices.csv"));
  panel = await openPanel(join(folder, "prices.csv"), { onWarning: quiet });
  using dataset = await panel.dataset({ features: SIMULATED_FEATURES, processors: ["zscore"], window: 2, label: { horizonDays: 1, lagDays: 1 }, split: { fractions: [0.5, 0.2, 0.3] }, maxDropped: 0.3 });
  using model = new ASTGNNFactorModel({ sequentialInputSize: dataset.featureNames.length, gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 1, residualHiddenSize: 4, numRiskFactors: 5, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4] });
  await train(model, dataset, { epochs: 1, threads: 1, onWarning: quiet, out: run });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the risk model of a run", () => {
  it("is the same from factors.parquet as from the model on the data", async () => {
    const date = panel.dates.at(-1)!;
    const stored = (await riskModel(run, panel, { date })).form();
    expect(stored.factors).toEqual(["market", "m_1", "m_2", "m_3", "m_4", "m_5"]);
    renameSync(join(run, "factors.parquet"), join(run, "kept"));
    try {
      expect((await riskModel(run, panel, { date })).form()).toEqual(stored);
    } finally {
      renameSync(join(run, "kept"), join(run, "factors.parquet"));
    }
  });

  it("stored on a date goes on from it with M of the later dates alone, to the last bit", async () => {
    const stored = (await riskModel(run, panel, { date: panel.dates.at(-9)! })).write();
    const whole = (await riskModel(run, panel)).form();
    expect((await riskModel(run, panel, { continues: RiskModel.read(stored) })).form()).toEqual(whole);
    await expect(riskModel([SIMULATED_FEATURES[0]!], panel, { continues: RiskModel.read(stored) })).rejects.toMatchObject({ code: "ERR_OPTION", option: "continues" });
  });

  it("of a date is that of a panel without later dates", async () => {
    const date = panel.dates.at(-20)!;
    const sql = `SELECT * REPLACE (CASE WHEN date > DATE '${date}' THEN 2 * close + random() ELSE close END AS close) FROM '${join(folder, "prices.csv")}'`;
    const changed = await openPanel({ sql }, { onWarning: quiet });
    expect((await riskModel(run, changed, { date })).form()).toEqual((await riskModel(run, panel, { date })).form());
  });

  it("takes columns beside M, and gives the forms of a schedule in one walk", async () => {
    const dates = [panel.dates.at(-30)!, panel.dates.at(-2)!];
    const forms: FactorForm[] = [];
    for await (const form of riskForms({ run, exposures: [SIMULATED_FEATURES[0]!] }, panel, dates, { axes: 2 })) forms.push(form);
    expect(forms.map(({ date }) => date)).toEqual(dates);
    expect(forms[0]!.factors).toEqual(["market", "m_1", "m_2", SIMULATED_FEATURES[0]]);
    expect(forms[1]!.factorCovariance).toHaveLength(16);
  });

  it("is judged beside others by the command", async () => {
    const { code, out } = await astgnn("risk", "--run", run, "--compare", "sample,lw,pca", "--window", "60", "--components", "3", "--json");
    expect(code).toBe(0);
    const found = JSON.parse(out) as Awaited<ReturnType<typeof compareRisk>>;
    expect(Object.keys(found.models)).toEqual(["m", "sample", "lw", "pca"]);
    for (const { qlike, bias, gmvVolatility } of Object.values(found.models)) for (const value of [qlike.random, qlike.gmv, bias, gmvVolatility]) expect(Number.isFinite(value)).toBe(true);
    expect(found.models["sample"]!.gmvLongShortVolatility).toBeNull();
    for (const { eigen } of Object.values(found.models)) expect(eigen.bias).toHaveLength(20);
    // Of the market and 5 axes of M.
    expect(found.eigenfactors!.plain.bias).toHaveLength(6);
    for (const value of [...found.eigenfactors!.plain.bias, ...found.eigenfactors!.adjusted.bias]) expect(value).toBeGreaterThan(0);
    expect(found.pairs).toHaveLength(6);
    for (const { a, b, portfolios, difference } of found.pairs) expect(difference).toBeCloseTo(found.models[a]!.qlike[portfolios] - found.models[b]!.qlike[portfolios], 10);
    const split = (JSON.parse(readFileSync(join(run, "run.json"), "utf8")) as { split: { test: { first: string } } }).split;
    expect(found.first).toBe(split.test.first);
    const stored = RiskModel.read(readFileSync(join(run, "risk.safetensors")));
    expect(stored.form()).toEqual((await riskModel(run, panel)).form());
    const table = await astgnn("risk", "--run", run, "--compare", "lw", "--window", "60");
    expect(table.out).toContain("QLIKE random");
    expect(table.out).toMatch(/Eigenfactors of m: mean \|bias - 1\| is \d\.\d+ without and \d\.\d+ with/);
  });

  it("finds the neighbours of a stock by the graph, by itself and by realised returns", async () => {
    const date = panel.dates.at(-25)!;
    const { code, out } = await astgnn("similar", "--run", run, "--date", date, "--ticker", panel.tickers[2]!, "--top", "4", "--look-back", "5", "--threads", "1", "--json");
    expect(code).toBe(0);
    const found = JSON.parse(out) as SimilarStocks;
    for (const list of [found.byGraph, found.byRisk, found.byRealised]) {
      expect(list).toHaveLength(4);
      expect(list.map(({ ticker }) => ticker)).not.toContain(panel.tickers[2]);
      for (const { weight, since } of list) {
        expect(Math.abs(weight)).toBeLessThanOrEqual(1);
        expect(since <= date && since >= panel.dates.at(-30)!).toBe(true);
      }
    }
    // Realised correlation is its own weight, up to missing days.
    for (const { weight, correlation60 } of found.byRealised) expect(weight).toBeCloseTo(correlation60, 10);
    const form = (await riskModel(run, panel, { date })).form();
    const covariance = congruence(form.exposures, form.factorCovariance, form.tickers.length, form.factors.length).map((value, i) => value + (i % (form.tickers.length + 1) === 0 ? form.specificVariance[i / (form.tickers.length + 1)]! : 0));
    const at = (a: string, b: string): number => covariance[form.tickers.indexOf(a) * form.tickers.length + form.tickers.indexOf(b)]!;
    for (const { ticker, weight } of found.byRisk) expect(weight).toBeCloseTo(at(panel.tickers[2]!, ticker) / Math.sqrt(at(ticker, ticker) * at(panel.tickers[2]!, panel.tickers[2]!)), 10);
    // The simulated prices have no groups; hidden industries would be a file.
    expect(found.sameGroup.byRisk).toBeNull();
    const groups = join(folder, "groups.csv");
    writeFileSync(groups, `ticker,group\n${panel.tickers.map((name, n) => `${name},${n % 4 === 2 ? "two" : "other"}`).join("\n")}\n`);
    const grouped = JSON.parse((await astgnn("similar", "--run", run, "--date", date, "--ticker", panel.tickers[2]!, "--top", "4", "--look-back", "0", "--threads", "1", "--groups", groups, "--json")).out) as SimilarStocks;
    expect([grouped.group, grouped.byRisk[0]!.group]).toEqual(["two", panel.tickers.indexOf(grouped.byRisk[0]!.ticker) % 4 === 2 ? "two" : "other"]);
    // A quarter and three quarters of all: 1/16 + 9/16, less the stock itself.
    expect(Math.abs(grouped.sameGroup.chance - 0.61)).toBeLessThan(0.03);
    for (const value of [found.peerCorrelationNext20.byGraph, found.peerCorrelationNext20.byRisk, found.peerCorrelationNext20.byRealised]) expect(Math.abs(value)).toBeLessThan(1);
  });

  it("refuses names that are none, and a date that is not in", async () => {
    expect(await astgnn("risk", "--run", run, "--compare", "barra")).toMatchObject({ code: 2, err: expect.stringContaining("Expected some of sample, lw, oas, pca, style for --compare") });
    expect(await astgnn("risk", "--run", join(folder, "none"))).toMatchObject({ code: 1, err: expect.stringContaining("holds no run") });
    await expect(riskModel(run, panel, { date: "2031-01-01" })).rejects.toMatchObject({ code: "ERR_DATA" });
    await expect(riskModel(["colour"], panel)).rejects.toMatchObject({ code: "ERR_DATA", column: "colour" });
  });
});

it("the axes of an M that is rotated are its axes", async () => {
  const [N, K] = [30, 3];
  const values = Float32Array.from({ length: N * K }, (_, c) => Math.sin(3 * c) * (1 + (c % K)));
  const [cos, sin] = [Math.cos(0.7), Math.sin(0.7)];
  const turned = Float32Array.from(values, (_, c) => {
    const [at, k] = [c - (c % K), c % K];
    return k === 0 ? cos * values[at]! - sin * values[at + 1]! : k === 1 ? sin * values[at]! + cos * values[at + 1]! : values[at + 2]!;
  });
  const tickers = Array.from({ length: N }, (_, i) => `S${i}`);
  const project = async (m: Float32Array): Promise<Float64Array> => (await Axes.fit((async function* () { yield { date: "2020-01-02", tickers, values: m }; })(), K, K)).project(m);
  const [a, b] = [await project(values), await project(turned)];
  // Up to their signs, and to the rounding of M to float32.
  for (const [i, value] of a.entries()) expect(Math.abs(Math.abs(value) - Math.abs(b[i]!))).toBeLessThan(1e-5);
});
