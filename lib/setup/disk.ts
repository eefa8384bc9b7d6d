import { constants } from "node:fs";
import { access, mkdir, readdir, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AstgnnError } from "../errors.js";
import { megabytes } from "./progress.js";

/** The disk below a folder that may not be there yet. */
export interface Disk {
  /** The nearest folder that is there. */
  folder: string;
  freeBytes: number;
  /** Why nothing can be written there, or undefined. */
  refused?: string;
}

/** Looks at the disk that a folder would be on. Nothing is made. */
export async function diskOf(folder: string): Promise<Disk> {
  try {
    const { bavail, bsize } = await statfs(folder);
    const refused = await access(folder, constants.W_OK | constants.X_OK).then(() => undefined, (error: NodeJS.ErrnoException) => error.code ?? error.message);
    return { folder, freeBytes: bavail * bsize, ...(refused === undefined ? {} : { refused }) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!["ENOENT", "ENOTDIR", "EACCES"].includes(code ?? "") || dirname(folder) === folder) throw error;
    const above = await diskOf(dirname(folder));
    // The folder above may be writable, but this one cannot be made or entered.
    return code === "ENOENT" ? above : { ...above, refused: code! };
  }
}

/** Makes the folder above `target` and sees to it that so many bytes fit there. */
export async function requireSpace(target: string, bytes: number): Promise<void> {
  const folder = dirname(target);
  await mkdir(folder, { recursive: true });
  const { freeBytes } = await diskOf(folder);
  if (freeBytes < bytes) throw noSpace(folder, bytes, freeBytes);
}

/** The error where a disk is full or too small. */
export function noSpace(folder: string, neededBytes: number, freeBytes: number, cause?: unknown): AstgnnError {
  return new AstgnnError("ERR_DOWNLOAD", `There is not enough disk space for LibTorch in ${folder}: ${megabytes(neededBytes)} are needed and ${megabytes(freeBytes)} are free.`, {
    file: folder,
    cause,
    next: "Free some, or set XDG_CACHE_HOME to a folder on another disk.",
  });
}

/** The error where the user cache cannot be written. */
export function notWritable(folder: string, code: string, cause?: unknown): AstgnnError {
  return new AstgnnError("ERR_DOWNLOAD", `LibTorch cannot be put into the user cache ${folder}: it is not writable (${code}).`, {
    file: folder,
    cause,
    next: "Set XDG_CACHE_HOME to a folder that is, now and whenever astgnn runs, or ASTGNN_LIBTORCH to the folder of a LibTorch that is there.",
  });
}

/** What a failure of the file system below `folder` means, or undefined where it is none of these. */
export async function diskFailure(folder: string, neededBytes: number, error: unknown): Promise<AstgnnError | undefined> {
  const { code = "", path, syscall } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") return noSpace(folder, neededBytes, (await diskOf(folder)).freeBytes, error);
  // Reading what the user named fails in the same words.
  if (path !== undefined && !path.startsWith(folder) && !folder.startsWith(path)) return undefined;
  // On a read-only disk Node calls the folder that it cannot make missing.
  if (code === "ENOENT" && syscall === "mkdir") return notWritable(folder, (await diskOf(folder)).refused ?? code, error);
  return ["EACCES", "EPERM", "EROFS", "ENOTDIR"].includes(code) ? notWritable(folder, code, error) : undefined;
}

/** Bytes of a file, or of all files below a folder; 0 where there is nothing. */
export async function bytesOf(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() !== true) return found?.size ?? 0;
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  const sizes = await Promise.all(entries.filter((entry) => entry.isFile()).map((entry) => stat(join(entry.parentPath, entry.name)).then((s) => s.size, () => 0)));
  return sizes.reduce((sum, size) => sum + size, 0);
}
