import { AstgnnError } from "../errors.js";
import { readLibrary } from "./elf.js";
import { waysOut, type LibTorch } from "./libtorch.js";
import { oldestGlibc, runningGlibc } from "./platform.js";

/** What was opened when the dynamic loader refused. */
export interface Opened {
  /** The core, or the bootstrap. */
  file: string;
  /** Release that the core was built against. */
  version: string;
  libtorch?: LibTorch;
  /** How to get another core, as a numbered way out. */
  rebuild: string;
}

/** Debian's names of what LibTorch and the core take from the system. */
const PACKAGES: Partial<Record<string, string>> = { "libgomp.so.1": "libgomp1", "libstdc++.so.6": "libstdc++6", "libgcc_s.so.1": "libgcc-s1" };

/**
 * Looks at half of the native core before it is opened.
 *
 * @throws AstgnnError ERR_NATIVE_MISSING where the file is empty, cut short or for another processor
 */
export function refuseDamaged(file: string, rebuild: string): void {
  const problem = readLibrary(file);
  if (typeof problem === "string") throw new AstgnnError("ERR_NATIVE_MISSING", `The native core is damaged: ${file} ${problem}.`, { file, next: `To mend it, ${rebuild}.` });
}

/** The loader's one line about a library that it could not open, as an error that says what was found, what was expected and what to do. */
export function loadFailure(cause: unknown, opened: Opened): AstgnnError {
  const { file, version, libtorch, rebuild } = opened;
  const said = (cause as Error).message;
  const what = libtorch === undefined ? `${file} cannot be loaded` : `LibTorch ${libtorch.version} at ${libtorch.path}, or the native core ${file} beside it, cannot be loaded`;
  const failure = (reason: string, next: string): AstgnnError => new AstgnnError("ERR_NATIVE_MISSING", `${what}: ${reason}.`, { file, cause, next });
  // Nothing about LibTorch helps a bootstrap, which does not know it.
  const ways = (first?: string): string => (libtorch === undefined ? `To mend it, ${first ?? rebuild}.` : waysOut(version, first ?? rebuild));

  const absent = /^([^/\s]+): cannot open shared object file: No such file/.exec(said)?.[1];
  if (absent !== undefined) {
    const found = libtorch === undefined ? "is not on this system" : `neither ${libtorch.path}/lib nor the system has`;
    const name = PACKAGES[absent];
    return failure(`it needs ${absent}, which ${found}`, ways(name === undefined ? `install the package that has ${absent}` : `run \`sudo apt-get install ${name}\` or what your system has for it`));
  }
  const needed = /version [`'](\w+?)_([\d.]+)' not found(?: \(required by (.+)\))?/.exec(said);
  if (needed !== null) {
    const [, library, release, by = file] = needed;
    const found = library === "GLIBC" ? `this system has ${runningGlibc() ?? "another C library"}` : "this system's is older";
    return failure(`${by} needs ${library} ${release}, and ${found}`, `Use a system with glibc ${oldestGlibc} or newer (Debian 10, Ubuntu 20.04, RHEL 8 and later), or build it where it shall run: ${rebuild}.`);
  }
  if (/file too short|invalid ELF header|past end of file|cannot read file data|file data is not|object file has no/.test(said)) {
    return failure(`a file is damaged (${said})`, ways(said.includes(file) ? rebuild : "run `npx astgnn setup --force`, which fetches LibTorch anew"));
  }
  const symbol = /undefined symbol: ([^\s,]+)/.exec(said)?.[1];
  if (symbol !== undefined) {
    return failure(`${symbol} is in none of its libraries, so they are not the LibTorch ${version} that the core was built against`, ways());
  }
  if (/failed to map segment|Operation not permitted/.test(said)) {
    return failure(`the system does not let programs run from there (${said})`, "Put it on a disk that is not mounted with `noexec`: XDG_CACHE_HOME moves the user cache.");
  }
  return failure(said, ways());
}
