import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";

const build = join(packageRoot, "build");
const library = join(build, "Release", "libastgnn_cuda.so");
const stamp = JSON.parse(readFileSync(join(build, "stamp.json"), "utf8")) as { cuda?: { nvcc?: string; reason?: string } };
const left = stamp.cuda?.reason;
if (left !== undefined) console.log(`The CUDA library was left out: ${left}`);

// CI has to build it, so there a reason is a failure; elsewhere a machine may lack both a toolkit and pip.
describe.skipIf(process.platform !== "linux" || process.arch !== "x64" || (left !== undefined && process.env["CI"] === undefined))("the CUDA library", () => {
  test("was compiled and linked", () => {
    expect(left, "why it was left out").toBeUndefined();
    expect(existsSync(library)).toBe(true);
  });

  test("holds code for GPUs, and needs LibTorch but no symbol of the core", () => {
    const sections = execFileSync("objdump", ["-h", library], { encoding: "utf8" });
    expect(sections).toMatch(/\.nv_fatbin\s+[0-9a-f]*[1-9a-f][0-9a-f]*/);
    const symbols = execFileSync("objdump", ["-T", library], { encoding: "utf8" }).split("\n").filter((line) => line.includes("*UND*"));
    expect(symbols.filter((line) => line.includes("getCurrentCUDAStream"))).toHaveLength(1);
    expect(symbols.filter((line) => line.includes("N6astgnn"))).toEqual([]);
  });
});
