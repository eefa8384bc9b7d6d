// Trainings that end at any moment: by SIGKILL, by a power cut that loses what was not synced, by a disk that fails. Each is resumed and must end with the files of one
// that was left alone; in between no file may be half there and read as whole.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { astgnn, packageUrl, randomNumbers, root, trainArguments, writeTable } from "./small-training.mjs";

const { readSafetensors } = await import(packageUrl);

/** Trainings that are disturbed. */
const KINDS = [
  { name: "run", extra: [] },
  { name: "ensemble", extra: ["--seeds", "0,1"] },
  { name: "overwrite", extra: ["--seed", "1"], first: ["--overwrite"] },
];
/** What makes a disk fail, and at which of its counted operations. */
const FAULTS = [["power", "operations"], ["kill", "operations"], ["full", "writes"], ["write", "writes"], ["sync", "syncs"], ["short", "writes"]];

/** A folder with the table, the preloaded library and the files of undisturbed trainings. */
async function prepared(kinds) {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-soak-"));
  const library = join(folder, "faulty_disk.so");
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, join(root, "test", "faults", "faulty_disk.c"), "-ldl"]);
  const table = writeTable(folder);
  const disk = join(folder, "disk");
  mkdirSync(disk);
  const world = { folder, disk, table, library, undisturbed: {} };
  for (const kind of kinds) {
    const before = begin(world, kind);
    const counts = join(folder, "counts");
    const started = performance.now();
    const { code, stderr } = await astgnn(trainArguments(table, before, ...kind.extra, ...(kind.first ?? [])), { env: faulty(world, "none", counts) });
    if (code !== 0) throw new Error(`The undisturbed ${kind.name} ended with ${code}: ${stderr}`);
    world.undisturbed[kind.name] = { milliseconds: performance.now() - started, files: filesOf(before), ...JSON.parse(readFileSync(counts, "utf8")) };
    if (kind.name === "run") cpSync(before, join(folder, "old"), { recursive: true });
  }
  return world;
}

function begin({ folder, disk }, kind) {
  rmSync(disk, { recursive: true, force: true });
  mkdirSync(disk);
  const out = join(disk, "run");
  if (kind.name === "overwrite") cpSync(join(folder, "old"), out, { recursive: true });
  return out;
}

function faulty({ disk, library }, fault, counts = "") {
  return { LD_PRELOAD: library, FAULTY_DISK_FOLDER: `${disk}/`, FAULTY_DISK_FAULT: fault, FAULTY_DISK_COUNTS: counts };
}

/** The files of a folder by their paths in it, without what tells the time. */
function filesOf(out) {
  const files = {};
  for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || ["report.html", "run.json"].includes(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    const name = relative(out, path);
    const text = () => readFileSync(path, "utf8");
    if (entry.name === "metrics.jsonl") files[name] = text().replace(/"seconds":[^,}]+/g, "");
    else if (entry.name === "report.json") files[name] = JSON.stringify({ ...JSON.parse(text()), command: undefined, reproduce: undefined, training: undefined });
    else files[name] = readFileSync(path).toString("base64");
  }
  return files;
}

/** What is wrong with the files that a disturbed training left behind: each is whole or not there. */
function torn(out, undisturbed) {
  if (!existsSync(out)) return undefined;
  for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || entry.name.startsWith(".") || entry.name === "metrics.jsonl") continue;
    try {
      if (entry.name.endsWith(".json")) JSON.parse(readFileSync(path, "utf8"));
      else if (entry.name.endsWith(".safetensors")) readSafetensors(readFileSync(path));
      else if (entry.name.endsWith(".parquet") && !/^PAR1[^]*PAR1$/.test(readFileSync(path, "latin1"))) throw new Error("no Parquet");
    } catch (error) {
      return `${relative(out, path)} is half there: ${error.message}`;
    }
  }
  void undisturbed;
  return undefined;
}

/** Disturbs a training once, resumes it and says what is wrong; undefined where nothing is. `saw` counts how it ended. */
async function disturb(world, kind, how, saw) {
  const out = begin(world, kind);
  const args = (...more) => trainArguments(world.table, out, ...kind.extra, ...more);
  const { code, signal, stderr } = await astgnn(args(...(kind.first ?? [])), how);
  const [fault = ""] = (how.env?.FAULTY_DISK_FAULT ?? "").split("@");
  saw[signal ?? `exit ${code}`] = (saw[signal ?? `exit ${code}`] ?? 0) + 1;
  if (signal !== null && signal !== "SIGKILL") return `ended by ${signal}: ${stderr}`;
  if (/should not happen|at .*\.js:\d+/.test(stderr)) return `was not explained: ${stderr.trim().split("\n").at(-1)}`;
  if (fault === "short" && code !== 0) return `short writes ended it with ${code}: ${stderr}`;
  const half = torn(out);
  if (half !== undefined) return half;
  let resumed = await astgnn(args("--resume"));
  // An overwrite that had not begun: the folder still has the run that it was to replace.
  if (kind.name === "overwrite" && resumed.code === 1 && /has training|seed/.test(resumed.stderr)) resumed = await astgnn(args("--overwrite"));
  if (resumed.code !== 0) return `could not be resumed: ${resumed.stderr.trim().split("\n").at(-1)}`;
  const [found, expected] = [filesOf(out), world.undisturbed[kind.name].files];
  const differing = [...new Set([...Object.keys(found), ...Object.keys(expected)])].filter((name) => found[name] !== expected[name]);
  return differing.length === 0 ? undefined : `other files after it was resumed: ${differing.join(", ")}`;
}

/** SIGKILL at so many random moments. */
export async function kills({ count = 50, seed = 1 }) {
  const world = await prepared(KINDS);
  const random = randomNumbers(seed);
  const [saw, failures] = [{}, []];
  for (let i = 0; i < count; i++) {
    const kind = KINDS[i % KINDS.length];
    const killAfterMs = Math.round(random() * 1.05 * world.undisturbed[kind.name].milliseconds);
    const failure = await disturb(world, kind, { killAfterMs }, saw);
    if (failure !== undefined) failures.push(`${kind.name} killed after ${killAfterMs} ms: ${failure}`);
  }
  rmSync(world.folder, { recursive: true });
  return { thrown: `SIGKILL at ${count} random moments of astgnn train (seed ${seed})`, done: count, saw, failures };
}

/** Every fault at every `stride`-th of the operations on the disk that a training makes, `count` at most of each. */
export async function faults({ count = Infinity, stride = 1, kinds = "run" }) {
  const chosen = KINDS.filter(({ name }) => name === "run" || kinds.split(",").includes(name));
  const world = await prepared(chosen);
  const [saw, failures] = [{}, []];
  let done = 0;
  for (const kind of chosen.filter(({ name }) => kinds.split(",").includes(name))) {
    for (const [fault, counted] of FAULTS) {
      const last = fault === "short" ? 1 : world.undisturbed[kind.name][counted];
      for (let at = 1, tried = 0; at <= last && tried < count; at += stride, tried++) {
        done++;
        const failure = await disturb(world, kind, { env: faulty(world, `${fault}@${at}`) }, saw);
        if (failure !== undefined) failures.push(`${kind.name}, ${fault}@${at}: ${failure}`);
        if (process.env.SOAK_VERBOSE) console.error(kind.name, `${fault}@${at}`, failure ?? "as undisturbed");
      }
    }
  }
  rmSync(world.folder, { recursive: true });
  return { thrown: "power cuts, kills, a full disk, EIO and short writes at every operation on the disk of astgnn train", done, saw, failures };
}
