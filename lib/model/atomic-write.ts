import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AstgnnError } from "../errors.js";

/** The name under which a file is written before it takes its place. Fixed, so that the next writer overwrites the partial file of a killed one. */
export function partialPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.partial`);
}

/**
 * Writes beside, syncs, renames: after a crash at any moment `path` holds the old bytes or the new ones, whole.
 *
 * @throws AstgnnError ERR_WRITE where the disk is full or fails; `path` is then as it was
 */
export async function writeFileAtomically(path: string, content: Uint8Array | string): Promise<void> {
  const partial = partialPath(path);
  await writing(path, async () => {
    const file = await open(partial, "w");
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
    await sync(dirname(path));
  });
}

/** Syncs a complete file, renames it and syncs the folder, so that after a loss of power the file is never half-written. */
export async function moveIntoPlace(partial: string, path: string): Promise<void> {
  await sync(partial);
  await rename(partial, path);
  await sync(dirname(path));
}

/**
 * Runs what writes `path`, in place or by way of its partial file, which is removed where that fails: on a full disk its bytes are needed.
 *
 * @throws AstgnnError ERR_WRITE where the file system is the reason
 */
export async function writing<V>(path: string, write: () => Promise<V>): Promise<V> {
  try {
    // A link of its name, in a folder that somebody else made, would lead the bytes elsewhere.
    await rm(partialPath(path), { force: true });
    return await write();
  } catch (error) {
    await rm(partialPath(path), { force: true }).catch(() => undefined);
    throw writingError(path, error);
  }
}

/** Words of the system, and of DuckDB which passes them on, for what a disk can do to who writes. */
const REASONS: readonly (readonly [words: RegExp, reason: string, next: string])[] = [
  [/ENOSPC|EDQUOT|No space left|quota exceeded/i, "there is no space left on its disk", "Make room there and run it again; a training goes on with resume."],
  [/EROFS|EACCES|EPERM|ELOOP|EISDIR|ENOTDIR|ENOENT|Read-only file system|Permission denied|No such file/i, "it may not be written", "Name a folder that may be written, or change its rights."],
  [/EIO|EFBIG|EMFILE|ENFILE|ESTALE|Input\/output error|IO Error/i, "its disk does not take it", "Look at the disk and run it again; a training goes on with resume."],
];

/** The error where the file system is the reason that `path` is not written; any other as it is. */
export function writingError(path: string, error: unknown): unknown {
  // Of a query that reads and writes the cause says which of the two failed.
  const cause = error instanceof AstgnnError && error.code === "ERR_DATA" && /Could not write|Could not fsync|No space left/.test(String(error.cause)) ? error.cause : error;
  if (cause instanceof AstgnnError || !(cause instanceof Error)) return error;
  const text = `${(cause as NodeJS.ErrnoException).code ?? ""} ${cause.message}`;
  const [, reason, next] = REASONS.find(([words]) => words.test(text)) ?? [];
  if (reason === undefined) return error;
  return new AstgnnError("ERR_WRITE", `${path} cannot be written: ${reason} (${cause.message.split("\n")[0]!.replace(/[.\s]*$/, "")}).`, { file: path, cause, next });
}

/** Makes a file's bytes, or the names in a folder, survive a loss of power. */
export async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
