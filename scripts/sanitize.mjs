// `npm run test:sanitize`: native code under sanitizers, each part with a build of its own in build-sanitize/, so the core that everyone uses stays as it is.
// Arguments choose parts; none: all.
//   address  native tests under AddressSanitizer and UndefinedBehaviorSanitizer
//   node     the same of what comes through Node
//   thread   what several threads do, under ThreadSanitizer
//   fuzz     with clang, coverage-guided fuzzing (libFuzzer) of native parsers and checks; ASTGNN_FUZZ is the number of inputs of each target
// What passes is noted in build-sanitize/passed.json; scripts/release-check.mjs asks for all of it.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { notePassed, PARTS, sanitizedSources } from "./sanitized-sources.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
// Of the executor and of all that runs beside it: the others compute on one thread.
const THREADED = ["executor", "owners", "session", "caching_allocator"];
// What hands arguments to the core or reads files with it.
const THROUGH_NODE = ["test/binding/abuse.test.ts", "test/binding/lifetime.test.ts", "test/binding/solve.test.ts", "test/fuzz", "test/unit/data-panel.test.ts", "test/unit/panel-sources.test.ts", "test/unit/data-neutral-labels.test.ts", "test/pipeline/packed.test.ts", "test/parity/data-ops.test.ts", "test/parity/gradients.test.ts"];
const FUZZED = {
  table: ["rows", "reader", "check", "digest", "sha256"].map((name) => `native/table/${name}.cpp`),
  data_ops: ["slots", "price_features", "style", "cross_section", "panel_features", "sample_rows", "residuals", "labels"].map((name) => `native/ops/data/${name}.cpp`),
  packed: ["native/binding/cut_files.cpp", "native/ops/data/slots.cpp"],
  panel: ["native/train/panel.cpp", "native/train/future_returns.cpp", "native/ops/graph.cpp", "native/ops/data/slots.cpp", "native/ops/data/rank_codes.cpp"],
  state: ["native/nn/state.cpp"],
};
const OVER_LIBTORCH = ["packed", "panel", "state"];
// A file that includes ATen takes up to 2 GB to compile so.
const jobs = String(Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 2e9))));

const wanted = process.argv.slice(2);
const strange = wanted.filter((name) => !PARTS.includes(name));
if (strange.length > 0) throw new Error(`Expected ${PARTS.join(", ")}, not ${strange.join(" ")}.`);
const { libtorch, cargo } = installed();
const checks = { address, node, thread, fuzz };
const failed = [];
for (const name of wanted.length === 0 ? PARTS : wanted) {
  const [start, sources, before] = [Date.now(), sanitizedSources(root), failed.length];
  checks[name]();
  if (sanitizedSources(root) !== sources) failed.push(`${name}: the sources changed meanwhile`);
  notePassed(root, name, failed.length === before ? sources : undefined);
  console.log(`${name}: ${((Date.now() - start) / 1000).toFixed(0)} s`);
}
console.log(failed.length === 0 ? "No sanitizer found anything." : `Failed: ${failed.join(", ")}.`);
process.exitCode = failed.length === 0 ? 0 : 1;

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (result.error) throw new Error(`${command} could not be started: ${result.error.message}`);
  return result.status === 0;
}

/** The LibTorch that the addon is built with, and the cargo of its solver. */
function installed() {
  if (!run(process.execPath, ["scripts/install.mjs"])) process.exit(1);
  const { libtorch: { path }, solver } = JSON.parse(readFileSync(join(root, "build", "stamp.json"), "utf8"));
  return { libtorch: path, cargo: solver?.cargo ?? "" };
}

function build(name, folder, targets, definitions = []) {
  const quiet = { stdio: ["ignore", "ignore", "inherit"] };
  mkdirSync(folder, { recursive: true });
  const generator = existsSync(join(folder, "CMakeCache.txt")) || spawnSync("ninja", ["--version"]).status !== 0 ? [] : ["-G", "Ninja"];
  const built =
    run("cmake", ["-S", ".", "-B", folder, ...generator, `-DLIBTORCH=${libtorch}`, `-DASTGNN_SANITIZE=${name}`, "-DASTGNN_TESTS=ON", ...definitions], quiet) &&
    run("cmake", ["--build", folder, "--parallel", jobs, ...(targets === undefined ? [] : ["--target", ...targets])], { stdio: ["ignore", "pipe", "inherit"] });
  if (!built) failed.push(`the ${name} build`);
  return built ? folder : undefined;
}

function ctest(name, folder, selection, env) {
  const args = ["--test-dir", folder, "--output-on-failure", "--parallel", String(availableParallelism()), "--timeout", "7200", ...selection];
  if (!run("ctest", args, { env: { ...process.env, ...env } })) failed.push(`${name}: native tests`);
}

function address() {
  const folder = addressed();
  if (folder !== undefined) ctest("address", folder, [], { ASAN_OPTIONS: "detect_leaks=1:allocator_may_return_null=1", UBSAN_OPTIONS: "print_stacktrace=1" });
}

function addressed() {
  const headers = execFileSync(process.execPath, ["-p", "require('node-api-headers').include_dir"], { cwd: root, encoding: "utf8" }).trim();
  // In a folder where lib/binding finds a core: ASTGNN_PREBUILD.
  return build("address", join(root, "build-sanitize", "address", "build"), undefined, [`-DCMAKE_JS_INC=${headers}`, `-DASTGNN_CARGO=${cargo}`]);
}

function node() {
  if (addressed() === undefined) return;
  // Node itself is not instrumented: the runtime has to be there first, and what V8 keeps at exit is no leak of ours.
  const runtime = execFileSync("gcc", ["-print-file-name=libasan.so"], { encoding: "utf8" }).trim();
  // Each tensor has bounds of its own where its memory is the system's.
  const env = { ...process.env, ASTGNN_SANITIZE: "address", ASTGNN_MALLOC: "system", ASTGNN_PREBUILD: join(root, "build-sanitize", "address"), ASTGNN_CUDA: "0", LD_PRELOAD: runtime, ASAN_OPTIONS: "detect_leaks=0:allocator_may_return_null=1", UBSAN_OPTIONS: "print_stacktrace=1" };
  const vitest = ["node_modules/vitest/vitest.mjs", "run", "--testTimeout=1200000", "--hookTimeout=1200000"];
  if (!run(process.execPath, [...vitest, ...THROUGH_NODE], { env })) failed.push("node");
}

function thread() {
  const folder = build("thread", join(root, "build-sanitize", "thread"), THREADED.map((name) => `${name}_test`));
  if (folder === undefined) return;
  // libgomp is not instrumented: its barriers are not seen, so each job computes on one thread.
  const TSAN_OPTIONS = "halt_on_error=0:second_deadlock_stack=1:allocator_may_return_null=1";
  ctest("thread", folder, ["-R", `^(${THREADED.join("|")})$`], { TSAN_OPTIONS, OMP_NUM_THREADS: "1" });
}

/** The inputs that cover the most so far stay in build-sanitize/corpus; one that falls is written there too, and is a seed for test/native/fuzz. */
function fuzz() {
  const compilers = ["clang++", ...Array.from({ length: 12 }, (_, i) => `clang++-${25 - i}`)];
  const compiler = compilers.find((name) => spawnSync(name, ["--version"]).status === 0);
  if (compiler === undefined) return failed.push("fuzz: there is no clang (Debian: sudo apt-get install clang-19 libclang-rt-19-dev)");
  const folders = [join(libtorch, "include"), join(libtorch, "include", "torch", "csrc", "api", "include")];
  const overLibtorch = [...folders.flatMap((folder) => ["-isystem", folder]), `-L${join(libtorch, "lib")}`, "-ltorch_cpu", "-lc10", "-Wl,--allow-shlib-undefined"];
  const env = { ...process.env, LD_LIBRARY_PATH: `${join(libtorch, "lib")}:${process.env.LD_LIBRARY_PATH ?? ""}`, OMP_NUM_THREADS: "1" };
  for (const [name, files] of Object.entries(FUZZED)) {
    const corpus = join(root, "build-sanitize", "corpus", name);
    const program = join(root, "build-sanitize", `${name}_fuzzer`);
    mkdirSync(corpus, { recursive: true });
    const flags = ["-std=c++20", "-O1", "-g1", "-rdynamic", "-fsanitize=fuzzer,address,undefined,float-cast-overflow", "-fno-sanitize-recover=all", "-w", "-Inative", "-Itest/native/fuzz", "-isystem", "test/native/fuzz/serial"];
    const built = run(compiler, [...flags, `test/native/fuzz/${name}_fuzzer.cpp`, ...files, ...(OVER_LIBTORCH.includes(name) ? overLibtorch : []), "-o", program]);
    // Long inputs from the start: a table has many cells.
    const runs = ["-len_control=0", "-max_len=2048", "-timeout=60", `-runs=${process.env.ASTGNN_FUZZ ?? 100_000}`, `-artifact_prefix=${corpus}-`, "-verbosity=0", "-print_final_stats=1"];
    const seeds = join(root, "test", "native", "fuzz", "seeds", name);
    if (!built || !run(program, [corpus, ...(existsSync(seeds) ? [seeds] : []), ...runs], { env })) failed.push(`fuzz: ${name}`);
  }
}
