// A training of a second or two, as files and as a command line.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
/** Address of the built package, for scripts that run elsewhere. */
export const packageUrl = new URL("../../dist/index.js", import.meta.url).href;
const command = join(root, "dist", "cli", "main.js");

/** Options of a model of 1,277 parameters. */
export const MODEL = { gruHiddenSize: 8, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8] };
/** Options of its dataset: 44 training dates, 10 of validation, 9 of test. */
export const DATASET = { features: ["x0", "x1"], window: 3, label: { column: "y", horizonDays: 0 }, split: { trainEnd: "2020-02-15", validEnd: "2020-02-25" } };

/** Writes a table of 65 dates and 13 stocks in which y follows x0, and returns its path. */
export function writeTable(folder) {
  const path = join(folder, "table.csv");
  writeFileSync(path, `date,ticker,x0,x1,y\n${rowsOf(65)}`);
  return path;
}

/** The same for as many dates as asked for, from the `from`-th after 2020-01-01 on, as lines of CSV. */
export function rowsOf(dates, from = 0) {
  const rows = [];
  for (let t = from; t < dates; t++) {
    const date = new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10);
    for (let n = 0; n < 13; n++) rows.push(`${date},S${n},${Math.sin(3 * t + 5 * n)},${Math.cos(7 * t * n)},${0.01 * Math.sin(3 * t + 5 * n + 0.5)}`);
  }
  return `${rows.join("\n")}\n`;
}

/** Arguments of `astgnn train` for it. */
export function trainArguments(table, out, ...more) {
  const { gruHiddenSize, gatHiddenSize, gatNumHeads, residualHiddenSize, numRiskFactors, tgcHiddenSize, tgcOutputSize, predictionHiddenSizes } = MODEL;
  return [
    "train", "--data", table, "--features", "x0,x1", "--window", 3, "--label-column", "y", "--label-horizon", 0, "--train-end", "2020-02-15", "--valid-end", "2020-02-25",
    "--gru-hidden-size", gruHiddenSize, "--gat-hidden-size", gatHiddenSize, "--gat-num-heads", gatNumHeads, "--residual-hidden-size", residualHiddenSize, "--num-risk-factors", numRiskFactors,
    "--tgc-hidden-size", tgcHiddenSize, "--tgc-output-size", tgcOutputSize, "--prediction-hidden-sizes", predictionHiddenSizes,
    "--epochs", 2, "--checkpoint-steps", 20, "--threads", 1, "--out", out, ...more,
  ].map(String);
}

/** Runs `astgnn` with these arguments; killed after `killAfterMs`. */
export function astgnn(args, { env = {}, killAfterMs } = {}) {
  return run([command, ...args], { env, killAfterMs });
}

/** Runs node with these arguments and tells how it ended. */
export function run(args, { env = {}, killAfterMs } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfterMs);
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (data) => (stdout += data));
    child.stderr.on("data", (data) => (stderr += data));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** Numbers from 0 to 1 by a seed (mulberry32). */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
