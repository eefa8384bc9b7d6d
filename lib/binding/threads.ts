import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { invalidOption } from "../errors.js";
import { quotaOfCores } from "./cgroup.js";

/** Whether matrix products have the same bits for any number of threads (native/ops/cpu/product_order.h). */
export function hasOneProductOrder(): boolean {
  return cpus()[0]?.model.includes("Intel") === true && process.env["MKL_CBWR"] === undefined;
}

/**
 * Compute threads of a job: the option, else ASTGNN_THREADS, else the physical cores this process may use, within the quota of its control group.
 * The same count gives the same bits; another one changes the order of sums.
 *
 * @throws AstgnnError ERR_OPTION for anything but a whole number from 1
 */
export function resolveThreads(written?: number): number {
  if (written !== undefined) {
    if (!Number.isInteger(written) || written < 1 || written > 4096) throw invalidOption("threads", "a whole number from 1 to 4096", written);
    return written;
  }
  const variable = process.env["ASTGNN_THREADS"];
  if (variable === undefined || variable === "") return physicalCores();
  const value = Number(variable);
  if (!Number.isInteger(value) || value < 1 || value > 4096) throw invalidOption("ASTGNN_THREADS", "a whole number from 1 to 4096", variable);
  return value;
}

/** Cores without their hyper-threads, at most what this process may run on and whole cores of its quota (a container's limit), at least 1. `root`: where /proc and /sys lie. */
export function physicalCores(root = "/"): number {
  // Node 20 does not know quotas.
  const allowed = Math.max(1, Math.min(availableParallelism(), Math.floor(quotaOfCores(root))));
  let cpuinfo: string;
  try {
    cpuinfo = readFileSync(join(root, "proc/cpuinfo"), "utf8");
  } catch {
    return allowed;
  }
  const cores = new Set<string>();
  for (const block of cpuinfo.split("\n\n")) {
    const socket = /^physical id\s*:\s*(\d+)/m.exec(block)?.[1];
    const core = /^core id\s*:\s*(\d+)/m.exec(block)?.[1];
    if (socket !== undefined && core !== undefined) cores.add(`${socket}/${core}`);
  }
  return cores.size === 0 ? allowed : Math.max(1, Math.min(cores.size, allowed));
}
