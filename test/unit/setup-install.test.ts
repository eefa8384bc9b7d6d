import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { pinnedVersion } from "../../lib/binding/pinned.js";
import { libtorchFiles, scratch, write } from "./libtorch-fixture.js";

const repository = join(import.meta.dirname, "..", "..");
const root = scratch();
let count = 0;

/** A package folder with the real install script and these files. */
function clone(files: Record<string, string>, where = join(root, `clone-${++count}`)): string {
  write(where, { "package.json": '{"name":"astgnn","version":"0.0.0","type":"module"}', "scripts/keep": "", ...files });
  for (const name of ["install.mjs", "bundle-vega.mjs", "sources.json"]) copyFileSync(join(repository, "scripts", name), join(where, "scripts", name));
  return where;
}

const install = (folder: string, env: NodeJS.ProcessEnv = process.env, args: string[] = []): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [join(folder, "scripts", "install.mjs"), ...args], { cwd: folder, env, encoding: "utf8" });

it("does nothing, silently, where the package comes compiled and without native sources", () => {
  const folder = clone({ "dist/index.js": "" });
  expect(install(folder)).toMatchObject({ status: 0, stdout: "", stderr: "" });
});

it("says everything that is missing and how to get it", () => {
  const folder = clone({ "lib/index.ts": "", "tsconfig.json": "{}", "native/bootstrap.c": "", "CMakeLists.txt": "" });
  const { status, stderr } = install(folder, { PATH: join(folder, "nothing") });
  expect(status).toBe(1);
  for (const text of ["apt-get install cmake", "apt-get install g++", "apt-get install ninja-build", "Then run: npm run build"]) expect(stderr).toContain(text);
});

it("does not fail the installation of those who depend on it", () => {
  const folder = clone({ "dist/index.js": "", "native/bootstrap.c": "", "CMakeLists.txt": "" }, join(root, "app", "node_modules", "astgnn"));
  const { status, stderr } = install(folder, { PATH: "" });
  expect(status).toBe(0);
  expect(stderr).toContain("Building astgnn needs what is missing here");
});

describe("as a dependency with a prebuilt binary", () => {
  const core = `libastgnn_core.${process.platform === "darwin" ? "dylib" : "so"}`;
  const prebuilds = `prebuilds/${process.platform}-${process.arch}`;
  const files = { "dist/index.js": "", "native/bootstrap.c": "", "CMakeLists.txt": "", [`${prebuilds}/astgnn.node`]: "" };
  const without = { PATH: "" };
  const where = (): string => join(root, `app-${++count}`, "node_modules", "astgnn");

  it("does nothing, silently, whatever is missing for a build", () => {
    const folder = clone({ ...files, [`${prebuilds}/${core}`]: "" }, where());
    expect(install(folder, without)).toMatchObject({ status: 0, stdout: "", stderr: "" });
  });

  it("builds where half of the binary is missing", () => {
    expect(install(clone(files, where()), without)).toMatchObject({ status: 0, stderr: expect.stringContaining("apt-get install cmake") });
  });

  it.each([
    ["npm install --build-from-source", { npm_config_build_from_source: "true" }, []],
    ["npm install --build-from-source=astgnn", { npm_config_build_from_source: "astgnn" }, []],
    ["install.mjs --force", {}, ["--force"]],
  ])("builds from source with %s, and fails where it cannot, naming the command", (_, env, args) => {
    const folder = clone({ ...files, [`${prebuilds}/${core}`]: "" }, where());
    const { status, stderr } = install(folder, { ...without, ...env, INIT_CWD: dirname(dirname(folder)) }, args);
    expect(status).toBe(1);
    expect(stderr).toContain("apt-get install cmake");
    expect(stderr).toContain("Then run: node node_modules/astgnn/scripts/install.mjs --force");
  });

  it("leaves another package's build from source alone", () => {
    const folder = clone({ ...files, [`${prebuilds}/${core}`]: "" }, where());
    expect(install(folder, { ...without, npm_config_build_from_source: "sharp" })).toMatchObject({ status: 0, stderr: "" });
  });
});

  /** A clone whose cmake-js notes what it is called with and leaves empty files, and whose pip reaches no index. */
  function buildable(): { run: (env?: NodeJS.ProcessEnv, args?: string[]) => { status: number | null; stdout: string; stderr: string }; configured: () => string; library: string; nvcc: string } {
    const core = `libastgnn_core.${process.platform === "darwin" ? "dylib" : "so"}`;
    const cmakeJs = `const { appendFileSync, mkdirSync, readFileSync, writeFileSync } = require("node:fs");
if (process.argv.includes("configure")) appendFileSync("configured", process.argv.filter((each) => each.startsWith("-D")).join(" ") + "\\n");
else if (process.env.FAIL_WITH_CARGO && /ASTGNN_CARGO=\\S[^\\n]*\\n$/.test(readFileSync("configured", "utf8"))) {
  console.log(process.env.FAIL_WITH_CARGO);
  process.exitCode = 1;
} else {
  mkdirSync("build/Release", { recursive: true });
  for (const name of ["astgnn.node", "${core}", ...(/NVCC=\\S[^\\n]*\\n$/.test(readFileSync("configured", "utf8")) ? ["libastgnn_cuda.so"] : [])]) writeFileSync("build/Release/" + name, "");
}`;
    const programs = Object.fromEntries(["bin/cmake", "bin/c++", "bin/make", "toolkit/nvcc"].map((name) => [name, ""]));
    const pip = `#!/bin/sh\n[ "$1" = --version ] || { echo "ERROR: no network"; exit 1; }\n`;
    const folder = clone({ "native/bootstrap.c": "", "CMakeLists.txt": "", "node_modules/cmake-js/bin/cmake-js": cmakeJs, "bin/pip": pip, ...programs });
    chmodSync(join(folder, "bin", "pip"), 0o755);
    symlinkSync(join(repository, "dist"), join(folder, "dist"));
    const libtorch = write(join(folder, "libtorch"), libtorchFiles(pinnedVersion));
    const common = { PATH: join(folder, "bin"), HOME: folder, XDG_CACHE_HOME: folder, ASTGNN_LIBTORCH: libtorch, ASTGNN_CUDA: "1" };
    return {
      run: (env = {}, args = []) => install(folder, { ...common, ...env }, args),
      configured: () => readFileSync(join(folder, "configured"), "utf8").trim().split("\n").at(-1)!,
      library: join(folder, "build", "Release", "libastgnn_cuda.so"),
      nvcc: join(folder, "toolkit", "nvcc"),
    };
  }
const silent = { status: 0, stdout: "", stderr: "" };

describe("the CUDA library", () => {
  it.skipIf(existsSync("/dev/nvidiactl") || existsSync("/proc/driver/nvidia/version"))("is built only where a driver, CI or ASTGNN_CUDA asks for it", () => {
    const { run, library, nvcc } = buildable();
    const unasked = { ASTGNN_CUDA: "", CI: "", CUDACXX: nvcc };
    expect(run(unasked).stdout).toContain("without the CUDA library: this machine has no NVIDIA driver");
    expect(run(unasked)).toMatchObject(silent);
    expect(existsSync(library)).toBe(false);
    expect(run({ ...unasked, CI: "true" }).stdout).toContain("native core and CUDA library");
    expect(existsSync(library)).toBe(true);
    expect(run(unasked)).toMatchObject(silent);
  });

  it("is left out where its compiler cannot be fetched, which is tried again, but not by npx", () => {
    const { run, configured, library, nvcc } = buildable();
    const failed = { status: 0, stdout: expect.stringMatching(/without the CUDA library: pip could not download .*ERROR: no network/) };
    expect(run()).toMatchObject(failed);
    expect(configured()).toContain("-DASTGNN_NVCC= ");
    expect(run({ npm_command: "exec" })).toMatchObject(silent);
    expect(run()).toMatchObject(failed);
    expect(run({ CUDACXX: nvcc })).toMatchObject({ status: 0, stdout: expect.not.stringContaining("without the CUDA library") });
    expect(configured()).toContain(`-DASTGNN_NVCC=${nvcc} `);
    expect(existsSync(library)).toBe(true);
    expect(run()).toMatchObject(silent);
  });

  it("is not tried again where there is nothing to fetch its compiler with", () => {
    const { run } = buildable();
    expect(run({ CUDACXX: "/no/nvcc" }).stdout).toContain("without the CUDA library: CUDACXX names /no/nvcc");
    expect(run()).toMatchObject(silent);
  });

  it("is built again for other GPUs or where it is gone, and goes where it is not wanted", () => {
    const { run, configured, library, nvcc } = buildable();
    const environment = { CUDACXX: nvcc, ASTGNN_CUDA_ARCHITECTURES: "75-real;120" };
    run({ CUDACXX: nvcc });
    expect(configured()).toMatch(/-DASTGNN_CUDA_ARCHITECTURES=$/);
    expect(run(environment).stdout).toContain("native core and CUDA library");
    expect(configured()).toMatch(/-DASTGNN_CUDA_ARCHITECTURES=75-real;120$/);
    expect(run(environment)).toMatchObject(silent);
    rmSync(library);
    expect(run(environment).stdout).toContain("native core and CUDA library");
    expect(existsSync(library)).toBe(true);
    run({ ASTGNN_CUDA: "0" }, ["--force"]);
    expect(existsSync(library)).toBe(false);
  });
});

it("compiles lib/ once, again when a file changed, and prints nothing in between", () => {
  const folder = clone({
    "lib/setup/lock.ts": "export async function withLock<T>(_file: string, _options: object, body: () => Promise<T>): Promise<T> { return body(); }\n",
    "lib/errors.ts": "export const one = 1;\n",
    "tsconfig.json": JSON.stringify({ compilerOptions: { target: "es2023", module: "nodenext", rootDir: "lib", outDir: "dist", types: [] }, include: ["lib"] }),
  });
  symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"));
  expect(install(folder).stdout).toMatch(/done in .*: TypeScript/);
  expect(existsSync(join(folder, "dist", "errors.js"))).toBe(true);
  expect(install(folder)).toMatchObject({ status: 0, stdout: "", stderr: "" });
  writeFileSync(join(folder, "lib", "errors.ts"), "export const one: string = 1;\n");
  const broken = install(folder);
  expect(broken.status).toBe(1);
  expect(broken.stderr).toContain("Type 'number' is not assignable to type 'string'");
  expect(install(folder).status).toBe(1);
  writeFileSync(join(folder, "lib", "errors.ts"), "export const one = 2;\n");
  expect(install(folder).status).toBe(0);
  expect(readdirSync(folder).filter((name) => name.startsWith("dist"))).toEqual(["dist"]);
});

describe("the solver of convex programmes", () => {
  /** A cargo of this version, whose fetch ends as said. */
  function withCargo(version: string, fetches: boolean): ReturnType<typeof buildable> & { cargo: string } {
    const made = buildable();
    const cargo = join(dirname(made.nvcc), "..", "bin", "cargo");
    writeFileSync(cargo, `#!/bin/sh\nif [ "$1" = -vV ]; then echo "cargo ${version}"; echo "host: x86_64-unknown-linux-gnu"; else echo "error: no network" >&2; exit ${fetches ? 0 : 1}; fi\n`, { mode: 0o755 });
    return { ...made, cargo };
  }
  const env = { ASTGNN_CUDA: "0" };

  it("is left out without cargo, for one reason that is printed, and built once there is one", () => {
    const { run, configured, nvcc } = buildable();
    expect(run(env).stdout).toContain("without the solver of convex programmes: there is no cargo (Debian 12: sudo apt-get install cargo-web");
    expect(configured()).toContain("-DASTGNN_CARGO= ");
    expect(run(env)).toMatchObject(silent);
    const cargo = join(dirname(nvcc), "..", "bin", "cargo");
    writeFileSync(cargo, '#!/bin/sh\necho "cargo 1.70.0"; echo "host: x86_64-unknown-linux-gnu"\n', { mode: 0o755 });
    expect(run(env).stdout).not.toContain("without the solver");
    expect(configured()).toContain(`-DASTGNN_CARGO=${cargo} `);
    expect(run(env)).toMatchObject(silent);
  });

  it("is left out where cargo is too old, or ASTGNN_SOLVER is 0", () => {
    const { run } = withCargo("1.66.0", true);
    expect(run(env).stdout).toContain("cargo is 1.66, and 1.70 is needed");
    expect(run(env)).toMatchObject(silent);
    expect(withCargo("1.96.0", true).run({ ...env, ASTGNN_SOLVER: "0" }).stdout).toContain("ASTGNN_SOLVER is 0");
  });

  it("is left out where its crate does not compile, and the core is built all the same", () => {
    const { run, configured, cargo } = withCargo("1.85.0", true);
    // What ninja and cargo print; the second build has no crate.
    const failure = ["FAILED: solver/release/libastgnn_solver.a", "error: linking with `cc` failed: exit status: 1", "ninja: build stopped: subcommand failed."];
    const first = run({ ...env, FAIL_WITH_CARGO: failure.join("\n") });
    expect(first).toMatchObject({ status: 0, stdout: expect.stringContaining("without the solver of convex programmes: its crate did not compile: error: linking with `cc` failed: exit status: 1\n") });
    expect(first.stdout).not.toContain(cargo);
    expect(configured()).toContain("-DASTGNN_CARGO= ");
    expect(run(env)).toMatchObject(silent);
  });

  it("is left out where its crates cannot be fetched, which is tried again", () => {
    const { run } = withCargo("1.85.0", false);
    const failed = { status: 0, stdout: expect.stringContaining("cargo could not fetch its crates: error: no network") };
    expect(run(env)).toMatchObject(failed);
    expect(run({ ...env, npm_command: "exec" })).toMatchObject(silent);
    expect(run(env)).toMatchObject(failed);
  });
});
