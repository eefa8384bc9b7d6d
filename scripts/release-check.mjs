// `node scripts/release-check.mjs`: everything that a release can get wrong and a machine can see, then `npm publish --dry-run`. Reads dist/ and
// prebuilds/ as they are (`npm run prebuildify` makes them). On any machine it says `later` for what only the release has: the tag, the date, binaries
// from the container, the address of the repository.
//   --tag v0.1.0   as in the release (.github/workflows/release.yml): each of these is a failure
//   --sbom FILE    writes what the package contains and installs as CycloneDX
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { notSanitized } from "./sanitized-sources.mjs";
import { crateProblems, licenceProblems, lockProblems, parts, sbom, unreached } from "./supply-chain.mjs";

// What a process finds on manylinux_2_28 (AlmaLinux 8 and everything newer); LibTorch itself asks for no less.
const NEWEST = { GLIBC: "2.28", GLIBCXX: "3.4.25", CXXABI: "1.3.11", GCC: "7.0.0" };
// LibTorch's own libraries, and those that every system with glibc and OpenMP has. Nothing else may be asked for.
const NEEDED = /^(lib(torch_cpu|torch_cuda|c10|c10_cuda|cudart|gomp|stdc\+\+|gcc_s|c|m|dl|rt|pthread)|ld-linux-x86-64)\.so(\.\d+)?$/;
// Compute capabilities of the GPUs that the CUDA library has code for: all that CUDA 13 knows in PCs and servers, and PTX of the last for those to come.
const GPUS = [75, 80, 86, 89, 90, 100, 120];
const PLATFORMS = ["linux-x64"];
const REQUIRED = ["LICENSE", "README.md", "CHANGELOG.md", "package.json", "dist/index.js", "dist/index.cjs", "dist/index.d.ts", "dist/cli/main.js", "dist/vendor/vega.js", "dist/vendor/LICENSES.txt", "native/solver/LICENSES.md"];

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: flags } = parseArgs({ options: { tag: { type: "string" }, sbom: { type: "string" } } });
const read = (name) => readFileSync(join(root, name), "utf8");
const manifest = JSON.parse(read("package.json"));
let failures = 0;

/** One line; `later` is what a machine that is not the release's need not have. */
function check(name, problem, { later = false } = {}) {
  const verdict = problem === undefined ? "ok" : later && flags.tag === undefined ? "later" : "FAILED";
  if (verdict === "FAILED") failures++;
  console.log(`${verdict.padEnd(6)} ${name}${problem === undefined ? "" : `: ${problem}`}`);
}

versions();
for (const platform of PLATFORMS) binaries(platform);
provenance();
sanitizers();
supplyChain();
tarball();
console.log(failures === 0 ? `${manifest.name} ${manifest.version} can be released${flags.tag === undefined ? ", as far as this machine can tell" : ""}.` : `${failures} of these keep ${manifest.name} ${manifest.version} from being released.`);
process.exitCode = failures === 0 ? 0 : 1;

function versions() {
  const lock = JSON.parse(read("package-lock.json"));
  const others = [lock.version, lock.packages[""].version].filter((version) => version !== manifest.version);
  check(`package.json and package-lock.json say ${manifest.version}`, others.length === 0 ? undefined : `package-lock.json says ${others[0]}`);
  const [, latest, date] = /^## \[([^\]]+)\](?: - (.+))?$/m.exec(read("CHANGELOG.md").replace(/^## \[Unreleased\]$/m, "")) ?? [];
  check(`the newest section of CHANGELOG.md is ${manifest.version}`, latest === manifest.version ? undefined : `it is ${latest ?? "nothing"}`);
  check("it has a date", /^\d{4}-\d{2}-\d{2}$/.test(date ?? "") ? undefined : `found "${date ?? ""}"`, { later: true });
  check(`the tag is v${manifest.version}`, flags.tag === `v${manifest.version}` ? undefined : `found ${flags.tag ?? "none"}`, { later: true });
  const otherLicence = manifest.license === "MIT" ? "LICENSE is another text" : `package.json says ${manifest.license}`;
  check("the licence is MIT, in the manifest and in LICENSE", manifest.license === "MIT" && read("LICENSE").includes("MIT License") ? undefined : otherLicence);
}

function binaries(platform) {
  const folder = join(root, "prebuilds", platform);
  for (const name of ["astgnn.node", "libastgnn_core.so", "libastgnn_ranks.so", "libastgnn_cuda.so"]) {
    const file = join(folder, name);
    const shown = `prebuilds/${platform}/${name}`;
    if (!existsSync(file)) {
      // A machine may have no CUDA compiler.
      check(`${shown} is there`, "it is not: npm run prebuildify", { later: name === "libastgnn_cuda.so" });
      continue;
    }
    const symbols = execFileSync("objdump", ["-T", file], { encoding: "utf8", maxBuffer: 1 << 28 });
    for (const [library, newest] of Object.entries(NEWEST)) {
      const found = [...new Set([...symbols.matchAll(new RegExp(`\\(?\\b${library}_([\\d.]+)\\)?\\s+(\\S+)$`, "gm"))].map(([, version, symbol]) => `${version} ${symbol}`))];
      const versions = found.map((each) => each.split(" ")[0]).sort(compare);
      const tooNew = found.filter((each) => compare(each.split(" ")[0], newest) > 0);
      const problem = tooNew.length === 0 ? undefined : `${tooNew.slice(0, 6).join(", ")}${tooNew.length > 6 ? ", ..." : ""}; the container of release.yml has none of these`;
      if (versions.length > 0) check(`${shown} asks for ${library} ${versions.at(-1)}, at most ${newest}`, problem, { later: true });
    }
    const headers = execFileSync("objdump", ["-p", file], { encoding: "utf8" });
    const strangers = [...headers.matchAll(/^\s+NEEDED\s+(\S+)$/gm)].map(([, library]) => library).filter((library) => !NEEDED.test(library));
    check(`${shown} needs LibTorch and the system only`, strangers.length === 0 ? undefined : strangers.join(", "));
    check(`${shown} has no search path of its own`, /^\s+(RPATH|RUNPATH)\s/m.test(headers) ? "it has a RPATH or RUNPATH" : undefined);
    const sections = execFileSync("objdump", ["-h", file], { encoding: "utf8" });
    check(`${shown} is stripped`, / \.debug_info /.test(sections) ? "it has debug information" : undefined);
    const content = readFileSync(file, "latin1");
    const folders = [root, homedir()].filter((folder) => content.includes(folder));
    check(`${shown} names no folder of the machine that built it`, folders.length === 0 ? undefined : folders.join(", "));
    // Its panics name their source.
    if (name === "libastgnn_core.so") check(`${shown} has the solver of convex programmes`, content.includes("clarabel") ? undefined : "it was built without cargo", { later: true });
    if (name === "libastgnn_cuda.so") gpus(shown, fatbin(file, sections));
  }
}

/** The section with the code for GPUs, found through objdump's list: name, size, two addresses, place in the file. */
function fatbin(file, sections) {
  const [size, at] = (/\.nv_fatbin\s+(\w+)\s+\w+\s+\w+\s+(\w+)/.exec(sections)?.slice(1) ?? ["0", "0"]).map((hex) => parseInt(hex, 16));
  return readFileSync(file).subarray(at, at + size);
}

function gpus(shown, section) {
  const found = gpuCode(section);
  const lacking = [...GPUS.map((gpu) => `sm_${gpu}`), `compute_${GPUS.at(-1)}`].filter((code) => !found.has(code));
  const setting = GPUS.map((gpu) => (gpu === GPUS.at(-1) ? gpu : `${gpu}-real`)).join(";");
  check(`${shown} has code for every GPU`, lacking.length === 0 ? undefined : `none for ${lacking.join(", ")}: ASTGNN_CUDA_ARCHITECTURES="${setting}" npm run prebuildify`, { later: true });
}

/** The names of what a fatbin section holds: sm_90 is code of that GPU, compute_90 PTX, which the driver compiles for it and later ones. */
function gpuCode(section) {
  const found = new Set();
  for (let at = 0; at + 16 <= section.length; ) {
    if (section.readUInt32LE(at) !== 0xba55ed50) throw new Error("The CUDA library's fatbin section is of another format than CUDA 13's.");
    const end = at + section.readUInt16LE(at + 6) + Number(section.readBigUInt64LE(at + 8));
    for (at += section.readUInt16LE(at + 6); at < end; at += section.readUInt32LE(at + 4) + Number(section.readBigUInt64LE(at + 8))) {
      found.add(`${section.readUInt16LE(at) === 1 ? "compute" : "sm"}_${section.readUInt32LE(at + 28)}`);
    }
  }
  return found;
}

function provenance() {
  const { repository } = manifest;
  const address = typeof repository === "string" ? repository : repository?.url;
  const expected = process.env.GITHUB_REPOSITORY;
  const problem = address === undefined ? "package.json has no repository, which npm compares with the workflow's" : expected !== undefined && !address.includes(expected) ? `package.json says ${address}, and this is ${expected}` : undefined;
  check("the repository of the provenance is stated", problem, { later: true });
  const changed = execFileSync("git", ["status", "--porcelain"], { cwd: root, encoding: "utf8" }).split("\n").filter((line) => line !== "");
  check("the tree is the commit", changed.length === 0 ? undefined : `${changed.length} files differ: ${changed.slice(0, 3).map((line) => line.slice(3)).join(", ")}`, { later: true });
}

function sanitizers() {
  const left = notSanitized(root);
  check("the native sources were tested under the sanitizers", left.length === 0 ? undefined : `npm run test:sanitize -- ${left.join(" ")}`, { later: true });
}

function supplyChain() {
  const some = (problems) => (problems.length === 0 ? undefined : `${problems.slice(0, 6).join(", ")}${problems.length > 6 ? `, ${problems.length - 6} more` : ""}`);
  check("the lock files are complete", some(lockProblems(root)));
  const all = parts(root);
  check(`the ${all.length} parts that others wrote have licences that MIT may contain`, some(licenceProblems(root)));
  const crates = crateProblems(root);
  check("native/solver/LICENSES.md lists the crates that are linked", crates === undefined ? "cargo cannot tell" : some(crates), { later: crates === undefined });
  if (flags.sbom !== undefined) writeFileSync(flags.sbom, `${JSON.stringify(sbom(root), null, 1)}\n`);
}

/** `npm publish --dry-run` packs as the release does and uploads nothing. */
function tarball() {
  // npm asks the registry whether the version is there already; without a network it packs all the same.
  const env = { ...process.env, npm_config_fetch_retries: "0" };
  const printed = execFileSync("npm", ["publish", "--dry-run", "--json", "--ignore-scripts", "--access", "public"], { cwd: root, env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const published = JSON.parse(printed);
  const { id, filename, size, unpackedSize, integrity, files } = published.files === undefined ? Object.values(published)[0] : published;
  const paths = files.map(({ path }) => path);
  const wanted = [...REQUIRED, ...PLATFORMS.map((platform) => `prebuilds/${platform}/astgnn.node`)];
  const absent = wanted.filter((path) => !paths.includes(path));
  check(`the tarball has the licence, the entry points and the binaries of ${PLATFORMS.join(", ")}`, absent.length === 0 ? undefined : `${absent.join(", ")} is missing`);
  const idle = unreached(root, paths);
  check("each file of the tarball is reached", idle.length === 0 ? undefined : `nothing leads to ${idle.slice(0, 6).join(", ")}`);
  const built = readdirSync(join(root, "prebuilds")).filter((platform) => !PLATFORMS.includes(platform));
  check("no binaries of other platforms are in it", built.length === 0 ? undefined : built.join(", "));
  console.log(`\n${id}: ${filename}, ${(size / 1e6).toFixed(2)} MB packed, ${(unpackedSize / 1e6).toFixed(2)} MB in ${files.length} files, ${integrity}`);
  for (const [folder, bytes] of Object.entries(byFolder(files))) console.log(`  ${(bytes / 1e6).toFixed(3).padStart(7)} MB  ${folder}`);
}

function byFolder(files) {
  const sums = {};
  for (const { path, size } of files) {
    const folder = path.includes("/") ? `${path.split("/")[0]}/` : path;
    sums[folder] = (sums[folder] ?? 0) + size;
  }
  return sums;
}

function compare(a, b) {
  const [left, right] = [a, b].map((text) => text.split(".").map(Number));
  const at = left.findIndex((part, i) => part !== (right[i] ?? 0));
  return at < 0 ? left.length - right.length : left[at] - (right[at] ?? 0);
}
