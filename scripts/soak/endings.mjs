// Trainings whose thread or process ends under them, by worker.terminate() or process.exit(), at any moment: nothing crashes or hangs, and the exit code is the one that was asked for.
// The same file is what such a worker or process runs: node endings.mjs <table> <how> <after>.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { DATASET, MODEL, packageUrl, randomNumbers, run, writeTable } from "./small-training.mjs";

const file = fileURLToPath(import.meta.url);
/** Warnings are no part of how a training ends. */
const onWarning = () => {};

/** Worker threads of one process that are terminated, three at a time, while another training goes on; it and a last one have the bits of one that was alone. */
export async function workers({ count = 100, seed = 1 }) {
  const thrown = `${count} worker threads terminated in their training (seed ${seed})`;
  const { code, signal, stdout, stderr } = await run([file, "workers", String(count), String(seed)]);
  const failures = code === 0 && stderr === "" ? [] : [`ended with ${signal ?? code}: ${stderr}`];
  return { thrown, done: count, saw: stdout === "" ? {} : JSON.parse(stdout), failures };
}

/** Processes that call process.exit(7): from a timer, a step, an epoch, while they score, and while two trainings take turns. */
export async function exits({ count = 100, seed = 1 }) {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-soak-"));
  const table = writeTable(folder);
  const random = randomNumbers(seed);
  const hows = ["timer", "step", "epoch", "scoring", "two"];
  const [saw, failures] = [{}, []];
  for (let i = 0; i < count; i++) {
    const [how, after] = [hows[i % hows.length], Math.floor(random() * 80)];
    const { code, signal, stderr } = await run([file, "exit", table, how, String(after), join(folder, `run-${i}`)]);
    saw[signal ?? `exit ${code}`] = (saw[signal ?? `exit ${code}`] ?? 0) + 1;
    if (code !== 7 || stderr !== "") failures.push(`${how} after ${after}: ${signal ?? code} ${stderr}`);
  }
  rmSync(folder, { recursive: true });
  return { thrown: `process.exit(7) in ${count} trainings (seed ${seed})`, done: count, saw, failures };
}

/** `data`: a table, or a packed file for threads that are terminated, for DuckDB's addon ends the process where its thread ends under one of its calls. */
async function prepared(data) {
  const { ASTGNNFactorModel, openPack, openPanel, train } = await import(packageUrl);
  const { split, ...made } = DATASET;
  const dataset = data.endsWith(".pack") ? await (await openPack(data)).dataset({ split }) : await (await openPanel(data)).dataset({ ...made, split });
  const model = (seed = 0) => new ASTGNNFactorModel({ sequentialInputSize: 2, ...MODEL, seed });
  return { dataset, model, train };
}

async function packedTable(folder) {
  const { openPanel, pack } = await import(packageUrl);
  const { split: _, ...made } = DATASET;
  const out = join(folder, "table.pack");
  await pack(await openPanel(writeTable(folder)), { ...made, out });
  return out;
}

async function terminateWorkers(count, seed) {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-soak-"));
  const data = await packedTable(folder);
  const { dataset, model, train } = await prepared(data);
  const weights = async (epochs) => {
    const trained = model(5);
    await train(trained, dataset, { epochs, threads: 1, seed: 5, onWarning });
    return Buffer.from(trained.stateDict()["prediction.output.weight"].toTypedArray().buffer).toString("hex");
  };
  const alone = await weights(2);
  const threads = () => readdirSync("/proc/self/task").length;
  const before = threads();
  const random = randomNumbers(seed);
  const saw = { loading: 0, training: 0 };
  const one = async (i) => {
    // A third of them ends before it trains, while it loads or reads.
    const isEarly = i % 3 === 2;
    const worker = new Worker(file, { workerData: { data, out: i % 2 === 0 ? join(folder, `run-${i % 6}`) : undefined } });
    const failed = new Promise((_, reject) => worker.once("error", reject));
    failed.catch(() => {});
    const begun = new Promise((resolve) => worker.once("message", resolve));
    const waits = new Promise((resolve) => setTimeout(resolve, random() * 400));
    saw[(await Promise.race([failed, begun, ...(isEarly ? [waits] : [])])) ?? "loading"]++;
    await new Promise((resolve) => setTimeout(resolve, random() * 30));
    await worker.terminate();
  };
  const lanes = [0, 1, 2].map(async (lane) => {
    for (let i = lane; i < count; i += 3) await one(i);
  });
  const beside = await weights(2);
  await Promise.all(lanes);
  const last = await weights(2);
  if (beside !== alone || last !== alone) throw new Error("Other bits than alone.");
  // Of the core's own threads one more may compute for each core.
  const most = before + availableParallelism() - 1;
  if (threads() > most) throw new Error(`${threads()} threads, there were ${before}.`);
  rmSync(folder, { recursive: true });
  console.log(JSON.stringify(saw));
}

async function exitWhileTraining([table, how, after, out]) {
  const { dataset, model, train } = await prepared(table);
  let steps = 0;
  const end = () => process.exit(7);
  const long = { epochs: 1000, threads: 1, out, onWarning };
  if (how === "scoring") {
    const scored = model();
    setTimeout(end, Number(after));
    for (;;) await scored.predict(dataset, { threads: 1 });
  }
  if (how === "timer" || how === "two") setTimeout(end, Number(after));
  if (how === "two") train(model(1), dataset, { epochs: 1000, threads: 1, onWarning }).catch(() => {});
  await train(model(), dataset, { ...long, onStep: () => how === "step" && ++steps > Number(after) && end(), onEpoch: ({ epoch }) => how === "epoch" && epoch > Number(after) / 20 && end() });
}

async function trainUntilTerminated({ data, out }) {
  const { dataset, model, train } = await prepared(data);
  for (;;) await train(model(), dataset, { epochs: 1000, threads: 1, checkpointSteps: 5, out, overwrite: out !== undefined, onWarning, onStep: ({ step }) => step === 1 && parentPort.postMessage("training") });
}

if (!isMainThread && workerData?.data !== undefined) await trainUntilTerminated(workerData);
else if (process.argv[1] === file && process.argv[2] === "workers") await terminateWorkers(Number(process.argv[3]), Number(process.argv[4]));
else if (process.argv[1] === file && process.argv[2] === "exit") await exitWhileTraining(process.argv.slice(3));
