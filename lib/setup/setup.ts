import { readFile, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { entryLibraries, inspectLibTorch, loadOrder, waysOut, type LibTorch } from "../binding/libtorch.js";
import { AstgnnError } from "../errors.js";
import { downloadFile } from "./archive.js";
import { aborted } from "./checksum.js";
import { contentsOf, torchContents } from "./contents.js";
import { diskFailure, requireSpace } from "./disk.js";
import { copyLibTorch, copyLooseLibraries } from "./local.js";
import { isAlive, withLock } from "./lock.js";
import { fetchWheels, type FetchedFile } from "./pip.js";
import { expectedFiles } from "./plan.js";
import { alreadyThere, chooseSource, resolveSetup, type SetupOptions, type SetupRequest, type Source } from "./request.js";
import { cacheFolder, pinnedVersion, type Variant } from "../binding/pinned.js";
import { platformSources } from "./sources.js";
import { unpackZip, unpackedBytes, type Select } from "./unpack.js";

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
  const request = resolveSetup(options);
  const { env, variant, signal, onProgress } = request;
  const present = (): SetupResult | undefined => {
    const found = alreadyThere(request);
    if (found === undefined) return undefined;
    const { path, version, source } = found;
    return { path, version, variant: found.variant, source, files: [] };
  };
  const before = present();
  if (before !== undefined) return before;
  const folder = cacheFolder(env);
  const onWait = (holder: string): void => onProgress?.({ stage: "wait", message: `waiting for ${holder}, which is fetching LibTorch` });
  let neededBytes = 0;
  try {
    return await withLock(join(folder, `libtorch-${pinnedVersion}-${variant}.lock`), { onWait, signal }, async () => {
      await removeLeftovers(folder);
      const meanwhile = present();
      if (meanwhile !== undefined) return meanwhile;
      const { source } = await chooseSource(request);
      neededBytes = (await expectedFiles(source, request)).neededBytes;
      return await install(source, neededBytes, request);
    });
  } catch (error) {
    throw (await diskFailure(folder, neededBytes, error)) ?? error;
  }
}

async function install(source: Source, neededBytes: number, request: SetupRequest): Promise<SetupResult> {
  const { target, variant, downloads, signal, onProgress } = request;
  const partial = `${target}.partial-${process.pid}`;
  try {
    await requireSpace(target, neededBytes);
    const files = await fill(partial, source, request);
    await complete(partial, variant, files);
    if (signal?.aborted) throw aborted(signal);
    await replace(partial, target);
    onProgress?.({ stage: "install", message: `installed LibTorch ${pinnedVersion} (${variant}) in ${target}` });
    await rm(downloads, { recursive: true, force: true });
    return { path: target, version: pinnedVersion, variant, source: "fetched", files: files.map(({ file, sha256 }) => ({ name: basename(file), sha256 })) };
  } finally {
    await rm(partial, { recursive: true, force: true });
    await rmdir(downloads).catch(() => undefined);
  }
}

/** Fetches where the source is not on this machine, and unpacks or copies into `partial`. */
async function fill(partial: string, source: Source, request: SetupRequest): Promise<FetchedFile[]> {
  const { variant, downloads, onProgress } = request;
  switch (source.kind) {
    case "pip": {
      const files = await fetchWheels({ ...request, ...source, into: downloads });
      await unpackWheels(files, partial, request);
      return files;
    }
    case "download": {
      // A complete file is there where an earlier run was stopped while it unpacked.
      const sha256 = await downloadFile({ ...request, ...source });
      try {
        await unpackChecked(source.file, torchContents(variant), partial, request);
      } catch (error) {
        if (error instanceof AstgnnError && error.code === "ERR_DOWNLOAD" && error.file === source.file) await rm(source.file, { force: true });
        throw error;
      }
      return [{ file: source.file, sha256 }];
    }
    case "folder":
      onProgress?.({ stage: "unpack", message: `copying ${source.path}` });
      await copyLibTorch(source.path, partial, variant);
      return [];
    case "archive":
      await unpackChecked(source.file.file, torchContents(variant), partial, request);
      return [source.file];
    case "wheels":
      await unpackWheels(source.files, partial, request);
      await copyLooseLibraries(missingLibraries(partial, variant), source.folder, partial);
      return source.files;
  }
}

async function unpackWheels(files: readonly FetchedFile[], partial: string, request: SetupRequest): Promise<void> {
  for (const { file } of files) await unpackChecked(file, contentsOf(file, request.variant), partial, request);
}

async function unpackChecked(file: string, select: Select, partial: string, request: SetupRequest): Promise<void> {
  await requireSpace(request.target, (await unpackedBytes(file, select)).bytes);
  const { onProgress, signal } = request;
  await unpackZip(file, { select, into: partial, onProgress, signal });
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
  return loadOrder(path, ...entryLibraries[variant]).missing;
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
