#include "ops/cpu/product_order.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>

#include <cstdlib>
#include <mutex>

namespace astgnn::ops {

void fix_product_order() {
#if defined(__x86_64__) && !defined(_WIN32)
  static std::once_flag once;
  std::call_once(once, [] {
    if (!__builtin_cpu_is("intel") || getenv("MKL_CBWR") != nullptr) return;
    if (setenv("MKL_CBWR", "AUTO,STRICT", 0) != 0) return;
    at::mm(at::ones({8, 8}), at::ones({8, 8}));
    unsetenv("MKL_CBWR");  // not for the programs that this process starts
  });
#endif
}

}  // namespace astgnn::ops
