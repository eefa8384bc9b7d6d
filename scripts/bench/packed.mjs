// Trains over a packed dataset that may be larger than memory, and prints what memory it took. The file is written in the package's own format: noise in the
// chunks of dates that the steps read, a hole in the file (zeros) in the others unless --full; with --pack simulated prices are packed as astgnn pack does it.
// With --source a Parquet file of prices and columns, sorted by date, is made and packed by astgnn pack's own steps.
// node scripts/bench/packed.mjs [--gigabytes 20] [--steps 200] [--stocks 3000] [--features 340] [--folder DIR] [--full] [--pack] [--source]
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { normalValues } from "./synthetic-panel.mjs";

const { values: options } = parseArgs({
  options: {
    gigabytes: { type: "string", default: "20" }, steps: { type: "string", default: "200" }, stocks: { type: "string", default: "3000" }, features: { type: "string", default: "340" },
    folder: { type: "string", default: tmpdir() }, pack: { type: "boolean", default: false }, source: { type: "boolean", default: false }, parquet: { type: "string" }, full: { type: "boolean", default: false }, train: { type: "string" }, write: { type: "string" },
  },
});
const [N, F, WINDOW] = [Number(options.stocks), Number(options.features), 20];
const dist = (name) => import(join(resolve(import.meta.dirname, "../.."), "dist", name));
const GB = 1e9;

/** Peaks of this process so far, in GB: memory of its own, and pages of files. */
function watchMemory() {
  const peak = { anonymous: 0, file: 0 };
  const look = () => {
    const status = readFileSync("/proc/self/status", "utf8");
    const of = (name) => (Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]) * 1024) / GB;
    peak.anonymous = Math.max(peak.anonymous, of("RssAnon"));
    peak.file = Math.max(peak.file, of("RssFile"));
  };
  return { peak, look };
}

const SPLIT = { fractions: [0.9, 0.05, 0.05] };

/** Chunks of dates that the steps read, in the order in which training shuffles the dates of SPLIT. */
async function chunksRead(D, chunkDates) {
  const { dateOrder } = await dist("train/date-order.js");
  const labelled = D - 2 - (WINDOW - 1);
  const dates = Int32Array.from({ length: Math.round(SPLIT.fractions[0] * labelled) }, (_, i) => WINDOW - 1 + i);
  const read = dateOrder(dates, { seed: 0, epoch: 1, datesPerStep: 1, consecutive: false, chunkDates }).dates.subarray(0, Number(options.steps) + chunkDates);
  return new Set(Array.from(read).flatMap((t) => [t, t - WINDOW + 1].map((date) => Math.floor(date / chunkDates))));
}

/** Every stock on every date; features are blocks of noise, each date beginning elsewhere in it. */
async function writeNoise(path) {
  const { checkedSection, writeHeader, writeSection, CHUNK_DATES } = await dist("data/pack/format.js");
  const { PAGE } = await dist("data/pack/header.js");
  const D = Math.round((Number(options.gigabytes) * GB) / (4 * N * F));
  const file = await open(path, "w+");
  const width = 4 * N * F;
  const noise = Buffer.from(normalValues(N * F + 4096, 1).buffer);
  const read = options.full ? undefined : await chunksRead(D, CHUNK_DATES);
  await file.truncate(PAGE + D * width);
  for (let t = 0; t < D; t++) if (read?.has(Math.floor(t / CHUNK_DATES)) ?? true) await file.write(noise, 4 * ((t * 31) % 4096), width, PAGE + t * width);
  const sections = { features: await checkedSection(file, { type: "float32", shape: [D, N, F], offset: PAGE, chunkBytes: CHUNK_DATES * width }) };
  let end = Math.ceil((PAGE + D * width) / PAGE) * PAGE;
  const add = async (name, values, shape = [values.length]) => ({ section: sections[name], end } = await writeSection(file, end, values, shape, Math.max(4, values.byteLength)));
  const labels = normalValues(D * N, 2);
  await add("rowOffsets", Int32Array.from({ length: D + 1 }, (_, t) => Math.max(0, t - WINDOW + 1) * N));
  await add("rowStocks", Int32Array.from({ length: (D - WINDOW + 1) * N }, (_, row) => row % N));
  await add("labels", labels, [D, N, 1]);
  await add("targets", labels, [D, N, 1]);
  await add("returns", labels.map((value) => 0.02 * value), [D, N]);
  const featureNames = Array.from({ length: F }, (_, f) => `x${f}`);
  const label = { horizonDays: 1, lagDays: 1 };
  await writeHeader(file, {
    astgnn: "bench", columns: ["close", ...featureNames], slots: N, label, lastLabelled: D - 3, extremeReturns: "warn", groupNames: undefined, digests: { noise: "noise" }, source: "noise", sourceFiles: [], sections,
    dates: Array.from({ length: D }, (_, t) => new Date(Date.UTC(1990, 0, 1 + t)).toISOString().slice(0, 10)), tickers: Array.from({ length: N }, (_, n) => `S${String(n).padStart(6, "0")}`),
    description: { featureNames, features: featureNames, window: WINDOW, processors: [], graph: "complete", label, labelTransform: { transform: "rank" }, maxDropped: 0.05, maxMissingDates: 0 },
    ledger: { entries: [], rowsRead: D * N, rowsKept: D * N },
  }, end);
  await file.sync();
  await file.close();
}

/** 20 `ohlcv` features of random walks, packed as astgnn pack does it. */
async function packWalks(path) {
  const { Panel } = await dist("data/panel.js");
  const { pack } = await dist("data/pack/pack.js");
  const D = Math.round((Number(options.gigabytes) * GB) / (80 * N));
  const close = new Float32Array(D * N);
  const noise = normalValues(D * N, 3);
  for (let i = 0; i < D * N; i++) close[i] = i < N ? 50 : Math.min(1e4, Math.max(1, close[i - N] * (1 + 0.02 * noise[i])));
  const scaled = (factor) => close.map((value, i) => value * (1 + factor * Math.abs(noise[(i * 7) % noise.length])));
  const dates = Array.from({ length: D }, (_, t) => new Date(Date.UTC(1990, 0, 1 + t)).toISOString().slice(0, 10));
  const tickers = Array.from({ length: N }, (_, n) => `S${String(n).padStart(6, "0")}`);
  const panel = await Panel.from({ dates, tickers, columns: { open: close, high: scaled(0.01), low: scaled(-0.01), close, volume: scaled(10) } }, { onWarning: () => {} });
  const { peak, look } = watchMemory();
  look();
  const before = peak.anonymous;
  const timer = setInterval(look, 50);
  const started = performance.now();
  const packed = await pack(panel, { window: WINDOW, maxDropped: 1, out: path });
  clearInterval(timer);
  console.log(`astgnn pack: ${(packed.bytes / GB).toFixed(2)} GB, ${packed.features} features, in ${((performance.now() - started) / 1000).toFixed(0)} s; memory of its own ${before.toFixed(2)} GB with the panel before, ${peak.anonymous.toFixed(2)} GB at the peak`);
}

/** Prices and `features` columns of noise of every stock on every date, as many gigabytes of numbers. */
async function writeSource(path) {
  const { DuckDBInstance } = await import("@duckdb/node-api");
  const D = Math.round((Number(options.gigabytes) * GB) / (4 * N * (F + 5)));
  const connection = await (await DuckDBInstance.create(":memory:", { memory_limit: "1GB" })).connect();
  const columns = Array.from({ length: F }, (_, f) => `((h >> ${f % 48}) & 65535)::FLOAT / 65536 AS x${f}`);
  const prices = ["open", "high", "low", "close", "volume"].map((name, k) => `${[50, 60, 40, 50, 1000][k]} + ((h >> ${8 * k}) & 4095)::FLOAT / 1024 AS ${name}`);
  await connection.run("SET preserve_insertion_order = true");
  await connection.run(`COPY (SELECT DATE '1990-01-01' + d::INTEGER AS date, printf('S%06d', n) AS ticker, ${[...prices, ...columns].join(", ")} FROM (SELECT i // ${N} AS d, i % ${N} AS n, hash(i) AS h FROM range(${D * N}) AS rows(i))) TO '${path}' (FORMAT parquet, COMPRESSION uncompressed)`);
  console.log(`${(statSync(path).size / GB).toFixed(2)} GB of Parquet: ${D} dates, ${N} stocks, ${F + 5} columns`);
}

async function packSource(path) {
  const { openPanel } = await dist("data/panel.js");
  const { pack } = await dist("data/pack/pack.js");
  const { peak, look } = watchMemory();
  look();
  const timer = setInterval(look, 20);
  const started = performance.now();
  const features = F === 0 ? "ohlcv" : Array.from({ length: F }, (_, f) => `x${f}`);
  const panel = await openPanel(options.parquet, { scratch: options.folder, onWarning: () => {} });
  const opened = performance.now();
  const packed = await pack(panel, { features, window: WINDOW, maxDropped: 1, out: path });
  clearInterval(timer);
  const { user, system } = process.cpuUsage();
  console.log(`read in ${((opened - started) / 1000).toFixed(0)} s, packed into ${(packed.bytes / GB).toFixed(2)} GB in ${((performance.now() - opened) / 1000).toFixed(0)} s, ${((user + system) / 1e6).toFixed(0)} s of processor time`);
  console.log(`peak of memory of its own (RssAnon) ${peak.anonymous.toFixed(2)} GB; of pages of files (RssFile) ${peak.file.toFixed(2)} GB; of both (VmHWM) ${(Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024 / GB).toFixed(2)} GB`);
}

async function trainOver(path) {
  const { openPack } = await dist("data/pack/open.js");
  const { ASTGNNFactorModel } = await dist("model/model.js");
  const { train } = await dist("train/train.js");
  const { peak, look } = watchMemory();
  let started = performance.now();
  // Holes need no check, and the writer has just read all of it.
  const packed = await openPack(path, { verify: options.full || options.pack });
  const seconds = (performance.now() - started) / 1000;
  console.log(`opened ${(statSync(path).size / GB).toFixed(2)} GB in ${seconds.toFixed(0)} s: ${packed.dates.length} dates, ${packed.tickers.length} stocks, ${packed.featureNames.length} features`);
  const dataset = await packed.dataset({ split: SPLIT });
  const model = new ASTGNNFactorModel({ sequentialInputSize: packed.featureNames.length, gruHiddenSize: 32, gatHiddenSize: 32, residualHiddenSize: 32, numRiskFactors: 16, tgcHiddenSize: 32, tgcOutputSize: 32 });
  const enough = new AbortController();
  const seen = [];
  started = performance.now();
  await train(model, dataset, {
    epochs: 1, seed: 0, onWarning: () => {}, signal: enough.signal,
    onStep: ({ step, loss }) => { look(); seen.push(loss); if (step === Number(options.steps)) enough.abort(); },
  }).catch((error) => { if (error.code !== "ERR_ABORTED") throw error; });
  console.log(`${seen.length} steps of one date in ${((performance.now() - started) / 1000).toFixed(0)} s, last loss ${seen.at(-1).toFixed(4)}`);
  console.log(`peak of memory of its own (RssAnon) ${peak.anonymous.toFixed(2)} GB; of pages of files (RssFile), which the system takes back when it needs them, ${peak.file.toFixed(2)} GB`);
}

if (options.train !== undefined) await trainOver(options.train);
else if (options.source && options.write !== undefined) await (options.parquet === undefined ? writeSource(options.write) : packSource(options.write));
else if (options.write !== undefined) await (options.pack ? packWalks : writeNoise)(options.write);
else {
  const folder = mkdtempSync(join(resolve(options.folder), "astgnn-packed-"));
  try {
    const file = join(folder, "bench.pack");
    const parquet = join(folder, "bench.parquet");
    const parts = options.source ? [["--write", parquet], ["--write", file, "--parquet", parquet]] : [["--write", file], ["--train", file]];
    for (const part of parts) {
      const { status } = spawnSync(process.execPath, [import.meta.filename, ...process.argv.slice(2), ...part], { stdio: "inherit" });
      if (status !== 0) process.exit(status ?? 1);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
