import { open, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** The name under which a file is written before it takes its place. Fixed, so that the next writer overwrites the partial file of a killed one. */
export function partialPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.partial`);
}

/** Writes beside, syncs, renames: after a crash at any moment `path` holds the old bytes or the new ones, whole. */
export async function writeFileAtomically(path: string, content: Uint8Array | string): Promise<void> {
  const partial = partialPath(path);
  const file = await open(partial, "w");
  try {
    await file.writeFile(content);
  } finally {
    await file.close();
  }
  await moveIntoPlace(partial, path);
}

/** Syncs a complete file, renames it and syncs the folder, so that after a loss of power the file is never half-written. */
export async function moveIntoPlace(partial: string, path: string): Promise<void> {
  await sync(partial);
  await rename(partial, path);
  await sync(dirname(path));
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
