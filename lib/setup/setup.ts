import { mkdir, readFile, readdir, rename, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { inspectLibTorch, librarySuffix, loadOrder, searchLibTorch, waysOut, type LibTorch } from "../binding/libtorch.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { downloadFile } from "./archive.js";
import { aborted } from "./checksum.js";
import { nvidiaContents, torchContents } from "./contents.js";
import { copyLibTorch, copyLooseLibraries, readLocalSource } from "./local.js";
import { isAlive, withLock } from "./lock.js";
import { fetchWheels, findPip, type FetchedFile } from "./pip.js";
import { megabytes, type OnProgress } from "./progress.js";
import { cacheFolder, cachedPath, pinnedVersion, platformSources, type Variant } from "./sources.js";
import { unpackZip, unpackedBytes, type Select } from "./unpack.js";

/** Options of {@link setup}. */
export interface SetupOptions {
  /** `cpu` (default) or `cuda`, which also fetches NVIDIA's libraries (about 3 GB). */
  variant?: Variant;
  /** Install from this wheel, archive or folder instead of the network. */
  from?: string;
  /** SHA-256 that the archive (or the file named by `from`) must have, hexadecimal. */
  sha256?: string;
  /** Replace what is in the cache, and fetch even where the environment or Python has a LibTorch; default false. */
  force?: boolean;
  /** Environment to read; default process.env. */
  env?: NodeJS.ProcessEnv;
  onProgress?: OnProgress;
  signal?: AbortSignal;
}

/** What {@link setup} left in place. */
export interface SetupResult {
  /** Folder of the LibTorch. */
  path: string;
  version: string;
  variant: Variant;
  /** Where it was found, or `fetched`. */
  source: LibTorch["source"] | "fetched";
  /** Files it was unpacked from, with their SHA-256; empty where nothing was fetched. */
  files: { name: string; sha256: string }[];
}

/**
 * Makes sure that a LibTorch of the pinned version is there: finds one, or fetches it into the user cache (pip's wheels, else the
 * official CPU archive), or installs it from a local file. The folder appears whole or not at all; two processes never fetch twice.
 *
 * @throws AstgnnError ERR_DOWNLOAD, ERR_LIBTORCH_VERSION, ERR_LIBTORCH_MISSING, ERR_DATA, ERR_ABORTED
 * @example
 * const { path } = await setup({ variant: "cpu", onProgress: ({ message }) => console.error(message) });
 */
export async function setup(options: SetupOptions = {}): Promise<SetupResult> {
  const variant = options.variant ?? "cpu";
  if (variant !== "cpu" && variant !== "cuda") throw invalidOption("variant", "cpu or cuda", variant);
  if (options.sha256 !== undefined && !/^[0-9a-fA-F]{64}$/.test(options.sha256)) throw invalidOption("sha256", "64 hexadecimal digits", options.sha256);
  const env = options.env ?? process.env;
  const { signal, onProgress } = options;
  const target = cachedPath(pinnedVersion, variant, env);
  const present = (): SetupResult | undefined => {
    if (options.force === true) return undefined;
    const { found } = options.from === undefined ? searchLibTorch({ env, build: true, ...(variant === "cuda" ? { variant } : {}) }) : cachedOnly(target, variant);
    if (found === undefined || (variant === "cuda" && found.variant !== "cuda")) return undefined;
    const { path, version, source } = found;
    return { path, version, variant: found.variant, source, files: [] };
  };
  const before = present();
  if (before !== undefined) return before;
  const onWait = (holder: string): void => onProgress?.({ stage: "wait", message: `waiting for ${holder}, which is fetching LibTorch` });
  return withLock(join(cacheFolder(env), `libtorch-${pinnedVersion}-${variant}.lock`), { onWait, ...(signal === undefined ? {} : { signal }) }, async () => {
    await removeLeftovers(cacheFolder(env));
    return present() ?? (await install({ ...options, env, variant, target }));
  });
}

interface InstallOptions extends SetupOptions {
  env: NodeJS.ProcessEnv;
  variant: Variant;
  target: string;
}

async function install(options: InstallOptions): Promise<SetupResult> {
  const { target, variant, signal, onProgress } = options;
  const partial = `${target}.partial-${process.pid}`;
  const downloads = join(cacheFolder(options.env), `downloads-${pinnedVersion}`);
  try {
    const files = options.from === undefined ? await fetchInto(partial, downloads, options) : await installLocal(partial, options);
    await complete(partial, variant, files);
    if (signal?.aborted) throw aborted(signal);
    await replace(partial, target);
    onProgress?.({ stage: "install", message: `installed LibTorch ${pinnedVersion} (${variant}) in ${target}` });
    await rm(downloads, { recursive: true, force: true });
    return { path: target, version: pinnedVersion, variant, source: "fetched", files: files.map(({ file, sha256 }) => ({ name: basename(file), sha256 })) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOSPC") throw noSpace(target, error);
    throw error;
  } finally {
    await rm(partial, { recursive: true, force: true });
    await rmdir(downloads).catch(() => undefined);
  }
}

async function fetchInto(partial: string, downloads: string, options: InstallOptions): Promise<FetchedFile[]> {
  const { env, variant } = options;
  const sources = platformSources(env);
  const overridden = (env["ASTGNN_LIBTORCH_URL"] ?? "") !== "";
  const pip = sources.pip === undefined || overridden ? undefined : await findPip(env);
  if (pip !== undefined && sources.pip !== undefined) {
    await requireSpace(options.target, variant === "cpu" ? 1.3e9 : 9e9);
    const files = await fetchWheels({ ...options, pip, sources: sources.pip, into: downloads });
    await unpackWheels(files, partial, options);
    return files;
  }
  if (variant === "cuda" || sources.archive === undefined) {
    const reason = sources.pip === undefined ? `no LibTorch ${pinnedVersion} (${variant}) is listed for ${process.platform}-${process.arch}` : `the ${variant} variant is fetched with pip, and there is no pip here`;
    throw new AstgnnError("ERR_DOWNLOAD", `LibTorch cannot be fetched: ${reason}.`, { next: waysOut(pinnedVersion, "install pip (`sudo apt-get install python3-pip`)") });
  }
  await requireSpace(options.target, 1e9);
  const file = join(downloads, decodeURIComponent(basename(new URL(sources.archive).pathname)) || "libtorch.zip");
  // A complete file is there where an earlier run was stopped while it unpacked.
  const sha256 = await downloadFile({ ...options, url: sources.archive, file });
  try {
    await unpackChecked(file, torchContents(variant), partial, options);
  } catch (error) {
    if (error instanceof AstgnnError && error.code === "ERR_DOWNLOAD") await rm(file, { force: true });
    throw error;
  }
  return [{ file, sha256 }];
}

async function installLocal(partial: string, options: InstallOptions): Promise<FetchedFile[]> {
  const source = await readLocalSource(resolve(options.from!), options);
  if (source.kind === "folder") {
    options.onProgress?.({ stage: "unpack", message: `copying ${source.path}` });
    await copyLibTorch(source.path, partial, options.variant);
    return [];
  }
  if (source.kind === "archive") {
    await unpackChecked(source.file.file, torchContents(options.variant), partial, options);
    return [source.file];
  }
  await unpackWheels(source.files, partial, options);
  await copyLooseLibraries(missingLibraries(partial, options.variant), source.folder, partial);
  return source.files;
}

async function unpackWheels(files: readonly FetchedFile[], partial: string, options: InstallOptions): Promise<void> {
  for (const { file } of files) {
    const contents = /^torch-/.test(basename(file)) ? torchContents(options.variant) : nvidiaContents(options.variant);
    await unpackChecked(file, contents, partial, options);
  }
}

async function unpackChecked(file: string, select: Select, partial: string, options: InstallOptions): Promise<void> {
  await requireSpace(options.target, await unpackedBytes(file, select));
  const { onProgress, signal } = options;
  await unpackZip(file, { select, into: partial, ...(onProgress === undefined ? {} : { onProgress }), ...(signal === undefined ? {} : { signal }) });
}

/** Checks what was unpacked as every later search will, and writes down where it came from. */
async function complete(partial: string, variant: Variant, files: readonly FetchedFile[]): Promise<void> {
  // A wheel states its version in Python; the archive in build-version, which is what a search reads first.
  const stated = /__version__ = '([^']+)'/.exec(await readFile(join(partial, "version.py"), "utf8").catch(() => ""))?.[1];
  if (stated !== undefined) await writeFile(join(partial, "build-version"), `${stated}\n`);
  await rm(join(partial, "version.py"), { force: true });
  const missing = missingLibraries(partial, variant);
  if (missing.length > 0) {
    const wheels = (platformSources().pip?.wheels ?? []).filter(({ name }) => name !== "torch").map(({ name, version }) => `${name}==${version}`);
    throw new AstgnnError("ERR_LIBTORCH_MISSING", `The LibTorch that was unpacked needs ${missing.join(", ")}, which came with none of ${files.map(({ file }) => basename(file)).join(", ") || "its files"}.`, {
      next: variant === "cpu" ? `Put NVIDIA's wheels (${wheels.join(", ")}) or these files beside it: \`pip download --no-deps ${wheels.join(" ")}\`.` : "Put all NVIDIA wheels that the torch wheel requires beside it, or let `npx astgnn setup --variant cuda` fetch them.",
    });
  }
  const result = inspectLibTorch(partial, true);
  if ("problem" in result) throw new AstgnnError("ERR_LIBTORCH_MISSING", `What was unpacked is no complete LibTorch: ${result.problem}.`, { next: waysOut(pinnedVersion) });
  if (result.version !== pinnedVersion) {
    throw new AstgnnError("ERR_LIBTORCH_VERSION", `What was unpacked is LibTorch ${result.version}, and the cache holds ${pinnedVersion} only.`, {
      next: `Give a LibTorch ${pinnedVersion}; to build astgnn against another version, set ASTGNN_LIBTORCH to its folder and run \`npm run build\`.`,
    });
  }
  const origin = { version: result.version, variant, files: files.map(({ file, sha256 }) => ({ name: basename(file), sha256 })) };
  await writeFile(join(partial, "astgnn-origin.json"), `${JSON.stringify(origin, null, 1)}\n`);
}

function missingLibraries(path: string, variant: Variant): string[] {
  const roots = variant === "cuda" ? ["torch_cpu", "torch_cuda", "torch_cuda_linalg"] : ["torch_cpu"];
  return [...new Set(roots.flatMap((root) => loadOrder(path, `lib${root}${librarySuffix}`).missing))];
}

function cachedOnly(path: string, variant: Variant): { found?: LibTorch } {
  const result = inspectLibTorch(path, true);
  return "problem" in result || result.version !== pinnedVersion || result.variant !== variant ? {} : { found: { ...result, source: "cache" } };
}

/** One rename makes the new folder appear; what was there before (damaged, or replaced on request) goes first. */
async function replace(partial: string, target: string): Promise<void> {
  const old = `${target}.partial-${process.pid}-old`;
  await rename(target, old).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  await rename(partial, target);
  await rm(old, { recursive: true, force: true });
}

/** Removes the folders that interrupted set-ups of dead processes left. */
async function removeLeftovers(folder: string): Promise<void> {
  const downloads = join(folder, `downloads-${pinnedVersion}`);
  for (const parent of [folder, downloads]) {
    for (const name of await readdir(parent).catch(() => [])) {
      const pid = /(?:\.partial-|^pip-)(\d+)(?:-|$)/.exec(name)?.[1];
      if (pid !== undefined && (Number(pid) === process.pid || !isAlive(Number(pid)))) await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

async function requireSpace(target: string, bytes: number): Promise<void> {
  const folder = resolve(target, "..");
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < bytes) throw noSpace(target, undefined, `${megabytes(bytes)} are needed and ${megabytes(bavail * bsize)} are free`);
}

function noSpace(target: string, cause: unknown, amounts?: string): AstgnnError {
  return new AstgnnError("ERR_DOWNLOAD", `There is not enough disk space for LibTorch in ${resolve(target, "..")}${amounts === undefined ? "" : `: ${amounts}`}.`, {
    cause,
    next: "Free some, or set XDG_CACHE_HOME to a folder on another disk.",
  });
}
