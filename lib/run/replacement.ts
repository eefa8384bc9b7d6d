import { existsSync } from "node:fs";
import { readFile, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { AstgnnError } from "../errors.js";
import { sync } from "../model/atomic-write.js";
import { checkStored } from "../options.js";
import { withLock } from "../setup/lock.js";
import { lockPath, lockRunFolder, memberFolders, removeRunFiles, RUN_FILES, RUN_PAGES, type RunFile } from "./files.js";

/** Folder inside a run folder in which the run is built that will replace the one there. */
const REPLACEMENT = ".replacement";
/** Its name once the new run is finished and counts as the run: the remaining files are then moved. */
const REPLACING = ".replacing";
/** Files of a finished ensemble, whose models are its members'. */
const ENSEMBLE_FILES: readonly RunFile[] = ["run.json", "predictions.parquet", "report.json"];

export function replacementPath(path: string): string {
  return join(path, REPLACEMENT);
}

/** Whether a path is that of a run built to replace another. */
export function isReplacement(path: string): boolean {
  return basename(path) === REPLACEMENT;
}

/** Puts the finished run of `.replacement` in the place of the one in `path`, whose lock the caller holds. */
export async function replaceRun(path: string): Promise<void> {
  // From this rename on the new run counts: a process killed after it leaves the rest to the next process that opens the folder.
  await rename(replacementPath(path), join(path, REPLACING));
  await sync(path);
  await completeReplacement(path);
}

/** For readers: completes a replacement that was begun in the folder, or in the ensemble that it is a member of. */
export async function awaitReplacement(path: string): Promise<void> {
  const parent = dirname(resolve(path));
  for (const folder of [path, ...(/^seed-\d+$/.test(basename(resolve(path))) ? [parent] : [])]) {
    if (existsSync(join(folder, REPLACING))) await withLock(lockPath(folder), {}, () => completeReplacement(folder));
  }
}

/**
 * Completes a replacement, also one that was interrupted: every file is moved by a rename, the folder's run.json as the last, and
 * what to move and remove follows from that file alone. The caller holds the folder's lock.
 */
export async function completeReplacement(path: string): Promise<void> {
  const from = join(path, REPLACING);
  if (!existsSync(from)) return;
  if (existsSync(join(from, "run.json"))) {
    const { kind, members = [] } = await readReplacing(join(from, "run.json"));
    for (const name of (await memberFolders(path)).filter((old) => !members.includes(old))) {
      await lockRunFolder(join(path, name), () => removeRunFiles(join(path, name)));
      // Not where the user keeps something else in it.
      await rmdir(join(path, name)).catch(() => undefined);
    }
    // They are of the run that goes.
    for (const folder of [path, ...members.map((name) => join(path, name))]) await removeRunFiles(folder, RUN_PAGES);
    for (const name of members) await lockRunFolder(join(path, name), () => moveRunFiles(join(from, name), join(path, name), RUN_FILES));
    if (kind === "ensemble") await removeRunFiles(path, RUN_FILES.filter((name) => !ENSEMBLE_FILES.includes(name)));
    await moveRunFiles(from, path, RUN_FILES.filter((name) => name !== "run.json"));
    await moveRunFiles(from, path, ["run.json"]);
  }
  await rm(from, { recursive: true, force: true });
}

async function moveRunFiles(from: string, to: string, files: readonly RunFile[]): Promise<void> {
  for (const name of files) {
    if (existsSync(join(from, name))) await rename(join(from, name), join(to, name));
  }
  await sync(to);
}

/** What is moved is named by a file of the folder, which may be somebody else's: no path leads out of it. */
const ReplacingSchema = z.looseObject({ kind: z.enum(["run", "ensemble"]), members: z.array(z.string().regex(/^seed-\d+$/)).optional() });

async function readReplacing(file: string): Promise<z.infer<typeof ReplacingSchema>> {
  const next = `Remove ${dirname(file)} to keep the run that it was to replace.`;
  let description: unknown;
  try {
    description = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw new AstgnnError("ERR_CHECKPOINT", `${file} cannot be read.`, { file, cause, next });
  }
  return checkStored(ReplacingSchema, description, file, next);
}
