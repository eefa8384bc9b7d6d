import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { hasEnded } from "../../run/files.js";

/** Whether the run in a folder is finished, and all that it wrote still there. */
export async function isFinished(folder: string): Promise<boolean> {
  return hasEnded(folder, (await readStored(join(folder, "run.json"))) as { kind?: string; status?: string } | undefined);
}

/** Whether the runs in all folders are. */
export async function areFinished(folders: readonly string[]): Promise<boolean> {
  return (await Promise.all(folders.map(isFinished))).every(Boolean);
}

/** What a JSON file holds; undefined where there is none or it cannot be read. */
export async function readStored(file: string): Promise<unknown> {
  if (!existsSync(file)) return undefined;
  return readFile(file, "utf8").then((text) => JSON.parse(text) as unknown, () => undefined);
}
