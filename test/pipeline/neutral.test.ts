import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";
import { labelExposures } from "../../lib/data/exposures.js";
import { ASTGNNFactorModel, audit, Ensemble, evaluate, evaluatePredictions, evaluateRun, loadRun, openPanel, train, walkForward, type Dataset, type Panel, type TrainingRun } from "../../lib/index.js";
import { pearson, summary } from "../../lib/metrics/statistics.js";
import { residuals } from "../oracle/labels.js";
import { csv, Folder, priceRows, weekdays } from "../unit/data-tables.js";
import { astgnn } from "./cli-capture.js";

const folder = new Folder();
afterAll(() => folder.remove());
const at = (name: string): string => `${folder.path}/${name}`;

const [DAYS, STOCKS] = [110, 20];
const days = weekdays(DAYS);
const split = { trainEnd: days[79]!, validEnd: days[94]! };
const neutralise = ["loadings", "groups"];
const small = { sequentialInputSize: 1, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8] };
const cut = (of: Panel, names: readonly string[] | undefined): Promise<Dataset> =>
  of.dataset({ features: ["close"], window: 3, processors: ["zscore", "fill"], split, ...(names === undefined ? {} : { labelTransform: { neutralise: names }, loadings: { window: 40, halfLife: 20, count: 3 } }) });

let panel: Panel;
let dataset: Dataset;
let run: TrainingRun;
beforeAll(async () => {
  const rows = priceRows({ days: DAYS, stocks: STOCKS }).map((row) => ({ ...row, sector: `sector ${Number(row.ticker.slice(1)) % 3}` }));
  panel = await openPanel(folder.write("prices.csv", csv(rows)), { groupColumn: "sector" });
  dataset = await cut(panel, neutralise);
  run = await train(new ASTGNNFactorModel(small), dataset, { epochs: 3, threads: 1, monitor: "neutralIcir", learningRate: 0.01, warmupSteps: 5, out: at("run"), onWarning: () => {} });
});

/** Daily IC of the residuals of predictions, by the oracle. */
function neutralIcs(predictions: ArrayLike<number>, of: Dataset["valid"]): number[] {
  const exposures = labelExposures(dataset)!;
  return Array.from(of.dateIndices, (t, i) => {
    const matrix = exposures.of(t);
    const stocks = Array.from({ length: STOCKS }, (_, n) => n).filter((n) => !Number.isNaN(predictions[i * STOCKS + n]!));
    const columns = exposures.names.map((_, k) => stocks.map((n) => matrix[k * STOCKS + n]!));
    const { left } = residuals(stocks.map((n) => predictions[i * STOCKS + n]!), columns, stocks.map((n) => panel.groups!.codes[t * STOCKS + n]!));
    const labelled = stocks.flatMap((n, row) => (Number.isNaN(dataset.labels[t * STOCKS + n]!) ? [] : [{ x: left[row]!, y: dataset.labels[t * STOCKS + n]! }]));
    return pearson(Float64Array.from(labelled, ({ x }) => x), Float64Array.from(labelled, ({ y }) => y), labelled.length);
  });
}

describe("a training on labels made neutral", () => {
  it("reports the neutral IC, ICIR and RankIC of every epoch beside the raw ones, and may choose the epoch by them", async () => {
    const { epochs } = run;
    expect(run.bestEpoch).toBe(1 + epochs.map(({ valid }) => valid.neutralIcir!).reduce((best, value, i, all) => (value > all[best]! ? i : best), 0));
    const { predictions } = await run.model.predict(dataset.valid, { threads: 1 });
    const { mean, deviation } = summary(neutralIcs(predictions.data, dataset.valid));
    const { valid } = epochs[run.bestEpoch! - 1]!;
    expect(valid.neutralIc).toBeCloseTo(mean, 9);
    expect(valid.neutralIcir).toBeCloseTo(mean / deviation, 9);
    expect(valid.neutralIc).not.toBeCloseTo(valid.ic, 4);
    expect(valid.neutralRankIc).toSatisfy(Number.isFinite);
    const lines = readFileSync(at("run/metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line) as { valid: { neutralIc: number } });
    expect(lines.map((line) => line.valid.neutralIc)).toEqual(epochs.map((epoch) => epoch.valid.neutralIc));
    const report = JSON.parse(readFileSync(at("run/report.json"), "utf8")) as { test: { neutralIc: number } };
    const onTest = await run.model.predict(dataset.test, { threads: 1 });
    expect(report.test.neutralIc).toBeCloseTo(summary(neutralIcs(onTest.predictions.data, dataset.test)).mean, 9);
  });

  it("keeps what labels were neutral to, and the loadings, for new data", async () => {
    const stored = JSON.parse(readFileSync(at("run/run.json"), "utf8")) as { dataset: { labelTransform: object } };
    expect(stored.dataset.labelTransform).toEqual({ transform: "rank", neutralise });
    expect(existsSync(at("run/model.loadings.safetensors"))).toBe(true);
    using loaded = await loadRun(at("run"));
    const again = await panel.dataset({ description: loaded.dataset, split });
    expect(again.targets).toEqual(dataset.targets);
    // A score needs no exposures: three dates suffice.
    const late = await openPanel(folder.write("late.csv", csv(priceRows({ days: DAYS, stocks: STOCKS }).filter(({ date }) => date >= days[100]!))));
    const scored = await late.dataset({ description: loaded.dataset });
    expect(scored.unlabelled.dates[0]).toBe(days[102]);
    expect((await loaded.predict(scored)).predictions.shape).toEqual([8, STOCKS]);
  });

  it("is evaluated on the same exposures, in its own basis, whatever lies beside its data; others may be named", async () => {
    const trained = JSON.parse(readFileSync(at("run/report.json"), "utf8")) as Record<"valid" | "test", { neutralIc: number; neutralIcir: number; neutralRankIc: number }>;
    const found = await evaluateRun(at("run"), { bootstrapDraws: 1 });
    for (const split of ["valid", "test"] as const) {
      for (const name of ["neutralIc", "neutralIcir", "neutralRankIc"] as const) expect(found[split][name]).toBeCloseTo(trained[split][name], 9);
      expect(found[split].neutralIc).toBe(found[split].neutral!.ic);
    }
    expect(found.test.exposures!.map(({ name }) => name)).toEqual(["loading_1", "loading_2", "loading_3"]);
    // Without the loadings of the run they are estimated again: other columns of the same space.
    renameSync(at("run/model.loadings.safetensors"), at("run/away"));
    expect((await evaluateRun(at("run"), { bootstrapDraws: 1 })).test.neutralIc).toBeCloseTo(found.test.neutralIc!, 5);
    renameSync(at("run/away"), at("run/model.loadings.safetensors"));
    const alone = await evaluateRun(at("run"), { exposures: ["loadings"], bootstrapDraws: 1 });
    expect(alone.test.neutralIc).not.toBeCloseTo(found.test.neutralIc!, 3);
    // The panel has groups, but without their name they are no intercepts.
    expect([found.test.neutral!.byGroup, alone.test.neutral!.byGroup]).toEqual([true, false]);
    // Numbers of the training stay where the data are out of reach.
    const far = await evaluateRun(at("run"), { source: at("late.csv"), bootstrapDraws: 1, onWarning: () => {} });
    expect(far.test).toMatchObject({ neutral: null, neutralIc: expect.closeTo(trained.test.neutralIc, 12) as number });
    // Nor does an evaluation need the core.
    const bare = spawnSync(process.execPath, [join(packageRoot, "dist/cli/main.js"), "evaluate", "--run", at("run"), "--bootstrap-draws", "1", "--json"], { encoding: "utf8", env: { ...process.env, ASTGNN_LIBTORCH: at("nowhere") } });
    expect(bare.stderr).toMatch(/Exposures cannot be made: .*ASTGNN_LIBTORCH/);
    expect((JSON.parse(bare.stdout) as { test: object }).test).toMatchObject({ neutral: null, neutralIc: expect.closeTo(trained.test.neutralIc, 12) as number });
    await expect(evaluateRun(at("run"), { exposures: ["sectors"] })).rejects.toThrow(/lacks the column sectors for exposures/);
  });

  it("can be compared with predictions of another tool on the same exposures", async () => {
    const sql = `SELECT date, ticker, prediction FROM '${at("run/predictions.parquet")}' WHERE split = 'test'`;
    const { test } = await evaluatePredictions({ sql }, at("prices.csv"), { groupColumn: "sector", exposures: ["loadings", "volume", "groups"], bootstrapDraws: 1, label: { horizonDays: 1, lagDays: 1 }, onWarning: () => {} });
    expect(test.exposures).toHaveLength(21);
    // 110 dates are no history for loadings of 250 returns: there is nothing to be neutral to.
    expect(test.neutral).toMatchObject({ dates: 0, ic: NaN });
    const known = await evaluatePredictions({ sql }, at("prices.csv"), { groupColumn: "sector", exposures: ["volume", "groups"], bootstrapDraws: 1, label: { horizonDays: 1, lagDays: 1 }, onWarning: () => {} });
    expect(known.test).toMatchObject({ neutralIc: expect.any(Number) as number, neutral: { dates: known.test.dates } });
  });

  it("gives predictions without what exposures explain, those of the labels or others", async () => {
    const { predictions, ledger } = await run.model.predict(dataset.test, { neutralise: true, threads: 1 });
    const found = evaluate(predictions, dataset.test.labels, { bootstrapDraws: 1 });
    const raw = await run.model.predict(dataset.test, { threads: 1 });
    expect(found.ic).toBeCloseTo(summary(neutralIcs(raw.predictions.data, dataset.test)).mean, 6);
    const t = dataset.test.dateIndices[2]!;
    const matrix = labelExposures(dataset)!.of(t);
    const stocks = [...dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1])];
    const { left } = residuals(stocks.map((n) => raw.predictions.data[2 * STOCKS + n]!), [0, 1, 2].map((k) => stocks.map((n) => matrix[k * STOCKS + n]!)), stocks.map((n) => panel.groups!.codes[t * STOCKS + n]!));
    // Predictions are in single precision, and so are their residuals.
    stocks.forEach((n, i) => expect(predictions.data[2 * STOCKS + n]!).toBeCloseTo(left[i]!, 6));
    expect(ledger.entries.filter(({ reason, stage }) => reason === "missing_exposure" && stage === "rows")).toEqual([]);
    const dates: number[] = [];
    for await (const { predictions: scores } of run.model.predictDates(dataset.test, { neutralise: true, threads: 1 })) dates.push(...scores);
    expect(dates).toEqual([...predictions.data].filter((value) => !Number.isNaN(value)));
    const other = await run.model.predict(dataset.test, { neutralise: ["volume"], threads: 1 });
    expect(other.predictions.data).not.toEqual(predictions.data);
    // A constant takes out the mean alone.
    const ensemble = new Ensemble([run.model]);
    const [plain, centred] = [await ensemble.predict(dataset.test, { threads: 1 }), await ensemble.predict(dataset.test, { neutralise: ["groups"], threads: 1 })];
    expect(centred.predictions.data).not.toEqual(plain.predictions.data);
  });

  it("makes neutral what it scores in a shorter file, in the basis of its loadings", async () => {
    const flags = ["--run", at("run"), "--neutralise", "loadings", "--threads", "1", "--json"];
    const scores = async (file: string): Promise<Map<string, string>> => {
      const { code, err } = await astgnn("predict", ...flags, "--data", file, "--out", at("scores.csv"), "--from", days[100]!);
      expect([code, err]).toEqual([0, ""]);
      return new Map(readFileSync(at("scores.csv"), "utf8").trim().split("\n").slice(1).map((line) => [line.slice(0, line.lastIndexOf(",")), line.slice(line.lastIndexOf(",") + 1)]));
    };
    const long = await scores(at("prices.csv"));
    const lines = readFileSync(at("prices.csv"), "utf8").trim().split("\n");
    const short = await scores(folder.write("short.csv", [lines[0], ...lines.slice(1).filter((line) => line >= days[65]!)].join("\n")));
    expect(short.size).toBeGreaterThan(0);
    for (const [key, score] of short) expect([key, score]).toEqual([key, long.get(key)]);
    const { code, err } = await astgnn("predict", ...flags.slice(0, 2), "--neutralise", "volum", "--data", at("prices.csv"), "--out", at("scores.csv"));
    expect(code).toBe(1);
    expect(err).toMatch(/lacks the column volum for --?neutralise.*Did you mean volume\?/);
  });

  it("refuses to make predictions neutral where that would mean nothing", async () => {
    await expect(run.model.predict(dataset.test, { neutralise: [] })).rejects.toThrow(/Expected true or a list of "loadings", "style", "groups" and column names for neutralise/);
    await expect(run.model.predict(dataset.test, { neutralise: ["style", "loadings"] })).rejects.toThrow(/Predictions of \d{4}-\d\d-\d\d cannot be made neutral: its exposures need more history than the data have before it/);
    const few = await panel.dataset({ features: ["close"], window: 3, split, loadings: { window: 40, halfLife: 20, count: 20 }, labelTransform: { neutralise: ["loadings"] }, maxDropped: 1 });
    await expect(new ASTGNNFactorModel(small).predict(few.test, { neutralise: ["loadings"] })).rejects.toThrow(/cannot be made neutral to 20 exposures: its 20 stocks are too few/);
    await expect(new ASTGNNFactorModel(small).predict(few.test, { neutralise: true })).rejects.toThrow(/not trained on labels made neutral to anything/);
  });

  it("goes walk-forward: the neutral IC of all tests together is that of their predictions on the same exposures", async () => {
    const { sequentialInputSize: _, ...architecture } = small;
    const { evaluation, folds } = await walkForward(panel, {
      train: "4w", valid: "2w", step: "1m", model: architecture, training: { epochs: 1, threads: 1, monitor: "neutralIc", onWarning: () => {} }, out: at("walk"),
      dataset: { features: ["close"], window: 3, processors: ["zscore", "fill"], labelTransform: { neutralise }, loadings: { window: 40, halfLife: 20, count: 3 } },
    });
    const [first, ...others] = folds.map(({ name }) => JSON.parse(readFileSync(at(`walk/${name}/report.json`), "utf8")) as { test: { neutralIc: number; dates: number } });
    const all = [first!, ...others].map(({ test }) => test);
    const mean = all.reduce((sum, { neutralIc, dates }) => sum + neutralIc * dates, 0) / all.reduce((sum, { dates }) => sum + dates, 0);
    expect(others.length).toBeGreaterThan(0);
    expect(evaluation!.test.neutralIc).toBeCloseTo(mean, 7);
  });

  it("is audited, on shuffled labels too: the metrics that chose its epoch need no exposures there", async () => {
    const { checks, findings } = await audit(at("run"), { shuffled: true });
    expect(checks).toContain("training on shuffled labels");
    expect(findings.filter(({ severity }) => severity === "fail").map(({ code }) => code)).toEqual([]);
    // Loadings that are no features.
    const long = await openPanel(folder.write("long.csv", csv(priceRows({ days: 150, stocks: 12 }))));
    const found = await audit(long, { features: ["ohlcv", "close"], processors: ["standardize", "fill"], window: 3, maxDropped: 1, split: { trainEnd: weekdays(150)[140]! }, labelTransform: { neutralise: ["loadings"] }, loadings: { window: 40, halfLife: 20, count: 3 } });
    expect(found.findings.filter(({ severity }) => severity === "fail").map(({ code }) => code)).toEqual([]);
  });

  it("refuses data that were made neutral to something else, to score and to resume", async () => {
    const other = await cut(panel, ["loadings"]);
    await expect(run.model.predict(other.test)).rejects.toThrow(/labelTransform\.neutralise\[1\] is none, the model's "groups"/);
    await expect(run.model.predict((await cut(panel, undefined)).test)).rejects.toThrow(/labelTransform\.neutralise is none, the model's \["loadings","groups"\]/);
    await expect(train(new ASTGNNFactorModel(small), other, { epochs: 4, threads: 1, monitor: "neutralIcir", learningRate: 0.01, warmupSteps: 5, out: at("run"), resume: true })).rejects.toThrow(/neutralise/);
  });

  it("has no neutral metrics without exposures, and no monitor by them", async () => {
    const raw = await cut(panel, undefined);
    const { epochs } = await train(new ASTGNNFactorModel(small), raw, { epochs: 1, threads: 1, onWarning: () => {} });
    expect([epochs[0]!.valid.neutralIc, epochs[0]!.valid.neutralIcir, epochs[0]!.valid.neutralRankIc]).toEqual([null, null, null]);
    await expect(train(new ASTGNNFactorModel(small), raw, { monitor: "neutralIc" })).rejects.toThrow(/no exposures for monitor neutralIc/);
  });

  it("is what --neutralise asks for", async () => {
    const flags = ["--data", at("prices.csv"), "--group-column", "sector", "--features", "close", "--processors", "zscore,fill", "--window", "3", "--train-end", split.trainEnd, "--valid-end", split.validEnd, "--gru-hidden-size", "8", "--gat-hidden-size", "8", "--epochs", "1", "--threads", "1"];
    const { out, code } = await astgnn("train", ...flags, "--neutralise", "loadings,groups", "--loadings-window", "40", "--loadings-half-life", "20", "--loadings-count", "3", "--monitor", "neutralIc", "--json");
    expect(code).toBe(0);
    const events = out.trim().split("\n").map((line) => JSON.parse(line) as { valid?: { neutralIc: number }; ledger?: { reason: string }[] });
    expect(events[0]!.valid!.neutralIc).toSatisfy(Number.isFinite);
    const wrong = await astgnn("train", ...flags, "--neutralise", "groupes");
    expect(wrong.code).toBe(1);
    expect(wrong.err).toMatch(/lacks the column groupes for --neutralise; .*Did you mean groups\?/);
  });
});
