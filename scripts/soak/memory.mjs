// Trainings that go on and on in one process: node --expose-gc memory.mjs <steps|trainings> <count> <table>, or by scripts/soak.mjs. The process prints its resident memory in KiB, a number a line.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DATASET, MODEL, packageUrl, run, writeTable } from "./small-training.mjs";

/** Environment of a process whose memory is looked at: several arenas of malloc grow with the threads that happen to take part. */
export const ONE_ARENA = { MALLOC_ARENA_MAX: "1" };

/** Resident memory after garbage was collected, in KiB, without the room that V8's heap keeps free, which comes and goes. */
export function residentKiB() {
  globalThis.gc();
  const { rss, heapTotal, heapUsed } = process.memoryUsage();
  return Math.round((rss - heapTotal + heapUsed) / 1024);
}

/** How far the last tenth lies above the second tenth, both by their medians. The first tenth fills caches; of fewer than twenty nothing can be said. */
export function growth(samples) {
  if (samples.length < 20) return { before: samples[0], after: samples.at(-1), share: 0 };
  const tenth = Math.max(1, Math.floor(samples.length / 10));
  const median = (part) => [...part].sort((a, b) => a - b)[Math.floor(part.length / 2)];
  const [before, after] = [median(samples.slice(tenth, 2 * tenth)), median(samples.slice(-tenth))];
  return { before, after, share: after / before - 1 };
}

/** At most this much, as a share of all memory of the process. */
const LIMIT = 0.01;

async function soak(what, count, thrown) {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-soak-"));
  const { code, signal, stdout, stderr } = await run(["--expose-gc", fileURLToPath(import.meta.url), what, String(count), writeTable(folder)], { env: ONE_ARENA });
  rmSync(folder, { recursive: true });
  if (code !== 0) return { thrown, done: 1, saw: {}, failures: [`ended with ${signal ?? code}: ${stderr}`] };
  const samples = stdout.trim().split("\n").map(Number);
  const { before, after, share } = growth(samples);
  const saw = { samples: samples.length, KiB: `${before} -> ${after}`, growth: `${(100 * share).toFixed(2)} %` };
  return { thrown, done: 1, saw, failures: share < LIMIT ? [] : [`the memory grew by ${(100 * share).toFixed(2)} %: ${samples.join(" ")}`] };
}

/** One training of so many steps. */
export const steps = ({ count = 10_000 }) => soak("steps", count, `${count} steps of one training`);
/** So many trainings, each with a dataset, a model and every fourth with a run folder of its own. */
export const trainings = ({ count = 100 }) => soak("trainings", count, `${count} trainings in one process`);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , what, count, table] = process.argv;
  const { ASTGNNFactorModel, openPanel, train } = await import(packageUrl);
  const panel = await openPanel(table);
  if (what === "steps") {
    const dataset = await panel.dataset(DATASET);
    const model = new ASTGNNFactorModel({ sequentialInputSize: 2, ...MODEL });
    const epochs = Math.ceil(Number(count) / dataset.train.dates.length);
    await train(model, dataset, { epochs, threads: 1, onWarning: () => {}, onEpoch: () => console.log(residentKiB()) });
  } else {
    for (let i = 0; i < Number(count); i++) {
      const dataset = await panel.dataset(DATASET);
      const model = new ASTGNNFactorModel({ sequentialInputSize: 2, ...MODEL, seed: i });
      const out = i % 4 === 0 ? join(table, "..", `run-${i}`) : undefined;
      await train(model, dataset, { epochs: 1, threads: 1, seed: i, onWarning: () => {}, ...(out === undefined ? {} : { out }) });
      await model.predict(dataset.test, { threads: 1 });
      model.dispose();
      dataset.dispose();
      console.log(residentKiB());
    }
  }
}
