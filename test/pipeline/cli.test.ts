import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Database } from "../../lib/data/source/database.js";
import { simulateMarket, SIMULATED_FEATURES, writeSimulatedMarket } from "../../lib/demo/simulate.js";
import { evaluateRun } from "../../lib/evaluate/evaluate-run.js";
import { predictRun } from "../../lib/run/predict-run.js";
import { loadRun, openPanel, presets } from "../../lib/index.js";
import { astgnn } from "./cli-capture.js";

const DATES = 90;
const market = simulateMarket({ seed: 1, stocks: 33, dates: DATES });
const [trainEnd, validEnd] = [market.dates[50]!, market.dates[70]!];
const SMALL = [
  "--gru-hidden-size", "8", "--gru-num-layers", "1", "--gat-hidden-size", "8", "--gat-num-heads", "2", "--residual-hidden-size", "8", "--num-risk-factors", "4",
  "--tgc-hidden-size", "8", "--tgc-output-size", "8", "--prediction-hidden-sizes", "8", "--dropout", "0.1",
];

let folder: string;
const at = (name: string): string => join(folder, name);
const train = (...flags: string[]): string[] => [
  "train", "--data", at("simulated.csv"), "--features", SIMULATED_FEATURES.join(","), "--processors", "zscore", "--window", "5", "--label-horizon", "1", "--label-lag", "0",
  "--train-end", trainEnd, "--valid-end", validEnd, "--max-dropped", "0.3", "--epochs", "2", "--threads", "1", ...SMALL, ...flags,
];
const lines = (out: string): Record<string, unknown>[] => out.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
async function table(file: string): Promise<unknown[][]> {
  await using database = Database.open();
  return await database.rows(`SELECT strftime(date, '%Y-%m-%d'), ticker, prediction FROM '${file}' ORDER BY 1, 2`, file);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "astgnn-cli-"));
  await writeSimulatedMarket(market, at("simulated.csv"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("opens no library of data or models before a command needs it", async () => {
  const program = `await import(${JSON.stringify(new URL("../../dist/cli/program.js", import.meta.url).href)}); console.log(process.report.getReport().sharedObjects.join("\\n"));`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program]);
  expect(stdout).toContain("libc");
  expect(stdout).not.toMatch(/duckdb|libtorch|astgnn\.node/);
});

describe("astgnn train", () => {
  it("prints one JSON object per epoch and one at the end, and keeps stdout to them", async () => {
    const { code, out, err } = await astgnn(...train("--seed", "3", "--out", at("run"), "--json"));
    expect(code).toBe(0);
    // The one line on stderr is the warning that this small graph is nearly the plain average, in words of the command line.
    expect(err).toMatch(/^(astgnn train: A has .*coMovement.* --similarity-scale .*)?$/);
    const events = lines(out);
    expect(events.map(({ event }) => event)).toEqual(["epoch", "epoch", "done"]);
    expect(events[0]).toMatchObject({ epoch: 1, train: { loss: expect.any(Number) }, valid: { ic: expect.any(Number), rankIc: expect.any(Number), effectiveNeighbours: expect.any(Number) } });
    expect(events[2]).toMatchObject({ run: at("run"), bestEpoch: expect.any(Number) });
    for (const name of ["run.json", "metrics.jsonl", "model.safetensors", "last.safetensors", "predictions.parquet", "factors.parquet", "report.json", "report.html"]) {
      expect(existsSync(join(at("run"), name)), name).toBe(true);
    }
  });

  it("prints a warning once, in words of the command line, and leaves nothing to Node's own", async () => {
    const printed: string[] = [];
    const listen = (warning: Error): void => void printed.push(warning.name);
    process.on("warning", listen);
    const { err } = await astgnn(...train("--seed", "3", "--epochs", "1", "--similarity-scale", "0.001", "--json"));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listen);
    expect(err).toMatch(/^astgnn train: A has .*coMovement.* --similarity-scale .*$/);
    expect(printed).not.toContain("AstgnnWarning");
  });

  it("takes --seed for initial weights and training alike", async () => {
    const { seeds } = JSON.parse(await readFile(join(at("run"), "run.json"), "utf8")) as { seeds: unknown };
    expect(seeds).toEqual({ model: 3, train: 3 });
  });

  it("refuses an existing run and says how to go on in words of the command line", async () => {
    const { code, err } = await astgnn(...train("--seed", "3", "--out", at("run")));
    expect(code).toBe(1);
    expect(err).toMatch(/already holds a run .*Continue it with --resume, replace it with --overwrite/);
  });

  it("leaves a finished run as it is on --resume", async () => {
    const before = await readFile(join(at("run"), "model.safetensors"));
    const { code, out } = await astgnn(...train("--seed", "3", "--out", at("run"), "--resume", "--json"));
    expect(code).toBe(0);
    expect(lines(out).at(-1)).toMatchObject({ event: "done", run: at("run") });
    expect(await readFile(join(at("run"), "model.safetensors"))).toEqual(before);
  });

  it("trains every stock on its own with --no-graph", async () => {
    const { code } = await astgnn(...train("--seed", "3", "--out", at("alone"), "--no-graph", "--json"));
    expect(code).toBe(0);
    const run = JSON.parse(await readFile(join(at("alone"), "run.json"), "utf8")) as { config: Record<string, unknown>; dataset: Record<string, unknown> };
    expect(run.config).toMatchObject({ similarityGraph: "groups", excludeSelf: true });
    expect(run.dataset).toMatchObject({ graph: "none" });
    const { test } = await evaluateRun(at("alone"));
    // Nobody has a neighbour: every row of A is empty.
    expect(test.selfWeight).toBe(0);
    expect(test).toMatchObject({ effectiveNeighbours: null, peerCorrelation: null, largestHub: null });
  });

  it("writes all that --preset means into run.json, where other flags override it, and resumes what was begun with these options written out", async () => {
    const small = ["--loadings-window", "20", "--loadings-count", "3", "--num-risk-factors", "4"];
    const { loss } = presets.peers.training;
    const { loadings: { halfLife }, labelTransform: { neutralise } } = presets.peers.dataset;
    const writtenOut = Object.entries(presets.peers.model).flatMap(([name, value]) => {
      const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      return name === "numRiskFactors" ? [] : value === true ? [flag] : [flag, String(value)];
    });
    const features = ["--features", [...SIMULATED_FEATURES, "loadings"].join(",")];
    const by = async (name: string, ...flags: string[]): Promise<Record<string, unknown>> => {
      const { code, err } = await astgnn(...train(...features, ...small, "--seed", "3", "--out", at(name), "--json", ...flags));
      expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
      const { config, dataset, training } = JSON.parse(await readFile(join(at(name), "run.json"), "utf8")) as Record<string, unknown>;
      return { config, dataset, training };
    };
    const options = ["--loss", JSON.stringify(loss), "--loadings-half-life", String(halfLife), "--neutralise", neutralise.join(","), ...writtenOut];
    const plain = await by("plain", ...options);
    expect(plain).toMatchObject({ config: { ...presets.peers.model, numRiskFactors: 4 }, training: { loss }, dataset: { loadings: { window: 20, count: 3, halfLife }, labelTransform: { neutralise } } });
    expect(await by("preset", "--preset", "peers")).toEqual(plain);
    const longer = await by("preset", "--epochs", "3", "--resume", ...options);
    expect(await by("plain", "--epochs", "3", "--resume", "--preset", "peers")).toEqual(longer);
    expect(await readFile(join(at("plain"), "model.safetensors"))).toEqual(await readFile(join(at("preset"), "model.safetensors")));
  });

  it("refuses a preset that there is not, before it reads anything, and names those that there are", async () => {
    const { code, err } = await astgnn(...train("--preset", "peer", "--data", at("nowhere.csv")));
    expect(code).toBe(2);
    expect(err).toMatch(/Expected "peers".* for --preset but received "peer"/);
  });

  it("trains an ensemble that evaluate and predict take as one run", async () => {
    expect((await astgnn(...train("--seeds", "0,1", "--out", at("both"), "--json"))).code).toBe(0);
    const evaluated = JSON.parse((await astgnn("evaluate", "--run", at("both"), "--json")).out) as { test: Record<string, unknown> };
    expect(evaluated.test).toMatchObject({ mse: null, ic: expect.any(Number) });
    const { members } = await predictRun(at("both"), at("simulated.csv"), { out: at("both.parquet") });
    expect(members).toBe(2);
    const scores = await table(at("both.parquet"));
    const first = scores.filter(([date]) => date === scores[0]![0]).map(([, , prediction]) => Number(prediction));
    // A mean of z-scores over the date's rows.
    expect(first.reduce((sum, value) => sum + value, 0) / first.length).toBeCloseTo(0, 6);
  });
});

describe("astgnn evaluate", () => {
  it("prints the metrics of the contract as JSON, recomputed from the predictions", async () => {
    const { code, out, err } = await astgnn("evaluate", "--run", at("run"), "--json");
    expect([code, err]).toEqual([0, ""]);
    const { valid, test } = JSON.parse(out) as Record<string, Record<string, number>>;
    for (const split of [valid!, test!]) {
      for (const name of ["ic", "icir", "rankIc", "rankIcir", "hitRate", "mse", "dates", "rows", "effectiveNeighbours", "selfWeight"]) expect(split[name], name).toEqual(expect.any(Number));
    }
    const report = JSON.parse(await readFile(join(at("run"), "report.json"), "utf8")) as Record<string, Record<string, number>>;
    // The run saw single-precision predictions too; the order of sums differs.
    for (const name of ["ic", "icir", "rankIc", "rankIcir", "hitRate"]) expect(test![name]).toBeCloseTo(report["test"]![name]!, 10);
    expect(test!["dates"]).toBe(report["test"]!["dates"]);
    expect(test!["rows"]).toBe(report["test"]!["rows"]);
    expect(test!["mse"]).toBe(report["test"]!["mse"]);
  });

  it("prints a table for people", async () => {
    const { code, out } = await astgnn("evaluate", "--run", at("run"));
    expect(code).toBe(0);
    expect(out).toMatch(/IC \+- standard error +-?0\.\d{4} \+- 0\.\d{4}/);
    expect(out).not.toMatch(/NaN|undefined/);
  });
});

describe("astgnn predict", () => {
  it("gives the predictions of the run for the run's data, and scores the newest dates too", async () => {
    const { code, out } = await astgnn("predict", "--run", at("run"), "--data", at("simulated.csv"), "--out", at("p.parquet"), "--json");
    expect(code).toBe(0);
    const summary = JSON.parse(out) as Record<string, unknown>;
    expect(summary).toMatchObject({ out: at("p.parquet"), members: 1, lastDate: market.dates.at(-1) });
    const [found, stored] = [await table(at("p.parquet")), await table(join(at("run"), "predictions.parquet"))];
    const key = ([date, ticker]: unknown[]): string => `${String(date)} ${String(ticker)}`;
    const byKey = new Map(found.map((row) => [key(row), Number(row[2])]));
    expect(found.length).toBe(summary["rows"]);
    expect(stored.length).toBeGreaterThan(1000);
    // Rows whose windows lie inside the data are the same; batches of dates do not matter.
    for (const row of stored) expect(byKey.get(key(row))).toBeCloseTo(Number(row[2]), 6);
  });

  it("writes CSV with the same rows", async () => {
    expect((await astgnn("predict", "--run", at("run"), "--data", at("simulated.csv"), "--out", at("p.csv"))).code).toBe(0);
    const [csv, parquet] = [await table(at("p.csv")), await table(at("p.parquet"))];
    expect(csv.length).toBe(parquet.length);
    expect((await readFile(at("p.csv"), "utf8")).split("\n")[0]).toBe("date,ticker,prediction");
  });

  it("equals what the library predicts", async () => {
    using run = await loadRun(at("run"));
    const panel = await openPanel(at("simulated.csv"));
    const { predictions } = await run.predict(await panel.dataset({ description: run.dataset }));
    const finite = Array.from(predictions.data).filter((value) => !Number.isNaN(value));
    expect((await table(at("p.parquet"))).length).toBe(finite.length);
  });

  it("names the features that new data lack", async () => {
    const { code, err } = await astgnn("predict", "--run", at("run"), "--sql", `SELECT date, ticker, close, signal FROM '${at("simulated.csv")}'`, "--out", at("q.parquet"));
    expect(code).toBe(1);
    expect(err).toMatch(/news/);
    expect(existsSync(at("q.parquet"))).toBe(false);
  });
});

const entry = new URL("../../dist/cli/main.js", import.meta.url).pathname;
const isBuilt = existsSync(entry);
if (!isBuilt) console.warn(`skipping the command-line tests in a child process: ${entry} is not built (npm run build)`);

describe.skipIf(!isBuilt)("the astgnn program", () => {
  const run = promisify(execFile);

  it("ends with the exit code of main and prints no stack", async () => {
    const failed = await run(process.execPath, [entry, "train", "--windw", "3"]).catch((error: { code: number; stderr: string; stdout: string }) => error);
    expect(failed).toMatchObject({ code: 2, stdout: "", stderr: "astgnn train: Unknown option '--windw'. Did you mean --window?\n" });
    const missing = await run(process.execPath, [entry, "evaluate", "--run", at("nowhere"), "--json"]).catch((error: { code: number; stderr: string }) => error);
    expect(missing).toMatchObject({ code: 1 });
    expect((await run(process.execPath, [entry, "--help"])).stdout).toContain("Usage: astgnn");
  });

  it("prints JSON lines and no cursor movement without a terminal", async () => {
    const { stdout, stderr } = await run(process.execPath, [entry, ...train("--out", at("child"), "--json")]);
    expect(lines(stdout.trimEnd()).length).toBe(3);
    expect(stderr).not.toContain("\x1b");
  });

  it("stops on SIGINT with code 130 and leaves a checkpoint to resume from", async () => {
    const child = spawn(process.execPath, [entry, ...train("--out", at("stopped"), "--epochs", "500", "--checkpoint-steps", "5", "--json")], { stdio: ["ignore", "pipe", "pipe"] });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.on("exit", (code) => resolve(code)));
    await new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(stderr).toMatch(/stopped by its signal/);
    expect(existsSync(join(at("stopped"), "last.safetensors"))).toBe(true);
  });
});
