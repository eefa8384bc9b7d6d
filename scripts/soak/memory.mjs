// Trainings that go on and on in one process: node --expose-gc memory.mjs <steps|trainings> <count> <table>, or by scripts/soak.mjs. The process prints what it holds, a line a sample.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DATASET, MODEL, packageUrl, root, run, writeTable } from "./small-training.mjs";

/** Environment of a process whose memory is looked at. Several arenas of malloc would grow with the threads that happen to take part. */
export function watched(folder) {
  const library = join(folder, "malloc_in_use.so");
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, join(root, "test", "faults", "malloc_in_use.c")]);
  return { MALLOC_ARENA_MAX: "1", LD_PRELOAD: library };
}

/**
 * What a process holds after garbage was collected, in KiB. `resident`: without the room that V8's heap keeps free, which comes and goes. `used`: what malloc gave out
 * (process.ppid, by test/faults/malloc_in_use.c) and V8 uses; nothing that is kept for later is in it.
 */
export function held() {
  globalThis.gc();
  const { rss, heapTotal, heapUsed } = process.memoryUsage();
  return { resident: Math.round((rss - heapTotal + heapUsed) / 1024), used: process.ppid + Math.round(heapUsed / 1024) };
}

/** How much more of each was held in the end, in words and as the largest share. */
export function growthOf(samples) {
  const [resident, used] = ["resident", "used"].map((kind) => growth(samples.map((sample) => sample[kind])));
  const text = ({ before, after, share }) => `${before} -> ${after} KiB, ${(100 * share).toFixed(2)} %`;
  return { resident, used, words: { resident: text(resident), used: text(used) } };
}

/** How far the last tenth lies above the second tenth, both by their medians. The first tenth fills caches; of fewer than twenty nothing can be said. */
function growth(samples) {
  if (samples.length < 20) return { before: samples[0], after: samples.at(-1), share: 0 };
  const tenth = Math.max(1, Math.floor(samples.length / 10));
  const median = (part) => [...part].sort((a, b) => a - b)[Math.floor(part.length / 2)];
  const [before, after] = [median(samples.slice(tenth, 2 * tenth)), median(samples.slice(-tenth))];
  return { before, after, share: after / before - 1 };
}

/** At most this much, as a share of all memory of the process. */
const LIMIT = 0.01;

async function soak(what, count, thrown, warmUp = 0) {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-soak-"));
  const { code, signal, stdout, stderr } = await run(["--expose-gc", fileURLToPath(import.meta.url), what, String(count + warmUp), writeTable(folder)], { env: watched(folder) });
  rmSync(folder, { recursive: true });
  if (code !== 0) return { thrown, done: 1, saw: {}, failures: [`ended with ${signal ?? code}: ${stderr}`] };
  const all = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const samples = all.slice(Math.floor((all.length * warmUp) / (count + warmUp)));
  const { resident, used, words } = growthOf(samples);
  const failures = Math.max(resident.share, used.share) < LIMIT ? [] : [`the memory grew: ${JSON.stringify(samples)}`];
  return { thrown, done: 1, saw: { samples: samples.length, ...words }, failures };
}

/** One training of so many steps after as many: until then malloc and V8 take room in jumps, 3 MB in all. */
export const steps = ({ count = 10_000 }) => soak("steps", count, `${count} steps of one training after as many`, count);
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
    await train(model, dataset, { epochs, threads: 1, onWarning: () => {}, onEpoch: () => console.log(JSON.stringify(held())) });
  } else {
    for (let i = 0; i < Number(count); i++) {
      const dataset = await panel.dataset(DATASET);
      const model = new ASTGNNFactorModel({ sequentialInputSize: 2, ...MODEL, seed: i });
      const out = i % 4 === 0 ? join(table, "..", `run-${i}`) : undefined;
      await train(model, dataset, { epochs: 1, threads: 1, seed: i, onWarning: () => {}, ...(out === undefined ? {} : { out }) });
      await model.predict(dataset.test, { threads: 1 });
      model.dispose();
      dataset.dispose();
      console.log(JSON.stringify(held()));
    }
  }
}
