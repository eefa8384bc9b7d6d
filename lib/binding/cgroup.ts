import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * Cores that the control groups of this process allow it on average, as a fraction; Infinity where no quota is set. A container with
 * `--cpus 2` sees every core of its host and is stopped in each period once it has used up two cores' time.
 * The smallest quota of the group and those above it counts: `cpu.max` of cgroup v2, `cpu.cfs_quota_us` of v1.
 *
 * @param root where /proc and /sys lie
 */
export function quotaOfCores(root = "/"): number {
  let cores = Infinity;
  for (const line of read(join(root, "proc/self/cgroup"))?.split("\n") ?? []) {
    // hierarchy:controllers:path; v2 is hierarchy 0 without controllers.
    const [, hierarchy, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    if (hierarchy === undefined || controllers === undefined || path === undefined) continue;
    if (hierarchy === "0" && controllers === "") {
      cores = Math.min(cores, ...upwards(path).map((folder) => quota(read(join(root, "sys/fs/cgroup", folder, "cpu.max"))?.split(" "))));
    } else if (controllers.split(",").includes("cpu")) {
      for (const mount of [controllers, "cpu"]) {
        const file = (folder: string, name: string): string | undefined => read(join(root, "sys/fs/cgroup", mount, folder, name));
        cores = Math.min(cores, ...upwards(path).map((folder) => quota([file(folder, "cpu.cfs_quota_us"), file(folder, "cpu.cfs_period_us")])));
      }
    }
  }
  return cores;
}

/** "/a/b" -> "/a/b", "/a", "/". A container may see only its own group, as the root: the path as its host sees it is then not there. */
function upwards(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [path, ...upwards(parent)];
}

/** Microseconds of quota and period; "max" and -1 are no quota. */
function quota([allowed, period]: readonly (string | undefined)[] = []): number {
  const cores = Number(allowed) / Number(period);
  return cores > 0 ? cores : Infinity;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
}
