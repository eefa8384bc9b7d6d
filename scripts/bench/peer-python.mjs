// The Python interpreter whose torch is measured, and the folder of the model that it runs.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";

/** Says what is missing and what to do; the driver prints the message alone. */
export class PeerError extends Error {}

/** The folder with astgnn_pytorch.py: the shared original where there is one, else the repository's copy. */
export function referenceFolder(root) {
  const folders = [join(root, "..", "shared", "reference"), join(root, "scripts", "reference")];
  const found = folders.find((folder) => existsSync(join(folder, "astgnn_pytorch.py")));
  if (found === undefined) throw new PeerError(`There is no astgnn_pytorch.py in ${folders.join(" or ")}.`);
  return found;
}

/** Where the scratch environment of one PyTorch version lies; outside the repository, it takes gigabytes. */
export function scratchFolder(version, environment = process.env) {
  return join(environment.XDG_CACHE_HOME || join(homedir(), ".cache"), "astgnn", `bench-torch-${version}`);
}

/** Version of the interpreter's torch without its build tag, or undefined where it has none. */
export function torchVersion(python) {
  const { status, stdout } = spawnSync(python, ["-c", "import torch; print(torch.__version__)"], { encoding: "utf8" });
  return status === 0 ? stdout.trim().split("\n").at(-1).split("+")[0] : undefined;
}

/**
 * The interpreter to measure: ASTGNN_BENCH_PYTHON, else a scratch environment with the PyTorch release that the core was built against,
 * made on first use.
 *
 * @param version the core's LibTorch release: two releases would be compared otherwise
 */
export function findPeerPython(version, { force, say }) {
  const named = process.env.ASTGNN_BENCH_PYTHON;
  if (named) {
    const present = torchVersion(named);
    if (present === undefined) throw new PeerError(`ASTGNN_BENCH_PYTHON=${named} cannot import torch: install torch==${version} there or unset the variable.`);
    if (present !== version && !force) throw new PeerError(`ASTGNN_BENCH_PYTHON=${named} has torch ${present}, the core was built against LibTorch ${version}: install torch==${version} there, or add --force.`);
    return resolve(named);
  }
  const folder = scratchFolder(version);
  const python = join(folder, "bin", "python");
  if (existsSync(python) && torchVersion(python) === version) return python;
  say(`making a scratch environment with torch ${version} at ${folder}: a download of up to several gigabytes, once (ASTGNN_BENCH_PYTHON names another interpreter)`);
  if (existsSync(folder) && !existsSync(join(folder, "pyvenv.cfg"))) throw new PeerError(`${folder} is in the way and is no Python environment: move it, or set ASTGNN_BENCH_PYTHON.`);
  // What an interrupted installation left.
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  try {
    execFileSync("python3", ["-m", "venv", folder], { stdio: ["ignore", "inherit", "inherit"] });
    execFileSync(python, ["-m", "pip", "install", "--disable-pip-version-check", `torch==${version}`, "numpy"], { stdio: ["ignore", "inherit", "inherit"] });
  } catch (cause) {
    throw new PeerError(`The scratch environment could not be made (${cause.message}). Set ASTGNN_BENCH_PYTHON to an interpreter with torch ${version}.`);
  }
  if (torchVersion(python) !== version) throw new PeerError(`${python} still cannot import torch ${version}. Set ASTGNN_BENCH_PYTHON to an interpreter that can.`);
  return python;
}
