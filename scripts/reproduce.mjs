// The results table of the README: `node scripts/reproduce.mjs --data <folder with nasdaq.parquet and nasdaq_industry.csv> [--seeds 0,1,2] [--lines complete,no-graph] [--out runs/nasdaq]`.
//
// Trains the command lines of the NASDAQ protocol and their ablations without a graph, one member per seed, each line in a process of its
// own (two at a time with one thread each, unless --threads says otherwise), then prints test metrics of the single members as mean ± sd
// over seeds, of the ensemble, and the paired daily IC difference to the ablation. Finished runs are not trained again.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { evaluateRun, pairedDifference } from "../dist/index.js";

const { values: flags } = parseArgs({
  options: {
    data: { type: "string", default: "../shared/data" },
    seeds: { type: "string", default: "0,1,2" },
    out: { type: "string", default: "runs/nasdaq" },
    threads: { type: "string", default: "1" },
    parallel: { type: "string", default: "2" },
    lines: { type: "string" },
  },
});

const cli = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const protocol = [
  "train", "--data", join(flags.data, "nasdaq.parquet"), "--label-horizon", "1", "--label-lag", "0", "--train-end", "2015-12-31", "--valid-end", "2016-12-30",
  "--start", "2013-01-02", "--seeds", flags.seeds, "--threads", flags.threads, "--resume", "--json",
];
const recipe = ["--features", "ohlcv", "--window", "16", "--loss", "ic", "--relational-input", "state", "--relational-skip", "--exclude-self"];
const industries = ["--groups", join(flags.data, "nasdaq_industry.csv"), "--group-column", "industry", "--similarity-graph", "groups"];
// With --no-graph both command lines are one and the same: every stock is alone in the attention and in A.
const all = [
  { name: "complete graph", folder: "complete", extra: recipe, base: "no-graph" },
  { name: "A within industries", folder: "industries", extra: [...recipe, ...industries], base: "no-graph" },
  { name: "no graph", folder: "no-graph", extra: [...recipe, "--no-graph"] },
  { name: "preset peers", folder: "peers", extra: ["--preset", "peers"], base: "peers-no-graph" },
  { name: "preset peers, no graph", folder: "peers-no-graph", extra: ["--preset", "peers", "--no-graph", "--loss", "ic"] },
];
const wanted = flags.lines?.split(",");
const lines = all.filter(({ folder }) => wanted?.includes(folder) ?? true);
const unknown = wanted?.find((name) => !all.some(({ folder }) => folder === name));
if (unknown !== undefined) throw new Error(`--lines names ${unknown}; there are ${all.map(({ folder }) => folder).join(", ")}.`);

function train({ folder, extra }) {
  mkdirSync(flags.out, { recursive: true });
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, ...protocol, ...extra, "--out", join(flags.out, folder)], { stdio: ["ignore", "pipe", "inherit"] });
    child.stdout.on("data", (text) => process.stderr.write(`${folder}: ${text}`));
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`training ${folder} ended with ${code}`))));
  });
}

const waiting = [...lines];
await Promise.all(
  Array.from({ length: Number(flags.parallel) }, async () => {
    for (let line = waiting.shift(); line !== undefined; line = waiting.shift()) await train(line);
  }),
);

const seeds = flags.seeds.split(",");
const mean = (x) => x.reduce((a, b) => a + b, 0) / x.length;
const sd = (x) => Math.sqrt(x.reduce((a, b) => a + (b - mean(x)) ** 2, 0) / (x.length - 1));
const spread = (x, digits) => (x.length > 1 ? `${mean(x).toFixed(digits)} ± ${sd(x).toFixed(digits)}` : mean(x).toFixed(digits));
const evaluated = {};
for (const { folder } of lines) {
  evaluated[folder] = {
    members: await Promise.all(seeds.map(async (seed) => (await evaluateRun(join(flags.out, folder, `seed-${seed}`))).test)),
    ensemble: (await evaluateRun(join(flags.out, folder))).test,
    seconds: seeds.flatMap((seed) =>
      readFileSync(join(flags.out, folder, `seed-${seed}`, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line).seconds)),
  };
}

console.log("| model | test IC | ICIR | RankIC | ensemble IC / ICIR / RankIC | IC less no graph, mean of seeds (se) | ensemble less no graph (se) | peer correlation | effective neighbours | s per epoch |");
console.log("|---|---|---|---|---|---|---|---|---|---|");
for (const { name, folder, base: ablation } of lines) {
  const { members, ensemble, seconds } = evaluated[folder];
  const base = evaluated[ablation];
  // The seeds' daily differences are averaged per date first: the dates are what is independent.
  const dailyMean = (all) => ({ horizonDays: all[0].horizonDays, daily: { dates: all[0].daily.dates, ic: all[0].daily.ic.map((_, t) => mean(all.map((m) => m.daily.ic[t]))) } });
  const paired = (a, b) => {
    const { mean: difference, standardError } = pairedDifference(a, b);
    return `${difference >= 0 ? "+" : ""}${difference.toFixed(4)} (${standardError.toFixed(4)})`;
  };
  const alone = base === undefined;
  const hasGraph = members.every((m) => m.effectiveNeighbours !== null);
  console.log(`| ${[
    name,
    spread(members.map((m) => m.ic), 4),
    spread(members.map((m) => m.icir), 3),
    spread(members.map((m) => m.rankIc), 4),
    `${ensemble.ic.toFixed(4)} / ${ensemble.icir.toFixed(3)} / ${ensemble.rankIc.toFixed(4)}`,
    alone ? "" : paired(dailyMean(members), dailyMean(base.members)),
    alone ? "" : paired(ensemble, base.ensemble),
    hasGraph ? spread(members.map((m) => m.peerCorrelation), 3) : "none",
    hasGraph ? spread(members.map((m) => m.effectiveNeighbours), 1) : "none",
    mean(seconds).toFixed(1),
  ].join(" | ")} |`);
}
