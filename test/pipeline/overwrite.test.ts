import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ASTGNNFactorModel, evaluateRun, loadRun, train, type ModelOptions, type TrainOptions } from "../../lib/index.js";
import { smallDataset } from "../unit/small-dataset.js";

const dataset = smallDataset({ dates: 50, stocks: 17, window: 3, seed: 1 });
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8] };
const recipe: TrainOptions = { epochs: 2, threads: 1, checkpointSteps: 5, onWarning: () => undefined };

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "astgnn-overwrite-"));
});
afterAll(() => rmSync(root, { recursive: true }));

/** Every file of a folder but those of `.replacement` and the lock. */
function content(path: string): Record<string, string> {
  const entries = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = entries.map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1)).filter((name) => !name.startsWith(".replacement") && !name.endsWith(".lock"));
  return Object.fromEntries(paths.sort().map((name) => [name, readFileSync(join(path, name)).toString("base64")]));
}

async function run(out: string, options: TrainOptions): Promise<void> {
  using model = new ASTGNNFactorModel(small);
  (await train(model, dataset, { ...recipe, ...options, out })).ensemble?.dispose();
}

/** Without what has the clock in it, and without DuckDB's files. */
function decided(path: string): Record<string, string> {
  return Object.fromEntries(Object.entries(content(path)).filter(([name]) => /safetensors$|report\.json$/.test(name)));
}

it.each<[string, TrainOptions, TrainOptions]>([
  ["a run", {}, { learningRate: 1e-2 }],
  ["an ensemble by one with other members", { seeds: [0, 1] }, { seeds: [1, 2], learningRate: 1e-2 }],
  ["an ensemble by a run", { seeds: [0, 1] }, { learningRate: 1e-2 }],
])("overwrite of %s: aborted it leaves the old one whole, resume ends it with the bits of a run of its own", async (name, before, after) => {
  const [out, straight] = [join(root, name), join(root, `${name}, straight`)];
  await run(out, before);
  await run(straight, after);
  writeFileSync(join(out, "notes.txt"), "mine");
  const old = content(out);

  const abort = new AbortController();
  let steps = 0;
  // In the second member of an ensemble, in the second epoch of a run.
  const stop = after.seeds === undefined ? 40 : 90;
  await expect(run(out, { ...after, overwrite: true, signal: abort.signal, onStep: () => {
    if (++steps === stop) abort.abort();
    if (steps % 20 === 0) expect(content(out)).toEqual(old);
  } })).rejects.toMatchObject({ code: "ERR_ABORTED" });
  expect(content(out)).toEqual(old);
  (await loadRun(out)).dispose();
  expect((await evaluateRun(out)).test).toBeDefined();

  // Resuming with the old run's options names what differs and how to keep the old run.
  await expect(run(out, { ...before, resume: true })).rejects.toThrow(/overwrite that was interrupted/);
  await expect(run(out, after)).rejects.toMatchObject({ code: "ERR_RUN_EXISTS" });

  await run(out, { ...after, resume: true });
  expect(decided(out)).toEqual(decided(straight));
  expect(Object.keys(content(out)).sort()).toEqual([...Object.keys(content(straight)), "notes.txt"].sort());
  expect(readdirSync(out).filter((entry) => entry.startsWith("."))).toEqual([]);
});

it("overwrite with a model that does not fit or a signal that is aborted already leaves the old run as it was", async () => {
  const out = join(root, "refused");
  await run(out, {});
  const old = content(out);
  using model = new ASTGNNFactorModel({ ...small, sequentialInputSize: 4 });
  await expect(train(model, dataset, { ...recipe, out, overwrite: true })).rejects.toThrow();
  await expect(run(out, { overwrite: true, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ERR_ABORTED" });
  expect(content(out)).toEqual(old);
  expect(existsSync(join(out, ".lock"))).toBe(false);
});
