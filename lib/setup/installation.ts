import { readFileSync } from "node:fs";
import { cudaProblem, findNativeBuild, loadCore } from "../binding/load.js";
import type { Isa } from "../binding/types.js";
import { searchLibTorch, type LibTorch, type LookedAt } from "../binding/libtorch.js";
import { packageVersion } from "../binding/package-root.js";

/** What is installed on this machine. */
export interface Installation {
  /** Version of astgnn. */
  version: string;
  node: string;
  platform: string;
  /** The LibTorch that is used, or null. */
  libtorch: { version: string; path: string; source: LibTorch["source"]; variant: LibTorch["variant"] } | null;
  /** Every place where a LibTorch may be, in the order of the search: the one that is used, and why the others are not. */
  looked: LookedAt[];
  /** The native core: a build from source comes before a prebuilt one. Null where there is none for this platform. */
  core: { path: string; libtorch: string } | null;
  /** The widest instructions of this processor, or what ASTGNN_ISA names; `scalar` also where it cannot be told. */
  cpu: { isa: Isa };
  /** Whether the core has the solver of convex programmes, which every portfolio but risk parity needs; null where the core does not load. */
  solver: boolean | null;
  /** Devices that models can run on; empty where the native core does not load. */
  devices: string[];
  /** What is missing or wrong, each with what to do; empty where all is well. */
  problems: string[];
}

/**
 * Looks at this installation: versions, which LibTorch was found where, devices, and what is missing. Never throws.
 *
 * @example
 * const { problems } = inspectInstallation();
 * if (problems.length > 0) console.error(problems.join("\n"));
 */
export function inspectInstallation(env: NodeJS.ProcessEnv = process.env): Installation {
  const problems: string[] = [];
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      const message = (error as Error).message;
      if (!problems.includes(message)) problems.push(message);
      return undefined;
    }
  };
  const native = attempt(loadCore);
  const core = native === undefined ? undefined : attempt(() => native.info());
  const devices = core?.devices ?? [];
  const build = attempt(findNativeBuild);
  const search = searchLibTorch({ env, everywhere: true, ...(build === undefined ? {} : { version: build.libtorchVersion }) });
  const found = search.found;
  const cuda = core === undefined ? undefined : cudaProblem();
  if (cuda?.isMissed === true) problems.push(cuda.message);
  return {
    version: packageVersion,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    libtorch: found === undefined ? null : { version: found.version, path: found.path, source: found.source, variant: found.variant },
    looked: search.looked,
    core: build === undefined ? null : { path: build.core, libtorch: build.libtorchVersion },
    cpu: { isa: core?.cpu.isa ?? isaOf(readFlags()) },
    solver: native?.hasSolver ?? null,
    devices,
    problems,
  };
}

/** The widest of the instruction sets in the processor's flags. */
export function isaOf(flags: ReadonlySet<string>): Isa {
  const has = (...names: string[]): boolean => names.every((name) => flags.has(name));
  if (has("amx_tile", "amx_bf16")) return "amx";
  if (has("avx512f", "avx512bw", "avx512dq", "avx512vl")) return "avx512";
  return has("avx2", "fma") ? "avx2" : "scalar";
}

function readFlags(): Set<string> {
  try {
    const line = /^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
    return new Set(line.split(/\s+/));
  } catch {
    return new Set();
  }
}
