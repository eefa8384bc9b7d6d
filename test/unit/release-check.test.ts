import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";
import { scratch, write } from "./libtorch-fixture.js";

// Plain JavaScript without declarations, hence the imports by address.
const { notePassed, PARTS, sanitizedSources } = (await import(new URL("../../scripts/sanitized-sources.mjs", import.meta.url).href)) as { notePassed(root: string, part: string, sources: string | undefined): void; PARTS: readonly string[]; sanitizedSources(root: string): string };

const root = scratch();
let count = 0;

const GPUS = [75, 80, 86, 89, 90, 100, 120];

/** A package that is ready for its release but for what is changed. `binary` stands for all of the native core; `code` is what its CUDA half is for. */
function check(args: string[], changes: Record<string, string> = {}, binary = oldBinary(), code = [...GPUS.map((gpu) => `sm_${gpu}`), "compute_120"], hasSolver = true): { status: number | null; lines: string[] } {
  const manifest = { name: "astgnn", version: "1.2.3", license: "MIT", type: "module", main: "dist/index.cjs", exports: "./dist/index.js", bin: "./dist/cli/main.js", files: ["dist", "prebuilds", "native", "CHANGELOG.md"], repository: "github:someone/astgnn" };
  const folder = write(join(root, `package-${++count}`), {
    "package.json": JSON.stringify(manifest),
    "package-lock.json": JSON.stringify({ version: "1.2.3", lockfileVersion: 3, packages: { "": { version: "1.2.3" } } }),
    "CMakeLists.txt": "add_library(astgnn SHARED)\nadd_library(astgnn_core SHARED)\nadd_library(astgnn_ranks SHARED)\nadd_library(astgnn_cuda SHARED)\n",
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2027-01-31\n\n## [1.2.2] - 2026-12-31\n",
    LICENSE: "MIT License",
    "README.md": "",
    "native/solver/LICENSES.md": "",
    ...Object.fromEntries(["index.cjs", "index.d.ts", "cli/main.js", "vendor/vega.js", "vendor/LICENSES.txt"].map((name) => [`dist/${name}`, ""])),
    "dist/index.js": 'fileURLToPath(new URL("./vendor/vega.js", import.meta.url))',
    ...changes,
  });
  mkdirSync(join(folder, "test", "native"), { recursive: true });
  for (const part of changes["build-sanitize/passed.json"] === undefined ? PARTS : PARTS.slice(1)) notePassed(folder, part, sanitizedSources(folder));
  for (const name of ["prebuilds/linux-x64/astgnn.node", "prebuilds/linux-x64/libastgnn_core.so", "prebuilds/linux-x64/libastgnn_ranks.so", ...["release-check", "sanitized-sources", "supply-chain"].map((script) => `scripts/${script}.mjs`)]) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    copyFileSync(name.endsWith(".mjs") ? join(packageRoot, name) : binary, join(folder, name));
  }
  if (hasSolver) appendFileSync(join(folder, "prebuilds/linux-x64/libastgnn_core.so"), "clarabel");
  if (code.length > 0) {
    writeFileSync(join(root, "fatbin"), fatbin(code));
    execFileSync("objcopy", ["--add-section", `.nv_fatbin=${join(root, "fatbin")}`, binary, join(folder, "prebuilds/linux-x64/libastgnn_cuda.so")]);
  }
  execFileSync("git", ["init", "--quiet"], { cwd: folder });
  for (const command of [["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "all"]]) execFileSync("git", command, { cwd: folder });
  // Nothing of the network: npm packs all the same.
  const { GITHUB_REPOSITORY: _, ...env } = process.env;
  const { status, stdout } = spawnSync(process.execPath, [join(folder, "scripts", "release-check.mjs"), ...args], { cwd: folder, env: { ...env, npm_config_registry: "http://127.0.0.1:9" }, encoding: "utf8" });
  return { status, lines: stdout.split("\n") };
}

/** As nvcc lays it out: one container per .cu file, in it a header and the bytes of each code (2, sm_) and PTX (1, compute_). */
function fatbin(code: readonly string[]): Buffer {
  const entries = code.map((name) => {
    const entry = Buffer.alloc(64 + 8);
    entry.writeUInt16LE(name.startsWith("compute_") ? 1 : 2, 0);
    entry.writeUInt32LE(64, 4);
    entry.writeBigUInt64LE(8n, 8);
    entry.writeUInt32LE(Number(name.split("_")[1]), 28);
    return entry;
  });
  const header = Buffer.alloc(16);
  header.writeUInt32LE(0xba55ed50, 0);
  header.writeUInt16LE(16, 6);
  header.writeBigUInt64LE(BigInt(72 * code.length), 8);
  return Buffer.concat([header, ...entries]);
}

/** A library that asks for nothing newer than the release may: the bootstrap with the names of its newest symbols' versions made old. */
function oldBinary(): string {
  const bytes = readFileSync(join(packageRoot, "build", "Release", "astgnn.node"));
  const file = join(root, "old.node");
  writeFileSync(file, Buffer.from(bytes.toString("latin1").replace(/GLIBC_2\.(29|3\d)/g, "GLIBC_2.17").replace(/GLIBCXX_3\.4\.(2[6-9]|3\d)/g, "GLIBCXX_3.4.11"), "latin1"));
  return file;
}

const linux = it.runIf(process.platform === "linux" && process.arch === "x64");
const failed = (lines: string[]): string[] => lines.filter((line) => line.startsWith("FAILED"));

linux("passes what can be released, and says what the tarball is", () => {
  const { status, lines } = check(["--tag", "v1.2.3"]);
  expect(failed(lines)).toEqual([]);
  expect(status).toBe(0);
  expect(lines.join("\n")).toMatch(/ok {5}prebuilds\/linux-x64\/astgnn\.node asks for GLIBC 2\.17, at most 2\.28[^]*astgnn@1\.2\.3: astgnn-1\.2\.3\.tgz, [\d.]+ MB packed[^]*astgnn 1\.2\.3 can be released\./);
});

linux("fails a release on each thing that a rehearsal has not yet", () => {
  const text = JSON.stringify({ name: "astgnn", version: "1.2.3", license: "MIT", main: "dist/index.cjs", exports: "./dist/index.js", bin: "./dist/cli/main.js", files: ["dist", "prebuilds", "native", "CHANGELOG.md"] });
  const changes = { "package.json": text, "CHANGELOG.md": "## [1.2.3]\n", "build-sanitize/passed.json": '{ "address": "those of before" }' };
  const names = (lines: string[], verdict: string): string[] => lines.filter((line) => line.startsWith(verdict)).map((line) => line.slice(7).split(":")[0]!);
  const expected = ["it has a date", "the tag is v1.2.3", "prebuilds/linux-x64/libastgnn_core.so has the solver of convex programmes", "the repository of the provenance is stated", "the native sources were tested under the sanitizers"];
  const rehearsal = check([], changes, oldBinary(), undefined, false);
  expect([names(rehearsal.lines, "later"), rehearsal.status]).toEqual([expected, 0]);
  expect(rehearsal.lines.join("\n")).toMatch(/npm run test:sanitize -- address$/m);
  const release = check(["--tag", "v1.2.4"], changes, oldBinary(), undefined, false);
  expect([names(release.lines, "FAILED"), release.status]).toEqual([expected, 1]);
});

linux("names the symbols that the oldest system has not", () => {
  const bytes = readFileSync(join(packageRoot, "build", "Release", "astgnn.node"));
  const file = join(root, "new.node");
  const wanted = /GLIBC_2\.\d+(?=\0)/.exec(bytes.toString("latin1"))![0];
  writeFileSync(file, Buffer.from(bytes.toString("latin1").replaceAll(wanted, wanted.replace("_2", "_9")), "latin1"));
  const { status, lines } = check(["--tag", "v1.2.3"], {}, file);
  expect(status).toBe(1);
  expect(failed(lines)[0]).toMatch(/astgnn\.node asks for GLIBC 9\.\d+, at most 2\.28: (.*, )?9\.\d+ \w+/);
});

linux.each([
  ["is not there", [], /libastgnn_cuda\.so is there: it is not: npm run prebuildify$/],
  ["is the one of everyday", ["sm_80", "sm_90", "compute_90"], /libastgnn_cuda\.so has code for every GPU: none for sm_75, sm_86, sm_89, sm_100, sm_120, compute_120: ASTGNN_CUDA_ARCHITECTURES="75-real;80-real;86-real;89-real;90-real;100-real;120" npm run prebuildify$/],
])("fails a release, not a rehearsal, where the CUDA library %s", (_what, code, message) => {
  const release = check(["--tag", "v1.2.3"], {}, oldBinary(), code);
  expect([failed(release.lines), release.status]).toEqual([[expect.stringMatching(message)], 1]);
  const rehearsal = check([], {}, oldBinary(), code);
  expect([failed(rehearsal.lines), rehearsal.status]).toEqual([[], 0]);
  expect(rehearsal.lines).toContainEqual(expect.stringMatching(message));
});

linux.each([
  ["versions that differ", { "package-lock.json": JSON.stringify({ version: "1.2.2", lockfileVersion: 3, packages: { "": { version: "1.2.3" } } }) }, /package\.json and package-lock\.json say 1\.2\.3: package-lock\.json says 1\.2\.2/],
  ["a changelog of yesterday", { "CHANGELOG.md": "## [Unreleased]\n\n## [1.2.2] - 2026-12-31\n" }, /the newest section of CHANGELOG\.md is 1\.2\.3: it is 1\.2\.2/],
  ["another licence", { LICENSE: "All rights reserved" }, /the licence is MIT, .*: LICENSE is another text/],
  ["a lock file that lacks a package", { "package-lock.json": JSON.stringify({ version: "1.2.3", lockfileVersion: 3, packages: { "": { version: "1.2.3" }, "node_modules/a": { version: "1.0.0", license: "MIT", integrity: "sha512-AA==", dependencies: { b: "^2.0.0" } } } }) }, /the lock files are complete: node_modules\/a needs b, which is not locked/],
  ["a package whose licence asks for more", { "package-lock.json": JSON.stringify({ version: "1.2.3", lockfileVersion: 3, packages: { "": { version: "1.2.3" }, "node_modules/a": { version: "1.0.0", license: "GPL-3.0", integrity: "sha512-AA==" } } }) }, /the 1 parts that others wrote have licences that MIT may contain: a 1\.0\.0: GPL-3\.0/],
  ["a file that nothing leads to", { "dist/forgotten.js": "", "native/kept.cpp": "", "CMakeLists.txt": "native/kept.cpp add_library(astgnn SHARED) add_library(astgnn_core SHARED) add_library(astgnn_ranks SHARED) add_library(astgnn_cuda SHARED)" }, /each file of the tarball is reached: nothing leads to dist\/forgotten\.js$/],
  ["reports without what draws them", { "dist/.npmignore": "vendor/vega.js\n" }, /dist\/vendor\/vega\.js is missing/],
  ["an incomplete tarball", { "dist/.npmignore": "index.cjs\n" }, /dist\/index\.cjs is missing/],
])("fails a rehearsal on %s", (_what, changes, message) => {
  const { status, lines } = check([], changes);
  expect(status).toBe(1);
  expect(failed(lines)).toEqual([expect.stringMatching(message)]);
});
