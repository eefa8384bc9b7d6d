import { existsSync } from "node:fs";
import { readdir, rename, rm, symlink } from "node:fs/promises";
import { delimiter, join, sep } from "node:path";
import { AstgnnError } from "../errors.js";
import { fetchWheels, findPip } from "./pip.js";
import { withLock } from "./lock.js";
import type { OnProgress } from "./progress.js";
import { cacheFolder } from "../binding/pinned.js";
import { platformSources } from "./sources.js";
import { unpackZip } from "./unpack.js";

/** Options of {@link cudaCompiler}. */
export interface CudaToolkitOptions {
  env?: NodeJS.ProcessEnv | undefined;
  onProgress?: OnProgress | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * The CUDA compiler that the build of the CUDA library uses: the one that CUDACXX names, CUDA_HOME's, the PATH's, or the pinned toolkit in the
 * user cache, which is fetched there with pip where it is missing (115 MB). No GPU and no driver are needed.
 *
 * @returns the path of nvcc
 * @throws AstgnnError ERR_CUDA_UNAVAILABLE where there is none and nothing to fetch one with, ERR_DOWNLOAD where fetching fails, ERR_ABORTED
 */
export async function cudaCompiler(options: CudaToolkitOptions = {}): Promise<string> {
  const env = options.env ?? process.env;
  const named = env["CUDACXX"];
  if (named !== undefined && named !== "") {
    if (existsSync(named)) return named;
    throw new AstgnnError("ERR_CUDA_UNAVAILABLE", `CUDACXX names ${named}, which is not there.`, { file: named, next: "Unset CUDACXX, or let it name an nvcc." });
  }
  const folders = [env["CUDA_HOME"], env["CUDA_PATH"]].flatMap((home) => (home === undefined || home === "" ? [] : [join(home, "bin")]));
  folders.push(...(env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== ""));
  const installed = folders.map((folder) => join(folder, "nvcc")).find(existsSync);
  if (installed !== undefined) return installed;
  const { pip, cudaToolkit } = platformSources(env);
  if (pip === undefined || cudaToolkit === undefined) throw unavailable(`none is listed for ${process.platform}-${process.arch}`);
  const folder = join(cacheFolder(env), `cuda-toolkit-${cudaToolkit.version}`);
  const nvcc = join(folder, "bin", "nvcc");
  if (existsSync(nvcc)) return nvcc;
  const command = await findPip(env);
  if (command === undefined) throw unavailable("there is no pip to fetch one with");
  const { onProgress, signal } = options;
  const rest = { onProgress, signal };
  return withLock(`${folder}.lock`, { signal }, async () => {
    if (existsSync(nvcc)) return nvcc;
    const partial = `${folder}.partial-${process.pid}`;
    const downloads = `${folder}.downloads`;
    try {
      const files = await fetchWheels({ pip: command, sources: { ...pip, platforms: [...pip.platforms, ...(pip.cudaPlatforms ?? [])], wheels: cudaToolkit.wheels }, into: downloads, variant: "cpu", env, ...rest });
      // Every wheel holds its share of one tree, nvidia/cu13.
      for (const { file } of files) await unpackZip(file, { into: partial, select: (name) => /^nvidia\/cu\d+\/(.+)$/.exec(name)?.[1]?.split("/").join(sep), executable: (name) => /(^|\/)bin\//.test(name), ...rest });
      const runtime = (await readdir(join(partial, "lib"))).find((name) => name.startsWith("libcudart.so."));
      if (runtime === undefined) throw unavailable("the wheels of the toolkit hold no libcudart");
      await symlink(runtime, join(partial, "lib", "libcudart.so"));
      await rename(partial, folder);
    } finally {
      await rm(partial, { recursive: true, force: true });
      await rm(downloads, { recursive: true, force: true });
    }
    return nvcc;
  });
}

function unavailable(reason: string): AstgnnError {
  return new AstgnnError("ERR_CUDA_UNAVAILABLE", `No CUDA compiler was found (CUDACXX, CUDA_HOME, PATH, the user cache), and ${reason}.`, {
    next: "Install the CUDA toolkit and set CUDA_HOME to it, or install pip; without either the CUDA library is left out and everything runs on the CPU.",
  });
}
