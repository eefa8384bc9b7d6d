import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";

// One wide instruction outside the kernels that are chosen at run time, and the library dies on an older machine.
const release = join(packageRoot, "build", "Release");
const library = existsSync(release) ? readdirSync(release).find((name) => /astgnn_core\.(so|dylib)$/.test(name)) : undefined;

describe.skipIf(process.arch !== "x64" || process.platform !== "linux")("the core's instructions", () => {
  test("beyond x86-64-v2 stand in the kernels of their own instruction set alone", async () => {
    expect(library, `no core in ${release}`).toBeDefined();
    const wide = await wideInstructions(join(release, library!));
    const strangers = [...wide].filter(([symbol]) => !/N6astgnn3ops(6avx512|4avx2|3amx)/.test(symbol));
    expect(strangers.map(([symbol, first]) => `${symbol}: ${first}`)).toEqual([]);
    // The disassembly was read, and the symbols are there to be told apart.
    for (const kernels of ["6avx512", "4avx2"]) expect([...wide.keys()].filter((symbol) => symbol.includes(kernels)).length).toBeGreaterThan(5);
  });
});

/** Functions with VEX or EVEX instructions, or tiles, each with its first one. */
async function wideInstructions(file: string): Promise<Map<string, string>> {
  const objdump = spawn("objdump", ["-d", "--no-show-raw-insn", file], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<number | null>((resolve, reject) => objdump.on("error", reject).on("close", resolve));
  const found = new Map<string, string>();
  let symbol = "";
  for await (const line of createInterface({ input: objdump.stdout })) {
    const header = /^[0-9a-f]+ <(.+)>:$/.exec(line);
    if (header !== null) symbol = header[1]!;
    else if (/%[yz]mm|%tmm|\s(v[a-z]|tile)/.test(line) && !/\sverr|\sverw|\svm/.test(line) && !found.has(symbol)) found.set(symbol, line.trim());
  }
  expect(await ended).toBe(0);
  return found;
}
