import { spawn } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, readSafetensors, train, type EpochEvent, type ModelOptions, type TrainOptions } from "../../lib/index.js";
import { smallDataset } from "../unit/small-dataset.js";
import { writeSmallTable } from "./small-table.js";
import { weightsOf } from "./weights-of.js";

const dataset = smallDataset({ dates: 50, stocks: 17, window: 3, seed: 1 });
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gruNumLayers: 2, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], norm: "batch", similarityScale: "learned" };
const recipe: TrainOptions = { epochs: 3, threads: 1, checkpointSteps: 6, loss: { terms: [{ name: "ic" }, { name: "turnover", weight: 0.1 }] }, datesPerStep: 2 };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "astgnn-resume-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** metrics.jsonl without the clock. */
function epochsIn(out: string): unknown[] {
  return readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => {
    const { seconds, ...rest } = JSON.parse(line) as EpochEvent;
    return rest;
  });
}

describe("resume", () => {
  it("from every checkpoint of a run gives the weights, metrics and predictions of the uninterrupted run, whatever the other files say", async () => {
    const out = join(folder, "straight");
    const checkpoints: string[] = [];
    using model = new ASTGNNFactorModel(small);
    await train(model, dataset, { ...recipe, out, onStep: ({ step }) => {
      // The newest checkpoint at that moment; steps are ahead of it.
      const copy = join(folder, `last-${step}`);
      copyFileSync(join(out, "last.safetensors"), copy);
      checkpoints.push(copy);
    } });
    const distinct = [...new Map(checkpoints.map((path) => [readFileSync(path).toString("base64"), path])).values()];
    expect(distinct.length).toBeGreaterThan(4);
    for (const path of distinct) {
      // The files of the finished run are ahead of the checkpoint, as after a kill between two writes.
      const copy = join(folder, "copy");
      rmSync(copy, { recursive: true, force: true });
      cpSync(out, copy, { recursive: true });
      copyFileSync(path, join(copy, "last.safetensors"));
      writeFileSync(join(copy, ".last.safetensors.partial"), "torn");
      using resumed = new ASTGNNFactorModel({ ...small, seed: 99 });
      await train(resumed, dataset, { ...recipe, out: copy, resume: true });
      expect(weightsOf(resumed)).toEqual(weightsOf(model));
      for (const name of ["model.safetensors", "last.safetensors"]) expect(readFileSync(join(copy, name)).equals(readFileSync(join(out, name))), name).toBe(true);
      expect(epochsIn(copy)).toEqual(epochsIn(out));
      expect(readFileSync(join(copy, "report.json"), "utf8")).toBe(readFileSync(join(out, "report.json"), "utf8"));
    }
  });

  it("with more epochs continues a finished run to the bits of a longer one, and its files follow", async () => {
    const [short, long] = [join(folder, "short"), join(folder, "long")];
    using model = new ASTGNNFactorModel(small);
    await train(model, dataset, { ...recipe, epochs: 2, out: short });
    using grown = new ASTGNNFactorModel(small);
    const run = await train(grown, dataset, { ...recipe, epochs: 4, out: short, resume: true });
    using straight = new ASTGNNFactorModel(small);
    await train(straight, dataset, { ...recipe, epochs: 4, out: long });
    expect(run.epochs.map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4]);
    expect(weightsOf(grown)).toEqual(weightsOf(straight));
    expect(epochsIn(short)).toEqual(epochsIn(long));
    expect(readFileSync(join(short, "report.json"), "utf8")).toBe(readFileSync(join(long, "report.json"), "utf8"));
    await expect(train(grown, dataset, { ...recipe, epochs: 3, out: short, resume: true })).rejects.toMatchObject({ code: "ERR_CHECKPOINT", option: "training.epochs" });
  });

  it.each([undefined, [3, 5]])("of a finished run writes again what was lost of its results, and nothing else, seeds %j", async (seeds) => {
    const out = join(folder, `lost-${seeds === undefined ? "one" : "two"}`);
    const options = { ...recipe, epochs: 1, out, ...(seeds === undefined ? {} : { seeds }) };
    const resume = async (): Promise<void> => {
      using model = new ASTGNNFactorModel(small);
      const { members, ensemble } = await train(model, dataset, { ...options, resume: true });
      ensemble?.dispose();
      for (const member of members ?? []) member.model.dispose();
    };
    await resume();
    const results = (readdirSync(out, { recursive: true }) as string[]).filter((name) => /report\.json|predictions\.parquet|model\.safetensors/.test(name));
    expect(results).toHaveLength(seeds === undefined ? 3 : 2 + 2 * 3);
    const written = new Map(results.map((name) => [name, readFileSync(join(out, name))]));
    for (const name of results) {
      rmSync(join(out, name));
      await resume();
      for (const [other, bytes] of written) expect(readFileSync(join(out, other)).equals(bytes), `${other} without ${name}`).toBe(true);
    }
    const description = readFileSync(join(out, "run.json"), "utf8");
    await resume();
    expect(readFileSync(join(out, "run.json"), "utf8")).toBe(description);
  });

  it("starts from the beginning in a folder without a run, and says so in the steps done", async () => {
    using model = new ASTGNNFactorModel(small);
    let done = -1;
    await train(model, dataset, { ...recipe, epochs: 1, out: join(folder, "nothing", "yet"), resume: true, onStart: ({ stepsDone }) => void (done = stepsDone) });
    expect(done).toBe(0);
  });

  it("keeps the thread count of the run unless told otherwise, and then warns", async () => {
    const out = join(folder, "threads");
    using model = new ASTGNNFactorModel(small);
    const { threads, ...rest } = { ...recipe, reduction: "fast" as const };
    await train(model, dataset, { ...rest, epochs: 1, threads: 1, out });
    const kept = await train(model, dataset, { ...rest, epochs: 2, out, resume: true });
    expect(kept.threads).toBe(1);
    const changed = await train(model, dataset, { ...rest, epochs: 3, out, resume: true, threads: 2 });
    expect(changed.warnings.map(({ reason }) => reason)).toContain("threads_changed");
  });
});

describe("two trainings in one folder", () => {
  it("of two processes: the second is refused by pid, host and since when, the first is undisturbed; after SIGKILL the folder is free at once", async () => {
    const csv = writeSmallTable(join(folder, "shared.csv"));
    const [alone, shared] = [join(folder, "alone"), join(folder, "shared")];
    expect((await runUntil(csv, alone, Infinity)).finished).toBe(true);
    let refusal = "";
    const first = await runUntil(csv, shared, 5, 0, async (pid) => {
      using model = new ASTGNNFactorModel(small);
      const before = readFileSync(join(shared, "last.safetensors"));
      await expect(train(model, dataset, { ...recipe, out: shared, overwrite: true })).rejects.toMatchObject({ code: "ERR_BUSY", file: shared, option: "out" });
      expect(readFileSync(join(shared, "last.safetensors")).length).toBe(before.length);
      refusal = await runUntil(csv, shared, Infinity).then(() => "was not refused", (error: Error) => error.message);
      expect(refusal).toContain(`process ${pid} on ${hostname()} since ${new Date().toISOString().slice(0, 4)}`);
    });
    expect(first.finished).toBe(false);
    // The killed holder's lock is still there.
    expect(existsSync(join(shared, ".lock"))).toBe(true);
    expect((await runUntil(csv, shared, Infinity)).finished).toBe(true);
    for (const name of ["model.safetensors", "last.safetensors", "report.json"]) expect(readFileSync(join(shared, name)).equals(readFileSync(join(alone, name))), name).toBe(true);
    expect(readdirSync(shared).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("of one process: the second is refused, also in the folder of an ensemble's member", async () => {
    const out = join(folder, "twice");
    using first = new ASTGNNFactorModel(small);
    using second = new ASTGNNFactorModel(small);
    let attempts = 0;
    const refused = async (other: string): Promise<void> => {
      attempts++;
      await expect(train(second, dataset, { ...recipe, out: other, resume: true })).rejects.toMatchObject({ code: "ERR_BUSY" });
    };
    using ensemble = (await train(first, dataset, { ...recipe, epochs: 1, out, seeds: [0], onEpoch: async () => {
      await refused(out);
      await refused(join(out, "seed-0"));
    } })).ensemble;
    expect(attempts).toBe(2);
    expect(ensemble?.members).toHaveLength(1);
  });
});

describe("kill -9", () => {
  it("at any moment, then resume: the bits of the uninterrupted run", async () => {
    expect(existsSync(fileURLToPath(new URL("../../dist/index.js", import.meta.url))), "dist/ is missing: run npm run build").toBe(true);
    const csv = writeSmallTable(join(folder, "table.csv"));
    const [straight, killed] = [join(folder, "uninterrupted"), join(folder, "killed")];
    expect((await runUntil(csv, straight, Infinity)).finished).toBe(true);

    // Moments from a fixed list, so that a failure is likely to come again: steps at which to kill, and milliseconds after them.
    const moments: [step: number, afterMs: number][] = [[0, 3], [11, 1], [23, 6], [19, 0], [31, 11]];
    let kills = 0;
    for (const [afterSteps, afterMs] of moments) {
      const { finished } = await runUntil(csv, killed, afterSteps, afterMs);
      if (finished) break;
      kills++;
    }
    expect(kills).toBeGreaterThan(2);
    expect((await runUntil(csv, killed, Infinity)).finished).toBe(true);

    for (const name of ["model.safetensors", "last.safetensors", "report.json"]) expect(readFileSync(join(killed, name)).equals(readFileSync(join(straight, name))), name).toBe(true);
    expect(epochsIn(killed)).toEqual(epochsIn(straight));
    expect(Object.keys(readSafetensors(readFileSync(join(killed, "model.safetensors"))).tensors).length).toBeGreaterThan(20);
  });
});

/** Runs the training in a process of its own; kills it `afterMs` after its `steps`-th step report, stopped for as long as `meanwhile` takes. */
function runUntil(csv: string, out: string, steps: number, afterMs = 0, meanwhile?: (pid: number) => Promise<void>): Promise<{ finished: boolean }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [fileURLToPath(new URL("./killed-training.mjs", import.meta.url)), csv, out], { stdio: ["ignore", "pipe", "pipe"] });
    let [text, errors, killed] = ["", "", false];
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    child.stdout.on("data", (data: Buffer) => {
      text += data.toString();
      if (killed || (text.match(/^step/gm)?.length ?? 0) <= steps) return;
      killed = true;
      if (meanwhile === undefined) return void setTimeout(() => child.kill("SIGKILL"), afterMs);
      child.kill("SIGSTOP");
      meanwhile(child.pid!).catch(reject).finally(() => child.kill("SIGKILL"));
    });
    child.on("close", (code) => {
      if (code === 0) resolve({ finished: text.includes("done") });
      else if (killed) resolve({ finished: false });
      else reject(new Error(`the training ended with ${code}: ${errors}`));
    });
  });
}
