// Opens the CUDA library, or what stands for it, in a test.
#pragma once

#include <ATen/Context.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

// Returns its handle. A test that needs a GPU and finds none ends here, with the code that ctest
// counts as skipped.
inline void* open_cuda_library(const char* path, bool needs_gpu) {
  const auto skip = [](const char* reason) {
    std::printf("skipped: no GPU (%s)\n", reason);
    std::exit(77);
  };
  if (needs_gpu) {
    if (!dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) skip(dlerror());
    if (!at::hasCUDA()) skip("LibTorch finds none");
    at::globalContext().setAllowTF32CuDNN(false);  // the bars are float32's
  }
  void* library = dlopen(path, RTLD_NOW);
  if (!library) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::exit(1);
  }
  return library;
}
