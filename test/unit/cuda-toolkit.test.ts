import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cudaCompiler } from "../../lib/setup/cuda-toolkit.js";
import { scratch, write } from "./libtorch-fixture.js";

const root = scratch();
const nowhere = { PATH: join(root, "no-programs"), HOME: join(root, "home") };

describe("the CUDA compiler", () => {
  it("is the one that is named, then CUDA_HOME's, then the PATH's, then the cache's", async () => {
    const folder = write(join(root, "toolkits"), { "own/nvcc": "", "home/bin/nvcc": "", "path/nvcc": "", "cache/astgnn/cuda-toolkit-13.2.86/bin/nvcc": "" });
    const env = { CUDACXX: join(folder, "own", "nvcc"), CUDA_HOME: join(folder, "home"), PATH: join(folder, "path"), XDG_CACHE_HOME: join(folder, "cache") };
    expect(await cudaCompiler({ env })).toBe(join(folder, "own", "nvcc"));
    expect(await cudaCompiler({ env: { ...env, CUDACXX: "" } })).toBe(join(folder, "home", "bin", "nvcc"));
    expect(await cudaCompiler({ env: { PATH: env.PATH, XDG_CACHE_HOME: env.XDG_CACHE_HOME } })).toBe(join(folder, "path", "nvcc"));
    expect(await cudaCompiler({ env: { ...nowhere, XDG_CACHE_HOME: env.XDG_CACHE_HOME } })).toBe(join(folder, "cache", "astgnn", "cuda-toolkit-13.2.86", "bin", "nvcc"));
  });

  it("is missed with a reason and a way out", async () => {
    await expect(cudaCompiler({ env: nowhere })).rejects.toThrow(/no pip to fetch one with[^]*CUDA_HOME/);
    await expect(cudaCompiler({ env: { ...nowhere, CUDACXX: "/no/nvcc" } })).rejects.toThrow("CUDACXX names /no/nvcc, which is not there");
  });
});
