import { basename } from "node:path";
import type { Variant } from "../binding/pinned.js";
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
