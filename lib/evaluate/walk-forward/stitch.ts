import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Database } from "../../data/source/database.js";
import { literal, oneFile } from "../../data/source/sql.js";
import { AstgnnError } from "../../errors.js";
import { moveIntoPlace, partialPath, writeFileAtomically, writing } from "../../model/atomic-write.js";
import type { StoredFold, WalkForwardDescription } from "../../run/description.js";
import { lockRunFolder } from "../../run/files.js";
import type { Report } from "../../run/report.js";
import { readTests, type StoredSplit } from "../../run/stored-predictions.js";
import { isFinished, readStored } from "./finished.js";

/** A fold of a stored walk-forward. */
export interface FoldResult extends StoredFold {
  readonly isFinished: boolean;
  /** Epoch whose weights are kept; null for an ensemble and for a fold that is not finished. */
  readonly bestEpoch: number | null;
  /** Means over the fold's dates; null where it is not finished or has no such dates. */
  readonly validIc: number | null;
  readonly testIc: number | null;
}

/** Folders of a walk-forward that are not finished: of folds, or of members of a fold of several seeds. */
export async function unfinished(out: string, { folds, seeds }: Pick<WalkForwardDescription, "folds" | "seeds">): Promise<string[]> {
  const missing: string[] = [];
  for (const { name } of folds) {
    if (await isFinished(join(out, name))) continue;
    const members: string[] = [];
    for (const seed of Array.isArray(seeds) ? seeds : []) if (!(await isFinished(join(out, name, `seed-${seed}`)))) members.push(join(name, `seed-${seed}`));
    missing.push(...(members.length === 0 || members.length === (seeds as readonly number[]).length ? [name] : members));
  }
  return missing;
}

/** Folds with what they came to. */
export async function foldResults(out: string, { folds }: Pick<WalkForwardDescription, "folds">): Promise<FoldResult[]> {
  return Promise.all(folds.map(async (fold): Promise<FoldResult> => {
    const folder = join(out, fold.name);
    if (!(await isFinished(folder))) return { ...fold, isFinished: false, bestEpoch: null, validIc: null, testIc: null };
    const { bestEpoch = null, valid, test } = ((await readStored(join(folder, "report.json"))) ?? {}) as Partial<Report>;
    return { ...fold, isFinished: true, bestEpoch, validIc: valid?.ic ?? null, testIc: test?.ic ?? null };
  }));
}

/**
 * The tests of the finished folds as one: no date is in two of them.
 *
 * @throws AstgnnError ERR_DATA where a date is, or files are missing
 */
export async function readFoldTests(out: string, folds: readonly FoldResult[]): Promise<StoredSplit> {
  const files = finishedFiles(out, folds);
  const seen = new Map<string, string>();
  await using database = Database.open();
  for (const file of files) {
    for (const [date] of await database.rows(`SELECT DISTINCT strftime(date, '%Y-%m-%d') FROM read_parquet(${oneFile(file)}) WHERE split = 'test'`, file)) {
      const other = seen.get(String(date));
      if (other !== undefined) throw new AstgnnError("ERR_DATA", `${String(date)} is a test date of ${other} and of ${file}.`, { file, date: String(date), next: "Remove the fold that does not belong there, and train it again." });
      seen.set(String(date), file);
    }
  }
  return readTests(files);
}

/** Means of the folds' graph statistics and errors on their tests, each fold by its number of dates; null where a fold does not say. */
export async function foldStatistics(out: string, folds: readonly FoldResult[], names: readonly string[]): Promise<Record<string, number | null>> {
  const reports = await Promise.all(folds.filter((fold) => fold.isFinished).map(async ({ name }) => ((await readStored(join(out, name, "report.json"))) as { test?: Record<string, unknown> } | undefined)?.test ?? {}));
  const meanOf = (name: string): number | null => {
    let [sum, dates] = [0, 0];
    for (const test of reports) {
      if (test["dates"] === 0) continue;
      if (typeof test[name] !== "number" || typeof test["dates"] !== "number") return null;
      sum += test[name] * test["dates"];
      dates += test["dates"];
    }
    return dates === 0 ? null : sum / dates;
  };
  return Object.fromEntries(names.map((name) => [name, meanOf(name)]));
}

/**
 * Writes predictions.parquet of a walk-forward: the tests of the folds that are finished, and the newest dates as the last fold scores them. With all folds
 * finished the walk-forward is too.
 */
export async function stitch(out: string): Promise<void> {
  await lockRunFolder(out, async () => {
    const file = join(out, "run.json");
    const description = JSON.parse(await readFile(file, "utf8")) as WalkForwardDescription;
    const folds = await foldResults(out, description);
    const files = finishedFiles(out, folds);
    if (files.length === 0) return;
    await using database = Database.open();
    const to = join(out, "predictions.parquet");
    const partial = partialPath(to);
    const parts = files.map((path) => `SELECT * FROM read_parquet(${oneFile(path)}) WHERE split IN ('test', 'unlabelled')`);
    await writing(to, async () => {
      await database.run(`COPY (${parts.join(" UNION ALL ")} ORDER BY date, ticker) TO ${literal(partial)} (FORMAT parquet)`, to);
      await moveIntoPlace(partial, to);
    });
    if (description.status === "running" && folds.every((fold) => fold.isFinished)) await writeFileAtomically(file, `${JSON.stringify({ ...description, status: "finished" }, null, 2)}\n`);
  }, { waits: true });
}

function finishedFiles(out: string, folds: readonly FoldResult[]): string[] {
  return folds.filter((fold) => fold.isFinished).map(({ name }) => join(out, name, "predictions.parquet"));
}
