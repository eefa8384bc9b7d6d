// `npm run bench`: our step beside PyTorch's on this machine. Flags: `npm run bench -- --help`. Needs `npm run build` and gigabytes for
// PyTorch, hence no part of CI.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseBenchArguments, USAGE, UsageError } from "./bench/arguments.mjs";
import { BenchContext, describeSides } from "./bench/bench-context.mjs";
import { buildOf, CompareError, compareBuilds, renderComparison } from "./bench/compare.mjs";
import { machinePeaks } from "./bench/machine-peaks.mjs";
import { BusyError, busyReason, describeMachine, shortCpuName } from "./bench/machine.mjs";
import { renderMarkdown } from "./bench/markdown.mjs";
import { measureConfiguration } from "./bench/measure-configuration.mjs";
import { findPeerPython, PeerError, referenceFolder } from "./bench/peer-python.mjs";
import { measureBoundary, measureCoMovement, measureDataset, measureEpoch, measureGrowth, measureLoad } from "./bench/sections.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const say = (line) => process.stderr.write(`bench: ${line}\n`);

class Refused extends Error {}

async function main() {
  const settings = parseBenchArguments(process.argv.slice(2));
  if (settings.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  if (process.platform !== "linux") throw new Refused("memory and load are read from /proc, which only Linux has");
  // A GPU's steps hardly feel what others do to the processor; how much it was stands in every row.
  const busy = settings.device === "cpu" ? await busyReason() : undefined;
  if (busy !== undefined) {
    if (!settings.force) throw new Refused(`${busy}. Run it on a quiet machine, or add --force (the result will say so)`);
    say(`forced although ${busy}`);
  }
  if (settings.compare !== undefined) return compare(settings);
  const python = findPeerPython(await builtAgainst(), { force: settings.force, say });
  const context = new BenchContext({ root, python, reference: referenceFolder(root), settings, say });
  if (settings.device === "cpu") context.peaks = machinePeaks(root, settings.threads, say);
  const { model, builtAgainst: libtorch, ...sides } = await describeSides(context);
  const environment = { ...describeMachine(root), threads: settings.threads, libtorch, ...sides, forced: settings.force, ...(busy === undefined ? {} : { busyReason: busy }) };
  say(`${environment.gpu ?? environment.cpu}, ${environment.cores} cores; LibTorch ${libtorch} (${sides.precision}, ${sides.isa}) beside PyTorch ${sides.torch}`);

  const results = { environment, rows: [] };
  if (settings.checks !== undefined) results.checks = JSON.parse(readFileSync(settings.checks, "utf8"));
  if (settings.sections.configs) Object.assign(results, await measureAll(context, { ...sides, model }));
  if (settings.sections.growth) results.growth = await measureGrowth(context, { ...sides, model });
  if (settings.sections.load) results.load = await optional("load", "us_dev.parquet", settings, () => measureLoad(context));
  if (settings.sections.dataset) results.dataset = await optional("dataset", "us_dev.parquet", settings, () => measureDataset(context));
  if (settings.sections.epoch) results.epoch = await optional("epoch", "nasdaq.parquet", settings, () => measureEpoch(context));
  if (settings.sections.boundary) results.boundary = await measureBoundary(context);
  if (settings.sections.coMovement) results.coMovement = await measureCoMovement(context);
  write(results, settings);
}

async function compare(settings) {
  const other = buildOf(root, settings.compare, say);
  await builtAgainst();
  const results = await compareBuilds({ root, settings, other, say });
  writeResults({ "": results }, renderComparison(results), settings, `${nameOf(results.environment)}-beside-${other.commit.slice(0, 7)}`);
}

/** LibTorch release of the core, from the bootstrap alone: the driver holds no LibTorch, so that nothing of it runs beside the measured processes. */
async function builtAgainst() {
  const { findNativeBuild } = await import("../dist/binding/load.js").catch(() => {
    throw new Refused("dist/ is missing: run npm run build first");
  });
  return findNativeBuild().libtorchVersion;
}

async function measureAll(context, sides) {
  const rows = [];
  const leftOut = [];
  for (const config of context.settings.configs) {
    for (const mode of context.settings.modes) {
      if (context.settings.seconds > 0 && performance.now() > 1e3 * context.settings.seconds) {
        leftOut.push({ config, mode });
        continue;
      }
      const row = await measureConfiguration(context, sides, config, mode);
      rows.push(row);
      const others = row.torchSkipped ?? peerTimes(row);
      context.say(`${Object.values(config).join(",")} ${mode}: ours ${row.oursMs} ms, ${others}, ${row.oursPeakMiB ?? "-"} MiB to ${row.torchPeakMiB ?? "-"}, ${row.rounds} rounds`);
      if (row.disturbance.idleProcesses > 0.02) context.say(`  processes whose turn it was not used ${(100 * row.disturbance.idleProcesses).toFixed(0)} % of the machine`);
      if (row.disturbance.others > 0.05) context.say(`  others used ${(100 * row.disturbance.others).toFixed(0)} % of the machine meanwhile`);
    }
  }
  return { rows, ...(leftOut.length === 0 ? {} : { leftOut }) };
}

function peerTimes({ torchMs, ratio, torchMallocMs, ratioMalloc, torchTf32Ms, ratioTf32, torchCompileMs, ratioCompile }) {
  const peers = [["eager", torchMs, ratio], ["with memory settings", torchMallocMs, ratioMalloc], ["with TF32", torchTf32Ms ?? null, ratioTf32], ["torch.compile", torchCompileMs ?? null, ratioCompile]];
  return peers.filter(([, ms]) => ms !== null).map(([name, ms, times]) => `${name} ${ms} ms (${times}x)`).join(", ");
}

/** Sections on real data: left out, with a printed reason, where the data are not there. */
async function optional(section, name, settings, work) {
  const file = resolve(root, settings.data, name);
  if (existsSync(file)) return work();
  say(`${section} left out: there is no ${file} (--data names the folder)`);
  return undefined;
}

const nameOf = ({ date, gpu, cpu }) => `${date.slice(0, 10)}-${shortCpuName(gpu ?? cpu)}`;

function write({ rows, ...sections }, settings) {
  if (settings.json !== undefined) writeFileSync(settings.json, json(rows));
  writeResults({ "": rows, ".sections": sections }, renderMarkdown({ rows, ...sections }), settings, nameOf(sections.environment));
}

const json = (value) => `${JSON.stringify(value, null, 1)}\n`;

/** @param files values by what stands before ".json" in the name of their file */
function writeResults(files, page, settings, wanted) {
  const folder = resolve(root, settings.out);
  mkdirSync(folder, { recursive: true });
  const name = freeName(folder, wanted);
  for (const [ending, value] of Object.entries(files)) writeFileSync(join(folder, `${name}${ending}.json`), json(value));
  writeFileSync(join(folder, `${name}.md`), page);
  process.stdout.write(page);
  say(`written to ${join(folder, name)}.md and ${Object.keys(files).map((ending) => `${ending}.json`).join(", ")}`);
}

/** Two runs of one day are two results. */
function freeName(folder, name) {
  for (let count = 1; ; count++) {
    const candidate = count === 1 ? name : `${name}-${count}`;
    if (!existsSync(join(folder, `${candidate}.json`))) return candidate;
  }
}

try {
  await main();
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`bench: ${error.message}\nRun npm run bench -- --help for the flags.\n`);
    process.exitCode = 2;
  } else {
    const expected = error instanceof Refused || error instanceof PeerError || error instanceof CompareError || error instanceof BusyError;
    process.stderr.write(`bench: ${expected ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}
