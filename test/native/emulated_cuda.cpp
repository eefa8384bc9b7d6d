// A test of an op once more, over the CUDA library's ops on emulated kernels: they are loaded after
// the CPU's and so take their place, as the CUDA library is loaded after the core.
#include <dlfcn.h>

#include <cstdio>

int test_main();  // the test's own main

int main() {
  void* ops = dlopen(ASTGNN_EMULATED_OPS, RTLD_NOW);
  if (!ops) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  const int result = test_main();
  const auto* launches = static_cast<const long*>(dlsym(ops, "emulated_cuda_launches"));
  std::printf("%ld kernels emulated\n", *launches);
  return *launches > 0 ? result : 1;
}
