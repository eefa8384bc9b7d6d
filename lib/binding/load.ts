import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { AstgnnError } from "../errors.js";
import { pinnedVersion } from "./pinned.js";
import { codeProblem, deviceProblem, openCuda, type CudaProblem } from "./cuda.js";
import { canonicalPath, findLibTorch, hasNvidiaDriver, type LibTorch } from "./libtorch.js";
import { loadFailure, refuseDamaged } from "./load-failure.js";
import { prepareCore } from "./native-errors.js";
import { packageRoot } from "./package-root.js";
import { platformProblem } from "./platform.js";
import { physicalCores } from "./threads.js";
import type { NativeTables } from "./table-types.js";
import type { NativeCore } from "./types.js";

/** The torch-free .node file (native/bootstrap.c). */
interface Bootstrap {
  /** Release of the LibTorch that the core was built against. */
  libtorchVersion: string;
  /** `global`: libraries that are opened later find their symbols without a NEEDED entry. */
  open(paths: string[], global?: boolean): void;
  /** The same on another thread, not global. */
  openAway(paths: string[]): Promise<void>;
  load(core: string): NativeCore;
  /** Why the CUDA runtime, once it is open, finds no GPU. */
  cudaFailure(): string | undefined;
  cudaLacksCode(): string | undefined;
  loadedLibTorch(): string[];
  table: NativeTables;
}

/** Finds the .node of a package: build/Release before prebuilds/<platform>-<arch>, as prebuildify names it. The package has no types. */
interface NodeGypBuild {
  resolve(packageFolder: string): string;
}

/** Where the two halves of the native build lie and which LibTorch they need. */
export interface NativeBuild {
  bootstrap: string;
  core: string;
  libtorchVersion: string;
}

const require = createRequire(import.meta.url);
const nodeGypBuild = require("node-gyp-build") as NodeGypBuild;
const coreName = process.platform === "darwin" ? "libastgnn_core.dylib" : "libastgnn_core.so";
const cudaName = "libastgnn_cuda.so";
const ranksName = "libastgnn_ranks.so";
const platform = `${process.platform}-${process.arch}`;
/** How to get another core, as one of several ways out. */
const rebuild = packageRoot.split(/[\\/]/).includes("node_modules")
  ? `install astgnn again, or run \`node ${join(packageRoot, "scripts", "install.mjs")} --force\`, which builds it from source and says what is missing`
  : "run `npm run build`";

interface Loaded {
  core: NativeCore;
  libtorch: LibTorch;
  cudaProblem(): CudaProblem | undefined;
}

/** What decides the first load in a thread. */
export interface LoadOptions {
  /** Whether there is an NVIDIA driver; default: looked up. */
  nvidiaDriver?: boolean;
}

let loaded: Loaded | undefined;

/**
 * The native core, loaded on first use and kept for this thread. Where LibTorch has CUDA and there is a driver, the CUDA side is opened too;
 * without it everything runs on the CPU, and {@link cudaProblem} tells why.
 *
 * @throws AstgnnError ERR_NATIVE_MISSING, ERR_LIBTORCH_MISSING or ERR_LIBTORCH_VERSION with numbered ways out
 */
export function loadCore(options: LoadOptions = {}): NativeCore {
  loaded ??= load(options);
  return loaded.core;
}

/**
 * The same without holding up the event loop where it is the first load: LibTorch is opened on another thread.
 *
 * @throws AstgnnError as {@link loadCore}
 */
export async function loadCoreAway(): Promise<NativeCore> {
  if (loaded === undefined) {
    const { bootstrap, build } = openBootstrap();
    const libtorch = findLibTorch({ version: build.libtorchVersion, nvidiaDriver: hasNvidiaDriver() });
    refuseSecondCopy(bootstrap.loadedLibTorch(), libtorch);
    // What cannot be opened, loadCore fails on too, and explains.
    await bootstrap.openAway(libtorch.libraries).catch(() => undefined);
  }
  return loadCore();
}

/**
 * Opens the part of the native core that talks to other processes.
 *
 * @throws AstgnnError ERR_NATIVE_MISSING where it is not there, or LibTorch was built without what it needs (c10d with Gloo)
 */
export function openRanks(): void {
  loadCore();
  const { bootstrap, build } = openBootstrap();
  const file = join(dirname(build.core), ranksName);
  if (!existsSync(file)) throw new AstgnnError("ERR_NATIVE_MISSING", `What trains in several processes, ${file}, is not there.`, { file, next: `To get it, ${rebuild}.` });
  refuseDamaged(file, rebuild);
  try {
    bootstrap.open([file]);
  } catch (cause) {
    throw new AstgnnError("ERR_NATIVE_MISSING", `What trains in several processes cannot be opened with the LibTorch at ${loadedLibTorch()?.path}: ${(cause as Error).message}.`, { file, cause, next: "Use a LibTorch with c10d and Gloo, as the wheels of PyTorch are, or train in one process." });
  }
}

let tables: NativeTables | undefined;

/**
 * What reads tables, which needs no LibTorch.
 *
 * @throws AstgnnError ERR_NATIVE_MISSING with numbered ways out
 */
export function loadTables(): NativeTables {
  return (tables ??= openBootstrap().bootstrap.table);
}

/**
 * Why models cannot run on a GPU, or undefined where they can. Loads the core.
 *
 * @throws AstgnnError as {@link loadCore}
 */
export function cudaProblem(): CudaProblem | undefined {
  loaded ??= load({});
  return loaded.cudaProblem();
}

/** The LibTorch behind the core of this thread, once it is loaded. */
export function loadedLibTorch(): LibTorch | undefined {
  return loaded?.libtorch;
}

/**
 * The native build, found but not loaded: a build from source first, then a prebuilt one.
 *
 * @throws AstgnnError ERR_NATIVE_MISSING
 */
export function findNativeBuild(): NativeBuild {
  return openBootstrap().build;
}

function openBootstrap(): { bootstrap: Bootstrap; build: NativeBuild } {
  const unsupported = platformProblem();
  if (unsupported !== undefined) throw unsupported;
  const file = findBootstrap();
  const core = join(dirname(file), coreName);
  if (!existsSync(core)) {
    throw new AstgnnError("ERR_NATIVE_MISSING", `Half of the native core of astgnn is missing: ${file} is there, and ${coreName} is not beside it.`, { file: core, next: `To mend it, ${rebuild}.` });
  }
  refuseDamaged(file, rebuild);
  let bootstrap: Bootstrap;
  try {
    bootstrap = require(file) as Bootstrap;
  } catch (cause) {
    throw loadFailure(cause, { file, version: pinnedVersion, rebuild });
  }
  return { bootstrap, build: { bootstrap: file, core, libtorchVersion: bootstrap.libtorchVersion } };
}

function findBootstrap(): string {
  try {
    return nodeGypBuild.resolve(packageRoot);
  } catch (cause) {
    const places = [join(packageRoot, "build", "Release"), join(packageRoot, "prebuilds", platform)];
    throw new AstgnnError("ERR_NATIVE_MISSING", `The native core of astgnn is not there: neither ${places.join(" nor ")} holds a .node file.`, { cause, next: `To get one, ${rebuild}.` });
  }
}

function load({ nvidiaDriver = hasNvidiaDriver() }: LoadOptions): Loaded {
  const { bootstrap, build } = openBootstrap();
  const libtorch = findLibTorch({ version: build.libtorchVersion, nvidiaDriver });
  refuseSecondCopy(bootstrap.loadedLibTorch(), libtorch);
  refuseDamaged(build.core, rebuild);
  try {
    bootstrap.open(libtorch.libraries);
    const unopened = openCuda((paths) => bootstrap.open(paths, true), libtorch, join(dirname(build.core), cudaName), { isOff: process.env["ASTGNN_CUDA"] === "0", nvidiaDriver, rebuild });
    const core = bootstrap.load(build.core);
    prepareCore(core);
    core.useCores(physicalCores());
    return { core, libtorch, cudaProblem: () => unopened ?? deviceProblem(bootstrap.cudaFailure()) ?? codeProblem(bootstrap.cudaLacksCode()) };
  } catch (cause) {
    throw loadFailure(cause, { file: build.core, version: build.libtorchVersion, libtorch, rebuild });
  }
}

/** Two copies of LibTorch register the same operators twice and end the process without an exception, hence the look beforehand. */
export function refuseSecondCopy(present: readonly string[], libtorch: LibTorch): void {
  const own = new Set(libtorch.libraries.map(canonicalPath));
  const folder = canonicalPath(join(libtorch.path, "lib"));
  const other = present.map(canonicalPath).find((file) => !own.has(file) && !file.startsWith(`${folder}/`));
  if (other === undefined) return;
  throw new AstgnnError("ERR_LIBTORCH_VERSION", `This process already holds another LibTorch, ${other}; loading the one at ${libtorch.path} beside it would end the process.`, {
    file: other,
    next: `Ways out:\n  1. set ASTGNN_LIBTORCH to the LibTorch that is already loaded, if it is version ${libtorch.version}\n  2. use astgnn in a process of its own`,
  });
}
