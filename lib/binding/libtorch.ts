import { existsSync, readFileSync, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { AstgnnError } from "../errors.js";
import { acceptedVersions, cachedPath, pinnedVersion, type Variant } from "../setup/sources.js";
import { neededLibraries } from "./elf.js";
import { pythonTorchFolders } from "./python-torch.js";

/** Who named the folder. */
export type LibTorchSource = "ASTGNN_LIBTORCH" | "LIBTORCH" | "cache" | "python";

/** A LibTorch that is complete for the CPU. */
export interface LibTorch {
  /** Absolute folder with lib/ (and include/). */
  path: string;
  /** Release without its build suffix, e.g. `2.15.0`. */
  version: string;
  /** `cuda` where libtorch_cuda is there. */
  variant: Variant;
  source: LibTorchSource;
  /** Absolute files in the order they must be opened; the last is libtorch_cpu. */
  libraries: string[];
}

/** A place that was looked at. `problem` says why it was refused; without one it is the LibTorch that is used. */
export interface LookedAt {
  source: LibTorchSource;
  path: string;
  problem?: string;
}

/** What `findLibTorch` looks for and where. */
export interface FindOptions {
  /** Environment to read; default process.env. */
  env?: NodeJS.ProcessEnv;
  /** Exact release to find; default the pinned one. */
  version?: string;
  /** Look for headers too, and accept the range of versions a build from source accepts where the environment names the folder. */
  build?: boolean;
  /** Only this variant from the cache; default cuda before cpu where a driver is found, else cpu before cuda. */
  variant?: Variant;
  /** Whether there is an NVIDIA driver; default: looked up. */
  nvidiaDriver?: boolean;
}

/** The outcome of a search: what was found, if anything, and every place looked at on the way. */
export interface LibTorchSearch {
  found?: LibTorch;
  looked: LookedAt[];
}

/** Ending of shared libraries on this platform. */
export const librarySuffix = process.platform === "darwin" ? ".dylib" : ".so";

/**
 * Looks for LibTorch: ASTGNN_LIBTORCH, LIBTORCH, the user cache, a Python torch of the same version. Nothing is loaded or imported.
 *
 * @throws AstgnnError ERR_LIBTORCH_VERSION or ERR_LIBTORCH_MISSING where the environment names a folder that cannot be used
 */
export function searchLibTorch(options: FindOptions = {}): LibTorchSearch {
  const env = options.env ?? process.env;
  const version = options.version ?? pinnedVersion;
  const looked: LookedAt[] = [];
  for (const source of ["ASTGNN_LIBTORCH", "LIBTORCH"] as const) {
    const named = env[source];
    if (named === undefined || named === "") continue;
    const path = resolve(named);
    const result = inspectLibTorch(path, options.build === true);
    const problem = "problem" in result ? result.problem : versionProblem(result.version, version, options.build === true);
    looked.push({ source, path, ...(problem === undefined ? {} : { problem }) });
    if (problem === undefined) return { found: { ...(result as Inspected), source }, looked };
    const [code, text] = "problem" in result ? (["ERR_LIBTORCH_MISSING", "which cannot be used:"] as const) : (["ERR_LIBTORCH_VERSION", "but"] as const);
    throw new AstgnnError(code, `${source} names ${path}, ${text} ${problem}.`, { file: path, next: waysOut(version, `unset ${source}`) });
  }
  const variants: Variant[] = options.variant !== undefined ? [options.variant] : (options.nvidiaDriver ?? hasNvidiaDriver()) ? ["cuda", "cpu"] : ["cpu", "cuda"];
  const places: { source: LibTorchSource; path: string }[] = [
    ...variants.map((variant) => ({ source: "cache" as const, path: cachedPath(version, variant, env) })),
    ...pythonTorchFolders(env).map((path) => ({ source: "python" as const, path })),
  ];
  for (const { source, path } of places) {
    const result = inspectLibTorch(path, options.build === true);
    const problem = "problem" in result ? result.problem : versionProblem(result.version, version, false);
    looked.push({ source, path, ...(problem === undefined ? {} : { problem }) });
    if (problem === undefined) return { found: { ...(result as Inspected), source }, looked };
  }
  return { looked };
}

/**
 * The LibTorch to use.
 *
 * @throws AstgnnError ERR_LIBTORCH_MISSING with every place looked at and numbered ways out; see also {@link searchLibTorch}
 */
export function findLibTorch(options: FindOptions = {}): LibTorch & { looked: LookedAt[] } {
  const { found, looked } = searchLibTorch(options);
  if (found !== undefined) return { ...found, looked };
  const version = options.version ?? pinnedVersion;
  const places = looked.map((place) => `\n  - ${place.path} (${place.source}): ${place.problem ?? "used"}`).join("");
  throw new AstgnnError("ERR_LIBTORCH_MISSING", `No LibTorch ${version} was found. Looked at:${places}\n`, { next: waysOut(version) });
}

interface Inspected {
  path: string;
  version: string;
  variant: Variant;
  libraries: string[];
}

/** Reads what a folder holds: its version and the libraries in load order, or why it is no complete LibTorch. */
export function inspectLibTorch(path: string, build = false): Inspected | { problem: string } {
  const library = join(path, "lib", `libtorch_cpu${librarySuffix}`);
  if (!isFile(library)) return { problem: existsSync(path) ? `no lib/libtorch_cpu${librarySuffix} in it` : "no such folder" };
  const version = versionOf(path);
  if ("problem" in version) return version;
  if (build && !isFile(join(path, "include", "torch", "csrc", "api", "include", "torch", "nn", "module.h"))) {
    return { problem: "it has no headers (include/), so nothing can be built against it" };
  }
  const order = loadOrder(path, `libtorch_cpu${librarySuffix}`);
  if (order.damaged[0] !== undefined) return { problem: `${order.damaged[0]} is cut short` };
  if (order.missing.length > 0) return { problem: `libtorch_cpu needs ${order.missing.join(", ")}, which is not there` };
  const variant = isFile(join(path, "lib", `libtorch_cuda${librarySuffix}`)) ? "cuda" : "cpu";
  return { path, version: version.version, variant, libraries: order.libraries };
}

/** What one library needs: files to open in this order, names that are nowhere, files that end too early. */
export interface LoadOrder {
  libraries: string[];
  missing: string[];
  damaged: string[];
}

/**
 * The files to open for one library of a LibTorch folder, dependencies first, and what it needs but is not there.
 * A pip torch keeps NVIDIA's libraries in ../nvidia/<package>/lib; what the system provides is left to its loader.
 */
export function loadOrder(path: string, library: string): LoadOrder {
  const folders = [join(path, "lib"), ...nvidiaFolders(dirname(path))];
  const libraries: string[] = [];
  const missing: string[] = [];
  const damaged: string[] = [];
  const seen = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const file = folders.map((folder) => join(folder, name)).find(isFile);
    if (file === undefined) {
      if (/^lib(torch|c10|cu|nv|nccl)/.test(name) && !/^libcuda\.so/.test(name)) missing.push(name);
      return;
    }
    const needed = neededLibraries(file);
    if (needed === "truncated") damaged.push(file);
    else needed?.forEach(visit);
    libraries.push(file);
  };
  visit(library);
  return { libraries, missing, damaged };
}

/** Whether this machine has an NVIDIA driver. */
export function hasNvidiaDriver(): boolean {
  return existsSync("/proc/driver/nvidia/version") || existsSync("/dev/nvidiactl") || existsSync("/dev/dxg");
}

/** Compares two releases number by number. */
export function compareVersions(a: string, b: string): number {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
}

/** Numbered ways out of a missing or wrong LibTorch. */
export function waysOut(version: string, first?: string): string {
  const steps = [
    ...(first === undefined ? [] : [first]),
    `run \`npx astgnn setup\`, which fetches LibTorch ${version}`,
    "run `npx astgnn setup --from <wheel|archive|folder>` where the machine has no network",
    `set ASTGNN_LIBTORCH to the folder of a LibTorch ${version} (the one with lib/ and include/)`,
  ];
  return `Ways out:${steps.map((step, i) => `\n  ${i + 1}. ${step}`).join("")}`;
}

function versionProblem(found: string, wanted: string, build: boolean): string | undefined {
  if (found === wanted) return undefined;
  if (!build) return `it is version ${found} and this build of astgnn needs ${wanted}`;
  if (compareVersions(found, acceptedVersions.from) >= 0 && compareVersions(found, acceptedVersions.to) <= 0) return undefined;
  return `it is version ${found} and astgnn builds with ${acceptedVersions.from} to ${acceptedVersions.to}`;
}

/** The release, from the headers a core is compiled with and from the file that the build left; the two must agree. */
function versionOf(path: string): { version: string } | { problem: string } {
  const stated = release(readText(join(path, "build-version"))) ?? release(/__version__ = '([^']+)'/.exec(readText(join(path, "version.py")) ?? "")?.[1]);
  const header =
    readText(join(path, "include", "torch", "headeronly", "version.h")) ??
    readText(join(path, "include", "torch", "csrc", "api", "include", "torch", "version.h"));
  const numbers = ["MAJOR", "MINOR", "PATCH"].map((part) => new RegExp(`define TORCH_VERSION_${part} +(\\d+)`).exec(header ?? "")?.[1]);
  const compiled = numbers.every((number) => number !== undefined) ? numbers.join(".") : undefined;
  if (stated !== undefined && compiled !== undefined && stated !== compiled) {
    return { problem: `its libraries say version ${stated} and its headers ${compiled}: it is a mixture of two` };
  }
  const version = stated ?? compiled;
  return version === undefined ? { problem: "nothing in it states its version (build-version, version.py or include/torch/headeronly/version.h)" } : { version };
}

function release(text: string | undefined): string | undefined {
  return /^\s*(\d+\.\d+\.\d+)/.exec(text ?? "")?.[1];
}

/** Library folders of the NVIDIA packages in a site-packages folder. */
export function nvidiaFolders(sitePackages: string): string[] {
  const nvidia = join(sitePackages, "nvidia");
  try {
    return readdirSync(nvidia).map((name) => join(nvidia, name, "lib"));
  } catch {
    return [];
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function isFile(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() === true;
}

/** The same file under one name, so that two paths to it compare equal. */
export function canonicalPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return resolve(file);
  }
}
