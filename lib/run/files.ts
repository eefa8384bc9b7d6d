import { existsSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { AstgnnError } from "../errors.js";
import { partialPath, writingError } from "../model/atomic-write.js";
import { withLock } from "../setup/lock.js";

/** Files of a run folder, last.safetensors first: what is removed first must not be found by a later resume. */
export const RUN_FILES = ["last.safetensors", "run.json", "metrics.jsonl", "model.safetensors", "model.loadings.safetensors", "predictions.parquet", "factors.parquet", "report.json"] as const;

/** Pages made of a finished run afterwards; report.md is that of 0.1.0. */
export const RUN_PAGES = ["report.html", "report.md"] as const;

/** Name of a file in a run folder. */
export type RunFile = (typeof RUN_FILES)[number] | (typeof RUN_PAGES)[number];

/** Whether a run ended in a folder, as its run.json says, and what it ended with is still there: resume writes again what is not. */
export function hasEnded(path: string, run: { readonly kind?: string; readonly status?: string } | undefined): boolean {
  const results: readonly RunFile[] = [...(run?.kind === "run" ? ["model.safetensors" as const] : []), "predictions.parquet", "report.json"];
  return run?.status === "finished" && results.every((name) => existsSync(join(path, name)));
}

/** Folders `seed-<number>` of an ensemble. */
export async function memberFolders(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory() && /^seed-\d+$/.test(entry.name)).map((entry) => entry.name);
}

/** Removes a run's files; whatever else the user keeps there stays. */
export async function removeRunFiles(path: string, files: readonly RunFile[] = [...RUN_FILES, ...RUN_PAGES]): Promise<void> {
  for (const name of files) {
    await rm(join(path, name), { force: true });
    await rm(partialPath(join(path, name)), { force: true });
  }
}

/**
 * Makes a folder and runs `body` while this process alone trains there. A process that was killed holds nothing.
 *
 * @param waits true: waits for a process that is there instead of refusing
 * @throws AstgnnError ERR_BUSY naming pid, host and since when, where another training is in the folder; ERR_OPTION where there can be no such folder; ERR_WRITE
 *   where its disk is full or fails
 */
export async function lockRunFolder<V>(path: string, body: () => Promise<V>, { waits = false }: { waits?: boolean } = {}): Promise<V> {
  await mkdir(path, { recursive: true }).catch((cause: Error) => {
    throw new AstgnnError("ERR_OPTION", `Cannot make the run folder ${path}: ${cause.message}.`, { option: "out", file: path, cause, next: "Name another folder." });
  });
  const onWait = (holder: string): never => {
    throw new AstgnnError("ERR_BUSY", `Another training writes to ${path}: ${holder}.`, { option: "out", file: path, next: "Wait until it has ended, or name another folder." });
  };
  let isIn = false;
  try {
    return await withLock(lockPath(path), waits ? {} : { onWait }, () => ((isIn = true), body()));
  } catch (error) {
    // What the body throws is not ours: a callback's, say.
    throw isIn ? error : writingError(lockPath(path), error);
  }
}

export function lockPath(path: string): string {
  return join(path, ".lock");
}
