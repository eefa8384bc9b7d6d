// The tables beside the configurations: growth with N, reading a panel, one epoch of real data, the boundary.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { EAGER, MALLOC, OURS, QLIB } from "./bench-context.mjs";
import { measureConfiguration } from "./measure-configuration.mjs";
import { fitExponent, localExponents, median } from "./statistics.mjs";

const GROWTH = { t: 20, f: 21, b: 1 };

/** Training steps from the smallest N to the largest, with the exponents of time and memory. */
export async function measureGrowth(context, sides) {
  const rows = [];
  for (const n of context.settings.growthStocks) {
    const row = await measureConfiguration(context, sides, { n, ...GROWTH }, "train", { rounds: Math.min(7, context.settings.steps), blocks: false });
    context.say(`growth ${n}: ours ${row.oursMs} ms, ${row.oursPeakMiB} MiB; eager ${row.torchMs ?? "-"} ms, with memory settings ${row.torchMallocMs ?? "-"} ms`);
    rows.push(row);
  }
  return { rows, exponents: growthExponents(rows) };
}

/** Per series: the exponent over all N, and between neighbours. */
export function growthExponents(rows) {
  const exponents = {};
  for (const series of ["oursMs", "torchMs", "torchMallocMs", "oursPeakMiB", "torchPeakMiB"]) {
    // A peak of nothing (below what a page count resolves) has no logarithm.
    const points = rows.filter((row) => row[series] > 0).map((row) => [row.config.n, row[series]]);
    if (points.length < 2) continue;
    exponents[series] = { overall: fitExponent(points).exponent, local: localExponents(points), stocks: points.map(([n]) => n) };
  }
  return exponents;
}

/** openPanel beside DuckDB alone and the data-frame libraries of the interpreter, alternating, a warm file. */
export async function measureLoad(context) {
  const file = resolve(context.root, context.settings.data, "us_dev.parquet");
  return context.with([OURS, EAGER], async ([ours, peer]) => {
    // The first opening of a process: later ones find memory that the first gave back.
    const { rows, columns, dates, stocks, peakBytes, residentBytes } = await ours.request("panel", { file });
    await ours.request("scan", { file, columns });
    const seconds = { openPanel: [], duckdb: [] };
    const delays = [];
    let missing = {};
    for (let round = 0; round < 5; round++) {
      const opened = await ours.request("panel", { file });
      seconds.openPanel.push(opened.seconds);
      delays.push(opened.delayMs);
      const scan = await ours.request("scan", { file, columns });
      if (scan.rows !== rows) throw new Error(`openPanel read ${rows} rows, DuckDB ${scan.rows}.`);
      seconds.duckdb.push(scan.seconds);
      const frames = await peer.request("read", { file, columns });
      missing = frames.missing;
      for (const [name, value] of Object.entries(frames.seconds)) (seconds[name] ??= []).push(value);
    }
    const readers = Object.entries(seconds).map(([name, values]) => ({ name, seconds: median(values), rowsPerSecond: rows / median(values) }));
    return { rows, columns, dates, stocks, readers, missing, peakBytes, residentBytes, delayMs: median(delays) };
  });
}

/** Datasets of `ohlcv` beside the same features and ranks in polars, where the interpreter has it; one side after the other, a warm file. */
export async function measureDataset(context) {
  const file = resolve(context.root, context.settings.data, "us_dev.parquet");
  const ours = await context.with([OURS], ([process]) => process.request("datasets", { file, rounds: 5 }));
  const polars = await context.with([EAGER], async ([peer]) => {
    const rounds = [];
    for (let round = 0; round < 3; round++) rounds.push(await peer.request("features", { file }));
    return rounds;
  });
  const middle = ({ seconds, cpuSeconds }) => ({ seconds: median(seconds), cpuSeconds: median(cpuSeconds) });
  const { peakBytes, residentBytes, dates, stocks, rows } = ours;
  const sides = [{ name: "panel.dataset", ...middle(ours) }];
  const missing = polars[0].missing;
  if (missing === undefined) {
    const all = { seconds: polars.map(({ seconds }) => seconds), cpuSeconds: polars.map(({ cpuSeconds }) => cpuSeconds) };
    sides.push({ name: `polars ${polars[0].version}`, ...middle(all) });
  } else context.say(`dataset: polars left out: ${missing}`);
  return { sides, missing, peakBytes, residentBytes, dates, stocks, rows, delayMs: median(ours.delayMs) };
}

const CHUNK = 10;

/** Training dates in steps of one date, then the validation dates: an epoch, from a sample of its dates in alternating chunks, beside the same model and Qlib's GATs. */
export async function measureEpoch(context) {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-bench-"));
  try {
    return await context.with([OURS, EAGER, MALLOC, QLIB], async (processes) => {
      const [ours, ...peers] = processes;
      const { trainDates, validDates, ...panel } = await ours.request("epoch", { data: resolve(context.root, context.settings.data), folder });
      for (const peer of peers) {
        const isQlib = peer.name === QLIB;
        const { parameters } = await peer.request("epoch", { ...panel, folder, model: isQlib ? "qlib" : "astgnn" });
        if (!isQlib && parameters !== panel.parameters) throw new Error(`${peer.name} has ${parameters} parameters, ours ${panel.parameters}.`);
      }
      const share = context.settings.epochDates === 0 ? 1 : Math.min(1, context.settings.epochDates / trainDates.length);
      const train = spreadChunks(trainDates, share);
      const valid = spreadChunks(validDates, share);
      await inTurns(processes, "train", [trainDates.slice(0, CHUNK)]);
      const trainMs = await inTurns(processes, "train", train);
      const validMs = await inTurns(processes, "predict", valid);
      const [trained, validated] = [train, valid].map((chunks) => chunks.flat().length);
      const seconds = Object.fromEntries(processes.map(({ name }) => [name, ((trainMs[name] / trained) * trainDates.length + (validMs[name] / validated) * validDates.length) / 1e3]));
      const perStep = Object.fromEntries(processes.map(({ name }) => [name, trainMs[name] / trained]));
      return { seconds, trainMsPerDate: perStep, trainDates: trainDates.length, validDates: validDates.length, measuredTrainDates: trained, measuredValidDates: validated, window: panel.window, features: panel.featureCount, stocks: panel.stocks };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Chunks of neighbouring dates, spread evenly, that hold about `share` of all. */
export function spreadChunks(dates, share) {
  const chunks = [];
  for (let at = 0; at < dates.length; at += CHUNK) chunks.push(dates.slice(at, at + CHUNK));
  const count = Math.max(1, Math.round(share * chunks.length));
  return Array.from({ length: count }, (_, i) => chunks[Math.floor((i * chunks.length) / count)]);
}

/** Total milliseconds of each process over all chunks, one chunk each in turn. */
async function inTurns(processes, command, chunks) {
  const total = Object.fromEntries(processes.map(({ name }) => [name, 0]));
  for (const [round, dates] of chunks.entries()) {
    for (let turn = 0; turn < processes.length; turn++) {
      const active = processes[(round + turn) % processes.length];
      total[active.name] += (await active.request(command, { dates })).ms;
    }
  }
  return total;
}

/** What the co-movement term adds to a training step, alternating with steps without it in one process. */
export async function measureCoMovement(context) {
  return context.with([OURS], async ([ours]) => {
    const rows = [];
    for (const n of [1000, 5000]) {
      const { icMs, bothMs } = await ours.request("coMovement", { n, steps: context.settings.steps });
      rows.push({ n, icMs: median(icMs), bothMs: median(bothMs), ratio: median(bothMs.map((ms, i) => ms / icMs[i])) });
      context.say(`co-movement ${n}: ${rows.at(-1).icMs} ms without, ${rows.at(-1).bothMs} ms with the term`);
    }
    return rows;
  });
}

/** Microseconds per step between JavaScript's clock and the core's, on a model so small that they show. */
export async function measureBoundary(context) {
  return context.with([OURS], async ([ours]) => {
    const { togetherMs, singleMs } = await ours.request("boundary", { steps: 500 });
    return { togetherMicroseconds: 1e3 * median(togetherMs), singleMicroseconds: 1e3 * median(singleMs) };
  });
}
