import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";
import { loadCore } from "../../lib/binding/load.js";
import { schedule, tiny, tinyConfig, tinyOptions, tinyPanelData } from "./tiny.js";

const compiled = join(packageRoot, "dist", "binding", "load.js");
const core = loadCore();

/** Code that starts a long training in another process or thread; `train()` returns the job. */
const preamble = `
  import { loadCore } from ${JSON.stringify(`file://${compiled}`)};
  const core = loadCore();
  const config = ${JSON.stringify(tinyConfig())};
  const data = { ...${JSON.stringify({ ...tinyPanelData(), features: null, targets: null, rowOffsets: null, rowStocks: null })},
    features: Float32Array.from({ length: 12 * 7 * 3 }, (_, i) => Math.sin(i)), targets: Float32Array.from({ length: 84 }, (_, i) => Math.cos(i)),
    rowOffsets: Int32Array.from({ length: 13 }, (_, t) => Math.max(0, t - 3) * 7), rowStocks: Int32Array.from({ length: 63 }, (_, i) => i % 7) };
  const options = ${JSON.stringify(tinyOptions())};
  const train = (onStep) => core.createSession(core.createModel(config, "float32", 0), core.createPanel(data), options).run({
    dates: Int32Array.from({ length: 100000 }, (_, s) => 3 + (s % 9)), offsets: Int32Array.from({ length: 100001 }, (_, s) => s),
    learningRates: new Float64Array(100000).fill(1e-3) }, 1, onStep);
`;

function child(code: string): { status: number | null; signal: string | null; stderr: string } {
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", preamble + code], { encoding: "utf8", timeout: 60_000 });
  return { status: result.status, signal: result.signal, stderr: result.stderr };
}

test("the compiled loader is there", () => expect(existsSync(compiled)).toBe(true));

test("process.exit during training ends the process with its own code", () => {
  for (let i = 0; i < 5; i++) {
    expect(child(`train(() => {}).done.catch(() => {}); setTimeout(() => process.exit(7), ${20 + 17 * i});`)).toMatchObject({ status: 7, signal: null });
  }
});

test("process.exit from within a step callback is clean", () => {
  expect(child(`let n = 0; train(() => { if (++n === 5) process.exit(3); }).done.catch(() => {});`)).toMatchObject({ status: 3, signal: null });
});

test("an uncaught exception during training ends the process with code 1", () => {
  const result = child(`train(() => {}).done.catch(() => {}); setTimeout(() => { throw new Error("planned"); }, 50);`);
  expect(result).toMatchObject({ status: 1, signal: null });
  expect(result.stderr).toContain("planned");
});

test("an idle addon does not keep the process alive, a pending job does", () => {
  expect(child(`core.tensor(Float32Array.of(1), [1]);`).status).toBe(0);
  expect(child(`const job = train(() => {}); setTimeout(() => job.cancel(), 200); let ended = false;
    job.done.catch(() => { ended = true; }); process.on("exit", () => { process.exitCode = ended ? 9 : 1; });`).status).toBe(9);
});

test("a worker that is terminated while it trains ends alone; the process and another job go on", async () => {
  const { model, panel } = tiny(core);
  const session = core.createSession(model, panel, tinyOptions());
  const own = session.run(schedule(300), 1, () => {});
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(`import { parentPort } from "node:worker_threads"; ${preamble}
      train(() => parentPort.postMessage("step")).done.catch(() => {});`, { eval: true, execArgv: ["--input-type=module"] });
    await new Promise<void>((resolve, reject) => {
      worker.once("message", () => resolve());
      worker.once("error", reject);
    });
    const exited = new Promise((resolve) => worker.once("exit", resolve));
    await worker.terminate();
    await exited;
  }
  await own.done;
  expect(session.steps).toBe(300);
});

test("a worker that is terminated within calls of the core ends alone", async () => {
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(`import { parentPort } from "node:worker_threads"; ${preamble}
      const model = core.createModel(config, "float32", 0);
      parentPort.postMessage("busy");
      for (;;) model.stateDict();`, { eval: true, execArgv: ["--input-type=module"] });
    await new Promise<void>((resolve, reject) => {
      worker.once("message", () => resolve());
      worker.once("error", reject);
    });
    await worker.terminate();
  }
});

test("a worker that is terminated while a table is checked ends alone", async () => {
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(`import { parentPort } from "node:worker_threads"; import { loadTables } from ${JSON.stringify(`file://${compiled}`)};
      const [stocks, dates, tables] = [4000, 1000, loadTables()];
      const present = new Uint8Array(stocks * dates).fill(1);
      const input = { stocks, present, columns: [new Float32Array(present.length)], codes: [], prices: [], high: -1, low: -1, filling: [0], filled: new Uint8Array(present.length), digests: new Uint8Array(2 * dates * 32) };
      const check = tables.createCheck(input);
      tables.checkDates(check, input, 0, dates);
      parentPort.postMessage("busy");`, { eval: true, execArgv: ["--input-type=module"] });
    const exited = new Promise((resolve) => worker.once("exit", resolve));
    await new Promise<void>((resolve, reject) => {
      worker.once("message", () => resolve());
      worker.once("error", reject);
    });
    await worker.terminate();
    await exited;
  }
});

test("JavaScript's thread makes no pool of threads", () => {
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", `
    import { readdirSync } from "node:fs";
    ${preamble}
    const threads = () => readdirSync("/proc/self/task").length;
    const model = core.createModel({ ...config, gruHiddenSize: 256 }, "float32", 0);
    const before = threads();
    model.stateDict(); // copies of 768 x 256 weights, which LibTorch would share out
    console.log(threads() - before);`], { encoding: "utf8", env: { ...process.env, OMP_NUM_THREADS: "4", MKL_NUM_THREADS: "4" } });
  expect(result).toMatchObject({ status: 0, stdout: "0\n" });
});

test("two sessions take turns: a short job ends while a long one still runs", async () => {
  const first = tiny(core);
  const second = tiny(core);
  const long = core.createSession(first.model, first.panel, tinyOptions()).run(schedule(100_000), 1, () => {});
  const session = core.createSession(second.model, second.panel, tinyOptions());
  await session.run(schedule(10), 1, () => {}).done;
  long.cancel();
  await expect(long.done).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
});

test("two trainings at once give the weights that each gives alone", async () => {
  const train = (seed: number): { done: Promise<unknown> } => {
    const { model, panel } = tiny(core);
    const session = core.createSession(model, panel, tinyOptions({ seed }));
    return { done: session.run(schedule(40), 1, () => {}).done.then(() => model.stateDict()["prediction.output.weight"]!.toTypedArray()) };
  };
  const alone = [await train(1).done, await train(2).done];
  const together = await Promise.all([train(1).done, train(2).done]);
  expect(together).toEqual(alone);
  expect(alone[0]).not.toEqual(alone[1]);
});

test("the event loop turns while the compute thread works", async () => {
  const model = core.createModel(tinyConfig({ gruHiddenSize: 32 }), "float32", 0);
  const session = core.createSession(model, core.createPanel(tinyPanelData(300)), tinyOptions());
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const job = session.run(schedule(100), 1, () => {});
  delay.enable();
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await job.done;
  clearInterval(timer);
  delay.disable();
  // One turn per step would already show that no step blocks the loop; a blocked loop would show none.
  expect(turns).toBeGreaterThan(20);
});
