import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { readLibrary } from "./elf.js";
import { librarySuffix, loadOrder, sourceNames, type LibTorch } from "./libtorch.js";

/** Why models cannot run on a GPU. */
export interface CudaProblem {
  /** What was found, and as the last sentence what to do. */
  message: string;
  /** There is a driver and CUDA was not switched off, so a user may expect it to work. */
  isMissed: boolean;
}

/** What decides whether the CUDA side is opened. */
export interface CudaHost {
  /** ASTGNN_CUDA is 0: leave it unopened. */
  isOff: boolean;
  nvidiaDriver: boolean;
  /** How to get another native build, as the end of a sentence. */
  rebuild: string;
}

/**
 * Opens LibTorch's CUDA side and the CUDA half of the native core, where there is a GPU driver to use them. What fails stays open as far as it
 * came, which the CPU side does not notice.
 *
 * It has to happen before the core is opened: ATen asks once whether there is CUDA and keeps the answer. What ATen and NVIDIA's libraries open
 * by bare name later (libtorch_cuda_linalg, libcaffe2_nvrtc, the parts of cuDNN), they find through their own run paths.
 *
 * Their symbols are global: libtorch_nvshmem and the CUDA half of the core name nothing of LibTorch's CUDA side as needed.
 *
 * @param open opens libraries in this order, their symbols for all, or throws the loader's words
 * @param library the CUDA half of the native core
 * @returns why there is no CUDA, or undefined where all of it is open
 */
export function openCuda(open: (paths: string[]) => void, libtorch: LibTorch, library: string, host: CudaHost): CudaProblem | undefined {
  const unmissed = (message: string): CudaProblem => ({ message, isMissed: false });
  if (host.isOff) return unmissed("ASTGNN_CUDA is 0, which leaves CUDA out. Unset it.");
  if (!host.nvidiaDriver) return unmissed("This machine has no NVIDIA driver. Install one for its GPU; a container gets the host's with `--gpus all`.");
  const missed = (message: string): CudaProblem => ({ message, isMissed: true });
  const { source, path, variant } = libtorch;
  const unset = source === "ASTGNN_LIBTORCH" || source === "LIBTORCH" ? `, and unset ${source}` : "";
  const fetch = `Run \`npx astgnn setup --variant cuda\`${unset}.`;
  if (variant === "cpu") return missed(`The LibTorch in use, ${path} (${sourceNames[source]}), is the one for the CPU. ${fetch}`);
  if (!existsSync(library)) return missed(`The CUDA half of the native core, ${library}, is not there${leftOut(library)}. To get it, ${host.rebuild}.`);
  const damage = readLibrary(library);
  if (typeof damage === "string") return missed(`The CUDA half of the native core, ${library}, ${damage}. To mend it, ${host.rebuild}.`);
  const { libraries, missing, damaged } = loadOrder(path, `libtorch_cuda${librarySuffix}`);
  if (missing.length > 0) return missed(`The LibTorch at ${path} lacks ${missing.join(", ")}, which its CUDA side needs. ${fetch}`);
  if (damaged[0] !== undefined) return missed(`The CUDA side of the LibTorch at ${path} cannot be used: ${damaged[0]}. ${fetch}`);
  try {
    // libtorch_nvshmem and libtorch_cuda need each other's symbols, which only the loader can settle: it finds the one beside the other.
    open(libraries.filter((file) => !basename(file).startsWith("libtorch_nvshmem.")));
    open([library]);
    return undefined;
  } catch (error) {
    const said = (error as Error).message;
    const absent = /^([^/\s]+): cannot open shared object file/.exec(said)?.[1];
    const next = absent !== undefined ? `Install the package that has ${absent}.` : said.includes(library) ? `To mend it, ${host.rebuild}.` : fetch;
    return missed(`CUDA cannot be opened: ${said}. ${next}`);
  }
}

/** What the CUDA runtime, once it is open, says of the driver and its GPUs, as a problem. */
export function deviceProblem(said: string | undefined): CudaProblem | undefined {
  if (said === undefined) return undefined;
  return { message: `The CUDA runtime of LibTorch finds no GPU to use: ${said}. \`nvidia-smi\` lists the GPUs and the CUDA version that the driver can do at most; CUDA_VISIBLE_DEVICES may hide them.`, isMissed: true };
}

/** What the CUDA half of the core says of a GPU that runs none of its code, as a problem: a model on it fails at its first kernel. */
export function codeProblem(said: string | undefined): CudaProblem | undefined {
  return said === undefined ? undefined : { message: said, isMissed: true };
}

/** Why the build left the library out, as scripts/install.mjs noted it; a prebuilt core has no such note. */
function leftOut(library: string): string {
  try {
    const { cuda } = JSON.parse(readFileSync(join(dirname(library), "..", "stamp.json"), "utf8")) as { cuda?: { reason?: string } };
    return cuda?.reason === undefined ? "" : `: the build left it out (${cuda.reason.replace(/\.$/, "")})`;
  } catch {
    return "";
  }
}
