import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";
import { Database } from "../../lib/data/source/database.js";
import { simulateMarket, SIMULATED_FEATURES, writeSimulatedMarket } from "../../lib/demo/simulate.js";
import { ASTGNNFactorModel, audit, evaluateRun, loadRun, openPanel, train, walkForward, type DatasetOptions, type Panel, type WalkForwardOptions } from "../../lib/index.js";
import { lockRunFolder } from "../../lib/run/files.js";
import { astgnn } from "./cli-capture.js";

const market = simulateMarket({ seed: 11, stocks: 17, dates: 110 });
const model = { gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4], dropout: 0.1 };
const dataset = { features: SIMULATED_FEATURES, processors: ["zscore" as const], window: 3, label: { horizonDays: 2, lagDays: 1 }, maxDropped: 0.3, embargo: 1 };
const quiet = (): void => {};
const training = { epochs: 2, threads: 1, onWarning: quiet };
const rule = { train: "2m", valid: "3w", step: "1m" };

let folder: string;
let panel: Panel;
const at = (name: string): string => join(folder, name);
const walk = (out: string, changes: Partial<WalkForwardOptions> = {}) => walkForward(panel, { ...rule, dataset, model, training, out: at(out), ...changes });
/** SHA-256 of a file, for comparison. */
const bytes = (...path: string[]): string => createHash("sha256").update(readFileSync(at(join(...path)))).digest("hex");
const json = (...path: string[]): Record<string, never> => JSON.parse(readFileSync(at(join(...path)), "utf8")) as Record<string, never>;
const rows = async (file: string, where = "true"): Promise<unknown[][]> => {
  await using database = Database.open();
  return await database.rows(`SELECT strftime(date, '%Y-%m-%d'), ticker, split, prediction, label FROM '${at(file)}' WHERE ${where}`, file);
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "astgnn-walk-"));
  await writeSimulatedMarket(market, at("prices.csv"));
  panel = await openPanel(at("prices.csv"), { onWarning: quiet });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("walkForward", () => {
  it("gives each fold the run that train gives for its split, and their tests together, each date once", async () => {
    const { folds, missing, evaluation } = await walk("one");
    expect(folds.map(({ name }) => name)).toEqual(["fold-01", "fold-02", "fold-03"]);
    expect(missing).toEqual([]);
    const expected: unknown[][] = [];
    for (const fold of folds) {
      const cut = await panel.dataset({ ...dataset, split: fold.split } as DatasetOptions);
      using own = new ASTGNNFactorModel({ ...model, sequentialInputSize: cut.featureNames.length });
      await train(own, cut, { ...training, out: at(`single/${fold.name}`) });
      for (const file of ["model.safetensors", "report.json"]) expect(bytes("one", fold.name, file), file).toBe(bytes("single", fold.name, file));
      expected.push(...(await rows(`single/${fold.name}/predictions.parquet`, "split IN ('test', 'unlabelled')")));
    }
    expect(await rows("one/predictions.parquet")).toEqual(expected);
    expect(json("one", "run.json")).toMatchObject({ kind: "walkForward", status: "finished", walkForward: { ...rule, mode: "rolling", start: null } });

    const { test, valid } = evaluation!;
    expect(test.dates).toBe(folds.reduce((sum, fold) => sum + fold.test.dates, 0));
    expect(test.daily.dates).toEqual([...new Set(expected.filter(([, , split]) => split === "test").map(([date]) => date))]);
    expect(valid.dates).toBe(0);
    const ofFolds = await Promise.all(folds.map(async ({ name }) => (await evaluateRun(at(`one/${name}`))).test));
    expect(test.daily.ic).toEqual(ofFolds.flatMap(({ daily }) => daily.ic));
    expect(test.effectiveNeighbours).toBeCloseTo(ofFolds.reduce((sum, { effectiveNeighbours, dates }) => sum + effectiveNeighbours! * dates, 0) / test.dates, 10);
    expect(json("one", "report.json")).toMatchObject({ subject: { kind: "walk-forward" }, test: { ic: test.ic, icT: test.icT }, missing: [] });
    const page = readFileSync(at("one/report.html"), "utf8");
    for (const text of ["A walk-forward of 3 folds on prices.csv", "Each fold was trained, chosen and tested on its own dates", "fold-03"]) expect(page).toContain(text);
    expect(evaluation!.folds!.map(({ testIc }) => testIc)).toEqual(ofFolds.map(({ ic }) => expect.closeTo(ic, 10)));
  });

  it("trains folds at once, each told by its name, with the files of one after the other", async () => {
    const steps: (string | undefined)[] = [];
    await walk("at once", { training: { ...training, threads: 3, atOnce: 3, onStep: ({ fold }) => void steps.push(fold) } });
    expect(bytes("at once", "predictions.parquet")).toBe(bytes("one", "predictions.parquet"));
    for (const fold of ["fold-01", "fold-02", "fold-03"]) {
      expect(bytes("at once", fold, "model.safetensors")).toBe(bytes("one", fold, "model.safetensors"));
      expect(json("at once", fold, "run.json")).toMatchObject({ threads: 1 });
      expect(steps).toContain(fold);
    }
  });

  it("computes features once", async () => {
    const fresh = await openPanel(at("prices.csv"), { onWarning: quiet });
    const progress: number[] = [];
    for (const fold of ["1", "2"]) await walkForward(fresh, { ...rule, dataset, model, training: { ...training, epochs: 1 }, out: at("progress"), fold, onProgress: ({ dates }) => void progress.push(dates) });
    // Each dataset says when it is complete; one that makes features also says so of blocks of dates before.
    const blocks = progress.filter((dates) => dates < market.dates.length);
    expect(blocks.length).toBeGreaterThan(0);
    expect(blocks).toEqual([...new Set(blocks)]);
  });

  it("is the same whatever jobs trained it, in whatever order: folds times seeds", async () => {
    const seeds = { training: { ...training, epochs: 1, seeds: [3, 4] } };
    const whole = await walk("whole/walk", seeds);
    expect(whole.evaluation!.test.dates).toBeGreaterThan(20);
    for (const job of [5, 2, 6, 1, 4, 3]) {
      const { missing, evaluation } = await walk("jobs/walk", { ...seeds, fold: `${job}/6` });
      if (job === 5) expect(missing).toEqual(["fold-01", "fold-02/seed-3", "fold-03"]);
      if (job === 6) {
        expect(missing).toEqual(["fold-01", "fold-03/seed-3"]);
        const partial = await evaluateRun(at("jobs/walk"));
        expect(partial).toMatchObject({ missing, test: { dates: whole.folds[1]!.test.dates } });
        expect(partial.folds!.map(({ isFinished }) => isFinished)).toEqual([false, true, false]);
      }
      expect(evaluation === undefined, `job ${job}`).toBe(job !== 3);
    }
    for (const name of ["predictions.parquet", "report.json", "report.html"]) {
      for (const fold of name === "report.html" ? [""] : ["", "fold-01", "fold-02", "fold-03"]) expect(bytes("jobs/walk", fold, name), `${fold} ${name}`).toBe(bytes("whole/walk", fold, name));
    }
    for (const fold of ["fold-01", "fold-02", "fold-03"]) for (const seed of ["seed-3", "seed-4"]) expect(bytes("jobs/walk", fold, seed, "model.safetensors")).toBe(bytes("whole/walk", fold, seed, "model.safetensors"));
    expect(json("jobs/walk", "run.json")).toEqual(json("whole/walk", "run.json"));
  });

  it("trains nothing that is finished again, and names an option that has changed", async () => {
    const before = statSync(at("one/fold-02/model.safetensors")).mtimeMs;
    const told: string[] = [];
    const again = await walk("one", { onFold: ({ fold }) => void told.push(fold.name) });
    expect(again.evaluation!.test.ic).toBe((await evaluateRun(at("one"))).test.ic);
    expect([told, statSync(at("one/fold-02/model.safetensors")).mtimeMs]).toEqual([[], before]);
    await expect(walk("one", { training: { ...training, epochs: 3 } })).rejects.toThrow(/has training\.epochs 2, now it is 3/);
    await expect(walk("one", { training: { ...training, seed: 1 } })).rejects.toThrow(/has seeds 0, now it is 1/);
    await expect(walk("one", { dataset: { ...dataset, window: 4 } })).rejects.toThrow(/has dataset\.window 3, now it is 4/);
    await expect(walk("one", { model: { ...model, gruHiddenSize: 5 } })).rejects.toThrow(/has config\.gruHiddenSize 4, now it is 5/);
    await expect(walk("one", { step: "2m" })).rejects.toThrow(/has walkForward\.step "1m", now it is "2m"/);
    await expect(walk("one", { mode: "expanding" })).rejects.toThrow(/has walkForward\.mode "rolling", now it is "expanding"/);
    writeFileSync(at("more.csv"), `${readFileSync(at("prices.csv"), "utf8").trimEnd()}\n2030-01-01,SIM01,5,${"0,".repeat(7)}0\n`);
    const more = await openPanel(at("more.csv"), { onWarning: quiet });
    await expect(walkForward(more, { ...rule, dataset, model, training, out: at("one") })).rejects.toThrow(/has fingerprint/);
  });

  /** prices.csv with other values after a date, and a label column: the return from the close one date later to that three dates later. */
  async function pricesWith(name: string, last: string): Promise<Panel> {
    const [header, ...lines] = readFileSync(at("prices.csv"), "utf8").trimEnd().split("\n");
    const cells = lines.map((line, i) => {
      const [date, ticker, ...values] = line.split(",") as [string, string, ...string[]];
      return [date, ticker, ...values.map((value) => (date > last ? String(Number(value) * (1.5 + ((i * 7919) % 13) / 13)) : value))];
    });
    const close = new Map(cells.map(([date, ticker, value]) => [`${date} ${ticker}`, Number(value)]));
    const after = (date: string, days: number, ticker: string): number => close.get(`${market.dates[market.dates.indexOf(date) + days]} ${ticker}`) ?? NaN;
    const label = (date: string, ticker: string): string => (Number.isNaN(after(date, 3, ticker)) ? "" : String(after(date, 3, ticker) / after(date, 1, ticker) - 1));
    writeFileSync(at(name), `${[`${header},y`, ...cells.map((row) => [...row, label(row[0]!, row[1]!)].join(","))].join("\n")}\n`);
    return openPanel(at(name), { onWarning: quiet });
  }

  it.each([
    ["the close", { horizonDays: 2, lagDays: 1 }, true],
    ["a column that says which dates it looks at", { column: "y", horizonDays: 2, lagDays: 1 }, true],
    // What the two above are held to finds a leak where there is one: labels of the last validation dates reach into the test.
    ["a column that looks further than it says", { column: "y", horizonDays: 0, lagDays: 0 }, false],
  ])("lets no fold see its test: other values after its first entry leave weights and validation as they are, to the last bit, with labels from %s", async (name, label, isBlind) => {
    const options = { ...rule, dataset: { ...dataset, label }, model, training: { ...training, epochs: 1 }, fold: "1" };
    const { folds: [fold] } = await walkForward(await pricesWith("as-they-are.csv", "9999"), { ...options, out: at(`seen/${name}`) });
    // A label that ends on the date of the first entry belongs to validation: closes count from the day after it.
    const entry = market.dates[market.dates.indexOf(fold!.test.first!) - dataset.embargo + label.lagDays]!;
    await walkForward(await pricesWith("noise.csv", entry), { ...options, out: at(`noise/${name}`) });
    const partOf = async (split: string) => [await rows(`seen/${name}/fold-01/predictions.parquet`, `split = '${split}'`), await rows(`noise/${name}/fold-01/predictions.parquet`, `split = '${split}'`)];
    const [[seen, other], [seenTest, otherTest]] = [await partOf("valid"), await partOf("test")];
    if (isBlind) {
      expect(bytes("noise", name, "fold-01/model.safetensors")).toBe(bytes("seen", name, "fold-01/model.safetensors"));
      expect(other).toEqual(seen);
    } else expect(other).not.toEqual(seen);
    expect(otherTest).not.toEqual(seenTest);
  });

  it("leaves folds that an audit finds no leak in", async () => {
    expect((await audit(at("one/fold-02"), { source: panel })).passed).toBe(true);
  });

  it("refuses folds of which two have a test date in common", async () => {
    cpSync(at("one"), at("twice"), { recursive: true });
    cpSync(at("one/fold-01/predictions.parquet"), at("twice/fold-02/predictions.parquet"));
    await expect(evaluateRun(at("twice"))).rejects.toThrow(/ is a test date of .*fold-01.* and of .*fold-02/);
  });

  it("waits for no other process that trains the same fold", async () => {
    await lockRunFolder(at("busy/fold-01"), async () => {
      await expect(walk("busy", { fold: "1" })).rejects.toThrow(/Another training writes to .*busy\/fold-01/);
    });
  });

  it("keeps its folder from other uses, and says which fold scores new data", async () => {
    await expect(loadRun(at("one"))).rejects.toThrow(/holds a walk-forward, .* Name a fold, for new data the newest: .*fold-03/);
    const cut = await panel.dataset({ ...dataset, split: { fractions: [0.6, 0.2, 0.2] } });
    using own = new ASTGNNFactorModel({ ...model, sequentialInputSize: cut.featureNames.length });
    for (const mode of [{}, { resume: true }, { overwrite: true }]) await expect(train(own, cut, { ...training, out: at("one"), ...mode })).rejects.toThrow("holds a walk-forward");
    await expect(walk("one/fold-01")).rejects.toThrow("already holds a run");
    mkdirSync(at("empty"));
    writeFileSync(at("empty/run.json"), readFileSync(at("one/run.json")));
    await expect(evaluateRun(at("empty"))).rejects.toThrow("None of the 3 folds of the walk-forward");
  });

  it.each([
    [{ train: "3 years" }, 'Expected a calendar offset such as "3y", "6m", "2w" or "10d" for train but received "3 years"'],
    [{ step: undefined as never }, 'Expected a calendar offset such as "3y", "6m", "2w" or "10d" for step but received nothing'],
    [{ mode: "sliding" as never }, 'Expected "rolling" or "expanding" for mode'],
    [{ test: "1y" } as never, "Unknown option test of walkForward"],
    [{ train: "9y" }, "The data are too short for a walk-forward"],
    [{ dataset: { ...dataset, split: { trainEnd: "2020-01-01" } } as never }, "dataset.split is not an option of a walk-forward. Leave it out: train, valid and step cut the splits."],
    [{ training: { ...training, out: "elsewhere" } as never }, "training.out is not an option of a walk-forward."],
    [{ model: { ...model, seed: 3 } as never }, "model.seed is not an option of a walk-forward. Give it as training.seed"],
    [{ fold: "7/3" }, "Expected K/N or K"],
    [{ fold: "4" }, "There is no job 4: the walk-forward has 3 folds."],
    [{ dataset: { ...dataset, windw: 3 } as never }, "Unknown option windw of dataset. Did you mean window?"],
  ])("refuses %j before anything is written", async (changes, message) => {
    await expect(walk("refused", changes)).rejects.toThrow(message);
    expect(existsSync(at("refused"))).toBe(false);
  });
});

describe("astgnn train --walk-forward", () => {
  const flags = (out: string, ...more: string[]): string[] => [
    "train", "--data", at("prices.csv"), "--features", SIMULATED_FEATURES.join(","), "--processors", "zscore", "--window", "3", "--label-horizon", "2", "--label-lag", "1", "--max-dropped", "0.3", "--embargo", "1",
    "--gru-hidden-size", "4", "--gru-num-layers", "1", "--gat-hidden-size", "4", "--gat-num-heads", "2", "--residual-hidden-size", "4", "--num-risk-factors", "3", "--tgc-hidden-size", "4", "--tgc-output-size", "4",
    "--prediction-hidden-sizes", "4", "--epochs", "2", "--threads", "1", "--walk-forward", JSON.stringify(rule), "--out", at(out), ...more,
  ];

  it("killed in a fold and started again ends as an uninterrupted one, and evaluate says before what is missing", async () => {
    const child = spawn(process.execPath, [join(packageRoot, "dist", "cli", "main.js"), ...flags("killed", "--json")], { stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface(child.stdout)) {
      const { fold, epoch } = JSON.parse(line) as { fold?: string; epoch?: number };
      if (fold === "fold-02" && epoch === 1) child.kill("SIGKILL");
    }
    expect(existsSync(at("killed/fold-02/last.safetensors"))).toBe(true);
    const partial = await astgnn("evaluate", "--run", at("killed"), "--json");
    expect(partial.err).toContain("Not finished, and left out: fold-02, fold-03.");
    const found = JSON.parse(partial.out) as { missing: string[]; folds: unknown[]; test: { dates: number } };
    expect(found).toMatchObject({ missing: ["fold-02", "fold-03"], folds: [{ isFinished: true }, { isFinished: false }, { isFinished: false }] });
    expect(await rows("killed/predictions.parquet")).toHaveLength((await rows("one/fold-01/predictions.parquet", "split = 'test'")).length);

    const { code, out } = await astgnn(...flags("killed"));
    expect(code).toBe(0);
    expect(out).toMatch(/^fold 2\/3, epoch 2\/2 [\s\S]*^test IC .* on \d+ dates of 3 folds; the walk-forward is in/m);
    for (const fold of ["fold-01", "fold-02", "fold-03"]) expect(bytes("killed", fold, "model.safetensors"), fold).toBe(bytes("one", fold, "model.safetensors"));
    expect(await rows("killed/predictions.parquet")).toEqual(await rows("one/predictions.parquet"));
    const { out: table } = await astgnn("evaluate", "--run", at("killed"));
    expect(table).toMatch(/^fold +train +valid +test +valid IC +test IC\nfold-01 /);
    expect(table).toContain("tests of all folds");
  });

  it("trains the fold of an array of Slurm or an indexed job of Kubernetes, unless --fold says otherwise", async () => {
    for (const [variables, job] of [
      [{ JOB_COMPLETION_INDEX: "1" }, "2"],
      [{ SLURM_ARRAY_TASK_ID: "5", SLURM_ARRAY_TASK_MIN: "1", SLURM_ARRAY_TASK_STEP: "2", SLURM_ARRAY_TASK_COUNT: "3" }, "3/3"],
    ] as const) {
      Object.assign(process.env, variables);
      const { err } = await astgnn(...flags("array", "--epochs", "1"));
      for (const name of Object.keys(variables)) delete process.env[name];
      expect(err).toContain(`so this is --fold ${job}; --fold 1/1 trains all`);
    }
    expect(["fold-01", "fold-02", "fold-03"].map((name) => existsSync(at(`array/${name}/model.safetensors`)))).toEqual([false, true, true]);
    process.env["JOB_COMPLETION_INDEX"] = "7";
    const { code, err } = await astgnn(...flags("array", "--epochs", "1"));
    expect([code, err]).toEqual([2, expect.stringContaining("There is no job 8: the walk-forward has 3 folds.")]);
    const { out } = await astgnn(...flags("array", "--epochs", "1", "--fold", "1/1"));
    delete process.env["JOB_COMPLETION_INDEX"];
    expect(out).toContain("of 3 folds; the walk-forward is in");
  });

  it.each([
    [["--train-end", "2020-01-01"], "--train-end does not go with --walk-forward"],
    [["--overwrite"], "--overwrite does not go with --walk-forward"],
    [["--walk-forward", "3y"], "Expected JSON for --walk-forward"],
    [["--walk-forward", '{"train":"3y"}'], "for step but received nothing"],
    [["--walk-forward", '{"train":"3y","step":"1m","trian":"3y"}'], "Unknown option trian of --walk-forward. Did you mean train?"],
    [["--walk-forward", '{"train":"3y","step":"1m"'], "The value of --walk-forward is not valid JSON"],
  ])("refuses %j", async (more, message) => {
    const { code, err } = await astgnn(...flags("refused", ...more));
    expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  });

  it("needs --out, and --fold needs it", async () => {
    const without = flags("refused").slice(0, -2);
    expect(await astgnn(...without)).toMatchObject({ code: 2, err: expect.stringContaining("Add --out FOLDER.") });
    expect(await astgnn(...without.filter((flag, i) => flag !== "--walk-forward" && without[i - 1] !== "--walk-forward"), "--train-end", market.dates[50]!, "--fold", "1/2")).toMatchObject({ code: 2, err: expect.stringContaining("no --walk-forward is given") });
    rmSync(at("refused"), { recursive: true, force: true });
  });
});
