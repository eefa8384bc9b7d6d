import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { AstgnnError } from "../errors.js";
import { canonicalPath, findLibTorch, waysOut, type LibTorch } from "./libtorch.js";
import { prepareCore } from "./native-errors.js";
import { packageRoot } from "./package-root.js";
import type { NativeCore } from "./types.js";

/** The torch-free .node file (native/bootstrap.c). */
interface Bootstrap {
  /** Release of the LibTorch that the core was built against. */
  libtorchVersion: string;
  load(paths: string[], core: string): NativeCore;
  loadedLibTorch(): string[];
}

/** Where the two halves of the native build lie and which LibTorch they need. */
export interface NativeBuild {
  bootstrap: string;
  core: string;
  libtorchVersion: string;
}

const require = createRequire(import.meta.url);
const coreName = process.platform === "darwin" ? "libastgnn_core.dylib" : "libastgnn_core.so";
const platform = `${process.platform}-${process.arch}`;

let loaded: { core: NativeCore; libtorch: LibTorch } | undefined;

/**
 * The native core, loaded on first use and kept for this thread.
 *
 * @throws AstgnnError ERR_NATIVE_MISSING, ERR_LIBTORCH_MISSING or ERR_LIBTORCH_VERSION with numbered ways out
 */
export function loadCore(): NativeCore {
  loaded ??= load();
  return loaded.core;
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
  const folders = [join(packageRoot, "build", "Release"), join(packageRoot, "prebuilds", platform)];
  const folder = folders.find((candidate) => existsSync(join(candidate, "astgnn.node")) && existsSync(join(candidate, coreName)));
  if (folder === undefined) {
    throw new AstgnnError("ERR_NATIVE_MISSING", `The native core of astgnn is not there: neither ${folders.join(" nor ")} holds astgnn.node and ${coreName}.`, {
      next: `Ways out:\n  1. in a clone, run \`npm run build\`\n  2. as a dependency, run \`npm rebuild astgnn --foreground-scripts\`, which builds it and says what is missing`,
    });
  }
  const file = join(folder, "astgnn.node");
  let bootstrap: Bootstrap;
  try {
    bootstrap = require(file) as Bootstrap;
  } catch (cause) {
    throw new AstgnnError("ERR_NATIVE_MISSING", `${file} cannot be loaded: ${(cause as Error).message}.`, {
      file,
      cause,
      next: "It was built for another platform or is damaged: run `npm run build` in a clone, `npm rebuild astgnn --foreground-scripts` elsewhere.",
    });
  }
  return { bootstrap, build: { bootstrap: file, core: join(folder, coreName), libtorchVersion: bootstrap.libtorchVersion } };
}

function load(): { core: NativeCore; libtorch: LibTorch } {
  const { bootstrap, build } = openBootstrap();
  const libtorch = findLibTorch({ version: build.libtorchVersion });
  refuseSecondCopy(bootstrap.loadedLibTorch(), libtorch);
  try {
    const core = bootstrap.load(libtorch.libraries, build.core);
    prepareCore(core);
    return { core, libtorch };
  } catch (cause) {
    throw new AstgnnError("ERR_NATIVE_MISSING", `The native core or its LibTorch ${libtorch.version} at ${libtorch.path} cannot be loaded: ${(cause as Error).message}.`, {
      file: build.core,
      cause,
      next: waysOut(build.libtorchVersion, "run `npm run build` if the sources changed since the last build"),
    });
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
