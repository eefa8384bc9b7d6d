// `npm test`: native tests (ctest), vitest, parity under every instruction set, the install test, then one line that counts all. Arguments go to vitest: `npm test -- test/parity`.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const build = join(root, "build");
const report = join(build, "vitest.json");
const filters = process.argv.slice(2);
// Instruction sets that parity ran on here.
const covered = [];
const total = { passed: 0, failed: 0, skipped: 0 };
// Named once more in the last lines, which is what a log that was cut still has.
const failures = [];

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (result.error) throw new Error(`${command} could not be started: ${result.error.message}`);
  return result;
}

// A test of a build that is not current proves nothing.
if (run(process.execPath, ["scripts/install.mjs"]).status !== 0) process.exit(1);
if (run(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.test.json"]).status !== 0) failed("the types of the tests");

if (filters.length === 0) nativeTests();
vitest(filters);
if (filters.length === 0) {
  everyPath();
  everyRounding();
  installTest();
}
if (filters.length === 0) summary();
for (const failure of failures) console.log(`FAILED: ${failure}`);
console.log(`${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);

function failed(what) {
  total.failed++;
  failures.push(what);
}

/** On which processor and with which instruction sets this run was green; ASTGNN_EXPECTED_SETS (.ci/run) names those that there have to be, on hardware or emulated. */
function summary() {
  const sets = [...new Set(covered)];
  console.log(`Processor: ${cpus()[0]?.model ?? process.arch}. Instruction sets: ${sets.join(", ")}. Libraries: MKL and ATen at their best, MKL_CBWR=COMPATIBLE and AVX2, ATEN_CPU_CAPABILITY=default; 1, 2 and 3 threads.`);
  for (const name of (process.env.ASTGNN_EXPECTED_SETS ?? "").split(",").filter(Boolean)) {
    if (sets.some((set) => set === name || set === `${name} emulated`)) continue;
    console.log(`${name} is expected and was not tested: this machine has not got it.`);
  }
}

/** Built in the addon's own folder, so that no source is compiled twice. */
function nativeTests() {
  const quiet = { stdio: ["ignore", "ignore", "inherit"] };
  const built =
    run("cmake", ["-S", ".", "-B", build, "-DASTGNN_TESTS=ON"], quiet).status === 0 &&
    run("cmake", ["--build", build, "--parallel", String(availableParallelism())], { stdio: ["ignore", "pipe", "inherit"] }).status === 0;
  if (!built) {
    failed("the native tests do not build");
    return;
  }
  ctest();
}

function ctest(selection = [], env = process.env) {
  const result = run("ctest", ["--test-dir", build, "--output-on-failure", "--parallel", String(availableParallelism()), "--timeout", "600", ...selection], { env, stdio: ["ignore", "pipe", "inherit"] });
  const text = String(result.stdout);
  process.stdout.write(text);
  const count = Number(/tests? failed out of (\d+)/.exec(text)?.[1] ?? 0);
  const broken = [...text.matchAll(/^\s*\d+ - (\S+ \(.*\))\s*$/gm)].map(([, test]) => test).filter((test) => !test.endsWith("(Skipped)"));
  // Only a test that needs a GPU skips itself.
  const skipped = text.match(/\*\*\*Skipped/g)?.length ?? 0;
  if (skipped > 0) console.log(`${skipped} native tests skipped: no GPU`);
  total.skipped += skipped;
  total.passed += Math.max(0, count - broken.length - skipped);
  for (const test of broken) failed(`native test ${test}`);
  if (result.status !== 0 && broken.length === 0) failed("native tests: ctest itself");
}

/** Parity with the reference on each instruction set that this machine has, at each precision, and on each way to compute A, whatever its size would choose. */
function everyPath() {
  const sets = ["amx", "avx512", "avx2", "scalar"].map((isa) => ({ isa, env: { ASTGNN_ISA: isa } }));
  const ways = ["flash", "materialised", "rowmax"].map((way) => ({ env: { ASTGNN_SIMILARITY: way } }));
  for (const { isa, env: own } of [...sets, { isa: "amx", env: { ASTGNN_ISA: "amx", ASTGNN_PARITY_PRECISION: "high" } }, ...ways]) {
    const env = { ...process.env, ...own };
    const name = Object.entries(own).map((pair) => pair.join("=")).join(" ");
    if (isa === "amx" && !hasKernels(env)) env.ASTGNN_PREBUILD = join(build, "emulated-amx");
    const emulated = env.ASTGNN_PREBUILD ? ", its registers emulated" : "";
    if (isa !== undefined && !hasKernels(env)) {
      console.log(`Parity under ${name}: SKIPPED, this machine has no ${isa}.`);
      total.skipped++;
      covered.push(`${isa} missing`);
      continue;
    }
    console.log(`Parity under ${name}${emulated}:`);
    if (isa !== undefined) covered.push(`${isa}${emulated && " emulated"}`);
    vitest(["test/parity", ...(isa === "amx" ? ["test/binding/precision.test.ts"] : [])], env); // what the precision is where nobody chose
  }
  console.log("Parity on an emulated GPU:");
  vitest(["test/parity"], { ...process.env, ASTGNN_EMULATED_GPU: "1", ASTGNN_DEVICE: "cuda" });
}

/**
 * Other roundings than this processor's: products as MKL computes them on any processor and on one with AVX2 (an AMD's are others once more),
 * ATen's own loops without vectors, and 1, 2 and 3 threads. A test that holds by the rounding of one machine fails here.
 */
function everyRounding() {
  const roundings = [
    { MKL_CBWR: "COMPATIBLE", OMP_NUM_THREADS: "1" },
    { MKL_CBWR: "AVX2", OMP_NUM_THREADS: "3" },
    { ATEN_CPU_CAPABILITY: "default", OMP_NUM_THREADS: "2" },
  ];
  for (const own of roundings) {
    const env = { ...process.env, ...own };
    console.log(`With ${Object.entries(own).map((pair) => pair.join("=")).join(" ")}:`);
    ctest(["-R", "^(gru|graph_attention|relational_embedding|model|session)(_emulated)?$"], env);
    vitest(["test/parity", "test/pipeline/invariance.test.ts"], { ...env, ASTGNN_PARITY_THREADS: own.OMP_NUM_THREADS });
  }
}

/** What a user gets who installs the package. */
function installTest() {
  const counts = join(build, "install-test.json");
  rmSync(counts, { force: true });
  run(process.execPath, ["scripts/install-test.mjs"]);
  if (!existsSync(counts)) {
    failed("the install test ended without a result");
    return;
  }
  const { passed, failures: broken } = JSON.parse(readFileSync(counts, "utf8"));
  total.passed += passed;
  for (const failure of broken) failed(`install test: ${failure.slice(0, 600)}`);
}

function hasKernels(env) {
  const ask = "import('./dist/binding/load.js').then(({ loadCore }) => loadCore().info())";
  const { status, stderr } = run(process.execPath, ["-e", ask], { env, stdio: ["ignore", "ignore", "pipe"] });
  if (status !== 0 && !String(stderr).includes("ASTGNN_ISA")) throw new Error(`The core does not load:\n${stderr}`);
  return status === 0;
}

function vitest(filters, env = process.env) {
  mkdirSync(build, { recursive: true });
  rmSync(report, { force: true });
  const result = run(process.execPath, ["node_modules/vitest/vitest.mjs", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...filters], { env });
  const under = Object.keys(env).filter((name) => env[name] !== process.env[name]).map((name) => `${name}=${env[name]} `).join("");
  if (!existsSync(report)) {
    failed(`${under}vitest ended without a report`);
    return;
  }
  const counts = JSON.parse(readFileSync(report, "utf8"));
  total.passed += counts.numPassedTests;
  total.skipped += counts.numPendingTests + counts.numTodoTests;
  for (const { name: file, assertionResults } of counts.testResults) {
    for (const test of assertionResults.filter(({ status }) => status === "failed")) failed(`${under}${relative(root, file)} > ${test.fullName}\n  ${stripVTControlCharacters(test.failureMessages.join("\n")).slice(0, 600)}`);
  }
  // A file that fails to load has no failed test of its own.
  if (result.status !== 0 && counts.numFailedTests === 0) {
    const broken = counts.testResults.filter(({ status }) => status === "failed").map(({ name: file, message }) => `${relative(root, file)}: ${stripVTControlCharacters(message).slice(0, 600)}`);
    failed(`${under}${broken.join("\n") || "vitest itself, for an error outside its tests: above"}`);
  }
}
