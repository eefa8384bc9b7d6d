import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";
import { simulateMarket, SIMULATED_FEATURES, writeSimulatedMarket } from "../../lib/demo/simulate.js";
import { lockRunFolder } from "../../lib/run/files.js";
import { astgnn } from "./cli-capture.js";

let folder: string;
const at = (...path: string[]): string => join(folder, ...path);
const bytes = (...path: string[]): string => createHash("sha256").update(readFileSync(at(...path))).digest("hex");
const shared = (): string[] => [
  "--data", at("prices.csv"), "--features", SIMULATED_FEATURES.join(","), "--processors", "zscore", "--window", "3", "--label-horizon", "1", "--label-lag", "1", "--max-dropped", "0.3",
  "--gru-hidden-size", "4", "--gru-num-layers", "1", "--gat-hidden-size", "4", "--gat-num-heads", "2", "--residual-hidden-size", "4", "--num-risk-factors", "3", "--tgc-hidden-size", "4", "--tgc-output-size", "4",
  "--prediction-hidden-sizes", "4", "--threads", "1",
];
const flags = (): string[] => [...shared(), "--fractions", "0.6,0.2,0.2"];
const vary = ["--vary", '{"loss":["ic","mse"],"epochs":[1,2]}'];
const trials = ["trial-1", "trial-2", "trial-3", "trial-4"];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "astgnn-plan-"));
  await writeSimulatedMarket(simulateMarket({ seed: 11, stocks: 17, dates: 110 }), at("prices.csv"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("astgnn plan and train --plan", () => {
  it("trains each part once, in whatever jobs, as astgnn train would, and gathers what came out", async () => {
    const { code, out } = await astgnn("plan", ...flags(), ...vary, "--seeds", "0,1", "--out", at("sweep"));
    expect([code, out]).toEqual([0, expect.stringContaining("4 trials in 8 parts")]);
    const file = at("sweep", "plan.json");
    expect((await astgnn("plan", ...flags(), ...vary, "--seeds", "0,1", "--out", at("sweep"))).code).toBe(0); // the same plan again

    const first = await astgnn("train", "--plan", file, "--job", "1/2");
    expect([first.code, first.err]).toEqual([0, expect.stringContaining("4 of 4 parts of the job are finished")]);
    expect(trials.map((trial) => [0, 1].map((seed) => existsSync(at("sweep", trial, `seed-${seed}`, "model.safetensors"))))).toEqual(Array(4).fill([true, false]));
    const half = JSON.parse((await astgnn("plan", "--show", file, "--json")).out) as { units: object; deflatedIc: unknown };
    expect([half.units, half.deflatedIc]).toEqual([{ finished: 4, planned: 8 }, null]);
    const written = trials.map((trial) => bytes("sweep", trial, "seed-0", "last.safetensors"));

    process.env["JOB_COMPLETION_INDEX"] = "1";
    const second = await astgnn("train", "--plan", file);
    delete process.env["JOB_COMPLETION_INDEX"];
    expect(second.err).toContain("JOB_COMPLETION_INDEX is 1, so this is --job 2;");
    expect((await astgnn("train", "--plan", file)).code).toBe(0);
    expect(trials.map((trial) => bytes("sweep", trial, "seed-0", "last.safetensors"))).toEqual(written); // nothing twice

    expect((await astgnn("train", ...flags(), "--loss", "mse", "--epochs", "1", "--seeds", "0,1", "--out", at("alone"))).code).toBe(0);
    for (const name of ["predictions.parquet", "seed-0/model.safetensors", "seed-1/model.safetensors"]) expect(bytes("sweep", "trial-3", name), name).toBe(bytes("alone", name));

    const shown = JSON.parse((await astgnn("plan", "--show", file, "--json")).out) as { units: object; comparedOn: string; trials: { name: string; ic: number; settings: object }[]; deflatedIc: { trials: number; effectiveTrials: number; probability: number }; test: { ic: number } };
    expect([shown.units, shown.comparedOn, shown.deflatedIc.trials]).toEqual([{ finished: 8, planned: 8 }, "valid", 4]);
    const evaluation = (trial: string): { valid: { ic: number; deflatedIc: unknown }; test: { ic: number } } => JSON.parse(readFileSync(at("sweep", trial, "report.json"), "utf8")) as never;
    expect(shown.trials.map(({ ic }) => ic)).toEqual(trials.map((trial) => evaluation(trial).valid.ic).sort((a, b) => b - a));
    expect(shown.test.ic).toBeCloseTo(evaluation(shown.trials[0]!.name).test.ic, 12);
    // What evaluate finds beside the run once all are there.
    const { valid } = JSON.parse((await astgnn("evaluate", "--run", at("sweep", shown.trials[0]!.name), "--json")).out) as { valid: { deflatedIc: typeof shown.deflatedIc } };
    expect(shown.deflatedIc.effectiveTrials).toBeCloseTo(valid.deflatedIc.effectiveTrials, 12);
    expect(shown.deflatedIc.probability).toBeCloseTo(valid.deflatedIc.probability, 12);
    const text = (await astgnn("plan", "--show", file)).out;
    expect(text).toMatch(/^8 of 8 parts finished\n\ntrial +loss +epochs +valid IC +t +ICIR\n/);
    expect(text).toMatch(/best of 4 \([\d.]+ effective\)[\s\S]*its test IC, by which nothing was chosen/);
  });

  it("completes a plan whose jobs were killed, and leaves to others what they have in hand", async () => {
    await astgnn("plan", ...flags(), ...vary, "--out", at("killed"));
    const file = at("killed", "plan.json");
    const child = spawn(process.execPath, [join(packageRoot, "dist", "cli", "main.js"), "train", "--plan", file, "--json"], { stdio: ["ignore", "pipe", "ignore"] });
    let epochs = 0;
    const ended = once(child, "exit");
    for await (const line of createInterface(child.stdout)) if ((JSON.parse(line) as { event: string }).event === "epoch" && ++epochs === 2) child.kill("SIGKILL"); // in trial-2 of two epochs
    await ended;
    expect(existsSync(at("killed", "trial-1", "report.json"))).toBe(true);
    await lockRunFolder(at("killed", "trial-3"), async () => {
      const { code, err } = await astgnn("train", "--plan", file);
      expect([code, err]).toEqual([0, expect.stringContaining("other processes train trial-3; astgnn plan --show")]);
    });
    expect((await astgnn("train", "--plan", file)).code).toBe(0);
    expect((await astgnn("train", ...flags(), "--loss", "ic", "--epochs", "2", "--out", at("undisturbed"))).code).toBe(0);
    expect(bytes("killed", "trial-2", "model.safetensors")).toBe(bytes("undisturbed", "model.safetensors"));
    expect((await astgnn("plan", "--show", file)).out).toContain("4 of 4 parts finished");
  });

  it("deals the folds and seeds of walk-forwards", async () => {
    const walk = ["--walk-forward", '{"train":"2m","valid":"3w","step":"1m"}', "--epochs", "1"];
    const { out } = await astgnn("plan", ...shared(), ...walk, "--vary", '{"loss":["ic","mse"]}', "--seeds", "0,1", "--out", at("walks"), "--json");
    const { parts, trials: planned } = JSON.parse(out) as { parts: number; trials: number };
    const file = at("walks", "plan.json");
    expect([planned, parts % 4]).toEqual([2, 0]);
    expect((await astgnn("train", "--plan", file, "--job", `1/${parts}`)).code).toBe(0);
    expect(["fold-01", "fold-02"].map((fold) => existsSync(at("walks", "trial-1", fold, "seed-0", "model.safetensors")))).toEqual([true, false]);
    expect((JSON.parse((await astgnn("plan", "--show", file, "--json")).out) as { units: object }).units).toEqual({ finished: 1, planned: parts });
    expect((await astgnn("train", "--plan", file)).code).toBe(0);
    const shown = JSON.parse((await astgnn("plan", "--show", file, "--json")).out) as { units: object; comparedOn: string; test: unknown; deflatedIc: { trials: number } };
    expect([shown.units, shown.comparedOn, shown.test, shown.deflatedIc.trials]).toEqual([{ finished: parts, planned: parts }, "test", null, 2]);
  });

  it("compares trials of other columns of the same data, and refuses those of other data", async () => {
    const [first, second] = SIMULATED_FEATURES;
    const own = flags().filter((_, i, all) => !["--features", "--epochs"].includes(all[i]!) && all[i - 1] !== "--features");
    await astgnn("plan", ...own, "--epochs", "1", "--vary", JSON.stringify({ features: [[first, second], [first]] }), "--out", at("columns"));
    const file = at("columns", "plan.json");
    expect((await astgnn("train", "--plan", file)).code).toBe(0);
    expect((await astgnn("plan", "--show", file)).out).toContain("2 of 2 parts finished");
    const run = JSON.parse(readFileSync(at("columns", "trial-2", "run.json"), "utf8")) as { digests: Record<string, string> };
    const close = Object.keys(run.digests).find((name) => name.includes("close") || name === "keys")!;
    writeFileSync(at("columns", "trial-2", "run.json"), JSON.stringify({ ...run, digests: { ...run.digests, [close]: "0".repeat(64) } }));
    const { code, err } = await astgnn("plan", "--show", file);
    expect([code, err]).toEqual([1, expect.stringContaining("were trained on different data")]);
  });

  const hasParallel = spawnSync("parallel", ["--version"]).status === 0;
  if (!hasParallel) console.log("GNU parallel is not installed: its test is skipped.");
  it.skipIf(!hasParallel)("runs under GNU parallel", async () => {
    await astgnn("plan", ...flags(), ...vary, "--out", at("parallel"));
    const file = at("parallel", "plan.json");
    const command = `${process.execPath} ${join(packageRoot, "dist", "cli", "main.js")} train --plan ${file} --job {}/2`;
    const { status, stderr } = spawnSync("parallel", ["-j", "2", command, ":::", "1", "2"], { encoding: "utf8" });
    expect(status, stderr).toBe(0);
    expect((await astgnn("plan", "--show", file)).out).toContain("4 of 4 parts finished");
  });

  it("goes on where a run fails, names it, and does it when it can", async () => {
    await astgnn("plan", ...flags(), "--vary", '{"embargo":[0,100000]}', "--epochs", "1", "--out", at("failing"));
    const { code, err } = await astgnn("train", "--plan", at("failing", "plan.json"));
    expect([code, err]).toEqual([1, expect.stringContaining("1 of 2 parts of the job failed: trial-2.")]);
    expect(existsSync(at("failing", "trial-1", "report.json"))).toBe(true);
  });

  it("refuses a plan that was changed, another one in its place, and flags that are not for it", async () => {
    await astgnn("plan", ...flags(), ...vary, "--out", at("held"));
    const file = at("held", "plan.json");
    const other = await astgnn("plan", ...flags(), "--vary", '{"loss":["ic"]}', "--out", at("held"));
    expect([other.code, other.err]).toEqual([1, expect.stringContaining("is another plan.")]);
    expect((await astgnn("train", "--plan", file, "--epochs", "3")).err).toContain("--epochs does not go with --plan");
    expect((await astgnn("train", "--plan", file, "--job", "5/5")).err).toContain("There is no job 5 of 5: the plan has 4 parts.");
    expect((await astgnn("train", "--job", "1/2", ...flags())).err).toContain("--job names a part of a plan, and no --plan is given.");
    writeFileSync(file, readFileSync(file, "utf8").replace('"mse"', '"mae"'));
    expect((await astgnn("train", "--plan", file)).err).toContain("was changed since it was written: its SHA-256 is another.");
    expect((await astgnn("plan", "--show", at("prices.csv"))).err).toContain("is not valid JSON");
  });

  it.each([
    [["--vary", '{"los":["ic"]}'], "astgnn train would not take"],
    [["--vary", '{"loss":["icc"]}'], "for --loss"],
    [["--vary", '{"seed":[0,1]}'], "All trials have the same --seed."],
    [["--vary", '{"window":[3,4]}'], "--window is given, and varied too."],
    [["--vary", '{"epochs":{"integer":[1,4]}}'], "A grid needs lists"],
    [["--vary", '{"epochs":[1,2]}', "--random", "3"], "3 trials are to be drawn, and 2 different ones were found."],
    [["--vary", '{"epochs":[1,2]}', "--resume"], "--resume does not go with a plan"],
    [["--vary", '{"epochs":[1,2]}', "--random", "some"], "Expected a whole number from 1 for --random"],
  ])("refuses %j", async (more, message) => {
    const { code, err } = await astgnn("plan", ...flags(), "--out", at("refused"), ...more);
    expect([code, err]).toEqual([2, expect.stringContaining(message)]);
    expect(existsSync(at("refused"))).toBe(false);
  });
});
