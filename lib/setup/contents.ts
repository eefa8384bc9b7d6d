import { basename } from "node:path";
import type { Variant } from "./sources.js";
import type { Select } from "./unpack.js";

/** Parts of a torch package that only Python or the named variant needs. */
const PYTHON_ONLY = /^lib(torch_python|shm|torch_global_deps|torchbind_test|jitbackend_test|backend_with_compiler)\./;
const CUDA_ONLY = /^lib(torch_cuda|torch_cuda_linalg|c10_cuda|caffe2_nvrtc|torch_nvshmem)\./;
const SHARED_LIBRARY = /\.(so(\.[\w.]+)?|dylib)$/;

/**
 * What is kept of a torch wheel (`torch/...`) or of an official archive (`libtorch/...`): the variant's shared libraries, the headers, the
 * CMake files and the file that states the version.
 */
export function torchContents(variant: Variant): Select {
  return (name) => {
    const inside = /^(?:torch|libtorch)\/(.+)$/.exec(name)?.[1];
    if (inside === undefined) return undefined;
    if (inside === "build-version" || /^(include|share)\//.test(inside)) return inside;
    if (inside === "version.py") return inside;
    const library = /^lib\/([^/]+)$/.exec(inside)?.[1];
    if (library === undefined || !SHARED_LIBRARY.test(library) || PYTHON_ONLY.test(library)) return undefined;
    return variant === "cpu" && CUDA_ONLY.test(library) ? undefined : inside;
  };
}

/** What is kept of an NVIDIA wheel: its shared libraries, beside LibTorch's own. The CPU part needs two of them. */
export function nvidiaContents(variant: Variant): Select {
  return (name) => {
    const library = /^nvidia\/.*lib\/([^/]+)$/.exec(name)?.[1];
    if (library === undefined || !SHARED_LIBRARY.test(library)) return undefined;
    return variant === "cuda" || /^lib(cudart|cupti)\.so/.test(basename(library)) ? `lib/${library}` : undefined;
  };
}

/** What is kept of a wheel, by its file name. */
export function contentsOf(wheel: string, variant: Variant): Select {
  return /^torch-/.test(basename(wheel)) ? torchContents(variant) : nvidiaContents(variant);
}

/** One requirement of a wheel as pip takes it, e.g. `nvidia-nccl-cu13==2.30.7`, with its extras. */
export interface Requirement {
  name: string;
  extras: string[];
  specifier: string;
}

/**
 * Requirements of a wheel that are NVIDIA's libraries on this Linux machine, from its METADATA. `extras` are those it was asked for.
 */
export function nvidiaRequirements(metadata: string, extras: readonly string[] = []): Requirement[] {
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  const found = new Map<string, Requirement>();
  for (const line of metadata.split(/\r?\n/)) {
    const parts = /^Requires-Dist: *([\w.-]+)(?:\[([\w,-]+)\])? *\(?([^;)]*)\)? *(?:;(.*))?$/.exec(line);
    if (parts === null) continue;
    const [, name = "", wanted = "", specifier = "", marker = ""] = parts;
    if (!/^(nvidia-|cuda-toolkit$)/.test(name)) continue;
    const extra = /extra == ['"]([\w-]+)['"]/.exec(marker)?.[1];
    if (extra !== undefined && !extras.includes(extra)) continue;
    const machines = [...marker.matchAll(/sys_platform == ['"]linux['"] and platform_machine == ['"](\w+)['"]/g)].map((match) => match[1]);
    if (machines.length > 0 && !machines.includes(machine)) continue;
    if (/platform_system == ['"](?!Linux)/.test(marker)) continue;
    found.set(name, { name, extras: wanted === "" ? [] : wanted.split(","), specifier: specifier.trim() });
  }
  return [...found.values()];
}
