import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { awaitReplacement, replaceRun, replacementPath } from "../../lib/run/replacement.js";
import { RUN_FILES, RUN_PAGES } from "../../lib/run/files.js";
import { RunFolder } from "../../lib/run/folder.js";

const kill = vi.hoisted(() => ({ after: Infinity, done: 0 }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const counted = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => async (...args: A): Promise<R> => {
    if (kill.done++ >= kill.after) throw new Error("killed");
    return work(...args);
  };
  return { ...real, rename: counted(real.rename), rm: counted(real.rm as never), rmdir: counted(real.rmdir as never) };
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "astgnn-replacement-"));
  kill.after = Infinity;
});
afterEach(() => rmSync(folder, { recursive: true }));

const ENSEMBLE = ["run.json", "predictions.parquet", "report.json"];

function write(path: string, text: string, seeds?: readonly number[]): void {
  mkdirSync(path, { recursive: true });
  for (const name of seeds === undefined ? RUN_FILES : ENSEMBLE) writeFileSync(join(path, name), text);
  writeFileSync(join(path, "run.json"), JSON.stringify({ text, kind: seeds === undefined ? "run" : "ensemble", ...(seeds === undefined ? {} : { members: seeds.map((seed) => `seed-${seed}`) }) }));
  for (const seed of seeds ?? []) write(join(path, `seed-${seed}`), `${text} ${seed}`);
}

function content(path: string): Record<string, string> {
  return Object.fromEntries((readdirSync(path, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => [join(entry.parentPath, entry.name).slice(path.length), readFileSync(join(entry.parentPath, entry.name), "utf8")]));
}

it.each([
  ["a run by a run", undefined, undefined],
  ["an ensemble by another", [0, 1], [1, 2]],
  ["an ensemble by a run", [0, 1], undefined],
  ["a run by an ensemble", undefined, [3]],
])("%s is replaced whole, whatever moment a kill comes at, and what else is there stays", async (_, before, after) => {
  const expected = join(folder, "expected");
  write(expected, "new", after);
  for (const name of ["notes.txt", ...(before?.includes(0) ? ["seed-0/notes.txt"] : [])]) {
    mkdirSync(join(expected, "seed-0"), { recursive: true });
    writeFileSync(join(expected, name), "mine");
  }
  for (let moment = 0, killed = true; killed; moment++) {
    const path = join(folder, String(moment));
    write(path, "old", before);
    // The new run has no page yet, and that of the old one is about another.
    for (const part of [path, ...(before ?? []).map((seed) => join(path, `seed-${seed}`))]) for (const page of RUN_PAGES) writeFileSync(join(part, page), "old");
    writeFileSync(join(path, "notes.txt"), "mine");
    if (before?.includes(0)) writeFileSync(join(path, "seed-0", "notes.txt"), "mine");
    const old = content(path);
    write(replacementPath(path), "new", after);
    [kill.after, kill.done] = [moment, 0];
    killed = await replaceRun(path).then(() => false, () => true);
    [kill.after, kill.done] = [Infinity, 0];
    if (moment === 0) {
      // Before the rename that decides, the old run is the run.
      const now = content(path);
      for (const name of Object.keys(old)) expect(now[name], name).toBe(old[name]);
      continue;
    }
    // A killed process's lock is taken over; here the process lives, and has left it.
    for (const name of readdirSync(path, { recursive: true }) as string[]) if (name.includes(".lock")) rmSync(join(path, name));
    await awaitReplacement(path);
    expect(content(path), `killed before action ${moment}`).toEqual(content(expected));
    expect(moment).toBeLessThan(200);
  }
});

it("overwrite builds beside the run and touches nothing of it; without a run there it builds in place", async () => {
  write(folder, "old", [0]);
  const old = content(folder);
  const { folder: run, continues } = await RunFolder.open(folder, { resume: false, overwrite: true }, "run");
  expect([run.path, continues]).toEqual([replacementPath(folder), false]);
  expect(content(folder)).toEqual(old);
  expect((await RunFolder.open(mkdtempSync(join(folder, "empty-")), { resume: false, overwrite: true }, "run")).folder.path).toContain("empty-");
});

it("a replacement without its first checkpoint is not resumed in place of the run", async () => {
  write(folder, "old");
  mkdirSync(replacementPath(folder));
  const { folder: run, continues } = await RunFolder.open(folder, { resume: true, overwrite: false }, "run");
  expect([run.path, continues, existsSync(replacementPath(folder))]).toEqual([folder, true, false]);
});
