import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** Whether the run in a folder is finished. */
export async function isFinished(folder: string): Promise<boolean> {
  return ((await readStored(join(folder, "run.json"))) as { status?: string } | undefined)?.status === "finished";
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
