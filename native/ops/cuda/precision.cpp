// The process's precision belongs to the core, whose symbols the CUDA library does not see: either
// asks the other through the dispatcher.
#include "ops/precision.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "ops/cuda/device.h"

namespace astgnn::ops::cuda {

int bf16_parts(const at::Tensor& x) {
  if (x.scalar_type() != at::kFloat || !has_bf16(x.device().index())) return 0;
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("astgnn::_precision", "").typed<int64_t()>();
  switch (static_cast<Precision>(op.call())) {
    case Precision::kHigh:
      return 2;
    case Precision::kMedium:
      return 1;
    default:
      return 0;
  }
}

}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def("_has_bf16(int device) -> bool", [](int64_t device) {
    return astgnn::ops::cuda::has_bf16(static_cast<c10::DeviceIndex>(device));
  });
}
