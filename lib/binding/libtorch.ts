import { existsSync, readFileSync, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { AstgnnError } from "../errors.js";
import { acceptedVersions, cachedPath, pinnedVersion, type Variant } from "./pinned.js";
import { readLibrary } from "./elf.js";
import { pythonTorchFolders } from "./python-torch.js";

/** Where the folder was named or found. */
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

/** A place that was searched. `problem`: why it was refused. */
export interface LookedAt {
  source: LibTorchSource;
  path: string;
  problem?: string;
  /** True for the one in use. A complete one later in the order has neither this nor a problem. */
  isUsed?: true;
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
  /** For a report: look at every place, also after the one that is used, and throw nothing. */
  everywhere?: boolean;
}

/** The outcome of a search: what was found, if anything, and every place that was searched. */
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
  const { build = false, everywhere = false } = options;
  const version = options.version ?? pinnedVersion;
  const looked: LookedAt[] = [];
  let found: LibTorch | undefined;
  // A folder that the user named and that cannot be used ends the search: another one in its place would be a surprise.
  let isRefused = false;
  for (const { source, path } of places(options, version)) {
    if (!everywhere && found !== undefined) break;
    const isNamed = source === "ASTGNN_LIBTORCH" || source === "LIBTORCH";
    const result = inspectLibTorch(path, build);
    const problem = "problem" in result ? result.problem : versionProblem(result.version, version, build && isNamed);
    const isUsed = problem === undefined && found === undefined && !isRefused;
    looked.push({ source, path, ...(problem === undefined ? {} : { problem }), ...(isUsed ? { isUsed } : {}) });
    if (isUsed) found = { ...(result as Inspected), source };
    if (problem === undefined || !isNamed || found !== undefined) continue;
    isRefused = true;
    if (everywhere) continue;
    const [code, text] = "problem" in result ? (["ERR_LIBTORCH_MISSING", "which cannot be used:"] as const) : (["ERR_LIBTORCH_VERSION", "but"] as const);
    throw new AstgnnError(code, `${source} names ${path}, ${text} ${problem}.`, { file: path, next: waysOut(version, `unset ${source}`) });
  }
  return { ...(found === undefined ? {} : { found }), looked };
}

/** Every place to look at, in order: what the environment names, the user cache, Python's packages. */
function places({ env = process.env, variant, nvidiaDriver }: FindOptions, version: string): Pick<LookedAt, "source" | "path">[] {
  const variants: Variant[] = variant !== undefined ? [variant] : (nvidiaDriver ?? hasNvidiaDriver()) ? ["cuda", "cpu"] : ["cpu", "cuda"];
  return [
    ...(["ASTGNN_LIBTORCH", "LIBTORCH"] as const).filter((source) => (env[source] ?? "") !== "").map((source) => ({ source, path: resolve(env[source]!) })),
    ...variants.map((each) => ({ source: "cache" as const, path: cachedPath(version, each, env) })),
    ...pythonTorchFolders(env).map((path) => ({ source: "python" as const, path })),
  ];
}

/**
 * The LibTorch to use.
 *
 * @throws AstgnnError ERR_LIBTORCH_MISSING with every place looked at and the command to run; see also {@link searchLibTorch}
 */
export function findLibTorch(options: FindOptions = {}): LibTorch & { looked: LookedAt[] } {
  const { found, looked } = searchLibTorch(options);
  if (found !== undefined) return { ...found, looked };
  const version = options.version ?? pinnedVersion;
  const refused = looked.map(({ source, path, problem }) => `${path} (${sourceNames[source]}): ${problem}`).join("; ");
  const next =
    version === pinnedVersion
      ? "Run `npx astgnn setup` once, which fetches it."
      : `The native core was built against ${version}, and \`npx astgnn setup\` fetches ${pinnedVersion}. ${waysOut(version)}`;
  throw new AstgnnError("ERR_LIBTORCH_MISSING", `No LibTorch ${version} was found, which astgnn computes with (looked at ${refused}).`, { next });
}

/** Where a LibTorch comes from, in words. */
export const sourceNames: Record<LibTorchSource, string> = { ASTGNN_LIBTORCH: "ASTGNN_LIBTORCH", LIBTORCH: "LIBTORCH", cache: "the user cache", python: "Python's torch" };

interface Inspected {
  path: string;
  version: string;
  variant: Variant;
  libraries: string[];
}

/** Reads what a folder holds: its version and the libraries in load order, or why it is no complete LibTorch. */
export function inspectLibTorch(path: string, build = false): Inspected | { problem: string } {
  const library = join(path, "lib", `libtorch_cpu${librarySuffix}`);
  if (!isFile(library)) return { problem: folderProblem(path) ?? `no lib/libtorch_cpu${librarySuffix} in it` };
  const version = versionOf(path);
  if ("problem" in version) return version;
  if (build && !isFile(join(path, "include", "torch", "csrc", "api", "include", "torch", "nn", "module.h"))) {
    return { problem: "it has no headers (include/), so nothing can be built against it" };
  }
  const order = loadOrder(path, `libtorch_cpu${librarySuffix}`);
  if (order.damaged[0] !== undefined) return { problem: order.damaged[0] };
  if (order.missing.length > 0) return { problem: `libtorch_cpu needs ${order.missing.join(", ")}, which is not there` };
  const variant = isFile(join(path, "lib", `libtorch_cuda${librarySuffix}`)) ? "cuda" : "cpu";
  return { path, version: version.version, variant, libraries: order.libraries };
}

/** What libraries need: files to open in this order, names that were not found, and the problems of files that cannot be opened. */
export interface LoadOrder {
  libraries: string[];
  missing: string[];
  damaged: string[];
}

/** The libraries of each variant that are opened by name, by this package or (the last) by ATen itself; the others are what these need. */
export const entryLibraries: Record<Variant, string[]> = {
  cpu: [`libtorch_cpu${librarySuffix}`],
  cuda: ["torch_cpu", "torch_cuda", "torch_cuda_linalg"].map((name) => `lib${name}${librarySuffix}`),
};

/**
 * The files to open for some libraries of a LibTorch folder, dependencies first, and what they need but is not there.
 * A pip torch keeps NVIDIA's libraries in ../nvidia/<package>/lib; what the system provides is left to its loader.
 */
export function loadOrder(path: string, ...names: string[]): LoadOrder {
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
      // libgomp with a hash in its name is LibTorch's own; the plain one may be the system's.
      if (/^lib(torch|c10|cu|nv|nccl|gomp-)/.test(name) && !/^libcuda\.so/.test(name)) missing.push(name);
      return;
    }
    const content = readLibrary(file);
    if (typeof content === "string") damaged.push(`${relative(path, file)} ${content}`);
    else content?.needed.forEach(visit);
    libraries.push(file);
  };
  names.forEach(visit);
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
  const naming = `set ASTGNN_LIBTORCH to the folder of a LibTorch ${version} (the one with lib/ and include/)`;
  const steps = [
    ...(first === undefined ? [] : [first]),
    // Nothing but the pinned version is fetched; a core that was built against another one can be built again.
    ...(version === pinnedVersion
      ? [`run \`npx astgnn setup\`, which fetches LibTorch ${version}`, "run `npx astgnn setup --from <wheel|archive|folder>` where the machine has no network", naming]
      : [naming, `build astgnn against LibTorch ${pinnedVersion}: \`npm run build\` in a clone, else install it again`]),
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
  try {
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function folderProblem(path: string): string | undefined {
  try {
    readdirSync(path);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? "no such folder" : `it cannot be read (${code})`;
  }
}

/** The same file under one name, so that two paths to it compare equal. */
export function canonicalPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return resolve(file);
  }
}
