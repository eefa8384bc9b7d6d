// A server that lives for years: every trading day a date is appended and scored, several times a year it trains anew, some of it is cancelled, workers come and go.
// In the end it has the memory it began with, and its scores are those of a fresh process to the last bit: node --expose-gc long-life.mjs <folder> <days>, by scripts/soak.mjs.
import { on, once } from "node:events";
import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { growthOf, held, watched } from "./memory.mjs";
import { MODEL, packageUrl, randomNumbers, rowsOf, run } from "./small-training.mjs";

const file = fileURLToPath(import.meta.url);
/** Trading days of a year, and in it: trainings that are finished, and such that are cancelled or whose thread is terminated. */
const YEAR = { days: 250, trainings: 5, cancelled: 1.25, workers: 2 };
/** Dates that a panel is opened with. */
const HISTORY = 80;
const DATASET = { features: ["x0", "x1"], window: 3, label: { column: "y", horizonDays: 0 } };
/** Share by which the memory that is used may differ. Pages of DuckDB's that are kept for the next reading make the resident memory wander by more. */
const LIMIT = 0.01;

export async function life({ count = 10_000 }) {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-soak-"));
  const thrown = `a server of ${Math.round(count / YEAR.days)} years`;
  const { code, signal, stdout, stderr } = await run(["--expose-gc", file, folder, String(count)], { env: watched(folder) });
  if (code !== 0 || stderr !== "") return { thrown, done: 1, saw: {}, failures: [`ended with ${signal ?? code}: ${stderr}`] };
  const { samples, scores, ...saw } = JSON.parse(stdout);
  const fresh = await run([file, folder, "fresh"]);
  rmSync(folder, { recursive: true });
  const { used, words } = growthOf(samples);
  const failures = [
    ...(used.share < LIMIT ? [] : [`the memory grew: ${JSON.stringify(samples)}`]),
    ...(fresh.stdout.trim() === scores ? [] : [`a fresh process scores otherwise: ${fresh.stdout} ${fresh.stderr}`]),
  ];
  return { thrown, done: 1, saw: { ...saw, ...words }, failures };
}

/** Numbers of day t in the columns of an append. */
function rowsOfDay(t) {
  const rows = rowsOf(t + 1, t).trim().split("\n").map((row) => row.split(","));
  const numbers = (column) => rows.map((row) => Number(row[column]));
  return { dates: rows[0][0], tickers: rows.map((row) => row[1]), columns: { x0: numbers(2), x1: numbers(3), y: numbers(4) } };
}

async function serve(folder, days) {
  const { ASTGNNFactorModel, loadRun, openPanel, train } = await import(packageUrl);
  const random = randomNumbers(1);
  const table = join(folder, "table.csv");
  const current = join(folder, "run");
  const did = { appends: 0, trainings: 0, cancelled: 0, workers: 0, terminated: 0 };
  const samples = [];
  const quiet = { threads: 1, onWarning: () => {} };
  const fit = async (panel, more) => {
    const dataset = await panel.dataset({ ...DATASET, split: { fractions: [0.7, 0.3, 0] } });
    const model = new ASTGNNFactorModel({ sequentialInputSize: 2, ...MODEL });
    try {
      await train(model, dataset, { epochs: 1, ...quiet, ...more });
    } finally {
      model.dispose();
      dataset.dispose();
    }
  };
  let scores = "";
  let panel;
  let scorer;
  for (let day = 0; day < days; day++) {
    const t = HISTORY + day;
    if (day % YEAR.days === 0) {
      // A new year: the history of the last dates, read again.
      writeFileSync(table, `date,ticker,x0,x1,y\n${rowsOf(t, t - HISTORY)}`);
      panel = await openPanel(table, { columns: ["x0", "x1", "y"] });
    }
    const happens = (perYear) => Math.floor(((day % YEAR.days) * perYear) / YEAR.days) !== Math.floor((((day % YEAR.days) + 1) * perYear) / YEAR.days);
    const year = Math.floor(day / YEAR.days);
    if (scorer === undefined || happens(YEAR.trainings)) {
      scorer?.dispose();
      await fit(panel, { seed: did.trainings++, out: current, overwrite: true });
      scorer = await loadRun(current);
    }
    if (happens(year % 4 === 3 ? 2 : 1)) {
      did.cancelled++;
      const stop = new AbortController();
      const at = 1 + Math.floor(random() * 40);
      await fit(panel, { signal: stop.signal, onStep: ({ step }) => step === at && stop.abort() }).catch((error) => {
        if (error.code !== "ERR_ABORTED") throw error;
      });
    }
    panel = await panel.append(rowsOfDay(t));
    appendFileSync(table, rowsOf(t + 1, t));
    did.appends++;
    const dataset = await panel.dataset({ description: scorer.dataset, from: panel.dates.at(-1) });
    for await (const { date, predictions } of scorer.predictDates(dataset, { threads: 1 })) scores = `${date} ${hex(predictions)}`;
    dataset.dispose();
    if (happens(YEAR.workers)) {
      did.workers++;
      const isTerminated = did.workers % 2 === 0;
      if (isTerminated) did.terminated++;
      const found = await beside({ folder, isTerminated });
      if (!isTerminated && found !== scores) throw new Error(`A worker scores ${found}, the server ${scores}.`);
    }
    if (day % 25 === 24) {
      samples.push(held());
      // For who waits for it.
      appendFileSync(join(folder, "progress"), `${JSON.stringify({ ...did, ...samples.at(-1) })}\n`);
    }
  }
  scorer.dispose();
  console.log(JSON.stringify({ ...did, threads: readdirSync("/proc/self/task").length, samples, scores }));
}

/** The newest date by the stored run and the table, in this process or thread. */
async function freshScores(folder, onRead = () => {}) {
  const { loadRun } = await import(packageUrl);
  const loaded = await loadRun(join(folder, "run"));
  const panel = await loaded.openPanel(join(folder, "table.csv"));
  const dataset = await panel.dataset({ description: loaded.dataset, from: panel.dates.at(-1) });
  onRead();
  for await (const { date, predictions } of loaded.predictDates(dataset, { threads: 1 })) return `${date} ${hex(predictions)}`;
}

/** A worker that scores and ends, or is terminated while it does, once it has read: DuckDB's addon ends the process where its thread ends under one of its calls. */
async function beside({ folder, isTerminated }) {
  const worker = new Worker(file, { workerData: { folder } });
  const messages = on(worker, "message");
  await messages.next();
  if (!isTerminated) {
    const [found] = (await messages.next()).value;
    await once(worker, "exit");
    return found;
  }
  await worker.terminate();
  return undefined;
}

function hex(values) {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("hex");
}

if (!isMainThread && workerData?.folder !== undefined) parentPort.postMessage(await freshScores(workerData.folder, () => parentPort.postMessage("read")));
else if (process.argv[1] === file && process.argv[3] === "fresh") console.log(await freshScores(process.argv[2]));
else if (process.argv[1] === file) await serve(process.argv[2], Number(process.argv[3]));
