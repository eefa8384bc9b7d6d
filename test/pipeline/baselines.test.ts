import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Database } from "../../lib/data/source/database.js";
import { simulateMarket, SIMULATED_FEATURES, writeSimulatedMarket } from "../../lib/demo/simulate.js";
import { ASTGNNFactorModel, compareRun, evaluateRun, openPanel, train, walkForward, type Panel } from "../../lib/index.js";
import { astgnn } from "./cli-capture.js";

const market = simulateMarket({ seed: 12, stocks: 19, dates: 100 });
const model = { gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4] };
const quiet = (): void => {};
const dataset = { features: SIMULATED_FEATURES, processors: ["zscore" as const], window: 3, label: { horizonDays: 2, lagDays: 1 }, maxDropped: 0.3 };
const split = { trainEnd: market.dates[50]!, validEnd: market.dates[70]! };
const training = { epochs: 1, threads: 1, onWarning: quiet };

let folder: string;
let panel: Panel;
const at = (name: string): string => join(folder, name);
const run = async (out: string, changes: { graph?: "none"; overwrite?: boolean; epochs?: number } = {}): Promise<void> => {
  const { graph, ...more } = changes;
  using cut = await panel.dataset({ ...dataset, split, ...(graph === undefined ? {} : { graph }) });
  const alone = graph === undefined ? {} : { similarityGraph: "groups" as const, excludeSelf: true };
  using own = new ASTGNNFactorModel({ ...model, ...alone, sequentialInputSize: cut.featureNames.length });
  await train(own, cut, { ...training, ...more, out: at(out) });
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "astgnn-baselines-"));
  await writeSimulatedMarket(market, at("prices.csv"));
  panel = await openPanel(at("prices.csv"), { onWarning: quiet });
  await run("run");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("compareRun", () => {
  it("has every baseline on the rows of all, and the run without a graph as train gives it, trained once", async () => {
    const started: number[] = [];
    const events = { onEpoch: ({ epoch }: { epoch: number }) => void started.push(epoch), onWarning: quiet };
    const { model: ours, baselines, leftOut, rows, rowsLeftOut, dates } = await compareRun(at("run"), { source: panel, events });
    expect(baselines.map(({ name }) => name)).toEqual(["reversal1", "reversal20", "ridge", "no-graph"]);
    expect(leftOut).toEqual([{ name: "momentum", reason: "it has values for 0 % of the rows" }]);
    const { test } = await evaluateRun(at("run"), { source: panel });
    expect(rows + rowsLeftOut).toBe(test.rows);
    expect([dates, ours.name]).toEqual([test.dates, "this run"]);
    for (const { ic, icT, difference } of baselines) for (const number of [ic, icT, difference.mean, difference.t]) expect(number).toEqual(expect.any(Number));
    await run("alone", { graph: "none" });
    for (const file of ["model.safetensors", "predictions.parquet"]) expect(readFileSync(at(`run/baselines/no-graph/${file}`)).equals(readFileSync(at(`alone/${file}`))), file).toBe(true);
    expect(started).toEqual([1]);
    await compareRun(at("run"), { source: panel, baselines: ["no-graph"], events });
    expect(started).toEqual([1]);
    // A run is no trial of the one that it is a baseline of.
    expect((await evaluateRun(at("run"), { source: panel })).trials.map((path) => path.slice(folder.length + 1))).toEqual(["alone"]);
    // Nobody has peers there, so there is nothing to correlate.
    const { valid } = JSON.parse(readFileSync(at("alone/report.json"), "utf8")) as { valid: Record<string, unknown> };
    expect([valid["peerCorrelation"], valid["effectiveNeighbours"], valid["emptyShare"]]).toEqual([null, null, 1]);
    expect((await compareRun(at("alone"), { source: panel, baselines: ["no-graph"] })).leftOut).toEqual([{ name: "no-graph", reason: "the run has no graph" }]);
  });

  it("trains the run without a graph anew where the run was replaced by one with other options", async () => {
    await run("again");
    await compareRun(at("again"), { source: panel, baselines: ["no-graph"], events: { onWarning: quiet } });
    await run("again", { overwrite: true, epochs: 2 });
    const epochs: number[] = [];
    await compareRun(at("again"), { source: panel, baselines: ["no-graph"], events: { onEpoch: ({ epoch }) => void epochs.push(epoch), onWarning: quiet } });
    expect(epochs.at(-1)).toBe(2);
  });

  it("takes predictions of other tools: its own, told by a CSV in any order, differ by nothing", async () => {
    await using database = Database.open();
    await database.run(`COPY (SELECT ticker, date, prediction FROM '${at("run/predictions.parquet")}' WHERE split = 'test' ORDER BY prediction) TO '${at("mine.csv")}' (HEADER)`, "mine.csv");
    const { model: ours, baselines: [mine] } = await compareRun(at("run"), { source: panel, baselines: [], compare: [at("mine.csv")] });
    expect(mine).toMatchObject({ name: "mine.csv", missing: 0 });
    // CSV has single precision in decimals.
    expect(mine!.ic).toBeCloseTo(ours.ic, 6);
    expect(Math.abs(mine!.difference.mean)).toBeLessThan(1e-6);
    writeFileSync(at("others.csv"), "date,ticker,prediction\n1999-01-01,ZZZ,1\n");
    await expect(compareRun(at("run"), { source: panel, baselines: [], compare: [at("others.csv")] })).rejects.toThrow("others.csv has no prediction for any of the");
  });

  it("fits a ridge regression per fold of a walk-forward, and walks without a graph", async () => {
    const rule = { train: "2m", valid: "3w", step: "1m" };
    const { evaluation, folds } = await walkForward(panel, { ...rule, dataset, model, training, out: at("walk") });
    const { rows, baselines, model: ours } = await compareRun(at("walk"), { source: panel, baselines: ["ridge", "no-graph"], events: { onWarning: quiet } });
    expect(folds.length).toBeGreaterThan(1);
    expect([rows, ours.ic]).toEqual([evaluation!.test.rows, expect.closeTo(evaluation!.test.ic, 12)]);
    expect(baselines.map(({ name, missing }) => [name, missing])).toEqual([["ridge", 0], ["no-graph", 0]]);
    // The whole of one fold is that of a run with its split.
    using cut = await panel.dataset({ ...dataset, split: folds[1]!.split as never });
    using own = new ASTGNNFactorModel({ ...model, sequentialInputSize: cut.featureNames.length });
    await train(own, cut, { ...training, out: at("second") });
    const single = await compareRun(at("second"), { source: panel, baselines: ["ridge"] });
    const comparisonOf = async (...flags: string[]): Promise<unknown> => {
      expect(await astgnn("evaluate", "--run", at("walk"), ...flags)).toMatchObject({ code: 0 });
      return (JSON.parse(readFileSync(at("walk/report.json"), "utf8")) as { comparison?: unknown }).comparison;
    };
    expect(await comparisonOf("--baselines", "ridge")).toMatchObject({ rows });
    expect(await comparisonOf()).toMatchObject({ rows });
    for (const name of ["fold-01", "fold-03"]) rmSync(at(`walk/${name}`), { recursive: true, force: true });
    const part = await compareRun(at("walk"), { source: panel, baselines: ["ridge"] });
    expect(part.baselines[0]!.ic).toBe(single.baselines[0]!.ic);
    // Of other rows it would be no comparison of this test.
    expect(await comparisonOf()).toBeUndefined();
  });

  it("refuses unknown baselines, other data and a run that is not there", async () => {
    await expect(compareRun(at("run"), { baselines: ["lasso" as "ridge"] })).rejects.toThrow(/baselines.*"lasso"/);
    writeFileSync(at("more.csv"), `${readFileSync(at("prices.csv"), "utf8").trimEnd()}\n2030-01-01,SIM01,5,${"0,".repeat(7)}0\n`);
    await expect(compareRun(at("run"), { source: at("more.csv"), baselines: ["ridge"] })).rejects.toThrow("the dates and tickers are not the same");
    await expect(compareRun(at("nowhere"))).rejects.toThrow("holds no run");
  });
});

describe("astgnn evaluate --baselines --compare", () => {
  it("prints the comparison, as JSON too, and puts it on the page", async () => {
    copyFileSync(at("mine.csv"), at("lightgbm.csv"));
    const { code, out } = await astgnn("evaluate", "--run", at("run"), "--baselines", "reversal1,ridge", "--compare", at("lightgbm.csv"));
    expect(code).toBe(0);
    expect(out).toMatch(/Against baselines, on the \d+ rows of 28 test dates that all have[\s\S]*predictions +IC +t +ICIR +RankIC +t +difference +error +t +rows lost\nthis run [\s\S]*\nreversal1 [\s\S]*\nridge [\s\S]*\nlightgbm.csv /);
    const { comparison } = JSON.parse((await astgnn("evaluate", "--run", at("run"), "--baselines", "--json")).out) as { comparison: { baselines: { name: string }[] } };
    expect(comparison.baselines.map(({ name }) => name)).toEqual(["reversal1", "reversal20", "ridge", "no-graph"]);
    const page = readFileSync(at("run/report.html"), "utf8");
    expect(page).toContain("Against baselines");
    expect(existsSync(at("run/report.json"))).toBe(true);
    expect(await astgnn("evaluate", "--run", at("run"), "--baselines", "lasso")).toMatchObject({ code: 2, err: expect.stringContaining("lasso") });
    expect(await astgnn("evaluate", "--predictions", at("mine.csv"), "--data", at("prices.csv"), "--baselines")).toMatchObject({ code: 2, err: expect.stringContaining("--baselines goes with --run.") });
  });
});
