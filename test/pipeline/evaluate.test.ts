import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Database } from "../../lib/data/source/database.js";
import { simulateMarket, SIMULATED_FEATURES, writeSimulatedMarket } from "../../lib/demo/simulate.js";
import { ASTGNNFactorModel, evaluate, evaluatePredictions, evaluateRun, explainDay, loadRun, marketOf, openPanel, train, type TrainOptions, writeReport } from "../../lib/index.js";
import { astgnn } from "./cli-capture.js";

const market = simulateMarket({ seed: 5, stocks: 31, dates: 80 });
const SMALL = { gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4], dropout: 0 };
const quiet = (): void => {};

let folder: string;
const at = (name: string): string => join(folder, name);

async function run(out: string, { file = at("prices.csv"), window = 3, ...training }: TrainOptions & { file?: string; window?: number } = {}): Promise<void> {
  const panel = await openPanel(file, { onWarning: quiet });
  const dataset = await panel.dataset({
    features: SIMULATED_FEATURES, processors: ["zscore"], window, label: { horizonDays: 2, lagDays: 1 }, maxDropped: 0.3,
    split: { trainEnd: market.dates[40]!, validEnd: market.dates[58]! },
  });
  using model = new ASTGNNFactorModel({ ...SMALL, sequentialInputSize: dataset.featureNames.length, seed: training.seed ?? 0 });
  await train(model, dataset, { epochs: 1, threads: 1, out: at(out), onWarning: quiet, ...training });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "astgnn-evaluate-"));
  await writeSimulatedMarket(market, at("prices.csv"));
  await run("runs/first", { seed: 0 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("evaluateRun", () => {
  it("gives what evaluate gives for the stored predictions, the split's labels and the panel", async () => {
    const { test } = await evaluateRun(at("runs/first"));
    const panel = await openPanel(at("prices.csv"), { onWarning: quiet });
    const { test: again } = await evaluatePredictions(stored("test"), at("prices.csv"), { label: { horizonDays: 2, lagDays: 1 }, onWarning: quiet });
    for (const name of ["horizonDays", "lagDays", "icLag", "dates"] as const) expect(test[name], name).toBe(again[name]);
    // Labels are read back in single precision.
    for (const name of ["ic", "rankIc", "icT", "turnover", "netSharpe", "breakEvenBps"] as const) expect(test[name], name).toBeCloseTo(again[name]!, 5);
    expect(test.decay).toEqual(again.decay!.map((part) => expect.objectContaining({ dates: part.dates })));
    expect(test.books!.portfolios).toBe(2);
    expect(test.sizes).toBeNull();
    const predictions = { data: new Float64Array(2), shape: [1, 2] as const, dates: [market.dates[60]!], tickers: ["SIM01", "SIM02"] };
    expect(evaluate(predictions, predictions, marketOf(panel, predictions)).books).not.toBeNull();
  });

  it("counts finished runs below the parent folder on the same data and dates as trials, seeds of one configuration once", async () => {
    expect((await evaluateRun(at("runs/first"))).test.deflatedIc).toMatchObject({ trials: 1, luck: 0 });
    await run("runs/first-again", { seed: 1 });
    await run("runs/others/a/faster", { seed: 0, learningRate: 1e-2 });
    await run("runs/others/a/faster-again", { seed: 3, learningRate: 1e-2 });
    await run("runs/ensemble", { seeds: [0, 1], learningRate: 1e-4 });
    await run("runs/longer", { epochs: 2 });
    // None of these counts: unfinished, hidden, on other data, of other dates.
    for (const name of ["runs/unfinished", "runs/.hidden", "runs/broken"]) mkdirSync(at(name));
    const written = JSON.parse(readFileSync(at("runs/longer/run.json"), "utf8")) as object;
    for (const name of ["unfinished", ".hidden"]) for (const file of ["report.json", "predictions.parquet"]) copyFileSync(at(`runs/longer/${file}`), at(`runs/${name}/${file}`));
    writeFileSync(at("runs/unfinished/run.json"), JSON.stringify({ ...written, config: { changed: true }, status: "running" }));
    writeFileSync(at("runs/.hidden/run.json"), JSON.stringify({ ...written, config: { changed: true } }));
    writeFileSync(at("runs/broken/run.json"), "{");
    writeFileSync(at("more.csv"), `${readFileSync(at("prices.csv"), "utf8").trimEnd()}\n2030-01-01,SIM01,5,${"0,".repeat(7)}0\n`);
    await run("runs/other-data", { file: at("more.csv"), learningRate: 3e-2 });
    const { test, valid, trials } = await evaluateRun(at("runs/first"));
    expect(trials.map((path) => path.slice(at("runs/").length)).sort()).toEqual(["ensemble", "longer", "others/a/faster", "others/a/faster-again"]);
    for (const split of [valid, test]) {
      expect(split.deflatedIc.trials).toBe(4);
      expect(split.deflatedIc.effectiveTrials).toBeGreaterThanOrEqual(1);
      expect(split.deflatedIc.effectiveTrials).toBeLessThanOrEqual(4);
      expect(split.deflatedIc.sharedDates).toBe(split.dates);
    }
    // A run of 0.1.0 has no daily values in its report: they come from its predictions.
    const report = JSON.parse(readFileSync(at("runs/longer/report.json"), "utf8")) as { daily?: unknown };
    delete report.daily;
    writeFileSync(at("runs/longer/report.json"), JSON.stringify(report));
    const { deflatedIc } = (await evaluateRun(at("runs/first"))).test;
    expect(deflatedIc.trials).toBe(4);
    expect(deflatedIc.effectiveTrials).toBeCloseTo(test.deflatedIc.effectiveTrials, 6);
  });

  it("says why there are no prices and leaves out what needs them", async () => {
    const texts: string[] = [];
    const onWarning = ({ text }: { text: string }): void => void texts.push(text);
    renameSync(at("prices.csv"), at("moved.csv"));
    try {
      const { test } = await evaluateRun(at("runs/first"), { onWarning });
      expect(test).toMatchObject({ decay: null, turnover: null, netSharpe: null, breakEvenBps: null, ic: expect.any(Number), icT: expect.any(Number) });
      const moved = await evaluateRun(at("runs/first"), { source: at("moved.csv"), onWarning });
      expect(moved.test.netSharpe).toEqual(expect.any(Number));
      await evaluateRun(at("runs/first"), { source: at("more.csv"), onWarning });
    } finally {
      renameSync(at("moved.csv"), at("prices.csv"));
    }
    expect(texts).toEqual([expect.stringMatching(/cannot be read: File .*prices\.csv does not exist/), expect.stringMatching(/more\.csv does not hold the data that the run .* the dates and tickers are not the same/)]);
  });

  it("takes columns of the data as exposures, and refuses options that it does not know", async () => {
    const { test } = await evaluateRun(at("runs/first"), { exposures: ["style1", "style2"] });
    expect(test.exposures!.map(({ name }) => name)).toEqual(["style1", "style2"]);
    expect(test.neutral!.dates).toBe(test.dates);
    await expect(evaluateRun(at("runs/first"), { exposures: ["style9"] })).rejects.toThrow(/lacks the column style9 for exposures/);
    await expect(evaluateRun(at("runs/first"), { costBp: 3 } as never)).rejects.toThrow("Unknown option costBp of evaluateRun. Did you mean costBps?");
  });
});

/** A split's predictions as another tool would write them. */
function stored(split: string): { sql: string } {
  return { sql: `SELECT date, ticker, prediction FROM '${at("runs/first/predictions.parquet")}' WHERE split = '${split}'` };
}

describe("evaluatePredictions", () => {
  const rows = async (): Promise<string[]> => {
    await using database = Database.open();
    return (await database.rows(`SELECT strftime(date, '%Y-%m-%d'), ticker, prediction FROM '${at("runs/first/predictions.parquet")}' WHERE split = 'test' ORDER BY hash(ticker || date::VARCHAR)`, "x")).map((cells) => cells.join(","));
  };
  const csv = (name: string, lines: readonly string[]): string => {
    writeFileSync(at(name), `date,ticker,prediction\n${lines.join("\n")}\n`);
    return at(name);
  };
  const options = { label: { horizonDays: 2, lagDays: 1 }, onWarning: quiet };

  it("takes rows in any order, and counts stocks and dates that have no prices", async () => {
    const lines = await rows();
    const plain = await evaluatePredictions(csv("plain.csv", lines), at("prices.csv"), options);
    const { test, ledger } = await evaluatePredictions(csv("more-rows.csv", ["2001-01-06,SIM01,0.5", ...lines, `${lines[0]!.slice(0, 10)},XXX,0.1`]), at("prices.csv"), options);
    expect(test).toEqual(plain.test);
    expect(ledger.entries.filter(({ reason }) => reason.startsWith("unknown")).map(({ reason, count }) => [reason, count])).toEqual([["unknown_tickers", 1], ["unknown_dates", 1]]);
  });

  it("refuses a row that stands twice, infinite values, other markets and a table without predictions", async () => {
    const lines = await rows();
    await expect(evaluatePredictions(csv("twice.csv", [...lines, lines[3]!]), at("prices.csv"), options)).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringMatching(/twice|duplicate|more than once/i) as string });
    await expect(evaluatePredictions(csv("infinite.csv", [...lines, "2001-03-01,SIM01,inf"]), at("prices.csv"), options)).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringMatching(/infinite/) as string });
    await expect(evaluatePredictions(csv("others.csv", lines.map((line) => line.replace("SIM", "US"))), at("prices.csv"), options)).rejects.toThrow(/predictions of .* are of stocks or dates that .* does not have, e.g. US/);
    await expect(evaluatePredictions(at("prices.csv"), at("prices.csv"), options)).rejects.toThrow(/has no column prediction/);
    await expect(evaluatePredictions(csv("good.csv", lines), at("prices.csv"), { ...options, label: { horizonDays: 0 } })).rejects.toThrow("Expected a whole number from 1 for label.horizonDays but received 0");
  });

  it("has NaN for predictions of the newest date alone, whose labels lie ahead", async () => {
    const { test, ledger } = await evaluatePredictions(csv("today.csv", ["SIM01", "SIM02", "SIM03"].map((ticker, i) => `${market.dates.at(-1)},${ticker},${i}`)), at("prices.csv"), options);
    expect(test).toMatchObject({ ic: NaN, dates: 0, icT: NaN });
    expect(ledger.entries.find(({ reason }) => reason === "unlabelled_predictions")!.count).toBe(3);
  });
});

describe("astgnn evaluate", () => {
  it("prints the contract's fields and puts them into report.json beside what the training wrote", async () => {
    const before = JSON.parse(readFileSync(at("runs/first/report.json"), "utf8")) as { test: object; seed: number };
    const { code, out, err } = await astgnn("evaluate", "--run", at("runs/first"), "--json");
    expect([code, err]).toEqual([0, ""]);
    const { test } = JSON.parse(out) as Record<string, Record<string, unknown>>;
    expect(test).toMatchObject({
      icT: expect.any(Number), icTNaive: expect.any(Number), icInterval: [expect.any(Number), expect.any(Number)], turnover: expect.any(Number), netSharpe: expect.any(Number), breakEvenBps: expect.any(Number),
      quantiles: { spread: expect.any(Number), monotonicity: expect.any(Number) }, autocorrelation: { 1: expect.any(Number) }, deflatedIc: { trials: 4, effectiveTrials: expect.any(Number), probability: expect.any(Number) },
    });
    expect((test!["quantiles"] as { returns: number[] }).returns.length).toBe(5);
    expect((test!["decay"] as { from: number }[]).map(({ from }) => from)).toEqual([0, 1, 2, 5, 10]);
    const report = JSON.parse(readFileSync(at("runs/first/report.json"), "utf8")) as { schemaVersion: number; seed: number; test: Record<string, unknown> };
    expect(report).toMatchObject({ schemaVersion: 1, seed: before.seed });
    expect(Object.keys(report.test)).toEqual(expect.arrayContaining([...Object.keys(before.test), "icT", "series"]));
    expect(report.test["ic"]).toBe(test!["ic"]);
  });

  it("writes a page of the same numbers, to which an audit adds its verdict", async () => {
    const page = (): string => readFileSync(at("runs/first/report.html"), "utf8");
    const { test } = JSON.parse(readFileSync(at("runs/first/report.json"), "utf8")) as { test: { ic: number; dates: number } };
    expect(page()).toContain(`<h1>IC ${test.ic.toFixed(4).replace("-", "−")} on ${test.dates} test dates</h1>`);
    expect(page()).toContain("Not audited for leaks. astgnn audit --run first does it.");
    const { out } = await astgnn("audit", "--run", at("runs/first"), "--json");
    const { findings, passed } = JSON.parse(out) as { findings: { text: string }[]; passed: boolean };
    expect(page()).toContain(passed ? "The audit found no leak" : "The audit failed");
    expect((JSON.parse(readFileSync(at("runs/first/report.json"), "utf8")) as { audit: unknown }).audit).toMatchObject({ findings });
    await astgnn("evaluate", "--run", at("runs/first"), "--json");
    expect(page()).not.toContain("Not audited");
  });

  it("evaluates a run of the library that was not yet, before an audit is added", async () => {
    const report = (): { test: { icT?: number; ic: number; dates: number } } => JSON.parse(readFileSync(at("runs/longer/report.json"), "utf8")) as never;
    expect(report().test.icT).toBeUndefined();
    const { err } = await astgnn("audit", "--run", at("runs/longer"), "--json");
    expect(err).toBe("");
    const { ic, icT, dates } = report().test;
    expect(icT).toBeTypeOf("number");
    expect(readFileSync(at("runs/longer/report.html"), "utf8")).toContain(`<h1>IC ${ic.toFixed(4).replace("-", "−")} on ${dates} test dates</h1>`);
  });

  it("gets why a day's scores are what they are, the largest parts by name and the sum of the others", async () => {
    using run = await loadRun(at("runs/first"));
    const panel = await run.openPanel(at("prices.csv"));
    const dataset = await panel.dataset({ description: run.dataset });
    const day = await explainDay(run, dataset, { count: 2, threads: 1 });
    await writeReport(at("runs/first"), { explanations: day });
    const { explanations } = JSON.parse(readFileSync(at("runs/first/report.json"), "utf8")) as { explanations: { top: { ticker: string; score: number; own: number; peers: { part: number }[]; otherPeers: number; baseline: number; features: { part: number }[]; otherFeatures: number }[] } };
    const sum = (parts: readonly { part: number }[]): number => parts.reduce((total, { part }) => total + part, 0);
    for (const { score, own, peers, otherPeers, baseline, features, otherFeatures } of explanations.top) {
      // What explain promises of its sums.
      expect(own + sum(peers) + otherPeers).toBeCloseTo(score, 5);
      expect(baseline + sum(features) + otherFeatures).toBeCloseTo(score, 5);
    }
    const html = readFileSync(at("runs/first/report.html"), "utf8");
    for (const { ticker } of [...day.top, ...day.bottom]) expect(html).toContain(`<td data-name="Stock">${ticker}</td>`);
  });

  it("prints a table of at most 100 columns in which nothing touches", async () => {
    const { code, out } = await astgnn("evaluate", "--run", at("runs/first"), "--exposures", "style1,style2");
    expect(code).toBe(0);
    for (const line of out.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
    expect(out).toMatch(/IC by year\n {2}2001 +-?0\.\d{4} \(t -?\d+\.\d\) +-?0\.\d{4} \(t -?\d+\.\d\)/);
    expect(out).toMatch(/trials, effective +4, \d\.\d/);
    expect(out).toMatch(/neutral IC +-?0\.\d{4}/);
    expect(out).not.toMatch(/NaN|undefined|\)-/);
  });

  it("evaluates predictions of another tool and writes report.json where asked", async () => {
    await using database = Database.open();
    await database.run(`COPY (${stored("test").sql}) TO '${at("other.parquet")}' (FORMAT parquet)`, "other.parquet");
    const { code, out } = await astgnn("evaluate", "--predictions", at("other.parquet"), "--data", at("prices.csv"), "--label-horizon", "2", "--label-lag", "1", "--out", at("other"), "--json");
    expect(code).toBe(0);
    const { test } = JSON.parse(out) as { test: { ic: number; horizonDays: number } };
    expect(test).toMatchObject({ horizonDays: 2, ic: expect.any(Number) });
    expect(JSON.parse(readFileSync(at("other/report.json"), "utf8"))).toMatchObject({ schemaVersion: 1, subject: { name: "other.parquet", prices: at("prices.csv") }, test: { ic: test.ic } });
    expect(readFileSync(at("other/report.html"), "utf8")).toContain("Predictions of other.parquet against the closing prices of prices.csv");
    const refused = await astgnn("evaluate", "--predictions", at("other.parquet"), "--data", at("prices.csv"), "--out", at("runs/first"));
    expect([refused.code, refused.err]).toEqual([2, expect.stringMatching(/holds a run, whose report would be lost/)]);
    const table = await astgnn("evaluate", "--predictions", at("other.parquet"), "--data", at("prices.csv"), "--cost-bps", "10");
    expect(table.out).toMatch(/^ +predictions\n/);
    expect(table.out).toContain("net of 10 bps");
  });

  it("is told apart: one of --run and --predictions, with its own flags", async () => {
    const messages: [string[], RegExp][] = [
      [[], /Neither --run nor --predictions is given/],
      [["--run", at("runs/first"), "--predictions", "x.csv"], /Both --run and --predictions are given/],
      [["--predictions", at("other.parquet")], /No data are named\. Add --data FILE/],
      [["--run", at("runs/first"), "--label-lag", "2"], /--label-lag goes with --predictions/],
      [["--run", at("runs/first"), "--quantiles", "1"], /Expected a whole number from 2 for --quantiles but received 1/],
      [["--predictions", at("other.parquet"), "--data", at("prices.csv"), "--label-horizon", "x"], /Expected a whole number from 1 for --label-horizon but received "x"/],
    ];
    for (const [flags, message] of messages) {
      const { code, err } = await astgnn("evaluate", ...flags);
      expect([code, err]).toEqual([2, expect.stringMatching(message)]);
    }
  });

  it("is what astgnn train ends with", async () => {
    rmSync(at("cli"), { recursive: true, force: true });
    const flags = Object.entries(SMALL).flatMap(([name, value]) => [`--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, String(value)]);
    const { code, err } = await astgnn(
      "train", "--data", at("prices.csv"), "--features", SIMULATED_FEATURES.join(","), "--processors", "zscore", "--window", "3", "--label-horizon", "2", "--train-end", market.dates[40]!, "--valid-end", market.dates[58]!,
      "--max-dropped", "0.3", "--epochs", "1", "--threads", "1", ...flags, "--out", at("cli/run"), "--json",
    );
    expect(code, err).toBe(0);
    expect(readFileSync(at("cli/run/report.html"), "utf8")).toContain("<h1>IC ");
    expect(JSON.parse(readFileSync(at("cli/run/report.json"), "utf8"))).toMatchObject({ schemaVersion: 1, test: { icT: expect.any(Number), netSharpe: expect.any(Number) }, valid: { deflatedIc: { trials: 1 } } });
  });
});
