// What the numbers were measured on, and whether it has room for a measurement. Linux: /proc.
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

export const cores = () => cpus().length;
export const cpuModel = () => cpus()[0]?.model.trim() ?? "unknown";

/** The part of a file name that stands for the processor. */
export function shortCpuName(model) {
  const name = model.replace(/\((R|TM)\)/gi, " ").replace(/@.*$/, "").replace(/\b(CPU|Processor|\d+-Core)\b/gi, " ");
  return name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "unknown";
}

const TICK_MS = 10;

/** Busy time of all cores since boot: everything but idle and waiting for disks; stolen time counts, guests are in user already. */
export function machineCpuMilliseconds() {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync("/proc/stat", "utf8").split("\n")[0].trim().split(/\s+/).slice(1).map(Number);
  return TICK_MS * (user + nice + system + irq + softirq + (steal ?? 0));
}

/** Share of all cores that others use right now. */
async function busyShare(seconds = 1.5) {
  const [start, busy, own] = [performance.now(), machineCpuMilliseconds(), process.cpuUsage()];
  await sleep(1e3 * seconds);
  const { user, system } = process.cpuUsage(own);
  return Math.max(0, machineCpuMilliseconds() - busy - (user + system) / 1e3) / (cores() * (performance.now() - start));
}

export const BUSY_LIMIT = 0.1;

/** The machine did not come to rest; the driver prints the message alone. */
export class BusyError extends Error {}

/** A reason not to measure now, or undefined. */
export async function busyReason(seconds) {
  const before = processTimes();
  const share = await busyShare(seconds);
  if (share <= BUSY_LIMIT) return undefined;
  const after = processTimes();
  const names = [...after].map(([id, { name, ms }]) => ({ name, ms: ms - (before.get(id)?.ms ?? 0) })).filter(({ ms }) => ms > 50).sort((a, b) => b.ms - a.ms);
  const who = names.length === 0 ? "" : ` (${[...new Set(names.map(({ name }) => name))].slice(0, 3).join(", ")})`;
  return `others use ${(100 * share).toFixed(0)} % of ${cores()} cores${who}, more than ${100 * BUSY_LIMIT} %`;
}

/** Gives what disturbs a minute to pass: a run of many minutes is not lost to a short job between two of its rows. */
export async function waitUntilQuiet({ force, say }) {
  for (let attempt = 0; ; attempt++) {
    const reason = await busyReason(1);
    if (reason === undefined || force) return;
    if (attempt === 12) throw new BusyError(`${reason}, for a minute now. Run it on a quiet machine, or add --force (the result will say so)`);
    if (attempt === 0) say(`waiting: ${reason}`);
    await sleep(4000);
  }
}

function processTimes() {
  const times = new Map();
  for (const id of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const [, name, rest] = /^\d+ \((.*)\) (.*)$/s.exec(readFileSync(`/proc/${id}/stat`, "utf8"));
      const fields = rest.split(" ");
      times.set(id, { name, ms: TICK_MS * (Number(fields[11]) + Number(fields[12])) });
    } catch {
      // It ended while the list was read.
    }
  }
  return times;
}

export const memoryAvailableMiB = () => Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))[1]) / 1024;

export function describeMachine(root) {
  return {
    date: new Date().toISOString(),
    cpu: cpuModel(),
    cores: cores(),
    usableCores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    node: process.versions.node,
    commit: commit(root),
  };
}

/** The commit, marked where tracked files differ from it; ASTGNN_COMMIT says it where there is a copy without Git. */
function commit(root) {
  if (process.env.ASTGNN_COMMIT) return process.env.ASTGNN_COMMIT;
  try {
    const git = (...args) => execFileSync("git", ["-C", root, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return git("rev-parse", "--short=12", "HEAD") + (git("status", "--porcelain", "--untracked-files=no") === "" ? "" : " with changes");
  } catch {
    return "unknown";
  }
}
