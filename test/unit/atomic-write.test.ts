import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeEach, expect, it, vi } from "vitest";
import { moveIntoPlace, partialPath, writeFileAtomically } from "../../lib/model/atomic-write.js";

const done = vi.hoisted((): string[] => []);
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  return {
    ...real,
    open: async (...args: Parameters<typeof real.open>) => {
      const file = await real.open(...args);
      const sync = file.sync.bind(file);
      file.sync = async () => (done.push(`sync ${basename(String(args[0]))}`), sync());
      return file;
    },
    rename: async (from: string, to: string) => (done.push(`rename to ${basename(to)}`), real.rename(from, to)),
  };
});

const folder = mkdtempSync(join(tmpdir(), "astgnn-atomic-"));
beforeEach(() => void (done.length = 0));
afterAll(() => rmSync(folder, { recursive: true }));

it("syncs a file's bytes before its name and the name after, also of a file that somebody else wrote", async () => {
  const path = join(folder, "scores.csv");
  const order = ["sync .scores.csv.partial", "rename to scores.csv", `sync ${basename(folder)}`];
  writeFileSync(partialPath(path), "a");
  await moveIntoPlace(partialPath(path), path);
  expect(done).toEqual(order);
  done.length = 0;
  await writeFileAtomically(path, "b");
  expect(done).toEqual(order);
  expect(readFileSync(path, "utf8")).toBe("b");
});
