import { execFileSync, spawnSync, type SpawnSyncReturns } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";
import { scratch } from "../unit/libtorch-fixture.js";

// Plain JavaScript without declarations, hence the import by address.
const { packTarball } = await import(new URL("../../scripts/tarball.mjs", import.meta.url).href);

interface Tarball {
  file: string;
  packedBytes: number;
  unpackedBytes: number;
  files: { path: string; bytes: number }[];
}

const folder = scratch();
const user = join(folder, "user");
const platform = `${process.platform}-${process.arch}`;
const coreName = `libastgnn_core.${process.platform === "darwin" ? "dylib" : "so"}`;
const cudaName = "libastgnn_cuda.so";
/** Where a CUDA compiler was found or fetched; test/binding/cuda-library.test.ts says why not. */
const hasCuda = existsSync(join(packageRoot, "build", "Release", cudaName));
let tarball: Tarball;
let paths: string[];

beforeAll(() => {
  tarball = packTarball(folder) as Tarball;
  paths = tarball.files.map(({ path }) => path);
  // A user's project: the tarball unpacked, the packages that it depends on, the types of Node.
  const installed = join(user, "node_modules", "astgnn");
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", tarball.file, "--strip-components=1", "-C", installed]);
  const { dependencies } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { dependencies: Record<string, string> };
  for (const name of new Set(["@types", ...Object.keys(dependencies).map((dependency) => dependency.split("/")[0]!)])) symlinkSync(join(packageRoot, "node_modules", name), join(user, "node_modules", name));
});

/** Runs a program of node_modules. */
const run = (script: string, args: string[], cwd = packageRoot): SpawnSyncReturns<string> => spawnSync(process.execPath, [join(packageRoot, "node_modules", script), ...args], { cwd, encoding: "utf8" });

describe("the tarball", () => {
  it("holds what users need and nothing else", () => {
    const needed = [
      ...["CHANGELOG.md", "CMakeLists.txt", "LICENSE", "README.md", "package.json", "scripts/install.mjs", "scripts/sources.json"],
      ...["dist/index.js", "dist/index.d.ts", "dist/index.cjs", "dist/index.d.cts", "dist/cli/main.js", "dist/vendor/vega.js", "dist/vendor/LICENSES.txt", "native/bootstrap.c", "native/addon.cpp"],
      ...["Cargo.lock", "Cargo.toml", "LICENSES.md", "solver.h", "solver.rs"].map((name) => `native/solver/${name}`),
      ...[`prebuilds/${platform}/astgnn.node`, `prebuilds/${platform}/${coreName}`, `prebuilds/${platform}/libastgnn_ranks.so`],
      ...(hasCuda ? [`prebuilds/${platform}/${cudaName}`] : []),
    ];
    expect(needed.filter((path) => !paths.includes(path))).toEqual([]);
    // Native sources are there for a build from source. It compiles no TypeScript, so lib/ is not.
    const patterns = [/^dist\/[\w/-]+\.(js|d\.ts)$/, /^native\/[\w/]+\.(c|cpp|cu|h)$/, /^prebuilds\/(linux|darwin)-(x64|arm64)\/(astgnn\.node|libastgnn_(core|cuda|ranks)\.(so|dylib))$/];
    expect(paths.filter((path) => !needed.includes(path) && !patterns.some((pattern) => pattern.test(path)))).toEqual([]);
  });

  it("holds what every source of today compiles to, and nothing of yesterday's", () => {
    const sources = readdirSync(join(packageRoot, "lib"), { recursive: true, encoding: "utf8" }).filter((name) => /\.c?ts$/.test(name) && !name.endsWith(".d.ts"));
    const compiled = sources.flatMap((name) => [name.replace(/ts$/, "js"), name.replace(/(c?ts)$/, "d.$1")]);
    expect(paths.filter((path) => /^dist\/(?!vendor\/)/.test(path)).sort()).toEqual(compiled.map((name) => `dist/${name}`).sort());
  });

  it("stays small", () => {
    const bytes = (pattern: RegExp): number => tarball.files.filter(({ path }) => pattern.test(path)).reduce((sum, file) => sum + file.bytes, 0);
    // A quarter more than was measured (2.31, 1.04 and, for the one platform, 4.7 MB): LibTorch linked in, fixtures or source maps packed would not fit.
    expect(bytes(/^dist\/(?!vendor\/)/)).toBeLessThan(2.9e6);
    // Vega and Vega-Lite: 0.84 MB, of which 0.28 are downloaded.
    expect(bytes(/^dist\/vendor\//)).toBeLessThan(0.95e6);
    expect(bytes(/^native\//)).toBeLessThan(1.3e6);
    expect(bytes(new RegExp(`^prebuilds/${platform}/(astgnn\\.node|${coreName.replace(".", "\\.")})$`))).toBeLessThan(5.9e6);
    // The CUDA library with code for seven GPUs, as a release has it: 3.3 MB. Of everyday, with two, it is 1.6 MB.
    expect(bytes(new RegExp(`^prebuilds/${platform}/${cudaName.replace(".", "\\.")}$`))).toBeLessThan(4.1e6);
    // What npm downloads and what it takes on disk: 5.8 and 10.5 MB of a release.
    expect(tarball.packedBytes).toBeLessThan(7.2e6);
    expect(tarball.unpackedBytes).toBeLessThan(13.1e6);
  });

  it("has nothing that publint would change", () => {
    const { status, stdout } = run("publint/src/cli.js", ["run", tarball.file, "--strict"]);
    expect(stdout).toContain("All good!");
    expect(status).toBe(0);
  });

  it("has types that are right wherever they are resolved", () => {
    const { status, stdout } = run("@arethetypeswrong/cli/dist/index.js", [tarball.file, "--format", "ascii", "--no-emoji", "--no-color", "--no-definitely-typed"]);
    expect(stdout).toContain("No problems found");
    expect(status).toBe(0);
  });
});

describe.skipIf(process.platform !== "linux")("the prebuilt binaries", () => {
  const prebuilt = (name: string): string => join(packageRoot, "prebuilds", platform, name);
  const built = (name: string): string => join(packageRoot, "build", "Release", name);
  const symbols = (name: string): string => join(packageRoot, "build", "symbols", platform, `${name}.debug`);
  const names = ["astgnn.node", coreName, ...(hasCuda ? [cudaName] : [])];

  it.each(names)("%s is stripped, and what was stripped lies apart, tied to it", (name) => {
    const nm = (file: string): string => spawnSync("nm", [file], { encoding: "utf8" }).stderr;
    expect(nm(prebuilt(name))).toContain("no symbols");
    expect(nm(symbols(name))).not.toContain("no symbols");
    // The link is the file's name and, at the end, its CRC-32; gdb takes no other file.
    const link = section(prebuilt(name), ".gnu_debuglink");
    expect(link.toString("latin1")).toContain(`${name}.debug\0`);
    expect(link.readUInt32LE(link.length - 4)).toBe(crc32(readFileSync(symbols(name))));
  });

  // Which instructions stand in which kernel is told by symbols alone, so test/binding/instructions.test.ts reads the file that has them.
  it.each(names)("%s has the very instructions of the build that is tested", (name) => {
    const digest = (file: string): string => createHash("sha256").update(section(file, ".text")).digest("hex");
    expect(digest(prebuilt(name))).toBe(digest(built(name)));
  });

  function section(file: string, name: string): Buffer {
    const out = join(folder, "section");
    execFileSync("objcopy", ["--dump-section", `${name}=${out}`, file, "/dev/null"]);
    return readFileSync(out);
  }
});

describe("a TypeScript user", () => {
  const imports = 'import { ASTGNNFactorModel, openPanel, train, type DatasetOptions, type TrainingRun } from "astgnn";\n';
  const body = `
const options: DatasetOptions = { features: "ohlcv", window: 2, label: { horizonDays: 1, lagDays: 0 }, split: { trainEnd: "2020-01-01", validEnd: "2020-02-01" } };
export async function first(): Promise<TrainingRun> {
  const panel = await openPanel("prices.parquet");
  return train(new ASTGNNFactorModel({ sequentialInputSize: 20 }), await panel.dataset(options));
}
// @ts-expect-error a window is a number, which only those types tell that were found
export const wrong: DatasetOptions = { ...options, window: "2" };
`;
  const required = 'import astgnn = require("astgnn");\nexport const run: Promise<astgnn.TrainingRun> = astgnn.train(new astgnn.ASTGNNFactorModel({ sequentialInputSize: 20 }), {} as astgnn.Dataset);\n';
  // Libraries are checked too: what is wrong in our declarations must not hide behind skipLibCheck.
  const options = { strict: true, target: "es2022", lib: ["es2022", "esnext.disposable"], types: ["node"], noEmit: true, skipLibCheck: false };

  it.each([
    ["an ES module, moduleResolution node16", "esm.mts", imports + body, { module: "node16", moduleResolution: "node16" }],
    ["a CommonJS module, moduleResolution node16", "cjs.cts", imports + body, { module: "node16", moduleResolution: "node16" }],
    ["a CommonJS module that says require, moduleResolution node16", "required.cts", required, { module: "node16", moduleResolution: "node16" }],
    ["a CommonJS module, moduleResolution nodenext", "cjs.cts", imports + body, { module: "nodenext", moduleResolution: "nodenext" }],
    ["a bundler", "bundled.ts", imports + body, { module: "esnext", moduleResolution: "bundler" }],
  ])("compiles with %s", (_, file, text, resolution) => {
    writeFileSync(join(user, file), text);
    writeFileSync(join(user, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...options, ...resolution }, files: [file] }));
    const { status, stdout } = run("typescript/bin/tsc", ["-p", "."], user);
    expect(stdout).toBe("");
    expect(status).toBe(0);
  });
});
