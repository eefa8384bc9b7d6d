#include <c10/util/Exception.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "ops/cpu/isa/kernels.h"

namespace astgnn::ops {
namespace {

const Kernels* find(const char* name) {
  if (!std::strcmp(name, kScalarKernels.name)) return &kScalarKernels;
#if defined(__x86_64__)
  if (!std::strcmp(name, kAvx2Kernels.name) && __builtin_cpu_supports("avx2") &&
      __builtin_cpu_supports("fma"))
    return &kAvx2Kernels;
  if (!std::strcmp(name, kAvx512Kernels.name) && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    return &kAvx512Kernels;
#endif
  return nullptr;
}

const Kernels* choose() {
  if (const char* name = std::getenv("ASTGNN_ISA"); name && *name) {
    const Kernels* found = find(name);
    TORCH_CHECK_VALUE(found, "ASTGNN_ISA: expected an instruction set of this machine (",
                      find("avx512") ? "avx512, " : "", find("avx2") ? "avx2, " : "",
                      "scalar) but got \"", name, "\"");
    return found;
  }
  for (const char* name : {"avx512", "avx2"}) {
    if (const Kernels* found = find(name)) return found;
  }
  return &kScalarKernels;
}

std::atomic<const Kernels*> chosen{nullptr};

}  // namespace

const Kernels& kernels() {
  const Kernels* now = chosen.load(std::memory_order_acquire);
  if (!now) chosen.store(now = choose(), std::memory_order_release);
  return *now;
}

bool use_kernels(const char* name) {
  const Kernels* found = find(name);
  if (found) chosen.store(found, std::memory_order_release);
  return found != nullptr;
}

}  // namespace astgnn::ops
