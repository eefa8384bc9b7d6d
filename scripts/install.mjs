// `npm ci` (install) and `npm run build` (--force): compiles lib/ to dist/, finds or fetches LibTorch, builds native/ with cmake-js.
// npx runs it again before every command inside a clone, so the first thing it does is to see that there is nothing to do.
// As a dependency the package comes with dist/ and, for its platforms, with prebuilt binaries: nothing to do then, unless the user asked for a
// build from source.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { delimiter, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const build = join(root, "build");
const dist = join(root, "dist");
const stampFile = join(build, "stamp.json");
const logFile = join(build, "build.log");
const coreName = process.platform === "darwin" ? "libastgnn_core.dylib" : "libastgnn_core.so";
const cudaLibrary = join(build, "Release", "libastgnn_cuda.so");
const outputs = { typescript: [join(dist, "errors.js"), join(dist, "vendor", "vega.js")], native: [join(build, "Release", "astgnn.node"), join(build, "Release", coreName)] };
// Semicolons between them, as CMake takes them; empty: those of everyday, in CMakeLists.txt.
const architectures = process.env.ASTGNN_CUDA_ARCHITECTURES ?? "";
const hasNative = existsSync(join(root, "native", "bootstrap.c")) && existsSync(join(root, "CMakeLists.txt"));
const hasTypeScript = existsSync(join(root, "lib")) && existsSync(join(root, "tsconfig.json"));
const isDependency = dirname(root).split(/[\\/]/).includes("node_modules");
const prebuilt = ["astgnn.node", coreName].every((name) => existsSync(join(root, "prebuilds", `${process.platform}-${process.arch}`, name)));
// By hand, `npm run build`, or as npm 11 passes `npm install --build-from-source` on (12 refuses the flag and takes the variable).
const force = process.argv.includes("--force") || (isDependency && ["true", "astgnn"].includes(process.env.npm_config_build_from_source));
const again = isDependency ? `node ${join(relative(process.env.INIT_CWD ?? process.cwd(), root), "scripts", "install.mjs")} --force` : "npm run build";

class InstallError extends Error {}

/** name -> [modification time, size] of every file that the result depends on. */
function fingerprint(names) {
  const files = {};
  const visit = (path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (stat.isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
    else files[relative(root, path)] = [Math.trunc(stat.mtimeMs), stat.size];
  };
  for (const name of names) visit(join(root, name));
  return files;
}

const inputs = () => ({
  typescript: fingerprint(["lib", "tsconfig.json", "package.json", "scripts/install.mjs", "scripts/bundle-vega.mjs"]),
  native: fingerprint(["native", "CMakeLists.txt", "package.json", "scripts/install.mjs"]),
});

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, "utf8"));
  } catch {
    return {};
  }
}

function writeStamp(stamp) {
  mkdirSync(build, { recursive: true });
  const draft = `${stampFile}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(stamp, null, 1)}\n`);
  renameSync(draft, stampFile);
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** What has to be done, by comparing the sources and the outputs with the stamp of the last complete run. */
function outdated() {
  const stamp = readStamp();
  const now = inputs();
  const named = process.env.ASTGNN_LIBTORCH || process.env.LIBTORCH;
  const libtorch = stamp.libtorch?.path;
  // npx runs this before every command and shall not wait for a network that is not there.
  const fetchAgain = stamp.cuda?.isFetchFailure === true && process.env.ASTGNN_CUDA !== "0" && process.env.npm_command !== "exec";
  const solverIsMissing = (stamp.solver?.isMissing === true && onPath("cargo")) || (stamp.solver?.isFetchFailure === true && process.env.npm_command !== "exec");
  const cudaIsMissing = stamp.cuda?.isUnasked === true && asksForCuda();
  return {
    typescript: hasTypeScript && (force || !same(stamp.typescript, now.typescript) || !outputs.typescript.every(existsSync)),
    native:
      hasNative &&
      (force ||
        !same(stamp.native, now.native) ||
        !outputs.native.every(existsSync) ||
        libtorch === undefined ||
        !existsSync(join(libtorch, "lib")) ||
        fetchAgain ||
        cudaIsMissing ||
        solverIsMissing ||
        (stamp.cuda?.nvcc !== undefined && (stamp.cuda.architectures !== architectures || !existsSync(cudaLibrary))) ||
        (named !== undefined && resolve(named) !== libtorch)),
  };
}

/** Whether the CUDA library is built at all: it takes minutes, and nobody can use it without a driver. A driver is what lib/binding/libtorch.ts takes for one. */
function asksForCuda() {
  if (process.env.ASTGNN_CUDA) return process.env.ASTGNN_CUDA !== "0";
  return process.env.CI === "true" || ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"].some((path) => existsSync(path));
}

const foundOnPath = (name) => (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "").map((folder) => join(folder, name)).find((file) => existsSync(file));
const onPath = (name) => foundOnPath(name) !== undefined;

function checkRequirements() {
  const lacking = [];
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || major === 21 || (major === 20 && minor < 19) || (major === 22 && minor < 12)) lacking.push(`Node.js 20.19, 22.12 or newer (this is ${process.versions.node}): https://nodejs.org`);
  if (hasNative) {
    if (!onPath("cmake")) lacking.push("cmake 3.22 or newer: sudo apt-get install cmake");
    if (!onPath(process.env.CXX ?? "c++") && !onPath("g++") && !onPath("clang++")) lacking.push("a C++20 compiler: sudo apt-get install g++");
    if (!onPath("ninja") && !onPath("make")) lacking.push("ninja or make: sudo apt-get install ninja-build");
    if (!existsSync(join(root, "node_modules", "cmake-js")) && cmakeJs() === undefined) lacking.push("the npm package cmake-js: npm ci");
  }
  if (hasTypeScript && typescript() === undefined) lacking.push("the npm package typescript: npm ci (without --omit=dev)");
  if (lacking.length > 0) throw new InstallError(`Building astgnn needs what is missing here:\n${lacking.map((line) => `  - ${line}`).join("\n")}\nThen run: ${again}`);
}

const moduleFile = (name, file) => {
  // A dependency's own dependencies may be hoisted to any node_modules above it.
  for (let at = root; ; at = dirname(at)) {
    const candidate = join(at, "node_modules", name, file);
    if (existsSync(candidate)) return candidate;
    if (dirname(at) === at) return undefined;
  }
};
const cmakeJs = () => moduleFile("cmake-js", "bin/cmake-js");
const typescript = () => moduleFile("typescript", "bin/tsc");

const children = new Set();

/** Runs a program, its output into a string; `onLine` sees every line as it comes. */
function run(command, args, onLine = () => {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    children.add(child);
    let output = "";
    let rest = "";
    const take = (chunk) => {
      output += chunk;
      const lines = (rest + chunk).split("\n");
      rest = lines.pop();
      lines.forEach(onLine);
    };
    child.stdout.setEncoding("utf8").on("data", take);
    child.stderr.setEncoding("utf8").on("data", take);
    child.on("error", fail);
    child.on("close", (code, signal) => {
      children.delete(child);
      done({ ok: code === 0, code: code ?? signal, output });
    });
  });
}

const say = (line) => process.stdout.write(`astgnn: ${line}\n`);
/** What each part of this run took. */
const parts = [];
const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

/** Compiles lib/ into a folder of its own, so that nobody ever sees half a dist/. Type errors are reported by the caller. */
async function compileTypeScript(folder) {
  const start = Date.now();
  const result = await run(process.execPath, [typescript(), "-p", "tsconfig.json", "--outDir", folder]);
  const { bundleVega } = await import("./bundle-vega.mjs");
  await bundleVega(folder);
  if (!existsSync(join(folder, "setup", "lock.js"))) throw new InstallError(`TypeScript did not compile:\n${result.output}`);
  // npx links the command, and the link needs a file that may be run.
  const command = join(folder, "cli", "main.js");
  if (existsSync(command)) chmodSync(command, 0o755);
  parts.push(`TypeScript ${seconds(start)}${result.ok ? "" : ", with type errors"}`);
  return result.ok ? "" : result.output;
}

function replaceDist(folder) {
  const old = `${folder}.old`;
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(folder, dist);
  rmSync(old, { recursive: true, force: true });
}

async function libtorch(from) {
  const load = (file) => import(pathToFileURL(join(from, file)).href);
  const { searchLibTorch } = await load("binding/libtorch.js");
  const { found } = searchLibTorch({ build: true });
  if (found !== undefined) return found;
  const { findPip } = await load("setup/pip.js");
  if ((await findPip()) === undefined) {
    const command = `node ${relative(process.cwd(), join(dist, "cli", "main.js"))} setup`;
    throw new InstallError(
      `There is no LibTorch yet and no pip to fetch it with. One of:\n  1. sudo apt-get install python3-pip\n  2. ${command}   (fetches the official CPU archive)\n` +
        `  3. ${command} --from <wheel|archive|folder>\n  4. export ASTGNN_LIBTORCH=<folder of a LibTorch, with lib/ and include/>\nThen run: ${again}`,
    );
  }
  const { setup } = await load("setup/setup.js");
  const { progressPrinter } = await load("setup/progress.js");
  const printer = progressPrinter(process.stdout);
  try {
    await setup({ variant: "cpu", signal: interrupted.signal, onProgress: printer.show });
  } finally {
    printer.end();
  }
  return searchLibTorch({ build: true }).found;
}

/** The CUDA compiler, or why the CUDA library is left out. */
async function cuda(from) {
  if (process.env.ASTGNN_CUDA === "0") return { reason: "ASTGNN_CUDA is 0" };
  if (!asksForCuda()) return { reason: "this machine has no NVIDIA driver; ASTGNN_CUDA=1 builds it all the same", isUnasked: true };
  const start = Date.now();
  const load = (file) => import(pathToFileURL(join(from, file)).href);
  const { cudaCompiler } = await load("setup/cuda-toolkit.js");
  const { progressPrinter } = await load("setup/progress.js");
  const printer = progressPrinter(process.stdout);
  try {
    const nvcc = await cudaCompiler({ signal: interrupted.signal, onProgress: printer.show });
    parts.push(`CUDA compiler ${seconds(start)}`);
    return { nvcc, architectures };
  } catch (error) {
    stopIfInterrupted();
    return { reason: error.message, isFetchFailure: error.code !== "ERR_CUDA_UNAVAILABLE" };
  } finally {
    printer.end();
  }
}

/**
 * cargo for the solver of convex programmes with its crates at hand, or why the solver is left out: whoever needs it (`optimise` but for risk parity)
 * is told again. The crates come by cargo's own ways, a mirror or vendored folder of its config.toml included.
 */
async function solver() {
  if (process.env.ASTGNN_SOLVER === "0") return { reason: "ASTGNN_SOLVER is 0" };
  const cargo = foundOnPath("cargo");
  if (cargo === undefined) return { reason: "there is no cargo (Debian 12: sudo apt-get install cargo-web; or https://rustup.rs)", isMissing: true };
  const start = Date.now();
  const version = (await run(cargo, ["-vV"])).output;
  const [, major, minor] = /^cargo (\d+)\.(\d+)/m.exec(version) ?? [];
  const host = /^host: (\S+)$/m.exec(version)?.[1];
  if (major === undefined || host === undefined) return { reason: "cargo -vV does not say its version: is a toolchain installed?" };
  if (Number(major) === 1 && Number(minor) < 70) return { reason: `cargo is ${major}.${minor}, and 1.70 is needed (Debian 12: sudo apt-get install cargo-web)` };
  // Offline first: with all crates at hand nothing waits for a network.
  const fetch = (...flags) => run(cargo, ["fetch", "--quiet", "--locked", "--target", host, "--manifest-path", join(root, "native", "solver", "Cargo.toml"), ...flags]);
  const fetched = (await fetch("--offline")).ok ? { ok: true } : await fetch();
  stopIfInterrupted();
  if (!fetched.ok) return { reason: `cargo could not fetch its crates: ${tail(fetched.output, 1).trim()}`, isFetchFailure: true };
  parts.push(`crates ${seconds(start)}`);
  return { cargo };
}

/** Compiles native/ against one LibTorch, or says what is wrong with the solver's crate (`crateProblem`). An interrupted build is continued by the next run: CMake knows what is done. */
async function buildNative(path, nvcc = "", cargo = "") {
  const start = Date.now();
  mkdirSync(build, { recursive: true });
  const generator = /^CMAKE_GENERATOR:INTERNAL=(.*)$/m.exec(existsSync(join(build, "CMakeCache.txt")) ? readFileSync(join(build, "CMakeCache.txt"), "utf8") : "")?.[1];
  const common = [cmakeJs(), "--log-level", "error", ...(generator === undefined ? [] : ["--generator", generator])];
  // cmake-js ends a failed `compile` by deleting build/ and starting over, which hides the error and this run's stamp: two commands instead.
  // cmake-js drops a --CD without a value, and CMake would go on with the one of the last build.
  const configured = await run(process.execPath, [...common, "configure", `--CDLIBTORCH=${path}`, "--", `-DASTGNN_NVCC=${nvcc}`, `-DASTGNN_CARGO=${cargo}`, `-DASTGNN_CUDA_ARCHITECTURES=${architectures}`]);
  if (!configured.ok) throw new InstallError(`CMake could not configure the build:\n${tail(configured.output)}`);
  // A file that includes ATen takes up to 1.5 GB to compile.
  const jobs = Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 1.5e9)));
  const isTerminal = process.stdout.isTTY === true;
  let shown = -1;
  const compiled = await run(process.execPath, [...common, "build", "--parallel", String(jobs)], (line) => {
    const step = /^\[\s*(\d+)\/(\d+)\]/.exec(line);
    const percent = step === null ? Number(/^\[\s*(\d+)%\]/.exec(line)?.[1] ?? NaN) : Math.floor((100 * Number(step[1])) / Number(step[2]));
    if (Number.isNaN(percent)) return;
    if (isTerminal) process.stdout.write(`\r\x1b[Kastgnn: building the native core, ${percent} %`);
    else if (Math.floor(percent / 25) > shown) {
      shown = Math.floor(percent / 25);
      say(`building the native core, ${percent} %`);
    }
  });
  if (isTerminal) process.stdout.write("\r\x1b[K");
  // The loader would open one of an earlier build.
  if (nvcc === "") rmSync(cudaLibrary, { force: true });
  writeFileSync(logFile, configured.output + compiled.output);
  // The core does without the crate, which fails with a broken toolchain or a full disk too.
  if (!compiled.ok && cargo !== "" && /(FAILED:|\*\*\*).*astgnn_solver/.test(compiled.output)) return { crateProblem: firstErrors(compiled.output, /^error/).split("\n")[0].trim() };
  if (!compiled.ok) {
    // Half a build must not stand before the prebuilt binary.
    if (isDependency) for (const file of outputs.native) rmSync(file, { force: true });
    throw new InstallError(`The native core did not compile (all of it in ${relative(process.cwd(), logFile)}):\n${firstErrors(compiled.output)}`);
  }
  parts.push(`native ${nvcc === "" ? "core" : "core and CUDA library"} ${seconds(start)}`);
  return {};
}

const tail = (text, count = 30) => text.trimEnd().split("\n").slice(-count).join("\n");

function firstErrors(output, mark = /\berror:|FAILED:|undefined reference/) {
  // cmake-js closes with a line of its own, which says nothing.
  const lines = output.split("\n").filter((line) => !/^ERROR OMG|^\s*$/.test(line));
  const at = lines.findIndex((line) => mark.test(line));
  return at < 0 ? tail(lines.join("\n")) : lines.slice(at, at + 30).join("\n");
}

const interrupted = new AbortController();
let partial;
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.on(signal, () => {
    interrupted.abort();
    for (const child of children) child.kill("SIGTERM");
    setTimeout(() => process.exit(code), 2000).unref();
    process.exitCode = code;
  });
}
process.on("exit", () => {
  if (partial !== undefined) rmSync(partial, { recursive: true, force: true });
});

async function install() {
  if (isDependency && prebuilt && !force) return;
  if (!Object.values(outdated()).some(Boolean)) return;
  const start = Date.now();
  checkRequirements();
  sweep();
  let typeErrors = "";
  let tools = dist;
  if (outdated().typescript) {
    partial = join(root, `dist.partial-${process.pid}`);
    typeErrors = await compileTypeScript(partial);
    tools = partial;
  }
  stopIfInterrupted();
  const { withLock } = await import(pathToFileURL(join(tools, "setup", "lock.js")).href);
  const wait = (holder) => say(`waiting for ${holder}, which is building`);
  await withLock(join(build, "install.lock"), { onWait: wait, signal: interrupted.signal }, async () => {
    const todo = outdated();
    const found = inputs();
    if (todo.typescript && partial !== undefined) {
      replaceDist(partial);
      partial = undefined;
      tools = dist;
      // With type errors the output is there to look at, but the next run compiles again.
      if (typeErrors === "") writeStamp({ ...readStamp(), typescript: found.typescript });
    }
    if (todo.native) {
      const from = existsSync(join(tools, "setup", "setup.js")) ? tools : dist;
      const start = Date.now();
      const chosen = await libtorch(from);
      parts.push(`LibTorch ${seconds(start)}`);
      stopIfInterrupted();
      say(`using LibTorch ${chosen.version} (${chosen.variant}) at ${chosen.path}`);
      const compiler = await cuda(from);
      if (compiler.nvcc === undefined) say(`without the CUDA library: ${compiler.reason}`);
      let rust = await solver();
      if (rust.cargo === undefined) say(`without the solver of convex programmes: ${rust.reason}`);
      const { native: _, ...before } = readStamp();
      writeStamp(before);
      const built = await buildNative(chosen.path, compiler.nvcc, rust.cargo);
      if (built.crateProblem !== undefined) {
        rust = { reason: `its crate did not compile: ${built.crateProblem}`, isCompileFailure: true };
        say(`without the solver of convex programmes: ${rust.reason}`);
        await buildNative(chosen.path, compiler.nvcc);
      }
      const { path, version, variant, source } = chosen;
      writeStamp({ ...readStamp(), native: found.native, libtorch: { path, version, variant, source }, cuda: compiler, solver: rust });
    }
  });
  say(`done in ${seconds(start)}: ${parts.join(", ")}`);
  if (typeErrors !== "") throw new InstallError(`TypeScript found errors in lib/:\n${typeErrors}`);
}

/** Removes what interrupted runs of dead processes left. */
function sweep() {
  for (const name of readdirSync(root)) {
    const pid = /^dist\.partial-(\d+)(\.old)?$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`) && process.platform === "linux") rmSync(join(root, name), { recursive: true, force: true });
  }
}

function stopIfInterrupted() {
  if (interrupted.signal.aborted) throw new InstallError("interrupted; the next run continues");
}

try {
  await install();
} catch (error) {
  if (process.exitCode === undefined) {
    process.stderr.write(`astgnn: ${error instanceof InstallError || error?.code?.startsWith?.("ERR_") ? error.message : (error?.stack ?? error)}\n`);
    // npm would undo the whole installation for a dependency; the loader says the same again when the package is used. Who asked for a build
    // from source is told at once: npm shows the output of a dependency's script only where it failed.
    process.exitCode = isDependency && !force ? 0 : 1;
  }
}
