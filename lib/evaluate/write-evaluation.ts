import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AstgnnError } from "../errors.js";
import { writeFileAtomically } from "../model/atomic-write.js";

/** Version of what report.json holds of an evaluation: it grows where a field goes or changes its meaning. */
export const EVALUATION_SCHEMA_VERSION = 1;

/**
 * Writes the splits of an evaluation into report.json of a folder: beside what a training wrote there of the same split, and new where there is none. NaN is null.
 *
 * @throws AstgnnError ERR_OPTION where the folder cannot be written
 */
export async function writeEvaluation(folder: string, evaluation: { readonly [split in "valid" | "test"]?: object } & { readonly trials?: readonly string[] }): Promise<string> {
  const file = join(folder, "report.json");
  const before = await readFile(file, "utf8").then((text) => JSON.parse(text) as Record<string, object>, () => ({}) as Record<string, object>);
  const { valid, test, trials } = evaluation;
  const splits = Object.fromEntries(Object.entries({ valid, test }).flatMap(([name, split]) => (split === undefined ? [] : [[name, { ...before[name], ...split }]])));
  const report = { ...before, schemaVersion: EVALUATION_SCHEMA_VERSION, ...splits, ...(trials === undefined ? {} : { trials }) };
  try {
    await mkdir(folder, { recursive: true });
    await writeFileAtomically(file, `${JSON.stringify(report, null, 2)}\n`);
  } catch (cause) {
    throw new AstgnnError("ERR_OPTION", `Cannot write ${file}: ${(cause as Error).message}.`, { option: "out", file, cause, next: "Name a folder that can be written." });
  }
  return file;
}
