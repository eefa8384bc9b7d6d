import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { quotaOfCores } from "../../lib/binding/cgroup.js";
import { physicalCores } from "../../lib/binding/threads.js";
import { scratch } from "./libtorch-fixture.js";

const root = scratch();
let count = 0;

function machine(files: Record<string, string>): string {
  const folder = join(root, String(++count));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), `${text}\n`);
  }
  return folder;
}

const cases: [string, Record<string, string>, number][] = [
  ["no control groups", {}, Infinity],
  ["v2 without a quota", { "proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000" }, Infinity],
  ["v2 in a container", { "proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000" }, 2.5],
  ["v2 of a service, with a smaller quota above it", { "proc/self/cgroup": "0::/system.slice/a.service", "sys/fs/cgroup/system.slice/a.service/cpu.max": "800000 100000", "sys/fs/cgroup/system.slice/cpu.max": "300000 100000" }, 3],
  ["v2 whose path only the host has", { "proc/self/cgroup": "0::/docker/0f", "sys/fs/cgroup/cpu.max": "50000 100000" }, 0.5],
  ["v1", { "proc/self/cgroup": "4:memory:/docker/0f\n3:cpu,cpuacct:/docker/0f\n0::/", "sys/fs/cgroup/cpu,cpuacct/docker/0f/cpu.cfs_quota_us": "400000", "sys/fs/cgroup/cpu,cpuacct/docker/0f/cpu.cfs_period_us": "100000" }, 4],
  ["v1 in a container", { "proc/self/cgroup": "3:cpu,cpuacct:/docker/0f", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000" }, 1.5],
  ["v1 without a quota", { "proc/self/cgroup": "3:cpu,cpuacct:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000" }, Infinity],
];

it.each(cases)("the quota under %s", (_what, files, cores) => expect(quotaOfCores(machine(files))).toBe(cores));

it("a quota of a core and a half gives one thread", () => {
  const cores = Array.from({ length: 8 }, (_, core) => `processor : ${core}\nphysical id : 0\ncore id : ${core}`).join("\n\n");
  expect(physicalCores(machine({ "proc/cpuinfo": cores, "proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000" }))).toBe(1);
});
