import { appendFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const lib = fileURLToPath(new URL("../../lib/", import.meta.url));

/** The parts of lib/ from top to bottom: a file imports from its own part and from those below. */
const PARTS = ["index", "cli", "demo", "watch", "portfolio", "risk", "evaluate", "report", "train", "run", "metrics", "model", "data", "setup", "binding"];
/** Files beside the folders that every part may use. */
const FOUNDATION = ["errors.ts", "options.ts", "presets.ts", "warn.ts"];

/** Every file of `folder` and the files of it that it imports, types included. */
function importsOf(folder: string): Map<string, string[]> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /\.c?ts$/.test(name));
  return new Map(
    files.map((file) => {
      const text = readFileSync(join(folder, file), "utf8");
      const names = [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)"(\.[^"]+)"/g)].map(([, name]) => name!);
      return [file, names.map((name) => posix.join(posix.dirname(file), name).replace(/\.(c?)js$/, ".$1ts"))];
    }),
  );
}

function rankOf(file: string): number {
  if (FOUNDATION.includes(file)) return PARTS.length;
  const part = file.split("/")[0]!.replace(/\.c?ts$/, "");
  const rank = PARTS.indexOf(part);
  if (rank < 0) throw new Error(`lib/${file} is in no part: add it to the list here and in the README.`);
  return rank;
}

function upward(imports: ReadonlyMap<string, readonly string[]>): string[] {
  return [...imports].flatMap(([file, targets]) => targets.filter((target) => rankOf(target) < rankOf(file)).map((target) => `${file} -> ${target}`)).sort();
}

/** Groups of files that import one another in a circle (strongly connected components, by Tarjan's algorithm), each sorted and joined. */
function circles(imports: ReadonlyMap<string, readonly string[]>): string[] {
  const index = new Map<string, number>();
  const stack: string[] = [];
  const found: string[] = [];
  const visit = (file: string): number => {
    const own = index.size;
    index.set(file, own);
    let least = own;
    stack.push(file);
    for (const target of imports.get(file) ?? []) {
      if (!index.has(target)) least = Math.min(least, visit(target));
      else if (stack.includes(target)) least = Math.min(least, index.get(target)!);
    }
    if (least !== own) return least;
    const members = stack.splice(stack.indexOf(file));
    if (members.length > 1 || imports.get(file)?.includes(file) === true) found.push(members.sort().join(" "));
    return least;
  };
  for (const file of imports.keys()) if (!index.has(file)) visit(file);
  return found.sort();
}

describe("The imports of lib/", () => {
  const imports = importsOf(lib);

  test("name files that are there", () => {
    expect([...imports].flatMap(([file, targets]) => targets.filter((target) => !imports.has(target)).map((target) => `${file} -> ${target}`))).toEqual([]);
  });

  test("point down the list of parts", () => {
    expect(upward(imports)).toEqual([]);
  });

  test("make no circles of files", () => {
    expect(circles(imports)).toEqual([]);
  });
});

describe("A copy of lib/ with one import planted", () => {
  let copy: string;
  beforeAll(() => {
    copy = mkdtempSync(join(tmpdir(), "astgnn-imports-"));
  });
  afterAll(() => rmSync(copy, { recursive: true, force: true }));

  test.each([
    ['import type { Terminal } from "../cli/terminal.js";', "binding/elf.ts", "binding/elf.ts -> cli/terminal.ts"],
    ['const later = await import("../train/train.js");', "model/config.ts", "model/config.ts -> train/train.ts"],
    ['export { openPanel } from "./data/panel.js";', "errors.ts", "errors.ts -> data/panel.ts"],
  ])("%s in %s fails for its direction", (line, file, arrow) => {
    cpSync(lib, copy, { recursive: true });
    appendFileSync(join(copy, file), `\n${line}\n`);
    expect(upward(importsOf(copy))).toEqual([arrow]);
  });

  test("fails for a circle within a part", () => {
    cpSync(lib, copy, { recursive: true });
    appendFileSync(join(copy, "metrics/random.ts"), '\nimport "./bootstrap.js";\n');
    expect(circles(importsOf(copy))).toEqual(["metrics/bootstrap.ts metrics/random.ts"]);
  });
});
