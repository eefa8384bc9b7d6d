import { cp, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { inspectLibTorch, librarySuffix, loadOrder, nvidiaFolders } from "../binding/libtorch.js";
import { AstgnnError } from "../errors.js";
import { sha256Of } from "./checksum.js";
import { torchContents } from "./contents.js";
import { isWheelOf, type FetchedFile } from "./pip.js";
import type { OnProgress } from "./progress.js";
import { pinnedVersion } from "../binding/pinned.js";
import { platformSources, wheelsOf } from "./sources.js";

/** What `--from` names: files to unpack, or an unpacked LibTorch to copy. */
export type LocalSource = { kind: "wheels"; files: FetchedFile[]; folder: string } | { kind: "archive"; file: FetchedFile } | { kind: "folder"; path: string };

interface ReadOptions {
  sha256?: string | undefined;
  onProgress?: OnProgress | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Looks at what the user named: a torch wheel (NVIDIA's wheels beside it), an official archive, a folder with either, or an unpacked LibTorch.
 *
 * @throws AstgnnError ERR_DATA where it is none of these, ERR_DOWNLOAD where a checksum differs
 */
export async function readLocalSource(from: string, options: ReadOptions): Promise<LocalSource> {
  const found = await stat(from).catch(() => undefined);
  if (found === undefined) throw refuse(from, "there is no such file or folder");
  if (found.isDirectory()) {
    const inspected = inspectLibTorch(from);
    if (!("problem" in inspected)) return { kind: "folder", path: from };
    const names = await readdir(from);
    const torch = names.filter((name) => /^torch-.*\.whl$/.test(name));
    const archives = names.filter((name) => /^libtorch-.*\.zip$/.test(name));
    const choice = torch.find((name) => name.startsWith(`torch-${pinnedVersion}`)) ?? torch[0] ?? archives[0];
    if (choice === undefined) throw refuse(from, `it is no LibTorch (${inspected.problem}) and holds neither a torch wheel nor a libtorch archive`);
    return readLocalSource(join(from, choice), options);
  }
  const name = basename(from);
  if (name.endsWith(".zip")) return { kind: "archive", file: await checked(from, options.sha256, options) };
  if (!/^torch-.*\.whl$/.test(name)) throw refuse(from, "its name is neither torch-*.whl nor *.zip");
  const files = [await checked(from, options.sha256, options)];
  for (const beside of await readdir(dirname(from))) {
    if (/^nvidia_.*\.whl$/.test(beside)) files.push(await checked(join(dirname(from), beside), undefined, options));
  }
  return { kind: "wheels", files, folder: dirname(from) };
}

/** A file and its checksum, compared with the one expected: the user's, or the pinned one where the file name is a pinned wheel's. */
async function checked(file: string, sha256: string | undefined, options: ReadOptions): Promise<FetchedFile> {
  const pip = platformSources().pip;
  const name = basename(file);
  const platforms = pip === undefined ? [] : [...pip.platforms, ...(pip.cudaPlatforms ?? [])];
  const pinned = (pip === undefined ? [] : wheelsOf(pip, "cuda")).find((wheel) => isWheelOf(name, wheel) && platforms.some((platform) => name.includes(platform)));
  // torch has a wheel per Python; the others serve all.
  const isPinned = pinned !== undefined && (pinned.name !== "torch" || name.includes(`-cp${pip!.python.replace(".", "")}-`));
  const expected = sha256?.toLowerCase() ?? (isPinned ? pinned.sha256 : undefined);
  const actual = await sha256Of(file, options.onProgress, options.signal);
  if (expected !== undefined && expected !== actual) {
    throw new AstgnnError("ERR_DOWNLOAD", `${file} has SHA-256 ${actual}, expected ${expected}.`, { file, next: "It is damaged or another file of the same name: fetch it again." });
  }
  return { file, sha256: actual };
}

/** What is copied of an unpacked LibTorch, with the NVIDIA libraries that a pip torch keeps outside: each file or folder and where it goes. */
export async function filesToCopy(path: string, variant: "cpu" | "cuda"): Promise<{ from: string; to: string }[]> {
  const names = await readdir(path);
  const whole = ["include", "share", "build-version", "version.py"].filter((part) => names.includes(part));
  const files = new Set(loadOrder(path, `libtorch_cpu${librarySuffix}`).libraries);
  if (variant === "cuda") {
    // CUDA's libraries open others by name at run time, so all of them go along, not only those that are linked.
    const select = torchContents("cuda");
    const own = (await readdir(join(path, "lib"))).filter((name) => select(`torch/lib/${name}`) !== undefined);
    for (const name of own) files.add(join(path, "lib", name));
    for (const folder of nvidiaFolders(dirname(path))) {
      const names = await readdir(folder).catch(() => []);
      for (const name of names.filter((each) => /\.so(\.[\d.]+)?$/.test(each))) files.add(join(folder, name));
    }
  }
  return [...whole.map((name) => ({ from: join(path, name), to: name })), ...[...files].map((from) => ({ from, to: join("lib", basename(from)) }))];
}

/** Copies an unpacked LibTorch into one folder. */
export async function copyLibTorch(path: string, into: string, variant: "cpu" | "cuda"): Promise<void> {
  // A link within a folder stays one; a library is copied under the name that is asked for.
  for (const { from, to } of await filesToCopy(path, variant)) await cp(from, join(into, to), { recursive: true, dereference: to.startsWith("lib") });
}

/** What is missing for the CPU part beside a wheel, from loose files in the same folder (or its lib/). */
export async function copyLooseLibraries(names: readonly string[], folder: string, into: string): Promise<void> {
  for (const name of names) {
    for (const candidate of [join(folder, name), join(folder, "lib", name)]) {
      if ((await stat(candidate).catch(() => undefined))?.isFile() !== true) continue;
      await cp(candidate, join(into, "lib", name), { dereference: true });
      break;
    }
  }
}

function refuse(from: string, reason: string): AstgnnError {
  return new AstgnnError("ERR_DATA", `${from} cannot be used: ${reason}.`, {
    file: from,
    next: `Give a wheel torch-${pinnedVersion}-*.whl (with NVIDIA's wheels beside it), an archive libtorch-*.zip, or the folder of an unpacked LibTorch.`,
  });
}
