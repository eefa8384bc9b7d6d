import { AstgnnError } from "../errors.js";
import { readElf } from "./elf.js";

/** What decides whether the native core can run here. */
export interface Host {
  platform: string;
  arch: string;
  /** The dynamic loader that this Node.js asks for; known on Linux. */
  interpreter?: string;
}

/** The oldest C library that LibTorch and the prebuilt binaries run with. */
export const oldestGlibc = "2.28";

/** Prebuilt binaries are made for the first; the others can be built from source, which is untested. */
const SUPPORTED = ["linux-x64", "linux-arm64", "darwin-arm64"];

const runsOn = `astgnn runs on Linux x64 with glibc ${oldestGlibc} or newer (Debian, Ubuntu, Fedora, RHEL and alike); on Linux arm64 and macOS arm64 it has to be built from source, untested`;

/** Why the native core can never run on this platform, with what to use instead, or undefined where it can. */
export function platformProblem(host: Host = thisHost()): AstgnnError | undefined {
  const name = `${host.platform}-${host.arch}`;
  if (!SUPPORTED.includes(name)) {
    const next = host.platform === "win32" ? "Use it in WSL 2 (`wsl --install`), with Node.js installed there." : host.platform === "linux" ? "Install a 64-bit Node.js, if the machine is one." : "Use it on such a machine or in such a container.";
    return new AstgnnError("ERR_NATIVE_MISSING", `This is ${name}; ${runsOn}.`, { next });
  }
  if (host.interpreter?.includes("ld-musl") === true) {
    return new AstgnnError("ERR_NATIVE_MISSING", `This Node.js is built for musl, as on Alpine Linux (its loader is ${host.interpreter}), and LibTorch exists for glibc only; ${runsOn}.`, {
      next: "Use an image with glibc, such as `node:22-bookworm-slim` in place of `node:22-alpine`.",
    });
  }
  return undefined;
}

/** Release of the C library in this process, or undefined where it is not glibc. */
export function runningGlibc(): string | undefined {
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime;
}

function thisHost(): Host {
  const { platform, arch } = process;
  const interpreter = platform === "linux" ? interpreterOf(process.execPath) : undefined;
  return { platform, arch, ...(interpreter === undefined ? {} : { interpreter }) };
}

/** Undefined also where the program cannot be read any more: an update may have replaced it while it runs. */
function interpreterOf(program: string): string | undefined {
  try {
    const elf = readElf(program);
    return typeof elf === "object" ? elf.interpreter : undefined;
  } catch {
    return undefined;
  }
}
