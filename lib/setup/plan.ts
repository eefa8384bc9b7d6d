import { basename } from "node:path";
import { searchLibTorch, sourceNames, type LibTorchSource } from "../binding/libtorch.js";
import { bytesHere } from "./archive.js";
import { contentsOf, torchContents } from "./contents.js";
import { bytesOf, diskOf, noSpace, notWritable } from "./disk.js";
import { filesToCopy } from "./local.js";
import { wheelIn, type FetchedFile } from "./pip.js";
import { alreadyThere, chooseSource, resolveSetup, type SetupOptions, type SetupRequest, type Source } from "./request.js";
import { cacheFolder, pinnedVersion, type Variant } from "../binding/pinned.js";
import { wheelsOf } from "./sources.js";
import { unpackedBytes, type Select } from "./unpack.js";

/** What a set-up would do with one file. */
export interface PlannedFile {
  name: string;
  /** Size of the file, where it is known beforehand. */
  bytes?: number;
  /** Checksum that it must have; of a file that is there, the one it has. */
  sha256?: string;
  action: "fetch" | "resume" | "unpack" | "copy";
  /** What is there of it already. */
  hereBytes?: number;
}

/** What would be left out or not done, and why. */
export interface Skipped {
  what: string;
  why: string;
}

/** What {@link planSetup} found. */
export interface SetupPlan {
  action: "nothing" | "install" | "replace";
  version: string;
  variant: Variant;
  platform: string;
  /** Where it comes from: a LibTorch that is there, pip, an address, or what `from` names. */
  source: { kind: LibTorchSource | Source["kind"]; at: string };
  files: PlannedFile[];
  /** Folder of the LibTorch afterwards. */
  target: string;
  /** The most that is on the disk at one time, beyond what is there now. */
  space: { folder: string; neededBytes: number; freeBytes: number };
  skipped: Skipped[];
  /** What would make it fail; empty where nothing is known. */
  problems: string[];
}

// pip keeps a wheel three times while it runs: in its cache, its temporary folder and the one it was asked for.
const COPIES = 3;
const UNPACKED = { cpu: 0.51e9, cuda: 4e9 };
// The official archive states its size only when it is asked for.
const ARCHIVE = 0.3e9;

/**
 * What {@link setup} would do with the same options. Files are read (a checksum is computed), nothing is fetched or written.
 *
 * @throws AstgnnError where setup would throw before it starts: nothing to fetch for this platform, a file of `from` that cannot be used
 * @example
 * const { files, space } = await planSetup({ variant: "cuda" });
 */
export async function planSetup(options: SetupOptions = {}): Promise<SetupPlan> {
  const request = resolveSetup(options);
  const { variant, env } = request;
  const target = request.target;
  const disk = await diskOf(cacheFolder(env));
  const common = { version: pinnedVersion, variant, platform: `${process.platform}-${process.arch}` };
  const found = alreadyThere(request);
  if (found !== undefined) {
    const why = `LibTorch ${found.version} (${found.variant}) is there already; --force fetches and replaces it in the user cache`;
    const space = { folder: disk.folder, neededBytes: 0, freeBytes: disk.freeBytes };
    return { action: "nothing", ...common, source: { kind: found.source, at: found.path }, files: [], target: found.path, space, skipped: [{ what: "everything", why }], problems: [] };
  }
  const { source, passedOver } = await chooseSource(request);
  const { files, neededBytes, skipped } = await expectedFiles(source, request);
  const looked = request.from === undefined && request.force !== true ? searchLibTorch({ env, build: true, everywhere: true }).looked : [];
  const refused = looked.map(({ path, source: from, problem = "" }) => ({ what: `${path} (${sourceNames[from]})`, why: problem })).filter(({ why }) => why !== "" && why !== "no such folder");
  const problems = [
    ...(disk.refused === undefined ? [] : [notWritable(cacheFolder(env), disk.refused).message]),
    ...(disk.freeBytes >= neededBytes ? [] : [noSpace(cacheFolder(env), neededBytes, disk.freeBytes).message]),
  ];
  return {
    action: (await bytesOf(target)) > 0 ? "replace" : "install",
    ...common,
    source: { kind: source.kind, at: placeOf(source) },
    files,
    target,
    space: { folder: disk.folder, neededBytes, freeBytes: disk.freeBytes },
    skipped: [...passedOver, ...refused, ...skipped],
    problems,
  };
}

/** The files that a source consists of, the disk space that they need, and what of them is not kept. */
export async function expectedFiles(source: Source, request: SetupRequest): Promise<{ files: PlannedFile[]; neededBytes: number; skipped: Skipped[] }> {
  const { variant, downloads, sha256 } = request;
  switch (source.kind) {
    case "pip": {
      const files: PlannedFile[] = [];
      for (const wheel of wheelsOf(source.sources, variant)) {
        const { name, version, ...pinned } = wheel;
        const isHere = (await wheelIn(downloads, wheel, request.onProgress, request.signal)) !== undefined;
        files.push({ name: `${name} ${version}`, ...pinned, action: isHere ? "unpack" : "fetch", ...(isHere && pinned.bytes !== undefined ? { hereBytes: pinned.bytes } : {}) });
      }
      const missing = files.filter(({ action }) => action === "fetch").reduce((sum, { bytes = 0 }) => sum + bytes, 0);
      const skipped = files.filter(({ action }) => action === "unpack").map(({ name }) => ({ what: `fetching ${name}`, why: `it is in ${downloads}, with the right checksum` }));
      return { files, neededBytes: Math.max(COPIES * missing, missing + UNPACKED[variant]), skipped };
    }
    case "download": {
      const hereBytes = await bytesHere(source.url, source.file);
      const file: PlannedFile = { name: basename(source.file), ...(sha256 === undefined ? {} : { sha256 }), action: hereBytes > 0 ? "resume" : "fetch", ...(hereBytes > 0 ? { hereBytes } : {}) };
      const skipped = sha256 === undefined ? [{ what: "comparing its checksum", why: "none is known beforehand; it is printed and stored, and --sha256 enforces one" }] : [];
      return { files: [file], neededBytes: Math.max(0, ARCHIVE - hereBytes) + UNPACKED[variant], skipped };
    }
    case "folder": {
      const copied = await filesToCopy(source.path, variant);
      const files = await Promise.all(copied.map(async ({ from, to }): Promise<PlannedFile> => ({ name: to, bytes: await bytesOf(from), action: "copy" })));
      return { files, neededBytes: files.reduce((sum, { bytes = 0 }) => sum + bytes, 0), skipped: [] };
    }
    case "archive":
      return unpacked([source.file], () => torchContents(variant));
    case "wheels":
      return unpacked(source.files, (file) => contentsOf(file, variant));
  }
}

async function unpacked(files: readonly FetchedFile[], select: (file: string) => Select): Promise<{ files: PlannedFile[]; neededBytes: number; skipped: Skipped[] }> {
  const planned: PlannedFile[] = [];
  const skipped: Skipped[] = [];
  let neededBytes = 0;
  for (const { file, sha256 } of files) {
    const name = basename(file);
    const { bytes, leftOut } = await unpackedBytes(file, select(file));
    planned.push({ name, bytes: await bytesOf(file), sha256, action: "unpack" });
    neededBytes += bytes;
    if (leftOut.files > 0) skipped.push({ what: `${leftOut.files} files of ${name} (${Math.round(leftOut.bytes / 1e6)} MB)`, why: "only Python, another variant or a static build needs them" });
  }
  return { files: planned, neededBytes, skipped };
}

function placeOf(source: Source): string {
  switch (source.kind) {
    case "pip":
      return source.pip.join(" ");
    case "download":
      return source.url;
    case "archive":
      return source.file.file;
    case "wheels":
      return source.files[0]!.file;
    case "folder":
      return source.path;
  }
}
