// What training takes on machines that are not at hand: more cores, more ranks, more stocks. Measures this machine (dist/ of npm run build), fits a model of a step's parts, checks its
// predictions here against runs that the fit has not seen, and prints tables in Markdown.
//
//   node scripts/scale-model.mjs [--from FILE] [--save FILE] [--cores 16] [--price 0.09]
//
// --from: measurements that were saved before, in place of new ones. --cores, --price: of the machine that retrains every day, and what one of its cores costs an hour.
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { costOfYear } from "./scale-model/cost.mjs";
import { efficiency, phases, predictionEfficiency, stepOn } from "./scale-model/cores.mjs";
import { fitParts, partsAt } from "./scale-model/fit.mjs";
import { exchangeMs, NETWORKS, stepOf, sumsOf } from "./scale-model/ranks.mjs";

const { values: written } = parseArgs({ options: { from: { type: "string" }, save: { type: "string" }, cores: { type: "string", default: "16" }, price: { type: "string", default: "0.09" } } });
const measured = written.from === undefined ? await (await import("./scale-model/measure.mjs")).measureHere((what) => console.error(`measuring ${what}`)) : JSON.parse(readFileSync(written.from, "utf8"));
if (written.save !== undefined) writeFileSync(written.save, `${JSON.stringify(measured, null, 2)}\n`);

const fitted = fitParts(measured.sizes);
const workOf = (n) => phases(n, partsAt(fitted, n));
const ranked = (n, b, ranks) => measured.ranked.find((run) => run.n === n && run.b === b && run.ranks === ranks);
// Of next to no stocks: what a step has besides its dates, and what an exchange costs on loopback.
const [small, dates] = [16, 4];
const dateOverhead = (ranked(small, dates, 1).wallMs - measured.smallMs) / (dates - 1);
const serialMs = Math.max(0, measured.smallMs - dateOverhead);
const bytes = (b, ranks) => 4 * measured.parameters * sumsOf(b, ranks);
const alone = (ranks) => (dates / ranks) * dateOverhead + serialMs;
const cpuMs = Math.max(0, (ranked(small, dates, 2).cpuMs - alone(2)) / 2);
const loopback = { bytesPerMs: Infinity, roundMs: Math.max(0, ranked(small, dates, 2).wallMs - alone(2) - 2 * cpuMs) };
const dateMs = (n, cores = 1) => stepOn(cores, workOf(n)) - serialMs;

const percent = (share) => `${(100 * share).toFixed(0)} %`;
const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
function table(head, rows) {
  console.log(`\n| ${head.join(" | ")} |\n|${"---|".repeat(head.length)}`);
  for (const row of rows) console.log(`| ${row.map((cell) => (typeof cell === "number" ? number(cell) : cell)).join(" | ")} |`);
}

console.log(`${measured.cpu}, ${measured.isa}, precision ${measured.precision}, window ${measured.t}, ${measured.f} features, default model of ${measured.parameters} parameters; milliseconds.`);

console.log("\nChecks here. Fitted: parts of a step of one date on one thread. Predicted from it: whole steps on one and two threads.");
table(["stocks", "1 thread measured", "predicted", "2 threads measured", "predicted", "error"], measured.sizes.map(({ n, oneMs, twoMs }) => {
  const predicted = stepOn(2, workOf(n));
  return [String(n), oneMs, stepOn(1, workOf(n)), twoMs, predicted, percent(predicted / twoMs - 1)];
}));
const { far } = measured;
console.log(`\nBeyond the fit: ${far.n} stocks on one thread, measured ${number(far.oneMs)}, predicted ${number(stepOn(1, workOf(far.n)))} (${percent(stepOn(1, workOf(far.n)) / far.oneMs - 1)}).`);
console.log(`\nRanks on this machine's ${measured.cores} cores, of which each has its turn where there are more ranks. Fitted besides: steps of ${small} stocks by one and two ranks.`);
table(["stocks, dates", "ranks", "CPU of a rank measured", "predicted", "error", "wall clock measured", "predicted", "error"], measured.ranked.filter(({ n }) => n !== small).map((run) => {
  const exchange = exchangeMs({ ranks: run.ranks, bytes: bytes(run.b, run.ranks), network: loopback, cpuMs });
  const { wallMs, cpuMs: own } = stepOf({ ranks: run.ranks, dates: run.b, dateMs: dateMs(run.n), serialMs, exchange, machineCores: measured.cores });
  const cpu = own + (run.ranks === 1 ? 0 : run.ranks * cpuMs);
  return [`${run.n}, ${run.b}`, String(run.ranks), run.cpuMs, cpu, percent(cpu / run.cpuMs - 1), run.wallMs, wallMs, percent(wallMs / run.wallMs - 1)];
}));

const SIZES = [300, 1000, 3000, 5000, 10_000, 50_000];
console.log("\nMany cores in one process, predicted: milliseconds of a step of one date, and the share of the cores' time that is work (five members at once, each with a part; 1,000 dates of a prediction, one on each core).");
table(["stocks", ...[1, 2, 16, 64].map((cores) => cores === 1 ? "1 core" : `${cores} cores`), "one training, 16", "64", "five at once, 16", "64", "prediction, 16", "64"], SIZES.map((n) => {
  const work = workOf(n);
  return [String(n), ...[1, 2, 16, 64].map((cores) => stepOn(cores, work)), ...[16, 64].map((cores) => percent(efficiency(cores, work))), ...[16, 64].map((cores) => percent(efficiency(cores, work, 5))), ...[16, 64].map((cores) => percent(predictionEfficiency(cores, 1000)))];
}));
console.log("\nTasks of a step's phases, and the share of each in the step on one core.");
table(["stocks", ...workOf(1000).map(({ name }) => name)], [300, 1000, 3000, 50_000].map((n) => {
  const work = workOf(n);
  const whole = stepOn(1, work);
  return [String(n), ...work.map(({ ms, tasks }) => `${tasks.length}, ${percent(ms / whole)}`)];
}));

console.log("\nRanks of 8 cores each, eight dates a step, predicted: milliseconds of a step, and efficiency beside one rank.");
const counts = [1, 2, 4, 8];
for (const [name, network] of Object.entries(NETWORKS)) {
  console.log(`\n${name}`);
  table(["stocks", ...counts.map((ranks) => `${ranks} ${ranks === 1 ? "rank" : "ranks"}`)], SIZES.map((n) => {
    const step = (ranks) => stepOf({ ranks, dates: 8, dateMs: dateMs(n, 8), serialMs, exchange: exchangeMs({ ranks, bytes: bytes(8, ranks), network, cpuMs }) }).wallMs;
    return [String(n), ...counts.map((ranks) => `${number(step(ranks))}, ${percent(step(1) / (ranks * step(ranks)))}`)];
  }));
}

const cores = Number(written.cores);
const price = Number(written.price);
console.log(`\nA year of daily retraining on ${cores} cores like these at ${price} an hour and core: 252 times five members from nothing, 756 training and 252 validation dates, four epochs, one date a step, every date scored at the end.`);
table(["stocks", "hours a day", "core hours a year", "cost a year", "memory, GiB"], [3000, 50_000].map((n) => {
  const { hoursADay, coreHours, cost, gibibytes } = costOfYear({ stocks: n, features: measured.f, cores, price, members: 5, stepMs: (own) => stepOn(own, workOf(n)), predictMs: partsAt(fitted, n).predict });
  return [String(n), hoursADay, coreHours, cost, gibibytes];
}));
